// SPDX-License-Identifier: LGPL-2.1-or-later
#include "data_path_choice.hpp"

#include <string_view>
#include <utility>

#include "datapath/kernel/kernel_path.hpp"
#include "datapath/relay/relay.hpp"
#include "datapath/udp_socket.hpp"
#include "log/log.hpp"

namespace impnetd {

namespace {

/// What is kept under the names of another layout is of no use, and dropped with all that nobody
/// takes.
constexpr std::string_view maps_prefix = "bpf" IMPNET_LAYOUT "-";
constexpr const char* ledger_name = "ledger";

Result<std::unique_ptr<DataPath>> make_kernel_path(Loop& loop, FdStore& store,
                                                   const Configuration& config,
                                                   const std::string& own_directory) {
    kernel::Programs::Maps maps;
    for (const auto& name : store.inherited(maps_prefix))
        maps[name.substr(maps_prefix.size())] = std::move(store.take(name).front());
    auto path =
        KernelPath::make(loop, {.limit = config.limiter,
                                .ttl = config.datapath.ttl,
                                .socket_source = kernel::socket_source_program(own_directory),
                                .maps = std::move(maps)});
    if (!path) return tl::unexpected<Error>(path.error());
    if (!(*path)->maps_inherited()) {
        for (const auto& [name, fd] : (*path)->maps()) {
            const auto kept = std::string(maps_prefix) + name;
            store.drop(kept);
            store.keep(kept, {fd});
        }
    }
    return path;
}

std::unique_ptr<DataPath> make_relay(Loop& loop, FdStore& store, const Configuration& config) {
    auto ledgers = store.take(ledger_name);
    auto relay = std::make_unique<Relay>(
        loop, Relay::Options{.limits = config.limiter,
                             .ttl = config.datapath.ttl,
                             .clock = {},
                             .ledger = ledgers.empty() ? UniqueFd() : std::move(ledgers.front())});
    if (!relay->ledger_inherited()) {
        store.drop(ledger_name);  // of another layout, perhaps
        store.keep(ledger_name, {relay->ledger()});
    }
    return relay;
}

}  // namespace

Result<std::unique_ptr<DataPath>> choose_data_path(Loop& loop, FdStore& store,
                                                   const Configuration& config,
                                                   const std::string& own_directory) {
    using Choice = Configuration::PathChoice;
    const auto choice = config.datapath.path;
    if (choice != Choice::relay) {
        auto kernel = make_kernel_path(loop, store, config, own_directory);
        if (kernel || choice == Choice::kernel) return kernel;
        log::warning("kernel_path_unavailable", {{"reason", kernel.error().message}});
    }
    return make_relay(loop, store, config);
}

void end_unclaimed_sockets(FdStore& store) {
    for (const auto& name : store.inherited("socket-")) {
        for (auto& fd : store.take(name)) UdpSocket::end(std::move(fd));
        store.drop(name);
    }
}

}  // namespace impnetd
