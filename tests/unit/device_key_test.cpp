// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a device seals only this device opens, and only for what it was given for.
#include "storage/device_key.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <catch2/catch.hpp>

using namespace impnetd;

namespace {

/// The same in every test: the first blobs of all have to be readable for ever.
DeviceKey known_key() {
    std::array<std::uint8_t, DeviceKey::size> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes.at(i) = static_cast<std::uint8_t>(i);
    return DeviceKey(bytes);
}

WifiConfig wifi(std::string_view key = "correct horse battery staple") {
    return {"home", SecretText(key)};
}

ProxyConfig proxy() {
    return {"http", "proxy.lan", 3128, "me", SecretText("of the proxy")};
}

SealedBlob& blob(Secret& secret) {
    return std::get<SealedBlob>(secret);
}

}  // namespace

TEST_CASE("a sealed secret opens again, and shows nothing of itself") {
    const DeviceKey key;
    for (const std::size_t size : {8U, 63U, 64U}) {
        const std::string text(size, 'k');
        auto config = wifi(text);
        REQUIRE(key.seal(config));
        REQUIRE(is_kept_safe(config.key));
        const auto& bytes = blob(config.key);
        CHECK(bytes.size() == 1 + 24 + 80 + 16);  // whatever its length is
        CHECK(std::search(bytes.begin(), bytes.end(), text.begin(), text.begin() + 4) ==
              bytes.end());
        CHECK(key.open_key(config)->reveal() == text);
    }
    auto once = wifi();
    auto twice = wifi();
    REQUIRE(key.seal(once));
    REQUIRE(key.seal(twice));
    CHECK(once.key != twice.key);  // that two are the same does not show either
}

TEST_CASE("no secret stays none") {
    const DeviceKey key;
    auto config = wifi("");
    REQUIRE(key.seal(config));
    CHECK(is_none(config.key));
    CHECK(key.open_key(config)->empty());
}

TEST_CASE("a blob that is ours is taken as it is, and one that is not is refused by its key") {
    const DeviceKey key;
    auto config = wifi();
    REQUIRE(key.seal(config));
    const auto sealed = config;
    REQUIRE(key.seal(config));
    CHECK(config == sealed);

    const auto refused =
        Error{ErrorCode::invalid_argument, "key: not sealed by this device for this"};
    CHECK(DeviceKey().seal(config) == tl::unexpected(refused));
    Nic nic;
    nic.wifi = config;
    CHECK(DeviceKey().seal(nic).error().message ==
          "wificonfig.key: not sealed by this device for this");
    nic.wifi.reset();
    nic.proxy = proxy();
    nic.proxy->password = blob(config.key);
    CHECK(key.seal(nic).error().message ==
          "proxyconfig.password: not sealed by this device for this");
    nic.proxy.reset();
    nic.cell = CellConfig{"internet", "", blob(config.key)};
    CHECK(key.seal(nic).error().message ==
          "cellconfig.password: not sealed by this device for this");
}

TEST_CASE("a blob opens for nothing else than what it was given for") {
    const DeviceKey key;
    auto config = wifi();
    REQUIRE(key.seal(config));
    config.ssid = "hom";
    CHECK_FALSE(key.open_key(config));

    auto through = proxy();
    REQUIRE(key.seal(through));
    CHECK(key.open_password(through)->reveal() == "of the proxy");
    // Nobody gets the password sent to himself.
    auto other = through;
    other.address = "listener.example";
    CHECK_FALSE(key.open_password(other));
    other = through;
    other.port = 3129;
    CHECK_FALSE(key.open_password(other));
    // Nor by moving the border between two fields.
    other = through;
    other.address = "proxy.lan 4:3128";
    CHECK_FALSE(key.open_password(other));

    CellularConfiguration cellular{{"internet", "me", SecretText("of the network")},
                                   SecretText("1234")};
    REQUIRE(key.seal(cellular));
    CHECK(key.open_password(cellular.cell)->reveal() == "of the network");
    CHECK(key.open_pin(cellular)->reveal() == "1234");
    std::swap(cellular.pin, cellular.cell.password);
    CHECK_FALSE(key.open_pin(cellular));
    CHECK_FALSE(key.open_password(cellular.cell));
}

TEST_CASE("a blob with any bit changed, or cut anywhere, is refused") {
    const DeviceKey key;
    auto config = wifi();
    REQUIRE(key.seal(config));
    const auto whole = blob(config.key);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        blob(config.key) = whole;
        blob(config.key)[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        REQUIRE_FALSE(key.open_key(config));
    }
    for (std::size_t size = 0; size < whole.size(); ++size) {
        config.key = SealedBlob(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        REQUIRE_FALSE(key.open_key(config));
    }
    auto longer = whole;
    longer.push_back(0);
    config.key = longer;
    CHECK_FALSE(key.open_key(config));
}

TEST_CASE("what the first version sealed opens with any later one") {
    WifiConfig config{"home", {}};
    const std::string hex =
        "01e964113dded3ac84727527130964bffc177eccfd7df624464170f051a420362933ffaa1aa8b506ea88"
        "69ae9661ed081dd0b288beacab9625624f9196cafd1ab7085e74cc279d0eba585adb0e2e79209185b81f"
        "5613ce9eba4797d8def91e016c1ba2a491624edf9ca0735f6af25863256daa2ad830c6571a";
    SealedBlob bytes;
    for (std::size_t at = 0; at < hex.size(); at += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(at, 2), nullptr, 16)));
    config.key = bytes;
    const auto opened = known_key().open_key(config);
    REQUIRE(opened);
    CHECK(opened->reveal() == "correct horse battery staple");
}
