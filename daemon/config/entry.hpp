// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One key of a configuration file: its value, and where it stands, so that every complaint about it
// can say "file:line: key: what is wrong". A table is read by the list of the keys it may have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <toml++/toml.h>

#include "core/error.hpp"

namespace impnetd::config {

/// "file:line: what", on one line whatever the file's text brought into it.
Error complaint(const std::string& file, std::uint32_t line, std::string_view what,
                ErrorCode code = ErrorCode::invalid_argument);

class Entry {
  public:
    Entry(const std::string& file, std::string path, std::uint32_t line, const toml::node& value)
        : file_(file), path_(std::move(path)), line_(line), value_(value) {}

    /// A key of this table.
    Entry at(const toml::key& key, const toml::node& value) const;

    /// One of this list's, by the list's own name.
    Entry element(const toml::node& value) const;

    /// "file:line"
    std::string place() const;
    tl::unexpected<Error> refuse(const std::string& what,
                                 ErrorCode code = ErrorCode::invalid_argument) const;
    /// The same of a key of this table that is not there, or not for itself wrong.
    tl::unexpected<Error> refuse_key(std::string_view key, const std::string& what) const;
    tl::unexpected<Error> not_supported() const {
        return refuse("not supported yet by this version", ErrorCode::not_supported);
    }

    Result<const toml::table*> table() const;
    Result<const toml::array*> list() const;
    Result<bool> boolean() const;
    Result<std::string> text() const;
    Result<std::int64_t> whole(std::int64_t least, std::int64_t most) const;
    bool is_whole() const { return value_.is_integer(); }
    /// With or without a fraction.
    Result<double> number(double least, double most) const;

  private:
    const std::string& file_;
    std::string path_;  // "interfaces.eth0.device", empty for the file as a whole
    std::uint32_t line_;
    const toml::node& value_;
};

/// A key that a table may have, and what becomes of it.
template <typename Target>
struct Key {
    std::string_view name;
    Result<> (*read)(Target& target, const Entry& entry);
};

template <typename Target, typename Keys>
Result<> read_table(Target& target, const Entry& entry, const Keys& known) {
    const auto table = entry.table();
    if (!table) return tl::unexpected(table.error());
    for (const auto& [name, value] : **table) {
        const auto child = entry.at(name, value);
        const Key<Target>* found = nullptr;
        for (const auto& key : known)
            if (key.name == name.str()) found = &key;
        if (found == nullptr) return child.refuse("unknown key");
        if (auto done = found->read(target, child); !done) return done;
    }
    return {};
}

}  // namespace impnetd::config
