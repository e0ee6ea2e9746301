// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A DHCP server that does as it is told, for what no real server would do. It answers when it is
// served (`serve`, whenever `fd` is readable), with messages made by hand, to everybody on the
// wire.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class StrangeDhcpServer {
  public:
    enum class Answer { acknowledge, refuse, none };

    struct Message {
        std::uint8_t type = 0;
        std::map<std::uint8_t, std::string> options;
    };

    /// The device gets `address`/24. Several servers may share a device.
    StrangeDhcpServer(const Namespace& where, const std::string& device,
                      const std::string& address = "10.77.1.1");

    int fd() const { return socket_.get(); }
    /// Answers what has arrived.
    void serve();
    /// Does as it did when it was made.
    void be_honest();

    Answer to_discover = Answer::acknowledge;
    Answer to_request = Answer::acknowledge;
    std::string offers;        ///< dotted quad
    std::string acknowledges;  ///< another address than offered; empty: the same
    /// Options of offers and acknowledgements, besides the message type and the server.
    std::map<std::uint8_t, std::string> options;
    std::string identifier;                  ///< the server's address as told; empty: its own
    std::string refusal;                     ///< what a refusal says
    std::size_t copies = 1;                  ///< how often each answer is sent
    std::function<void(std::string&)> bend;  ///< has its way with each message before it is sent

    std::vector<Message> seen;
    std::size_t sent = 0;  ///< messages that went out

    static constexpr std::uint8_t subnet_mask = 1, router = 3, dns = 6, host_name = 12,
                                  domain_name = 15, requested_address = 50, lease_time = 51,
                                  overload = 52, message_type = 53, server_identifier = 54,
                                  parameter_list = 55, message = 56, client_identifier = 61;
    static constexpr std::uint8_t discover = 1, offer = 2, request = 3, ack = 5, nak = 6;
    /// Where in a message.
    static constexpr std::size_t at_transaction = 4, at_address = 16, at_hardware = 28,
                                 at_cookie = 236, at_options = 240;

    /// The four octets of a dotted quad, and of a number.
    static std::string octets(const std::string& address);
    static std::string octets(std::uint32_t number);
    static std::string option(std::uint8_t code, const std::string& value);

  private:
    void answer(const std::string& packet);

    std::string address_;
    Fd socket_;
};

}  // namespace lab
