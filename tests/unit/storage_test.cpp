// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is stored is in force when it is on the disk; what cannot be stored changes nothing; and no
// file of ours is overwritten that somebody may still need.
#include "storage/storage.hpp"

#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/stat.h>

#include "lab/loop_wait.hpp"
#include "storage/key_file.hpp"
#include "storage/text.hpp"
#include "unit/temporary_folder.hpp"

using namespace impnetd;
using namespace std::chrono_literals;

namespace {

constexpr Nii eth0{InterfaceClass::ethernet, 0};
constexpr Nii eth1{InterfaceClass::ethernet, 1};
constexpr Nii wl0{InterfaceClass::wifi, 0};

Storage::Change disable(Nii nii) {
    return [nii](StoredConfiguration& stored) -> Result<> {
        stored.disabled.insert(nii);
        return {};
    };
}

/// A process's life with a state directory; another one can follow.
struct Life {
    Loop loop{[](std::string_view what) { FAIL(what); }};
    Storage storage;
    std::vector<std::string> answers;
    unsigned changes = 0;

    explicit Life(const TemporaryFolder& folder, const std::string& credentials = "")
        : storage(loop, folder.path(), storage::find_key(folder.path(), credentials)) {
        storage.on_changed([this] { ++changes; });
    }

    void ask(Storage::Change change) {
        storage.change(std::move(change), [this](const Result<>& result) {
            answers.push_back(result ? "ok" : result.error().message);
        });
    }
    bool answered(std::size_t count) {
        return lab::run_until(loop, 10s, [&] { return answers.size() >= count; });
    }
    void change(Storage::Change change) {
        const auto count = answers.size() + 1;
        ask(std::move(change));
        REQUIRE(answered(count));
    }
};

StoredConfiguration on_disk(const TemporaryFolder& folder) {
    const auto parsed = storage::parse_text(folder.read("configuration.toml"), "file");
    REQUIRE(parsed);
    return *parsed;
}

}  // namespace

TEST_CASE("a change is on the disk when it is answered, in force, and there after a restart") {
    const TemporaryFolder folder;
    {
        Life life(folder);
        CHECK(life.storage.now() == StoredConfiguration{});
        life.change(disable(eth0));
        CHECK(life.answers == std::vector<std::string>{"ok"});
        CHECK_FALSE(on_disk(folder).enabled(eth0));
        CHECK_FALSE(life.storage.now().enabled(eth0));
        CHECK(life.changes == 1);
    }
    Life next(folder);
    CHECK_FALSE(next.storage.now().enabled(eth0));
}

TEST_CASE("a change that is not written yet is not in force") {
    const TemporaryFolder folder;
    Life life(folder);
    life.ask(disable(eth0));
    CHECK(life.answers.empty());
    CHECK(life.storage.now().enabled(eth0));
    REQUIRE(life.answered(1));
    CHECK_FALSE(life.storage.now().enabled(eth0));
}

TEST_CASE("changes that wait for the disk go there together, in order") {
    const TemporaryFolder folder;
    Life life(folder);
    std::vector<int> order;
    for (int number = 0; number < 100; ++number)
        life.ask([&order, number](StoredConfiguration& stored) -> Result<> {
            order.push_back(number);
            stored.first_choice = Nii{InterfaceClass::ethernet, static_cast<unsigned>(number)};
            return {};
        });
    REQUIRE(life.answered(100));
    CHECK(life.changes == 2);  // the first alone, the others with one write
    CHECK(order.size() == 100);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(on_disk(folder).first_choice == Nii{InterfaceClass::ethernet, 99});
}

TEST_CASE("a change that is refused by itself takes none of the others along") {
    const TemporaryFolder folder;
    Life life(folder);
    life.ask(disable(eth0));
    life.ask([](StoredConfiguration& stored) -> Result<> {
        stored.first_choice = eth0;
        return fail(ErrorCode::invalid_argument, "no");
    });
    life.ask(disable(eth1));
    REQUIRE(life.answered(3));
    std::sort(life.answers.begin(), life.answers.end());
    CHECK(life.answers == std::vector<std::string>{"no", "ok", "ok"});
    CHECK(life.storage.now().disabled == std::set<Nii>{eth0, eth1});
    CHECK_FALSE(life.storage.now().first_choice);
}

