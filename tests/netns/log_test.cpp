// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The log as it arrives: in a real journal, from the daemon that was built.
#include "log/log.hpp"

#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "lab/journal.hpp"
#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"

using namespace std::chrono_literals;
using Catch::Contains;
using impnet::State;
using Fields = std::map<std::string, std::string>;
namespace daemon_log = impnetd::log;

namespace {

constexpr auto soon = 5s;

// Whom the policy keeps out. The bus takes only users that the host knows: Debian's "nobody" and
// "daemon".
constexpr uid_t stranger = 65534;
constexpr uid_t another_stranger = 1;

std::string id_match(daemon_log::Event event) {
    return "MESSAGE_ID=" + std::string(event.id());
}

/// Without those that journald adds to every entry.
Fields own_fields(const lab::Journal::Entry& entry) {
    Fields own = entry.fields;
    std::erase_if(own, [](const auto& field) { return field.first.starts_with('_'); });
    return own;
}

/// A connection of another user's.
std::unique_ptr<lab::RawClient> client_of(uid_t user, const lab::Bus& bus) {
    const struct As {
        explicit As(uid_t user) { lab::checked(::seteuid(user), "seteuid"); }
        ~As() { (void)!::seteuid(0); }
    } as(user);
    return std::make_unique<lab::RawClient>(bus);
}

/// A LAN whose daemon logs to the journal.
struct Journalled {
    lab::Journal journal{IMPNET_SOURCE_DIR "/systemd/impnetd.catalog"};
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    std::optional<lab::Daemon> daemon;

    explicit Journalled(const std::string& level = "info") {
        daemon.emplace(lan.host, lan.bus, lab::Lan::managed(), std::vector{"--log-level=" + level},
                       lab::Journal::runner());
    }

    std::vector<lab::Journal::Entry> entries(daemon_log::Event event,
                                             const std::string& match = "PRIORITY=6") const {
        return journal.entries({id_match(event), match});
    }
};

/// Logs from a process of its own, whose stderr is a stream of the journal.
void log_from_a_service(const std::function<void()>& calls) {
    lab::Fork service([&](const auto&) {
        const lab::Fd stream(lab::checked(sd_journal_stream_fd("service", 6, 0), "stream"));
        lab::checked(::dup2(stream.get(), STDERR_FILENO), "dup2");
        struct stat file {};
        lab::checked(::fstat(STDERR_FILENO, &file), "fstat");
        const auto name = std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
        lab::checked(::setenv("JOURNAL_STREAM", name.c_str(), 1), "setenv");
        daemon_log::open(daemon_log::Level::info);
        calls();
    });
    REQUIRE(service.wait(lab::Deadline(soon)) == 0);
}

}  // namespace

