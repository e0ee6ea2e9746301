// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/admission.hpp"

#include <algorithm>

namespace impnetd {

Decision admit(const Client& client, std::optional<gid_t> group) {
    if (client.uid == 0) return {true, "root"};
    if (group &&
        std::find(client.groups.begin(), client.groups.end(), *group) != client.groups.end())
        return {true, "group impnet"};
    return {false, "default: only root and members of the group impnet"};
}

}  // namespace impnetd
