// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Wrong input to every method of every object: each call is answered at once with the error that is
// documented for it, and nothing of it stays behind.
//
// The input is random. Its seed is printed; `netns-tests --rng-seed SEED NAME` repeats a run.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>

#include "lab/connected.hpp"
#include "lab/footprint.hpp"
#include "lab/lab.hpp"
#include "lab/rude_client.hpp"

using namespace std::chrono_literals;
using lab::RudeClient;

namespace {

constexpr unsigned rounds = 1'000;
constexpr unsigned warm_up_rounds = 100;
/// What the allocator's pieces may make of a run: about 5 bytes a call.
constexpr std::size_t memory_tolerance = lab::sanitized ? std::size_t{512} << 20 : 512 << 10;
constexpr auto patience = 20s;

using Names = std::set<std::string>;

const std::string ours = "org.impnet1.Error.";
const std::string theirs = "org.freedesktop.DBus.Error.";

void need(int result) {
    if (result < 0) throw std::system_error(-result, std::generic_category(), "message");
}

/// Types and values that nobody asked for.
class Noise {
  public:
    explicit Noise(std::uint32_t seed) : random_(seed) {}

    std::uint32_t below(std::uint32_t limit) {
        return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random_);
    }
    bool one_in(std::uint32_t number) { return below(number) == 0; }

