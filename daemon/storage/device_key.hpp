// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The device's key, and what it seals. A sealed secret can be stored and shown: without the key it
// is noise, and every change in it is noticed. It opens on this device only, and only for what it
// was given for: the key of another network, or the password of a proxy at another address, is
// refused, so that nobody gets a secret out of us by sending it where he listens.
//
// A blob: its version (1 byte), a random nonce (24), and XChaCha20-Poly1305 of the text, padded so
// that its length does not show. What it is for is the associated data.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/nic.hpp"
#include "core/secret.hpp"
#include "core/stored_configuration.hpp"

namespace impnetd {

class DeviceKey {
  public:
    static constexpr std::size_t size = 32;
    using Bytes = std::span<const std::uint8_t, size>;

    /// A new one, of random bits.
    DeviceKey();
    explicit DeviceKey(Bytes bytes);

    Bytes reveal() const { return Bytes(bytes_.get(), size); }

    /// The text becomes a blob; a blob has to be ours. InvalidArgument if it is not: the message
    /// names the key, after `path` ("wificonfig.").
    Result<> seal(WifiConfig& config, std::string_view path = "") const;
    Result<> seal(ProxyConfig& config, std::string_view path = "") const;
    Result<> seal(CellConfig& config, std::string_view path = "") const;
    Result<> seal(CellularConfiguration& config) const;
    /// All that it has.
    Result<> seal(Nic& nic) const;

    /// What was sealed. Failed: not by this key, or not for this.
    Result<SecretText> open_key(const WifiConfig& config) const;
    Result<SecretText> open_password(const ProxyConfig& config) const;
    Result<SecretText> open_password(const CellConfig& config) const;
    Result<SecretText> open_pin(const CellularConfiguration& config) const;

  private:
    struct Free {
        void operator()(std::uint8_t* bytes) const;
    };

    SealedBlob seal(std::string_view text, const std::string& purpose) const;
    Result<SecretText> open(const Secret& secret, const std::string& purpose) const;
    Result<> seal(Secret& secret, const std::string& purpose, const std::string& key) const;

    std::unique_ptr<std::uint8_t, Free> bytes_;  // between guard pages, in no core dump
};

}  // namespace impnetd
