// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Somebody else's text in a message: short, on one line, and cut between characters, since what is
// not UTF-8 cannot be sent over the bus.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace impnetd {

/// `text` with '?' for its control characters, those of eight bits (U+0080 to U+009F) as well: it
/// ends no line of a log and gives a terminal no commands.
inline std::string on_one_line(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const auto next = at + 1 < text.size() ? static_cast<unsigned char>(text[at + 1]) : 0;
        const bool of_eight_bits = byte == 0xc2 && next >= 0x80 && next < 0xa0;
        out += byte < 0x20 || byte == 0x7f || of_eight_bits ? '?' : text[at];
        if (of_eight_bits) ++at;
    }
    return out;
}

/// `text`, or its beginning and "..." where it is longer than `most` bytes.
inline std::string cut(std::string_view text, std::size_t most) {
    if (text.size() <= most) return std::string(text);
    std::size_t size = most;
    const auto continues = [&](std::size_t at) {
        return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
    };
    while (size > 0 && continues(size)) --size;
    return std::string(text.substr(0, size)) + "...";
}

/// `text` on one line, cut where it is longer than any name of ours.
inline std::string shortened(std::string_view text) {
    return on_one_line(cut(text, 40));
}

}  // namespace impnetd
