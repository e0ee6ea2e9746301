// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/monitor.hpp"

#include <cerrno>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <linux/rtnetlink.h>
#include <poll.h>

#include "log/log.hpp"
#include "netlink/message.hpp"

namespace impnetd::netlink {

namespace {

/// Notifications handled in one turn: a flood must not keep the loop from its other work.
constexpr int most_in_a_turn = 256;
constexpr Milliseconds retry_pause{1'000};

Model read_all_now() {
    Dump dump;
    for (;;) {
        const auto done = dump.advance();
        if (!done) throw std::runtime_error(done.error().message);
        if (*done) return dump.take();
        pollfd ready{.fd = dump.fd(), .events = POLLIN, .revents = 0};
        ::poll(&ready, 1, -1);
    }
}

}  // namespace

Monitor::Monitor(Loop& loop, std::size_t receive_buffer, Tell tell)
    : loop_(loop),
      tell_(std::move(tell)),
      events_poll_(loop, events_.fd(), [this](int) { read(most_in_a_turn); }),
      retry_(loop, [this] { catch_up(); }) {
    events_.set_receive_buffer(receive_buffer);
    for (const unsigned group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE}) {
        if (const int error = events_.join(group); error != 0) {
            throw std::system_error(error, std::generic_category(), "rtnetlink group");
        }
    }
    events_.join(RTNLGRP_NEXTHOP);  // older kernels have none, and no nexthop objects either
    model_ = read_all_now();
    events_poll_.watch(Poll::readable);
}

void Monitor::catch_up() {
    // Not until there is nothing more: a flood may be as fast as we are. Two more are the news of a
    // loss, and that there is nothing.
    read(events_.most_waiting() + 2);
}

void Monitor::read(int most) {
    if (resync_) return;
    ReceiveBuffer buffer;
    for (int count = 0; count < most; ++count) {
        const auto datagram = events_.receive(buffer);
        if (datagram) {
            // What was queued before a loss is history: the tables, read next, are ahead of it.
            if (!lost_ || retry_.active()) take_in(*datagram);
        } else if (datagram.error() == EAGAIN) {
            // Only now: the kernel drops everything until a socket that overran is drained.
            if (lost_ && !retry_.active()) start_resync();
            return;
        } else if (datagram.error() != EINTR && !lost_) {
            lost_ = true;
            log::warning("netlink_overrun");
        }
    }
}

void Monitor::take_in(std::span<const std::byte> datagram) {
    MessageReader reader(datagram);
    while (const nlmsghdr* header = reader.next()) {
        const auto message = decode(*header);
        if (!message) continue;
        model_.apply(*message, changes_);
        tell_changes();
    }
}

void Monitor::tell_changes() {
    // Each under the catch-all: a fault in one observer must not cost it the notices that follow.
    for (const auto& change : changes_) loop_.guarded([&] { tell_(change); });
    changes_.clear();
}

void Monitor::start_resync() {
    events_poll_.watch(0);
    lost_ = false;
    try {
        resync_ = std::make_unique<Resync>(loop_, [this] { advance_resync(); });
    } catch (const std::exception& e) {  // out of descriptors
        fail_resync(e.what());
        return;
    }
    advance_resync();
}

void Monitor::advance_resync() {
    const auto done = resync_->dump.advance();
    if (!done) {
        fail_resync(done.error().message);
        return;
    }
    if (!*done) return;
    model_.become(resync_->dump.take(), changes_);
    resync_.reset();
    log::info("netlink_resynchronised", {{"changes", std::to_string(changes_.size())}});
    events_poll_.watch(Poll::readable);
    tell_changes();
}

void Monitor::fail_resync(const std::string& why) {
    log::warning("netlink_resync_failed", {{"reason", why}});
    resync_.reset();
    lost_ = true;
    retry_.start(retry_pause);
    events_poll_.watch(Poll::readable);
}

}  // namespace impnetd::netlink
