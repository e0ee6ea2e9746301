// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Looking at what programs wrote.
#pragma once

#include <cstddef>
#include <string>

namespace lab {

inline std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace lab
