// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/session_record.hpp"

#include <algorithm>

#include "fuzz/targets.hpp"

namespace fuzz {

void session_record(Bytes input) {
    const auto record = impnetd::read_session_record(input);
    if (!record) {
        demand(record.error() == impnetd::Error{impnetd::ErrorCode::failed,
                                                "not a session record of this version"},
               "a refusal says nothing of what was in the record");
        return;
    }
    const auto written = impnetd::write_record(*record);
    demand(std::equal(written.begin(), written.end(), input.begin(), input.end()),
           "a record is written as it was read");
    demand(!impnetd::read_session_record(input.first(input.size() - 1)),
           "a record cut short is refused");
    demand(impnetd::Nii::resolve(record->nic.interface) == record->nic.nii,
           "a record names its interface");
}

}  // namespace fuzz
