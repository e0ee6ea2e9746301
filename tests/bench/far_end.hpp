// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The other end of the cable, which must never be what a measurement waits for:
//
//  sink       takes datagrams off the cable and drops them, before the network stack of its host
//             has done anything for them;
//  echo       returns each to its sender;
//  generator  sends so many a second. It knows what its sends cost, and so what receiving costs
//             before a program is woken: on a veth the sender does that work, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lab/fd.hpp"
#include "lab/fork.hpp"
#include "lab/namespace.hpp"

namespace bench {

inline constexpr const char* server_address = "10.77.1.1";
inline constexpr const char* host_address = "10.77.1.100";
inline constexpr std::uint16_t sink_port = 9;
inline constexpr std::uint16_t echo_port = 7;

/// What runs on the far side of a measurement runs on the first processor, the program that is
/// measured on the last.
void run_on_first_processor(pid_t pid);
void run_on_last_processor(pid_t pid);

/// What arrives on this device for `sink_port` is dropped, for as long as the device lives.
void put_sink(const lab::Namespace& where, const std::string& device);

/// Datagrams that ever arrived on a device.
std::uint64_t arrived(const lab::Namespace& where, const std::string& device);

/// A process on each of these hosts that answers on `echo_port`.
std::unique_ptr<lab::Fork> start_echo(const lab::Namespace& server);

class Generator {
  public:
    explicit Generator(const std::vector<const lab::Namespace*>& servers);
    ~Generator();
    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    /// From this server to its host, so many datagrams a second, until `stop`.
    void start(std::size_t server, std::uint16_t port, std::size_t size, double rate);
    void stop();

    struct Sent {
        std::uint64_t datagrams = 0;
        double seconds = 0;  ///< of a processor, inside the system calls that sent them
    };
    /// Since it was made.
    Sent sent() const;
    pid_t pid() const { return process_->pid(); }

  private:
    struct Order;
    struct Shared;
    static void serve(const std::vector<lab::Fd>& sockets, int orders, Shared& shared);

    std::vector<lab::Fd> sockets_;  // one in each server's network
    Shared* shared_;
    lab::Fd orders_;
    std::unique_ptr<lab::Fork> process_;
};

}  // namespace bench
