// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The stored configuration as the text of a file: TOML, so that a person can read it, with each
// secret as the sealed blob in base64.
#pragma once

#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/stored_configuration.hpp"

namespace impnetd::storage {

/// What `parse_text` turns into the same value.
std::string write_text(const StoredConfiguration& stored);

/// `file`: what messages call it. Every error is one line "file:line: key: what is wrong".
/// NotSupported: a later version of impnetd wrote it. InvalidArgument: nobody of ours wrote it so.
Result<StoredConfiguration> parse_text(std::string_view text, const std::string& file);

}  // namespace impnetd::storage
