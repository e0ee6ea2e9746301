// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/settings.hpp"

#include "netlink/message.hpp"
#include "netlink/request.hpp"

namespace impnetd::netlink {

std::optional<LinkSettings> Settings::read(int ifindex) {
    const auto sequence = socket_.send(settings_request(ifindex));
    if (!sequence) return std::nullopt;
    ReceiveBuffer buffer;
    while (const auto datagram = socket_.receive(buffer)) {
        MessageReader reader(*datagram);
        const nlmsghdr* header = reader.next();
        if (header == nullptr || header->nlmsg_seq != *sequence) continue;
        return decode_settings(*header);
    }
    return std::nullopt;
}

}  // namespace impnetd::netlink
