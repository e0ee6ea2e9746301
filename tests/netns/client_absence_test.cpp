// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What libimpnet-client does when its daemon or the bus goes and comes back, step by step. Here the
// test plays the daemon, on a real bus, so that it can be as slow, forgetful and short-lived as it
// takes; with impnetd itself there are the tests of restarts.
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/bus.hpp"
#include "lab/fd.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "relay.h"

using namespace std::chrono_literals;
using impnet::State;
using lab::Steps;

namespace {

constexpr auto soon = 5s;
constexpr const char* session_path = "/org/impnet1/session/1";

using Words = std::vector<std::string>;

/// What outlives a daemon: the sockets, and what the test remembers of all of them.
class Kept {
  public:
    void note(const std::string& what) {
        const std::lock_guard lock(mutex_);
        heard_.push_back(what);
        ::eventfd_write(news_.get(), 1);
    }
    /// Readable when something was noted, until it is taken.
    int news() const { return news_.get(); }
    void take_news() {
        eventfd_t count = 0;
        ::eventfd_read(news_.get(), &count);
    }
    bool heard(const std::string& what) const { return count(what) > 0; }
    long count(const std::string& what) const {
        const std::lock_guard lock(mutex_);
        return std::count(heard_.begin(), heard_.end(), what);
    }
    /// The client's end of a new pair; ours is kept.
    lab::Fd make_pair(const std::string& path) {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
        const std::lock_guard lock(mutex_);
        pairs_[path] = lab::Fd(ends[0]);
        return lab::Fd(ends[1]);
    }
    std::vector<sdbus::ObjectPath> sockets() const {
        const std::lock_guard lock(mutex_);
        std::vector<sdbus::ObjectPath> out;
        for (const auto& [path, end] : pairs_) out.emplace_back(path);
        return out;
    }
    int end(const std::string& path) const {
        const std::lock_guard lock(mutex_);
        return pairs_.at(path).get();
    }
    /// The daemon does not know this one any more; the pair stays.
    void forget(const std::string& path) {
        const std::lock_guard lock(mutex_);
        forgotten_.push_back(std::move(pairs_.at(path)));
        pairs_.erase(path);
    }
    std::string next_socket() { return "/org/impnet1/socket/" + std::to_string(++sockets_made_); }

  private:
    lab::Fd news_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    mutable std::mutex mutex_;
    Words heard_;
    std::map<std::string, lab::Fd> pairs_;
    std::vector<lab::Fd> forgotten_;
    int sockets_made_ = 0;
};

struct Report {
    int state;
    int previous;
    std::uint64_t usec;
};

/// One life of a daemon. It ends as by SIGKILL: with its connection.
class Daemon {
  public:
    using ResumeResult = sdbus::Result<sdbus::ObjectPath>;
    struct Script {
        /// Answers the n-th `Resume` of this life; without: it is granted.
        std::function<void(int n, ResumeResult result)> on_resume = {};
        bool keeps_silent = false;  ///< does not answer `Resume` until told to
        std::vector<Report> after_resume = {{1, 1, 9}};
        bool tells_token = true;
    };

    Daemon(const lab::Bus& bus, Kept& kept, Script script)
        : kept_(kept),
          script_(std::move(script)),
          connection_(sdbus::createSessionBusConnectionWithAddress(bus.address())),
          manager_(sdbus::createObject(*connection_, "/org/impnet1")),
          session_(sdbus::createObject(*connection_, session_path)) {
        manager_->registerMethod("Open")
            .onInterface("org.impnet1.Manager")
            .implementedAs(
                [this](sdbus::Result<sdbus::ObjectPath>&& result, const lab::Dictionary&) {
                    client_ = manager_->getCurrentlyProcessedMessage()->getSender();
                    kept_.note("Open");
                    result.returnResults(sdbus::ObjectPath(session_path));
                });
        manager_->registerMethod("Resume")
            .onInterface("org.impnet1.Manager")
            .implementedAs(
                [this](ResumeResult&& result, const std::string& token) { resume(result, token); });
        manager_->finishRegistration();
        const auto session = [this](const char* method, auto handler) {
            session_->registerMethod(method)
                .onInterface("org.impnet1.Session")
                .implementedAs(std::move(handler));
        };
        session("GetToken", [this](sdbus::Result<std::string>&& result) {
            kept_.note("GetToken");
            if (script_.tells_token)
                result.returnResults(std::string("token-1"));
            else
                unanswered_.push_back(std::move(result));
        });
        session("GetSockets", [this] { return kept_.sockets(); });
        session("Close", [this] { kept_.note("Close"); });
        session("OpenUdp", [this](const lab::Dictionary&) {
            const auto path = kept_.next_socket();
            add_socket(path);
            return sdbus::ObjectPath(path);
        });
        session_->finishRegistration();
        for (const auto& path : kept_.sockets()) add_socket(path);
        connection_->requestName("org.impnet1");
        loop_ = std::jthread([this] {
            try {
                connection_->enterEventLoop();
            } catch (const sdbus::Error&) {
                // The bus has gone.
            }
        });
    }

