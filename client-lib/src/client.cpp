// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The public classes: handles, each around a shared pointer, and nothing more.
#include "impnet/client.hpp"

#include <string_view>
#include <utility>

#include "core.hpp"
#include "session.hpp"
#include "socket.hpp"

namespace impnet {

// --- Client --------------------------------------------------------------------------------------

Result<Client> Client::connect(const Options& options) {
    auto core = detail::Core::create(options);
    if (!core) return core.error();
    return Client(std::move(*core));
}

Client::Client(std::shared_ptr<detail::Core> core) noexcept : core_(std::move(core)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&& other) noexcept {
    if (this != &other) {
        if (core_) core_->shut();
        core_ = std::move(other.core_);
    }
    return *this;
}
Client::~Client() {
    if (core_) core_->shut();
}

Result<Interface> Client::open(const Nic& nic, OnState on_state) {
    auto session = core_->open(nic, std::move(on_state));
    if (!session) return session.error();
    return Interface(std::move(*session));
}

int Client::fd() const noexcept {
    return core_->fd();
}
Result<void> Client::dispatch() {
    return core_->dispatch();
}
Result<void> Client::run() {
    return core_->run();
}
void Client::stop() noexcept {
    core_->stop();
}

// --- Interface -----------------------------------------------------------------------------------

Interface::Interface() noexcept = default;
Interface::Interface(std::shared_ptr<detail::Session> session) noexcept
    : session_(std::move(session)) {}
Interface::Interface(Interface&&) noexcept = default;
Interface& Interface::operator=(Interface&& other) noexcept {
    if (this != &other) {
        const auto old = std::exchange(session_, std::move(other.session_));
        if (old) old->close(detail::Wait::no);
    }
    return *this;
}
Interface::~Interface() {
    if (session_) session_->close(detail::Wait::no);
}

bool Interface::is_open() const noexcept {
    return session_ && session_->is_open();
}
std::string Interface::nii() const {
    return session_ ? session_->nii() : std::string();
}
State Interface::state() const noexcept {
    return session_ ? session_->state() : State::unknown;
}

Result<IpTable> Interface::ip_table() const {
    if (!session_) return Error(ErrorCode::unavailable, "the interface is closed");
    return session_->ip_table();
}

Result<UdpSocket> Interface::open_udp(const UdpOptions& options, OnDatagram on_datagram) {
    if (!session_) return Error(ErrorCode::unavailable, "the interface is closed");
    auto socket = session_->open_udp(options, std::move(on_datagram));
    if (!socket) return socket.error();
    return UdpSocket(std::move(*socket));
}

void Interface::close() noexcept {
    if (session_) session_->close(detail::Wait::yes);
}

// --- UdpSocket -----------------------------------------------------------------------------------

UdpSocket::UdpSocket() noexcept = default;
UdpSocket::UdpSocket(std::shared_ptr<detail::Socket> socket) noexcept
    : socket_(std::move(socket)) {}
UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
UdpSocket& UdpSocket::operator=(UdpSocket&& other) noexcept {
    if (this != &other) {
        const auto old = std::exchange(socket_, std::move(other.socket_));
        if (old) old->close(detail::Wait::no);
    }
    return *this;
}
UdpSocket::~UdpSocket() {
    if (socket_) socket_->close(detail::Wait::no);
}

namespace {

Error closed_error() {
    return Error(ErrorCode::socket_closed, "the socket is closed");
}

}  // namespace

bool UdpSocket::is_open() const noexcept {
    return socket_ && socket_->is_open();
}

Result<SendResult> UdpSocket::send(Ipv4 to, std::uint16_t port, std::span<const std::byte> data) {
    if (!socket_) return closed_error();
    return socket_->send({.to = to, .port = port, .data = data});
}

Result<SendResult> UdpSocket::send(std::string_view to, std::uint16_t port,
                                   std::span<const std::byte> data) {
    if (!socket_) return closed_error();
    if (const auto address = Ipv4::parse(to)) return send(*address, port, data);
    return socket_->send_malformed(to, port, data);
}

std::vector<Result<SendResult>> UdpSocket::send_batch(std::span<const OutgoingDatagram> datagrams) {
    if (socket_) return socket_->send_batch(datagrams);
    std::vector<Result<SendResult>> closed(datagrams.size(), closed_error());
    return closed;
}

std::chrono::nanoseconds UdpSocket::retry_after() const noexcept {
    return socket_ ? socket_->retry_after() : std::chrono::nanoseconds::zero();
}
void UdpSocket::on_sendable(OnSendable callback) {
    if (socket_) socket_->on_sendable(std::move(callback));
}
std::uint16_t UdpSocket::local_port() const noexcept {
    return socket_ ? socket_->local_port() : 0;
}
void UdpSocket::on_datagram(OnDatagram callback) {
    if (socket_) socket_->on_datagram(std::move(callback));
}
void UdpSocket::on_closed(OnClosed callback) {
    if (socket_) socket_->on_closed(std::move(callback));
}
std::uint64_t UdpSocket::dropped() const noexcept {
    return socket_ ? socket_->dropped() : 0;
}
void UdpSocket::close() noexcept {
    if (socket_) socket_->close(detail::Wait::yes);
}
std::string_view UdpSocket::path() const noexcept {
    return socket_ ? socket_->path() : std::string_view();
}
int UdpSocket::fd() const noexcept {
    return socket_ ? socket_->fd() : -1;
}

}  // namespace impnet
