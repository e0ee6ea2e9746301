// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The smallest program that needs the library itself, not just its headers.
#include <iostream>

#include <impnet/client.hpp>
#include <impnet/relay.h>

int main() {
    const auto client = impnet::Client::connect();  // there is no bus
    if (client || client.error().code() != impnet::ErrorCode::no_daemon) return 1;
    impnet::UdpSocket closed;
    const auto sent = closed.send("192.168.1.1", 2001, "hello");
    if (sent || sent.error().name() != "org.impnet1.Error.SocketClosed") return 1;
    std::cout << to_string(impnet::State::connected) << " " << IMPNET_RELAY_VERSION << std::endl;
}