    ~Daemon() {
        connection_->leaveEventLoop();
        loop_.join();
    }
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// Grants what it kept silent about.
    void speak() {
        for (auto& result : kept_waiting_) result.returnResults(sdbus::ObjectPath(session_path));
    }
    void report(const Report& report) {
        auto signal = session_->createSignal("org.impnet1.Session", "StateChanged");
        signal << std::int32_t{report.state} << std::int32_t{report.previous} << report.usec
               << std::string("because");
        signal.setDestination(client_);
        session_->emitSignal(signal);
    }

  private:
    void resume(ResumeResult& result, const std::string& token) {
        client_ = manager_->getCurrentlyProcessedMessage()->getSender();
        if (script_.keeps_silent) {
            kept_waiting_.push_back(std::move(result));
            kept_.note("Resume " + token);
            return;
        }
        kept_.note("Resume " + token);
        if (script_.on_resume) {
            script_.on_resume(++resumes_, std::move(result));
            return;
        }
        result.returnResults(sdbus::ObjectPath(session_path));
        for (const auto& step : script_.after_resume) report(step);
    }

    void add_socket(const std::string& path) {
        auto object = sdbus::createObject(*connection_, path);
        object->registerMethod("Acquire")
            .onInterface("org.impnet1.UdpSocket")
            .withOutputParamNames("fd", "info")
            .implementedAs([this, path]() -> std::tuple<sdbus::UnixFd, lab::Dictionary> {
                const auto end = kept_.make_pair(path);
                return {sdbus::UnixFd(end.get()),
                        {{"path", sdbus::Variant(std::string("relay"))},
                         {"local_port", sdbus::Variant(std::uint16_t{2001})}}};
            });
        object->registerMethod("Close")
            .onInterface("org.impnet1.UdpSocket")
            .implementedAs([this, path] { kept_.note("Close " + path); });
        object->finishRegistration();
        sockets_.push_back(std::move(object));
    }

    Kept& kept_;
    Script script_;
    std::string client_;
    int resumes_ = 0;
    std::unique_ptr<sdbus::IConnection> connection_;
    std::unique_ptr<sdbus::IObject> manager_;
    std::unique_ptr<sdbus::IObject> session_;
    std::vector<std::unique_ptr<sdbus::IObject>> sockets_;
    std::vector<sdbus::Result<std::string>> unanswered_;
    std::vector<ResumeResult> kept_waiting_;
    std::jthread loop_;
};

/// A program with a session and a socket, told that it is connected, and its daemon.
struct Absence {
    lab::Bus bus;
    Kept kept;
    std::optional<Daemon> daemon;
    Words log;
    impnet::Client client;
    lab::Diary diary;
    impnet::Interface eth0;
    impnet::UdpSocket socket;
    Words closed;

    explicit Absence(std::chrono::milliseconds patience = 30s, Daemon::Script script = {})
        : daemon(std::in_place, bus, kept, std::move(script)),
          client(*impnet::Client::connect({.bus_address = bus.address(),
                                           .patience = patience,
                                           .log = [this](auto line) { log.emplace_back(line); }})),
          eth0(*client.open("eth0", diary.callback())),
          socket(*eth0.open_udp(2001)) {
        socket.on_closed([this](const std::string& reason) { closed.push_back(reason); });
        daemon->report({0, -1, 1});
        daemon->report({1, 0, 2});
        if (!until([this] { return diary.is(State::connected); }))
            throw std::runtime_error("not connected");
        diary.clear();
    }

    void daemon_ends() {
        daemon.reset();
        if (!until([this] { return said("waiting for it to return"); }))
            throw std::runtime_error("the library has not noticed");
    }
    void daemon_returns(Daemon::Script script = {}) {
        daemon.emplace(bus, kept, std::move(script));
    }

