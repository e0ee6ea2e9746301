// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnet-udhcpc-exec PROGRAM ARGUMENT...: becomes PROGRAM, with no more rights than a DHCP client
// needs. udhcpc reads packets of strangers, so it gets two capabilities and can never get another:
// CAP_NET_RAW for its packet socket and for binding to the device, CAP_NET_BIND_SERVICE for
// port 68. If they cannot be given, or the others not be taken away, there is no DHCP client.
//
// The two are raised as ambient capabilities, so that they outlive execve(2) for a user other than
// root. Root gets whatever its bounding set has; therefore that set must shrink if we are root. For
// another user it does not matter, and shrinking it needs CAP_SETPCAP: there it is done if
// possible.
//
// The client dies with the daemon: nobody would renew, expire or end what an orphan got. (Handing a
// running client over from one daemon to the next takes somebody who holds it in between; it is
// then that somebody's death which must end it.)
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "addressing/report_format.hpp"

namespace {

constexpr std::array<cap_value_t, 2> kept = {CAP_NET_RAW, CAP_NET_BIND_SERVICE};
constexpr int kept_count = static_cast<int>(kept.size());

[[noreturn]] void give_up(const char* what) {
    std::fprintf(stderr, "impnet-udhcpc-exec: %s: %s\n", what, std::strerror(errno));
    std::exit(126);
}

bool is_kept(cap_value_t capability) {
    return std::find(kept.begin(), kept.end(), capability) != kept.end();
}

void shrink_bounding_set() {
    for (cap_value_t capability = 0; capability < cap_max_bits(); ++capability) {
        if (is_kept(capability) || cap_get_bound(capability) != 1) continue;
        if (cap_drop_bound(capability) == 0) continue;
        if (errno == EPERM && geteuid() != 0 && getuid() != 0) return;
        give_up("cannot shrink the capability bounding set (CAP_SETPCAP is needed as root)");
    }
}

void keep_only_needed() {
    cap_t capabilities = cap_init();
    if (capabilities == nullptr) give_up("cannot keep CAP_NET_RAW and CAP_NET_BIND_SERVICE");
    for (const auto flag : {CAP_PERMITTED, CAP_EFFECTIVE, CAP_INHERITABLE})
        cap_set_flag(capabilities, flag, kept_count, kept.data(), CAP_SET);
    // Whatever is ambient and not kept goes with it: nothing is ambient that is not permitted.
    if (cap_set_proc(capabilities) != 0)
        give_up("cannot keep CAP_NET_RAW and CAP_NET_BIND_SERVICE only");
    cap_free(capabilities);
    for (const auto capability : kept)
        if (cap_set_ambient(capability, CAP_SET) != 0)
            give_up("cannot pass on CAP_NET_RAW and CAP_NET_BIND_SERVICE");
}

/// udhcpc loses an answer that comes before it has closed the socket it asked with. A server that
/// shares our processor, in a container or behind a veth, is woken by the question and may run
/// first: one renewal in five was lost so, on a busy machine most. At real-time priority udhcpc
/// gets to close it. It needs microseconds now and then; should it ever spin, the limit ends it.
/// Without the right (CAP_SYS_NICE or RLIMIT_RTPRIO) it goes without.
void run_ahead_of_others() {
    constexpr rlim_t longest_run = 100'000;  // microseconds
    const rlimit limit{longest_run, longest_run};
    const sched_param lowest{.sched_priority = 1};
    if (setrlimit(RLIMIT_RTTIME, &limit) == 0)
        sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

/// False: the daemon was dead before the kernel was told to end us with it.
bool die_with_daemon() {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) give_up("cannot be ended with the daemon");
    pollfd daemon{impnetd::report::descriptor, 0, 0};
    poll(&daemon, 1, 0);
    return (daemon.revents & POLLHUP) == 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: impnet-udhcpc-exec PROGRAM ARGUMENT...\n", stderr);
        return 2;
    }
    run_ahead_of_others();
    shrink_bounding_set();
    keep_only_needed();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("cannot rule out new privileges");
    // Rights come as descriptors, too: none but the standard streams and the report socket go on.
    close_range(3, impnetd::report::descriptor - 1, 0);
    close_range(impnetd::report::descriptor + 1, ~0U, 0);
    // Last, as the kernel forgets it when credentials change.
    if (!die_with_daemon()) return 0;

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);

    execv(argv[1], argv + 1);
    std::fprintf(stderr, "impnet-udhcpc-exec: cannot run %s: %s\n", argv[1], std::strerror(errno));
    return 127;
}
