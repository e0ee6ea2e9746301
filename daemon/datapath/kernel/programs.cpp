// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/programs.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log/log.hpp"
#include "programs.skel.h"

namespace impnetd::kernel {

namespace {

/// Shared memory that programs read while we write it: what was written first is seen first.
template <typename T>
void store(T& place, T value) {
    std::atomic_ref<T>(place).store(value, std::memory_order_release);
}

template <typename T>
T load_from(const T& place) {
    return std::atomic_ref<T>(const_cast<T&>(place)).load(std::memory_order_acquire);
}

/// Writes a version that nobody looks at, and then names it the current one.
template <typename T, typename Versions>
void publish(std::uint32_t& current, Versions& versions, const T& value) {
    const std::uint32_t next = (load_from(current) + 1) % IMPNET_VERSIONS;
    std::memcpy(&versions[next], &value, sizeof(value));
    store(current, next);
}

std::string reason(int error) {
    return std::generic_category().message(error < 0 ? -error : error);
}

/// What libbpf has to say goes to the debug log, a line at a time.
int log_line(libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG) return 0;
    std::array<char, 512> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    log::debug("libbpf", {{"line", std::string(line.data(), ::strcspn(line.data(), "\n"))}});
    return 0;
}

/// Does this descriptor hold a map like the one we are about to make?
bool is_like(int fd, const bpf_map* map) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    return ::bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
           info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
           info.max_entries == bpf_map__max_entries(map);
}

}  // namespace

struct Programs::Object {
    Object() = default;
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    ~Object() {
        if (settings != nullptr) ::munmap(settings, settings_size());
        if (interfaces != nullptr) ::munmap(interfaces, interfaces_size());
        ::ring_buffer__free(events);
        impnet_programs__destroy(skeleton);
    }

    static std::size_t whole_pages(std::size_t size) {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        return (size + page - 1) / page * page;
    }
    static std::size_t settings_size() { return whole_pages(sizeof(impnet_settings)); }
    static std::size_t interfaces_size() {
        // Elements of an array lie at multiples of eight.
        return whole_pages(IMPNET_INTERFACES * interface_stride);
    }
    static constexpr std::size_t interface_stride = (sizeof(impnet_interface) + 7) / 8 * 8;

    static int event_seen(void* self, void* data, std::size_t size) {
        auto& object = *static_cast<Object*>(self);
        if (size >= sizeof(impnet_event) && object.on_event != nullptr)
            (*object.on_event)(*static_cast<const impnet_event*>(data));
        return 0;
    }

    impnet_programs* skeleton = nullptr;
    impnet_settings* settings = nullptr;
    std::uint8_t* interfaces = nullptr;
    ring_buffer* events = nullptr;
    const std::function<void(const impnet_event&)>* on_event = nullptr;
};

Programs::Programs(std::unique_ptr<Object> object) : object_(std::move(object)) {}

Programs::~Programs() = default;

Result<std::unique_ptr<Programs>> Programs::load(const Maps& inherited) {
    ::libbpf_set_print(log_line);
    auto object = std::make_unique<Object>();
    object->skeleton = impnet_programs__open();
    if (object->skeleton == nullptr)
        return fail(ErrorCode::failed, "eBPF programs: " + reason(errno));

    bpf_object* const all = object->skeleton->obj;
    bool usable = !inherited.empty();
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, all) {
        const auto found = inherited.find(bpf_map__name(map));
        usable = usable && found != inherited.end() && is_like(found->second.get(), map);
    }
    if (usable) {
        bpf_object__for_each_map(map, all) {
            const int error = ::bpf_map__reuse_fd(map, inherited.at(bpf_map__name(map)).get());
            if (error != 0) return fail(ErrorCode::failed, "eBPF maps: " + reason(error));
        }
    }
    if (const int error = impnet_programs__load(object->skeleton); error != 0)
        return fail(ErrorCode::failed, "the kernel refuses eBPF programs: " + reason(error));

    const auto& maps = object->skeleton->maps;
    void* memory = ::mmap(nullptr, Object::settings_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
                          bpf_map__fd(maps.settings), 0);
    if (memory == MAP_FAILED) return fail(ErrorCode::failed, "eBPF maps: " + reason(errno));
    object->settings = static_cast<impnet_settings*>(memory);
    memory = ::mmap(nullptr, Object::interfaces_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(maps.interfaces), 0);
    if (memory == MAP_FAILED) return fail(ErrorCode::failed, "eBPF maps: " + reason(errno));
    object->interfaces = static_cast<std::uint8_t*>(memory);
    object->events =
        ::ring_buffer__new(bpf_map__fd(maps.events), Object::event_seen, object.get(), nullptr);
    if (object->events == nullptr) return fail(ErrorCode::failed, "eBPF events: " + reason(errno));

    std::unique_ptr<Programs> programs(new Programs(std::move(object)));
    programs->inherited_ = usable;
    return programs;
}

