// SPDX-License-Identifier: LGPL-2.1-or-later
#include "alike.hpp"

#include <algorithm>

namespace impnet::detail {

std::size_t count_alike(std::span<const OutgoingDatagram> datagrams, std::size_t largest) {
    if (datagrams.empty()) return 0;
    const auto& first = datagrams.front();
    const std::size_t size = first.data.size();
    if (size == 0 || size > largest) return 1;
    constexpr std::size_t most_data = 65507;  // of a datagram, which they are for a while
    const std::size_t most = std::min({datagrams.size(), most_alike, most_data / size});
    std::size_t count = 1;
    while (count < most && datagrams[count - 1].data.size() == size) {
        const auto& next = datagrams[count];
        if (next.to != first.to || next.port != first.port || next.data.empty() ||
            next.data.size() > size)
            break;
        ++count;
    }
    return count;
}

}  // namespace impnet::detail