TEST_CASE("in the journal an event has its fields, and an explanation", "[log]") {
    Journalled there;
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    there.lan.cable.pull();
    const auto no_link = State::ethernet_stopped_no_link;
    REQUIRE(program.until(soon, [&] { return diary.is(no_link); }));

    const auto states = there.entries("state", "STATE=204");
    REQUIRE(states.size() == 1);
    const auto reason = diary.last().change.reason;
    CHECK(own_fields(states[0]) ==
          Fields{{"MESSAGE",
                  "state interface=eth0 state=204 state_name=ETHERNET_STOPPED_NO_LINK "
                  "previous_state=1 previous_state_name=CONNECTED reason=\"" +
                      reason + "\""},
                 {"MESSAGE_ID", "9c632c60c1d74cfe999263f8987154bf"},
                 {"PRIORITY", "6"},
                 {"SYSLOG_IDENTIFIER", "impnetd"},
                 {"INTERFACE", "eth0"},
                 {"STATE", "204"},
                 {"STATE_NAME", "ETHERNET_STOPPED_NO_LINK"},
                 {"PREVIOUS_STATE", "1"},
                 {"PREVIOUS_STATE_NAME", "CONNECTED"},
                 {"REASON", reason}});
    CHECK(states[0].fields.at("_PID") == std::to_string(there.daemon->pid()));
    CHECK(states[0].fields.at("_TRANSPORT") == "journal");
    CHECK_THAT(states[0].explanation,
               Contains("Subject: Interface eth0 is now ETHERNET_STOPPED_NO_LINK"));
    CHECK_THAT(states[0].explanation, Contains("from CONNECTED (1) to"));

    const auto opened = there.entries("session_opened");
    REQUIRE(opened.size() == 1);
    auto fields = own_fields(opened[0]);
    CHECK(fields.at("CLIENT_UID") == "0");
    CHECK(fields.at("CLIENT_PID") == std::to_string(::getpid()));
    CHECK(fields.at("INTERFACE") == "eth0");

    const auto leases = there.entries("lease");
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].fields.at("ADDRESS") == "10.77.1.100/24");
    CHECK(leases[0].fields.at("DHCP_SERVER") == "10.77.1.1");

    // Everything is there, and nothing twice: with an id and an explanation, not as a stream.
    CHECK(there.daemon->stop() == 0);
    const auto all = there.journal.entries({"_PID=" + std::to_string(there.daemon->pid())});
    CHECK(all.size() > 6);
    for (const auto& entry : all) {
        INFO(entry.fields.at("MESSAGE"));
        CHECK(entry.fields.at("_TRANSPORT") == "journal");
        CHECK(entry.fields.contains("MESSAGE_ID"));
        CHECK_THAT(entry.explanation, Contains("Defined-By: impnetd"));
    }
    CHECK_THAT(all.back().fields.at("MESSAGE"), Catch::StartsWith("stopped "));
}

TEST_CASE("with a JOURNAL_STREAM that is not its stderr the daemon logs to stderr", "[log]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lab::Lan::managed(), {}, {"env", "JOURNAL_STREAM=8:1"});
    daemon.process().wait_output(" info started version=", lab::Deadline(soon));
}

TEST_CASE("ten thousand denials are ten lines in the journal, and their number", "[log]") {
    constexpr int denials = 10'000;
    Journalled there("warning");
    const auto client = client_of(stranger, there.lan.bus);
    for (int i = 0; i < denials; ++i) {
        REQUIRE(lab::outcome_of([&] { client->open("eth0"); }) == "NotAuthorized");
    }
    const auto another = client_of(another_stranger, there.lan.bus);
    REQUIRE(lab::outcome_of([&] { another->open("eth0"); }) == "NotAuthorized");
    CHECK(there.daemon->stop() == 0);

    const auto lines = there.entries("open_denied", "CLIENT_UID=65534");
    const auto held = there.entries("suppressed", "CLIENT_UID=65534");
    REQUIRE_FALSE(held.empty());  // one for each window that it took
    CHECK(lines.size() == 10 * held.size());
    unsigned long told = lines.size();
    for (const auto& entry : held) {
        CHECK(entry.fields.at("EVENT") == "open_denied");
        CHECK(entry.fields.at("PRIORITY") == "4");
        told += std::stoul(entry.fields.at("COUNT"));
    }
    CHECK(told == denials);
    CHECK(lines[0].fields.at("CLIENT_PID") == std::to_string(::getpid()));
    CHECK(lines[0].fields.at("RULE") == "default");
    CHECK_THAT(lines[0].fields.at("REASON"), Contains("group impnet"));
    CHECK(there.entries("open_denied", "CLIENT_UID=1").size() == 1);
}

