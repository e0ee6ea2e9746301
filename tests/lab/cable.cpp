// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cable.hpp"

#include <cstring>
#include <utility>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

namespace lab {

namespace {

// A veth passes UDP checksums on unfinished. A DHCP client that reads raw packets and checks them
// would refuse every offer, which no real cable makes it do.
void finish_checksums(const Namespace& where, const std::string& device) {
    ethtool_value off{};
    off.cmd = ETHTOOL_STXCSUM;
    ifreq request{};
    std::strncpy(request.ifr_name, device.c_str(), sizeof(request.ifr_name) - 1);
    request.ifr_data = reinterpret_cast<char*>(&off);
    checked(::ioctl(where.control_fd(), SIOCETHTOOL, &request), "checksum offload");
}

}  // namespace

Cable::Cable(Namespace& near, std::string near_device, Namespace& far, std::string far_device)
    : near_(near),
      far_(far),
      near_device_(std::move(near_device)),
      far_device_(std::move(far_device)) {
    make();
    near_mac_ = near_.mac(near_device_);
    far_mac_ = far_.mac(far_device_);
}

Cable::~Cable() {
    try {
        remove();
    } catch (const std::exception&) {
        // Its hosts' end takes the devices along.
    }
}

void Cable::make() {
    // The kernel tells a change of carrier at once only of a device whose index is not its peer's;
    // else it takes up to a second. Left alone, the first devices of two hosts would both be
    // number 2.
    static int count = 0;
    ++count;
    const std::string near_index = std::to_string(100 + count);
    const std::string far_index = std::to_string(1'000 + count);

    std::vector<std::string> command = {"ip", "link", "add", near_device_, "index", near_index};
    const auto add = [&command](std::initializer_list<std::string> words) {
        command.insert(command.end(), words);
    };
    if (!near_mac_.empty()) add({"address", near_mac_});
    add({"type", "veth", "peer", "name", far_device_, "index", far_index});
    if (!far_mac_.empty()) add({"address", far_mac_});
    add({"netns",
         "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(far_.network_fd())});
    near_.run(command);
    finish_checksums(near_, near_device_);
    finish_checksums(far_, far_device_);
    far_.set_up(far_device_);
}

void Cable::remove() {
    if (near_.ifindex(near_device_) != 0) near_.run({"ip", "link", "del", near_device_});
}

void Cable::restore() {
    make();
}

}  // namespace lab
