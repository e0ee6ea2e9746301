// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>

#include "handshake.hpp"

namespace impnet::detail {

namespace {

constexpr std::chrono::seconds limit{5};
/// Longer than a session waits: a daemon that grants it too late is heard, so that it can be
/// closed.
constexpr std::chrono::seconds resume_limit{60};
/// Messages in one `process()`: a flood must not keep the program from its other work.
constexpr int most_messages = 256;

constexpr const char* service = "org.impnet1";
constexpr const char* manager_path = "/org/impnet1";
constexpr const char* manager_interface = "org.impnet1.Manager";
constexpr const char* session_interface = "org.impnet1.Session";
constexpr const char* socket_interface = "org.impnet1.UdpSocket";
constexpr const char* bus_service = "org.freedesktop.DBus";
constexpr const char* bus_path = "/org/freedesktop/DBus";

using Table = std::map<std::string, sdbus::Variant>;

/// Runs what sdbus-c++ may throw from, and makes a value of it.
template <typename Call>
auto guarded(Call call) noexcept -> Result<decltype(call())> {
    try {
        if constexpr (std::is_void_v<decltype(call())>) {
            call();
            return {};
        } else {
            return call();
        }
    } catch (const sdbus::Error& error) {
        return Error(error.getName(), error.getMessage());
    } catch (const std::exception& error) {
        return Error(ErrorCode::failed, error.what());
    }
}

/// An address that is no dotted quad, as a string that may travel over D-Bus and is still none.
std::string printable(std::string_view text) {
    std::string out(text.substr(0, 64));
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    return out;
}

/// A call with arguments; the reply is the caller's to read.
template <typename... Arguments>
sdbus::MethodReply call(sdbus::IConnection& connection, const Remote& object,
                        const std::string& interface, const char* method,
                        const Arguments&... arguments) {
    const auto proxy = sdbus::createProxy(connection, object.owner, object.path);
    auto message = proxy->createMethodCall(interface, method);
    static_cast<void>((message << ... << arguments));
    return proxy->callMethod(message, limit);
}

void call_without_reply(sdbus::IConnection& connection, const Remote& object,
                        const std::string& interface, const char* method) {
    const auto proxy = sdbus::createProxy(connection, object.owner, object.path);
    auto message = proxy->createMethodCall(interface, method);
    message.dontExpectReply();
    static_cast<void>(proxy->callMethod(message));
}

sdbus::Variant secret(const Secret& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return sdbus::Variant(*text);
    const auto& blob = std::get<std::vector<std::byte>>(value);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(blob.data());
    return sdbus::Variant(std::vector<std::uint8_t>(bytes, bytes + blob.size()));
}

bool is_empty(const Secret& value) {
    return std::visit([](const auto& content) { return content.empty(); }, value);
}

/// The NIC as the daemon takes it. Optional fields that are empty are left out.
Table table_of(const Nic& nic) {
    const auto credentials = [](Table& table, const std::string& username, const Secret& password) {
        if (!username.empty()) table["username"] = sdbus::Variant(username);
        if (!is_empty(password)) table["password"] = secret(password);
    };
    Table out{{"interface", sdbus::Variant(nic.interface)}};
    if (const auto& part = nic.staticconfig)
        out["staticconfig"] = sdbus::Variant(Table{{"ip", sdbus::Variant(part->ip)},
                                                   {"netmask", sdbus::Variant(part->netmask)},
                                                   {"gateway", sdbus::Variant(part->gateway)},
                                                   {"dns", sdbus::Variant(part->dns)}});
    if (const auto& part = nic.proxyconfig) {
        Table table{{"type", sdbus::Variant(part->type)},
                    {"address", sdbus::Variant(part->address)},
                    {"port", sdbus::Variant(part->port)}};
        credentials(table, part->username, part->password);
        out["proxyconfig"] = sdbus::Variant(table);
    }
    if (const auto& part = nic.wificonfig)
        out["wificonfig"] =
            sdbus::Variant(Table{{"ssid", sdbus::Variant(part->ssid)}, {"key", secret(part->key)}});
    if (const auto& part = nic.cellconfig) {
        Table table{{"apn", sdbus::Variant(part->apn)}};
        credentials(table, part->username, part->password);
        out["cellconfig"] = sdbus::Variant(table);
    }
    return out;
}

Proxy proxy_of(const Table& table) {
    const auto text = [&](const char* key) {
        const auto entry = table.find(key);
        return entry == table.end() ? std::string() : entry->second.get<std::string>();
    };
    Proxy out{text("type"), text("address"), 0, text("user")};
    if (const auto port = table.find("port"); port != table.end())
        out.port = static_cast<std::uint16_t>(port->second.get<std::int64_t>());
    return out;
}

IpTable ip_table_of(const Table& reply) {
    IpTable out;
    const auto found = reply.find("ipv4");
    if (found == reply.end()) return out;
    const auto table = found->second.get<Table>();
    const auto address = [&](const char* key) -> std::optional<Ipv4> {
        const auto entry = table.find(key);
        if (entry == table.end()) return std::nullopt;
        return Ipv4::parse(entry->second.get<std::string>());
    };
    out.address = address("address");
    out.netmask = address("netmask");
    out.broadcast = address("broadcast");
    out.gateway = address("gateway");
    out.dhcpserver = address("dhcpserver");
    if (const auto servers = table.find("dnsserver"); servers != table.end())
        for (const auto& server : servers->second.get<std::vector<std::string>>())
            if (const auto parsed = Ipv4::parse(server)) out.dnsservers.push_back(*parsed);
    if (const auto entry = table.find("proxy"); entry != table.end())
        out.proxy = proxy_of(entry->second.get<Table>());
    return out;
}

std::unique_ptr<sdbus::IConnection> open_bus(const std::string& address) {
    if (address.empty()) return sdbus::createSystemBusConnection();
    return sdbus::createSessionBusConnectionWithAddress(address);
}

std::chrono::steady_clock::time_point time_of(std::uint64_t monotonic_usec) {
    return std::chrono::steady_clock::time_point(std::chrono::microseconds(monotonic_usec));
}

Remote source_of(const sdbus::Message& message) {
    return {message.getSender(), message.getPath()};
}

StateReported read_state(sdbus::Message& message) {
    std::int32_t state = 0;
    std::int32_t previous = 0;
    std::uint64_t usec = 0;
    StateReported out{source_of(message), {}};
    message >> state >> previous >> usec >> out.change.reason;
    out.change.state = static_cast<State>(state);
    out.change.previous = static_cast<State>(previous);
    out.change.time = time_of(usec);
    return out;
}

}  // namespace

/// sdbus-c++, and what libsystemd calls.
struct Bus::Connection {
    std::unique_ptr<sdbus::IConnection> bus;
    std::vector<Signal> arrived;
    std::vector<sdbus::Slot> matches;
    // The answer to a question comes as long as its proxy is there.
    std::map<std::uint64_t, std::unique_ptr<sdbus::IProxy>> asked;
    std::vector<std::uint64_t> answered;
    std::uint64_t questions = 0;
    std::optional<Watch> watch;