TEST_CASE("what could not be read back is not written") {
    const TemporaryFolder folder;
    Life life(folder);
    life.change([](StoredConfiguration& stored) -> Result<> {
        stored.wifi[wl0] = {"\xff", {}};
        return {};
    });
    CHECK(life.answers.back() == "this cannot be stored");
    CHECK(life.storage.now().wifi.empty());
    CHECK(folder.names() == std::set<std::string>{"device-key"});
}

TEST_CASE("what changes nothing is not written") {
    const TemporaryFolder folder;
    Life life(folder);
    life.change(disable(eth0));
    std::filesystem::remove(folder.at("configuration.toml"));
    life.change(disable(eth0));
    CHECK(life.answers == std::vector<std::string>{"ok", "ok"});
    CHECK_FALSE(std::filesystem::exists(folder.at("configuration.toml")));
}

TEST_CASE("whoever waits may be told so many, and no more") {
    const TemporaryFolder folder;
    Life life(folder);
    for (int number = 0; number < 300; ++number) life.ask(disable(eth0));
    CHECK(std::count(life.answers.begin(), life.answers.end(),
                     "too many changes wait for the disk") == 300 - 257);
    CHECK(life.answered(300));
}

TEST_CASE("a change that cannot be written changes nothing, and the next one may succeed") {
    const TemporaryFolder folder;
    Life life(folder);
    std::filesystem::create_directory(folder.at("configuration.toml"));  // in the way
    life.change(disable(eth0));
    CHECK(life.answers.back() == folder.at("configuration.toml").string() + ": Is a directory");
    CHECK(life.storage.now().enabled(eth0));
    CHECK(life.changes == 0);
    std::filesystem::remove(folder.at("configuration.toml"));
    life.change(disable(eth1));
    CHECK(life.answers.back() == "ok");
    CHECK(on_disk(folder).disabled == std::set<Nii>{eth1});
}

TEST_CASE("a damaged file is set aside, and we begin with nothing") {
    const TemporaryFolder folder;
    folder.write("configuration.toml", "version = 1\n[interfaces.eth0]\nenab");
    Life life(folder);
    CHECK(life.storage.now() == StoredConfiguration{});
    CHECK(folder.read("configuration.toml.damaged").ends_with("enab"));
    CHECK_FALSE(std::filesystem::exists(folder.at("configuration.toml")));
    life.change(disable(eth0));
    CHECK(life.answers.back() == "ok");
}

TEST_CASE("a file without a version, or of one before the first, is not ours, and is kept aside") {
    for (const std::string text : {"[interfaces.eth0]\nenabled = false\n",
                                   "version = 0\n[interfaces.eth0]\nenabled = false\n"}) {
        const TemporaryFolder folder;
        folder.write("configuration.toml", text);
        Life life(folder);
        CHECK(life.storage.now() == StoredConfiguration{});
        CHECK(folder.read("configuration.toml.damaged") == text);
        life.change(disable(eth0));
        CHECK(life.answers.back() == "ok");
    }
}

TEST_CASE("a later version's file stays as it is, and nothing is stored") {
    const TemporaryFolder folder;
    const std::string text = "version = 2\ncolour = \"red\"\n";
    folder.write("configuration.toml", text);
    Life life(folder);
    CHECK(life.storage.now() == StoredConfiguration{});
    life.change(disable(eth0));
    CHECK(life.answers.back() ==
          "nothing can be stored: " + folder.at("configuration.toml").string() +
              ":1: version: written by a later version of impnetd");
    CHECK(life.storage.now().enabled(eth0));
    CHECK(folder.read("configuration.toml") == text);
    CHECK(folder.names() == std::set<std::string>{"configuration.toml", "device-key"});
}

