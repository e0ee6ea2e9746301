// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Changes of a host's devices and addresses, many by one system call: as fast as the kernel can.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "fd.hpp"
#include "namespace.hpp"

namespace lab {

class KernelBatch {
  public:
    explicit KernelBatch(const Namespace& where);

    /// A pair of veth devices, in a group that `remove_group` takes away.
    void add_pair(const std::string& name, const std::string& peer);
    void remove(int ifindex);
    void remove_group();
    void set_up(int ifindex, bool up);
    void rename(int ifindex, const std::string& name);
    void move(int ifindex, const Namespace& to);
    void add_address(int ifindex, const std::string& address, unsigned prefix);
    void remove_address(int ifindex, const std::string& address, unsigned prefix);

    /// The device must be up; the gateway need not be on a subnet of it. `flags`, besides
    /// NLM_F_CREATE: 0, NLM_F_APPEND or NLM_F_REPLACE.
    void add_default_route(int ifindex, const std::string& gateway, std::uint32_t metric,
                           std::uint16_t flags);
    void remove_default_route(std::uint32_t metric);

    /// Has them carried out, in order; the number of those that the kernel refused.
    std::size_t run();

  private:
    template <typename Family>
    void begin(std::uint16_t type, std::uint16_t flags, const Family& family);
    void append(const void* data, std::size_t size);
    std::size_t open(std::uint16_t type);
    void close(std::size_t at);
    void attribute(std::uint16_t type, const void* data, std::size_t size);
    void text(std::uint16_t type, const std::string& value);
    void address(std::uint16_t type, std::uint16_t flags, int ifindex, const std::string& address,
                 unsigned prefix);

    Fd socket_;
    std::string requests_;     // whole messages, one after the other
    std::size_t message_ = 0;  // where the last one begins
};

}  // namespace lab
