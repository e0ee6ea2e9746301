// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storage/file.hpp"

#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "config/files.hpp"
#include "loop/unique_fd.hpp"

namespace impnetd::storage {

namespace {

/// So many files that were set aside are kept.
constexpr unsigned most_set_aside = 8;

tl::unexpected<Error> failed(const std::filesystem::path& path) {
    const int error = errno;
    return fail(ErrorCode::failed, path.string() + ": " + std::generic_category().message(error));
}

bool write_all(int fd, std::string_view content) {
    while (!content.empty()) {
        const auto written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

/// `fresh` is complete and on the disk, or there is an error.
Result<> make(const std::filesystem::path& fresh, std::string_view content) {
    const UniqueFd file(
        ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return failed(fresh);
    if (!write_all(file.get(), content) || ::fsync(file.get()) != 0) return failed(fresh);
    return {};
}

}  // namespace

Result<std::optional<std::string>> read_file(const std::filesystem::path& path) {
    std::error_code error;
    if (std::filesystem::symlink_status(path, error).type() ==
        std::filesystem::file_type::not_found)
        return std::nullopt;
    return config::slurp(path).map([](std::string text) { return std::optional(std::move(text)); });
}

Result<> replace_file(const std::filesystem::path& path, std::string_view content) {
    const auto folder = path.parent_path();
    const auto fresh = std::filesystem::path(path.string() + ".new");
    // First what can fail: once the name has changed hands nothing should.
    const UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return failed(folder);
    // Of a process that was ended in the middle.
    if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return failed(fresh);
    auto made = make(fresh, content);
    if (made && ::rename(fresh.c_str(), path.c_str()) != 0) made = failed(path);
    if (!made) {
        ::unlink(fresh.c_str());
        return made;
    }
    if (::fsync(directory.get()) != 0) return failed(folder);
    return {};
}

Result<std::filesystem::path> set_aside(const std::filesystem::path& path) {
    const std::string base = path.string() + ".damaged";
    for (unsigned number = 0; number < most_set_aside; ++number) {
        const std::string aside = number == 0 ? base : base + "." + std::to_string(number);
        const unsigned keep_other = number + 1 < most_set_aside ? RENAME_NOREPLACE : 0;
        if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, aside.c_str(), keep_other) == 0)
            return std::filesystem::path(aside);
        if (errno != EEXIST) break;
    }
    return failed(path);
}

}  // namespace impnetd::storage
