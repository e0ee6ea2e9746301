// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service/kept_value.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "log/log.hpp"

namespace impnetd {

namespace {

struct Header {
    std::uint64_t version;  ///< rises by one with each write; 0: never written
    std::uint64_t size;
    std::uint64_t checksum;  ///< of the two above and the value
};

constexpr std::size_t place_size = sizeof(Header) + KeptValue::max_size;

off_t place(std::uint64_t version) {
    return static_cast<off_t>((version & 1) * place_size);
}

/// FNV-1a. It is to find what was cut short, not what was forged.
std::uint64_t checksum(std::uint64_t version, std::span<const std::uint8_t> value) {
    std::uint64_t sum = 0xcbf29ce484222325;
    const auto add = [&sum](std::uint64_t byte) { sum = (sum ^ byte) * 0x100000001b3; };
    for (int shift = 0; shift < 64; shift += 8) add(version >> shift & 0xff);
    for (const auto byte : value) add(byte);
    return sum;
}

struct Version {
    std::uint64_t number;
    std::vector<std::uint8_t> value;
};

/// What lies in the place of even or odd versions; nothing if it is not whole.
std::optional<Version> read_place(int fd, std::uint64_t parity) {
    Header header{};
    if (::pread(fd, &header, sizeof(header), place(parity)) != sizeof(header)) return {};
    if (header.version == 0 || (header.version & 1) != parity || header.size > KeptValue::max_size)
        return {};
    Version out{header.version, std::vector<std::uint8_t>(header.size)};
    const auto size = static_cast<ssize_t>(header.size);
    const auto at = place(parity) + static_cast<off_t>(sizeof(header));
    if (::pread(fd, out.value.data(), out.value.size(), at) != size) return {};
    if (header.checksum != checksum(out.number, out.value)) return {};
    return out;
}

std::optional<Version> read_last(int fd) {
    auto even = read_place(fd, 0);
    auto odd = read_place(fd, 1);
    if (!even || (odd && odd->number > even->number)) return odd;
    return even;
}

}  // namespace

KeptValue::KeptValue(FdStore& store, std::string name) : store_(store), name_(std::move(name)) {
    if (auto inherited = store_.take(name_); !inherited.empty()) {
        file_ = std::move(inherited.front());
        if (const auto last = read_last(file_.get())) version_ = last->number;
        return;
    }
    file_.reset(::memfd_create(name_.c_str(), MFD_CLOEXEC));
    if (!file_) throw std::system_error(errno, std::generic_category(), "memfd_create");
    store_.keep(name_, {file_.get()});
}

KeptValue::~KeptValue() {
    store_.drop(name_);
}

Result<> KeptValue::write(std::span<const std::uint8_t> value) {
    if (value.size() > max_size)
        return fail(ErrorCode::too_large, name_ + ": more than can be kept");
    const auto next = version_ + 1;
    const Header header{next, value.size(), checksum(next, value)};
    std::vector<std::uint8_t> bytes(sizeof(header) + value.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    if (!value.empty()) std::memcpy(bytes.data() + sizeof(header), value.data(), value.size());
    if (::pwrite(file_.get(), bytes.data(), bytes.size(), place(next)) !=
        static_cast<ssize_t>(bytes.size()))
        return fail(ErrorCode::failed, name_ + ": " + std::generic_category().message(errno));
    version_ = next;
    return {};
}

void KeptValue::keep(std::span<const std::uint8_t> value) {
    if (const auto written = write(value); !written)
        log::error("not_kept", {{"kept", name_}, {"reason", written.error().message}});
}

Result<std::vector<std::uint8_t>> KeptValue::read() const {
    auto last = read_last(file_.get());
    if (!last) return fail(ErrorCode::failed, "no whole value");
    return std::move(last->value);
}

}  // namespace impnetd
