// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Configuration files as text: small, regular ones.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace impnetd::config {

/// A file's text. Failed: it cannot be read, or is larger than 1 MiB.
Result<std::string> slurp(const std::filesystem::path& path);

/// The files "*.toml" of a folder, which may be missing, in the order of their names.
Result<std::vector<std::filesystem::path>> drop_ins(const std::filesystem::path& folder);

}  // namespace impnetd::config
