// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One socket of the relay: on one side the UDP socket, on the other the client, which holds the end
// of a SOCK_SEQPACKET pair, or is reached through the observer. Each readiness moves one batch, so
// that no socket keeps the others waiting, and each side waits for the other:
//
//  - The client does not read: arrivals stay in the UDP socket, whose bounded buffer then overflows
//    (counted), and with no room for verdicts its requests stay where they are, too. A client that
//    never reads costs two kernel buffers and no wake-ups.
//  - The network does not take more: the client's requests are held, in order, and no more are
//  read.
//
// A socket is in force when datagrams reach it: from the start if its port was asked for, else from
// its first datagram that was handed to the network. Until then the UDP socket is deaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data_path.hpp"
#include "core/datagram_policy.hpp"
#include "datapath/limiter.hpp"
#include "datapath/relay/batch.hpp"
#include "datapath/relay/frame.hpp"
#include "datapath/relay/ledger.hpp"
#include "datapath/udp_socket.hpp"
#include "loop/loop.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd::relay {

class RelaySocket final : public DataSocket {
  public:
    /// What all sockets of a relay use together. Outlives them.
    struct Shared {
        Loop& loop;
        Limiter& limiter;
        Batch& batch;
        const std::vector<Ipv4Network>& extra_networks;  // as they are now
    };

    /// `facts` are the interface's, always as they are now; they outlive the socket.
    /// In force unless the UDP socket is deaf.
    RelaySocket(const Shared& shared, const InterfaceFacts& facts, UdpSocket udp,
                Ledger::Account account, const DataPath::Request& request, Observer& observer);
    ~RelaySocket() override;
    RelaySocket(const RelaySocket&) = delete;
    RelaySocket& operator=(const RelaySocket&) = delete;

    /// Goes on with the pair that the process before us had made; this is our end of it.
    void resume(UniqueFd client);

    std::uint16_t local_port() const override { return in_force_ ? udp_.port() : 0; }
    Result<UniqueFd> acquire() override;
    Result<SendResult> send(Ipv4 to, std::uint16_t port,
                            const std::vector<std::uint8_t>& data) override;
    SocketCounters counters() const override;
    void set_policy(const SocketPolicy& policy) override;
    std::vector<int> descriptors() const override;

  private:
    struct Verdict {
        std::uint16_t sequence = 0;
        impnet_relay_verdict value = IMPNET_RELAY_SENT;
        std::uint32_t wait_usec = 0;  // of a refusal by the rate limit
    };
    struct Judged;
    enum class Attempt : std::uint8_t { first, again };

    void watch();
    void network_ready(int events);
    void client_ready();
    void use_client(UniqueFd client);

    void read_requests();
    void send_held();
    void relay_requests(std::size_t count, Attempt attempt);
    std::size_t take_for_listed(Judged& judged);
    Judged judge_requests(std::size_t count);
    struct Progress;
    std::size_t send_listed(std::size_t allowed, Attempt attempt, Judged& judged);
    int send_next(Progress& at, std::size_t allowed);
    void pass(Progress& at, std::size_t count) const;
    bool tell_verdicts();
    void tell_resumed();
    void come_into_force(bool sent);
    void count(impnet_relay_verdict verdict);

    void read_arrivals();
    void tell_observer(std::size_t slot, const Batch::Arrival& arrival);
    void send_arrivals();
    bool client_has_room() const;

    std::optional<Ipv4Network> network() const;
    EgressRules egress_rules() const;
    /// Ends it because the client broke a rule.
    void revoke(const std::string& reason);
    void end(std::string reason);
    void close();

    Shared shared_;
    const InterfaceFacts& facts_;
    UdpSocket udp_;
    bool in_force_;
    Delivery delivery_;
    uid_t client_uid_;
    std::string client_unit_;
    SocketPolicy policy_;
    Limiter::Member rate_;
    Observer& observer_;
    Ledger::Account account_;
    SocketCounters& counters_;  // in the account
    std::string end_reason_;    // not empty: closed, and nobody destroyed us yet

    UniqueFd client_;        // our end of the pair
    int client_buffer_ = 0;  // its send buffer, as the kernel counts
    bool acquired_ = false;
    bool resumed_untold_ = false;                  // see IMPNET_RELAY_RESUMED
    bool client_full_ = false;                     // arrivals wait for room
    std::size_t at_once_ = Batch::capacity;        // requests that are read
    std::size_t largest_segment_ = max_payload;    // that the device takes, as far as is known
    std::vector<Verdict> verdicts_;                // wait for room, at most those of one batch
    std::vector<std::vector<std::uint8_t>> held_;  // requests that wait, mostly for the network
    Attempt held_attempt_ = Attempt::first;        // what the next one is for them

    std::optional<Poll> network_poll_;
    std::optional<Poll> client_poll_;
    // Expires with this object: what runs later, or may have destroyed it, looks here first.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd::relay
