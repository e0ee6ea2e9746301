// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The policy in force: who may open what and where datagrams go, as clients meet it; how it
// explains itself; and how a reload changes it for all that is open. Each scenario is the same on
// every data path.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "lab/user.hpp"

using namespace std::chrono_literals;
using Catch::Contains;

namespace {

constexpr auto soon = 5s;
constexpr gid_t impnet = 4'240;
constexpr uid_t member = 4'242;  // of the group impnet
constexpr uid_t player = 4'343;  // another one of it
constexpr uid_t guest = 4'444;   // not of it, but of the group guests
constexpr uid_t stranger = 4'545;
const lab::Bytes hello = lab::pattern(5);

/// policy.d beside the configuration files of the daemons of this world, with one file.
class PolicyFolder {
  public:
    explicit PolicyFolder(const std::string& text)
        : path_(std::filesystem::path(lab::fresh_path("")).parent_path() / "policy.d") {
        std::filesystem::create_directory(path_);
        write(text);
    }
    ~PolicyFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    PolicyFolder(const PolicyFolder&) = delete;
    PolicyFolder& operator=(const PolicyFolder&) = delete;

    std::string file() const { return path_ / "10.toml"; }
    void write(const std::string& text) const { std::ofstream(file()) << text; }

  private:
    std::filesystem::path path_;
};

/// The users, before the first host is made.
struct Users {
    Users() {
        lab::add_group("impnet", impnet);
        lab::add_group("guests", guest);
        lab::add_user("member", member, impnet);
        lab::add_user("player", player, impnet);
        lab::add_user("guest", guest, guest);
        lab::add_user("stranger", stranger, stranger);
    }
};

std::string rule(const std::string& name, const std::string& action, const std::string& lines) {
    return "[[rule]]\nname = \"" + name + "\"\naction = \"" + action + "\"\n" + lines;
}

/// A client of one user, with what it is told.
class Told {
  public:
    Told(const lab::Bus& bus, uid_t user, gid_t group)
        : raw_(connect(bus, user, group)),
          closed_(raw_->connection().addMatch(
              "type='signal',interface='org.impnet1.UdpSocket',member='Closed'",
              [this](sdbus::Message& message) {
                  std::string reason;
                  message >> reason;
                  closings.push_back(message.getPath() + ": " + reason);
              })),
          states_(raw_->connection().addMatch(
              "type='signal',interface='org.impnet1.Session',member='StateChanged'",
              [this](sdbus::Message& message) {
                  std::int32_t previous = 0;
                  std::uint64_t time = 0;
                  message >> state >> previous >> time >> reason;
              })) {}

    lab::RawClient& raw() { return *raw_; }
    bool until(const std::function<bool()>& predicate) { return raw_->until(soon, predicate); }
    /// Opens eth0 and waits for the connection.
    std::string open() {
        auto session = raw_->open("eth0");
        REQUIRE(until([&] { return state == 1; }));
        return session;
    }
    std::string open_udp(const std::string& session, std::uint16_t port) {
        return raw_->open_udp(session, {{"port", sdbus::Variant(port)}});
    }

    std::vector<std::string> closings;
    std::int32_t state = -2;
    std::string reason;

  private:
    static std::unique_ptr<lab::RawClient> connect(const lab::Bus& bus, uid_t user, gid_t group) {
        if (user == 0) return std::make_unique<lab::RawClient>(bus);
        const lab::AsUser as(user, group);
        return std::make_unique<lab::RawClient>(bus);
    }

