// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service/fd_store.hpp"

#include <cstdlib>
#include <memory>

#include <fcntl.h>
#include <systemd/sd-daemon.h>

namespace impnetd {

namespace {

/// FDPOLL=0: a hang-up of a client's end must not make the manager forget the rest of a socket.
std::string keep_text(const std::string& name) {
    return "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
}

}  // namespace

void FdStore::keep(const std::string& name, const std::vector<int>& descriptors) {
    notify_.send(keep_text(name), descriptors);
}

void FdStore::drop(const std::string& name) {
    notify_.withdraw(keep_text(name));  // a manager that is slow must not make copies pile up
    notify_.send("FDSTOREREMOVE=1\nFDNAME=" + name);
}

std::vector<std::string> FdStore::inherited(std::string_view prefix) const {
    std::vector<std::string> names;
    for (auto it = inherited_.begin(); it != inherited_.end();
         it = inherited_.upper_bound(it->first))
        if (it->first.starts_with(prefix)) names.push_back(it->first);
    return names;
}

std::vector<UniqueFd> FdStore::take(const std::string& name) {
    std::vector<UniqueFd> out;
    const auto [first, last] = inherited_.equal_range(name);
    for (auto it = first; it != last; ++it) out.push_back(std::move(it->second));
    inherited_.erase(first, last);
    return out;
}

void FdStore::drop_rest() {
    for (const auto& name : inherited("")) {
        take(name);
        drop(name);
    }
}

FdStore::Inherited FdStore::from_environment() {
    Inherited out;
    char** names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    using Owned = std::unique_ptr<void, decltype(&std::free)>;
    const Owned list(names, &std::free);
    for (int i = 0; i < count; ++i) {
        const Owned name(names[i], &std::free);
        UniqueFd fd(SD_LISTEN_FDS_START + i);
        ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
        out.emplace(names[i], std::move(fd));
    }
    return out;
}

}  // namespace impnetd
