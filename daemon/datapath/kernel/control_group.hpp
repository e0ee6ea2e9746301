// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A control group of our own, below the one we are in. A socket stays with the group it was made
// in, whoever holds it, and obeys the programs that are attached there; so the programs see the
// sockets we hand out and no others. The group goes when nobody is in it any more; with a socket of
// it still open it works on, without a name (cgroup v2, Documentation/admin-guide/cgroup-v2.rst).
// A daemon that was killed together with the one process in the group leaves it behind; the next
// removes it. The lock on its directory tells that a group has a daemon.
#pragma once

#include <string>
#include <utility>

#include "core/error.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd::kernel {

class ControlGroup {
  public:
    /// Failed: there is no cgroup v2 here, or none that we may divide.
    static Result<ControlGroup> make();
    ~ControlGroup();
    ControlGroup(ControlGroup&&) = default;
    ControlGroup& operator=(ControlGroup&&) = delete;

    const std::string& path() const { return path_; }
    /// Its directory.
    int fd() const { return directory_.get(); }

  private:
    ControlGroup(std::string path, UniqueFd directory)
        : path_(std::move(path)), directory_(std::move(directory)) {}

    std::string path_;
    UniqueFd directory_;
};

}  // namespace impnetd::kernel
