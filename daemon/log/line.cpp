// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log/line.hpp"

#include <algorithm>
#include <cstddef>

namespace impnetd::log {

namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
    return static_cast<unsigned char>(text[at]);
}

/// How many bytes the printable character at the beginning of `text` has; 0: there is none (a
/// control character, or no UTF-8: cut off, longer than need be, a surrogate, beyond U+10FFFF).
std::size_t printable_character(std::string_view text) {
    const unsigned char lead = byte_at(text, 0);
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
    char32_t character = lead & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
        character = character << 6 | (byte_at(text, i) & 0x3fU);
    }
    constexpr char32_t smallest[] = {0, 0, 0xa0, 0x800, 0x10000};  // U+0080 to U+009F are controls
    const bool surrogate = character >= 0xd800 && character < 0xe000;
    return character >= smallest[size] && character <= 0x10ffff && !surrogate ? size : 0;
}

void append_value(std::string& line, std::string_view value) {
    const auto plain = [](char c) {
        return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
    };
    if (!value.empty() && std::all_of(value.begin(), value.end(), plain)) {
        line += value;
        return;
    }
    constexpr std::string_view hex = "0123456789abcdef";
    line += '"';
    for (std::size_t at = 0; at < value.size();) {
        const std::size_t size = printable_character(value.substr(at));
        if (size == 0) {
            line += "\\x";
            line += hex[byte_at(value, at) >> 4];
            line += hex[byte_at(value, at) & 0xf];
            ++at;
            continue;
        }
        if (value[at] == '"' || value[at] == '\\') line += '\\';
        line += value.substr(at, size);
        at += size;
    }
    line += '"';
}

}  // namespace

std::string format_line(std::string_view event, std::span<const Field> fields) {
    std::string line(event);
    for (const auto& field : fields) {
        line += ' ';
        line += field.key.text();
        line += '=';
        append_value(line, field.value);
    }
    return line;
}

}  // namespace impnetd::log