    /// Runs under libsystemd: whatever is wrong with a message, nothing may leave.
    template <typename Read>
    void listen(const std::string& rule, Read read) {
        matches.push_back(bus->addMatch(rule, [this, read](sdbus::Message& message) {
            try {
                read(message, arrived);
            } catch (const std::exception&) {
                // Not what the bus API says it is, so not from the daemon.
            }
        }));
    }

    void listen_to_daemon() {
        const auto from_daemon = [](const std::string& interface, const std::string& member) {
            return std::string("type='signal',sender='") + service + "',interface='" + interface +
                   "',member='" + member + "'";
        };
        listen(from_daemon(session_interface, "StateChanged"),
               [](sdbus::Message& message, std::vector<Signal>& out) {
                   out.emplace_back(read_state(message));
               });
        listen(from_daemon(socket_interface, "Closed"),
               [](sdbus::Message& message, std::vector<Signal>& out) {
                   SocketClosed closed{source_of(message), {}};
                   message >> closed.reason;
                   out.emplace_back(std::move(closed));
               });
        listen(std::string("type='signal',sender='") + bus_service + "',interface='" + bus_service +
                   "',member='NameOwnerChanged',arg0='" + service + "'",
               [](sdbus::Message& message, std::vector<Signal>& out) {
                   std::string name;
                   std::string before;
                   std::string after;
                   message >> name >> before >> after;
                   if (message.getSender() != bus_service || name != service) return;
                   if (!before.empty()) out.emplace_back(DaemonLeft{before});
                   if (!after.empty()) out.emplace_back(DaemonCame{after});
               });
    }

    /// Calls a method without waiting. `read` gets the reply, or null and the error, and what it
    /// makes of it is appended to what has arrived.
    template <typename Read, typename... Arguments>
    void ask(const Remote& object, const std::string& interface, const char* method,
             std::chrono::microseconds time, Read read, const Arguments&... arguments) {
        auto proxy = sdbus::createProxy(*bus, object.owner, object.path);
        auto message = proxy->createMethodCall(interface, method);
        static_cast<void>((message << ... << arguments));
        const auto number = questions++;
        proxy->callMethod(
            message,
            [this, number, read](sdbus::MethodReply& reply, const sdbus::Error* error) {
                answered.push_back(number);  // its proxy cannot go from inside here
                static_cast<void>(guarded([&] { read(reply, error, arrived); }));
            },
            time);
        asked.emplace(number, std::move(proxy));
    }
    void forget_answered() {
        for (const auto number : std::exchange(answered, {})) asked.erase(number);
    }

