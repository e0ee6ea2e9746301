// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where the device's key is: the service's credential `impnetd-key`, which a TPM may guard
// (systemd-creds(1)), or else the file `device-key` in the state directory, made once. It is 32
// bytes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "storage/device_key.hpp"

namespace impnetd::storage {

struct FoundKey {
    std::shared_ptr<const DeviceKey> key;
    bool lasting = false;   ///< there will be this same key after a restart
    std::string problem{};  ///< there is another one, which cannot be used, for this reason
};

/// `credentials`: $CREDENTIALS_DIRECTORY, or empty. Without a key there, and with none or a damaged
/// one on disk (which is set aside), a new one is made, and written if that can be done. If there
/// is one that cannot be used, the key is for this process alone.
FoundKey find_key(const std::filesystem::path& directory, const std::filesystem::path& credentials);

/// Puts the key into its file, and the file into the directory, which is made if it is missing.
/// Waits for the disk.
Result<> write_key(const std::filesystem::path& directory, const DeviceKey& key);

}  // namespace impnetd::storage
