// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The inputs that the fuzzer keeps, without the fuzzer: a parser that breaks what was once found
// out about it shows here.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "fuzz/targets.hpp"

namespace {

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    return {text.begin(), text.end()};
}

void run_corpus(const std::string& target, void (*run)(fuzz::Bytes)) {
    const std::filesystem::directory_iterator corpus(std::string(IMPNET_SOURCE_DIR) +
                                                     "/tests/fuzz/corpus/" + target);
    std::size_t files = 0;
    for (const auto& entry : corpus) {
        INFO(entry.path());
        const auto input = bytes_of(entry.path());
        CHECK_NOTHROW(run(input));
        ++files;
    }
    CHECK(files > 0);
}

}  // namespace

TEST_CASE("what must hold of a NIC holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("nic", fuzz::nic);
}

TEST_CASE("what must hold of a configuration holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("configuration", fuzz::configuration);
}

TEST_CASE("what must hold of a policy holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("policy", fuzz::policy);
}

TEST_CASE("what must hold of a lease report holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("lease_report", fuzz::lease_report);
}

TEST_CASE("what must hold of ARP messages holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("arp", fuzz::arp);
}

TEST_CASE("what must hold of netlink messages holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("netlink_message", fuzz::netlink_message);
}

TEST_CASE("what must hold of the netlink model holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("netlink_model", fuzz::netlink_model);
}

TEST_CASE("what must hold of an interface's record holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("interface_record", fuzz::interface_record);
}

TEST_CASE("what must hold of relay messages holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("relay", fuzz::relay);
}

TEST_CASE("what must hold of a session record holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("session_record", fuzz::session_record);
}

TEST_CASE("what must hold of a stored configuration holds for the fuzzer's corpus", "[fuzz]") {
    run_corpus("stored_configuration", fuzz::stored_configuration);
}
