// SPDX-License-Identifier: LGPL-2.1-or-later
//
// io_uring(7) by bare system calls: one request at a time.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab/fd.hpp"

namespace hostile {

class Ring {
  public:
    Ring() : fd_(static_cast<int>(::syscall(SYS_io_uring_setup, 4, &about_))) {
        if (!fd_) return;
        const std::size_t size = about_.cq_off.cqes + about_.cq_entries * sizeof(io_uring_cqe);
        queues_ = static_cast<char*>(map(size, IORING_OFF_SQ_RING));
        entries_ = static_cast<io_uring_sqe*>(
            map(about_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// Not: the kernel has none for us.
    explicit operator bool() const { return static_cast<bool>(fd_); }

    /// What it came to: a negative errno, or more.
    int ask(const io_uring_sqe& request) {
        auto& tail = number(about_.sq_off.tail);
        const std::uint32_t slot = tail & number(about_.sq_off.ring_mask);
        entries_[slot] = request;
        (&number(about_.sq_off.array))[slot] = slot;
        __atomic_store_n(&tail, tail + 1, __ATOMIC_RELEASE);
        if (::syscall(SYS_io_uring_enter, fd_.get(), 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0)
            return -errno;
        int result = 0;
        bool first = true;
        bool more = true;
        // A send without copying is told of twice: what it came to, and that its memory is free.
        while (more) {
            auto& head = number(about_.cq_off.head);
            if (head == __atomic_load_n(&number(about_.cq_off.tail), __ATOMIC_ACQUIRE)) {
                if (::syscall(SYS_io_uring_enter, fd_.get(), 0, 1, IORING_ENTER_GETEVENTS, nullptr,
                              0) < 0)
                    return -errno;
                continue;
            }
            const auto& told = reinterpret_cast<io_uring_cqe*>(
                queues_ + about_.cq_off.cqes)[head & number(about_.cq_off.ring_mask)];
            if (first) result = told.res;
            first = false;
            more = (told.flags & IORING_CQE_F_MORE) != 0;
            __atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
        }
        return result;
    }

  private:
    void* map(std::size_t size, std::uint64_t what) const {
        return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(),
                      static_cast<off_t>(what));
    }
    std::uint32_t& number(std::uint32_t offset) const {
        return *reinterpret_cast<std::uint32_t*>(queues_ + offset);
    }

    io_uring_params about_{};
    lab::Fd fd_;
    char* queues_ = nullptr;
    io_uring_sqe* entries_ = nullptr;
};

}  // namespace hostile
