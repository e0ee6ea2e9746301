// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A secret: as the text that somebody gave us, or as the sealed blob that only this device can open
// (storage/device_key.hpp). A text lives from the call that brought it until it is sealed, and from
// its opening until it is used; whatever is remembered, in memory or on disk, is a blob.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

namespace impnetd {

/// Leaves nothing behind where it was in memory. It has no way into a stream or a log but `reveal`.
class SecretText {
  public:
    SecretText() = default;
    explicit SecretText(std::string_view text) : text_(text.begin(), text.end()) {}
    SecretText(const SecretText&) = default;
    SecretText(SecretText&&) noexcept = default;
    SecretText& operator=(SecretText other) noexcept {
        text_.swap(other.text_);
        return *this;
    }
    ~SecretText() {
        for (volatile char& character : text_) character = 0;  // which no optimiser leaves out
    }

    bool empty() const { return text_.empty(); }
    std::string_view reveal() const { return {text_.data(), text_.size()}; }

    friend bool operator==(const SecretText&, const SecretText&) = default;

  private:
    std::vector<char> text_;  // unlike a string, it leaves no copy where it was moved from
};

using SealedBlob = std::vector<std::uint8_t>;

/// An empty text: there is none.
using Secret = std::variant<SecretText, SealedBlob>;

inline bool is_none(const Secret& secret) {
    const auto* text = std::get_if<SecretText>(&secret);
    return text != nullptr && text->empty();
}

/// Whether it may be remembered.
inline bool is_kept_safe(const Secret& secret) {
    return is_none(secret) || std::holds_alternative<SealedBlob>(secret);
}

}  // namespace impnetd
