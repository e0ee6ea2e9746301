// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A field of a log line: "client_uid=1000" there, CLIENT_UID=1000 in the journal. The same thing
// has the same key in every event, so that `journalctl INTERFACE=eth0` finds all that happened to
// it:
//
//   interface         NII              device             the kernel's name of the device
//   client_uid, client_pid, client_unit                   who asked, as the bus knows it
//   state, state_name, previous_state, previous_state_name       as over D-Bus
//   reason            why, for people
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace impnetd::log {

/// Lower-case letters, digits and underscores, so that upper-cased it is a field name that the
/// journal takes. What else is written does not compile; nor do the names that the log itself
/// gives each entry.
class Key {
  public:
    consteval Key(const char* text) : text_(text) {
        if (!usable(text_)) this_is_no_key();
    }

    constexpr std::string_view text() const { return text_; }

  private:
    static void this_is_no_key();  // called in a constant expression: an error

    static consteval bool usable(std::string_view text) {
        constexpr std::array<std::string_view, 4> taken{"message", "message_id", "priority",
                                                        "syslog_identifier"};
        const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
        return !text.empty() && text.size() <= 64 && letter(text.front()) &&
               std::all_of(
                   text.begin(), text.end(),
                   [&](char c) { return letter(c) || c == '_' || (c >= '0' && c <= '9'); }) &&
               std::find(taken.begin(), taken.end(), text) == taken.end();
    }

    std::string_view text_;
};

/// An empty value says nothing; the field is left out.
struct Field {
    Key key;
    std::string value;
};

}  // namespace impnetd::log
