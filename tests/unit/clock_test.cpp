// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host's wall clock jumps: at the first NTP answer after boot by years. Nothing here may be timed
// by it. No test can make it jump for one program alone, so this one looks for whoever reads it.
// (What the log writes beside each line comes from the logging library, and times nothing.)
#include <filesystem>
#include <fstream>
#include <string>

#include <catch2/catch.hpp>

TEST_CASE("no time is taken from the wall clock") {
    std::size_t files = 0;
    for (const std::string part : {"daemon", "client-lib", "dbus"}) {
        const std::filesystem::path root = IMPNET_SOURCE_DIR;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(root / part)) {
            const auto extension = entry.path().extension();
            if (extension != ".cpp" && extension != ".hpp" && extension != ".h") continue;
            ++files;
            std::ifstream source(entry.path());
            int number = 0;
            for (std::string line; std::getline(source, line);) {
                ++number;
                for (const char* wall :
                     {"system_clock", "high_resolution_clock", "utc_clock", "CLOCK_REALTIME",
                      "CLOCK_TAI", "gettimeofday", "time(nullptr)", "time(NULL)", "time(0)",
                      "std::time", "uv_gettimeofday"}) {
                    INFO(entry.path().string() << ":" << number << ": " << line);
                    CHECK(line.find(wall) == std::string::npos);
                }
            }
        }
    }
    CHECK(files > 100);
}
