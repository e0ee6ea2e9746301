// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/session_object.hpp"

#include <optional>
#include <utility>

#include "bus/path.hpp"
#include "bus/reply.hpp"
#include "bus/signal.hpp"
#include "core/quote.hpp"

namespace impnetd::bus {

namespace {

struct UdpOptions {
    std::uint16_t port = 0;
    Delivery delivery = Delivery::signal;
};

Result<UdpOptions> parse_udp_options(const Dict& options) {
    UdpOptions out;
    for (const auto& [key, value] : options) {
        if (key == "port") {
            const auto* number = std::get_if<std::int64_t>(&value.content);
            if (number == nullptr || (*number != 0 && *number < 1024) || *number > 65535)
                return fail(ErrorCode::invalid_argument, "port: not 0 or 1024 to 65535");
            out.port = static_cast<std::uint16_t>(*number);
        } else if (key == "delivery") {
            const auto* text = std::get_if<std::string>(&value.content);
            if (text == nullptr || (*text != "signal" && *text != "fd"))
                return fail(ErrorCode::invalid_argument, "delivery: not \"signal\" or \"fd\"");
            out.delivery = *text == "fd" ? Delivery::descriptor : Delivery::signal;
        } else {
            return fail(ErrorCode::invalid_argument, shortened(key) + ": unknown key");
        }
    }
    return out;
}

}  // namespace

SessionObject::SessionObject(sdbus::IConnection& connection, Sessions& sessions,
                             impnetd::Session& session, std::string path_name,
                             std::function<void()> on_close)
    : AdaptorInterfaces(connection, session_path(session.id())),
      connection_(connection),
      sessions_(sessions),
      session_(&session),
      path_name_(std::move(path_name)),
      on_close_(std::move(on_close)),
      interface_(interface_path(session.interface().nii())),
      nic_(to_bus(describe(session.nic()))),
      attention_(connection) {
    registerAdaptor();
    for (const auto& [id, socket] : session.sockets())
        if (socket->open() || socket->ended_untold()) publish(*socket);
}

SessionObject::~SessionObject() {
    unregisterAdaptor();
}

void SessionObject::resume(const std::string& owner) {
    session_->resume(owner, *this);
    for (const auto& [id, socket] : sockets_) socket->resumed();
}

void SessionObject::publish(SessionSocket& socket) {
    sockets_[socket.id()] =
        std::make_unique<UdpSocketObject>(connection_, socket, attention_, path_name_);
}

void SessionObject::end() {
    auto* session = std::exchange(session_, nullptr);
    if (session == nullptr) return;
    session->end();    // the sockets say so
    sockets_.clear();  // they refer to the session's
    sessions_.close(session->id());
}

Result<> SessionObject::require_owner() {
    if (session_ == nullptr) return fail(ErrorCode::unavailable, "the session is closed");
    if (getObject().getCurrentlyProcessedMessage()->getSender() != session_->owner())
        return fail(ErrorCode::not_owner, "the session belongs to another connection");
    return {};
}

void SessionObject::GetState(sdbus::Result<std::int32_t>&& result) {
    reply(result, [&] { return require_owner().map([&] { return number(session_->state()); }); });
}

void SessionObject::GetToken(sdbus::Result<std::string>&& result) {
    reply(result, [&] { return require_owner().map([&] { return session_->token(); }); });
}

void SessionObject::GetSockets(sdbus::Result<std::vector<sdbus::ObjectPath>>&& result) {
    reply(result, [&] {
        return require_owner().map([&] {
            std::vector<sdbus::ObjectPath> paths;
            for (const auto& [id, socket] : session_->sockets())
                if (socket->open()) paths.push_back(socket_path(id));
            return paths;
        });
    });
}

void SessionObject::GetIpTable(sdbus::Result<VariantMap>&& result) {
    reply(result, [&] {
        return require_owner().map(
            [&] { return to_bus(describe(session_->interface().ip_table())); });
    });
}

void SessionObject::OpenUdp(sdbus::Result<sdbus::ObjectPath>&& result, Arguments options) {
    reply(result, [&]() -> Result<sdbus::ObjectPath> {
        if (auto owner = require_owner(); !owner) return tl::unexpected<Error>(owner.error());
        const auto parsed = options.dict.and_then(parse_udp_options);
        if (!parsed) return tl::unexpected<Error>(parsed.error());
        const auto socket =
            session_->open_udp(sessions_.next_socket_id(), parsed->port, parsed->delivery);
        if (!socket) return tl::unexpected<Error>(socket.error());
        publish(**socket);
        return socket_path((*socket)->id());
    });
}

void SessionObject::Close(sdbus::Result<>&& result) {
    reply(result, [&]() -> Result<> {
        if (auto owner = require_owner(); !owner) return owner;
        end();
        on_close_();
        return {};
    });
}

std::int32_t SessionObject::State() {
    return number(session_ != nullptr ? session_->state() : impnetd::State::unknown);
}

void SessionObject::state_reported(const StateReport& report) {
    emit(getObject(), session_->owner(), INTERFACE_NAME, "StateChanged", number(report.state),
         number(report.previous), report.monotonic_usec, report.reason);
}

void SessionObject::socket_forgotten(std::uint64_t id) {
    sockets_.erase(id);
}

}  // namespace impnetd::bus
