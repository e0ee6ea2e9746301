// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What became of one datagram, before it is dressed as the public result: one byte, so that a batch
// of them is an array.
#pragma once

#include <cstdint>

#include "impnet/datagram.hpp"
#include "impnet/result.hpp"

namespace impnet::detail {

enum class Verdict : std::uint8_t {
    sent,
    not_connected,
    would_block,
    address_not_allowed,  ///< and the socket is closed
    invalid_port,
    too_large,
    closed,
    no_answer,
    failed,
};

/// As `send` tells it to the program.
Result<SendResult> describe(Verdict verdict);

}  // namespace impnet::detail
