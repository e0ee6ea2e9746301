// SPDX-License-Identifier: LGPL-2.1-or-later
#include "network/session.hpp"

#include <utility>

#include "log/log.hpp"

namespace impnetd {

// --- SessionSocket ------------------------------------------------------------------------------

Result<> SessionSocket::require_open() const {
    if (data_) return {};
    return fail(ErrorCode::socket_closed, "the socket is closed");
}

DataPath::Request SessionSocket::request(SocketPolicy policy) const {
    return {.slot = session_.interface().slot(),
            .id = record_.id,
            .port = record_.port,
            .delivery = record_.delivery,
            .client = session_.client(),
            .policy = std::move(policy)};
}

void SessionSocket::follow(const tl::expected<SocketPolicy, Decision>& verdict) {
    if (!data_) return;
    if (verdict) return data_->set_policy(*verdict);
    const auto reason = explain(verdict.error());
    log::warning("socket_revoked", {{"interface", session_.interface_.nii().text()},
                                    {"client_uid", std::to_string(session_.client().uid)},
                                    {"client_unit", session_.client().unit},
                                    {"rule", verdict.error().rule},
                                    {"reason", reason}});
    close(reason);
}

void SessionSocket::use(std::unique_ptr<DataSocket> data, Quota::Share share) {
    data_ = std::move(data);
    share_ = std::move(share);
}

std::uint16_t SessionSocket::local_port() const {
    return data_ ? data_->local_port() : 0;
}

void SessionSocket::acquire(OnAcquired on_acquired) {
    if (auto open = require_open(); !open) return on_acquired(tl::unexpected<Error>(open.error()));
    auto descriptor = data_->acquire();
    if (!descriptor) return on_acquired(std::move(descriptor));
    auto& store = session_.setting_.store;
    store.keep(kept_name(), data_->descriptors());  // those that it has already count once
    const auto shared = std::make_shared<UniqueFd>(std::move(*descriptor));
    store.settled(
        [shared, on_acquired = std::move(on_acquired), alive = std::weak_ptr(session_.alive_)] {
            if (!alive.expired()) on_acquired(std::move(*shared));
        });
}

Result<SendResult> SessionSocket::send(const std::string& to, std::uint16_t port,
                                       const std::vector<std::uint8_t>& data) {
    if (auto open = require_open(); !open) return tl::unexpected<Error>(open.error());
    if (const auto address = Ipv4::parse(to)) return data_->send(*address, port, data);

    // Dead at once; told of it after the caller has its answer.
    const std::string reason = "a datagram was sent to an address that is no dotted quad";
    log::warning("socket_revoked", {{"interface", session_.interface_.nii().text()},
                                    {"client_uid", std::to_string(session_.client().uid)},
                                    {"client_unit", session_.client().unit},
                                    {"reason", reason}});
    close("");
    ++last_counters_.denied;
    session_.setting_.loop.defer(
        [session = &session_, id = id(), reason, alive = std::weak_ptr(session_.alive_)] {
            if (alive.expired()) return;
            const auto found = session->sockets_.find(id);
            if (found != session->sockets_.end()) found->second->tell_end(reason);
        });
    return fail(ErrorCode::address_not_allowed, "address: not a dotted quad; the socket is closed");
}

SocketCounters SessionSocket::counters() const {
    return data_ ? data_->counters() : last_counters_;
}

void SessionSocket::close(const std::string& reason) {
    if (!data_) return;
    last_counters_ = data_->counters();
    session_.setting_.store.drop(kept_name());
    data_.reset();
    share_.give_back();
    if (!reason.empty()) tell_end(reason);
    session_.socket_was_closed(id());
}

void SessionSocket::tell_end(const std::string& reason) {
    if (observer_ != nullptr)
        observer_->socket_closed(reason);
    else
        untold_end_ = reason;
}

void SessionSocket::observe(Observer* observer) {
    observer_ = observer;
    if (observer != nullptr && ended_untold())
        observer->socket_closed(std::exchange(untold_end_, {}));
}

void SessionSocket::datagram_received(const Datagram& datagram) {
    if (observer_ != nullptr) observer_->datagram_received(datagram);
}

void SessionSocket::socket_closed(const std::string& reason) {
    // In a later turn: the data socket is on the stack, and `reason` may be its own.
    session_.setting_.loop.defer(
        [session = &session_, id = id(), reason, alive = std::weak_ptr(session_.alive_)] {
            if (alive.expired()) return;
            const auto found = session->sockets_.find(id);
            if (found != session->sockets_.end()) found->second->close(reason);
        });
}

// --- Session ------------------------------------------------------------------------------------

Session::Session(const Setting& setting, SessionRecord record, std::unique_ptr<KeptValue> kept,
                 Interface& interface, Quota::Share share)
    : setting_(setting),
      record_(std::move(record)),
      interface_(interface),
      share_(std::move(share)),
      kept_(std::move(kept)),
      grace_(setting.loop, [this] { setting_.on_abandoned(*this); }) {
    keep();
}

Session::~Session() {
    end();
}

void Session::end() {
    close_sockets("the session ended");
    grace_.stop();
    if (std::exchange(joined_, false)) interface_.leave(*this);
}

void Session::begin(const std::string& owner, Observer& observer) {
    owner_ = owner;
    observer_ = &observer;
    joined_ = true;
    interface_.join(*this, record_.nic);
}

void Session::restore() {
    joined_ = true;
    grace_.start(setting_.grace);
    for (const auto& record : std::exchange(record_.sockets, {})) restore(record);
    keep();
    interface_.rejoin(*this, record_.nic);
}

void Session::restore(const SocketRecord& record) {
    auto socket = std::make_unique<SessionSocket>(*this, record);
    const auto adopted = [&]() -> Result<> {
        auto share = setting_.sockets.take(client().uid);
        if (!share) return fail(ErrorCode::limit_exceeded, "more sockets than a user may have");
        auto descriptors = setting_.store.take(socket->kept_name());
        // One that is not allowed any more is taken over all the same, to be taken back from its
        // holder (`Sessions::restore`). Until then it sends nothing.
        const auto policy = judge(record.port).value_or(SocketPolicy{{DestinationRule{}}, {}});
        auto data =
            setting_.data_path.adopt(socket->request(policy), std::move(descriptors), *socket);
        if (!data) return tl::unexpected<Error>(data.error());
        socket->use(std::move(*data), std::move(*share));
        return {};
    }();
    if (adopted) {
        record_.sockets.push_back(record);
        sockets_[record.id] = std::move(socket);
        return;
    }
    setting_.store.drop(socket->kept_name());
    // It stays as a closed one, so that its client gets to know.
    socket->tell_end("lost when impnetd was restarted: " + adopted.error().message);
    sockets_[record.id] = std::move(socket);
    closed_.push_back(record.id);
    log::warning("socket_lost", {{"session", std::to_string(record_.id)},
                                 {"socket", std::to_string(record.id)},
                                 {"reason", adopted.error().message}});
}

void Session::orphan() {
    owner_.clear();
    observer_ = nullptr;
    if (!grace_.active()) grace_.start(setting_.grace);
}

void Session::resume(const std::string& owner, Observer& observer) {
    owner_ = owner;
    observer_ = &observer;
    grace_.stop();
    const auto untold = std::exchange(record_.untold, {});
    if (untold.empty())
        observer.state_reported(
            {record_.state, record_.state, monotonic_usec(), interface_.reason()});
    for (const auto& report : untold) observer.state_reported(report);
    if (!untold.empty()) record_.state = untold.back().state;
    keep();
}

Result<SessionSocket*> Session::open_udp(std::uint64_t id, std::uint16_t port, Delivery delivery) {
    if (interface_.nii().interface_class == InterfaceClass::cell)
        return fail(ErrorCode::not_supported, "a cellular interface has no UDP sockets");
    if (port != 0 && port < 1024)
        return fail(ErrorCode::invalid_argument, "port: not 0 or 1024 to 65535");
    auto policy = judge(port);
    if (!policy) {
        const auto& denial = policy.error();
        log::warning("socket_denied", {{"interface", interface_.nii().text()},
                                       {"port", std::to_string(port)},
                                       {"client_uid", std::to_string(client().uid)},
                                       {"client_pid", std::to_string(client().pid)},
                                       {"client_unit", client().unit},
                                       {"rule", denial.rule},
                                       {"reason", denial.reason}});
        return fail(ErrorCode::not_authorized, explain(denial));
    }
    if (!interface_.enabled())
        return fail(ErrorCode::unavailable, interface_.nii().text() + " is disabled");
    if (!interface_.link())
        return fail(ErrorCode::unavailable, interface_.nii().text() + ": its device is gone");
    auto share = setting_.sockets.take(record_.client.uid);
    if (!share)
        return fail(ErrorCode::limit_exceeded,
                    "a user may have " + std::to_string(setting_.sockets.limit()) + " sockets");

    auto socket = std::make_unique<SessionSocket>(*this, SocketRecord{id, port, delivery});
    auto data = setting_.data_path.open(socket->request(std::move(*policy)), *socket);
    if (!data) return tl::unexpected<Error>(data.error());
    socket->use(std::move(*data), std::move(*share));
    setting_.store.keep(socket->kept_name(), socket->data_->descriptors());
    record_.sockets.push_back(socket->record());
    keep();
    return (sockets_[id] = std::move(socket)).get();
}

tl::expected<SocketPolicy, Decision> Session::judge(std::uint16_t port) const {
    return setting_.policy.open_socket(client(), interface_.nii(), port);
}

void Session::follow_policy() {
    for (const auto& [id, socket] : sockets_) socket->follow(judge(socket->record().port));
}

void Session::revoke(const Decision& denial) {
    const auto reason = explain(denial);
    log::warning("session_revoked", {{"session", std::to_string(id())},
                                     {"interface", interface_.nii().text()},
                                     {"client_uid", std::to_string(client().uid)},
                                     {"client_pid", std::to_string(client().pid)},
                                     {"client_unit", client().unit},
                                     {"rule", denial.rule},
                                     {"reason", denial.reason}});
    close_sockets(reason);
    if (observer_ != nullptr)
        observer_->state_reported({State::unknown, state(), monotonic_usec(), reason});
    end();
}

State Session::last_reported() const {
    return record_.untold.empty() ? record_.state : record_.untold.back().state;
}

void Session::state_reported(const StateReport& report) {
    // The process before us may have reported it already.
    if (report.state == last_reported()) return;
    StateReport own = report;
    own.previous = last_reported();
    if (observer_ != nullptr) {
        record_.state = report.state;
        observer_->state_reported(own);
    } else {
        auto& untold = record_.untold;
        if (untold.size() == untold_reports_kept) untold.erase(untold.begin());
        untold.push_back(std::move(own));
    }
    keep();
}

void Session::unusable(const std::string& reason) {
    close_sockets(reason);
}

void Session::close_sockets(const std::string& reason) {
    for (auto it = sockets_.begin(); it != sockets_.end();) (it++)->second->close(reason);
}

void Session::socket_was_closed(std::uint64_t id) {
    std::erase_if(record_.sockets, [id](const SocketRecord& record) { return record.id == id; });
    keep();
    closed_.push_back(id);
    if (closed_.size() <= closed_sockets_kept) return;
    // Not now: the socket's own frames may be on the stack.
    setting_.loop.defer([this, alive = std::weak_ptr(alive_), oldest = closed_.front()] {
        if (alive.expired()) return;
        if (observer_ != nullptr) observer_->socket_forgotten(oldest);
        sockets_.erase(oldest);
    });
    closed_.pop_front();
}

void Session::keep() {
    kept_->keep(write_record(record_));
}

}  // namespace impnetd
