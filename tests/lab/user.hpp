// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Users and groups of the world.
#pragma once

#include <string>

#include <sys/types.h>

namespace lab {

/// A further group or user of the world. Hosts know it that are made afterwards. (The bus throws
/// out whoever is not in /etc/passwd.)
void add_group(const std::string& name, gid_t number);
void add_user(const std::string& name, uid_t number, gid_t group);

/// For as long as this lives, connections that are made belong to that user, with that one group.
class AsUser {
  public:
    AsUser(uid_t user, gid_t group);
    ~AsUser();
    AsUser(const AsUser&) = delete;
    AsUser& operator=(const AsUser&) = delete;
};

}  // namespace lab
