// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz/dictionary.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/input.hpp"
#include "fuzz/text.hpp"

namespace fuzz {

namespace {

using impnetd::Dict;
using impnetd::Value;

constexpr int deepest = 3;

std::int64_t number(const std::string& text) {
    std::int64_t out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

std::vector<std::string> words(const std::string& text) {
    std::vector<std::string> out;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find(' ', at), text.size());
        out.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

Dict read_entries(Input& in, int depth);

Value read_value(Input& in, std::uint8_t type, int depth) {
    switch (type) {
        case 's':
            return {to_utf8(in.until(0))};
        case 'y': {
            const auto bytes = in.until(0);
            return {std::vector<std::uint8_t>(bytes.begin(), bytes.end())};
        }
        case 'i':
            return {number(to_utf8(in.until(0)))};
        case 'a':
            return {words(to_utf8(in.until(0)))};
        case 'b':
            return {in.flag()};
        case 'd': {
            auto entries = read_entries(in, depth + 1);
            if (depth < deepest) return {std::move(entries)};
            return {false};
        }
        default:
            return {false};
    }
}

Dict read_entries(Input& in, int depth) {
    Dict out;
    while (!in.empty()) {
        const auto type = in.byte();
        if (type == '}') break;
        auto key = to_utf8(in.until(0));
        out.insert_or_assign(std::move(key), read_value(in, type, depth));
    }
    return out;
}

}  // namespace

impnetd::Dict read_dictionary(Bytes input) {
    Input in(input);
    return read_entries(in, 1);
}

}  // namespace fuzz
