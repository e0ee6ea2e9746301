// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log/log.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include "core/quote.hpp"
#include "log/flood_gate.hpp"
#include "log/journal.hpp"
#include "log/line.hpp"

namespace impnetd::log {

namespace {

using Fields = std::vector<Field>;

constexpr const char* identifier = "impnetd";
/// With that the longest entry, every byte of it escaped in its line, is far from the size of a
/// datagram.
constexpr std::size_t longest_value = 1024;

/// Where lines go.
class Output {
  public:
    virtual ~Output() = default;
    virtual void write(Level level, Event event, const Fields& fields) = 0;
};

class StderrOutput final : public Output {
  public:
    StderrOutput() : logger_(identifier, std::make_shared<spdlog::sinks::stderr_sink_st>()) {
        logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
        logger_.set_level(spdlog::level::debug);
    }

    void write(Level level, Event event, const Fields& fields) override {
        constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                    spdlog::level::err};
        logger_.log(levels.at(static_cast<std::size_t>(level)),
                    spdlog::string_view_t(format_line(event.name(), fields)));
    }

  private:
    spdlog::logger logger_;
};

class JournalOutput final : public Output {
  public:
    void write(Level level, Event event, const Fields& fields) override {
        if (lost_ > 0 &&
            !journal_.send(entry(Level::warning, "log_lost", {{"count", std::to_string(lost_)}}))) {
            ++lost_;
            return;
        }
        lost_ = journal_.send(entry(level, event, fields)) ? 0 : 1;
    }

  private:
    static JournalEntry entry(Level level, Event event, const Fields& fields) {
        constexpr std::array priorities{LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
        JournalEntry out;
        out.add("MESSAGE", format_line(event.name(), fields));
        out.add("MESSAGE_ID", event.id());
        out.add("PRIORITY", std::to_string(priorities.at(static_cast<std::size_t>(level))));
        out.add("SYSLOG_IDENTIFIER", identifier);
        for (const auto& field : fields) {
            std::string name(field.key.text());
            for (char& c : name)
                if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
            out.add(name, field.value);
        }
        return out;
    }

    Journal journal_;
    std::uint64_t lost_ = 0;  // entries, since the last one that was sent
};

struct Log {
    std::unique_ptr<Output> output;  // none: not open
    Level level = Level::info;
    FloodGate gate;
};

Log& the_log() {
    static Log log;
    return log;
}

std::uint64_t monotonic_nanoseconds() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

const Field* find(const Fields& fields, Key key) {
    for (const auto& field : fields)
        if (field.key.text() == key.text()) return &field;
    return nullptr;
}

/// Those that say something, none longer than it may be.
Fields said(std::initializer_list<Field> given) {
    Fields fields;
    fields.reserve(given.size());
    for (const auto& field : given)
        if (!field.value.empty()) fields.push_back({field.key, cut(field.value, longest_value)});
    return fields;
}

/// Whom or what an event is about, the first of these that it has.
constexpr std::array<Key, 3> subject_keys{"client_uid", "interface", "device"};

std::string prefix(Key key) {
    return std::string(key.text()) + "=";
}

/// For example "client_uid=1000".
std::string subject_of(const Fields& fields) {
    for (const auto key : subject_keys)
        if (const auto* field = find(fields, key)) return prefix(key) + shortened(field->value);
    return {};
}

/// The other way round.
Field subject_field(const std::string& subject) {
    for (const auto key : subject_keys)
        if (subject.starts_with(prefix(key))) return {key, subject.substr(prefix(key).size())};
    return {"subject", subject};
}

void write_suppressed(Output& output, const std::vector<FloodGate::Held>& all) {
    for (const auto& held : all) {
        output.write(Level::warning, "suppressed",
                     said({{"event", std::string(held.source.event)},
                           {"count", std::to_string(held.lines)},
                           subject_field(held.source.subject)}));
    }
}

void write(Level level, Event event, std::initializer_list<Field> given) {
    auto& log = the_log();
    if (log.output == nullptr || level < log.level) return;
    const auto fields = said(given);
    const auto now = monotonic_nanoseconds();
    write_suppressed(*log.output, log.gate.close_windows(now));
    if (log.gate.admit(event, subject_of(fields), now)) log.output->write(level, event, fields);
}

}  // namespace

void open(Level level) {
    auto& log = the_log();
    log.level = level;
    if (Journal::has_stderr())
        log.output = std::make_unique<JournalOutput>();
    else
        log.output = std::make_unique<StderrOutput>();
}

Result<Level> parse_level(std::string_view text) {
    if (text == "debug") return Level::debug;
    if (text == "info") return Level::info;
    if (text == "warning") return Level::warning;
    if (text == "error") return Level::error;
    return fail(ErrorCode::invalid_argument,
                "log level \"" + std::string(text) + "\": not debug, info, warning or error");
}

void debug(Event event, std::initializer_list<Field> fields) {
    write(Level::debug, event, fields);
}
void info(Event event, std::initializer_list<Field> fields) {
    write(Level::info, event, fields);
}
void warning(Event event, std::initializer_list<Field> fields) {
    write(Level::warning, event, fields);
}
void error(Event event, std::initializer_list<Field> fields) {
    write(Level::error, event, fields);
}

void tell_suppressed() {
    auto& log = the_log();
    if (log.output != nullptr) write_suppressed(*log.output, log.gate.close_all());
}

}  // namespace impnetd::log
