// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The real LeasePort: busybox udhcpc as a supervised child. The client knows DHCP; this class knows
// what a lease is worth. A lease once reported is held here, by the monotonic clock, whatever
// becomes of the client: it may be killed and started again, or give up early (udhcpc does, up to
// half a minute before the end), and nobody is told unless the time passes or a server says no. So
// the client's "deconfig" never counts as a loss.
//
//     daemon ── impnet-udhcpc-exec ─► udhcpc ── impnet-lease-report ─► daemon
//               (drops capabilities)           (one record an event)
//
// A cable that was put back is answered with SIGUSR1: the client asks the server for its lease over
// a plain UDP socket, which takes 2 ms; a search binds a packet socket, and takes the kernel 10
// times that. Only if the server stays silent is the client replaced by one that searches. (A
// second SIGUSR1 would make it search too, but not once it has begun to rebind; a new client always
// does.)
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/lease.hpp"
#include "loop/loop.hpp"

namespace impnetd {

/// Where the programs are.
struct UdhcpcPrograms {
    std::string udhcpc;
    std::string exec;    ///< impnet-udhcpc-exec
    std::string report;  ///< impnet-lease-report

    static UdhcpcPrograms installed();
    /// Our two from this directory if they are there, as in the build tree, else the installed
    /// ones.
    static UdhcpcPrograms beside(const std::string& directory);
};

struct UdhcpcTiming {
    /// From one discover to the next. Switches lose the first packets after a link comes up, and a
    /// server that was restarted should be found soon; one broadcast a second hurts nobody. RFC
    /// 2131, 4.1 wants growing pauses, for the hour in which a whole campus gets its power back:
    /// they come from above, where an attempt of a minute is followed by a rest that grows.
    std::chrono::seconds discover{1};
    /// How long the server may take to confirm a lease before another one is looked for. Answers
    /// take milliseconds on a local network, and a search that was not needed costs two datagrams.
    /// Longer would be felt: udhcpc can miss an answer that comes too fast (see udhcpc_exec.cpp).
    Milliseconds confirmation{100};
    /// How long an address is looked for on the LAN where that is asked for
    /// (`LeaseRequest::verify`). A host that has it answers in a millisecond or so.
    Milliseconds verification{300};
    /// From the client's unexpected end to its restart: doubled each time, up to the longest, until
    /// there is a lease.
    Milliseconds first_pause{200};
    Milliseconds longest_pause{10'000};
};

class Udhcpc final : public LeasePort {
  public:
    Udhcpc(Loop& loop, LeasePort::Observer& observer, UdhcpcPrograms programs,
           UdhcpcTiming timing = {});
    ~Udhcpc() override;
    Udhcpc(const Udhcpc&) = delete;
    Udhcpc& operator=(const Udhcpc&) = delete;

    void start(const LeaseRequest& request) override;
    void adopt(const LeaseRequest& request, const Lease& lease) override;
    void renew() override;
    void stop() override;

  private:
    struct Client;

    Child::Command command(int report, int lines) const;
    /// The device's name as of now.
    std::string device() const;
    /// Ends the client if there is one, and starts another after `pause`. Always from the loop:
    /// what fails then is reported from there, and not from inside somebody's call.
    void search_after(Milliseconds pause);
    Milliseconds next_pause();
    void start_client();
    void client_ended(ExitStatus status);
    void client_failed(const std::string& reason);

    void report_ready();
    void lines_ready();
    void lease_granted(const Lease& lease);
    /// Holds this lease from now until its end.
    void hold(const Lease& lease);
    /// How long the lease that is held still lasts; nothing: for good.
    std::optional<Milliseconds> time_left() const;
    void lease_denied(const std::string& reason);
    void lease_unusable(const std::string& reason);
    void lease_expired();
    /// What stands in the way of a lease; nobody needs to know while there is one.
    void tell_trouble(const std::string& reason);

    Loop& loop_;
    LeasePort::Observer& observer_;
    UdhcpcPrograms programs_;
    UdhcpcTiming timing_;

    LeaseRequest request_;
    std::optional<Lease> lease_;
    Milliseconds pause_;
    std::unique_ptr<Client> client_;
    Timer search_;
    Timer confirmation_;
    Timer expiry_;
};

}  // namespace impnetd