    std::unique_ptr<lab::RawClient> raw_;
    sdbus::Slot closed_;
    sdbus::Slot states_;
};

/// "ok", or the last part of the error's name and its message.
std::string full_outcome(const std::function<void()>& call) {
    try {
        call();
        return "ok";
    } catch (const sdbus::Error& error) {
        const auto& name = error.getName();
        return name.substr(name.rfind('.') + 1) + ": " + error.getMessage();
    }
}

/// A LAN and a daemon with a policy, on one of the data paths.
struct Scene {
    Users users;
    PolicyFolder policy;
    lab::Lan lan;
    lab::DhcpServer dhcp{lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100")};
    lab::Daemon daemon;
    lab::RawClient root{lan.bus};

    Scene(const std::string& path, const std::string& text)
        : policy(text), daemon(lan.host, lan.bus, configuration(path)) {}

    static std::string configuration(const std::string& path, const std::string& more = "") {
        return lab::Lan::managed("always-on = true\n[datapath]\npath = \"" + path + "\"\n" + more);
    }
    std::unique_ptr<Told> client(uid_t user, gid_t group = impnet) const {
        return std::make_unique<Told>(lan.bus, user, group);
    }
    void reload() { root.call("/org/impnet1", "org.impnet1.Manager", "Reload"); }
    void reload(const std::string& text) {
        policy.write(text);
        reload();
    }
    std::string check(std::vector<std::string> query) const {
        std::vector<std::string> words{"busctl",
                                       "--address=" + lan.bus.address(),
                                       "call",
                                       "org.impnet1",
                                       "/org/impnet1/policy",
                                       "org.impnet1.Policy",
                                       "Check",
                                       "a{sv}",
                                       std::to_string(query.size() / 3)};
        words.insert(words.end(), query.begin(), query.end());
        return lan.host.run(words);
    }
    std::string denied_at(int line) const {
        return "\"denied at " + policy.file() + ":" + std::to_string(line) + "\"\n";
    }
    void wait_log(const std::string& text) {
        daemon.process().wait_output(text, lab::Deadline(soon));
    }
};

using Usage = std::vector<lab::Dictionary>;

template <typename T>
T property(lab::RawClient& raw, const char* name) {
    return raw.property<T>("/org/impnet1/policy", "org.impnet1.Policy", name);
}

// --- The scenarios, each with the name of a data path -------------------------------------------

const std::string several_rules =
    rule("no-players", "deny", "user = [\"player\"]\ninterface = [\"eth0\"]\n") +          // line 1
    rule("no-wireless", "deny", "interface = [\"wl0\"]\n") +                               // line 6
    rule("guest-ports", "deny", "group = [\"guests\"]\nport = [2001, \"3000-3010\"]\n") +  // 10
    rule("guest-any", "deny", "user = [4444]\nport = [0]\n") +          // line 15
    rule("no-hub", "deny", "unit = [\"hub@*.service\"]\n") +            // line 20
    rule("good-printer", "allow", "destination = [\"10.77.1.7\"]\n") +  // line 24
    rule("no-printers", "deny",
         "destination = [\"10.77.1.0/28\"]\ndestination-port = [9100, \"515-631\"]\n") +  // 28
    "[widen]\ngroups = [\"guests\"]\n";

void each_condition_decides(const std::string& path) {
    Scene scene(path, several_rules);
    const lab::Peer printer(scene.lan.server, 9100);
    const lab::Peer other(scene.lan.server, 9101);

    const auto of_player = scene.client(player);
    CHECK(full_outcome([&] { of_player->raw().open("eth0"); }) ==
          "NotAuthorized: not allowed by the rule no-players: denied at " + scene.policy.file() +
              ":1");
    scene.wait_log("open_denied interface=eth0 client_uid=4343 client_pid=" +
                   std::to_string(::getpid()));
    scene.wait_log(" rule=no-players ");
    CHECK(full_outcome([&] { of_player->raw().open("wl0"); }) ==
          "NotAuthorized: not allowed by the rule no-wireless: denied at " + scene.policy.file() +
              ":6");
    const auto of_stranger = scene.client(stranger, stranger);
    CHECK_THAT(full_outcome([&] { of_stranger->raw().open("eth0"); }),
               Contains("NotAuthorized: not allowed by the rule default: "));

    const auto of_guest = scene.client(guest, guest);
    const auto guests = of_guest->open();
    const auto opens = [&](std::uint16_t port) {
        return full_outcome([&] { of_guest->open_udp(guests, port); });
    };
    for (const std::uint16_t port : {2001, 3000, 3010})
        CHECK_THAT(opens(port), Contains("NotAuthorized: not allowed by the rule guest-ports: "));
    CHECK_THAT(opens(0), Contains("NotAuthorized: not allowed by the rule guest-any: "));
    scene.wait_log("socket_denied interface=eth0 port=0 client_uid=4444 client_pid=" +
                   std::to_string(::getpid()));
    for (const std::uint16_t port : {2002, 2999, 3011}) CHECK(opens(port) == "ok");

    const auto of_member = scene.client(member);
    const auto session = of_member->open();
    const auto send = [&](const std::string& socket, const char* to, std::uint16_t port) {
        return full_outcome([&] {
            if (const int result = of_member->raw().send(socket, to, port, hello); result != 0)
                throw sdbus::Error("result." + std::to_string(result), "");
        });
    };
    const auto socket = of_member->open_udp(session, 2001);
    CHECK(send(socket, "10.77.1.1", 9101) == "ok");
    CHECK(other.receive(lab::Deadline(soon)));
    CHECK(send(socket, "10.77.1.7", 9100) == "ok");
    CHECK(send(socket, "10.77.1.16", 9100) == "ok");
    CHECK(send(socket, "10.77.1.255", 9100) == "ok");
    CHECK(printer.receive(lab::Deadline(soon))->to == "10.77.1.255");
    const std::string reason =
        "address 10.77.1.1 with port 9100 is not allowed by the rule no-printers";
    CHECK(send(socket, "10.77.1.1", 9100) == "AddressNotAllowed: " + reason);
    REQUIRE(of_member->until([&] { return !of_member->closings.empty(); }));
    CHECK(of_member->closings == std::vector<std::string>{socket + ": " + reason});
    scene.wait_log("client_uid=4242 reason=\"" + reason + "\"");
    CHECK_THAT(send(socket, "10.77.1.1", 9101), Contains("SocketClosed: "));
    // Nothing arrives from there, so that nobody can make the program answer and lose its socket.
    const auto again = of_member->open_udp(session, 2001);
    CHECK(send(again, "10.77.1.1", 632) == "ok");
    std::vector<std::uint16_t> senders;
    const auto received = of_member->raw().connection().addMatch(
        "type='signal',interface='org.impnet1.UdpSocket',member='Received'",
        [&](sdbus::Message& message) {
            std::string from;
            message >> from >> senders.emplace_back();
        });
    printer.send("10.77.1.100", 2001, hello);
    other.send("10.77.1.100", 2001, hello);
    REQUIRE(of_member->until([&] { return !senders.empty(); }));
    CHECK(senders == std::vector<std::uint16_t>{9101});
    CHECK_THAT(send(again, "10.77.1.1", 631), Contains("by the rule no-printers"));
    CHECK(printer.count(0, lab::Deadline(0ms), 50ms) == 0);
}

void check_explains(const std::string& path) {
    Scene scene(path, several_rules);
    const auto of_root = scene.client(0);
    of_root->open();  // connected: addresses have a subnet to be on
    using Query = std::vector<std::string>;
    const Query of_player{"uid", "u", "4343"};
    const Query of_member{"uid", "u", "4242"};
    const auto with = [](Query query, const Query& more) {
        query.insert(query.end(), more.begin(), more.end());
        return query;
    };
    const Query eth0{"interface", "s", "eth0"};
    CHECK(scene.check({"uid", "u", "0"}) == "bss true \"root\" \"root may open interfaces\"\n");
    CHECK(scene.check(of_player) ==
          "bss true \"group impnet\" \"members of the group impnet may open interfaces\"\n");
    CHECK(scene.check(with(of_player, eth0)) == "bss false \"no-players\" " + scene.denied_at(1));
    CHECK_THAT(scene.check({"uid", "u", "4545"}), Contains("bss false \"default\" "));
    CHECK_THAT(scene.check({"uid", "u", "4444"}), Contains("bss true \"widen\" "));
    CHECK(scene.check({"uid", "u", "4444", "port", "q", "3005"}) ==
          "bss false \"guest-ports\" " + scene.denied_at(10));
    CHECK(scene.check(with(of_member, {"unit", "s", "hub@1.service"})) ==
          "bss false \"no-hub\" " + scene.denied_at(20));
    CHECK_THAT(scene.check(with(of_member, {"unit", "s", ""})), Contains("bss true "));
    const auto sends = [&](const std::string& address, const std::string& port) {
        return scene.check(with(of_member, {"interface", "s", "eth0", "address", "s", address,
                                            "destination_port", "q", port}));
    };
    CHECK(sends("10.77.1.1", "9100") == "bss false \"no-printers\" " + scene.denied_at(28));
    CHECK_THAT(sends("10.77.1.7", "9100"), Contains("bss true \"good-printer\" "));
    CHECK_THAT(sends("10.77.1.1", "9101"), Contains("bss true \"group impnet\" "));
    CHECK(sends("8.8.8.8", "53") ==
          "bss false \"address space\" \"8.8.8.8 is neither private nor in a network of "
          "[widen]\"\n");
    CHECK(sends("10.77.2.1", "53") ==
          "bss false \"subnet\" \"10.77.2.1 is not on the interface\\'s subnet, "
          "10.77.1.100/24\"\n");
    CHECK_THAT(sends("10.77.1.1", "67"), Contains("bss false \"destination port\" "));

    // It is open to every user, and so is what else the object tells.
    const auto of_stranger = scene.client(stranger, stranger);
    auto& raw = of_stranger->raw();
    const auto policy = raw.object("/org/impnet1/policy");
    const auto refused = [&](const lab::Dictionary& query) {
        return full_outcome([&] {
            policy->callMethod("Check").onInterface("org.impnet1.Policy").withArguments(query);
        });
    };
    CHECK(refused({{"uid", sdbus::Variant(std::uint32_t{member})}}) == "ok");
    CHECK(refused({{"user", sdbus::Variant("member")}}) == "InvalidArgument: user: unknown key");
    CHECK(property<std::uint32_t>(raw, "Burst") == 100);
    CHECK(property<double>(raw, "Rate") == 25.0);
    const auto rules = property<std::vector<lab::Dictionary>>(raw, "Rules");
    REQUIRE(rules.size() == 8);
    CHECK(rules[0].at("name").get<std::string>() == "widen");
    CHECK(rules[0].at("group").get<std::vector<std::uint32_t>>() ==
          std::vector<std::uint32_t>{guest});
    CHECK(rules[7].at("name").get<std::string>() == "no-printers");
    CHECK(rules[7].at("action").get<std::string>() == "deny");
    CHECK(rules[7].at("destination").get<std::vector<std::string>>() ==
          std::vector<std::string>{"10.77.1.0/28"});
    CHECK(rules[7].at("destination-port").get<std::vector<std::string>>() ==
          std::vector<std::string>{"9100", "515-631"});
    CHECK_FALSE(rules[7].contains("user"));
}

void a_reload_revokes_and_narrows(const std::string& path) {
    Scene scene(path, "");
    const lab::Peer peer(scene.lan.server, 9100);
    const auto of_player = scene.client(player);
    const auto lost = of_player->open();
    const auto lost_socket = of_player->open_udp(lost, 2000);
    const auto of_member = scene.client(member);
    const auto session = of_member->open();
    const auto revoked = of_member->open_udp(session, 2001);
    const auto narrowed = of_member->open_udp(session, 2002);
    lab::Program program(scene.lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(impnet::State::connected); }));
    std::vector<std::string> closings;
    auto held = eth0.open_udp(2003, {});
    REQUIRE(held);
    held->on_closed([&](const std::string& reason) { closings.push_back(reason); });
    auto kept = eth0.open_udp(2004, {});
    REQUIRE(kept);
    for (auto* socket : {&*held, &*kept})
        CHECK(lab::outcome(socket->send("10.77.1.1", 9100, lab::view(hello))) == "0");
    for (const auto& socket : {revoked, narrowed})
        CHECK(of_member->raw().send(socket, "10.77.1.1", 9100, hello) == 0);
    CHECK(peer.count(4, lab::Deadline(soon), 0ms) == 4);
    std::vector<std::string> changed;
    const auto watch = scene.root.connection().addMatch(
        "type='signal',path='/org/impnet1/policy',member='PropertiesChanged'",
        [&](sdbus::Message& message) {
            std::string interface;
            lab::Dictionary values;
            message >> interface >> values;
            for (const auto& [name, value] : values) changed.push_back(name);
        });

