// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A NIC that brings an address along: 10.77.1.50 on the LAN of the lab.
#pragma once

#include <impnet/nic.hpp>

namespace lab {

inline impnet::Nic static_nic() {
    impnet::Nic nic("eth0");
    nic.staticconfig = impnet::StaticConfig{.ip = "10.77.1.50",
                                            .netmask = "255.255.255.0",
                                            .gateway = "10.77.1.1",
                                            .dns = {"10.77.1.1"}};
    return nic;
}

}  // namespace lab
