// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Dictionaries as a method's arguments bring them, and the same with one thing otherwise.
#pragma once

#include <string>
#include <utility>

#include "core/dict.hpp"

inline impnetd::Value text(std::string value) {
    return {std::move(value)};
}

inline impnetd::Dict with(impnetd::Dict dict, const std::string& key, impnetd::Value value) {
    dict[key] = std::move(value);
    return dict;
}

inline impnetd::Dict without(impnetd::Dict dict, const std::string& key) {
    dict.erase(key);
    return dict;
}