    scene.reload(rule("no-players", "deny", "user = [\"player\"]\n") +
                 rule("no-port", "deny", "port = [2001, 2003]\n") +
                 rule("no-printers", "deny", "destination-port = [9100]\n"));

    // It is done when the answer is there.
    CHECK_THAT(full_outcome([&] { of_member->raw().send(revoked, "10.77.1.1", 9101, hello); }),
               Contains("SocketClosed"));
    CHECK(of_member->raw().send(narrowed, "10.77.1.1", 9101, hello) == 0);
    CHECK(lab::outcome(kept->send("10.77.1.1", 9101, lab::view(hello))) == "0");
    CHECK(lab::outcome(held->send("10.77.1.1", 9101, lab::view(hello))) == "SocketClosed");
    CHECK(lab::outcome(kept->send("10.77.1.1", 9100, lab::view(hello))) == "AddressNotAllowed");
    CHECK_THAT(full_outcome([&] { of_member->raw().send(narrowed, "10.77.1.1", 9100, hello); }),
               Contains("by the rule no-printers"));
    CHECK(peer.count(0, lab::Deadline(0ms), 50ms) == 0);

    const std::string at = "denied at " + scene.policy.file();
    REQUIRE(of_player->until([&] { return of_player->state == -1; }));
    CHECK(of_player->reason == "not allowed by the rule no-players: " + at + ":1");
    CHECK(of_player->closings ==
          std::vector<std::string>{lost_socket + ": not allowed by the rule no-players: " + at +
                                   ":1"});
    CHECK(full_outcome([&] { of_player->open_udp(lost, 2000); }) != "ok");
    REQUIRE(of_member->until([&] { return of_member->closings.size() == 2; }));
    CHECK(of_member->closings.front() ==
          revoked + ": not allowed by the rule no-port: " + at + ":5");
    CHECK(of_member->state == 1);
    REQUIRE(program.until(soon, [&] { return !closings.empty(); }));
    CHECK(closings == std::vector<std::string>{"not allowed by the rule no-port: " + at + ":5"});
    REQUIRE(scene.root.until(soon, [&] { return !changed.empty(); }));
    CHECK(changed == std::vector<std::string>{"Rules"});
    scene.wait_log("session_revoked session=1 interface=eth0 client_uid=4343 ");

