// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Descriptors that outlive this process: the service manager keeps copies of them, by name, and
// gives them to the process that it starts next ("File Descriptor Store", sd_notify(3), FDSTORE=1).
// So a socket stays bound and a memory file keeps its content while nobody of ours runs, however
// the last process ended; and if the service ends for good, the manager closes them.
//
// What is kept under one name comes and goes together. Without a service manager nothing is kept.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loop/unique_fd.hpp"
#include "service/notify.hpp"

namespace impnetd {

class FdStore {
  public:
    /// Descriptors by the name they were kept under.
    using Inherited = std::multimap<std::string, UniqueFd>;

    explicit FdStore(Notify& notify, Inherited inherited = {})
        : notify_(notify), inherited_(std::move(inherited)) {}

    /// Adds copies of these to what is kept under the name.
    void keep(const std::string& name, const std::vector<int>& descriptors);
    /// Keeps nothing under this name any more.
    void drop(const std::string& name);
    /// Calls back, later, once everything so far is really kept: nothing may be promised before.
    void settled(std::function<void()> done) { notify_.barrier(std::move(done)); }

    /// Names, beginning with `prefix`, under which the process before us kept something that nobody
    /// has taken yet.
    std::vector<std::string> inherited(std::string_view prefix) const;
    bool has_inherited(const std::string& name) const { return inherited_.contains(name); }
    /// What it kept under this name. It goes on being kept.
    std::vector<UniqueFd> take(const std::string& name);
    /// What nobody has taken is not kept any more.
    void drop_rest();

    /// What was passed to this process ($LISTEN_FDS, sd_listen_fds(3)). Once, at the start.
    static Inherited from_environment();

  private:
    Notify& notify_;
    Inherited inherited_;
};

}  // namespace impnetd
