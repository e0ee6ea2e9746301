// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addressing/arp.hpp"

#include <algorithm>

#include "fuzz/targets.hpp"

namespace fuzz {

void arp(Bytes input) {
    const auto message = impnetd::read_arp(input);
    if (!message) return;
    const auto written = impnetd::write_arp(*message);
    demand(std::equal(written.begin(), written.end(), input.begin()),
           "a message is written as it was read");
    demand(!impnetd::read_arp(input.first(written.size() - 1)), "a message cut short is none");
}

}  // namespace fuzz
