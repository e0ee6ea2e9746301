// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where libFuzzer comes in. FUZZ_TARGET is the target's function.
#include "fuzz/targets.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FUZZ_TARGET({data, size});
    return 0;
}
