// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/counters.hpp"

#include "netlink/message.hpp"
#include "netlink/request.hpp"

namespace impnetd::netlink {

LinkCounters Counters::read(int ifindex) {
    const auto sequence = socket_.send(counters_request(ifindex));
    if (!sequence) return {};
    ReceiveBuffer buffer;
    while (const auto datagram = socket_.receive(buffer)) {
        MessageReader reader(*datagram);
        const nlmsghdr* header = reader.next();
        if (header == nullptr || header->nlmsg_seq != *sequence) continue;
        return decode_counters(*header).value_or(LinkCounters{});
    }
    return {};
}

}  // namespace impnetd::netlink
