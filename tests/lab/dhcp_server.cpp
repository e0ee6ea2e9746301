// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dhcp_server.hpp"

#include <fstream>
#include <utility>

#include <unistd.h>

#include "world.hpp"

namespace lab {

DhcpServer::DhcpServer(Namespace& where, std::string device, Options options)
    : where_(where),
      device_(std::move(device)),
      options_(std::move(options)),
      lease_file_(fresh_path(".leases")) {
    start();
}

void DhcpServer::give_address() const {
    where_.run(
        {"ip", "address", "replace", options_.address + "/24", "broadcast", "+", "dev", device_});
}

void DhcpServer::stop() {
    if (process_) process_->stop();
}

void DhcpServer::start(Leases leases) {
    stop();
    if (leases == Leases::forget) ::unlink(lease_file_.c_str());
    give_address();
    std::vector<std::string> command = {"dnsmasq",
                                        "--keep-in-foreground",
                                        "--conf-file=/dev/null",
                                        "--log-facility=-",
                                        "--log-dhcp",
                                        "--port=0",
                                        "--interface=" + device_,
                                        "--bind-interfaces",
                                        "--user=root",
                                        "--pid-file=",
                                        "--no-ping",
                                        "--dhcp-authoritative",
                                        "--dhcp-leasefile=" + lease_file_,
                                        "--dhcp-range=" + options_.first + "," + options_.last +
                                            ",255.255.255.0," + options_.lease};
    // Without a value the option is not sent (dnsmasq would name itself).
    command.push_back("--dhcp-option=option:router" +
                      (options_.router.empty() ? "" : "," + options_.router));
    std::string dns = "--dhcp-option=option:dns-server";
    for (const std::string& server : options_.dns) dns += "," + server;
    command.push_back(dns);
    command.insert(command.end(), options_.more.begin(), options_.more.end());
    process_ = std::make_unique<Process>(where_, command);
    // Written once its socket is bound.
    process_->wait_output("DHCP, sockets bound", Deadline(Milliseconds(5'000)));
}

void DhcpServer::start(Options options, Leases leases) {
    stop();
    options_ = std::move(options);
    start(leases);
}

BriefDhcpServer::BriefDhcpServer(Namespace& where, const std::string& device,
                                 unsigned lease_seconds)
    : where_(where), config_path_(fresh_path(".udhcpd.conf")) {
    const std::string lease_file = fresh_path(".leases");
    std::ofstream(lease_file) << std::flush;  // it must be there
    std::ofstream(config_path_) << "start 10.77.1.100\nend 10.77.1.150\ninterface " << device
                                << "\nauto_time 0\nmin_lease 1\nlease_file " << lease_file
                                << "\npidfile " << fresh_path(".pid")
                                << "\noption subnet 255.255.255.0\noption router 10.77.1.1"
                                << "\noption dns 10.77.1.1\noption lease " << lease_seconds << "\n";
    where_.run({"ip", "address", "replace", "10.77.1.1/24", "broadcast", "+", "dev", device});
    start();
}

void BriefDhcpServer::start() {
    // -a 0: no ARP before an offer.
    process_ = std::make_unique<Process>(
        where_, std::vector<std::string>{"busybox", "udhcpd", "-f", "-a", "0", config_path_});
    process_->wait_output("started", Deadline(Milliseconds(5'000)));
}

}  // namespace lab
