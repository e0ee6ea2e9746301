// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The values of libimpnet-client's API.
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <impnet/client.hpp>

#include "client-lib/src/verdict.hpp"

using impnet::Error;
using impnet::ErrorCode;
using impnet::Ipv4;
using impnet::Result;
using impnet::State;

TEST_CASE("a client result holds a value or an error", "[client]") {
    Result<std::string> value = std::string("eth0");
    REQUIRE(value);
    CHECK(*value == "eth0");
    CHECK(value->size() == 4);

    const Result<std::string> none = Error(ErrorCode::busy, "under way");
    REQUIRE_FALSE(none);
    CHECK(none.error() == Error(ErrorCode::busy, "under way"));

    Result<std::unique_ptr<int>> moved = std::make_unique<int>(7);
    const std::unique_ptr<int> taken = *std::move(moved);
    CHECK(*taken == 7);

    CHECK(Result<void>());
    const Result<void> failed = Error(ErrorCode::failed, "no");
    REQUIRE_FALSE(failed);
    CHECK(failed.error().message() == "no");
}

TEST_CASE("a client error has the name that the bus API gives it", "[client]") {
    const std::vector<std::pair<ErrorCode, std::string>> names = {
        {ErrorCode::invalid_argument, "InvalidArgument"},
        {ErrorCode::no_such_interface, "NoSuchInterface"},
        {ErrorCode::unavailable, "Unavailable"},
        {ErrorCode::in_use, "InUse"},
        {ErrorCode::not_supported, "NotSupported"},
        {ErrorCode::port_in_use, "PortInUse"},
        {ErrorCode::address_not_allowed, "AddressNotAllowed"},
        {ErrorCode::too_large, "TooLarge"},
        {ErrorCode::socket_closed, "SocketClosed"},
        {ErrorCode::not_owner, "NotOwner"},
        {ErrorCode::not_authorized, "NotAuthorized"},
        {ErrorCode::limit_exceeded, "LimitExceeded"},
        {ErrorCode::busy, "Busy"},
        {ErrorCode::not_connected, "NotConnected"},
        {ErrorCode::failed, "Failed"}};
    for (const auto& [code, name] : names) {
        const std::string full = "org.impnet1.Error." + name;
        CHECK(Error(code, "").name() == full);
        CHECK(Error(full, "").code() == code);
    }
}

TEST_CASE("a client error keeps a foreign name and sorts it by what it means", "[client]") {
    const Error unknown("org.example.Error.Strange", "why");
    CHECK(unknown.name() == "org.example.Error.Strange");
    CHECK(unknown.code() == ErrorCode::failed);
    CHECK(Error("org.impnet1.Error.FromTheFuture", "").code() == ErrorCode::failed);
    CHECK(Error("org.freedesktop.DBus.Error.ServiceUnknown", "").code() == ErrorCode::no_daemon);
    CHECK(Error("org.freedesktop.DBus.Error.NoReply", "").code() == ErrorCode::no_daemon);
    CHECK(Error("org.freedesktop.DBus.Error.AccessDenied", "").code() == ErrorCode::not_authorized);
}

TEST_CASE("a client address is a dotted quad and nothing else", "[client]") {
    CHECK(Ipv4::parse("192.168.1.7") == Ipv4(192, 168, 1, 7));
    CHECK(Ipv4::parse("0.0.0.0") == Ipv4());
    CHECK(Ipv4::parse("255.255.255.255") == Ipv4(0xffffffff));
    CHECK(Ipv4(10, 0, 0, 1).text() == "10.0.0.1");
    CHECK(Ipv4(10, 0, 0, 1) < Ipv4(10, 0, 1, 0));
    for (const char* text :
         {"",         ".",         "1",        "1.2.3",     "1.2.3.",    ".1.2.3",
          "1.2.3.4.", "1.2.3.4.5", "1..3.4",   "256.1.1.1", "1.1.1.256", "1.1.1.1000",
          "-1.1.1.1", "+1.1.1.1",  " 1.1.1.1", "1.1.1.1 ",  "1.1.1. 1",  "01.1.1.1",
          "1.1.1.00", "0x1.1.1.1", "1.1.1.a",  "host",      "1,1,1,1",   "1.1.1.1:5"}) {
        CAPTURE(text);
        CHECK_FALSE(Ipv4::parse(text));
    }
    CHECK_FALSE(Ipv4::parse(std::string_view("1.1.1.1\0", 8)));
}