    /// One complete type.
    std::string type(unsigned depth = 0) {
        constexpr std::string_view basic = "ybnqiuxtdsog";
        // Descriptors in no container: the bus takes sixteen a message, and throws out who has
        // more.
        if (depth == 0 && one_in(12)) return "h";
        const auto kind = depth > 3 ? 0 : below(10);
        if (kind < 5) return std::string(1, basic[below(basic.size())]);
        if (kind == 5) return "v";
        if (kind == 6) return "a" + type(depth + 1);
        if (kind == 7)
            return "a{" + std::string(1, basic[below(basic.size())]) + type(depth + 1) + "}";
        if (kind == 8) return "a{sv}";
        return "(" + type(depth + 1) + type(depth + 1) + ")";
    }
    std::string types() {
        std::string out;
        for (auto count = below(5); count > 0; --count) out += type();
        return out;
    }
    std::string text() {
        static const std::vector<std::string> choice = {"",
                                                        "eth7",
                                                        "wl0",
                                                        "interface",
                                                        "port",
                                                        "delivery",
                                                        "fd",
                                                        "signal",
                                                        "8.8.8.8",
                                                        "999.1.1.1",
                                                        "\u20ac\U0001f600",
                                                        "%s%n",
                                                        "../../etc",
                                                        "org.impnet1.Interface",
                                                        "eth0\neth1"};
        if (one_in(8)) return std::string(below(3'000), 'x');
        return choice[below(static_cast<std::uint32_t>(choice.size()))];
    }

    /// Appends a value of each of these types.
    void append(sd_bus_message* message, const std::string& types, unsigned depth = 0) {
        for (std::size_t at = 0; at < types.size();) {
            const auto size = length(types, at);
            append_one(message, types.substr(at, size), depth);
            at += size;
        }
    }

  private:
    /// Of the complete type that begins at `at`.
    static std::size_t length(const std::string& types, std::size_t at) {
        if (types[at] == 'a') return 1 + length(types, at + 1);
        if (types[at] != '(' && types[at] != '{') return 1;
        int open = 0;
        auto end = at;
        do {
            if (types[end] == '(' || types[end] == '{') ++open;
            if (types[end] == ')' || types[end] == '}') --open;
            ++end;
        } while (open > 0);
        return end - at;
    }

    void append_one(sd_bus_message* message, const std::string& type, unsigned depth) {
        const std::string inner = type.size() > 2 ? type.substr(1, type.size() - 2) : "";
        switch (type.front()) {
            case 'v': {
                const auto content = this->type(depth + 1);
                need(sd_bus_message_open_container(message, 'v', content.c_str()));
                append(message, content, depth + 1);
                need(sd_bus_message_close_container(message));
                break;
            }
            case 'a': {
                const auto element = type.substr(1);
                need(sd_bus_message_open_container(message, 'a', element.c_str()));
                for (auto count = below(depth > 2 ? 2 : 4); count > 0; --count)
                    append(message, element, depth + 1);
                need(sd_bus_message_close_container(message));
                break;
            }
            case '(':
                need(sd_bus_message_open_container(message, 'r', inner.c_str()));
                append(message, inner, depth + 1);
                need(sd_bus_message_close_container(message));
                break;
            case '{':
                need(sd_bus_message_open_container(message, 'e', inner.c_str()));
                append(message, inner, depth + 1);
                need(sd_bus_message_close_container(message));
                break;
            default:
                append_basic(message, type.front());
        }
    }

    void append_basic(sd_bus_message* message, char type) {
        switch (type) {
            case 's': {
                const auto value = text();
                need(sd_bus_message_append_basic(message, 's', value.c_str()));
                break;
            }
            case 'o':
                need(sd_bus_message_append_basic(message, 'o', one_in(2) ? "/" : "/org/impnet1"));
                break;
            case 'g':
                need(sd_bus_message_append_basic(message, 'g', one_in(2) ? "" : "a{sv}"));
                break;
            case 'h': {
                const lab::Fd something(
                    lab::checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
                const int number = something.get();
                need(sd_bus_message_append_basic(message, 'h', &number));
                break;
            }
            case 'b': {
                const int value = static_cast<int>(below(2));
                need(sd_bus_message_append_basic(message, 'b', &value));
                break;
            }
            default: {
                const std::uint64_t value =
                    one_in(3) ? below(3) : (std::uint64_t{random_()} << 32) | random_();
                need(sd_bus_message_append_basic(message, type, &value));
            }
        }
    }

    std::mt19937 random_;
};

/// A method, and what its caller is to be told when its arguments have the right types and wrong
/// values.
struct Method {
    RudeClient::Target target;
    std::string types;
    Names wrong_values;  // empty: without arguments nothing can be wrong
    Names wrong_types = {theirs + "InvalidArgs"};
};

std::vector<Method> methods_of_everybody() {
    const std::string manager = "org.impnet1.Manager";
    const std::string properties = "org.freedesktop.DBus.Properties";
    const std::string introspectable = "org.freedesktop.DBus.Introspectable";
    // The bus library's own: it overlooks further arguments, and to GetAll no interface is any.
    const Names no_property{theirs + "UnknownProperty", theirs + "UnknownInterface"};
    const Names no_interface{theirs + "UnknownInterface", ""};
    const auto or_wrong_types = [](Names names) {
        names.insert(theirs + "InvalidArgs");
        return names;
    };
    std::vector<Method> out{
        {{"/org/impnet1", manager, "Open"},
         "a{sv}",
         {ours + "InvalidArgument", ours + "NoSuchInterface"}},
        {{"/org/impnet1", manager, "GetInterface"},
         "s",
         {ours + "NoSuchInterface", ours + "NotSupported"}},
        {{"/org/impnet1", manager, "GetInfo"}, "", {}},
        // Root may, and some names are right.
        {{"/org/impnet1", manager, "SetInterfaceEnabled"}, "sb", {ours + "NoSuchInterface", ""}},
        {{"/org/impnet1", manager, "SetWifiHints"},
         "ssi",
         {ours + "NoSuchInterface", ours + "InvalidArgument", ""}},
        {{"/org/impnet1", manager, "SetServerInterfaces"},
         "as",
         {ours + "NoSuchInterface", ours + "InvalidArgument", ""}},
        {{"/org/impnet1", manager, "ClearConfiguration"}, "as", {ours + "InvalidArgument"}},
        {{"/org/impnet1", manager, "GetCurrentConfiguration"}, "", {}},
        {{"/org/impnet1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"}, "", {}},
        {{"/org/impnet1/interface/eth0", "org.impnet1.Interface", "GetStatistics"}, "", {}},
        {{"/org/impnet1/policy", "org.impnet1.Policy", "Check"},
         "a{sv}",
         {ours + "InvalidArgument"}},
        {{"/org/impnet1/policy", "org.impnet1.Policy", "GetUsage"}, "", {}},
    };
    for (const std::string method : {"SetWifiConfiguration", "SetStaticNetworkConfiguration",
                                     "SetProxy", "SetCellularConfiguration"})
        out.push_back({{"/org/impnet1", manager, method},
                       "a{sv}",
                       {ours + "InvalidArgument", ours + "NoSuchInterface"}});
    for (const std::string path :
         {"/org/impnet1", "/org/impnet1/interface/eth0", "/org/impnet1/policy",
          "/org/impnet1/session/1", "/org/impnet1/socket/1"}) {
        out.push_back({{path, properties, "Get"}, "ss", no_property, or_wrong_types(no_property)});
        out.push_back({{path, properties, "Set"}, "ssv", no_property, or_wrong_types(no_property)});
        out.push_back(
            {{path, properties, "GetAll"}, "s", no_interface, or_wrong_types(no_interface)});
        out.push_back({{path, introspectable, "Introspect"}, "", {}});
    }
    return out;
}

struct Property {
    const char* interface;
    const char* property;
};

/// One of each kind of object.
const std::map<std::string, Property> read_only{
    {"/org/impnet1", {"org.impnet1.Manager", "Version"}},
    {"/org/impnet1/interface/eth0", {"org.impnet1.Interface", "State"}},
    {"/org/impnet1/session/1", {"org.impnet1.Session", "Owner"}},
    {"/org/impnet1/socket/1", {"org.impnet1.UdpSocket", "LocalPort"}},
};

/// Those of a session and a socket that belong to somebody else.
std::vector<Method> methods_of_strangers() {
    const std::string session = "/org/impnet1/session/1";
    const std::string socket = "/org/impnet1/socket/1";
    const Names refused{ours + "NotOwner"};
    return {
        {RudeClient::session(session, "GetState"), "", refused},
        {RudeClient::session(session, "GetToken"), "", refused},
        {RudeClient::session(session, "GetSockets"), "", refused},
        {RudeClient::session(session, "GetIpTable"), "", refused},
        {RudeClient::session(session, "OpenUdp"), "a{sv}", refused},
        {RudeClient::session(session, "Close"), "", refused},
        {RudeClient::socket(socket, "Acquire"), "", refused},
        {RudeClient::socket(socket, "Send"), "sqay", refused},
        {RudeClient::socket(socket, "Close"), "", refused},
        {RudeClient::socket(socket, "GetStatistics"), "", refused},
    };
}

/// The caller's own; `session` and `socket` stay open, whatever comes.
std::vector<Method> methods_of_owner(const std::string& session, const std::string& socket) {
    return {
        {RudeClient::session(session, "GetState"), "", {}},
        {RudeClient::session(session, "GetToken"), "", {}},
        {RudeClient::session(session, "GetSockets"), "", {}},
        {RudeClient::session(session, "GetIpTable"), "", {}},
        {RudeClient::session(session, "OpenUdp"), "a{sv}", {ours + "InvalidArgument"}},
        {RudeClient::session(session, "Close"), "", {}},
        {RudeClient::socket(socket, "Acquire"), "", {ours + "InvalidArgument"}},
        {RudeClient::socket(socket, "Send"),
         "sqay",
         {ours + "AddressNotAllowed", ours + "SocketClosed"}},
        {RudeClient::socket(socket, "Close"), "", {}},
        {RudeClient::socket(socket, "GetStatistics"), "", {}},
    };
}

RudeClient::Fill datagram(const std::string& address, std::uint16_t port, std::size_t size) {
    return [address, port, size](sd_bus_message* message) {
        need(sd_bus_message_append(message, "sq", address.c_str(), static_cast<int>(port)));
        const std::vector<std::uint8_t> data(size);
        need(sd_bus_message_append_array(message, 'y', data.data(), data.size()));
    };
}

/// Calls with wrong input, and keeps account of the answers.
class Tormentor {
  public:
    Tormentor(const lab::Bus& bus, std::uint32_t seed) : client(bus), noise(seed) {}

    void call(const RudeClient::Target& target, const RudeClient::Fill& fill,
              const Names& allowed) {
        ++calls;
        client.call(target, fill, [this, target, allowed](const std::string& error, auto*) {
            ++answers;
            if (allowed.contains(error)) return;
            ++surprises[target.path + " " + target.interface + "." + target.member + ": " +
                        (error.empty() ? "accepted" : error)];
        });
    }
    /// Arguments of other types than the method takes.
    void wrong_types(const Method& method) {
        auto types = noise.types();
        while (types == method.types) types = noise.types();
        call(
            method.target, [&](sd_bus_message* message) { noise.append(message, types); },
            method.wrong_types);
    }
    void wrong_values(const Method& method) {
        if (method.wrong_values.empty()) return;
        call(
            method.target,
            [&](sd_bus_message* message) {
                if (method.types == "a{sv}")
                    append_dictionary(message);
                else
                    noise.append(message, method.types);
            },
            method.wrong_values);
    }

    void set(const std::string& path, const Property& property) {
        call({path, "org.freedesktop.DBus.Properties", "Set"},
             [&](sd_bus_message* message) {
                 need(sd_bus_message_append(message, "ss", property.interface, property.property));
                 noise.append(message, "v");
             },
             {theirs + "PropertyReadOnly"});
    }
    /// Never a right one: random alone might leave it empty.
    void append_dictionary(sd_bus_message* message) {
        need(sd_bus_message_open_container(message, 'a', "{sv}"));
        for (auto count = noise.below(4); count > 0; --count) noise.append(message, "{sv}");
        need(sd_bus_message_append(message, "{sv}", "nothing", "b", 1));
        for (auto count = noise.below(4); count > 0; --count) noise.append(message, "{sv}");
        need(sd_bus_message_close_container(message));
    }

    RudeClient client;
    Noise noise;
    unsigned calls = 0;
    unsigned answers = 0;
    std::map<std::string, unsigned> surprises;
};

std::uint32_t seed_of_this_run() {
    const auto asked = Catch::rngSeed();
    const auto seed = asked != 0 ? asked : std::random_device{}();
    std::printf("seed of the wrong input: %u\n", seed);
    return seed;
}

}  // namespace

TEST_CASE("wrong input of every kind is refused by name and leaves nothing", "[abuse]") {
    lab::Connected connected("[limits]\nsockets-per-uid = 8\n");
    auto victim = connected.open_udp(2001);
    Tormentor tormentor(connected.lan.bus, seed_of_this_run());
    auto& client = tormentor.client;
    auto& noise = tormentor.noise;
    const auto session = client.open("eth0");
    const auto everybodys = methods_of_everybody();
    const auto strangers = methods_of_strangers();

    const auto one_round = [&] {
        const auto socket = client.open_udp(session, 0, "signal");
        for (const auto& methods : {everybodys, strangers, methods_of_owner(session, socket)}) {
            for (const auto& method : methods) {
                tormentor.wrong_types(method);
                tormentor.wrong_values(method);
            }
        }
        // The right address, and a port or a size that cannot be.
        const auto sent = client.open_udp(session, 0, "signal");
        constexpr std::array<std::uint16_t, 3> forbidden{0, 67, 68};
        tormentor.call(RudeClient::socket(sent, "Send"),
                       datagram("10.77.1.1", forbidden[noise.below(3)], 1),
                       {ours + "InvalidArgument"});
        tormentor.call(RudeClient::socket(sent, "Send"), datagram("10.77.1.1", 3000, 65'508),
                       {ours + "TooLarge"});
        tormentor.call(RudeClient::socket(sent, "Close"), {}, {""});
        for (const auto& [path, property] : read_only) tormentor.set(path, property);
        // What is not there: objects, interfaces, members.
        const auto nowhere = "/org/impnet1/" + std::string(noise.one_in(2) ? "session" : "socket") +
                             "/" + std::to_string(1'000'000 + noise.below(1'000));
        const auto fill = [&](sd_bus_message* message) { noise.append(message, noise.types()); };
        tormentor.call(RudeClient::session(nowhere, "Close"), fill, {theirs + "UnknownObject"});
        tormentor.call({session, "org.impnet1.Manager", "Open"}, fill,
                       {theirs + "UnknownMethod", theirs + "UnknownInterface"});
        tormentor.call(RudeClient::manager("Destroy"), fill, {theirs + "UnknownMethod"});
        tormentor.call({"/org/impnet1", "org.freedesktop.DBus.Peer", "Pong"}, fill,
                       {theirs + "UnknownMethod"});
        tormentor.call(RudeClient::socket(socket, "Close"), {}, {""});
        client.settle(lab::Deadline(patience));
    };

    for (unsigned round = 0; round < warm_up_rounds; ++round) one_round();
    const auto before = lab::footprint_of(connected.daemon.pid());
    for (unsigned round = 0; round < rounds; ++round) one_round();
    const auto after = lab::footprint_of(connected.daemon.pid());

    for (const auto& [what, times] : tormentor.surprises) {
        UNSCOPED_INFO(what << " (" << times << " times)");
    }
    CHECK(tormentor.surprises.empty());
    CHECK(tormentor.answers == tormentor.calls);
    CAPTURE(tormentor.calls, before, after);
    CHECK(after.descriptors == before.descriptors);
    CHECK(after.memory <= before.memory + memory_tolerance);
    std::printf("%u calls\n", tormentor.calls);
    // And the victim did not notice.
    CHECK(lab::outcome(victim.send("10.77.1.1", 3000, "alive")) == "0");
}

TEST_CASE("messages as large as the bus lets through are refused, and cost little", "[abuse]") {
    // The bus library reallocates with each read, which AddressSanitizer makes a copy of all.
    constexpr unsigned part = lab::sanitized ? 8 : 1;
    // The bus of the system takes 32 MiB a message.
    constexpr std::size_t most_bytes = (31 << 20) / part;
    constexpr unsigned most_keys = 1'000'000 / part;
    constexpr unsigned most_texts = 3'000'000 / part;
    constexpr unsigned repetitions = lab::sanitized ? 1 : 2;
    // The message itself, twice while the bus library's buffer grows, and something to spare.
    constexpr std::size_t peak = 3 * most_bytes;

    lab::Connected connected;
    RudeClient client(connected.lan.bus);
    RudeClient other(connected.lan.bus);
    const auto session = client.open("eth0");
    const auto socket = client.open_udp(session, 0, "signal");
    const auto everything = [](char type, const char* contents, const auto& append) {
        return [=](sd_bus_message* message) {
            need(sd_bus_message_open_container(message, type, contents));
            append(message);
            need(sd_bus_message_close_container(message));
        };
    };
    const auto many_keys = everything('a', "{sv}", [](sd_bus_message* message) {
        for (unsigned key = 0; key < most_keys; ++key)
            need(sd_bus_message_append(message, "{sv}", std::to_string(key).c_str(), "y", 1));
    });
    const auto many_texts = everything('a', "{sv}", [](sd_bus_message* message) {
        need(sd_bus_message_open_container(message, 'e', "sv"));
        need(sd_bus_message_append(message, "s", "interface"));
        need(sd_bus_message_open_container(message, 'v', "as"));
        need(sd_bus_message_open_container(message, 'a', "s"));
        for (unsigned text = 0; text < most_texts; ++text)
            need(sd_bus_message_append(message, "s", ""));
        for (unsigned open = 0; open < 3; ++open) need(sd_bus_message_close_container(message));
    });
    const auto list_of_texts = everything('a', "s", [](sd_bus_message* message) {
        for (unsigned text = 0; text < most_texts; ++text)
            need(sd_bus_message_append(message, "s", ""));
    });
    const auto long_text = [](sd_bus_message* message) {
        need(sd_bus_message_append(message, "s", std::string(most_bytes, 'x').c_str()));
    };
    const auto long_blob = everything('a', "{sv}", [](sd_bus_message* message) {
        need(sd_bus_message_open_container(message, 'e', "sv"));
        need(sd_bus_message_append(message, "s", "interface"));
        need(sd_bus_message_open_container(message, 'v', "ay"));
        const std::vector<std::uint8_t> blob(most_bytes);
        need(sd_bus_message_append_array(message, 'y', blob.data(), blob.size()));
        for (unsigned open = 0; open < 2; ++open) need(sd_bus_message_close_container(message));
    });
    struct Case {
        RudeClient::Target target;
        RudeClient::Fill fill;
        std::string error;
    };
    const auto invalid = ours + "InvalidArgument";
    const std::vector<Case> cases{
        {RudeClient::manager("GetInterface"), long_text, ours + "NoSuchInterface"},
        {RudeClient::socket(socket, "Send"), datagram("10.77.1.1", 3000, most_bytes),
         ours + "TooLarge"},
        {RudeClient::manager("Open"), many_keys, invalid},
        {RudeClient::manager("Open"), many_texts, invalid},
        {RudeClient::manager("Open"), long_blob, invalid},
        {RudeClient::manager("ClearConfiguration"), list_of_texts, invalid},
        {RudeClient::manager("SetProxy"), many_keys, invalid},
        {RudeClient::session(session, "OpenUdp"), many_keys, invalid},
        {RudeClient::session(session, "Close"), many_keys, theirs + "InvalidArgs"},
    };
    const auto before = lab::footprint_of(connected.daemon.pid());
    std::uint64_t longest = 0;
    for (unsigned repetition = 0; repetition < repetitions; ++repetition) {
        for (const auto& [target, fill, error] : cases) {
            CAPTURE(target.member);
            std::string answer;
            client.call(target, fill,
                        [&](const std::string& name, sd_bus_message*) { answer = name; });
            client.flush();
            // Meanwhile another client calls and calls.
            while (answer.empty()) {
                const auto began = lab::monotonic_usec();
                REQUIRE(other.outcome(RudeClient::manager("GetInfo")) == "ok");
                longest = std::max(longest, lab::monotonic_usec() - began);
                client.settle(lab::Deadline(0ms));
            }
            CHECK(answer == error);
        }
    }
    const auto after = lab::footprint_of(connected.daemon.pid());
    const auto most = lab::peak_memory_of(connected.daemon.pid());
    CAPTURE(before, after, most, longest);
    if (!lab::sanitized) CHECK(most <= peak);
    CHECK(after.memory <= before.memory + memory_tolerance);
    CHECK(after.descriptors == before.descriptors);
    std::printf("peak %zu KiB, longest wait of another client %u ms\n", most / 1024,
                static_cast<unsigned>(longest / 1000));
}
