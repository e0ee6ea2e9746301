// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One dictionary that a client sent, while it is read: takes keys out one by one, remembers the
// first error, and at the end refuses what nobody asked for. Each message names its key, by the
// path there ("staticconfig.netmask"), and says nothing of a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dict.hpp"
#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "core/secret.hpp"

namespace impnetd {

class Table {
  public:
    /// `prefix`: the path to this dictionary; empty for the outermost. Both must outlive this.
    Table(const Dict& dict, std::string_view prefix) : dict_(dict), prefix_(prefix) {}

    const Value* find(std::string_view key, bool required);
    bool has(std::string_view key) const { return dict_.contains(std::string(key)); }
    std::string text(std::string_view key, std::size_t least, std::size_t most,
                     bool required = true);
    Secret secret(std::string_view key, std::size_t most, bool required);
    Ipv4 address(std::string_view key);
    std::vector<Ipv4> addresses(std::string_view key, std::size_t least, std::size_t most);
    std::uint16_t port(std::string_view key);
    /// A dictionary inside this one, if it is there.
    const Dict* table(std::string_view key);

    void reject(std::string_view key, std::string_view why,
                ErrorCode code = ErrorCode::invalid_argument);
    /// Nothing was rejected so far.
    bool good() const { return !error_; }
    /// The first thing that was rejected, or a key that nobody asked for.
    Result<> finish();

  private:
    void check_length(std::string_view key, std::size_t size, std::size_t least, std::size_t most);

    const Dict& dict_;
    std::string_view prefix_;
    std::vector<std::string> known_;
    std::optional<Error> error_;
};

}  // namespace impnetd
