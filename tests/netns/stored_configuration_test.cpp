// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What an administrator sets over the bus: who may, what it does and when, that it is there after
// every end of the daemon, and that no secret of it can be read anywhere.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sdbus-c++/sdbus-c++.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lab/lab.hpp"
#include "lab/owner.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "lab/static_nic.hpp"
#include "lab/user.hpp"

using namespace std::chrono_literals;
using impnet::State;
using lab::Dictionary;
using lab::Steps;
using sdbus::Variant;

namespace {

constexpr auto soon = 5s;
constexpr const char* manager_interface = "org.impnet1.Manager";
constexpr uid_t member = 1001;
constexpr uid_t nobody = 65534;
constexpr gid_t impnet_group = 901;

/// Somebody who configures.
class Administrator {
  public:
    explicit Administrator(const lab::Bus& bus) : raw_(bus) {}

    template <typename... Arguments>
    void call(const char* method, const Arguments&... arguments) {
        raw_.manager()
            .callMethod(method)
            .onInterface(manager_interface)
            .withArguments(arguments...);
    }
    /// "ok", or the last part of the error's name.
    template <typename... Arguments>
    std::string outcome(const char* method, const Arguments&... arguments) {
        return lab::outcome_of([&] { call(method, arguments...); });
    }
    /// "InvalidArgument: ssid: missing", or "ok".
    template <typename... Arguments>
    std::string refusal(const char* method, const Arguments&... arguments) {
        try {
            call(method, arguments...);
            return "ok";
        } catch (const sdbus::Error& error) {
            const auto& name = error.getName();
            return name.substr(name.rfind('.') + 1) + ": " + error.getMessage();
        }
    }
    Dictionary current() {
        Dictionary nic;
        raw_.manager()
            .callMethod("GetCurrentConfiguration")
            .onInterface(manager_interface)
            .storeResultsTo(nic);
        return nic;
    }
    std::string current_interface() { return current().at("interface").get<std::string>(); }
    std::string current_address() {
        const auto nic = current();
        if (!nic.contains("staticconfig")) return "by DHCP";
        return nic.at("staticconfig").get<Dictionary>().at("ip").get<std::string>();
    }
    bool enabled(const std::string& nii = "eth0") {
        return raw_.interface_property<bool>(nii, "Enabled");
    }
    template <typename T>
    T manager_property(const std::string& name) {
        return raw_.property<T>("/org/impnet1", manager_interface, name);
    }
    lab::RawClient& raw() { return raw_; }

  private:
    lab::RawClient raw_;
};

Dictionary address(const std::string& ip = "10.77.1.60", const std::string& interface = "eth0") {
    return {{"interface", Variant(interface)},
            {"ip", Variant(ip)},
            {"netmask", Variant("255.255.255.0")},
            {"gateway", Variant("10.77.1.1")},
            {"dns", Variant(std::vector<std::string>{"10.77.1.1"})}};
}

Dictionary proxy(const std::string& password) {
    return {{"type", Variant("http")},
            {"address", Variant("proxy.lan")},
            {"port", Variant(std::int32_t{3128})},
            {"username", Variant("me")},
            {"password", Variant(password)}};
}

Dictionary wifi(const std::string& key) {
    return {{"ssid", Variant("network-of-the-test")}, {"key", Variant(key)}};
}

Dictionary cellular(const std::string& password, const std::string& pin) {
    return {{"apn", Variant("internet")},
            {"username", Variant("me")},
            {"password", Variant(password)},
            {"pin", Variant(pin)}};
}

using Words = std::vector<std::string>;

/// Every method that configures, called rightly; what came of each.
std::map<std::string, std::string> all_outcomes(Administrator& who) {
    std::map<std::string, std::string> out;
    const auto call = [&](const char* method, const auto&... arguments) {
        out[method] = who.outcome(method, arguments...);
    };
    call("SetInterfaceEnabled", std::string("eth0"), true);
    call("SetWifiConfiguration", wifi("a secret"));
    call("SetWifiHints", std::string("wl0"), std::string("0c2a6908b1f3"), std::int32_t{6});
    call("SetStaticNetworkConfiguration", address());
    call("SetProxy", proxy("a secret"));
    call("SetCellularConfiguration", cellular("a secret", "1234"));
    call("SetServerInterfaces", Words{"eth0"});
    call("ClearConfiguration", Words{"all"});
    out["GetCurrentConfiguration"] = lab::outcome_of([&] { who.current(); });
    return out;
}

std::set<std::string> values_of(const std::map<std::string, std::string>& map) {
    std::set<std::string> out;
    for (const auto& [key, value] : map) out.insert(value);
    return out;
}

/// What one argument of a running process is.
std::string option_of(pid_t pid, const std::string& name) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto at = text.find(name + "=");
    REQUIRE(at != std::string::npos);
    const auto begin = at + name.size() + 1;
    return text.substr(begin, text.find('\0', begin) - begin);
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// All files below a folder, together.
std::string everything_in(const std::filesystem::path& folder) {
    std::string out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
        if (entry.is_regular_file()) out += content_of(entry.path());
    return out;
}

/// All memory files that a process keeps.
std::string everything_kept_by(pid_t pid) {
    std::string out;
    const std::filesystem::path folder = "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::error_code ignored;
        const auto target = std::filesystem::read_symlink(entry.path(), ignored).string();
        if (target.starts_with("/memfd:")) out += content_of(entry.path());
    }
    return out;
}

