// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The stored configuration that is in force, and the way to change it: a change is in force once it
// is on the disk, and whoever asked for it is answered then. If it cannot be written, everything is
// as it was. The disk is waited for away from the loop, for one write at a time; what is asked for
// meanwhile goes into the next one, together.
//
// A file of ours that is damaged is set aside, and we begin with nothing. One that we must not
// touch (a later version's, or one that cannot be read) stays, and nothing can be stored as long as
// it is there.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/stored_configuration.hpp"
#include "loop/loop.hpp"
#include "storage/device_key.hpp"
#include "storage/key_file.hpp"

namespace impnetd {

class Storage {
  public:
    /// Changes the configuration as it will be by then, or says why not.
    using Change = std::function<Result<>(StoredConfiguration& stored)>;
    using OnStored = std::function<void(const Result<>&)>;

    /// Reads what is stored in the directory.
    Storage(Loop& loop, std::filesystem::path directory, storage::FoundKey key);
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    const StoredConfiguration& now() const { return stored_; }
    const DeviceKey& key() const { return *key_; }

    /// Calls back once, perhaps at once; not if this is destroyed before. Failed: it cannot be
    /// stored. LimitExceeded: too many wait already.
    void change(Change change, OnStored on_stored);
    /// Another configuration is in force; before whoever asked for it is answered.
    void on_changed(std::function<void()> on_changed) { on_changed_ = std::move(on_changed); }

  private:
    static constexpr std::size_t most_waiting = 256;

    struct Asked {
        Change change;
        OnStored on_stored;
    };
    struct Write;

    void read();
    void lock(const std::string& reason);
    void check_secrets() const;
    /// Puts what waits into the next write, if none is under way.
    void go_on();
    void begin(StoredConfiguration next);
    void finish();
    void answer(const Result<>& result);

    Loop& loop_;
    std::filesystem::path directory_;
    std::filesystem::path file_;
    std::shared_ptr<const DeviceKey> key_;
    bool key_lasts_;
    std::optional<Error> locked_;  // why nothing can be stored
    StoredConfiguration stored_;
    bool settled_ = true;  // the disk has the same
    std::function<void()> on_changed_;
    std::vector<Asked> waiting_;
    std::vector<OnStored> in_write_;
    std::shared_ptr<Write> write_;
    std::unique_ptr<Background> work_;
    // Expires with this object: for what was deferred.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace impnetd