    void ask_for_daemon() {
        ask(
            {bus_service, bus_path}, bus_service, "GetNameOwner", limit,
            [](sdbus::MethodReply& reply, const sdbus::Error* error, std::vector<Signal>& out) {
                if (error != nullptr) return;  // it is not there, and tells when it comes
                DaemonCame came;
                reply >> came.owner;
                out.emplace_back(std::move(came));
            },
            std::string(service));
    }
};

Bus::Bus(std::string address, Poller& poller, Poller::Token token)
    : address_(std::move(address)), poller_(poller), token_(token) {}

Bus::~Bus() = default;

// --- The connection -----------------------------------------------------------------------------

Result<std::unique_ptr<Bus>> Bus::connect(const std::string& address, Poller& poller,
                                          Poller::Token token) {
    std::unique_ptr<Bus> bus(new Bus(address, poller, token));
    if (auto greeted = bus->greet(); !greeted) return greeted.error();
    if (auto established = bus->establish(); !established) return established.error();
    return bus;
}

/// Waits for the bus to show that it answers.
Result<void> Bus::greet() {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    const auto greeted = guarded([&] {
        Poller waiting;
        Handshake handshake(address_, waiting, 0);
        while (!handshake.proceed()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            if (left.count() <= 0) throw std::runtime_error("the bus does not answer");
            pollfd readable{.fd = waiting.fd(), .events = POLLIN, .revents = 0};
            ::poll(&readable, 1, static_cast<int>(left.count()));
        }
    });
    if (!greeted) return Error("org.freedesktop.DBus.Error.NoServer", greeted.error().message());
    return {};
}

/// The real connection, with everything that has to be there once a connection.
Result<void> Bus::establish() {
    auto connection = std::make_unique<Connection>();
    const auto opened = guarded([&] {
        connection->bus = open_bus(address_);
        connection->bus->setMethodCallTimeout(limit);
        connection->watch.emplace(poller_, connection->bus->getEventLoopPollData().fd, token_);
        connection->listen_to_daemon();
        connection->ask_for_daemon();
    });
    if (!opened) return Error("org.freedesktop.DBus.Error.NoServer", opened.error().message());
    connection_ = std::move(connection);
    pause_.reset();
    return {};
}

/// To speak through; throws if it is lost.
sdbus::IConnection& Bus::line() {
    if (connection_ == nullptr)
        throw sdbus::Error("org.freedesktop.DBus.Error.Disconnected", "the bus connection is lost");
    return *connection_->bus;
}

std::uint64_t Bus::watch() {
    if (connection_ == nullptr) return next_step_;
    const auto asked = guarded([&] { return connection_->bus->getEventLoopPollData(); });
    // libsystemd tells nothing about a connection that is lost; `process()` finds it out.
    if (!asked) return 0;
    connection_->watch->set(static_cast<std::uint32_t>(asked->events));
    return asked->timeout_usec;
}

void Bus::process(std::vector<Signal>& signals) {
    if (connection_ == nullptr) {
        reconnect(signals);
        return;
    }
    const auto done = guarded([&] {
        for (int i = 0; i < most_messages && connection_->bus->processPendingRequest(); ++i)
            continue;
    });
    std::move(connection_->arrived.begin(), connection_->arrived.end(),
              std::back_inserter(signals));
    connection_->arrived.clear();
    connection_->forget_answered();
    if (!done) lose(signals);
}

void Bus::lose(std::vector<Signal>& signals) {
    connection_.reset();
    next_step_ = monotonic_usec() + pause_.next();
    signals.emplace_back(BusLost{});
}

/// One step towards a new connection, if one is due.
void Bus::reconnect(std::vector<Signal>& signals) {
    const auto now = monotonic_usec();
    const auto greeted = guarded([&] {
        if (handshake_ == nullptr) {
            if (now < next_step_) return false;
            handshake_ = std::make_unique<Handshake>(address_, poller_, token_);
            next_step_ = now + std::chrono::microseconds(limit).count();
        }
        return handshake_->proceed();
    });
    if (greeted && !*greeted && (handshake_ == nullptr || now < next_step_)) return;
    handshake_.reset();
    if (greeted && *greeted && establish())
        signals.emplace_back(BusBack{});
    else
        next_step_ = now + pause_.next();
}

// --- Calls --------------------------------------------------------------------------------------

Result<Remote> Bus::open(const Nic& nic) {
    return guarded([&] {
        auto reply =
            call(line(), {service, manager_path}, manager_interface, "Open", table_of(nic));
        sdbus::ObjectPath path;
        reply >> path;
        return Remote{reply.getSender(), path};
    });
}

Result<std::string> Bus::nii(const Remote& session) {
    return guarded([&] {
        auto reply = call(line(), session, "org.freedesktop.DBus.Properties", "Get",
                          session_interface, "Interface");
        sdbus::Variant value;
        reply >> value;
        const std::string path = value.get<sdbus::ObjectPath>();
        return path.substr(path.rfind('/') + 1);
    });
}

Result<IpTable> Bus::ip_table(const Remote& session) {
    return guarded([&] {
        auto reply = call(line(), session, session_interface, "GetIpTable");
        Table table;
        reply >> table;
        return ip_table_of(table);
    });
}

Result<Remote> Bus::open_udp(const Remote& session, std::uint16_t port) {
    return guarded([&] {
        const Table options{{"port", sdbus::Variant(port)},
                            {"delivery", sdbus::Variant(std::string("fd"))}};
        auto reply = call(line(), session, session_interface, "OpenUdp", options);
        sdbus::ObjectPath path;
        reply >> path;
        return Remote{session.owner, path};
    });
}

Result<Bus::DataPath> Bus::acquire(const Remote& socket) {
    return guarded([&] {
        auto reply = call(line(), socket, socket_interface, "Acquire");
        sdbus::UnixFd fd;
        Table info;
        reply >> fd >> info;
        // What sdbus-c++ holds would be inherited by child processes.
        DataPath out{Descriptor(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)), {}, 0};
        if (!out.fd) throw sdbus::createError(errno, "Failed to duplicate the data path");
        out.path = info.at("path").get<std::string>();
        out.local_port = info.at("local_port").get<std::uint16_t>();
        return out;
    });
}

