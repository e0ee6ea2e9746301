// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A dictionary as the bus would hand it over, from bytes. Each entry is
//
//     type key NUL value
//
// with the value, for each type: `s` a text, `y` a byte array, `i` a decimal number, `a` texts
// between spaces (each of these up to a NUL), `b` one byte, `d` entries up to a `}`. Any other type
// is one that no key of ours takes. So
//
//     sinterface NUL eth0 NUL dproxyconfig NUL iport NUL 80 NUL }
//
// Texts are UTF-8 without NUL, as the bus enforces, and dictionaries no deeper than bus/variant.hpp
// lets them be.
#pragma once

#include "core/dict.hpp"
#include "fuzz/targets.hpp"

namespace fuzz {

impnetd::Dict read_dictionary(Bytes input);

}  // namespace fuzz