    void turn() {
        kept.take_news();
        const auto done = client.dispatch();
        if (!done) throw std::runtime_error(lab::Program::text(done.error()));
    }
    bool until(const std::function<bool()>& predicate) {
        return lab::eventually(lab::Deadline(10s), {client.fd(), kept.news()}, predicate,
                               [this] { turn(); });
    }
    /// Turns the loop for so long: to show that something does not happen.
    void idle(lab::Milliseconds time) {
        lab::eventually(
            lab::Deadline(time), {client.fd()}, [] { return false; }, [this] { turn(); });
    }
    bool said(const std::string& words) const {
        return std::any_of(log.begin(), log.end(), [&](const std::string& line) {
            return line.find(words) != std::string::npos;
        });
    }
    bool goes_on() const { return said("goes on"); }
    /// It is there, and may be spoken to.
    void check_works() {
        CHECK(eth0.is_open());
        CHECK(eth0.open_udp(2002));
        CHECK(diary.steps().empty());
        daemon->report({204, 1, 100});
        CHECK(until([this] { return !diary.steps().empty(); }));
        CHECK(diary.steps() == Steps{{1, 204}});
        CHECK(closed.empty());
    }
};

Words last(const Words& words, std::size_t count) {
    return {words.end() - static_cast<std::ptrdiff_t>(std::min(count, words.size())), words.end()};
}

}  // namespace

TEST_CASE("a session goes on with the next daemon, and nothing is told but what was missed",
          "[absence]") {
    Absence absence;
    absence.daemon_ends();
    CHECK(absence.eth0.is_open());
    CHECK(absence.socket.is_open());
    CHECK(absence.eth0.state() == State::connected);
    SECTION("nothing was missed") {
        absence.daemon_returns();
        REQUIRE(absence.until([&] { return absence.goes_on(); }));
        absence.idle(50ms);
        CHECK(absence.log == Words{"eth0: the daemon has gone; waiting for it to return",
                                   "the daemon is back", "eth0: the session goes on"});
        absence.check_works();
    }
    SECTION("steps were missed, and some that were told are told again") {
        absence.daemon_returns(
            {.after_resume = {{0, -1, 1}, {1, 0, 2}, {204, 1, 3}, {0, 204, 4}, {200, 0, 4}}});
        REQUIRE(absence.until([&] { return absence.diary.entries().size() == 3; }));
        absence.idle(50ms);
        CHECK(absence.diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}});
    }
    SECTION("the present state is another one than it was told") {
        absence.daemon_returns({.after_resume = {{201, 201, 1}}});
        REQUIRE(absence.until([&] { return !absence.diary.entries().empty(); }));
        absence.idle(50ms);
        CHECK(absence.diary.steps() == Steps{{1, 201}});
    }
}

TEST_CASE("a session comes back twenty times in a row", "[absence]") {
    Absence absence;
    for (int i = 0; i < 20; ++i) {
        absence.log.clear();
        absence.daemon_ends();
        absence.daemon_returns();
        REQUIRE(absence.until([&] { return absence.goes_on(); }));
    }
    absence.check_works();
}

TEST_CASE("a daemon that does not give the session back yet is asked again", "[absence]") {
    Absence absence;
    absence.daemon_ends();
    const auto* error = GENERATE("org.impnet1.Error.Busy", "org.impnet1.Error.LimitExceeded");
    absence.daemon_returns({.on_resume = [&](int n, Daemon::ResumeResult result) {
        if (n < 5)
            result.returnError(sdbus::Error(error, "not yet"));
        else
            result.returnResults(sdbus::ObjectPath(session_path));
    }});
    REQUIRE(absence.until([&] { return absence.goes_on(); }));
    CHECK(absence.kept.count("Resume token-1") == 5);
    absence.check_works();
}

TEST_CASE("a daemon that ends before it answers is followed by the next one", "[absence]") {
    Absence absence;
    absence.daemon_ends();
    absence.daemon_returns({.keeps_silent = true});
    REQUIRE(absence.until([&] { return absence.kept.heard("Resume token-1"); }));
    absence.daemon.reset();
    absence.idle(50ms);
    CHECK(absence.eth0.is_open());
    absence.daemon_returns();
    REQUIRE(absence.until([&] { return absence.goes_on(); }));
    absence.check_works();
}

