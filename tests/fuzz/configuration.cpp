// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/configuration.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iomanip>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include "fuzz/targets.hpp"
#include "fuzz/text.hpp"

namespace fuzz {

namespace {

using impnetd::Configuration;
using impnetd::ErrorCode;
using impnetd::InterfaceRule;

const std::string file = "impnetd.toml";

/// Beside the names of keys, which may be as long as the file.
constexpr std::size_t longest_reason = 400;

/// The number of the line that "impnetd.toml:7: ..." tells of; 0: it is not of this form.
std::size_t line_of(std::string_view message) {
    if (!message.starts_with(file + ":")) return 0;
    message.remove_prefix(file.size() + 1);
    std::size_t line = 0;
    const auto* end = message.data() + message.size();
    const auto [stop, error] = std::from_chars(message.data(), end, line);
    message.remove_prefix(static_cast<std::size_t>(stop - message.data()));
    return error == std::errc{} && message.starts_with(": ") ? line : 0;
}

void check_refusal(const impnetd::Error& error, std::string_view text) {
    demand(error.code == ErrorCode::invalid_argument || error.code == ErrorCode::not_supported,
           "a file is refused by InvalidArgument or NotSupported");
    const auto lines = 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    const auto line = line_of(error.message);
    demand(line >= 1 && line <= lines, "the message tells a line of the file");
    demand(is_showable(error.message), "the message can be shown");
    demand(error.message.size() <= longest_reason + 2 * text.size(), "the message is short");
}

void check_rule(const InterfaceRule& rule) {
    demand(impnetd::Nii::parse(rule.nii.text()) == rule.nii, "an interface has an NII");
    demand(rule.device.has_value() + rule.mac.has_value() + rule.path.has_value() <= 1,
           "a device is given in one way");
    if (rule.device)
        demand(!rule.device->empty() && rule.device->size() < 16, "the kernel takes the name");
}

void check_ranges(const Configuration& config) {
    using namespace std::chrono_literals;
    demand(config.timeouts.attempt >= 1s && config.timeouts.attempt <= 1h, "attempt's range");
    demand(config.timeouts.linger >= 0s && config.timeouts.linger <= 1h, "linger's range");
    demand(config.limiter.burst >= 1 && config.limiter.burst <= 1'000'000, "burst's range");
    demand(config.limiter.rate >= 0 && config.limiter.rate <= 1'000'000, "rate's range");
    demand(config.datapath.ttl >= 1 && config.datapath.ttl <= 255, "ttl's range");
    const auto& limits = config.limits;
    demand(limits.sessions_per_uid >= 1 && limits.sessions_per_uid <= 65536, "sessions' range");
    demand(limits.sockets_per_uid >= 1 && limits.sockets_per_uid <= 65536, "sockets' range");
}

const char* name(Configuration::PathChoice choice) {
    switch (choice) {
        case Configuration::PathChoice::automatic:
            return "auto";
        case Configuration::PathChoice::kernel:
            return "kernel";
        case Configuration::PathChoice::relay:
            return "relay";
    }
    return "";
}

std::string in_quotes(std::string_view text) {
    std::ostringstream out;
    out << '"' << std::hex << std::setfill('0');
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\')
            out << "\\u" << std::setw(4) << static_cast<unsigned>(byte);
        else
            out << c;
    }
    out << '"';
    return out.str();
}

/// As a person could have written it.
std::string written(const Configuration& config) {
    std::ostringstream out;
    out << std::setprecision(std::numeric_limits<double>::max_digits10) << std::boolalpha;
    for (const auto& rule : config.interfaces) {
        out << "[interfaces." << rule.nii.text() << "]\n";
        if (rule.device) out << "device = " << in_quotes(*rule.device) << '\n';
        if (rule.mac) out << "mac = " << in_quotes(rule.mac->text()) << '\n';
        if (rule.path) out << "path = " << in_quotes(*rule.path) << '\n';
        out << "managed = " << rule.managed << "\nalways-on = " << rule.always_on << '\n';
        out << "on-stop = " << (rule.down_on_stop ? "\"down\"" : "\"keep\"") << '\n';
        out << "ipv6 = " << (rule.kernel_ipv6 ? "\"kernel\"" : "\"off\"") << '\n';
    }
    const auto seconds = [](std::chrono::milliseconds time) {
        return static_cast<double>(time.count()) / 1000;
    };
    out << "[timeouts]\nattempt = " << seconds(config.timeouts.attempt)
        << "\nlinger = " << seconds(config.timeouts.linger)
        << "\n[limiter]\nburst = " << config.limiter.burst << "\nrate = " << config.limiter.rate
        << "\n[datapath]\npath = \"" << name(config.datapath.path)
        << "\"\nttl = " << config.datapath.ttl
        << "\n[limits]\nsessions-per-uid = " << config.limits.sessions_per_uid
        << "\nsockets-per-uid = " << config.limits.sockets_per_uid << '\n';
    return out.str();
}

void check_written(const Configuration& config) {
    const auto again = impnetd::parse_configuration(written(config), file);
    demand(again.has_value(), "a configuration can be written");
    demand(again->interfaces == config.interfaces && again->timeouts == config.timeouts &&
               again->limiter.burst == config.limiter.burst &&
               again->limiter.rate == config.limiter.rate && again->datapath == config.datapath &&
               again->limits == config.limits,
           "a configuration reads back as it was written");
}

}  // namespace

void configuration(Bytes input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    const auto config = impnetd::parse_configuration(text, file);
    if (!config) return check_refusal(config.error(), text);
    for (const auto& rule : config->interfaces) check_rule(rule);
    const auto rising = [](const InterfaceRule& a, const InterfaceRule& b) {
        return a.nii >= b.nii;
    };
    demand(std::adjacent_find(config->interfaces.begin(), config->interfaces.end(), rising) ==
               config->interfaces.end(),
           "interfaces are in order, each once");
    check_ranges(*config);
    check_written(*config);
}

}  // namespace fuzz
