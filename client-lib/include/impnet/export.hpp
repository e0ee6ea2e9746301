// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the shared library shows to the linker: everything marked IMPNET_API, and nothing else.
#pragma once

#define IMPNET_API __attribute__((visibility("default")))
