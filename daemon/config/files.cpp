// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/files.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <system_error>

namespace impnetd::config {

namespace {

constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 20;

tl::unexpected<Error> unreadable(const std::filesystem::path& path, const std::string& why) {
    return fail(ErrorCode::failed, path.string() + ": " + why);
}

}  // namespace

Result<std::string> slurp(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (error) return unreadable(path, error.message());
    if (status.type() != std::filesystem::file_type::regular)
        return unreadable(path, "not a regular file");
    const auto size = std::filesystem::file_size(path, error);
    if (error) return unreadable(path, error.message());
    if (size > largest_file) return unreadable(path, "larger than 1 MiB");
    std::ifstream in(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (!in.is_open() || in.bad()) return unreadable(path, "cannot be read");
    return text;
}

Result<std::vector<std::filesystem::path>> drop_ins(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    std::filesystem::directory_iterator entry(folder, error);
    while (!error && entry != std::filesystem::directory_iterator()) {
        if (entry->path().extension() == ".toml") found.push_back(entry->path());
        entry.increment(error);
    }
    if (error && error != std::errc::no_such_file_or_directory)
        return unreadable(folder, error.message());
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace impnetd::config