Result<> Programs::attach(int group) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object_->skeleton->obj) {
        const int error =
            ::bpf_prog_attach(bpf_program__fd(program), group,
                              bpf_program__expected_attach_type(program), BPF_F_ALLOW_MULTI);
        if (error != 0) {
            return fail(ErrorCode::failed, std::string(bpf_program__name(program)) +
                                               " cannot be attached: " + reason(errno));
        }
    }
    return {};
}

std::vector<std::pair<std::string, int>> Programs::maps() const {
    std::vector<std::pair<std::string, int>> out;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object_->skeleton->obj) {
        out.emplace_back(bpf_map__name(map), bpf_map__fd(map));
    }
    return out;
}

void Programs::set_ttl(int ttl) {
    store(object_->settings->ttl, static_cast<std::uint32_t>(ttl));
}

void Programs::set_limit(const impnet_limit& limit) {
    publish(object_->settings->current_limit, object_->settings->limits, limit);
}

void Programs::set_clients(std::uint32_t count) {
    store(object_->settings->clients, count);
}

void Programs::set_extra_networks(const std::vector<Ipv4Network>& networks) {
    impnet_widening widening{};
    for (const auto& network : networks) {
        if (widening.count == IMPNET_EXTRA_NETWORKS) break;
        widening.networks[widening.count++] = {.network = network.network().network_order(),
                                               .netmask = network.netmask().network_order()};
    }
    publish(object_->settings->current_widening, object_->settings->widenings, widening);
}

void Programs::set_interface(DataPath::Slot slot, const InterfaceFacts& facts) {
    if (slot >= IMPNET_INTERFACES) return;
    impnet_facts told{};
    told.ifindex = static_cast<std::uint32_t>(facts.ifindex);
    if (facts.network) {
        told.connected = 1;
        told.address = facts.network->address.network_order();
        told.netmask = facts.network->netmask().network_order();
        if (const auto broadcast = facts.network->broadcast())
            told.broadcast = broadcast->network_order();
    }
    auto& interface =
        *reinterpret_cast<impnet_interface*>(object_->interfaces + slot * Object::interface_stride);
    // Left alone if it is so already: a daemon that takes over need not disturb anybody.
    if (std::memcmp(&interface.versions[load_from(interface.current) % IMPNET_VERSIONS], &told,
                    sizeof(told)) == 0)
        return;
    publish(interface.current, interface.versions, told);
}

void Programs::say_alive(std::uint64_t now) {
    __u64& alive_at = object_->settings->alive_at;
    std::atomic_ref<__u64>(alive_at).store(now, std::memory_order_release);
}

Result<> Programs::set_orders(int socket, const impnet_orders& orders) {
    if (::bpf_map_update_elem(bpf_map__fd(object_->skeleton->maps.orders), &socket, &orders,
                              BPF_ANY) != 0)
        return fail(ErrorCode::failed, "a socket's orders: " + reason(errno));
    return {};
}

std::optional<impnet_orders> Programs::orders(int socket) const {
    impnet_orders orders{};
    if (::bpf_map_lookup_elem(bpf_map__fd(object_->skeleton->maps.orders), &socket, &orders) != 0)
        return std::nullopt;
    return orders;
}

Result<> Programs::set_account(int socket, const impnet_account& account) {
    if (::bpf_map_update_elem(bpf_map__fd(object_->skeleton->maps.accounts), &socket, &account,
                              BPF_ANY) != 0)
        return fail(ErrorCode::failed, "a socket's account: " + reason(errno));
    return {};
}

std::optional<impnet_account> Programs::account(int socket) const {
    impnet_account account{};
    if (::bpf_map_lookup_elem(bpf_map__fd(object_->skeleton->maps.accounts), &socket, &account) !=
        0)
        return std::nullopt;
    return account;
}

void Programs::clear_share(std::uint32_t client) {
    const impnet_share none{};
    ::bpf_map_update_elem(bpf_map__fd(object_->skeleton->maps.shares), &client, &none, BPF_ANY);
}

impnet_share Programs::share(std::uint32_t client) const {
    impnet_share share{};
    ::bpf_map_lookup_elem(bpf_map__fd(object_->skeleton->maps.shares), &client, &share);
    return share;
}

impnet_bucket Programs::bucket() const {
    // Behind the lock, which reads as zero.
    struct {
        std::uint64_t lock;
        impnet_limit limit;
        impnet_bucket bucket;
    } value{};
    const std::uint32_t zero = 0;
    ::bpf_map_lookup_elem_flags(bpf_map__fd(object_->skeleton->maps.bucket), &zero, &value,
                                BPF_F_LOCK);
    return value.bucket;
}

std::uint64_t Programs::tally(std::uint32_t which) const {
    std::uint64_t count = 0;
    ::bpf_map_lookup_elem(bpf_map__fd(object_->skeleton->maps.tallies), &which, &count);
    return count;
}

int Programs::events_fd() const {
    return ::ring_buffer__epoll_fd(object_->events);
}

void Programs::read_events(const std::function<void(const impnet_event&)>& on_event) {
    object_->on_event = &on_event;
    ::ring_buffer__consume(object_->events);
    object_->on_event = nullptr;
}

}  // namespace impnetd::kernel