    // Back again: what is opened anew is allowed, what was closed stays so.
    scene.reload("");
    CHECK(full_outcome([&] { of_player->raw().open("eth0"); }) == "ok");
    const auto anew = of_member->open_udp(session, 2001);
    CHECK(of_member->raw().send(anew, "10.77.1.1", 9100, hello) == 0);
    CHECK(peer.receive(lab::Deadline(soon)));
}

void a_bad_policy_changes_nothing(const std::string& path) {
    Scene scene(path, rule("no-printers", "deny", "destination-port = [9100]\n"));
    const auto client = scene.client(member);
    const auto session = client->open();
    const auto socket = client->open_udp(session, 2001);
    const std::string before = scene.check({"destination_port", "q", "9100"});
    CHECK_THAT(before, Contains("false \"no-printers\""));

    // Neither the bad policy nor the good configuration beside it.
    std::ofstream(scene.daemon.config_path())
        << Scene::configuration(path, "[limits]\nsessions-per-uid = 1\n");
    scene.policy.write(rule("no-port", "deny", "port = [2001]\n") +
                       rule("typo", "deny", "user = [\"gmaes\"]\n"));
    const std::string complaint = scene.policy.file() + ":8: rule.user: there is no user \"gmaes\"";
    CHECK(full_outcome([&] { scene.reload(); }) == "InvalidArgument: " + complaint);
    scene.wait_log("reload_refused reason=");
    scene.wait_log(scene.policy.file() + ":8: rule.user: there is no user");
    CHECK(client->raw().send(socket, "10.77.1.1", 9101, hello) == 0);
    CHECK(scene.check({"destination_port", "q", "9100"}) == before);
    CHECK(full_outcome([&] { client->raw().open("eth0"); }) == "ok");

    // Nor the good policy beside a bad configuration.
    std::ofstream(scene.daemon.config_path()) << "[limits]\nsessions-per-uid = 0\n";
    scene.policy.write(rule("no-port", "deny", "port = [2001]\n"));
    CHECK_THAT(full_outcome([&] { scene.reload(); }), Contains("limits.sessions-per-uid"));
    CHECK(client->raw().send(socket, "10.77.1.1", 9101, hello) == 0);
    CHECK(scene.check({"destination_port", "q", "9100"}) == before);
    CHECK(client->closings.empty());

    // --check-config tells it, too.
    scene.policy.write("\n[[rule]]\nname = \"r\"\n");
    lab::Process checking(scene.lan.host, {lab::Daemon::executable(), "--check-config",
                                           "--config=" + scene.daemon.config_path() + ".none"});
    CHECK(checking.wait(lab::Deadline(soon)) == 2);
    CHECK(checking.output() == "impnetd: " + scene.policy.file() + ":2: rule.action: missing\n");
}

