// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The configuration as a plain value. A default-constructed one is what runs without any file:
// every default stands at its member, and nowhere else.
//
// It is the main file, and then each `conf.d/*.toml` beside it in the order of their names; a later
// file replaces single keys. What cannot be honoured is refused rather than ignored: a misspelt key
// that silently does nothing would be found when it is too late. So is a key whose feature this
// version does not have.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/interface_rule.hpp"
#include "core/rate_limit.hpp"

namespace impnetd {

struct Configuration {
    struct Timeouts {
        std::chrono::milliseconds attempt{60'000};  ///< from the carrier to an address
        std::chrono::milliseconds linger{5'000};    ///< powered on after the last session ended

        friend bool operator==(const Timeouts&, const Timeouts&) = default;
    };
    enum class PathChoice : std::uint8_t { automatic, kernel, relay };
    struct Datapath {
        PathChoice path = PathChoice::automatic;
        int ttl = 1;  ///< of every datagram that leaves

        friend bool operator==(const Datapath&, const Datapath&) = default;
    };
    struct Limits {
        unsigned sessions_per_uid = 64;
        unsigned sockets_per_uid = 256;
        unsigned calls_per_uid = 128;  ///< under way at the same time

        friend bool operator==(const Limits&, const Limits&) = default;
    };

    std::vector<InterfaceRule> interfaces;  ///< by rising NII, each once
    Timeouts timeouts;
    RateLimit limiter;
    Datapath datapath;
    Limits limits;
};

/// A single file's text. `file`: what error messages call it. Every error is one line
/// "file:line: key: what is wrong"; its code is InvalidArgument, or NotSupported for what this
/// version does not have.
Result<Configuration> parse_configuration(std::string_view text, const std::string& file);

/// The file at `path` and its `conf.d`; either may be missing. Failed: a file cannot be read.
Result<Configuration> read_configuration(const std::filesystem::path& path);

}  // namespace impnetd