pid_t parent_of(pid_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("PPid:")) return std::stoi(line.substr(5));
    throw std::runtime_error("no parent");
}

/// The proxy in the address table of a session of his; empty: none.
std::string proxy_of(Administrator& who, const std::string& session) {
    Dictionary table;
    who.raw()
        .object(session)
        ->callMethod("GetIpTable")
        .onInterface("org.impnet1.Session")
        .storeResultsTo(table);
    const auto ipv4 = table.at("ipv4").get<Dictionary>();
    if (!ipv4.contains("proxy")) return {};
    return ipv4.at("proxy").get<Dictionary>().at("address").get<std::string>();
}

/// polkitd, as far as it is asked: lets these users configure.
class Polkit {
  public:
    Polkit(const lab::Bus& bus, bool allows)
        : raw_(bus),
          object_(sdbus::createObject(raw_.connection(), "/org/freedesktop/PolicyKit1/Authority")) {
        using Subject = sdbus::Struct<std::string, Dictionary>;
        using Details = std::map<std::string, std::string>;
        object_->registerMethod("CheckAuthorization")
            .onInterface("org.freedesktop.PolicyKit1.Authority")
            .implementedAs([this, allows](const Subject& subject, const std::string& action,
                                          const Details&, std::uint32_t, const std::string&) {
                ++asked_;
                CHECK(std::get<0>(subject) == "system-bus-name");
                CHECK(action == "org.impnet1.configure");
                return sdbus::Struct<bool, bool, Details>(allows, false, {});
            });
        object_->finishRegistration();
        raw_.connection().requestName("org.freedesktop.PolicyKit1");
    }
    unsigned asked() const { return asked_; }
    lab::RawClient& raw() { return raw_; }

  private:
    lab::RawClient raw_;
    std::unique_ptr<sdbus::IObject> object_;
    unsigned asked_ = 0;
};

std::unique_ptr<Administrator> as_user(const lab::Bus& bus, uid_t user, gid_t group) {
    const lab::AsUser as(user, group);
    return std::make_unique<Administrator>(bus);
}

/// Two interfaces.
std::string two_managed() {
    return "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\n"
           "[interfaces.eth1]\ndevice = \"lan1\"\nmanaged = true\n";
}

}  // namespace

TEST_CASE("root may configure, and nobody else without polkit", "[stored]") {
    lab::add_group("impnet", impnet_group);
    lab::add_user("member", member, impnet_group);
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    CHECK(values_of(all_outcomes(root)) == std::set<std::string>{"ok"});
    // Whoever may open interfaces may not configure them for others by that.
    const auto before = root.current();
    for (const auto& other :
         {as_user(lan.bus, member, impnet_group), as_user(lan.bus, nobody, nobody)}) {
        CHECK(values_of(all_outcomes(*other)) == std::set<std::string>{"NotAuthorized"});
        CHECK_THAT(other->refusal("SetProxy", proxy("a secret")),
                   Catch::Contains("org.impnet1.configure"));
    }
    CHECK(before.size() == root.current().size());
}

