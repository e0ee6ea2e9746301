// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A value that outlives this process: a memory file in the FD store. It is in memory alone, never
// on disk, and so may hold secrets. The process may be killed between any two instructions: the
// file has two places, a new version goes to the one that does not hold the last one, and counts
// only once it is whole.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "loop/unique_fd.hpp"
#include "service/fd_store.hpp"

namespace impnetd {

class KeptValue {
  public:
    /// The largest value.
    static constexpr std::size_t max_size = std::size_t{256} * 1024;

    /// The one that the process before us kept under this name, or a new one. Throws
    /// std::system_error if there is no memory file to be had.
    KeptValue(FdStore& store, std::string name);
    /// It is not kept any more. (A process that is to be succeeded ends without getting here.)
    ~KeptValue();
    KeptValue(const KeptValue&) = delete;
    KeptValue& operator=(const KeptValue&) = delete;

    /// Replaces the value. TooLarge, or Failed without memory: the old one stays.
    Result<> write(std::span<const std::uint8_t> value);
    /// The same; that it failed is logged.
    void keep(std::span<const std::uint8_t> value);

    /// The last value that was written whole. Failed: there is none.
    Result<std::vector<std::uint8_t>> read() const;

  private:
    FdStore& store_;
    std::string name_;
    UniqueFd file_;
    std::uint64_t version_ = 0;
};

}  // namespace impnetd
