// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/nic.hpp"

#include <cctype>
#include <string>
#include <utility>
#include <variant>

#include "core/session_record.hpp"
#include "fuzz/dictionary.hpp"
#include "fuzz/targets.hpp"
#include "fuzz/text.hpp"

namespace fuzz {

namespace {

using impnetd::Dict;
using impnetd::ErrorCode;
using impnetd::Nic;
using impnetd::Value;

/// A key and a reason, and for an unknown interface its beginning.
constexpr std::size_t longest_message = 160;

bool is_secret(const std::string& key) {
    return key == "key" || key == "password";
}

/// Other characters, as many as before; of hex digits others, since a key may consist of them.
void disguise(Value& value) {
    if (auto* text = std::get_if<std::string>(&value.content))
        for (auto& c : *text) c = std::isxdigit(static_cast<unsigned char>(c)) != 0 ? 'a' : 'x';
    if (auto* blob = std::get_if<std::vector<std::uint8_t>>(&value.content))
        blob->assign(blob->size(), 'x');
}

/// The same with other secrets in it.
Dict disguised(Dict dict) {
    for (auto& [key, value] : dict) {
        if (auto* inner = std::get_if<Dict>(&value.content)) *inner = disguised(std::move(*inner));
        if (is_secret(key)) disguise(value);
    }
    return dict;
}

bool has_secrets(const Dict& dict) {
    for (const auto& [key, value] : dict) {
        const auto* inner = std::get_if<Dict>(&value.content);
        if (is_secret(key) || (inner != nullptr && has_secrets(*inner))) return true;
    }
    return false;
}

Nic without_secrets(Nic nic) {
    if (nic.wifi) nic.wifi->key = {};
    if (nic.proxy) nic.proxy->password = {};
    if (nic.cell) nic.cell->password = {};
    return nic;
}

void check_refusal(const impnetd::Error& error, const Dict& dict) {
    demand(error.code == ErrorCode::invalid_argument || error.code == ErrorCode::no_such_interface,
           "a NIC is refused by InvalidArgument or NoSuchInterface");
    demand(!error.message.empty() && error.message.size() <= longest_message,
           "the message is short");
    demand(is_showable(error.message), "the message can be sent and shown");
    const auto other = impnetd::parse_nic(disguised(dict));
    demand(!other && other.error() == error, "the message says nothing of a secret");
}

void check_description(const Nic& nic, const Dict& dict) {
    auto description = impnetd::describe(nic);
    demand(!has_secrets(description), "a description has no secrets");
    const auto other = impnetd::parse_nic(disguised(dict));
    demand(other && impnetd::describe(*other) == description,
           "a description says nothing of a secret");

    // An open network has no key, but says so.
    if (nic.wifi) std::get<Dict>(description["wificonfig"].content)["key"] = {std::string()};
    demand(impnetd::parse_nic(description) == without_secrets(nic),
           "a description leaves out the secrets and nothing else");
}

void check_record(const Nic& nic) {
    impnetd::SessionRecord record;
    record.nic = nic;
    demand(impnetd::read_session_record(impnetd::write_record(record)) == record,
           "a session with the NIC reads back as it was written");
}

}  // namespace

void nic(Bytes input) {
    const auto dict = read_dictionary(input);
    const auto parsed = impnetd::parse_nic(dict);
    if (!parsed) return check_refusal(parsed.error(), dict);
    check_description(*parsed, dict);
    check_record(*parsed);
}

}  // namespace fuzz
