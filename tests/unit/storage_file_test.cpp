// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A file that is replaced is the old one or the new one, whatever happens at whichever step; and
// nothing else stays in its folder.
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "storage/file.hpp"
#include "unit/temporary_folder.hpp"
#include "unit/traced_child.hpp"

using namespace impnetd;

namespace {

const std::string old_content(5'000, 'o');
const std::string new_content(50'000, 'n');

/// What replacing consists of, without what the allocator may do meanwhile.
const std::set<std::uint64_t> steps{SYS_openat, SYS_unlink, SYS_write,
                                    SYS_fsync,  SYS_rename, SYS_close};

struct Scene {
    TemporaryFolder folder;

    Scene() { folder.write("file", old_content); }

    TracedChild replacing() const {
        return TracedChild([path = folder.at("file")] {
            return storage::replace_file(path, new_content).has_value();
        });
    }
    std::string content() const { return folder.read("file"); }
    bool has_old() const { return content() == old_content; }
    bool has_new() const { return content() == new_content; }
};

std::vector<std::string> names(const TemporaryFolder& folder) {
    const auto found = folder.names();
    return {found.begin(), found.end()};
}

}  // namespace

TEST_CASE("a file that is replaced has the new content, for its owner alone") {
    const TemporaryFolder folder;
    const auto path = folder.at("file");
    CHECK(storage::read_file(path).value() == std::nullopt);
    for (const auto& content : {old_content, std::string(), new_content}) {
        REQUIRE(storage::replace_file(path, content));
        CHECK(storage::read_file(path).value() == content);
    }
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(names(folder) == std::vector<std::string>{"file"});
}

TEST_CASE("the new content is on the disk before it has the name, and the name before it counts") {
    const Scene scene;
    auto child = scene.replacing();
    std::vector<std::uint64_t> made;
    while (const auto call = child.next())
        if (steps.contains(call->number) && call->number != SYS_close) made.push_back(call->number);
    CHECK(child.exit_status() == 0);
    // The folder is opened first, what an earlier process left behind is removed.
    CHECK(made == std::vector<std::uint64_t>{SYS_openat, SYS_unlink, SYS_openat, SYS_write,
                                             SYS_fsync, SYS_rename, SYS_fsync});
    CHECK(scene.has_new());
}

TEST_CASE("killed at any system call, a file is the old one or the new one") {
    unsigned at = 0;
    unsigned old_ones = 0;
    unsigned new_ones = 0;
    for (bool whole = false; !whole; ++at) {
        const Scene scene;
        {
            auto child = scene.replacing();
            for (unsigned call = 0; call <= at && !whole; ++call) whole = !child.next();
            if (!whole) child.kill();
        }
        CAPTURE(at);
        REQUIRE((scene.has_old() || scene.has_new()));
        (scene.has_old() ? old_ones : new_ones) += 1;
        // Whoever comes next is not in the way of what was left, and leaves nothing.
        REQUIRE(storage::replace_file(scene.folder.at("file"), "next"));
        REQUIRE(scene.content() == "next");
        REQUIRE(names(scene.folder) == std::vector<std::string>{"file"});
    }
    CHECK(old_ones > 5);
    CHECK(new_ones > 1);
}

TEST_CASE("with any system call failing, a file is the old one or the new one, and it is told") {
    for (const int error : {ENOSPC, EIO, EROFS, EDQUOT, EACCES}) {
        for (unsigned at = 0;; ++at) {
            const Scene scene;
            auto child = scene.replacing();
            std::uint64_t failed = 0;
            for (unsigned seen = 0; const auto call = child.next();)
                if (steps.contains(call->number) && seen++ == at) {
                    failed = call->number;
                    child.fail_call(error);
                }
            if (failed == 0) break;
            CAPTURE(error, at, failed);
            // Closing cannot undo what was flushed before.
            CHECK(child.exit_status() == (failed == SYS_close ? 0 : 1));
            REQUIRE((scene.has_old() || scene.has_new()));
            CHECK(names(scene.folder) == std::vector<std::string>{"file"});
        }
    }
}

TEST_CASE("a write that takes less than all, or is interrupted, goes on") {
    const Scene scene;
    auto child = scene.replacing();
    unsigned writes = 0;
    while (const auto call = child.next()) {
        if (call->number != SYS_write) continue;
        ++writes;
        if (writes == 1) child.set_third_argument(7);
        if (writes == 2) child.fail_call(EINTR);
        if (writes == 3) child.set_third_argument(10'000);
    }
    CHECK(child.exit_status() == 0);
    CHECK(writes == 4);
    CHECK(scene.has_new());
}

TEST_CASE("nobody's link leads the new content elsewhere") {
    const Scene scene;
    scene.folder.write("elsewhere", "untouched");
    std::filesystem::create_symlink(scene.folder.at("elsewhere"), scene.folder.at("file.new"));
    REQUIRE(storage::replace_file(scene.folder.at("file"), new_content));
    CHECK(scene.folder.read("elsewhere") == "untouched");
    CHECK(scene.has_new());
}

TEST_CASE("why a file cannot be written or read is told, with its name") {
    const TemporaryFolder folder;
    const auto nowhere = folder.at("missing") / "file";
    const auto written = storage::replace_file(nowhere, "x");
    REQUIRE_FALSE(written);
    CHECK(written.error().message == folder.at("missing").string() + ": No such file or directory");
    std::filesystem::create_directory(folder.at("file"));
    const auto read = storage::read_file(folder.at("file"));
    REQUIRE_FALSE(read);
    CHECK(read.error().message == folder.at("file").string() + ": not a regular file");
    CHECK_FALSE(storage::replace_file(folder.at("file"), "x"));
    CHECK(names(folder) == std::vector<std::string>{"file"});
}

TEST_CASE("a damaged file gets out of the way, and a bounded number of them is kept") {
    const TemporaryFolder folder;
    const auto path = folder.at("file");
    std::set<std::string> expected;
    for (unsigned number = 0; number < 20; ++number) {
        folder.write("file", std::to_string(number));
        const auto aside = storage::set_aside(path);
        REQUIRE(aside);
        const auto name = number == 0 ? std::string("file.damaged")
                                      : "file.damaged." + std::to_string(std::min(number, 7U));
        CHECK(*aside == folder.at(name));
        CHECK(folder.read(name) == std::to_string(number));
        expected.insert(name);
    }
    CHECK(folder.names() == expected);
    CHECK(folder.read("file.damaged") == "0");  // the first one tells how it began
    CHECK_FALSE(storage::set_aside(path));
}
