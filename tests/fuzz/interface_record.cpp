// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/interface_record.hpp"

#include <algorithm>

#include "fuzz/targets.hpp"

namespace fuzz {

void interface_record(Bytes input) {
    using namespace impnetd;
    if (const auto names = read_names(input)) {
        const auto written = write_record(*names);
        demand(read_names(written) == names, "names read back as they were written");
    }
    const auto record = read_interface_record(input);
    if (!record) {
        demand(
            record.error() == Error{ErrorCode::failed, "not an interface record of this version"},
            "a refusal says nothing of what was in the record");
        return;
    }
    demand(read_interface_record(write_record(*record)) == record,
           "an interface reads back as it was written");
    demand(!read_interface_record(input.first(input.size() - 1)), "a record cut short is refused");
}

}  // namespace fuzz
