// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whether somebody else on the LAN has our address (RFC 5227), and the port through which the rules
// learn of it. The real port is `addressing/`; the fake one lives with the tests, and the same test
// cases run against both.
#pragma once

#include "core/ipv4.hpp"
#include "core/link.hpp"

namespace impnetd {

/// An address of a device that others may have, too.
struct AddressClaim {
    int ifindex = 0;
    MacAddress mac;  ///< the device's own
    Ipv4 address;
    /// It is new: the others are asked. Else it was in use before, and is only listened for.
    bool probe = true;
};

/// The watch over one device's address.
class ConflictPort {
  public:
    class Observer {
      public:
        /// The host that `by` names shows that it uses the address. `probing`: the address is new,
        /// and not proven yet.
        virtual void address_claimed(const MacAddress& by, bool probing) = 0;
        /// The others were asked, and nobody has the address.
        virtual void address_proven() = 0;

      protected:
        ~Observer() = default;
    };

    virtual ~ConflictPort() = default;

    /// From now on, instead of what was watched before.
    virtual void watch(const AddressClaim& claim) = 0;
    /// Tells all others that the watched address is ours.
    virtual void announce() = 0;
    /// Nothing is told after it.
    virtual void stop() = 0;
};

}  // namespace impnetd
