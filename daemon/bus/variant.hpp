// SPDX-License-Identifier: LGPL-2.1-or-later
//
// From the rules' dictionaries to the bus's `a{sv}`.
#pragma once

#include <map>
#include <string>

#include <sdbus-c++/sdbus-c++.h>

#include "core/dict.hpp"

namespace impnetd::bus {

using VariantMap = std::map<std::string, sdbus::Variant>;

VariantMap to_bus(const Dict& dict);

}  // namespace impnetd::bus
