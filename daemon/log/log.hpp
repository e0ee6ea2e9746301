// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The log: one line for each event, the event's name first and then its fields in logfmt, so that
// people read it and programs parse it. Under systemd the line goes to the journal with the
// fields beside it and the event's message id; else to stderr. Secrets never get here. Nothing here
// waits for the journal, and nothing throws.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "core/error.hpp"
#include "log/event.hpp"
#include "log/field.hpp"

namespace impnetd::log {

enum class Level : std::uint8_t { debug, info, warning, error };

/// Starts the log, from `level` on: to the journal if stderr is one of its streams, else to stderr.
/// Before this call nothing is logged.
void open(Level level);
/// "debug", "info", "warning" or "error".
Result<Level> parse_level(std::string_view text);

/// A value of more than 1 KiB is cut.
void debug(Event event, std::initializer_list<Field> fields = {});
void info(Event event, std::initializer_list<Field> fields = {});
void warning(Event event, std::initializer_list<Field> fields = {});
void error(Event event, std::initializer_list<Field> fields = {});

/// Tells now how many lines have been suppressed, without waiting for the end of their windows.
void tell_suppressed();

}  // namespace impnetd::log
