// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/relay/ledger.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace impnetd::relay {

struct Ledger::Memory {
    static constexpr std::uint64_t layout = 0x696d706e65740003;  ///< rises with each change

    std::uint64_t version;
    std::uint64_t used;  ///< entries from here on were never used: no memory was touched for them
    std::array<Entry, capacity> entries;
    Limiter::Memory limiter;
};

namespace {

/// Pages that nothing was written to cost nothing.
UniqueFd make_file(std::size_t size) {
    UniqueFd file(::memfd_create("impnet-ledger", MFD_CLOEXEC));
    if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
        throw std::system_error(errno, std::generic_category(), "ledger");
    return file;
}

void* map(int fd, std::size_t size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "ledger");
    return memory;
}

}  // namespace

Ledger::Ledger(UniqueFd inherited) : file_(std::move(inherited)) {
    static_assert(std::is_trivially_copyable_v<Entry>);
    struct stat status {};
    if (file_ && ::fstat(file_.get(), &status) == 0 && status.st_size == sizeof(Memory)) {
        memory_ = static_cast<Memory*>(map(file_.get(), sizeof(Memory)));
        if (memory_->version == Memory::layout) {
            inherited_ = true;
            memory_->used = std::min<std::uint64_t>(memory_->used, capacity);
            for (std::size_t index = 0; index < memory_->used; ++index) {
                const auto socket = memory_->entries[index].socket;
                if (socket == 0 || !left_.emplace(socket, index).second) free_.insert(index);
            }
            return;
        }
        ::munmap(memory_, sizeof(Memory));
    }
    file_ = make_file(sizeof(Memory));
    memory_ = static_cast<Memory*>(map(file_.get(), sizeof(Memory)));
    memory_->version = Memory::layout;
}

Ledger::~Ledger() {
    ::munmap(memory_, sizeof(Memory));
}

Limiter::Memory& Ledger::limiter() {
    return memory_->limiter;
}

Result<Ledger::Account> Ledger::open(std::uint64_t socket) {
    for (const auto& [known, index] : std::exchange(left_, {})) close(memory_->entries[index]);
    return allocate(socket);
}

Result<Ledger::Account> Ledger::allocate(std::uint64_t socket) {
    std::size_t index = 0;
    if (!free_.empty()) {
        index = free_.extract(free_.begin()).value();
    } else if (memory_->used < capacity) {
        index = memory_->used++;
    } else {
        return fail(ErrorCode::limit_exceeded, "impnetd has all the sockets it can have");
    }
    auto& entry = memory_->entries[index];
    entry = {};
    entry.socket = socket;
    return Account(*this, entry);
}

void Ledger::close(Entry& entry) {
    entry = {};
    free_.insert(static_cast<std::size_t>(&entry - memory_->entries.data()));
}

Result<Ledger::Account> Ledger::reopen(std::uint64_t socket) {
    const auto known = left_.extract(socket);
    if (known.empty()) return allocate(socket);
    return Account(*this, memory_->entries[known.mapped()]);
}

}  // namespace impnetd::relay
