// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log/journal.hpp"

#include <cstdint>
#include <cstdlib>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace impnetd::log {

void JournalEntry::add(std::string_view name, std::string_view value) {
    bytes_ += name;
    if (value.find('\n') == std::string_view::npos) {
        bytes_ += '=';
    } else {  // the size instead, as 64 bits, little endian
        bytes_ += '\n';
        for (unsigned shift = 0; shift < 64; shift += 8)
            bytes_ += static_cast<char>(std::uint64_t{value.size()} >> shift & 0xff);
    }
    bytes_ += value;
    bytes_ += '\n';
}

bool Journal::has_stderr() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat file {};
    return stream != nullptr && ::fstat(STDERR_FILENO, &file) == 0 &&
           std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino) == stream;
}

Journal::Journal() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

bool Journal::send(const JournalEntry& entry) const {
    // By its address each time: a journald that was restarted is another socket.
    constexpr sockaddr_un address{AF_UNIX, "/run/systemd/journal/socket"};
    return ::sendto(socket_.get(), entry.bytes().data(), entry.bytes().size(),
                    MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                    sizeof(address)) >= 0;
}

}  // namespace impnetd::log
