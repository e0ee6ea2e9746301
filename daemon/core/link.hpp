// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the kernel tells of a network device, and what we may ask of it: values, and the port
// through which the rules see them. The real port is `netlink/`; the fake one lives with the tests,
// and the same test cases run against both.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "core/link_settings.hpp"

namespace impnetd {

struct MacAddress {
    std::array<std::uint8_t, 6> octets{};

    /// 12 lower-case hex digits, as the guide writes it ("0c2a6908b1f3").
    std::string text() const;
    /// As people know it: "0c:2a:69:08:b1:f3".
    std::string with_colons() const;
    /// 12 hex digits, optionally in pairs separated by ':' or '-'.
    static std::optional<MacAddress> parse(std::string_view text);

    friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

/// One network device, by its ifindex, as the kernel last described it.
struct Link {
    int ifindex = 0;
    std::string name;
    MacAddress mac;
    bool ethernet = false;  ///< ARPHRD_ETHER with a 6-octet address
    bool up = false;        ///< administratively up (IFF_UP)
    bool carrier = false;   ///< IFF_LOWER_UP: the cable is in
    std::string kind;       ///< "veth", "bridge", ... for virtual devices, empty for hardware
    std::string path;       ///< parent bus and device ("pci-0000:03:00.0"); empty without hardware
    /// How often the carrier has gone so far (IFLA_CARRIER_DOWN_COUNT). The kernel tells of a
    /// carrier at most once a second or so: one that went and came back in between shows here
    /// alone.
    std::uint32_t carrier_losses = 0;
    std::uint32_t mtu = 0;
    std::uint32_t max_mtu = 0;  ///< that its driver takes; 0: no limit is known

    friend bool operator==(const Link&, const Link&) = default;
};

/// Did the carrier go and come back between these two looks at a device?
inline bool carrier_flapped(const Link& before, const Link& now) {
    return before.carrier && now.carrier && before.carrier_losses != now.carrier_losses;
}

/// One IPv4 address on a device.
struct LinkAddress {
    int ifindex = 0;
    Ipv4Network network;
    std::optional<Ipv4> broadcast;
    bool secondary = false;

    friend bool operator==(const LinkAddress&, const LinkAddress&) = default;
};

/// An address that we want on a device. Adding one that is there already renews its lifetime.
struct AddressAssignment {
    Ipv4Network network;
    std::optional<Ipv4> broadcast;
    /// Seconds until the kernel drops it; nothing: for good. The kernel keeps the promise of a
    /// lease even when nobody is left to do so.
    std::optional<std::uint32_t> valid_seconds;

    friend bool operator==(const AddressAssignment&, const AddressAssignment&) = default;
};

/// Traffic counters of a device (IFLA_STATS64).
struct LinkCounters {
    std::uint64_t rx_bytes = 0;
    std::uint64_t rx_packets = 0;
    std::uint64_t tx_bytes = 0;
    std::uint64_t tx_packets = 0;
};

class LinkPort {
  public:
    /// Told of every change in the order the kernel made it, none merged. After a loss of messages
    /// only the difference is told. The port's view already contains the change.
    class Observer {
      public:
        virtual void link_changed(const Link& link) = 0;  ///< new, or something about it differs
        virtual void link_removed(int ifindex) = 0;
        /// Its addresses or its default gateway differ.
        virtual void addresses_changed(int ifindex) = 0;

      protected:
        ~Observer() = default;
    };

    /// Called once, from the loop, never from inside the request.
    using Done = std::function<void(Result<>)>;

    virtual ~LinkPort() = default;

    virtual void observe(Observer* observer) = 0;
    /// All links, by rising ifindex.
    virtual std::vector<Link> links() const = 0;
    virtual std::optional<Link> link(int ifindex) const = 0;
    /// Addresses of a device, primary ones first, each in the order the kernel holds them.
    virtual std::vector<LinkAddress> addresses(int ifindex) const = 0;
    /// Next hop of the default route through this device with the lowest metric, main table.
    virtual std::optional<Ipv4> gateway(int ifindex) const = 0;
    virtual LinkCounters counters(int ifindex) const = 0;
    /// Mbit/s as the driver tells, 0 if it does not know.
    virtual std::uint32_t speed(int ifindex) const = 0;
    /// As of now: asks the kernel. Nothing if there is no such device.
    virtual std::optional<LinkSettings> settings(int ifindex) const = 0;

    virtual void set_up(int ifindex, bool up, Done done) = 0;
    virtual void set_mtu(int ifindex, std::uint32_t mtu, Done done) = 0;
    /// IPv6 where the kernel has none stays as it is.
    virtual void configure(int ifindex, const LinkSettings& settings, Done done) = 0;
    virtual void assign(int ifindex, const AddressAssignment& address, Done done) = 0;
    /// Takes an address away; one that is not there is a success.
    virtual void withdraw(int ifindex, const Ipv4Network& network, Done done) = 0;
};

}  // namespace impnetd
