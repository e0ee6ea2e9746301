// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/membership.hpp"

#include <exception>
#include <utility>

#include <grp.h>
#include <pwd.h>

namespace impnetd::bus {

namespace {

std::vector<gid_t> groups_of(uid_t user) {
    std::vector<char> text(std::size_t{1} << 16);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(user, &entry, text.data(), text.size(), &found) != 0 || found == nullptr)
        return {};
    std::vector<gid_t> groups(64);
    for (;;) {
        auto count = static_cast<int>(groups.size());
        const bool all = ::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) >= 0;
        groups.resize(static_cast<std::size_t>(count));
        if (all) return groups;
    }
}

}  // namespace

Result<> Membership::ask(uid_t user, OnKnown on_known) {
    if (waiting_.size() == most_waiting)
        return fail(ErrorCode::limit_exceeded, "too many questions about users wait already");
    waiting_.push_back({user, std::move(on_known)});
    if (waiting_.size() == 1) look_up();
    return {};
}

void Membership::look_up() {
    const auto groups = std::make_shared<std::vector<gid_t>>();
    work_ = std::make_unique<Background>(
        loop_, [groups, user = waiting_.front().user] { *groups = groups_of(user); },
        [this, groups](const std::exception_ptr&) {  // without memory: it found none
            // The work's own frames are on the stack.
            loop_.defer([this, groups, alive = std::weak_ptr(alive_)] {
                if (!alive.expired()) known(*groups);
            });
        });
}

void Membership::known(const std::vector<gid_t>& groups) {
    work_.reset();
    const auto question = std::move(waiting_.front());
    waiting_.pop_front();
    if (!waiting_.empty()) look_up();
    question.on_known(groups);
}

}  // namespace impnetd::bus
