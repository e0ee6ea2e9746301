// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/authority.hpp"

#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

namespace impnetd::bus {

namespace {

constexpr const char* action = "org.impnet1.configure";

// org.freedesktop.PolicyKit1.Authority, CheckAuthorization.
using Subject = sdbus::Struct<std::string, std::map<std::string, sdbus::Variant>>;
using Details = std::map<std::string, std::string>;
using Answer = sdbus::Struct<bool, bool, Details>;
constexpr std::uint32_t no_dialogue = 0;

}  // namespace

Authority::Authority(Loop& loop, sdbus::IConnection& connection)
    : loop_(loop),
      polkit_(sdbus::createProxy(connection, "org.freedesktop.PolicyKit1",
                                 "/org/freedesktop/PolicyKit1/Authority")) {}

void Authority::ask(const std::string& caller, OnDecided on_decided) {
    if (waiting_ == most_waiting)
        return on_decided(fail(ErrorCode::limit_exceeded, "too many calls wait for polkit"));
    ++waiting_;
    const Subject subject{"system-bus-name", {{"name", sdbus::Variant(caller)}}};
    polkit_->callMethodAsync("CheckAuthorization")
        .onInterface("org.freedesktop.PolicyKit1.Authority")
        .withArguments(subject, std::string(action), Details{}, no_dialogue, std::string())
        .uponReplyInvoke([this, on_decided = std::move(on_decided)](const sdbus::Error* error,
                                                                    const Answer& answer) {
            --waiting_;
            loop_.guarded([&] {
                const auto refuse = [&](const std::string& why) {
                    on_decided(fail(ErrorCode::not_authorized, std::string(action) + ": " + why));
                };
                if (error != nullptr) return refuse("polkit: " + error->getMessage());
                if (!std::get<0>(answer)) return refuse("polkit says no");
                on_decided({});
            });
        });
}

}  // namespace impnetd::bus