void only_widening_opens_other_address_space(const std::string& path) {
    Scene scene(path, "");
    scene.lan.server.run(
        {"ip", "address", "add", "100.64.1.1/24", "broadcast", "+", "dev", "srv0"});
    const lab::Peer peer(scene.lan.server, 3000);
    const auto client = scene.client(member);
    const lab::Dictionary address{{"ip", sdbus::Variant("100.64.1.50")},
                                  {"netmask", sdbus::Variant("255.255.255.0")},
                                  {"gateway", sdbus::Variant("100.64.1.1")},
                                  {"dns", sdbus::Variant(std::vector<std::string>{"100.64.1.1"})}};
    const auto session = client->raw().open(
        {{"interface", sdbus::Variant("eth0")}, {"staticconfig", sdbus::Variant(address)}});
    REQUIRE(client->until([&] { return client->state == 1; }));
    const auto send = [&](const char* to) {
        const auto socket = client->open_udp(session, 0);
        return full_outcome([&] {
            if (const int result = client->raw().send(socket, to, 3000, hello); result != 0)
                throw sdbus::Error("result." + std::to_string(result), "");
        });
    };
    CHECK_THAT(send("100.64.1.1"), Contains("AddressNotAllowed"));
    scene.reload("[widen]\nnetworks = [\"100.64.0.0/10\"]\n");
    CHECK(send("100.64.1.1") == "ok");
    CHECK(send("100.64.1.255") == "ok");
    for (const auto* to : {"100.64.1.1", "100.64.1.255"}) {
        const auto got = peer.receive(lab::Deadline(soon));
        REQUIRE(got);
        CHECK(got->from == "100.64.1.50");
        CHECK(got->to == to);
        CHECK(got->ttl == 1);
    }
    CHECK(send("100.64.2.1") == "1: ");
    CHECK_THAT(send("100.128.1.1"), Contains("AddressNotAllowed"));
    CHECK_THAT(full_outcome([&] { scene.reload("[widen]\nnetworks = [\"0.0.0.0/0\"]\n"); }),
               Contains("InvalidArgument") && Contains("all addresses there are"));
    CHECK(send("100.64.1.1") == "ok");
    scene.reload("");
    CHECK_THAT(send("100.64.1.1"), Contains("AddressNotAllowed"));
}

