// SPDX-License-Identifier: LGPL-2.1-or-later
#include "journal.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-journal.h>

#include "deadline.hpp"
#include "world.hpp"

namespace lab {

namespace {

const std::filesystem::path journals = "/run/log/journal";
const std::filesystem::path catalogues = "/var/lib/systemd/catalog";
constexpr std::string_view notices_path = "/run/lab/journald.notify";

/// A socket that journald tells when it is ready, as a service tells systemd.
Fd notices() {
    Fd fd(checked(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    notices_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    std::filesystem::remove(notices_path);
    checked(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");

    std::filesystem::create_directories("/run/systemd/journald.conf.d");
    std::ofstream("/run/systemd/journald.conf.d/lab.conf")
        << "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=\nForwardToSyslog=no\n"
           "ForwardToWall=no\nRateLimitBurst=0\n";
    return fd;
}

void check(int result, const char* what) {
    if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

}  // namespace

Journal::Journal(const std::string& catalogue)
    : notices_(notices()),
      process_(home_, {"/lib/systemd/systemd-journald"},
               {.environment = {"NOTIFY_SOCKET=" + std::string(notices_path)}}) {
    const Deadline deadline(Milliseconds(5'000));
    for (std::string said; said.find("READY=1") == std::string::npos;) {
        if (wait_readable({notices_.get(), process_.fd()}, deadline) != std::vector{notices_.get()})
            throw std::runtime_error("journald does not start:\n" + process_.output());
        char text[1024];
        said.assign(text, static_cast<std::size_t>(checked(
                              ::recv(notices_.get(), text, sizeof(text), 0), "journald's notice")));
    }

    // Compiled by the real thing in a root of its own, for what the installed ones say is not ours.
    const std::filesystem::path root = fresh_path(".root");
    std::filesystem::create_directories(root / "usr/lib/systemd/catalog");
    std::filesystem::create_directories(root / "var/lib/systemd/catalog");
    std::filesystem::copy(catalogue, root / "usr/lib/systemd/catalog");
    home_.run({"journalctl", "--root=" + root.string(), "--update-catalog"});
    std::filesystem::create_directories(catalogues);
    std::filesystem::copy(root / "var/lib/systemd/catalog/database", catalogues / "database",
                          std::filesystem::copy_options::overwrite_existing);
}

Journal::~Journal() {
    process_.kill(SIGKILL);
    std::error_code ignored;
    for (const auto& path : {journals, catalogues, std::filesystem::path("/run/systemd/journal")})
        std::filesystem::remove_all(path, ignored);
}

std::vector<std::string> Journal::runner() {
    return {"systemd-cat", "sh", "-c",
            "JOURNAL_STREAM=$(stat --dereference --format=%d:%i /proc/self/fd/2) exec \"$@\"",
            "sh"};
}

std::vector<Journal::Entry> Journal::entries(const std::vector<std::string>& matches) const {
    home_.run({"journalctl", "--sync"});
    sd_journal* opened = nullptr;
    check(sd_journal_open_directory(&opened, journals.c_str(), 0), "the journal");
    const std::unique_ptr<sd_journal, decltype(&sd_journal_close)> journal(opened,
                                                                           sd_journal_close);
    check(sd_journal_set_data_threshold(opened, 0), "threshold");
    for (const auto& match : matches)
        check(sd_journal_add_match(opened, match.data(), match.size()), match.c_str());

    std::vector<Entry> out;
    int more = 0;
    while ((more = sd_journal_next(opened)) > 0) {
        Entry entry;
        const void* data = nullptr;
        std::size_t size = 0;
        SD_JOURNAL_FOREACH_DATA(opened, data, size) {
            const std::string field(static_cast<const char*>(data), size);
            const auto sign = field.find('=');
            entry.fields[field.substr(0, sign)] = field.substr(sign + 1);
        }
        char* text = nullptr;
        if (sd_journal_get_catalog(opened, &text) >= 0) {
            const std::unique_ptr<char, decltype(&std::free)> owned(text, std::free);
            entry.explanation = text;
        }
        out.push_back(std::move(entry));
    }
    check(more, "next entry");
    return out;
}

}  // namespace lab
