// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/udhcpc.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <string_view>
#include <system_error>
#include <utility>

#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addressing/lease_report.hpp"
#include "addressing/report_format.hpp"
#include "log/log.hpp"

namespace impnetd {

namespace {

/// RFC 2131, 3.3: this many seconds are forever.
constexpr std::uint32_t infinite_lease = 0xffffffff;

struct Channel {
    UniqueFd ours;
    UniqueFd childs;
};

/// Each write of the child is one record; a pipe would make one text of them.
Result<Channel> make_channel() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail(ErrorCode::failed, "socketpair: " + std::generic_category().message(errno));
    return Channel{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Room for one octet more than a record may have, so that a larger one is seen to be.
using Buffer = std::array<char, report::max_size + 1>;

/// Our end of a channel.
class Inbox {
  public:
    Inbox(Loop& loop, UniqueFd fd, std::function<void()> on_record)
        : fd_(std::move(fd)),
          poll_(loop, fd_.get(), [on_record = std::move(on_record)](int) { on_record(); }) {
        poll_.watch(Poll::readable);
    }

    /// One record; nothing if none waits or the other end is closed (then it stays quiet: that the
    /// child is gone comes as an event of its own).
    std::optional<std::string_view> receive(Buffer& buffer) {
        const auto size = recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size > 0) return std::string_view(buffer.data(), static_cast<std::size_t>(size));
        if (size == 0 || errno != EAGAIN) poll_.watch(0);
        return std::nullopt;
    }

  private:
    UniqueFd fd_;
    Poll poll_;
};

std::string_view without_newline(std::string_view line) {
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    return line;
}

/// Names as hosts have them (RFC 952, RFC 1123). udhcpc would refuse to start for a name that does
/// not fit into an option, and a name is not worth that.
bool is_hostname(std::string_view name) {
    constexpr std::size_t longest = 253;
    return !name.empty() && name.size() <= longest && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.';
           });
}

}  // namespace

UdhcpcPrograms UdhcpcPrograms::installed() {
    return {IMPNET_UDHCPC, IMPNET_LIBEXECDIR "/impnet-udhcpc-exec",
            IMPNET_LIBEXECDIR "/impnet-lease-report"};
}

UdhcpcPrograms UdhcpcPrograms::beside(const std::string& directory) {
    UdhcpcPrograms found{IMPNET_UDHCPC, directory + "/impnet-udhcpc-exec",
                         directory + "/impnet-lease-report"};
    const auto runs = [](const std::string& path) { return access(path.c_str(), X_OK) == 0; };
    return runs(found.exec) && runs(found.report) ? found : installed();
}