void usage_is_told(const std::string& path) {
    Scene scene(path, "");
    const auto client = scene.client(member);
    const auto session = client->open();
    const auto first = client->open_udp(session, 2001);
    const auto second = client->open_udp(session, 2002);
    const auto of_player = scene.client(player);
    of_player->open_udp(of_player->open(), 2003);
    for (const auto& socket : {first, first, second})
        CHECK(client->raw().send(socket, "10.77.1.1", 3000, hello) == 0);
    const auto usage = [&] {
        Usage out;
        scene.root.object("/org/impnet1/policy")
            ->callMethod("GetUsage")
            .onInterface("org.impnet1.Policy")
            .storeResultsTo(out);
        return out;
    };
    const auto both = usage();
    REQUIRE(both.size() == 2);
    const auto& of_member = both[0];
    CHECK(of_member.at("uid").get<std::uint32_t>() == member);
    CHECK(of_member.at("pid").get<std::uint32_t>() == static_cast<std::uint32_t>(::getpid()));
    CHECK(of_member.at("sockets").get<std::uint32_t>() == 2);
    CHECK(of_member.at("sent").get<std::uint64_t>() == 3);
    CHECK(of_member.at("limited").get<std::uint64_t>() == 0);
    CHECK(of_member.at("share").get<double>() == 25);  // nobody else sends
    CHECK(both[1].at("uid").get<std::uint32_t>() == player);
    CHECK(both[1].at("sent").get<std::uint64_t>() == 0);
    // Who has just sent is one that the other would have to share with.
    const lab::Deadline deadline(soon);
    double share = 0;
    do {
        CHECK(client->raw().send(first, "10.77.1.1", 3000, hello) == 0);
        share = usage()[1].at("share").get<double>();
    } while (share != 12.5 && !deadline.passed());
    CHECK(share == 12.5);
    client->raw().call(session, "org.impnet1.Session", "Close");
    CHECK(usage().size() == 1);
}