TEST_CASE("whom polkit lets may configure, and his plain NIC is the first choice", "[stored]") {
    lab::add_group("impnet", impnet_group);
    lab::add_user("member", member, impnet_group);
    lab::Lan lan;
    lab::Cable second(lan.host, "lan1", lan.server, "srv1");
    lab::Daemon daemon(lan.host, lan.bus, two_managed());
    Administrator root(lan.bus);
    const bool allows = GENERATE(true, false);
    Polkit polkit(lan.bus, allows);
    const auto somebody = as_user(lan.bus, member, impnet_group);
    std::string answer;
    const auto open = [&] {
        somebody->raw()
            .manager()
            .callMethodAsync("Open")
            .onInterface(manager_interface)
            .withArguments(Dictionary{{"interface", Variant("eth1")}})
            .uponReplyInvoke([&](const sdbus::Error* error, const sdbus::ObjectPath&) {
                answer = error != nullptr ? error->getName() : "ok";
            });
    };
    open();
    REQUIRE(somebody->raw().until(soon, [&] { return !answer.empty(); }));
    CHECK(answer == "ok");  // it waits for nobody's decision
    REQUIRE(polkit.raw().until(soon, [&] { return polkit.asked() > 0; }));
    somebody->raw()
        .manager()
        .callMethodAsync("SetProxy")
        .onInterface(manager_interface)
        .withArguments(proxy("a secret"))
        .uponReplyInvoke([&](const sdbus::Error* error) {
            answer = error != nullptr ? error->getName() : "stored";
        });
    REQUIRE(polkit.raw().until(soon, [&] { return polkit.asked() > 1; }));
    REQUIRE(somebody->raw().until(soon, [&] { return answer != "ok"; }));
    CHECK(answer == (allows ? "stored" : "org.impnet1.Error.NotAuthorized"));
    CHECK(root.current_interface() == (allows ? "eth1" : "eth0"));
    CHECK(root.current().contains("proxyconfig") == allows);
}

TEST_CASE("wrong values are refused by the name of the key, and change nothing", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    CHECK(root.refusal("SetInterfaceEnabled", std::string("eth7"), false) ==
          "NoSuchInterface: interface: there is no eth7");
    CHECK(root.refusal("SetInterfaceEnabled", std::string("lan0"), false) ==
          "NoSuchInterface: nii: no NII \"lan0\"");
    CHECK(root.refusal("SetWifiConfiguration", wifi("short")) ==
          "InvalidArgument: key: neither 8 to 63 bytes long nor 64 hex digits");
    CHECK(root.refusal("SetWifiHints", std::string("eth0"), std::string(), std::int32_t{-1}) ==
          "InvalidArgument: nii: not a Wi-Fi interface");
    CHECK(root.refusal("SetStaticNetworkConfiguration", address("10.77.2.60")) ==
          "InvalidArgument: gateway: not another host's address inside the subnet");
    CHECK(root.refusal("SetStaticNetworkConfiguration", address("10.77.1.60", "eth7")) ==
          "NoSuchInterface: interface: there is no eth7");
    CHECK(root.refusal("SetProxy", proxy(std::string(33, 'p'))) ==
          "InvalidArgument: password: longer than 32 bytes");
    CHECK(root.refusal("SetCellularConfiguration", cellular("", "12")) ==
          "InvalidArgument: pin: not 4 to 8 digits");
    CHECK(root.refusal("ClearConfiguration", Words{"all", "else"}) ==
          "InvalidArgument: what: \"else\" is not wifi, static-network, proxy, cellular or all");
    CHECK(root.refusal("ClearConfiguration", Words(65, "all")) ==
          "InvalidArgument: more than 64 values");
    CHECK(root.refusal("SetServerInterfaces", Words{"eth0", "eth0"}) ==
          "InvalidArgument: niis: eth0 comes twice");
    auto forged = proxy("");
    forged["password"] = Variant(std::vector<std::uint8_t>(121, 1));
    CHECK(root.refusal("SetProxy", forged) ==
          "InvalidArgument: password: not sealed by this device for this");
    CHECK(root.current().size() == 1);
    CHECK(root.enabled());
    CHECK_FALSE(
        std::filesystem::exists(option_of(daemon.pid(), "--state-dir") + "/configuration.toml"));
}

TEST_CASE("an observed interface takes no stored address", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.observed());
    Administrator root(lan.bus);
    CHECK(root.outcome("SetStaticNetworkConfiguration", address()) == "NotSupported");
    CHECK(root.outcome("SetInterfaceEnabled", std::string("eth0"), false) == "ok");
    CHECK_FALSE(root.enabled());
    CHECK(lab::outcome_of([&] { root.raw().open("eth0"); }) == "Unavailable");
}

