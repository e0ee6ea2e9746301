// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/udp_socket_object.hpp"

#include <cstdint>
#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "bus/signal.hpp"

namespace impnetd::bus {

UdpSocketObject::UdpSocketObject(sdbus::IConnection& connection, SessionSocket& socket,
                                 Attention& attention, std::string path)
    : AdaptorInterfaces(connection, socket_path(socket.id())),
      socket_(socket),
      attention_(attention),
      path_(std::move(path)) {
    registerAdaptor();
    socket_.observe(this);
}

UdpSocketObject::~UdpSocketObject() {
    socket_.observe(nullptr);
    for (const auto& pending : acquiring_) {
        try {
            pending->returnError(to_bus({ErrorCode::socket_closed, "the socket is closed"}));
        } catch (const sdbus::Error&) {  // the connection is lost: nobody waits
        }
    }
    unregisterAdaptor();
}

Result<> UdpSocketObject::require_owner() {
    if (getObject().getCurrentlyProcessedMessage()->getSender() == owner()) return {};
    return fail(ErrorCode::not_owner, "the socket belongs to another connection");
}

void UdpSocketObject::Acquire(sdbus::Result<sdbus::UnixFd, VariantMap>&& result) {
    using Acquired = std::tuple<sdbus::UnixFd, VariantMap>;
    if (const auto owner = require_owner(); !owner) return refuse(result, to_bus(owner.error()));
    const auto own = std::make_shared<AcquireResult>(std::move(result));
    acquiring_.insert(own);
    socket_.acquire([this, waiting = std::weak_ptr(own)](Result<UniqueFd> fd) {
        const auto pending = waiting.lock();
        if (!pending) return;  // answered when this ended
        acquiring_.erase(pending);
        reply(*pending, [&] {
            return std::move(fd).map([&](UniqueFd end) {
                return Acquired{sdbus::UnixFd(end.release(), sdbus::adopt_fd),
                                {{"path", path_}, {"local_port", socket_.local_port()}}};
            });
        });
    });
}

void UdpSocketObject::Send(sdbus::Result<std::int32_t>&& result, std::string address,
                           std::uint16_t port, Payload data) {
    reply(result, [&]() -> Result<std::int32_t> {
        if (auto owner = require_owner(); !owner) return tl::unexpected<Error>(owner.error());
        const auto sent = socket_.send(address, port, data.bytes);
        if (!sent) return tl::unexpected<Error>(sent.error());
        return static_cast<std::int32_t>(*sent);
    });
}

void UdpSocketObject::Close(sdbus::Result<>&& result) {
    reply(result, [&]() -> Result<> {
        if (auto owner = require_owner(); !owner) return owner;
        socket_.close("");
        return {};
    });
}

void UdpSocketObject::GetStatistics(sdbus::Result<std::map<std::string, std::uint64_t>>&& result) {
    reply(result, [&]() -> Result<std::map<std::string, std::uint64_t>> {
        if (auto owner = require_owner(); !owner) return tl::unexpected<Error>(owner.error());
        const auto counters = socket_.counters();
        return std::map<std::string, std::uint64_t>{
            {"sent", counters.sent},
            {"received", counters.received - overflowed_},
            {"rate_limited", counters.rate_limited},
            {"not_connected", counters.not_connected},
            {"denied", counters.denied},
            {"dropped", counters.dropped + overflowed_},
        };
    });
}

sdbus::ObjectPath UdpSocketObject::Session() {
    return session_path(socket_.session().id());
}

void UdpSocketObject::datagram_received(const Datagram& datagram) {
    if (owner() != asked_) {
        asked_ = owner();
        asking_ = false;
        unconfirmed_ = 0;
    }
    if (unconfirmed_ == window || owner().empty()) {
        ++overflowed_;
        if (!asking_ && !owner().empty()) ask_owner();
        return;
    }
    ++unconfirmed_;
    emit(getObject(), owner(), INTERFACE_NAME, "Received", datagram.from.text(), datagram.from_port,
         datagram.to.text(), datagram.to_port, datagram.data);
    if (unconfirmed_ >= window / 2 && !asking_) ask_owner();
}

void UdpSocketObject::ask_owner() {
    asking_ = true;
    attention_.ask(owner(), alive_, [this, sent = unconfirmed_](Attention::Answer answer) {
        asking_ = false;
        if (answer == Attention::Answer::refused) return;  // the next datagram asks again
        unconfirmed_ -= sent;
        if (unconfirmed_ >= window / 2) ask_owner();
    });
}

void UdpSocketObject::socket_closed(const std::string& reason) {
    if (owner().empty())
        untold_end_ = reason;
    else
        emit(getObject(), owner(), INTERFACE_NAME, "Closed", reason);
}

void UdpSocketObject::resumed() {
    if (const auto reason = std::exchange(untold_end_, {}); !reason.empty()) socket_closed(reason);
}

}  // namespace impnetd::bus