void what_a_restart_brings_back_is_checked(const std::string& path) {
    const Users users;
    const PolicyFolder policy("");
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Service service(lan.host, lan.bus, Scene::configuration(path));
    const lab::Peer peer(lan.server, 9100);
    struct Owner {
        Told told;
        std::string session;
        std::vector<std::string> sockets;
        std::string token;

        Owner(const lab::Bus& bus, uid_t user, const std::vector<std::uint16_t>& ports)
            : told(bus, user, impnet), session(told.open()) {
            for (const auto port : ports) sockets.push_back(told.open_udp(session, port));
            told.raw()
                .object(session)
                ->callMethod("GetToken")
                .onInterface("org.impnet1.Session")
                .storeResultsTo(token);
        }
        std::string resume() {
            return full_outcome([&] {
                sdbus::ObjectPath path;
                told.raw()
                    .manager()
                    .callMethod("Resume")
                    .onInterface("org.impnet1.Manager")
                    .withArguments(token)
                    .storeResultsTo(path);
            });
        }
    };
    Owner of_player(lan.bus, player, {2000});
    Owner of_member(lan.bus, member, {});
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(impnet::State::connected); }));
    // Handed out, so that they outlive the daemon.
    auto revoked = eth0.open_udp(2001, {});
    auto kept = eth0.open_udp(2002, {});
    REQUIRE(revoked);
    REQUIRE(kept);
    std::vector<std::string> closings;
    revoked->on_closed([&](const std::string& reason) { closings.push_back(reason); });
    kept->on_closed([&](const std::string& reason) { closings.push_back("kept: " + reason); });
    for (auto* socket : {&*revoked, &*kept})
        CHECK(lab::outcome(socket->send("10.77.1.1", 9100, lab::view(hello))) == "0");

    policy.write(rule("no-players", "deny", "user = [\"player\"]\n") +
                 rule("no-port", "deny", "port = [2001]\n") +
                 rule("no-printers", "deny", "destination-port = [9100]\n"));
    service.crash(SIGKILL);
    CHECK_THAT(service.log(),
               Contains("session_revoked session=1 interface=eth0 client_uid=4343 ") &&
                   Contains("socket_revoked interface=eth0 client_uid=0 rule=no-port "));
    CHECK_THAT(of_player.resume(), Contains("NotAuthorized") && Contains("no-players"));
    CHECK(of_member.resume() == "ok");  // its group is remembered
    REQUIRE(program.until(soon, [&] { return !closings.empty(); }));
    CHECK(closings.size() == 1);
    CHECK(lab::outcome(revoked->send("10.77.1.1", 9101, lab::view(hello))) == "SocketClosed");
    CHECK(lab::outcome(kept->send("10.77.1.1", 9101, lab::view(hello))) == "0");
    CHECK(lab::outcome(kept->send("10.77.1.1", 9100, lab::view(hello))) == "AddressNotAllowed");
}

