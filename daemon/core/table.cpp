// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/table.hpp"

#include <algorithm>
#include <variant>

#include "core/quote.hpp"

namespace impnetd {

namespace {

constexpr std::size_t longest_blob = 1024;

}  // namespace

const Value* Table::find(std::string_view key, bool required) {
    known_.emplace_back(key);
    const auto found = dict_.find(std::string(key));
    if (found != dict_.end()) return &found->second;
    if (required) reject(key, "missing");
    return nullptr;
}

std::string Table::text(std::string_view key, std::size_t least, std::size_t most, bool required) {
    const auto* value = find(key, required);
    if (value == nullptr) return {};
    const auto* text = std::get_if<std::string>(&value->content);
    if (text == nullptr) {
        reject(key, "not a string");
        return {};
    }
    check_length(key, text->size(), least, most);
    return *text;
}

Secret Table::secret(std::string_view key, std::size_t most, bool required) {
    const auto* value = find(key, required);
    if (value == nullptr) return {};
    if (const auto* text = std::get_if<std::string>(&value->content)) {
        check_length(key, text->size(), 0, most);
        return SecretText(*text);
    }
    if (const auto* blob = std::get_if<SealedBlob>(&value->content)) {
        check_length(key, blob->size(), 1, longest_blob);
        return *blob;
    }
    reject(key, "neither a string nor a byte array");
    return {};
}

Ipv4 Table::address(std::string_view key) {
    const auto* value = find(key, true);
    if (value == nullptr) return {};
    const auto* text = std::get_if<std::string>(&value->content);
    if (text == nullptr) {
        reject(key, "not a string");
        return {};
    }
    const auto parsed = Ipv4::parse(*text);
    if (!parsed) reject(key, "not a dotted quad");
    return parsed.value_or(Ipv4{});
}

std::vector<Ipv4> Table::addresses(std::string_view key, std::size_t least, std::size_t most) {
    const auto* value = find(key, true);
    if (value == nullptr) return {};
    const auto* texts = std::get_if<std::vector<std::string>>(&value->content);
    if (texts == nullptr) {
        reject(key, "not an array of strings");
        return {};
    }
    std::vector<Ipv4> out;
    for (const auto& text : *texts) {
        const auto parsed = Ipv4::parse(text);
        if (!parsed || parsed->is_zero()) reject(key, "has an entry that is no usable dotted quad");
        out.push_back(parsed.value_or(Ipv4{}));
    }
    if (out.size() < least || out.size() > most)
        reject(key, "needs " + std::to_string(least) + " to " + std::to_string(most) + " entries");
    return out;
}

std::uint16_t Table::port(std::string_view key) {
    const auto* value = find(key, true);
    if (value == nullptr) return 0;
    const auto* number = std::get_if<std::int64_t>(&value->content);
    if (number == nullptr) {
        reject(key, "not a number");
        return 0;
    }
    if (*number < 1 || *number > 65535) reject(key, "not a port from 1 to 65535");
    return static_cast<std::uint16_t>(*number);
}

const Dict* Table::table(std::string_view key) {
    const auto* value = find(key, false);
    if (value == nullptr) return nullptr;
    const auto* dict = std::get_if<Dict>(&value->content);
    if (dict == nullptr) reject(key, "not a dictionary");
    return dict;
}

void Table::reject(std::string_view key, std::string_view why, ErrorCode code) {
    if (error_) return;
    std::string message(prefix_);
    if (!message.empty()) message += '.';
    message += shortened(key) + ": ";
    message += why;
    error_ = Error{code, std::move(message)};
}

Result<> Table::finish() {
    for (const auto& [key, value] : dict_)
        if (std::find(known_.begin(), known_.end(), key) == known_.end())
            reject(key, "unknown key");
    if (error_) return tl::unexpected<Error>(*error_);
    return {};
}

void Table::check_length(std::string_view key, std::size_t size, std::size_t least,
                         std::size_t most) {
    if (size >= least && size <= most) return;
    reject(key, least == 0 ? "longer than " + std::to_string(most) + " bytes"
                           : "not " + std::to_string(least) + " to " + std::to_string(most) +
                                 " bytes long");
}

}  // namespace impnetd
