// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/speed.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <new>
#include <system_error>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace impnetd::netlink {

namespace {

/// Room for the settings and the three masks of link modes behind them, each at most 127 words.
constexpr std::size_t settings_size =
    sizeof(ethtool_link_settings) + std::size_t{3} * 127 * sizeof(std::uint32_t);

bool ask(int fd, const std::string& device, ethtool_link_settings& settings) {
    ifreq request{};
    device.copy(request.ifr_name, sizeof request.ifr_name - 1);
    request.ifr_data = reinterpret_cast<char*>(&settings);
    settings.cmd = ETHTOOL_GLINKSETTINGS;
    return ::ioctl(fd, SIOCETHTOOL, &request) == 0;
}

}  // namespace

Speed::Speed() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw std::system_error(errno, std::generic_category(), "socket");
}

std::uint32_t Speed::read(const std::string& device) const {
    alignas(ethtool_link_settings) std::array<std::byte, settings_size> room{};
    auto& settings = *new (room.data()) ethtool_link_settings{};
    // The first answer is how long the masks are, as a negative number; the second has the speed.
    if (!ask(socket_.get(), device, settings)) return 0;
    settings.link_mode_masks_nwords = static_cast<std::int8_t>(-settings.link_mode_masks_nwords);
    if (!ask(socket_.get(), device, settings)) return 0;
    return settings.speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : settings.speed;
}

}  // namespace impnetd::netlink
