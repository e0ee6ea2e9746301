// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What nearly every test begins with: a host and a server with a cable between them, and a bus. The
// server is 10.77.1.1/24; whether it gives out addresses is up to the test.
#pragma once

#include <cstdlib>
#include <string>

#include "bus.hpp"
#include "cable.hpp"
#include "dhcp_server.hpp"
#include "namespace.hpp"

namespace lab {

struct Lan {
    Namespace host{"host"};
    Namespace server{"server"};
    Cable cable{host, "lan0", server, "srv0"};
    Bus bus;

    Lan() { server.run({"ip", "address", "add", "10.77.1.1/24", "broadcast", "+", "dev", "srv0"}); }

    /// The daemon's configuration for this host; `more` goes below it.
    static std::string managed(const std::string& more = "") {
        return "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\n" + with_path(more);
    }
    static std::string observed(const std::string& more = "") {
        return "[interfaces.eth0]\ndevice = \"lan0\"\n" + with_path(more);
    }
    /// A run of the tests may ask for one of the data paths ($LAB_DATA_PATH).
    static std::string with_path(const std::string& more) {
        const char* path = std::getenv("LAB_DATA_PATH");
        if (path == nullptr || more.find("[datapath]") != std::string::npos) return more;
        return more + "[datapath]\npath = \"" + path + "\"\n";
    }

    /// The addresses of the host's device as the kernel has them: "10.77.1.100/24 ".
    std::string addresses() const {
        return host.run({"sh", "-c",
                         "ip -4 -o address show dev lan0 | while read n d f a rest; do "
                         "printf '%s ' $a; done"});
    }
};

}  // namespace lab
