// SPDX-License-Identifier: LGPL-2.1-or-later
//
// From our errors, which are values, to the bus's. sdbus-c++ 1.2 lets every exception but its own
// pass into the C frames below, and some answers are given outside its frames; so each method
// answers through `reply`.
#pragma once

#include <exception>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <sdbus-c++/sdbus-c++.h>

#include "core/error.hpp"

namespace impnetd::bus {

inline sdbus::Error to_bus(const Error& error) {
    return {std::string(bus_name(error.code)), error.message};
}

/// Answers a call with an error. A lost connection is no affair of the call's.
template <typename... Values>
void refuse(const sdbus::Result<Values...>& result, const sdbus::Error& error) noexcept {
    try {
        result.returnError(error);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the pump tells of the loss
    }
}

/// Answers a call with what `compute` returns: an `impnetd::Result` of the value, or of a tuple if
/// the method has several. False: the caller was not told the value, so it is not to have it.
template <typename... Values, typename Compute>
bool reply(const sdbus::Result<Values...>& result, Compute compute) noexcept {
    try {
        const auto outcome = compute();
        if (!outcome) {
            refuse(result, to_bus(outcome.error()));
            return false;
        }
        if constexpr (sizeof...(Values) == 0)
            result.returnResults();
        else if constexpr (sizeof...(Values) == 1)
            result.returnResults(*outcome);
        else
            std::apply([&](const Values&... values) { result.returnResults(values...); }, *outcome);
        return true;
    } catch (const sdbus::Error& e) {
        refuse(result, e);
    } catch (const std::exception& e) {
        refuse(result, to_bus({ErrorCode::failed, e.what()}));
    }
    return false;
}

}  // namespace impnetd::bus
