// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who may open what, and where datagrams may go: the one place that decides. Each decision explains
// itself by the rule that made it.
//
// The base comes first: root, the members of the group impnet and whom [widen] names may open; a
// datagram goes to a private address or one in a network of [widen]. Then the administrator's
// rules, in order, which only narrow that: the first that fits decides, and where none fits, the
// base stands.
//
// It is asked before everything is known: when an interface is opened, nobody knows the port of the
// sockets to come. What is not known fits no rule that denies (a later question finds out), and
// every rule that allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>
#include <tl/expected.hpp>

#include "core/client.hpp"
#include "core/dict.hpp"
#include "core/error.hpp"
#include "core/ipv4.hpp"
#include "core/nii.hpp"
#include "core/rate_limit.hpp"
#include "core/socket_policy.hpp"

namespace impnetd {

struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;

    bool contains(std::uint16_t port) const { return first <= port && port <= last; }
    /// "2001" or "3000-3010".
    std::string text() const;

    friend bool operator==(const PortRange&, const PortRange&) = default;
};

/// A rule of the administrator. It fits if each of its conditions holds; a condition holds if one
/// of its values does, and an empty one always.
struct PolicyRule {
    std::string name;
    std::string place;  ///< "file:line"
    bool allow = false;
    std::vector<uid_t> users;
    std::vector<gid_t> groups;
    std::vector<std::string> units;  ///< '*' stands for any text
    std::vector<Nii> interfaces;
    std::vector<PortRange> ports;  ///< local ones; 0: a port that the client left to us
    std::vector<Ipv4Network> destinations;
    std::vector<PortRange> destination_ports;
    /// For whom it allows; not together with destinations.
    std::optional<RateLimit> limit;

    bool is_about_destinations() const {
        return !destinations.empty() || !destination_ports.empty();
    }
    /// What it makes of `SocketPolicy::destinations`.
    std::size_t destination_count() const;

    friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
};

/// What an administrator adds to the base.
struct Widening {
    std::vector<Ipv4Network> networks;  ///< count as local address space
    std::vector<uid_t> users;           ///< these may open, too
    std::vector<gid_t> groups;
    std::vector<std::string> units;

    bool empty() const {
        return networks.empty() && users.empty() && groups.empty() && units.empty();
    }

    friend bool operator==(const Widening&, const Widening&) = default;
};

struct Decision {
    bool allowed = false;
    std::string rule;    ///< which rule decided
    std::string reason;  ///< for a person

    friend bool operator==(const Decision&, const Decision&) = default;
};

/// How a denial is told: "not allowed by the rule no-printers: ..."
std::string explain(const Decision& denial);

/// What is known of what somebody wants.
struct PolicyQuery {
    std::optional<uid_t> uid;
    std::optional<std::vector<gid_t>> groups;
    std::optional<std::string> unit;  ///< empty: in none
    std::optional<Nii> interface;
    std::optional<std::uint16_t> port;  ///< local; 0: any
    std::optional<Ipv4> address;        ///< the destination
    std::optional<std::uint16_t> destination_port;
    std::optional<Ipv4Network> network;  ///< the interface's own address and subnet

    friend bool operator==(const PolicyQuery&, const PolicyQuery&) = default;
};

/// The query of `Policy.Check`. Groups and the interface's network are the caller's to add.
Result<PolicyQuery> parse_policy_query(const Dict& dict);

/// Names that no rule may have: they are those of the base.
bool is_reserved_rule_name(std::string_view name);

class Policy {
  public:
    std::vector<PolicyRule> rules;  ///< in order, each name once
    Widening widen;
    std::optional<gid_t> impnet_group;  ///< if the host has it
    RateLimit limit;                    ///< the one that all share

    /// What the answer would be to somebody who wants this.
    Decision check(const PolicyQuery& query) const;
    /// Whether the client may open this interface (nothing: any at all).
    Decision may_open(const Client& client, std::optional<Nii> interface) const;
    /// What a socket of the client is to follow there, or why it may not have it. `port` 0: any.
    tl::expected<SocketPolicy, Decision> open_socket(const Client& client, Nii interface,
                                                     std::uint16_t port) const;
    /// The rule by which every socket has more than `SocketPolicy::max_destinations`; null: none.
    const PolicyRule* one_too_many() const;

    friend bool operator==(const Policy&, const Policy&) = default;

  private:
    Decision judge_client(const PolicyQuery& query) const;
};

}  // namespace impnetd