/// Counted at the peer.
void a_rule_limits_its_clients(const std::string& path) {
    Scene scene(path, rule("slow", "allow", "user = [\"member\"]\nburst = 5\nrate = 10\n"));
    const lab::Peer peer(scene.lan.server, 3000);
    const auto client = scene.client(member);
    const auto session = client->open();
    const auto first = client->open_udp(session, 2001);
    const auto second = client->open_udp(session, 2002);
    const auto begin = std::chrono::steady_clock::now();
    int sent = 0;
    int asked = 0;
    while (std::chrono::steady_clock::now() - begin < 1s)
        if (client->raw().send(asked++ % 2 == 0 ? first : second, "10.77.1.1", 3000, hello) == 0)
            ++sent;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CHECK(sent >= 14);
    CHECK(sent <= 5 + static_cast<int>(10 * took.count()));
    CHECK(asked > sent);
    CHECK(peer.count(static_cast<std::size_t>(sent), lab::Deadline(soon), 50ms) ==
          static_cast<std::size_t>(sent));
    // The others have all that is left.
    const auto other = scene.client(player);
    const auto socket = other->open_udp(other->open(), 2003);
    for (int i = 0; i < 50; ++i) REQUIRE(other->raw().send(socket, "10.77.1.1", 3000, hello) == 0);
}

}  // namespace

TEST_CASE("each condition of a rule decides, and is told and logged by the rule's name",
          "[policy]") {
    each_condition_decides(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("Policy.Check says what would be allowed and which rule decides", "[policy]") {
    check_explains(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("a reload revokes what is not allowed any more, and narrows the rest, at once",
          "[policy]") {
    a_reload_revokes_and_narrows(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("a bad policy changes nothing and is told with file and line", "[policy]") {
    a_bad_policy_changes_nothing(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("a network of other addresses is local where the policy widens it", "[policy]") {
    only_widening_opens_other_address_space(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("GetUsage tells what each client sends", "[policy]") {
    usage_is_told(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("sessions and sockets of before a restart follow the policy of after it", "[policy]") {
    what_a_restart_brings_back_is_checked(GENERATE(as<std::string>(), "relay", "kernel"));
}

TEST_CASE("a rule's own limit holds for its client, whatever its sockets", "[policy]") {
    a_rule_limits_its_clients(GENERATE(as<std::string>(), "relay", "kernel"));
}
