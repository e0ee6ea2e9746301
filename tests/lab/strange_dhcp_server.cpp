// SPDX-License-Identifier: LGPL-2.1-or-later
#include "strange_dhcp_server.hpp"

#include <array>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace lab {

namespace {

sockaddr_in endpoint(std::uint32_t address, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    out.sin_addr.s_addr = address;
    return out;
}

void turn_on(int fd, int option) {
    const int on = 1;
    checked(::setsockopt(fd, SOL_SOCKET, option, &on, sizeof on), "setsockopt");
}

StrangeDhcpServer::Message parse(const std::string& packet) {
    StrangeDhcpServer::Message out;
    for (std::size_t at = StrangeDhcpServer::at_options; at + 1 < packet.size();) {
        const auto code = static_cast<std::uint8_t>(packet[at]);
        if (code == 255) break;
        const auto length = static_cast<std::uint8_t>(packet[at + 1]);
        out.options[code] = packet.substr(at + 2, length);
        at += 2U + length;
    }
    const auto& type = out.options[StrangeDhcpServer::message_type];
    if (!type.empty()) out.type = static_cast<std::uint8_t>(type[0]);
    return out;
}

}  // namespace

StrangeDhcpServer::StrangeDhcpServer(const Namespace& where, const std::string& device,
                                     const std::string& address)
    : address_(address) {
    where.run({"ip", "address", "replace", address + "/24", "broadcast", "+", "dev", device});
    const auto visit = where.enter();
    socket_ =
        Fd(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    turn_on(fd(), SO_BROADCAST);
    turn_on(fd(), SO_REUSEADDR);
    checked(::setsockopt(fd(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(),
                         static_cast<socklen_t>(device.size())),
            device.c_str());
    const auto local = endpoint(0, 67);
    checked(::bind(fd(), reinterpret_cast<const sockaddr*>(&local), sizeof local), "bind");
    be_honest();
}

void StrangeDhcpServer::be_honest() {
    to_discover = to_request = Answer::acknowledge;
    offers = "10.77.1.100";
    acknowledges.clear();
    options = {{subnet_mask, octets("255.255.255.0")}, {lease_time, octets(30U)}};
    identifier = address_;
    refusal = "not for you";
    copies = 1;
    bend = nullptr;
}

std::string StrangeDhcpServer::octets(const std::string& address) {
    in_addr bits{};
    if (::inet_pton(AF_INET, address.c_str(), &bits) != 1) throw std::runtime_error(address);
    return {reinterpret_cast<const char*>(&bits), sizeof bits};
}

std::string StrangeDhcpServer::octets(std::uint32_t number) {
    const auto bits = htonl(number);
    return {reinterpret_cast<const char*>(&bits), sizeof bits};
}

std::string StrangeDhcpServer::option(std::uint8_t code, const std::string& value) {
    std::string out(1, static_cast<char>(code));
    out += static_cast<char>(value.size());
    return out + value;
}

void StrangeDhcpServer::serve() {
    std::array<char, 1500> buffer{};
    for (;;) {
        const auto size = ::recv(fd(), buffer.data(), buffer.size(), 0);
        if (size < 0) return;
        if (static_cast<std::size_t>(size) < at_options) continue;
        answer(std::string(buffer.data(), static_cast<std::size_t>(size)));
    }
}

void StrangeDhcpServer::answer(const std::string& packet) {
    seen.push_back(parse(packet));
    const bool looking = seen.back().type == discover;
    const auto answer = looking ? to_discover : to_request;
    if (answer == Answer::none) return;
    const bool refused = answer == Answer::refuse;

    auto reply = packet.substr(0, at_options);
    reply[0] = 2;  // BOOTREPLY
    reply.replace(at_address, 4, octets(looking || acknowledges.empty() ? offers : acknowledges));
    const auto type = refused ? nak : looking ? offer : ack;
    reply += option(message_type, std::string(1, static_cast<char>(type)));
    reply += option(server_identifier, octets(identifier));
    if (refused) reply += option(message, refusal);
    if (!refused)
        for (const auto& [code, value] : options) reply += option(code, value);
    reply += static_cast<char>(255);

    const auto to = endpoint(INADDR_BROADCAST, 68);
    for (std::size_t copy = 0; copy < copies; ++copy) {
        auto bent = reply;
        if (bend) bend(bent);
        const auto size = ::sendto(fd(), bent.data(), bent.size(), 0,
                                   reinterpret_cast<const sockaddr*>(&to), sizeof to);
        if (size >= 0) ++sent;
    }
}

}  // namespace lab
