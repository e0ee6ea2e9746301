// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storage/key_file.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <sodium.h>
#include <sys/stat.h>

#include "log/log.hpp"
#include "storage/file.hpp"

namespace impnetd::storage {

namespace {

constexpr const char* credential = "impnetd-key";
constexpr const char* file_name = "device-key";

/// The key in a file; nothing: there is no such file. InvalidArgument: its size is wrong.
Result<std::shared_ptr<const DeviceKey>> read_key(const std::filesystem::path& path) {
    auto content = read_file(path);
    if (!content) return tl::unexpected(content.error());
    if (!*content) return nullptr;
    auto& text = **content;
    if (text.size() != DeviceKey::size)
        return fail(ErrorCode::invalid_argument,
                    path.string() + ": not " + std::to_string(DeviceKey::size) + " bytes long");
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    auto key = std::make_shared<const DeviceKey>(DeviceKey::Bytes(bytes, DeviceKey::size));
    sodium_memzero(text.data(), text.size());
    return key;
}

FoundKey make_key(const std::filesystem::path& directory) {
    FoundKey made{.key = std::make_shared<const DeviceKey>()};
    const auto written = write_key(directory, *made.key);
    made.lasting = written.has_value();
    if (written)
        log::info("key_made", {{"file", (directory / file_name).string()}});
    else
        log::error("key_not_stored", {{"reason", written.error().message}});
    return made;
}

FoundKey makeshift(const Error& problem) {
    log::error("key_unusable", {{"reason", problem.message}});
    return {.key = std::make_shared<const DeviceKey>(), .problem = problem.message};
}

}  // namespace

FoundKey find_key(const std::filesystem::path& directory,
                  const std::filesystem::path& credentials) {
    if (!credentials.empty()) {
        const auto key = read_key(credentials / credential);
        if (!key) return makeshift(key.error());
        if (*key) return {.key = *key, .lasting = true};
    }
    const auto path = directory / file_name;
    const auto key = read_key(path);
    if (key && *key) return {.key = *key, .lasting = true};
    if (key) return make_key(directory);
    if (key.error().code != ErrorCode::invalid_argument) return makeshift(key.error());
    const auto aside = set_aside(path);
    if (!aside) return makeshift(aside.error());
    log::error("key_damaged", {{"reason", key.error().message}, {"kept_as", aside->string()}});
    return make_key(directory);
}

Result<> write_key(const std::filesystem::path& directory, const DeviceKey& key) {
    // Mostly it is there. If it cannot be made, the file says why.
    ::mkdir(directory.c_str(), 0700);
    const auto bytes = key.reveal();
    return replace_file(directory / file_name,
                        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace impnetd::storage
