// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The policy as an administrator writes it: each `policy.d/*.toml` beside the main configuration
// file, in the order of their names, and in each the rules in the order of their places. As with
// the configuration, what cannot be honoured is refused with its file and line: a misspelt
// condition, an unknown user, an address space that is none. A rule that silently never fits would
// be worse than none.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/error.hpp"
#include "core/policy.hpp"
#include "core/rate_limit.hpp"

namespace impnetd {

/// The numbers of users and groups by their names; nothing: there is none.
struct Ids {
    std::function<std::optional<uid_t>(const std::string& name)> user;
    std::function<std::optional<gid_t>(const std::string& name)> group;
};

/// Those that this host knows.
Ids host_ids();

/// A single file's text. `file`: what error messages call it. Every error is one line
/// "file:line: key: what is wrong"; its code is InvalidArgument.
Result<Policy> parse_policy(std::string_view text, const std::string& file, const Ids& ids);

/// The `policy.d` beside `configuration`, which may be missing. `limit`: the one that all share.
/// Failed: a file cannot be read.
Result<Policy> read_policy(const std::filesystem::path& configuration, RateLimit limit,
                           const Ids& ids);

}  // namespace impnetd
