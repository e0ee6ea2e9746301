// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Nowhere to write: a log on a full file system or into a pipe that nobody reads, a state directory
// without room. The daemon's work is the network, and goes on.
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lab/lab.hpp"
#include "lab/program.hpp"
#include "lab/raw_client.hpp"
#include "lab/world.hpp"

using namespace std::chrono_literals;
using impnet::State;

namespace {

constexpr auto soon = 5s;

/// A file system of a few pages, without one left.
class FullDisk {
  public:
    FullDisk() : path_(lab::fresh_path(".full")) {
        lab::checked(::mkdir(path_.c_str(), 0755), path_.c_str());
        lab::checked(::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=16k"), path_.c_str());
        const lab::Fd file(lab::checked(
            ::open((path_ + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644), "filler"));
        const std::vector<char> page(4096);
        while (::write(file.get(), page.data(), page.size()) > 0) continue;
        if (errno != ENOSPC) throw std::runtime_error("the disk does not fill up");
    }
    ~FullDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

/// The daemon with its standard error somewhere else. `redirection` as the shell writes it.
class DaemonLoggingTo {
  public:
    DaemonLoggingTo(lab::Lan& lan, const std::string& redirection, const std::string& directory,
                    const lab::Process::Setting& setting = {})
        : config_(lab::fresh_path(".toml")) {
        std::ofstream(config_) << lab::Lan::managed();
        process_ = std::make_unique<lab::Process>(
            lan.host,
            std::vector<std::string>{"sh", "-c", "exec \"$@\" " + redirection, "sh",
                                     lab::Daemon::executable(), "--config=" + config_,
                                     "--bus=" + lan.bus.address(), "--state-dir=" + directory,
                                     "--runtime-dir=" + directory, "--log-level=debug"},
            setting);
        if (!lan.bus.wait_owned("org.impnet1", lab::Deadline(10s), process_.get()))
            throw std::runtime_error("impnetd does not take its name:\n" + process_->output());
    }
    lab::Process& process() { return *process_; }

  private:
    std::string config_;
    std::unique_ptr<lab::Process> process_;
};

/// All that a program asks of the daemon, in short, and a cable that is pulled.
void use(lab::Lan& lan) {
    lab::Program program(lan.bus);
    lab::Diary diary;
    auto eth0 = program.open("eth0", diary);
    REQUIRE(program.until(soon, [&] { return diary.is(State::connected); }));
    lab::Mailbox mail;
    auto socket = eth0.open_udp(2001, mail.callback());
    REQUIRE(socket);
    lab::Peer peer(lan.server, 3000, "srv0");
    CHECK(lab::outcome(socket->send("10.77.1.1", 3000, "out")) == "0");
    CHECK(peer.receive(lab::Deadline(soon)));
    peer.send("10.77.1.100", 2001, {'i', 'n'});
    CHECK(program.until(soon, [&] { return mail.size() == 1; }));
    lan.cable.pull();
    CHECK(program.until(soon, [&] { return diary.is(State::ethernet_stopped_no_link); }));
    lan.cable.plug();
    CHECK(program.until(soon, [&] { return diary.is(State::connected); }));
    // And what is refused, with a line in the log.
    CHECK(lab::outcome(socket->send("8.8.8.8", 3000, "no")) == "AddressNotAllowed");
}

}  // namespace

TEST_CASE("a log and a state directory on a full disk stop nothing", "[disk]") {
    FullDisk disk;
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    DaemonLoggingTo daemon(lan, "2>>" + disk.path() + "/log", disk.path());
    for (int time = 0; time < 3; ++time) use(lan);
    CHECK(daemon.process().stop() == 0);
    struct stat log {};
    REQUIRE(::stat((disk.path() + "/log").c_str(), &log) == 0);
    CHECK(log.st_size == 0);  // the disk was full indeed
}

TEST_CASE("a log that nobody reads any more stops nothing", "[disk]") {
    lab::Lan lan;
    lab::DhcpServer dhcp(lan.server, "srv0", lab::DhcpServer::Options::only("10.77.1.100"));
    int ends[2];
    lab::checked(::pipe2(ends, O_CLOEXEC), "pipe2");
    lab::Fd reader(ends[0]);
    lab::Fd writer(ends[1]);
    const auto directory = lab::fresh_path(".state");
    lab::checked(::mkdir(directory.c_str(), 0755), directory.c_str());
    lab::Process::Setting setting;
    setting.inherited = writer.get();
    DaemonLoggingTo daemon(lan, "2>&3 3>&-", directory, setting);
    writer.close();
    use(lan);
    std::string log(4096, '\0');
    CHECK(::read(reader.get(), log.data(), log.size()) > 0);  // it did log

    reader.close();
    for (int time = 0; time < 3; ++time) use(lan);
    CHECK(daemon.process().alive());
    CHECK(daemon.process().stop() == 0);
}
