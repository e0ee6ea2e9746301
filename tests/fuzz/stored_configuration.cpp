// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/stored_configuration.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "fuzz/targets.hpp"
#include "fuzz/text.hpp"
#include "storage/text.hpp"

namespace fuzz {

namespace {

using namespace impnetd;

const std::string file = "configuration.toml";

/// Beside the names of keys, which may be as long as the file.
constexpr std::size_t longest_reason = 400;

void check_refusal(const Error& error, std::string_view text) {
    demand(error.code == ErrorCode::invalid_argument || error.code == ErrorCode::not_supported,
           "a file is refused by InvalidArgument or NotSupported");
    std::string_view message = error.message;
    demand(message.starts_with(file + ":"), "the message tells the file");
    message.remove_prefix(file.size() + 1);
    std::size_t line = 0;
    const auto [stop, problem] =
        std::from_chars(message.data(), message.data() + message.size(), line);
    const auto lines = 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    demand(problem == std::errc{} && line >= 1 && line <= lines, "and a line of it");
    demand(is_showable(error.message), "the message can be shown");
    demand(error.message.size() <= longest_reason + 2 * text.size(), "the message is short");
}

void check_secrets(const StoredConfiguration& stored) {
    bool safe = !stored.proxy || is_kept_safe(stored.proxy->password);
    for (const auto& [nii, wifi] : stored.wifi) safe = safe && is_kept_safe(wifi.key);
    if (stored.cellular)
        safe = safe && is_kept_safe(stored.cellular->pin) &&
               is_kept_safe(stored.cellular->cell.password);
    demand(safe, "no secret is taken that is not sealed");
}

void check_nic(const StoredConfiguration& stored, Nii nii) {
    const auto nic = nic_of(stored, nii);
    demand(parse_nic(describe_sealed(nic)) == nic, "what is stored can be opened");
}

}  // namespace

void stored_configuration(Bytes input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    const auto stored = storage::parse_text(text, file);
    if (!stored) return check_refusal(stored.error(), text);
    check_secrets(*stored);
    demand(storage::parse_text(storage::write_text(*stored), file) == stored,
           "what is stored reads back as it was written");
    for (const auto interface_class :
         {InterfaceClass::ethernet, InterfaceClass::wifi, InterfaceClass::cell})
        check_nic(*stored, {interface_class, 0});
}

}  // namespace fuzz
