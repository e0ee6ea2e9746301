// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The guide's UDP echo: opens an interface and returns each datagram to its sender.
//
//     echo [--bus ADDRESS] [INTERFACE [PORT]]        (the system bus, eth0, 2001)
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <impnet/client.hpp>

using impnet::State;

int main(int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    impnet::Options options;
    if (arguments.size() >= 2 && arguments[0] == "--bus") {
        options.bus_address = arguments[1];
        arguments.erase(arguments.begin(), arguments.begin() + 2);
    }
    const std::string nii = !arguments.empty() ? arguments[0] : "eth0";
    const int port = arguments.size() > 1 ? std::atoi(arguments[1].c_str()) : 2001;

    options.log = [](std::string_view line) { std::cout << line << std::endl; };

    auto client = impnet::Client::connect(options);
    if (!client) {
        std::cerr << "echo: " << client.error().message() << std::endl;
        return EXIT_FAILURE;
    }
    impnet::Interface interface;
    impnet::UdpSocket socket;

    const auto echo = [&](const impnet::Datagram& datagram) {
        const auto result = socket.send(datagram.from, datagram.from_port, datagram.data);
        std::cout << datagram.data.size() << " bytes from " << datagram.from.text() << ":"
                  << datagram.from_port << " to " << datagram.to.text() << ": "
                  << (result ? std::to_string(static_cast<int>(*result)) : result.error().name())
                  << std::endl;
    };
    const auto on_state = [&](const impnet::StateChange& change) {
        std::cout << nii << ": " << to_string(change.state) << " (" << change.reason << ")"
                  << std::endl;
        switch (change.state) {
            case State::connected:
                if (socket.is_open()) break;  // a lease that was lost and came back
                if (auto opened = interface.open_udp(port, echo)) {
                    socket = std::move(*opened);
                    std::cout << nii << ": echoing on port " << port << std::endl;
                } else {
                    std::cerr << "echo: " << opened.error().message() << std::endl;
                }
                break;
            case State::ethernet_stopped:
            case State::ethernet_stopped_unhappy:
            case State::ethernet_stopped_no_link:
            case State::wifi_stopped:
            case State::wifi_stopped_unhappy:
                socket.close();
                break;
            case State::unknown:  // the daemon has gone, and did not come back with the session
                client->stop();
                break;
            default:
                break;
        }
    };
    auto opened = client->open(nii, on_state);
    if (!opened) {
        std::cerr << "echo: " << opened.error().message() << std::endl;
        return EXIT_FAILURE;
    }
    interface = std::move(*opened);
    static_cast<void>(client->run());
    return EXIT_FAILURE;  // it ends only if the session does
}
