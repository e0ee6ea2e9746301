// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storage/device_key.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <vector>

#include <sodium.h>

namespace impnetd {

namespace {

constexpr std::uint8_t version = 1;
constexpr std::size_t nonce_size = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_size = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t header_size = 1 + nonce_size;
/// Longer than any secret of ours (64 bytes).
constexpr std::size_t padding = 80;

static_assert(DeviceKey::size == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

std::uint8_t* allocate() {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot be used here");
    auto* bytes = static_cast<std::uint8_t*>(sodium_malloc(DeviceKey::size));
    if (bytes == nullptr) throw std::bad_alloc();
    return bytes;
}

/// What a secret is for, and what it goes with: nothing else gives the same text.
std::string purpose(std::string_view what, std::initializer_list<std::string_view> fields) {
    std::string out = "impnet secret " + std::to_string(version) + " ";
    out += what;
    for (const auto field : fields) {
        out += ' ' + std::to_string(field.size()) + ':';
        out += field;
    }
    return out;
}

std::string purpose_of(const WifiConfig& config) {
    return purpose("wifi key", {config.ssid});
}

std::string purpose_of(const ProxyConfig& config) {
    return purpose("proxy password",
                   {config.type, config.address, std::to_string(config.port), config.username});
}

std::string purpose_of(const CellConfig& config) {
    return purpose("cellular password", {config.apn, config.username});
}

std::string purpose_of_pin() {
    return purpose("cellular pin", {});
}

const unsigned char* bytes_of(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

/// Wiped in the end.
class Clear {
  public:
    explicit Clear(std::size_t size) : bytes_(size) {}
    ~Clear() { sodium_memzero(bytes_.data(), bytes_.size()); }
    Clear(const Clear&) = delete;
    Clear& operator=(const Clear&) = delete;

    unsigned char* data() { return bytes_.data(); }
    std::size_t size() const { return bytes_.size(); }

  private:
    std::vector<unsigned char> bytes_;
};

}  // namespace

void DeviceKey::Free::operator()(std::uint8_t* bytes) const {
    sodium_free(bytes);
}

DeviceKey::DeviceKey() : bytes_(allocate()) {
    randombytes_buf(bytes_.get(), size);
}

DeviceKey::DeviceKey(Bytes bytes) : bytes_(allocate()) {
    std::copy(bytes.begin(), bytes.end(), bytes_.get());
}

SealedBlob DeviceKey::seal(std::string_view text, const std::string& purpose) const {
    Clear clear((text.size() / padding + 1) * padding);
    std::copy(text.begin(), text.end(), clear.data());
    std::size_t padded = 0;
    if (sodium_pad(&padded, clear.data(), text.size(), padding, clear.size()) != 0)
        throw std::logic_error("padding");
    SealedBlob blob(header_size + padded + tag_size);
    blob[0] = version;
    randombytes_buf(blob.data() + 1, nonce_size);
    crypto_aead_xchacha20poly1305_ietf_encrypt(blob.data() + header_size, nullptr, clear.data(),
                                               padded, bytes_of(purpose), purpose.size(), nullptr,
                                               blob.data() + 1, bytes_.get());
    return blob;
}

Result<SecretText> DeviceKey::open(const Secret& secret, const std::string& purpose) const {
    if (const auto* text = std::get_if<SecretText>(&secret)) return *text;
    const auto& blob = std::get<SealedBlob>(secret);
    const auto not_ours = fail(ErrorCode::failed, "not sealed by this device for this");
    if (blob.size() < header_size + padding + tag_size || blob[0] != version) return not_ours;
    Clear clear(blob.size() - header_size - tag_size);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            clear.data(), nullptr, nullptr, blob.data() + header_size, blob.size() - header_size,
            bytes_of(purpose), purpose.size(), blob.data() + 1, bytes_.get()) != 0)
        return not_ours;
    std::size_t length = 0;
    if (sodium_unpad(&length, clear.data(), clear.size(), padding) != 0) return not_ours;
    return SecretText({reinterpret_cast<const char*>(clear.data()), length});
}

Result<> DeviceKey::seal(Secret& secret, const std::string& purpose, const std::string& key) const {
    if (is_none(secret)) return {};
    if (const auto* text = std::get_if<SecretText>(&secret)) {
        secret = seal(text->reveal(), purpose);
        return {};
    }
    const auto opened = open(secret, purpose);
    if (!opened) return fail(ErrorCode::invalid_argument, key + ": " + opened.error().message);
    return {};
}

Result<> DeviceKey::seal(WifiConfig& config, std::string_view path) const {
    return seal(config.key, purpose_of(config), std::string(path) + "key");
}

Result<> DeviceKey::seal(ProxyConfig& config, std::string_view path) const {
    return seal(config.password, purpose_of(config), std::string(path) + "password");
}

Result<> DeviceKey::seal(CellConfig& config, std::string_view path) const {
    return seal(config.password, purpose_of(config), std::string(path) + "password");
}

Result<> DeviceKey::seal(CellularConfiguration& config) const {
    if (auto done = seal(config.cell); !done) return done;
    return seal(config.pin, purpose_of_pin(), "pin");
}

Result<> DeviceKey::seal(Nic& nic) const {
    Result<> done;
    if (nic.wifi && done) done = seal(*nic.wifi, "wificonfig.");
    if (nic.proxy && done) done = seal(*nic.proxy, "proxyconfig.");
    if (nic.cell && done) done = seal(*nic.cell, "cellconfig.");
    return done;
}

Result<SecretText> DeviceKey::open_key(const WifiConfig& config) const {
    return open(config.key, purpose_of(config));
}

Result<SecretText> DeviceKey::open_password(const ProxyConfig& config) const {
    return open(config.password, purpose_of(config));
}

Result<SecretText> DeviceKey::open_password(const CellConfig& config) const {
    return open(config.password, purpose_of(config));
}

Result<SecretText> DeviceKey::open_pin(const CellularConfiguration& config) const {
    return open(config.pin, purpose_of_pin());
}

}  // namespace impnetd