TEST_CASE("a plain NIC connects with the stored address, from the next attempt on", "[stored]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    diary.clear();
    const auto session = root.raw().open("eth0");

    // What is connected stays as it is.
    root.call("SetStaticNetworkConfiguration", address());
    root.call("SetProxy", proxy("a secret"));
    program.idle(100ms);
    CHECK(diary.steps().empty());
    CHECK(lan.addresses() == "10.77.1.100/24 ");
    CHECK(proxy_of(root, session).empty());

    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{1, 204}, {204, 0}, {0, 200}, {200, 1}});
    CHECK(lan.addresses() == "10.77.1.60/24 ");
    CHECK(proxy_of(root, session) == "proxy.lan");

    // And so does clearing: the address stays through the pull of the cable.
    diary.clear();
    root.call("ClearConfiguration", Words{"all"});
    program.idle(100ms);
    CHECK(diary.steps().empty());
    CHECK(proxy_of(root, session) == "proxy.lan");
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    CHECK(lan.addresses() == "10.77.1.60/24 ");
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(lan.addresses() == "10.77.1.100/24 ");
    CHECK(proxy_of(root, session).empty());
}

TEST_CASE("an extended NIC that is thrown away leaves what is stored", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    root.call("SetStaticNetworkConfiguration", address());
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open(lab::static_nic(), diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(lan.addresses() == "10.77.1.50/24 ");
    lan.cable.pull();
    REQUIRE(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(lan.addresses() == "10.77.1.60/24 ");
    CHECK(root.current_address() == "10.77.1.60");  // it was not replaced
}

TEST_CASE("disabling ends what is up, and enabling resumes it", "[stored]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    std::vector<std::vector<std::string>> announced;
    const auto watch = root.raw().connection().addMatch(
        "type='signal',member='PropertiesChanged',path='/org/impnet1/interface/eth0'",
        [&](sdbus::Message& message) {
            std::string interface;
            Dictionary changed;
            message >> interface >> changed;
            if (changed.contains("Enabled"))
                announced.push_back({changed.at("Enabled").get<bool>() ? "true" : "false",
                                     changed.at("Reason").get<std::string>()});
        });
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    auto socket = eth0.open_udp(2001, {});
    REQUIRE(socket);
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "before")) == "0");
    diary.clear();

    root.call("SetInterfaceEnabled", std::string("eth0"), false);
    CHECK_FALSE(root.enabled());
    CHECK(lan.addresses().empty());
    REQUIRE(program.until(soon, [&] { return !diary.entries().empty(); }));
    CHECK(diary.steps() == Steps{{1, 202}});
    CHECK(diary.last().change.reason == "disabled");
    REQUIRE(program.until(soon, [&] {
        return lab::outcome(socket->send("10.77.1.1", 3000, "after")) == "SocketClosed";
    }));
    CHECK(lab::outcome(eth0.open_udp(2001, {})) == "Unavailable");
    lab::Diary other;
    CHECK(lab::outcome(program.client().open("eth0", other.callback())) == "Unavailable");
    REQUIRE(root.raw().until(soon, [&] { return announced.size() == 1; }));
    CHECK(announced.back() == std::vector<std::string>{"false", "disabled"});

    // Also for the next daemon.
    lan.cable.pull();
    lan.cable.plug();
    program.idle(100ms);
    CHECK(diary.steps() == Steps{{1, 202}});

    root.call("SetInterfaceEnabled", std::string("ethernet"), true);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    CHECK(diary.steps() == Steps{{1, 202}, {202, 0}, {0, 200}, {200, 201}, {201, 1}});
    auto again = eth0.open_udp(2001, {});
    REQUIRE(again);
    CHECK(lab::outcome(again->send("10.77.1.1", 3000, "again")) == "0");
    REQUIRE(root.raw().until(soon, [&] { return announced.size() == 2; }));
    CHECK(announced.back().front() == "true");
}

