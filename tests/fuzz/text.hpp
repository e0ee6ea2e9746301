// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is text: what the bus carries, and what a person may be shown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "fuzz/targets.hpp"

namespace fuzz {

/// The size of the character that `text` begins with, in UTF-8 as RFC 3629 has it; 0: none.
std::size_t character_size(std::string_view text);

inline bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const auto size = character_size(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

/// The bytes as text, '?' for those that are none.
std::string to_utf8(Bytes bytes);

/// Text without control characters: it neither ends a line of the log nor commands a terminal.
bool is_showable(std::string_view text);

inline bool is_printable_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace fuzz
