// SPDX-License-Identifier: LGPL-2.1-or-later
//
// impnetd: reads its configuration, puts the parts together, and runs the loop.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <limits.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "addressing/conflict_watch.hpp"
#include "addressing/udhcpc.hpp"
#include "bus/presence.hpp"
#include "config/configuration.hpp"
#include "config/policy_files.hpp"
#include "data_path_choice.hpp"
#include "ending.hpp"
#include "log/log.hpp"
#include "loop/loop.hpp"
#include "netlink/device_type.hpp"
#include "netlink/links.hpp"
#include "network/interfaces.hpp"
#include "network/managed_ethernet.hpp"
#include "network/observed_link.hpp"
#include "network/quota.hpp"
#include "network/sessions.hpp"
#include "reload.hpp"
#include "service/fd_store.hpp"
#include "service/notify.hpp"
#include "service/watchdog.hpp"
#include "storage/key_file.hpp"
#include "storage/storage.hpp"
#include "version.hpp"

namespace impnetd {

namespace {

struct Options {
    std::string config = "/etc/impnet/impnetd.toml";
    std::string bus;
    std::string state_dir = "/var/lib/impnet";
    std::string runtime_dir = "/run/impnet";
    std::string log_level = "info";
    bool check_config = false;
};

std::string hostname() {
    std::string name(HOST_NAME_MAX + 1, '\0');
    if (::gethostname(name.data(), name.size()) != 0) return {};
    name.resize(name.find('\0'));
    return name;
}

/// Every socket of a client takes one or two descriptors; what a host allows at first is for
/// programs that use select().
void allow_many_descriptors() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// What programs bring along is in no core dump, wherever in memory it is at that moment, and no
/// other process of our user reads it.
void guard_memory() {
    ::prctl(PR_SET_DUMPABLE, 0);
}

std::string own_directory() {
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

Interface::MakeControl controls(Loop& loop, netlink::Links& links) {
    const auto programs = UdhcpcPrograms::beside(own_directory());
    return [&loop, &links, name = hostname(), programs](
               Interface& interface, bool managed,
               const InterfaceRecord* before) -> std::unique_ptr<Control> {
        if (!managed) return std::make_unique<ObservedLink>(interface, links, before);
        return std::make_unique<ManagedEthernet>(
            loop, interface, links,
            ManagedEthernet::Ports{.lease =
                                       [&loop, programs](LeasePort::Observer& observer) {
                                           return std::make_unique<Udhcpc>(loop, observer,
                                                                           programs);
                                       },
                                   .conflict =
                                       [&loop](ConflictPort::Observer& observer) {
                                           return std::make_unique<ConflictWatch>(loop, observer);
                                       }},
            name, before);
    };
}

/// Ends the process without taking anything apart: perhaps another one goes on with what is in the
/// FD store. An exception that nobody handles (`run`) ends here.
[[noreturn]] void give_up() {
    try {
        if (const auto problem = std::current_exception()) std::rethrow_exception(problem);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "impnetd: %s\n", e.what());
    } catch (...) {
        std::fputs("impnetd: an exception of unknown type\n", stderr);
    }
    std::_Exit(1);
}

/// No exception leaves it, so that none destroys on its way what the next process could use.
int run(const Options& options, const Configuration& config, const Policy& policy) noexcept {
    allow_many_descriptors();
    guard_memory();
    int status = 0;
    Loop loop([](std::string_view what) { log::error("fault", {{"reason", std::string(what)}}); });
    const char* notify_address = std::getenv("NOTIFY_SOCKET");
    Notify notify(loop, notify_address != nullptr ? notify_address : "");
    const Watchdog watchdog(loop, notify, Watchdog::limit_from_environment());
    FdStore store(notify, FdStore::from_environment());

    const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
    Storage storage(
        loop, options.state_dir,
        storage::find_key(options.state_dir, credentials != nullptr ? credentials : ""));

    netlink::Links links(loop);
    const auto chosen = choose_data_path(loop, store, config, own_directory());
    if (!chosen) {
        log::error("kernel_path_unavailable", {{"reason", chosen.error().message}});
        return 1;
    }
    DataPath& data_path = **chosen;
    Interfaces interfaces(loop, links, data_path, store, storage.now(),
                          Naming(config.interfaces, netlink::is_wired), timeouts_of(config),
                          controls(loop, links));
    Sessions sessions(loop, interfaces, data_path, store, limits_of(config), policy);
    storage.on_changed([&interfaces] { interfaces.stored_changed(); });
    sessions.restore();
    interfaces.start();  // before the bus: what is always on need not wait for it
    end_unclaimed_sockets(store);
    store.drop_rest();

    Quota calls(config.limits.calls_per_uid);
    Reload reload(loop, {notify, interfaces, sessions, data_path, calls}, options.config, config);
    const bus::Presence presence({loop, interfaces, sessions, data_path, storage,
                                  [&reload] { return reload.read(); }, calls},
                                 options.bus,
                                 {.on_started = [&] { notify.send("READY=1"); },
                                  .on_refused =
                                      [&](const std::string& reason) {
                                          log::error("bus_refused", {{"reason", reason}});
                                          status = 1;
                                          loop.stop();
                                      }});
    const Ending ending(loop, notify, interfaces, sessions, presence);
    log::info("started",
              {{"version", std::string(version)}, {"data_path", std::string(data_path.name())}});
    loop.run();
    log::tell_suppressed();
    log::info("stopped", {{"status", std::to_string(status)}});
    if (notify.present()) {
        // Perhaps another process goes on with what is in the store, so nothing must be taken apart
        // here: this end is like a crash, which has to do no harm anyway.
        notify.flush();
        std::_Exit(status);
    }
    return status;
}

int start(int argc, char** argv) {
    Options options;
    CLI::App app{"Publishes network interfaces and UDP sockets over D-Bus.", "impnetd"};
    app.option_defaults()->take_last();
    app.add_option("--config", options.config, "Configuration file")->capture_default_str();
    app.add_option("--bus", options.bus, "D-Bus address (default: the system bus)");
    app.add_option("--state-dir", options.state_dir, "What is kept")->capture_default_str();
    app.add_option("--runtime-dir", options.runtime_dir, "What is not kept")->capture_default_str();
    app.add_option("--log-level", options.log_level, "debug, info, warning or error")
        ->capture_default_str();
    app.add_flag("--check-config", options.check_config, "Check the configuration and exit");
    app.set_version_flag("--version", "impnetd " + std::string(version));
    CLI11_PARSE(app, argc, argv);

    const auto level = log::parse_level(options.log_level);
    if (!level) {
        std::fprintf(stderr, "impnetd: %s\n", level.error().message.c_str());
        return 2;
    }
    const auto config = read_configuration(options.config);
    if (!config) {
        std::fprintf(stderr, "impnetd: %s\n", config.error().message.c_str());
        return 2;
    }
    const auto policy = read_policy(options.config, config->limiter, host_ids());
    if (!policy) {
        std::fprintf(stderr, "impnetd: %s\n", policy.error().message.c_str());
        return 2;
    }
    if (options.check_config) return 0;
    log::open(*level);
    return run(options, *config, *policy);
}

}  // namespace

}  // namespace impnetd

int main(int argc, char** argv) {
    using namespace impnetd;
    std::set_terminate(give_up);
    // What a large message took goes back to the host. (Left to itself, the allocator keeps twice
    // as much as the largest piece there ever was.)
    ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
    ::mallopt(M_TRIM_THRESHOLD, 512 << 10);
    // The thread that connects to the bus is no reason for a heap of its own.
    ::mallopt(M_ARENA_MAX, 1);
    try {
        return start(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "impnetd: %s\n", e.what());
        return 1;
    }
}
