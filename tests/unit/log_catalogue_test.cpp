// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The table of events, the catalogue and the calls in the sources say the same.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "log/event.hpp"

using namespace impnetd;

namespace {

std::string text_of(const std::filesystem::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Explanation {
    std::string subject;
    std::string defined_by;
    std::string body;
};

/// By message id. The format: "-- ID", headers, an empty line, text.
std::map<std::string, Explanation> catalogue() {
    std::map<std::string, Explanation> out;
    std::istringstream in(text_of(IMPNET_SOURCE_DIR "/systemd/impnetd.catalog"));
    Explanation* current = nullptr;
    bool in_headers = false;
    for (std::string line; std::getline(in, line);) {
        INFO(line);
        if (line.starts_with("-- ")) {
            const auto id = line.substr(3);
            REQUIRE_FALSE(out.contains(id));
            current = &out[id];
            in_headers = true;
        } else if (current == nullptr) {
            REQUIRE((line.empty() || line.starts_with('#')));
        } else if (in_headers && line.starts_with("Subject: ")) {
            current->subject = line.substr(9);
        } else if (in_headers && line.starts_with("Defined-By: ")) {
            current->defined_by = line.substr(12);
        } else if (in_headers) {
            REQUIRE(line.empty());
            in_headers = false;
        } else {
            current->body += line + "\n";
        }
    }
    return out;
}

/// What stands between the bracket that has just been opened before `at` and its end.
std::string arguments(const std::string& source, std::size_t at) {
    const auto begin = at;
    bool quoted = false;
    for (int depth = 0; at < source.size(); ++at) {
        const char c = source[at];
        if (c == '"' && source[at - 1] != '\\') quoted = !quoted;
        if (quoted) continue;
        if (c == '(' || c == '{') ++depth;
        if ((c == ')' || c == '}') && --depth < 0) break;
    }
    return source.substr(begin, at - begin);
}

/// Every event that is logged somewhere, with the fields that all calls give it, as the
/// journal has them.
std::map<std::string, std::set<std::string>> logged() {
    static const std::regex call(
        R"re((?:log::(?:debug|info|warning|error)\(|Level::\w+,)\s*"(\w+)")re");
    static const std::regex key(R"re(\{"(\w+)",)re");
    std::map<std::string, std::set<std::string>> out;
    for (const auto& file :
         std::filesystem::recursive_directory_iterator(IMPNET_SOURCE_DIR "/daemon")) {
        if (file.path().extension() != ".cpp" && file.path().extension() != ".hpp") continue;
        const auto source = text_of(file.path());
        for (std::sregex_iterator it(source.begin(), source.end(), call), end; it != end; ++it) {
            const auto given =
                arguments(source, static_cast<std::size_t>(it->position() + it->length()));
            std::set<std::string> fields;
            for (std::sregex_iterator field(given.begin(), given.end(), key); field != end;
                 ++field) {
                auto name = (*field)[1].str();
                std::transform(name.begin(), name.end(), name.begin(),
                               [](unsigned char c) { return std::toupper(c); });
                fields.insert(name);
            }
            const auto [entry, fresh] = out.try_emplace((*it)[1].str(), fields);
            if (!fresh)
                std::erase_if(entry->second, [&](const auto& f) { return !fields.contains(f); });
        }
    }
    return out;
}

}  // namespace

TEST_CASE("every event has a name and a message id of its own", "[log]") {
    std::set<std::string_view> names;
    std::set<std::string_view> ids;
    for (const auto& event : log::events) {
        INFO(event.name);
        CHECK(names.insert(event.name).second);
        CHECK(ids.insert(event.id).second);
        CHECK(std::regex_match(std::string(event.id), std::regex("[0-9a-f]{32}")));
    }
}

TEST_CASE("every event of the table is logged somewhere", "[log]") {
    const auto calls = logged();
    for (const auto& event : log::events) {
        INFO(event.name);
        CHECK(calls.contains(std::string(event.name)));
    }
    CHECK(calls.size() == log::events.size());
    CHECK(calls.at("lease") ==  // the calls are understood
          std::set<std::string>{"INTERFACE", "ADDRESS", "DHCP_SERVER", "LEASE_SECONDS"});
}

TEST_CASE("the catalogue explains every event, and nothing else", "[log]") {
    auto explained = catalogue();
    for (const auto& event : log::events) {
        INFO(event.name);
        const auto found = explained.find(std::string(event.id));
        REQUIRE(found != explained.end());
        CHECK_FALSE(found->second.subject.empty());
        CHECK(found->second.body.size() > 1);
        CHECK(found->second.defined_by == "impnetd");
        explained.erase(found);
    }
    CHECK(explained.empty());
}

TEST_CASE("the catalogue speaks only of fields that the event has", "[log]") {
    const auto explained = catalogue();
    const auto calls = logged();
    static const std::regex field("@([^@\n]*)@");
    for (const auto& event : log::events) {
        const auto& [subject, defined_by, body] = explained.at(std::string(event.id));
        const auto& fields = calls.at(std::string(event.name));
        auto text = subject;
        text.append("\n").append(body);
        for (std::sregex_iterator it(text.begin(), text.end(), field), end; it != end; ++it) {
            INFO(event.name << ": " << it->str());
            CHECK(fields.contains((*it)[1].str()));
        }
    }
}
