// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What becomes of a field's value, whatever bytes it has: in the line, and in the journal.
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "log/journal.hpp"
#include "log/line.hpp"

using namespace impnetd::log;
using namespace std::string_view_literals;

namespace {

std::string line_of(std::string_view value) {
    return format_line("fault", std::vector<Field>{{"reason", std::string(value)}});
}

std::string entry_of(std::string_view value) {
    JournalEntry entry;
    entry.add("REASON", value);
    return entry.bytes();
}

}  // namespace

TEST_CASE("a line has the event's name and then its fields in their order", "[log]") {
    CHECK(format_line("started", {}) == "started");
    CHECK(format_line("lease", std::vector<Field>{{"interface", "eth0"},
                                                  {"address", "10.77.1.100/24"},
                                                  {"lease_seconds", "120"}}) ==
          "lease interface=eth0 address=10.77.1.100/24 lease_seconds=120");
}

TEST_CASE("a value that could be taken for more than one is quoted", "[log]") {
    CHECK(line_of("") == "fault reason=\"\"");
    CHECK(line_of("two words") == "fault reason=\"two words\"");
    CHECK(line_of("a=b") == "fault reason=\"a=b\"");
    CHECK(line_of("say \"no\"") == "fault reason=\"say \\\"no\\\"\"");
    CHECK(line_of("C:\\x0a") == "fault reason=\"C:\\\\x0a\"");
}

TEST_CASE("no value makes a second line or speaks to a terminal", "[log]") {
    CHECK(line_of("a\nfault reason=forged") == "fault reason=\"a\\x0afault reason=forged\"");
    CHECK(line_of("\x1b[2J\r\t\x7f"sv) == "fault reason=\"\\x1b[2J\\x0d\\x09\\x7f\"");
    CHECK(line_of("a\0b"sv) == "fault reason=\"a\\x00b\"");
    CHECK(line_of("\xc2\x9b"
                  "2J") == "fault reason=\"\\xc2\\x9b2J\"");  // U+009B, another ESC [
}

TEST_CASE("a line is UTF-8, whatever its values are", "[log]") {
    CHECK(line_of("Z\u00fcrich \u20ac \U0001f600") ==
          "fault reason=\"Z\u00fcrich \u20ac \U0001f600\"");
    CHECK(line_of("\xc2\xa0") == "fault reason=\"\xc2\xa0\"");  // the first after the controls
    CHECK(line_of("\xf4\x8f\xbf\xbf") == "fault reason=\"\xf4\x8f\xbf\xbf\"");  // the last of all
    const auto escaped = GENERATE(as<std::string>{},
                                  "\xff",              // never occurs
                                  "\x80",              // continues nothing
                                  "\xc3",              // cut off
                                  "\xe2\x82",          // cut off
                                  "\xc0\xaf",          // "/" in two bytes
                                  "\xc1\xbf",          // the same kind
                                  "\xe0\x80\xaf",      // in three
                                  "\xf0\x80\x80\xaf",  // in four
                                  "\xed\xa0\x80",      // a surrogate
                                  "\xf4\x90\x80\x80",  // beyond the last
                                  "\xf8\x88\x80\x80\x80");
    std::string expected = "fault reason=\"a";
    for (const char c : escaped) {
        constexpr auto* hex = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        expected.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
    }
    CHECK(line_of("a" + escaped + "b") == expected + "b\"");
    CHECK(line_of("a" + escaped) == expected + "\"");
}

TEST_CASE("a field of a journal entry is its name, its value and a newline", "[log]") {
    CHECK(entry_of("plain") == "REASON=plain\n");
    CHECK(entry_of("") == "REASON=\n");
    CHECK(entry_of("a=b \"c\" \\") == "REASON=a=b \"c\" \\\n");
    CHECK(entry_of("\xff\xfe\0\x1b"sv) == "REASON=\xff\xfe\0\x1b\n"sv);

    JournalEntry two;
    two.add("INTERFACE", "eth0");
    two.add("STATE", "204");
    CHECK(two.bytes() == "INTERFACE=eth0\nSTATE=204\n");
}

TEST_CASE("a value with a newline is sent with its size, and adds no field", "[log]") {
    CHECK(entry_of("a\nPRIORITY=0") == "REASON\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n"sv);
    CHECK(entry_of("\n") == "REASON\n\x01\0\0\0\0\0\0\0\n\n"sv);
    const std::string huge(70'000, '\n');  // 0x11170
    CHECK(entry_of(huge) == std::string("REASON\n\x70\x11\x01\0\0\0\0\0"sv) + huge + "\n");
}
