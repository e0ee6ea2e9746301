// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Datagrams of a batch that can travel together: to one address and of one size. On the kernel path
// they pass the kernel as one and are cut apart where they leave (UDP_SEGMENT, udp(7)), on the
// relay they are one message to the daemon. Either is several times as fast as one by one.
#pragma once

#include <cstddef>
#include <span>

#include "impnet/datagram.hpp"

namespace impnet::detail {

/// That travel together.
constexpr std::size_t most_alike = 64;
/// Larger ones might have to be fragmented, which the kernel does with single ones only.
constexpr std::size_t largest_alike = 1472;

/// How many at the beginning are alike, of which the last may be smaller: at least one, if there is
/// any. `largest`: of those that may travel together.
std::size_t count_alike(std::span<const OutgoingDatagram> datagrams,
                        std::size_t largest = largest_alike);

}  // namespace impnet::detail