Result<SendResult> Bus::send(const Remote& socket, std::string_view address, std::uint16_t port,
                             std::span<const std::byte> data) {
    return guarded([&] {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.data());
        auto reply = call(line(), socket, socket_interface, "Send", printable(address), port,
                          std::vector<std::uint8_t>(bytes, bytes + data.size()));
        std::int32_t result = 0;
        reply >> result;
        return static_cast<SendResult>(result);
    });
}

void Bus::ask_token(const Remote& session) noexcept {
    static_cast<void>(guarded([&] {
        line();
        connection_->ask(session, session_interface, "GetToken", limit,
                         [session](sdbus::MethodReply& reply, const sdbus::Error* error,
                                   std::vector<Signal>& out) {
                             if (error != nullptr) return;  // it cannot be resumed, then
                             TokenTold told{session, {}};
                             reply >> told.token;
                             out.emplace_back(std::move(told));
                         });
    }));
}

void Bus::ask_sockets(const Remote& session) noexcept {
    static_cast<void>(guarded([&] {
        line();
        connection_->ask(session, session_interface, "GetSockets", limit,
                         [session](sdbus::MethodReply& reply, const sdbus::Error* error,
                                   std::vector<Signal>& out) {
                             if (error != nullptr) return;  // it has left again, or is ill
                             std::vector<sdbus::ObjectPath> paths;
                             reply >> paths;
                             out.emplace_back(SocketsTold{session, {paths.begin(), paths.end()}});
                         });
    }));
}

void Bus::ask_resume(const std::string& daemon, const std::string& token,
                     std::uint64_t ticket) noexcept {
    static_cast<void>(guarded([&] {
        line();
        connection_->ask(
            {daemon, manager_path}, manager_interface, "Resume", resume_limit,
            [ticket](sdbus::MethodReply& reply, const sdbus::Error* error,
                     std::vector<Signal>& out) {
                if (error != nullptr) {
                    out.emplace_back(Resumed{ticket, Error(error->getName(), error->getMessage())});
                    return;
                }
                sdbus::ObjectPath path;
                reply >> path;
                out.emplace_back(Resumed{ticket, Remote{reply.getSender(), path}});
            },
            token);
    }));
}

Result<void> Bus::close_session(const Remote& session) noexcept {
    return guarded([&] { static_cast<void>(call(line(), session, session_interface, "Close")); });
}

// An error of the others means that there is nothing left to close.

void Bus::close_socket(const Remote& socket) noexcept {
    static_cast<void>(
        guarded([&] { static_cast<void>(call(line(), socket, socket_interface, "Close")); }));
}

void Bus::drop_session(const Remote& session) noexcept {
    static_cast<void>(
        guarded([&] { call_without_reply(line(), session, session_interface, "Close"); }));
}

void Bus::drop_socket(const Remote& socket) noexcept {
    static_cast<void>(
        guarded([&] { call_without_reply(line(), socket, socket_interface, "Close"); }));
}

}  // namespace impnet::detail
