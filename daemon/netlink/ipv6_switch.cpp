// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/ipv6_switch.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include "loop/unique_fd.hpp"

namespace impnetd::netlink {

Result<> switch_ipv6(int ifindex, bool on) {
    // By the name as of now: what the model knows may be older than a renaming.
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(static_cast<unsigned>(ifindex), name.data()) == nullptr)
        return fail(ErrorCode::unavailable,
                    "device " + std::to_string(ifindex) + ": " + std::strerror(errno));
    const auto path = "/proc/sys/net/ipv6/conf/" + std::string(name.data()) + "/disable_ipv6";
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file && ::write(file.get(), on ? "0" : "1", 1) == 1) return {};
    return fail(ErrorCode::failed, path + ": " + std::strerror(errno));
}

}  // namespace impnetd::netlink
