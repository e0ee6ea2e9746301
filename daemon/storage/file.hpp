// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Files that hold either what they held or what was last written to them, whenever the process is
// killed, the disk full or the power gone: the new content is made complete under another name, and
// then takes the place of the old. There is one such name for each file, so that ends in the middle
// leave no pile behind.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace impnetd::storage {

/// Nothing: there is no such file. Failed: it cannot be read, or is no small regular file.
Result<std::optional<std::string>> read_file(const std::filesystem::path& path);

/// Waits for the disk. For the owner's eyes only (0600). Failed: the file is as it was; if only the
/// last step failed, it is new, and perhaps will not be after a loss of power. One at a time for
/// each file.
Result<> replace_file(const std::filesystem::path& path, std::string_view content);

/// Out of the way, and kept for whoever wants to look at it: as "NAME.damaged", or "NAME.damaged.1"
/// and so on if these are taken, of which the last gives way. The name it has now.
Result<std::filesystem::path> set_aside(const std::filesystem::path& path);

}  // namespace impnetd::storage