TEST_CASE("what is stored is there after any end of the daemon", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Dictionary before;
    {
        Administrator root(lan.bus);
        root.call("SetStaticNetworkConfiguration", address());
        root.call("SetProxy", proxy("a secret"));
        root.call("SetServerInterfaces", Words{"eth0", "wl0"});
        before = root.current();
        root.call("SetInterfaceEnabled", std::string("eth0"), false);
    }
    for (const int signal : {SIGTERM, SIGKILL}) {
        daemon.restart(signal);
        Administrator root(lan.bus);
        CHECK_FALSE(root.enabled());
        CHECK(lab::outcome_of([&] { root.raw().open("eth0"); }) == "Unavailable");
        CHECK(root.current_address() == "10.77.1.60");
        CHECK(root.manager_property<std::string>("Mode") == "automatic");
        CHECK(root.manager_property<Words>("ServerInterfaces") == Words{"eth0", "wl0"});
        const auto blob = [](const Dictionary& nic) {
            return nic.at("proxyconfig")
                .get<Dictionary>()
                .at("password")
                .get<std::vector<std::uint8_t>>();
        };
        CHECK(blob(root.current()) == blob(before));
    }
}

TEST_CASE("a session that outlives the daemon on an interface disabled meanwhile waits",
          "[stored]") {
    lab::Running running;
    Administrator root(running.lan.bus);
    root.call("SetInterfaceEnabled", std::string("eth0"), false);
    running.service.crash(SIGKILL);
    running.owner.resume();
    CHECK(running.owner.state() == 202);
    CHECK(running.lan.addresses().empty());
    root.call("SetInterfaceEnabled", std::string("eth0"), true);
    CHECK(running.owner.reaches(1));
}

TEST_CASE("what was answered is stored, whenever the daemon is killed", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    const auto folder = option_of(daemon.pid(), "--state-dir");
    int answered = 0;
    int asked = 0;
    const auto ip = [](int number) { return "10.77.1." + std::to_string(2 + number % 250); };
    for (int round = 0; round < 12; ++round) {
        {
            lab::RawClient client(lan.bus);
            const int until = answered + 1 + round * 3;
            const auto ask = [&] {
                client.manager()
                    .callMethodAsync("SetStaticNetworkConfiguration")
                    .onInterface(manager_interface)
                    .withArguments(address(ip(++asked)))
                    .uponReplyInvoke([&, number = asked](const sdbus::Error* error) {
                        if (error == nullptr) answered = std::max(answered, number);
                    });
            };
            asked = answered;
            for (int number = 0; number < 100; ++number) ask();
            REQUIRE(client.until(soon, [&] { return answered >= until; }));
            ::kill(daemon.pid(), SIGKILL);
        }
        daemon.restart(SIGKILL);
        Administrator root(lan.bus);
        const auto stored = root.current_address();
        int number = answered;
        while (number <= asked && ip(number) != stored) ++number;
        CAPTURE(answered, asked, stored);
        REQUIRE(number <= asked);
        answered = number;
        // And no pile of what was under way.
        std::size_t files = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder))
            ++files;
        CHECK(files <= 3);  // the configuration, the key, and at most what the next write removes
    }
}

TEST_CASE("a bus that goes while changes wait for the disk takes nobody along", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    for (int time = 0; time < 5; ++time) {
        {
            lab::RawClient client(lan.bus);
            bool answered = false;
            for (int number = 0; number < 100; ++number)
                client.manager()
                    .callMethodAsync("SetStaticNetworkConfiguration")
                    .onInterface(manager_interface)
                    .withArguments(address("10.77.1." + std::to_string(60 + number)))
                    .uponReplyInvoke([&](const sdbus::Error*) { answered = true; });
            REQUIRE(client.until(soon, [&] { return answered; }));
            lan.bus.stop();
        }
        lan.bus.start();
        REQUIRE(lan.bus.wait_owned("org.impnet1", lab::Deadline(soon), &daemon.process()));
    }
    Administrator root(lan.bus);
    CHECK(root.outcome("SetStaticNetworkConfiguration", address()) == "ok");
    CHECK(root.current_address() == "10.77.1.60");
}