/// One run of the client. Destroying it ends the process, and nothing it still says is heard.
struct Udhcpc::Client {
    Client(Udhcpc& owner, UniqueFd report_end, UniqueFd line_end, std::unique_ptr<Child> process)
        : reports(owner.loop_, std::move(report_end), [&owner] { owner.report_ready(); }),
          lines(owner.loop_, std::move(line_end), [&owner] { owner.lines_ready(); }),
          child(std::move(process)) {}
    /// It has nothing to put in order, and SIGTERM would have to wait: 3 s after a refusal, and for
    /// ever if somebody has stopped it.
    ~Client() { child->signal(SIGKILL); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    Inbox reports;
    Inbox lines;
    std::unique_ptr<Child> child;
    std::uint64_t started = monotonic_usec();
    std::string last_line;
    bool verifies = false;  // what it is given, renewals too, before it reports them
    bool bound = false;     // holds the lease itself, and so can ask for it to be renewed
};

Udhcpc::Udhcpc(Loop& loop, LeasePort::Observer& observer, UdhcpcPrograms programs,
               UdhcpcTiming timing)
    : loop_(loop),
      observer_(observer),
      programs_(std::move(programs)),
      timing_(timing),
      pause_(timing.first_pause),
      search_(loop, [this] { start_client(); }),
      confirmation_(loop,
                    [this] {
                        log::debug("lease_unconfirmed", {{"device", request_.device}});
                        search_after(Milliseconds(0));
                    }),
      expiry_(loop, [this] { lease_expired(); }) {}

Udhcpc::~Udhcpc() = default;

// --- LeasePort ----------------------------------------------------------------------------------

void Udhcpc::start(const LeaseRequest& request) {
    stop();
    request_ = request;
    search_after(Milliseconds(0));
}

void Udhcpc::adopt(const LeaseRequest& request, const Lease& lease) {
    stop();
    request_ = request;
    hold(lease);
    search_after(Milliseconds(0));
}

void Udhcpc::renew() {
    if (!client_ && !search_.active()) return;
    // The timer that would have said so sleeps when the host does.
    if (lease_ && time_left() == Milliseconds(0)) return expiry_.start(Milliseconds(0));
    if (lease_ && client_ && client_->bound && !client_->verifies) {
        client_->child->signal(SIGUSR1);
        confirmation_.start(timing_.confirmation);
        return;
    }
    pause_ = timing_.first_pause;
    search_after(Milliseconds(0));
}

void Udhcpc::stop() {
    client_.reset();
    search_.stop();
    confirmation_.stop();
    expiry_.stop();
    lease_.reset();
    pause_ = timing_.first_pause;
}

// --- The client ---------------------------------------------------------------------------------

Child::Command Udhcpc::command(int report, int lines) const {
    const auto seconds = std::to_string(timing_.discover.count());
    Child::Command out;
    out.arguments = {
        programs_.exec,
        programs_.udhcpc,
        "-f",
        "-i",
        device(),
        "-s",
        programs_.report,
        "-t",
        "0",  // it never stops discovering, and so never closes its packet socket meanwhile
        "-T",
        seconds,
        "-A",
        seconds,
        "-x",
        "0x3d:01" + request_.mac.text(),
        "-o",
        "-O",
        "subnet",
        "-O",
        "router",
        "-O",
        "dns",
        "-O",
        "mtu",
        "-O",
        "staticroutes",
    };
    if (is_hostname(request_.hostname)) {
        out.arguments.insert(out.arguments.end(), {"-x", "hostname:" + request_.hostname});
    }
    if (request_.previous) {
        out.arguments.insert(out.arguments.end(), {"-r", request_.previous->text()});
    }
    if (request_.verify) {
        out.arguments.push_back("-a" + std::to_string(timing_.verification.count()));
    }
    out.descriptors.assign(report::descriptor + 1, -1);
    out.descriptors[STDOUT_FILENO] = lines;
    out.descriptors[STDERR_FILENO] = lines;
    out.descriptors[report::descriptor] = report;
    return out;
}

std::string Udhcpc::device() const {
    std::array<char, IF_NAMESIZE> name{};
    if (if_indextoname(static_cast<unsigned>(request_.ifindex), name.data()) == nullptr)
        return request_.device;
    return name.data();
}

void Udhcpc::search_after(Milliseconds pause) {
    client_.reset();
    confirmation_.stop();
    search_.start(pause);
}

Milliseconds Udhcpc::next_pause() {
    return std::exchange(pause_, std::min(pause_ * 2, timing_.longest_pause));
}

void Udhcpc::start_client() {
    auto reports = make_channel();
    auto lines = make_channel();
    if (!reports || !lines) return client_failed((reports ? lines : reports).error().message);

    auto child = Child::spawn(loop_, command(reports->childs.get(), lines->childs.get()),
                              [this](ExitStatus status) { client_ended(status); });
    if (!child) return client_failed(child.error().message);

    client_ = std::make_unique<Client>(*this, std::move(reports->ours), std::move(lines->ours),
                                       std::move(*child));
    client_->verifies = request_.verify;
    log::debug("udhcpc_started", {{"device", request_.device},
                                  {"udhcpc_pid", std::to_string(client_->child->pid())}});
}

void Udhcpc::client_ended(ExitStatus status) {
    lines_ready();  // its last words may still wait
    auto reason = "udhcpc ended with " + status.text();
    if (!client_->last_line.empty()) reason += ": " + client_->last_line;
    const auto ran = std::chrono::microseconds(monotonic_usec() - client_->started);
    if (ran > timing_.longest_pause) pause_ = timing_.first_pause;
    client_failed(reason);
}

void Udhcpc::client_failed(const std::string& reason) {
    const auto pause = next_pause();
    log::warning("udhcpc_failed", {{"device", request_.device},
                                   {"reason", reason},
                                   {"restart_ms", std::to_string(pause.count())}});
    search_after(pause);
    tell_trouble(reason);
}

// --- What it says -------------------------------------------------------------------------------

void Udhcpc::lines_ready() {
    Buffer buffer;
    while (const auto record = client_->lines.receive(buffer)) {
        client_->last_line = printable(without_newline(*record));
        log::debug("udhcpc", {{"device", request_.device}, {"line", client_->last_line}});
    }
}

void Udhcpc::report_ready() {
    // One record a turn: whoever is told of it may replace the client, or this object.
    Buffer buffer;
    const auto record = client_->reports.receive(buffer);
    if (!record) return;
    const auto event = parse_lease_report(*record);
    if (!event) return lease_unusable(event.error().message);
    switch (event->kind) {
        case LeaseEvent::Kind::obtained:
        case LeaseEvent::Kind::renewed:
            return lease_granted(event->lease);
        case LeaseEvent::Kind::refused:
            return lease_denied(event->message.empty()
                                    ? "the DHCP server refused"
                                    : "the DHCP server refused: " + event->message);
        case LeaseEvent::Kind::deconfigured:
            client_->bound = false;
            return;
        case LeaseEvent::Kind::unanswered:
            return tell_trouble("the DHCP server offered an address and then stayed silent");
    }
}

void Udhcpc::lease_granted(const Lease& lease) {
    client_->bound = true;
    confirmation_.stop();
    pause_ = timing_.first_pause;
    auto obtained = lease;
    obtained.obtained_usec = boottime_usec();
    hold(obtained);
    observer_.lease_obtained(obtained);
}

void Udhcpc::hold(const Lease& lease) {
    lease_ = lease;
    request_.previous = lease.network.address;
    request_.verify = false;  // that is done
    if (const auto left = time_left())
        expiry_.start(*left);
    else
        expiry_.stop();
}

std::optional<Milliseconds> Udhcpc::time_left() const {
    if (lease_->seconds == infinite_lease) return std::nullopt;
    using Microseconds = std::chrono::microseconds;
    const auto end = Microseconds(lease_->obtained_usec) + std::chrono::seconds(lease_->seconds);
    const auto left = end - Microseconds(boottime_usec());
    return std::max(std::chrono::ceil<Milliseconds>(left), Milliseconds(0));
}

void Udhcpc::lease_denied(const std::string& reason) {
    request_.previous.reset();
    // Before it has a lease the client waits 3 s and tries again, as it should. But a held lease
    // was refused for a reason that is found on every desk: the cable now leads to another network.
    if (!lease_) return observer_.lease_refused(reason);
    lease_.reset();
    expiry_.stop();
    search_after(Milliseconds(0));
    observer_.lease_lost(reason);
}

/// The client believes in a lease that we don't. It is replaced, or it would sit on it for hours.
void Udhcpc::lease_unusable(const std::string& reason) {
    const auto pause = next_pause();
    log::warning("lease_unusable", {{"device", request_.device},
                                    {"reason", reason},
                                    {"restart_ms", std::to_string(pause.count())}});
    search_after(pause);
    tell_trouble("unusable lease: " + reason);
}

void Udhcpc::lease_expired() {
    lease_.reset();
    // The client saw it coming and searches already, or it restarts; else its clock is not ours.
    if (client_ && client_->bound) search_after(Milliseconds(0));
    observer_.lease_lost("the lease expired");
}

void Udhcpc::tell_trouble(const std::string& reason) {
    if (!lease_) observer_.lease_refused(reason);
}

}  // namespace impnetd
