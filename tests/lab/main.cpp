// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Entry of every test program that uses the lab: lists tests in the open, runs them in a world of
// their own.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "world.hpp"

int main(int argc, char** argv) {
    Catch::Session session;
    const int wrong = session.applyCommandLine(argc, argv);
    if (wrong != 0) return wrong;
    const Catch::ConfigData& asked = session.configData();
    if (asked.showHelp || asked.libIdentify || asked.listTests || asked.listTags ||
        asked.listReporters || asked.listTestNamesOnly) {
        return session.run();
    }
    return lab::in_own_world([&session] {
        const int status = session.run();
        return status == 0 && lab::run_failed() ? 1 : status;
    });
}
