// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ports/fake_data_path.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <sys/socket.h>

#include "core/datagram_policy.hpp"

namespace ports {

using namespace impnetd;

class FakeDataPath::Socket final : public DataSocket {
  public:
    Socket(FakeDataPath& path, const Request& request, std::uint16_t port, Observer& observer)
        : slot(request.slot),
          port(port),
          client(request.client.key()),
          path_(path),
          in_force_(request.port != 0),
          delivery_(request.delivery),
          observer_(observer),
          policy_(request.policy) {
        path_.sockets_.push_back(this);
    }
    ~Socket() override { leave(); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    std::uint16_t local_port() const override { return in_force_ ? port : 0; }

    Result<UniqueFd> acquire() override {
        if (delivery_ == Delivery::signal) return fail(ErrorCode::invalid_argument, "signal");
        if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
        if (end_) return fail(ErrorCode::busy, "acquired before");
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
            throw std::system_error(errno, std::generic_category(), "socketpair");
        end_.reset(ends[0]);
        return UniqueFd(ends[1]);
    }

    Result<SendResult> send(Ipv4 to, std::uint16_t to_port,
                            const std::vector<std::uint8_t>& data) override {
        if (!end_reason_.empty()) return fail(ErrorCode::socket_closed, end_reason_);
        const EgressRules rules = this->rules();
        switch (judge_egress(rules, to, to_port, data.size())) {
            case EgressVerdict::pass:
                break;
            case EgressVerdict::not_connected:
                ++counters_.not_connected;
                return SendResult::not_connected;
            case EgressVerdict::forbidden_address:
            case EgressVerdict::denied_by_rule:
                ++counters_.denied;
                end(reason_of_denial(rules, to, to_port));
                return fail(ErrorCode::address_not_allowed, end_reason_);
            case EgressVerdict::forbidden_port:
                ++counters_.denied;
                return fail(ErrorCode::invalid_argument, "port " + std::to_string(to_port));
            case EgressVerdict::too_large:
                ++counters_.denied;
                return fail(ErrorCode::too_large, std::to_string(data.size()) + " bytes");
        }
        if (!path_.take_token(client)) {
            ++counters_.rate_limited;
            return SendResult::would_block;
        }
        ++counters_.sent;
        in_force_ = true;
        path_.sent_.push_back({slot, {rules.network->address, port, to, to_port, data}});
        return SendResult::sent;
    }

    SocketCounters counters() const override { return counters_; }
    void set_policy(const impnetd::SocketPolicy& policy) override { policy_ = policy; }

    std::vector<int> descriptors() const override {
        return end_ ? std::vector<int>{end_.get()} : std::vector<int>{};
    }

    void resume(UniqueFd end) { end_ = std::move(end); }

    void arrive(const Datagram& datagram) {
        if (!in_force_) return;
        if (!admits_ingress(rules(), datagram.from, datagram.from_port, datagram.to)) return;
        ++counters_.received;
        if (delivery_ == Delivery::signal) observer_.datagram_received(datagram);
    }

    void end(const std::string& reason) {
        leave();
        end_reason_ = reason;
        path_.loop_.defer([this, alive = std::weak_ptr<const bool>(alive_)] {
            if (!alive.expired()) observer_.socket_closed(end_reason_);
        });
    }

    const Slot slot;
    const std::uint16_t port;
    const std::string client;

  private:
    EgressRules rules() const {
        return {.network = path_.interfaces_[slot].network,
                .extra_networks = path_.extra_networks_,
                .destinations = policy_.destinations};
    }
    void leave() {
        end_.reset();
        auto& open = path_.sockets_;
        open.erase(std::remove(open.begin(), open.end(), this), open.end());
    }

    FakeDataPath& path_;
    bool in_force_;
    Delivery delivery_;
    Observer& observer_;
    impnetd::SocketPolicy policy_;
    UniqueFd end_;
    SocketCounters counters_;
    std::string end_reason_;
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

FakeDataPath::FakeDataPath(Loop& loop, RateLimit limits)
    : loop_(loop), rate_(limits.rate), limit_(bucket_limit(limits)) {}

FakeDataPath::~FakeDataPath() = default;

void FakeDataPath::set_limit(RateLimit limit) {
    rate_ = limit.rate;
    const impnet_limit next = bucket_limit(limit);
    bucket_.full_at = full_at_after_change(bucket_.full_at, limit_, next, now_);
    limit_ = next;
}

bool FakeDataPath::take_token(const std::string& client) {
    std::set<std::string> clients;
    for (const Socket* socket : sockets_) clients.insert(socket->client);
    return impnet_take(&limit_, clients.size(), nullptr, &bucket_, &shares_[client], now_, 1) == 0;
}

void FakeDataPath::set_interface(Slot slot, const InterfaceFacts& facts) {
    interfaces_[slot] = facts;
}

Result<std::unique_ptr<DataSocket>> FakeDataPath::open(const Request& request,
                                                       DataSocket::Observer& observer) {
    const Slot slot = request.slot;
    const std::uint16_t port = request.port;
    if (refusal_) return tl::unexpected(std::move(*std::exchange(refusal_, std::nullopt)));
    const InterfaceFacts& facts = interfaces_[slot];
    if (facts.ifindex == 0) return fail(ErrorCode::unavailable, "no device");
    if (port != 0 && port < 1024)
        return fail(ErrorCode::invalid_argument, "port " + std::to_string(port));
    std::uint16_t reserved = port;
    if (port == 0) {
        reserved = 40'000;
        while (find(slot, reserved) != nullptr) ++reserved;
    } else if (find(slot, port) != nullptr) {
        return fail(ErrorCode::port_in_use,
                    "port " + std::to_string(port) + " is taken on " + facts.device);
    }
    return std::make_unique<Socket>(*this, request, reserved, observer);
}

Result<std::unique_ptr<DataSocket>> FakeDataPath::adopt(const Request& request,
                                                        std::vector<UniqueFd> descriptors,
                                                        DataSocket::Observer& observer) {
    auto socket = open(request, observer);
    if (socket && !descriptors.empty())
        static_cast<Socket&>(**socket).resume(std::move(descriptors.front()));
    return socket;
}

FakeDataPath::Socket* FakeDataPath::find(Slot slot, std::uint16_t port) const {
    const auto found = std::find_if(sockets_.begin(), sockets_.end(), [&](const Socket* socket) {
        return socket->slot == slot && socket->port == port;
    });
    return found == sockets_.end() ? nullptr : *found;
}

double FakeDataPath::share(const std::string& /*client*/) const {
    std::set<std::string> clients;
    for (const Socket* socket : sockets_) clients.insert(socket->client);
    return rate_ / static_cast<double>(std::max<std::size_t>(clients.size(), 1));
}

void FakeDataPath::arrive(Slot slot, const Datagram& datagram) {
    if (Socket* socket = find(slot, datagram.to_port)) socket->arrive(datagram);
}

void FakeDataPath::close(Slot slot, std::uint16_t port, const std::string& reason) {
    Socket* socket = find(slot, port);
    if (socket == nullptr) throw std::logic_error("no socket has port " + std::to_string(port));
    socket->end(reason);
}

InterfaceFacts FakeDataPath::facts(Slot slot) const {
    const auto found = interfaces_.find(slot);
    return found == interfaces_.end() ? InterfaceFacts{} : found->second;
}

std::vector<std::uint16_t> FakeDataPath::open_ports(Slot slot) const {
    std::vector<std::uint16_t> result;
    for (const Socket* socket : sockets_) {
        if (socket->slot == slot) result.push_back(socket->port);
    }
    std::sort(result.begin(), result.end());
    return result;
}

}  // namespace ports
