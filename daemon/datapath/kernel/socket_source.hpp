// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where sockets of the control group come from. The daemon itself is not in the group, as its own
// sockets must not be governed; a small program is (socket_source_main.cpp), which makes them. A
// few are always ready, so that nobody has to wait for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "datapath/kernel/control_group.hpp"
#include "loop/loop.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd::kernel {

class SocketSource {
  public:
    /// Sockets that are kept ready.
    static constexpr std::size_t stock = 8;
    /// How long a socket may take if none is ready. The program needs microseconds, but the host
    /// has to let it run.
    static constexpr Milliseconds patience{1'000};

    /// `program`: the path of impnet-socket-source.
    SocketSource(Loop& loop, std::string program, const ControlGroup& group);
    ~SocketSource();
    SocketSource(const SocketSource&) = delete;
    SocketSource& operator=(const SocketSource&) = delete;

    /// A new UDP socket, not bound, with nothing set. Unavailable: the program cannot be run, or
    /// does not answer.
    Result<UniqueFd> take(Milliseconds limit = patience);

  private:
    Result<> start();
    void ask(std::size_t count);
    struct Reply {
        enum class Kind : std::uint8_t { socket, refusal, none, end };
        Kind kind;
        UniqueFd socket;
    };
    /// The next one that waits in the line.
    Reply next();

    Loop& loop_;
    std::string program_;
    const ControlGroup& group_;
    UniqueFd line_;  // the stock waits in it
    std::unique_ptr<Child> child_;
    bool fresh_ = false;  // it has not answered yet
};

/// The installed program, or that in the build tree beside ourselves.
std::string socket_source_program(const std::string& own_directory);

}  // namespace impnetd::kernel
