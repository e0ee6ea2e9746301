// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/entry.hpp"

#include <sstream>
#include <utility>

#include "core/quote.hpp"

namespace impnetd::config {

namespace {

/// 60, 0.5: as a person writes it.
std::string written(double value) {
    std::ostringstream out;
    out.precision(15);
    out << value;
    return out.str();
}

std::string range(double least, double most) {
    return "not between " + written(least) + " and " + written(most);
}

}  // namespace

Error complaint(const std::string& file, std::uint32_t line, std::string_view what,
                ErrorCode code) {
    std::string message = file + ":" + std::to_string(line) + ": ";
    message += what;
    return {code, on_one_line(message)};
}

Entry Entry::at(const toml::key& key, const toml::node& value) const {
    std::string path = path_;
    if (!path.empty()) path += '.';
    path += key.str();
    return {file_, std::move(path), key.source().begin.line, value};
}

Entry Entry::element(const toml::node& value) const {
    return {file_, path_, value.source().begin.line, value};
}

std::string Entry::place() const {
    return file_ + ":" + std::to_string(line_);
}

tl::unexpected<Error> Entry::refuse(const std::string& what, ErrorCode code) const {
    return tl::unexpected(complaint(file_, line_, path_ + ": " + what, code));
}

tl::unexpected<Error> Entry::refuse_key(std::string_view key, const std::string& what) const {
    return tl::unexpected(complaint(file_, line_, path_ + "." + std::string(key) + ": " + what));
}

Result<const toml::table*> Entry::table() const {
    const auto* table = value_.as_table();
    if (table == nullptr) return refuse("not a table");
    return table;
}

Result<const toml::array*> Entry::list() const {
    const auto* list = value_.as_array();
    if (list == nullptr) return refuse("not a list, like [1, 2]");
    return list;
}

Result<bool> Entry::boolean() const {
    const auto* value = value_.as_boolean();
    if (value == nullptr) return refuse("neither true nor false");
    return value->get();
}

Result<std::string> Entry::text() const {
    const auto* value = value_.as_string();
    if (value == nullptr) return refuse("not a string");
    return value->get();
}

Result<std::int64_t> Entry::whole(std::int64_t least, std::int64_t most) const {
    const auto* value = value_.as_integer();
    if (value == nullptr) return refuse("not a whole number");
    if (value->get() < least || value->get() > most)
        return refuse(range(static_cast<double>(least), static_cast<double>(most)));
    return value->get();
}

Result<double> Entry::number(double least, double most) const {
    double value = 0;
    if (const auto* whole = value_.as_integer()) {
        value = static_cast<double>(whole->get());
    } else if (const auto* broken = value_.as_floating_point()) {
        value = broken->get();
    } else {
        return refuse("not a number");
    }
    if (!(value >= least && value <= most)) return refuse(range(least, most));  // nor a NaN
    return value;
}

}  // namespace impnetd::config
