// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The eBPF programs and their maps, as the daemon sees them. Programs are attached to the control
// group itself (BPF_PROG_ATTACH, BPF_F_ALLOW_MULTI): so they live as long as the group does, that
// is as long as somebody holds a socket of it, whatever becomes of the daemon. The maps'
// descriptors go into the FD store, so that the daemon that comes next finds the same bucket and
// the same sockets.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/data_path.hpp"
#include "core/error.hpp"
#include "datapath/kernel/state.h"
#include "loop/unique_fd.hpp"

namespace impnetd::kernel {

class Programs {
  public:
    /// Maps by their names.
    using Maps = std::map<std::string, UniqueFd>;

    /// `inherited`: the maps of a daemon before us; used if they are all there and of our layout.
    /// Failed: the kernel does not take them; the message says why.
    static Result<std::unique_ptr<Programs>> load(const Maps& inherited);
    ~Programs();
    Programs(const Programs&) = delete;
    Programs& operator=(const Programs&) = delete;

    /// From now on they govern every socket that is made in this control group.
    Result<> attach(int group);
    /// Whether the maps are those of a daemon before us.
    bool inherited() const { return inherited_; }
    /// To be kept for a daemon after us: names and descriptors, which stay ours.
    std::vector<std::pair<std::string, int>> maps() const;

    // What they go by

    void set_ttl(int ttl);
    void set_limit(const impnet_limit& limit);
    void set_clients(std::uint32_t count);
    void set_extra_networks(const std::vector<Ipv4Network>& networks);
    void set_interface(DataPath::Slot slot, const InterfaceFacts& facts);
    /// A sign of life.
    void say_alive(std::uint64_t now);

    Result<> set_orders(int socket, const impnet_orders& orders);
    std::optional<impnet_orders> orders(int socket) const;
    Result<> set_account(int socket, const impnet_account& account);
    std::optional<impnet_account> account(int socket) const;

    /// Forgets what a client had: its slot is another's.
    void clear_share(std::uint32_t client);
    impnet_share share(std::uint32_t client) const;
    impnet_bucket bucket() const;
    /// IMPNET_REFUSALS or IMPNET_LOST_EVENTS: how many so far.
    std::uint64_t tally(std::uint32_t which) const;

    /// Readable when a program has something to tell.
    int events_fd() const;
    /// Calls back for each event that is there.
    void read_events(const std::function<void(const impnet_event&)>& on_event);

  private:
    struct Object;
    explicit Programs(std::unique_ptr<Object> object);

    std::unique_ptr<Object> object_;
    bool inherited_ = false;
};

}  // namespace impnetd::kernel
