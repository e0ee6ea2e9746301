// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The configuration as files: the main one, and conf.d beside it.
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/configuration.hpp"

using namespace impnetd;

namespace {

/// A folder of configuration files that goes with the test.
class Folder {
  public:
    Folder() {
        auto pattern = (std::filesystem::temp_directory_path() / "impnet-config-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::string at(const std::string& name) const { return path_ / name; }
    std::string main() const { return at("impnetd.toml"); }

    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << text;
    }

    Configuration accept() const {
        auto config = read_configuration(main());
        INFO((config ? "" : config.error().message));
        REQUIRE(config);
        return *config;
    }
    /// How it is refused, with this folder's own name left out.
    std::string refusal(ErrorCode code = ErrorCode::invalid_argument) const {
        const auto config = read_configuration(main());
        if (config) return "accepted";
        CHECK(config.error().code == code);
        auto message = config.error().message;
        const std::string prefix = at("");
        for (auto found = message.find(prefix); found != std::string::npos;
             found = message.find(prefix))
            message.erase(found, prefix.size());
        return message;
    }

  private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("without any file the defaults are in force") {
    const Folder folder;
    CHECK(folder.accept().limiter.burst == 100);
    CHECK(read_configuration(folder.at("no/such/folder/impnetd.toml")));
}

TEST_CASE("the main file is read") {
    const Folder folder;
    folder.write("impnetd.toml", "limiter.burst = 5\n");
    CHECK(folder.accept().limiter.burst == 5);
}

TEST_CASE("conf.d is read without a main file, too") {
    const Folder folder;
    folder.write("conf.d/a.toml", "limiter.burst = 5\n");
    CHECK(folder.accept().limiter.burst == 5);
}

TEST_CASE("later files replace single keys, in the order of their names") {
    const Folder folder;
    folder.write("impnetd.toml",
                 "[limiter]\nburst = 1\nrate = 1\n"
                 "[interfaces.eth0]\ndevice = \"lan0\"\nmanaged = true\n");
    folder.write("conf.d/20-site.toml", "limiter.burst = 20\n");
    folder.write("conf.d/10-vendor.toml",
                 "[limiter]\nburst = 10\n[datapath]\nttl = 2\n"
                 "[interfaces.eth0]\ndevice = \"lan1\"\n");
    const auto config = folder.accept();
    CHECK(config.limiter.burst == 20);
    CHECK(config.limiter.rate == 1.0);
    CHECK(config.datapath.ttl == 2);
    REQUIRE(config.interfaces.size() == 1);
    CHECK(config.interfaces[0].device == "lan1");
    CHECK(config.interfaces[0].managed);
}

TEST_CASE("files of conf.d that are not called .toml are left alone") {
    const Folder folder;
    for (const auto* name : {"a.toml~", "a.toml.dpkg-old", "README", ".toml"})
        folder.write(std::string("conf.d/") + name, "nonsense");
    CHECK(folder.accept().limiter.burst == 100);
}

TEST_CASE("an error names the file it is in") {
    const Folder folder;
    folder.write("impnetd.toml", "[limiter]\nburst = 0\n");
    CHECK(folder.refusal() == "impnetd.toml:2: limiter.burst: not between 1 and 1000000");
    folder.write("impnetd.toml", "");
    folder.write("conf.d/a.toml", "\n\nlimits.sessions = 1\n");
    CHECK(folder.refusal() == "conf.d/a.toml:3: limits.sessions: unknown key");
}

TEST_CASE("files that contradict each other are refused, and both places named") {
    const Folder folder;
    folder.write("impnetd.toml", "[interfaces.eth0]\ndevice = \"lan0\"\n");
    folder.write("conf.d/a.toml", "[interfaces.eth1]\ndevice = \"lan0\"\n");
    CHECK(folder.refusal() ==
          "conf.d/a.toml:2: interfaces.eth1.device: this device is eth0 already, at "
          "impnetd.toml:2");
    folder.write("conf.d/a.toml", "interfaces.eth0.mac = \"02:00:00:00:00:01\"\n");
    CHECK(folder.refusal() ==
          "conf.d/a.toml:1: interfaces.eth0.mac: the device is given already, by device at "
          "impnetd.toml:2");
    // What a later file has put right is right.
    folder.write("conf.d/a.toml",
                 "[interfaces.eth1]\ndevice = \"lan0\"\n[interfaces.eth0]\ndevice = \"lan1\"\n");
    CHECK(folder.accept().interfaces.size() == 2);
}

TEST_CASE("what is not a readable file is refused") {
    const Folder folder;
    const auto failed = ErrorCode::failed;
    std::filesystem::create_directory(folder.main());
    CHECK(folder.refusal(failed) == "impnetd.toml: not a regular file");
    std::filesystem::remove(folder.main());

    REQUIRE(::mkfifo(folder.main().c_str(), 0600) == 0);  // must not wait for a writer
    CHECK(folder.refusal(failed) == "impnetd.toml: not a regular file");
    std::filesystem::remove(folder.main());

    std::filesystem::create_symlink("nowhere", folder.main());
    CHECK(folder.refusal(failed) == "impnetd.toml: No such file or directory");
    std::filesystem::remove(folder.main());

    folder.write("conf.d", "");
    CHECK(folder.refusal(failed) == "conf.d: Not a directory");
}

TEST_CASE("a file of 1 MiB is read and a larger one refused") {
    const Folder folder;
    std::string text((std::size_t{1} << 20) - 1, '#');
    text += '\n';
    folder.write("impnetd.toml", text);
    CHECK(folder.accept().limiter.burst == 100);
    folder.write("impnetd.toml", text + "\n");
    CHECK(folder.refusal(ErrorCode::failed) == "impnetd.toml: larger than 1 MiB");
}