TEST_CASE("on a full disk a change fails and changes nothing, and later it succeeds", "[stored]") {
    const auto disk = lab::fresh_path(".disk");
    lab::checked(::mkdir(disk.c_str(), 0755), disk.c_str());
    lab::checked(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=32k"), disk.c_str());
    const auto fill = [&] {
        const lab::Fd file(lab::checked(
            ::open((disk + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644), "filler"));
        const std::vector<char> page(4096);
        while (::write(file.get(), page.data(), page.size()) > 0) continue;
        REQUIRE(errno == ENOSPC);
    };
    fill();
    {
        lab::Lan lan;
        lab::Daemon daemon(lan.host, lan.bus, lan.managed(), {"--state-dir=" + disk});
        Administrator root(lan.bus);
        CHECK_THAT(daemon.log(), Catch::Contains("key_not_stored"));
        for (int time = 0; time < 3; ++time) {
            const auto refusal = root.refusal("SetStaticNetworkConfiguration", address());
            CHECK_THAT(refusal, Catch::StartsWith("Failed: "));
            CHECK_THAT(refusal, Catch::Contains("No space left on device"));
            CHECK(root.outcome("SetInterfaceEnabled", std::string("eth0"), false) == "Failed");
            CHECK(root.current_address() == "by DHCP");
            CHECK(root.enabled());
        }
        // Opening is no less possible for that.
        CHECK(lab::outcome_of([&] { root.raw().open("eth0"); }) == "ok");
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(disk))
            names.push_back(entry.path().filename());
        CHECK(names == std::vector<std::string>{"filler"});

        std::filesystem::remove(disk + "/filler");
        CHECK(root.outcome("SetStaticNetworkConfiguration", address()) == "ok");
        CHECK(root.outcome("SetProxy", proxy("a secret")) == "ok");
        const auto nic = root.current();
        fill();
        CHECK(root.outcome("ClearConfiguration", Words{"all"}) == "Failed");
        daemon.restart(SIGKILL);
        Administrator next(lan.bus);
        CHECK(next.current_address() == "10.77.1.60");
        CHECK(lab::outcome_of([&] { next.raw().open(nic); }) == "ok");  // by the same key
    }
    ::umount2(disk.c_str(), MNT_DETACH);
}

TEST_CASE("the current configuration can be opened, on this device and as it is", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    Administrator root(lan.bus);
    root.call("SetStaticNetworkConfiguration", address());
    root.call("SetProxy", proxy("a secret"));
    auto nic = root.current();
    auto through = nic.at("proxyconfig").get<Dictionary>();
    CHECK(through.at("password").containsValueOfType<std::vector<std::uint8_t>>());
    {
        lab::RawClient client(lan.bus);
        CHECK(lab::outcome_of([&] { client.open(nic); }) == "ok");
    }
    const auto refusal = [&](const Dictionary& dictionary) -> std::string {
        try {
            lab::RawClient(lan.bus).open(dictionary);
            return "ok";
        } catch (const sdbus::Error& error) {
            return error.getMessage();
        }
    };
    // Nobody gets the password sent elsewhere.
    through.insert_or_assign("address", Variant("listener.lan"));
    auto other = nic;
    other.insert_or_assign("proxyconfig", Variant(through));
    CHECK(refusal(other) == "proxyconfig.password: not sealed by this device for this");

    // Nor by another device.
    std::filesystem::remove(option_of(daemon.pid(), "--state-dir") + "/device-key");
    daemon.restart(SIGTERM);
    CHECK(refusal(nic) == "proxyconfig.password: not sealed by this device for this");
    CHECK_THAT(daemon.log(), Catch::Contains("secret_lost"));
}

TEST_CASE("an order wins over the first choice, and is announced", "[stored]") {
    lab::Lan lan;
    lab::Cable second(lan.host, "lan1", lan.server, "srv1");
    lab::Daemon daemon(lan.host, lan.bus, two_managed());
    Administrator root(lan.bus);
    std::vector<Words> announced;
    const auto watch = root.raw().connection().addMatch(
        "type='signal',member='PropertiesChanged',path='/org/impnet1'",
        [&](sdbus::Message& message) {
            std::string interface;
            Dictionary changed;
            message >> interface >> changed;
            announced.push_back(changed.at("ServerInterfaces").get<Words>());
        });
    CHECK(root.manager_property<std::string>("Mode") == "legacy");
    CHECK(root.current_interface() == "eth0");
    CHECK(root.manager_property<Words>("ServerInterfaces") == Words{"eth0", "eth1"});

    root.raw().open("eth1");  // as root: its first choice
    REQUIRE(root.raw().until(soon, [&] { return announced.size() == 1; }));
    CHECK(announced.back() == Words{"eth1", "eth0"});
    CHECK(root.current_interface() == "eth1");
    // An extended NIC is for this once.
    root.raw().open({{"interface", Variant("eth0")}, {"staticconfig", Variant([] {
                                                          auto part = address();
                                                          part.erase("interface");
                                                          return part;
                                                      }())}});
    CHECK(root.current_interface() == "eth1");

    root.call("SetServerInterfaces", Words{"eth0"});
    REQUIRE(root.raw().until(soon, [&] { return announced.size() == 2; }));
    CHECK(announced.back() == Words{"eth0", "eth1"});
    CHECK(root.manager_property<std::string>("Mode") == "automatic");
    CHECK(root.current_interface() == "eth0");
    // Who is left out serves last, and is not disabled by that.
    CHECK(root.enabled("eth1"));
    CHECK(lab::outcome_of([&] { root.raw().open("eth1"); }) == "ok");
    root.call("SetInterfaceEnabled", std::string("eth0"), false);
    CHECK(root.current_interface() == "eth1");
    root.call("SetServerInterfaces", Words{});
    CHECK(root.manager_property<std::string>("Mode") == "legacy");
}

TEST_CASE("a file of a later version is not touched, and that is said", "[stored]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    const auto file = option_of(daemon.pid(), "--state-dir") + "/configuration.toml";
    const std::string text = "version = 2\ncolour = \"red\"\n";
    std::ofstream(file) << text;
    daemon.restart(SIGTERM);
    {
        Administrator root(lan.bus);
        CHECK(root.refusal("SetStaticNetworkConfiguration", address()) ==
              "Failed: nothing can be stored: " + file +
                  ":1: version: written by a later version of impnetd");
        CHECK(root.current_address() == "by DHCP");
        CHECK(lab::outcome_of([&] { root.raw().open("eth0"); }) == "ok");
    }
    CHECK(content_of(file) == text);
    CHECK_THAT(daemon.log(), Catch::Contains("stored_untouchable"));

    std::ofstream(file) << "version = 1\nand then";
    daemon.restart(SIGTERM);
    Administrator root(lan.bus);
    CHECK(root.outcome("SetStaticNetworkConfiguration", address()) == "ok");
    CHECK(content_of(file + ".damaged") == "version = 1\nand then");
    CHECK_THAT(daemon.log(), Catch::Contains("stored_damaged"));
}

TEST_CASE("no secret is anywhere on disk, in the log or in what is kept through a restart",
          "[stored]") {
    const Words secrets{"password-of-a-nic", "password-of-the-proxy", "key-of-the-network",
                        "password-of-the-sim", "73194826"};
    lab::Lan lan;
    lab::Service service(lan.host, lan.bus, lan.managed());
    const auto supervisor = parent_of(service.pid());
    const auto folder = option_of(service.pid(), "--state-dir");
    lab::Owner owner(lan);
    auto part = proxy(secrets[0]);
    auto own_address = address("10.77.1.50");
    own_address.erase("interface");
    owner.open({{"interface", Variant("eth0")},
                {"staticconfig", Variant(own_address)},
                {"proxyconfig", Variant(part)}});
    REQUIRE(owner.reaches(1));
    Administrator root(lan.bus);
    root.call("SetProxy", proxy(secrets[1]));
    root.call("SetWifiConfiguration", wifi(secrets[2]));
    root.call("SetCellularConfiguration", cellular(secrets[3], secrets[4]));
    // And some that are refused.
    for (const auto& secret : secrets) {
        auto wrong = proxy(secret);
        wrong["port"] = Variant(secret);
        CHECK(root.outcome("SetProxy", wrong) == "InvalidArgument");
        CHECK(root.outcome("SetCellularConfiguration", cellular("", secret + "x")) ==
              "InvalidArgument");
    }
    const auto look = [&] {
        const auto disk = everything_in(folder);
        const auto kept = everything_kept_by(supervisor);
        // It would be found: what goes with it is there.
        CHECK(disk.find("proxy.lan") != std::string::npos);
        CHECK(disk.find("network-of-the-test") != std::string::npos);
        CHECK(kept.find("proxy.lan") != std::string::npos);
        CHECK(service.log().find("session_opened") != std::string::npos);
        for (const auto& secret : secrets) {
            CAPTURE(secret);
            CHECK(disk.find(secret) == std::string::npos);
            CHECK(kept.find(secret) == std::string::npos);
            CHECK(service.log().find(secret) == std::string::npos);
        }
        // What programs brought along is never on disk, not even sealed.
        CHECK(disk.find("10.77.1.50") == std::string::npos);
    };
    look();
    service.crash(SIGKILL);
    owner.resume();
    look();
}
