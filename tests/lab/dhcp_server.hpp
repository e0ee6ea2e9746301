// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A real DHCP server (dnsmasq) on a device of a host, which gets the server's address.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "namespace.hpp"
#include "process.hpp"

namespace lab {

class DhcpServer {
  public:
    struct Options {
        std::string address = "10.77.1.1";  ///< of the server; /24
        std::string first = "10.77.1.100";
        std::string last = "10.77.1.150";
        std::string lease = "1h";          ///< dnsmasq takes no less than 2m
        std::string router = "10.77.1.1";  ///< empty: none is told
        std::vector<std::string> dns = {"10.77.1.1"};
        std::vector<std::string> more;  ///< further options of dnsmasq

        /// A server that gives out one address, so that tables can be compared exactly.
        static Options only(const std::string& address) {
            Options options;
            options.first = address;
            options.last = address;
            return options;
        }
    };
    enum class Leases { keep, forget };

    /// Starts, and is ready when this returns.
    DhcpServer(Namespace& where, std::string device, Options options);
    DhcpServer(Namespace& where, std::string device)
        : DhcpServer(where, std::move(device), Options()) {}

    /// From now on silent.
    void stop();
    /// Starts again after `stop`, with other options if some are given.
    void start(Leases leases = Leases::keep);
    void start(Options options, Leases leases);
    bool running() { return process_ && process_->alive(); }

    const Options& options() const { return options_; }
    /// What the server wrote since it was last started: each DHCP message, in and out.
    std::string log() const { return process_ ? process_->output() : ""; }
    /// Waits until that contains `text`, for example "DHCPREQUEST", at `from` or later.
    void wait_log(const std::string& text, const Deadline& deadline, std::size_t from = 0) const {
        process_->wait_output(text, deadline, from);
    }

  private:
    void give_address() const;

    Namespace& where_;
    std::string device_;
    Options options_;
    std::string lease_file_;
    std::unique_ptr<Process> process_;
};

/// A second make of server (busybox udhcpd), for leases shorter than dnsmasq gives: 10.77.1.1 hands
/// out 10.77.1.100 to .150 for some seconds.
class BriefDhcpServer {
  public:
    BriefDhcpServer(Namespace& where, const std::string& device, unsigned lease_seconds);

    /// From now on silent.
    void stop() { process_->stop(); }
    void start();
    std::string log() const { return process_->output(); }

  private:
    Namespace& where_;
    std::string config_path_;
    std::unique_ptr<Process> process_;
};

}  // namespace lab