TEST_CASE("client states have the guide's numbers and names", "[client]") {
    const std::vector<std::pair<int, const char*>> states = {{-1, "UNKNOWN"},
                                                             {0, "STARTING"},
                                                             {1, "CONNECTED"},
                                                             {100, "WIFI_SCANNING"},
                                                             {101, "WIFI_JOINING"},
                                                             {102, "WIFI_WPSING"},
                                                             {103, "WIFI_LINK_UP"},
                                                             {104, "WIFI_DHCPING"},
                                                             {105, "WIFI_STOPPED"},
                                                             {106, "WIFI_STOPPED_UNHAPPY"},
                                                             {200, "ETHERNET_LINK_UP"},
                                                             {201, "ETHERNET_DHCPING"},
                                                             {202, "ETHERNET_STOPPED"},
                                                             {203, "ETHERNET_STOPPED_UNHAPPY"},
                                                             {204, "ETHERNET_STOPPED_NO_LINK"},
                                                             {300, "CELLULAR_PINGING"},
                                                             {301, "CELLULAR_WAITING_FOR_SIM"},
                                                             {302, "CELLULAR_PPP_CONNECTING"},
                                                             {303, "CELLULAR_REGISTERING"},
                                                             {304, "CELLULAR_REGISTRATION_DENIED"},
                                                             {305, "CELLULAR_STOPPED"},
                                                             {306, "CELLULAR_STOPPED_UNHAPPY"}};
    for (const auto& [number, name] : states) CHECK(to_string(static_cast<State>(number)) == name);
    CHECK(to_string(static_cast<State>(999)) == "UNKNOWN");
}

TEST_CASE("a send's verdict is a result, or an error with its name", "[client]") {
    using impnet::detail::Verdict;
    const auto text = [](Verdict verdict) {
        const auto result = describe(verdict);
        if (result) return std::to_string(static_cast<int>(*result));
        return result.error().name().substr(result.error().name().rfind('.') + 1);
    };
    CHECK(text(Verdict::sent) == "0");
    CHECK(text(Verdict::not_connected) == "1");
    CHECK(text(Verdict::would_block) == "4");
    CHECK(text(Verdict::address_not_allowed) == "AddressNotAllowed");
    CHECK(text(Verdict::invalid_port) == "InvalidArgument");
    CHECK(text(Verdict::too_large) == "TooLarge");
    CHECK(text(Verdict::closed) == "SocketClosed");
    CHECK(text(Verdict::no_answer) == "NoReply");
    CHECK(text(Verdict::failed) == "Failed");
}

TEST_CASE("a NIC is a string unless it has more to say", "[client]") {
    const impnet::Nic plain = "eth0";
    CHECK(plain.interface == "eth0");
    CHECK_FALSE(plain.staticconfig);
    CHECK(std::is_convertible_v<std::string, impnet::Nic>);
}

TEST_CASE("client handles move and do not copy, and an empty one is closed", "[client]") {
    CHECK_FALSE(std::is_copy_constructible_v<impnet::Client>);
    CHECK_FALSE(std::is_copy_constructible_v<impnet::Interface>);
    CHECK_FALSE(std::is_copy_constructible_v<impnet::UdpSocket>);
    CHECK(std::is_nothrow_move_constructible_v<impnet::Client>);

    impnet::UdpSocket socket;
    CHECK_FALSE(socket.is_open());
    CHECK(socket.send("10.0.0.1", 7, "x").error().code() == ErrorCode::socket_closed);
    CHECK(socket.send_batch({}).empty());
    CHECK(socket.fd() == -1);
    CHECK(socket.local_port() == 0);
    socket.close();
    impnet::UdpSocket moved = std::move(socket);
    moved = impnet::UdpSocket();

    impnet::Interface interface;
    CHECK_FALSE(interface.is_open());
    CHECK(interface.state() == State::unknown);
    CHECK(interface.open_udp(2001).error().code() == ErrorCode::unavailable);
    CHECK(interface.ip_table().error().code() == ErrorCode::unavailable);
    interface.close();
}

TEST_CASE("a client without a bus is told so", "[client]") {
    // The system bus's address: sdbus-c++ 1.2 leaks the connection to any other that is not there.
    const char* const variable = "DBUS_SYSTEM_BUS_ADDRESS";
    const char* const before = std::getenv(variable);
    const std::optional<std::string> kept =
        before ? std::optional<std::string>(before) : std::nullopt;
    ::setenv(variable, "unix:path=/nonexistent", 1);
    const auto client = impnet::Client::connect();
    ::unsetenv(variable);
    if (kept) ::setenv(variable, kept->c_str(), 1);
    REQUIRE_FALSE(client);
    CHECK(client.error().code() == ErrorCode::no_daemon);
    CHECK(client.error().name() == "org.freedesktop.DBus.Error.NoServer");
}