TEST_CASE("a program that aims outside its network is told of in the log", "[log]") {
    Journalled there;
    lab::RawClient client(there.lan.bus);
    const auto session = client.open("eth0");
    const auto aim = [&](const std::string& address) {
        const auto socket = client.open_udp(session, {});
        return lab::outcome_of([&] { client.send(socket, address, 2001, {1}); });
    };
    CHECK(aim("8.8.8.8") == "AddressNotAllowed");
    CHECK(aim("somewhere") == "AddressNotAllowed");
    const auto lines = there.entries("socket_revoked", "CLIENT_UID=0");
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].fields.at("REASON") == "address 8.8.8.8 is not allowed");
    CHECK(lines[0].fields.at("DEVICE") == "lan0");
    CHECK(lines[0].fields.at("PRIORITY") == "4");
    CHECK(lines[1].fields.at("INTERFACE") == "eth0");
}

TEST_CASE("a journal that does not read keeps nobody waiting, and learns what it missed", "[log]") {
    constexpr unsigned long while_stopped = 50;
    Journalled there;
    lab::Program program(there.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    lab::RawClient client(there.lan.bus);
    REQUIRE(there.entries("session_opened").size() == 1);

    there.journal.process().kill(SIGSTOP);
    for (unsigned long i = 0; i < while_stopped; ++i) client.open("eth0");
    there.journal.process().kill(SIGCONT);

    const auto taken = there.entries("session_opened").size() - 1;
    CHECK(taken < while_stopped);
    CHECK(there.entries("log_lost", "PRIORITY=4").empty());
    client.open("eth0");
    const auto lost = there.entries("log_lost", "PRIORITY=4");
    REQUIRE(lost.size() == 1);
    CHECK(std::stoul(lost[0].fields.at("COUNT")) == while_stopped - taken);
    CHECK(there.entries("session_opened").size() == 1 + taken + 1);
}

TEST_CASE("a journal that was not there is used from when it comes", "[log]") {
    std::optional<Journalled> there;
    there.emplace();
    lab::RawClient client(there->lan.bus);
    there->journal.process().kill(SIGKILL);
    there->journal.process().wait(lab::Deadline(soon));
    client.open("eth0");
    const lab::Journal next(IMPNET_SOURCE_DIR "/systemd/impnetd.catalog");
    client.open("eth0");
    CHECK(next.entries({id_match("log_lost")}).size() == 1);
    CHECK(next.entries({id_match("session_opened"), "SESSION=2"}).size() == 1);
}

TEST_CASE("a value of any bytes arrives as it is, and is one readable line", "[log]") {
    const lab::Journal journal(IMPNET_SOURCE_DIR "/systemd/impnetd.catalog");
    const auto value =
        GENERATE(as<std::string>{}, "two\nlines\nPRIORITY=0\n", "a \"quoted\" \\ word",
                 "no \xff\xfe UTF-8 \xc3", std::string("nul\0 and \x1b[2J", 13));
    log_from_a_service([&] { daemon_log::error("fault", {{"reason", value}}); });
    const auto lines = journal.entries({id_match("fault")});
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].fields.at("REASON") == value);
    CHECK(lines[0].fields.at("PRIORITY") == "3");
    CHECK(lines[0].fields.at("MESSAGE").find('\n') == std::string::npos);
    CHECK(lines[0].fields.size() > 4);
}

TEST_CASE("huge values are cut, and the longest entry of all still arrives", "[log]") {
    const lab::Journal journal(IMPNET_SOURCE_DIR "/systemd/impnetd.catalog");
    const std::string huge(1'000'000, '\x01');
    log_from_a_service([&] {
        daemon_log::info("state", {{"interface", huge},
                                   {"state", huge},
                                   {"state_name", huge},
                                   {"previous_state", huge},
                                   {"previous_state_name", huge},
                                   {"client_uid", huge},
                                   {"client_pid", huge},
                                   {"client_unit", huge},
                                   {"device", huge},
                                   {"reason", huge}});
    });
    const auto lines = journal.entries({id_match("state")});
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].fields.at("REASON") == huge.substr(0, 1024) + "...");
    CHECK(lines[0].fields.at("MESSAGE").size() > 40'000);
}
