// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/variant.hpp"

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

namespace impnetd::bus {

namespace {

struct ToBus {
    sdbus::Variant operator()(const Dict& value) const { return {to_bus(value)}; }
    sdbus::Variant operator()(const std::vector<Dict>& value) const {
        std::vector<VariantMap> out;
        out.reserve(value.size());
        for (const auto& dict : value) out.push_back(to_bus(dict));
        return {out};
    }
    template <typename Plain>
    sdbus::Variant operator()(const Plain& value) const {
        return {value};
    }
};

}  // namespace

VariantMap to_bus(const Dict& dict) {
    VariantMap out;
    for (const auto& [key, value] : dict) out.emplace(key, std::visit(ToBus{}, value.content));
    return out;
}

}  // namespace impnetd::bus