TEST_CASE("a session that the next daemon does not have is over, and says why", "[absence]") {
    Absence absence;
    absence.daemon_ends();
    const auto* error = GENERATE("org.impnet1.Error.Unavailable", "org.impnet1.Error.NotAuthorized",
                                 "org.freedesktop.DBus.Error.UnknownMethod");
    absence.daemon_returns({.on_resume = [&](int, Daemon::ResumeResult result) {
        result.returnError(sdbus::Error(error, "it is not here"));
    }});
    REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
    const std::string reason = "the daemon has gone, and the session with it: it is not here";
    CHECK(absence.diary.steps() == Steps{{1, -1}});
    CHECK(absence.diary.last().change.reason == reason);
    CHECK(absence.closed == Words{reason});
    CHECK_FALSE(absence.eth0.is_open());
    CHECK_FALSE(absence.socket.is_open());
    CHECK(lab::outcome(absence.eth0.ip_table()) == "Unavailable");
    absence.eth0.close();
    CHECK(absence.client.open("eth0", {}));
    absence.idle(50ms);
    CHECK(absence.diary.entries().size() == 1);
}

TEST_CASE("a session waits no longer than the program's patience", "[absence]") {
    Absence absence(300ms);
    const auto lost = lab::monotonic_usec();
    absence.daemon_ends();
    SECTION("and nobody comes") {}
    SECTION("and a daemon comes that keeps silent, or speaks too late") {
        absence.daemon_returns({.keeps_silent = true});
        REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
        absence.daemon->speak();
        CHECK(absence.until([&] { return absence.kept.heard("Close"); }));
    }
    REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
    CHECK(lab::monotonic_usec() - lost >= 300'000);
    CHECK(lab::monotonic_usec() - lost < 2'000'000);
    CHECK(absence.diary.steps() == Steps{{1, -1}});
    CHECK(absence.closed == Words{"the daemon has gone and did not return"});
    absence.daemon_returns();
    CHECK(absence.client.open("eth0", {}));
    absence.idle(50ms);
    CHECK(absence.diary.entries().size() == 1);
}

TEST_CASE("without patience the end is told at once", "[absence]") {
    Absence absence(0ms);
    absence.daemon.reset();
    REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
    CHECK(absence.closed == Words{"the daemon has gone"});
    CHECK(absence.log.empty());
}

TEST_CASE("a session without a token is lost with its daemon", "[absence]") {
    Absence absence(30s, {.tells_token = false});
    REQUIRE(absence.until([&] { return absence.kept.heard("GetToken"); }));
    absence.daemon.reset();
    REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
    CHECK(absence.diary.steps() == Steps{{1, -1}});
}

TEST_CASE("while the daemon is away calls say so at once, and closing needs none", "[absence]") {
    Absence absence;
    auto other = *absence.eth0.open_udp(2002);
    absence.daemon_ends();
    const auto asked = lab::monotonic_usec();
    CHECK(lab::outcome(absence.eth0.ip_table()) == "NoReply");
    CHECK(absence.eth0.ip_table().error().code() == impnet::ErrorCode::no_daemon);
    CHECK(absence.eth0.open_udp(2003).error().code() == impnet::ErrorCode::no_daemon);
    CHECK(absence.client.open("eth0", {}).error().code() == impnet::ErrorCode::no_daemon);
    CHECK(absence.socket.send("no.dotted.quad", 1, "x").error().code() ==
          impnet::ErrorCode::no_daemon);
    SECTION("a socket") {
        other.close();
        CHECK(other.fd() == -1);
        absence.daemon_returns();
        CHECK(absence.until([&] { return absence.kept.heard("Close /org/impnet1/socket/2"); }));
        CHECK_FALSE(absence.kept.heard("Close"));
        CHECK_FALSE(absence.kept.heard("Close /org/impnet1/socket/1"));
        absence.check_works();
    }
    SECTION("an interface, which the next daemon is to close") {
        const bool destroyed = GENERATE(false, true);
        if (destroyed)
            absence.eth0 = impnet::Interface();
        else
            absence.eth0.close();
        CHECK_FALSE(absence.eth0.is_open());
        CHECK_FALSE(absence.socket.is_open());
        absence.daemon_returns();
        CHECK(absence.until([&] { return absence.kept.heard("Close"); }));
        absence.idle(50ms);
        CHECK_FALSE(absence.goes_on());
        CHECK(absence.diary.entries().empty());
        CHECK(absence.closed.empty());
    }
    CHECK(lab::monotonic_usec() - asked < 2'000'000);
}

TEST_CASE("a socket that was closed while the daemon was away is told", "[absence]") {
    Absence absence;
    auto other = *absence.eth0.open_udp(2002);
    Words other_closed;
    other.on_closed([&](const std::string& reason) { other_closed.push_back(reason); });
    absence.daemon_ends();
    absence.kept.forget("/org/impnet1/socket/2");
    absence.daemon_returns();
    REQUIRE(absence.until([&] { return !other_closed.empty(); }));
    absence.idle(50ms);
    CHECK(other_closed == Words{"closed while the daemon was away"});
    CHECK_FALSE(other.is_open());
    absence.check_works();
}

TEST_CASE("a send waits for the next daemon", "[absence]") {
    Absence absence;
    absence.daemon_ends();
    const int end = absence.kept.end("/org/impnet1/socket/1");
    impnet_relay_header verdict{};
    verdict.version = IMPNET_RELAY_VERSION;
    verdict.kind = IMPNET_RELAY_VERDICT;
    std::jthread next([&] {
        // It wrote, and nobody was there.
        if (lab::wait_readable({end}, lab::Deadline(soon)).empty()) return;
        std::array<std::uint8_t, sizeof verdict + 1> message{};
        std::memcpy(message.data(), &verdict, sizeof verdict);
        static_cast<void>(::send(end, message.data(), message.size(), MSG_NOSIGNAL));
    });
    CHECK(lab::outcome(absence.socket.send("10.0.0.9", 3000, "x")) == "0");
}

TEST_CASE("the bus goes and comes back, and the program is told nothing", "[absence]") {
    Absence absence;
    absence.bus.stop();
    REQUIRE(absence.until([&] { return absence.said("making a new one"); }));
    absence.daemon.reset();
    CHECK(absence.eth0.is_open());
    CHECK(absence.socket.is_open());
    CHECK(absence.client.open("eth0", {}).error().code() == impnet::ErrorCode::no_daemon);
    const bool daemon_first = GENERATE(true, false);
    absence.idle(300ms);  // it looks for the bus, in vain
    absence.bus.start();
    if (!daemon_first)
        REQUIRE(absence.until([&] { return absence.said("connected to the bus again"); }));
    absence.daemon_returns();
    REQUIRE(absence.until([&] { return absence.goes_on(); }));
    CHECK(last(absence.log, 3) ==
          Words{"connected to the bus again", "the daemon is back", "eth0: the session goes on"});
    absence.check_works();
}

TEST_CASE("without a bus for too long the sessions are over, and the client works again with it",
          "[absence]") {
    Absence absence(300ms);
    absence.bus.stop();
    absence.daemon.reset();
    REQUIRE(absence.until([&] { return !absence.closed.empty(); }));
    CHECK(absence.closed == Words{"the bus connection was lost and did not return"});
    CHECK(absence.diary.steps() == Steps{{1, -1}});
    absence.bus.start();
    absence.daemon_returns();
    REQUIRE(absence.until([&] { return absence.said("connected to the bus again"); }));
    lab::Diary diary;
    auto again = absence.client.open("eth0", diary.callback());
    REQUIRE(again);
    absence.daemon->report({0, -1, 1});
    CHECK(absence.until([&] { return diary.is(State::starting); }));
}

TEST_CASE("a bus that accepts and keeps silent does not keep the program", "[absence]") {
    Absence absence;
    absence.bus.stop();
    absence.daemon.reset();
    const std::string path = absence.bus.address().substr(std::strlen("unix:path="));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
    std::optional<lab::Fd> mute(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ::unlink(path.c_str());
    REQUIRE(::bind(mute->get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(mute->get(), 10) == 0);

    std::uint64_t longest = 0;
    const auto turn = [&] {
        const auto begin = lab::monotonic_usec();
        absence.turn();
        longest = std::max(longest, lab::monotonic_usec() - begin);
    };
    lab::eventually(
        lab::Deadline(1s), {absence.client.fd()}, [] { return false; }, turn);
    CHECK(absence.client.open("eth0", {}).error().code() == impnet::ErrorCode::no_daemon);
    CHECK(longest < 200'000);
    // The first time a program asks for it, it is told after 5 s.
    const auto begin = lab::monotonic_usec();
    const auto connected = impnet::Client::connect({absence.bus.address()});
    REQUIRE_FALSE(connected);
    CHECK(connected.error().code() == impnet::ErrorCode::no_daemon);
    CHECK(lab::monotonic_usec() - begin > 4'900'000);
    CHECK(lab::monotonic_usec() - begin < 6'000'000);

    mute.reset();
    absence.bus.start();
    absence.daemon_returns();
    REQUIRE(absence.until([&] { return absence.goes_on(); }));
    absence.check_works();
}
