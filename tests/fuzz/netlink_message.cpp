// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "fuzz/targets.hpp"
#include "fuzz/told_model.hpp"
#include "netlink/message.hpp"

namespace fuzz {

namespace {

namespace netlink = impnetd::netlink;

/// What the model takes for granted of a message that had so many bytes.
struct IsSound {
    std::size_t size;

    void operator()(const netlink::LinkSeen& seen) const {
        const auto& link = seen.link;
        demand(link.ifindex > 0, "a device has an index");
        for (const auto* text : {&link.name, &link.kind, &link.path})
            demand(text->find('\0') == std::string::npos, "a text ends at its NUL");
    }
    void operator()(const netlink::LinkGone& gone) const {
        demand(gone.ifindex > 0, "a device has an index");
    }
    void operator()(const netlink::AddressSeen& seen) const { address(seen.address); }
    void operator()(const netlink::AddressGone& gone) const { address(gone.address); }
    void operator()(const netlink::RouteSeen& seen) const { route(seen.route); }
    void operator()(const netlink::RouteGone& gone) const { route(gone.route); }
    void operator()(const netlink::NextHopGone& /*gone*/) const {}

    static void address(const netlink::Address& address) {
        demand(address.address.ifindex > 0, "an address is on a device");
        demand(address.address.network.prefix <= 32, "a prefix has at most 32 bits");
    }
    void route(const netlink::DefaultRoute& route) const {
        constexpr std::size_t smallest_hop = 8;
        demand(route.hops.size() <= size / smallest_hop, "each hop was in the message");
    }
};

/// The message by itself, where reading past its end is noticed.
std::vector<std::byte> cut_out(const nlmsghdr& header) {
    const auto* start = reinterpret_cast<const std::byte*>(&header);
    return {start, start + header.nlmsg_len};
}

}  // namespace

void netlink_message(Bytes input) {
    netlink::MessageReader reader(std::as_bytes(input));
    ToldModel model;
    std::size_t at = 0;
    while (const auto* in_place = reader.next()) {
        demand(reinterpret_cast<const std::uint8_t*>(in_place) == input.data() + at,
               "messages follow each other");
        demand(in_place->nlmsg_len <= input.size() - at, "a message is inside its datagram");
        at += NLMSG_ALIGN(in_place->nlmsg_len);

        const auto copy = cut_out(*in_place);
        const auto& header = *reinterpret_cast<const nlmsghdr*>(copy.data());
        const auto message = netlink::decode(header);
        demand(message == netlink::decode(*in_place), "a message means the same by itself");
        if (message) {
            std::visit(IsSound{copy.size()}, *message);
            model.apply(*message);
        }
        const auto answer = netlink::decode_answer(header);
        demand(answer == netlink::decode_answer(*in_place), "an answer means the same by itself");
        if (answer) demand(answer->error >= 0, "an answer is an errno, or 0");
        const auto settings = netlink::decode_settings(header);
        demand(settings == netlink::decode_settings(*in_place),
               "settings mean the same by themselves");
        const auto counters = netlink::decode_counters(header);
        if (counters) demand(copy.size() >= sizeof(*counters), "each counter was in the message");
    }
}

}  // namespace fuzz
