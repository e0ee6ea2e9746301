// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The line that people read: the event's name and its fields in logfmt. It is printable UTF-8
// whatever the values are, and one line: a client's text must not be able to make a second line, a
// second field or a terminal's control sequence.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "log/field.hpp"

namespace impnetd::log {

std::string format_line(std::string_view event, std::span<const Field> fields);

}  // namespace impnetd::log
