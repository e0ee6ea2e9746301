// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz/text.hpp"

#include <array>

namespace fuzz {

namespace {

struct Form {
    unsigned char mask;
    unsigned char lead;
    unsigned least;  ///< what is smaller has a shorter form
};

constexpr std::array<Form, 4> forms{{
    {0x80, 0x00, 0},
    {0xe0, 0xc0, 0x80},
    {0xf0, 0xe0, 0x800},
    {0xf8, 0xf0, 0x10000},
}};

}  // namespace

std::size_t character_size(std::string_view text) {
    if (text.empty()) return 0;
    const auto first = static_cast<unsigned char>(text.front());
    for (std::size_t size = 1; size <= forms.size(); ++size) {
        const auto& form = forms[size - 1];
        if ((first & form.mask) != form.lead) continue;
        if (text.size() < size) return 0;
        unsigned code = first & static_cast<unsigned>(~form.mask & 0xff);
        for (const char c : text.substr(1, size - 1)) {
            if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) return 0;
            code = code << 6 | (static_cast<unsigned char>(c) & 0x3f);
        }
        const bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < form.least || code > 0x10ffff || surrogate ? 0 : size;
    }
    return 0;
}

std::string to_utf8(Bytes bytes) {
    std::string out(bytes.begin(), bytes.end());
    for (std::size_t at = 0; at < out.size();) {
        const auto size = character_size(std::string_view(out).substr(at));
        if (size == 0) out[at] = '?';
        at += size == 0 ? 1 : size;
    }
    return out;
}

bool is_showable(std::string_view text) {
    if (!is_utf8(text)) return false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x20 || byte == 0x7f) return false;
        // U+0080 to U+009F, the control characters of eight bits.
        if (byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0) return false;
    }
    return true;
}

}  // namespace fuzz
