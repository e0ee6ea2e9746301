// SPDX-License-Identifier: LGPL-2.1-or-later
#include "session.hpp"

#include <exception>
#include <utility>

#include "kernel_channel.hpp"
#include "relay_channel.hpp"
#include "socket.hpp"

namespace impnet::detail {

namespace {

Result<std::unique_ptr<DataChannel>> make_channel(Bus::DataPath data_path) {
    if (data_path.path == "relay")
        return std::unique_ptr<DataChannel>(
            std::make_unique<RelayChannel>(std::move(data_path.fd), data_path.local_port));
    if (data_path.path == "kernel")
        return std::unique_ptr<DataChannel>(
            std::make_unique<KernelChannel>(std::move(data_path.fd), data_path.local_port));
    return Error(ErrorCode::not_supported,
                 "this library does not know the data path \"" + data_path.path + "\"");
}

}  // namespace

Session::Session(std::weak_ptr<Core> core, Remote remote, std::string nii, OnState on_state)
    : core_(std::move(core)),
      remote_(std::move(remote)),
      nii_(std::move(nii)),
      on_state_(std::move(on_state)) {}

/// The core, as long as the session is not over.
std::shared_ptr<Core> Session::usable_core() const {
    if (closed_ || ended_) return nullptr;
    auto core = core_.lock();
    return core && !core->is_shut() ? core : nullptr;
}

/// The core, as long as something can be asked of the session.
Result<std::shared_ptr<Core>> Session::core_with_daemon() const {
    auto core = usable_core();
    if (!core) return Error(ErrorCode::unavailable, "the interface is closed");
    if (away_) return Error(ErrorCode::no_daemon, "the daemon is away");
    return core;
}

bool Session::is_open() const {
    return usable_core() != nullptr;
}

Result<IpTable> Session::ip_table() {
    const auto asked = core_with_daemon();
    if (!asked) return asked.error();
    const auto& core = *asked;
    auto table = core->bus().ip_table(remote_);
    core->bus_used();
    return table;
}

Result<std::shared_ptr<Socket>> Session::open_udp(const UdpOptions& options,
                                                  OnDatagram on_datagram) {
    const auto asked = core_with_daemon();
    if (!asked) return asked.error();
    const auto& core = *asked;
    auto& bus = core->bus();
    const auto open = [&]() -> Result<std::shared_ptr<Socket>> {
        auto remote = bus.open_udp(remote_, options.port);
        if (!remote) return remote.error();
        auto data_path = bus.acquire(*remote);
        auto channel = data_path ? make_channel(std::move(*data_path)) : data_path.error();
        if (!channel) {
            bus.drop_socket(*remote);
            return channel.error();
        }
        auto socket = std::make_shared<Socket>(core_, std::move(*remote), std::move(*channel),
                                               options.raw, std::move(on_datagram));
        try {
            core->add_socket(socket);
        } catch (const std::exception& error) {
            socket->close(Wait::no);
            return Error(ErrorCode::failed, error.what());
        }
        std::erase_if(sockets_, [](const auto& weak) { return weak.expired(); });
        sockets_.push_back(socket);
        return socket;
    };
    auto socket = open();
    core->bus_used();
    return socket;
}

std::vector<std::shared_ptr<Socket>> Session::sockets() const {
    std::vector<std::shared_ptr<Socket>> out;
    for (const auto& weak : sockets_)
        if (auto socket = weak.lock()) out.push_back(std::move(socket));
    return out;
}

void Session::close(Wait wait) noexcept {
    const auto core = usable_core();
    if (!std::exchange(closed_, true)) {
        for (const auto& socket : sockets()) socket->close_here();
        if (const auto known = core_.lock()) known->forget_session(remote_);
    }
    if (!core || away_) return;  // away: the core has it closed when it comes back
    if (wait == Wait::no)
        core->bus().drop_session(remote_);
    else if (const auto done = core->bus().close_session(remote_);
             !done && done.error().code() == ErrorCode::no_daemon && !token_.empty())
        core->abandon(token_);
    core->bus_used();
}

void Session::part() {
    away_ = true;
    remote_.owner.clear();
    for (const auto& socket : sockets()) socket->part();
}

void Session::come_back(const Remote& remote) {
    away_ = false;
    remote_ = remote;
    for (const auto& socket : sockets()) socket->come_back(remote.owner);
}

void Session::tell(const StateChange& change) {
    if (closed_) return;
    if (const auto news = last_.take(change); news && on_state_) on_state_(*news);
}

void Session::tell_end(const std::string& reason) {
    if (closed_) return;
    const auto last = last_.note({.state = State::unknown,
                                  .previous = {},
                                  .time = std::chrono::steady_clock::now(),
                                  .reason = reason});
    if (on_state_) on_state_(last);
}

}  // namespace impnet::detail
