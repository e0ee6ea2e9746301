// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Everything that can be logged, in one table: what it is called, the message id that it has for
// good (systemd.journal-fields(7); new ones by `systemd-id128 new`), and how often. A call names
// its event by a string literal, and a name that is not in the table does not compile. The
// catalogue, `systemd/impnetd.catalog`, explains each of them.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace impnetd::log {

struct EventEntry {
    std::string_view name;
    std::string_view id;  ///< 32 hexadecimal digits
    /// At most so many lines a subject and window (`flood_gate.hpp`); 0: all.
    unsigned most = 0;
};

// Whatever a client, a network or a server can bring about at will has a limit, so that none of
// them fills the journal. That of denials and faults is low: the first ones say it all. Programs
// that open sessions and interfaces that change state do so in earnest, too: those limits are
// far above what a desk full of loose cables makes. Debug lines were asked for.
inline constexpr std::array events = {
    // the daemon
    EventEntry{"started", "881a94c36f464f6d9847559eab08422d"},
    EventEntry{"stopped", "32045d6cae2e4e4d8b904940ae67dff9"},
    EventEntry{"fault", "050df8ea74234d71b4a96a14f78bc682", 10},
    EventEntry{"bus_lost", "c593b915120c4e1e87c2d9596f1c0ca4", 10},
    EventEntry{"signal_not_sent", "a6a1453495ab4a2f98149b66716dd93d", 10},
    EventEntry{"bus_unavailable", "d2419106bd0144ddacab944f960ccab8", 10},
    EventEntry{"bus_refused", "ab31eb43c44f4e3c913b70eabfcc89b0", 10},
    EventEntry{"bus_connected", "001fe5c2d3c5471cbfffd37a916a8191", 60},
    EventEntry{"host_woke_up", "d8dfae824b47406784b43cd3929946d6", 60},
    EventEntry{"reloaded", "c7c5eecef2e14eca9b665e294928ab7b", 60},
    EventEntry{"reload_refused", "6c942ae1856b407aae5c804b6572a0ca", 10},
    EventEntry{"kernel_path_unavailable", "55477345e118499d9d11e0d3c8d74e47"},
    EventEntry{"socket_source_ended", "5b78fa276105401ebc90e6ec312d21f6", 10},
    EventEntry{"libbpf", "2cfa645f16404d7b96ff4889ec059b15"},
    EventEntry{"reload_needs_restart", "7dd523dbfe9a449791ed6812b0e4a0c4", 10},
    // the service manager, and what outlives the daemon
    EventEntry{"notify_failed", "8da4eaa9ec1442ed8f3499a8eeeaa2e7", 10},
    EventEntry{"manager_silent", "2288777542d3445e8f2acc13161479eb", 10},
    EventEntry{"not_kept", "181a96625eb543209ba2711da71975fc", 10},
    EventEntry{"session_restored", "980fdac9139b470f9b1d9537b449f577"},
    EventEntry{"session_lost", "7796b80d37b546508020db5179d4b6b2", 10},
    EventEntry{"socket_lost", "600f40cca30e4268be03df98d05a219b", 10},
    // the stored configuration
    EventEntry{"stored_untouchable", "e20c5fa842284c9baa2ee51378072ebc", 10},
    EventEntry{"stored_damaged", "d41c381cd1b34ba9817a319661162d79", 10},
    EventEntry{"not_stored", "84eeaf61c92c4d5687a7b34eee2ad9dd", 10},
    EventEntry{"secret_lost", "29bac7c7a7b74807b70d2bcb7afc6473", 10},
    EventEntry{"key_made", "64ccc040bbde44ac828f6bfbece765d0"},
    EventEntry{"key_not_stored", "82107779a60d44d486a26b19d9775fb5", 10},
    EventEntry{"key_unusable", "6ee5000b11df4047a7c215ef0ea06604", 10},
    EventEntry{"key_damaged", "061dcfe7dd364a2e915f95e3c425572c", 10},
    // interfaces
    EventEntry{"device", "c346674a730f466894c80a82730407f0", 60},
    EventEntry{"state", "9c632c60c1d74cfe999263f8987154bf", 300},
    EventEntry{"lease", "7820f703bc3a4d2d92a8e040c8ab9e37", 60},
    EventEntry{"lease_routes", "26d2d0902e6842e187862dd2017a5cf1", 10},
    EventEntry{"lease_refused", "112ea19ee8bd46c68d05685a33dc4c9a", 10},
    EventEntry{"lease_unusable", "4aea464800a7427aac0aaeb5d87fd4fe", 10},
    EventEntry{"lease_unconfirmed", "ae886b23ab5b4df29c36eb9a67391650"},
    EventEntry{"address_conflict", "c82cd8c3a917441c985032a1e7658963", 10},
    EventEntry{"conflict_watch_failed", "ba43303329f94915a7126b7b9e462c10", 10},
    EventEntry{"interface_contended", "fa273ba0b73e44e09762a755cac6fe7f", 10},
    EventEntry{"configure_failed", "cfa684ce7dd647abb0e60961c91f9c2e", 10},
    EventEntry{"withdraw_failed", "b9ad9dc3481a451f89fdf288d0b37309", 10},
    EventEntry{"udhcpc_started", "52fdf1765b2045f29de691e68c5843cc"},
    EventEntry{"udhcpc_failed", "8b399baa42754b118ede1848e962d9ff", 10},
    EventEntry{"udhcpc", "12c93464af0941c38029fbf6ccaa3541"},
    // clients
    EventEntry{"session_opened", "4384200ff3094deca75751e657169022", 60},
    EventEntry{"session_resumed", "5c9a187d6cbf48eab0f25dd3d2351d52", 60},
    EventEntry{"session_abandoned", "1f21b1ca4b4948b0adce6ce293ee7d8f", 60},
    EventEntry{"open_denied", "cc79237aaf0647fcacd024811f0b2877", 10},
    EventEntry{"socket_denied", "421c1c1e4e694c8d98307f78fe7658ed", 10},
    EventEntry{"session_revoked", "b1c9e306094c4241a783b81da57ff579", 60},
    EventEntry{"configure_denied", "653bf576a3c148c5b3831013b8a93fc3", 10},
    EventEntry{"socket_revoked", "8213dac3428e4fb58f8eef2a8864f9c2", 10},
    // the model of the kernel's links
    EventEntry{"netlink_overrun", "e2da496fa73346e080b50a1188cf9296", 10},
    EventEntry{"netlink_resynchronised", "8a799b163db84bc6a4401f40ebea544e", 10},
    EventEntry{"netlink_resync_failed", "52b3be0e28c14b84af741946d303c912", 10},
    // the log itself
    EventEntry{"suppressed", "41046d3e9fa844c19013b588fc665849"},
    EventEntry{"log_lost", "328a2ac2eaf14224b42d37000b7a02f4"},
};

/// An event of the table.
class Event {
  public:
    consteval Event(const char* name) : entry_(find(name)) {}

    constexpr std::string_view name() const { return entry_->name; }
    constexpr std::string_view id() const { return entry_->id; }
    constexpr unsigned most() const { return entry_->most; }

  private:
    static void this_event_is_not_in_the_table();  // called in a constant expression: an error

    static consteval const EventEntry* find(std::string_view name) {
        const auto* const found =
            std::find_if(events.begin(), events.end(),
                         [&](const EventEntry& entry) { return entry.name == name; });
        if (found == events.end()) this_event_is_not_in_the_table();
        return found;
    }

    const EventEntry* entry_;
};

}  // namespace impnetd::log
