// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the daemon really offers is what dbus/*.xml promises: the live introspection of an object of
// each kind, compared with the files as sets of members.
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sdbus-c++/sdbus-c++.h>

#include "lab/lab.hpp"

namespace {

using VariantMap = std::map<std::string, sdbus::Variant>;

/// Elements and attributes, in order; enough for introspection data, which has no text.
struct Element {
    std::string name;
    bool opens = false;
    std::map<std::string, std::string> attributes;
};

std::vector<Element> elements(std::string xml) {
    static const std::regex comment("<!--[\\s\\S]*?-->");
    static const std::regex tag("<(/?)([A-Za-z]+)([^<>]*?)(/?)>");
    static const std::regex attribute("([A-Za-z]+)=\"([^\"]*)\"");
    xml = std::regex_replace(xml, comment, "");
    std::vector<Element> out;
    for (std::sregex_iterator it(xml.begin(), xml.end(), tag), end; it != end; ++it) {
        Element element{(*it)[2], (*it)[1].length() == 0, {}};
        const std::string rest = (*it)[3];
        for (std::sregex_iterator a(rest.begin(), rest.end(), attribute); a != end; ++a)
            element.attributes[(*a)[1]] = (*a)[2];
        out.push_back(std::move(element));
    }
    return out;
}

/// One line for each member of an interface: its kind, name, arguments in order, and what is said
/// of its changes.
std::set<std::string> members(const std::string& xml, const std::string& interface) {
    std::set<std::string> out;
    bool inside = false;
    std::string member;
    for (auto& element : elements(xml)) {
        auto& a = element.attributes;
        if (element.name == "interface") {
            inside = element.opens && a["name"] == interface;
        } else if (!inside) {
            continue;
        } else if (element.name == "method" || element.name == "signal" ||
                   element.name == "property") {
            if (!member.empty()) out.insert(std::exchange(member, ""));
            if (element.opens)
                member = element.name + " " + a["name"] + " " + a["type"] + " " + a["access"];
        } else if (element.name == "arg") {
            const bool in = a["direction"] == "in";
            member += "; " + std::string(in ? "in " : "out ") + a["type"] + " " + a["name"];
        } else if (element.name == "annotation" && a["name"].ends_with("EmitsChangedSignal")) {
            member += "; changes: " + a["value"];
        }
    }
    if (!member.empty()) out.insert(member);
    return out;
}

std::string file(const std::string& name) {
    std::ifstream in(std::string(IMPNET_SOURCE_DIR) + "/dbus/" + name);
    REQUIRE(in.good());
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("live introspection is what the XML files say", "[bus]") {
    lab::Lan lan;
    lab::Daemon daemon(lan.host, lan.bus, lan.managed());
    const auto connection = sdbus::createSessionBusConnectionWithAddress(lan.bus.address());
    const auto object = [&](const std::string& path) {
        return sdbus::createProxy(*connection, "org.impnet1", path);
    };

    sdbus::ObjectPath session;
    object("/org/impnet1")
        ->callMethod("Open")
        .onInterface("org.impnet1.Manager")
        .withArguments(VariantMap{{"interface", "eth0"}})
        .storeResultsTo(session);
    sdbus::ObjectPath socket;
    object(session)
        ->callMethod("OpenUdp")
        .onInterface("org.impnet1.Session")
        .withArguments(VariantMap{})
        .storeResultsTo(socket);

    const std::map<std::string, std::string> objects{
        {"Manager", "/org/impnet1"},
        {"Interface", "/org/impnet1/interface/eth0"},
        {"Policy", "/org/impnet1/policy"},
        {"Session", session},
        {"UdpSocket", socket},
    };
    for (const auto& [name, path] : objects) {
        INFO(name << " at " << path);
        std::string live;
        object(path)
            ->callMethod("Introspect")
            .onInterface("org.freedesktop.DBus.Introspectable")
            .storeResultsTo(live);
        const auto interface = "org.impnet1." + name;
        const auto promised = members(file(interface + ".xml"), interface);
        CHECK_FALSE(promised.empty());
        CHECK(members(live, interface) == promised);
    }
}
