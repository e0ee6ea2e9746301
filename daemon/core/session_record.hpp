// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A session as a value that outlives the process: what a restarted daemon needs to give a client
// its session and its sockets back. It holds secrets (the token, a NIC's keys) and is never put on
// disk.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/client.hpp"
#include "core/data_path.hpp"
#include "core/error.hpp"
#include "core/nic.hpp"
#include "core/state.hpp"

namespace impnetd {

struct SocketRecord {
    std::uint64_t id = 0;
    std::uint16_t port = 0;  ///< the port it was opened with, 0: any
    Delivery delivery = Delivery::signal;

    friend bool operator==(const SocketRecord&, const SocketRecord&) = default;
};

struct SessionRecord {
    std::uint64_t id = 0;
    std::string token;
    Client client;
    Nic nic;
    State state = State::unknown;     ///< what its owner was last told
    std::vector<StateReport> untold;  ///< what it is to be told when it is back
    std::vector<SocketRecord> sockets;

    friend bool operator==(const SessionRecord&, const SessionRecord&) = default;
};

std::vector<std::uint8_t> write_record(const SessionRecord& record);
/// Refuses whatever `write_record` did not write: other versions, truncation, trailing bytes.
Result<SessionRecord> read_session_record(std::span<const std::uint8_t> bytes);

}  // namespace impnetd
