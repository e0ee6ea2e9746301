// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verdict.hpp"

namespace impnet::detail {

Result<SendResult> describe(Verdict verdict) {
    switch (verdict) {
        case Verdict::sent:
            return SendResult::sent;
        case Verdict::not_connected:
            return SendResult::not_connected;
        case Verdict::would_block:
            return SendResult::would_block;
        case Verdict::address_not_allowed:
            return Error(ErrorCode::address_not_allowed,
                         "address: not on the local network; the socket is closed");
        case Verdict::invalid_port:
            return Error(ErrorCode::invalid_argument, "port: 0, 67 and 68 are not allowed");
        case Verdict::too_large:
            return Error(ErrorCode::too_large, "data: more than 65507 bytes");
        case Verdict::closed:
            return Error(ErrorCode::socket_closed, "the socket is closed");
        case Verdict::no_answer:
            return Error(ErrorCode::no_daemon, "the daemon did not answer within 5 s");
        case Verdict::failed:
            break;
    }
    return Error(ErrorCode::failed, "the datagram was refused");
}

}  // namespace impnet::detail
