// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A dictionary as it came from a client, free of any bus library: the rules parse these, the bus
// converts to and from `a{sv}`.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace impnetd {

struct Value;
using Dict = std::map<std::string, Value>;

struct Value {
    std::variant<bool, std::int64_t, std::string, std::vector<std::uint8_t>,
                 std::vector<std::string>, Dict, std::vector<Dict>>
        content;

    friend bool operator==(const Value&, const Value&) = default;
};

}  // namespace impnetd