TEST_CASE("a file that cannot be read stays as it is, and nothing is stored") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder.at("configuration.toml"));
    Life life(folder);
    life.change(disable(eth0));
    CHECK(life.answers.back() ==
          "nothing can be stored: " + folder.at("configuration.toml").string() +
              ": not a regular file");
}

TEST_CASE("a device's key is made once, for its owner alone") {
    const TemporaryFolder folder;
    const auto first = storage::find_key(folder.path(), "");
    CHECK(first.lasting);
    const auto second = storage::find_key(folder.path(), "");
    CHECK(std::ranges::equal(first.key->reveal(), second.key->reveal()));
    struct stat status {};
    REQUIRE(::stat(folder.at("device-key").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const TemporaryFolder other;
    CHECK_FALSE(
        std::ranges::equal(first.key->reveal(), storage::find_key(other.path(), "").key->reveal()));
}

TEST_CASE("the service's credential is the key, if there is one") {
    const TemporaryFolder folder;
    const TemporaryFolder credentials;
    const std::string bytes(32, 'k');
    credentials.write("impnetd-key", bytes);
    const auto found = storage::find_key(folder.path(), credentials.path());
    CHECK(found.lasting);
    CHECK(std::ranges::equal(found.key->reveal(), bytes));
    CHECK(folder.names().empty());

    // One that cannot be the key is not replaced by another without a word.
    credentials.write("impnetd-key", bytes + "\n");
    const auto wrong = storage::find_key(folder.path(), credentials.path());
    CHECK(wrong.problem == credentials.at("impnetd-key").string() + ": not 32 bytes long");
    Life life(folder, credentials.path());
    life.change(disable(eth0));
    CHECK(life.answers.back() == "nothing can be stored: " + wrong.problem);
    CHECK(folder.names().empty());
}

TEST_CASE("a damaged key is set aside, and another one made") {
    const TemporaryFolder folder;
    folder.write("device-key", "short");
    const auto found = storage::find_key(folder.path(), "");
    CHECK(found.lasting);
    CHECK(folder.read("device-key.damaged") == "short");
    CHECK(folder.read("device-key").size() == 32);
}

TEST_CASE("a key that could not be written is written before the first change") {
    const TemporaryFolder outer;
    const auto path = outer.at("lib") / "state";
    Loop loop([](std::string_view what) { FAIL(what); });
    auto key = storage::find_key(path, "");  // there is nowhere to make it
    CHECK_FALSE(key.lasting);
    const auto kept = key.key;
    Storage stored(loop, path, std::move(key));
    std::filesystem::create_directory(path.parent_path());
    bool answered = false;
    stored.change(disable(eth0), [&](const Result<>& result) {
        CHECK(result);
        answered = true;
    });
    REQUIRE(lab::run_until(loop, 10s, [&] { return answered; }));
    const auto next = storage::find_key(path, "");
    CHECK(next.lasting);
    CHECK(std::ranges::equal(next.key->reveal(), kept->reveal()));
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a secret is on the disk as a blob alone, and opens after a restart") {
    const TemporaryFolder folder;
    const std::string secret = "correct horse battery staple";
    {
        Life life(folder);
        life.change([&](StoredConfiguration& stored) -> Result<> {
            WifiConfig wifi{"home", SecretText(secret)};
            if (auto sealed = life.storage.key().seal(wifi); !sealed) return sealed;
            stored.wifi[wl0] = wifi;
            return {};
        });
        CHECK(life.answers.back() == "ok");
    }
    for (const auto& name : folder.names())
        CHECK(folder.read(name).find(secret) == std::string::npos);
    Life next(folder);
    const auto opened = next.storage.key().open_key(next.storage.now().wifi.at(wl0));
    REQUIRE(opened);
    CHECK(opened->reveal() == secret);

    // With another key there is nothing to be had, and nothing is thrown away.
    std::filesystem::remove(folder.at("device-key"));
    Life other(folder);
    CHECK_FALSE(other.storage.key().open_key(other.storage.now().wifi.at(wl0)));
    CHECK(other.storage.now() == next.storage.now());
}
