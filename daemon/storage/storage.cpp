// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storage/storage.hpp"

#include <exception>
#include <utility>

#include "log/log.hpp"
#include "storage/file.hpp"
#include "storage/text.hpp"

namespace impnetd {

/// What the other thread does: it has everything it needs, and nothing else.
struct Storage::Write {
    StoredConfiguration next;
    std::filesystem::path directory;
    std::filesystem::path file;
    std::string text;
    std::shared_ptr<const DeviceKey> key;  ///< if that has to be written, too
    Result<> result;

    /// The key first: a blob is of no use without it.
    void run() {
        if (key) result = storage::write_key(directory, *key);
        if (result) result = storage::replace_file(file, text);
    }
};

Storage::Storage(Loop& loop, std::filesystem::path directory, storage::FoundKey key)
    : loop_(loop),
      directory_(std::move(directory)),
      file_(directory_ / "configuration.toml"),
      key_(std::move(key.key)),
      key_lasts_(key.lasting) {
    if (!key.problem.empty()) lock(key.problem);
    read();
    check_secrets();
}

void Storage::lock(const std::string& reason) {
    log::error("stored_untouchable", {{"reason", reason}});
    if (!locked_) locked_ = Error{ErrorCode::failed, "nothing can be stored: " + reason};
}

void Storage::read() {
    const auto content = storage::read_file(file_);
    if (!content) return lock(content.error().message);
    if (!*content) return;
    auto parsed = storage::parse_text(**content, file_.string());
    if (parsed) {
        stored_ = std::move(*parsed);
        return;
    }
    if (parsed.error().code == ErrorCode::not_supported) return lock(parsed.error().message);
    const auto aside = storage::set_aside(file_);
    if (!aside) return lock(parsed.error().message + "; " + aside.error().message);
    log::error("stored_damaged",
               {{"reason", parsed.error().message}, {"kept_as", aside->string()}});
}

/// After a change of the key, blobs are of no use any more. They stay: the old key may come back.
void Storage::check_secrets() const {
    const auto check = [](const std::string& secret, const Result<SecretText>& opened) {
        if (!opened)
            log::warning("secret_lost", {{"secret", secret}, {"reason", opened.error().message}});
    };
    for (const auto& [nii, wifi] : stored_.wifi)
        check("the Wi-Fi key of " + nii.text(), key_->open_key(wifi));
    if (stored_.proxy) check("the proxy's password", key_->open_password(*stored_.proxy));
    if (!stored_.cellular) return;
    check("the cellular password", key_->open_password(stored_.cellular->cell));
    check("the PIN", key_->open_pin(*stored_.cellular));
}

void Storage::change(Change change, OnStored on_stored) {
    if (locked_) return on_stored(tl::unexpected(*locked_));
    if (waiting_.size() == most_waiting)
        return on_stored(fail(ErrorCode::limit_exceeded, "too many changes wait for the disk"));
    waiting_.push_back({std::move(change), std::move(on_stored)});
    go_on();
}

void Storage::go_on() {
    while (!work_ && !waiting_.empty()) {
        StoredConfiguration next = stored_;
        std::vector<std::pair<OnStored, Error>> refused;
        for (auto& asked : std::exchange(waiting_, {})) {
            StoredConfiguration changed = next;
            if (const auto done = asked.change(changed); !done) {
                refused.emplace_back(std::move(asked.on_stored), done.error());
                continue;
            }
            next = std::move(changed);
            in_write_.push_back(std::move(asked.on_stored));
        }
        if (next == stored_ && settled_)
            answer({});
        else
            begin(std::move(next));
        for (const auto& [on_stored, error] : refused) on_stored(tl::unexpected(error));
    }
}

void Storage::begin(StoredConfiguration next) {
    auto text = storage::write_text(next);
    if (storage::parse_text(text, file_.string()) != next)
        return answer(fail(ErrorCode::failed, "this cannot be stored"));
    write_ = std::make_shared<Write>(Write{
        std::move(next), directory_, file_, std::move(text), key_lasts_ ? nullptr : key_, {}});
    try {
        work_ = std::make_unique<Background>(
            loop_, [write = write_] { write->run(); },
            [this](const std::exception_ptr& problem) {
                try {
                    if (problem) std::rethrow_exception(problem);
                } catch (const std::exception& e) {
                    write_->result = fail(ErrorCode::failed, e.what());
                }
                // The work's own frames are on the stack.
                loop_.defer([this, alive = std::weak_ptr(alive_)] {
                    if (!alive.expired()) finish();
                });
            });
    } catch (const std::exception& e) {
        answer(fail(ErrorCode::failed, e.what()));  // no thread or descriptor to be had now
    }
}

void Storage::finish() {
    work_.reset();
    const auto write = std::exchange(write_, nullptr);
    settled_ = write->result.has_value();
    if (settled_) {
        key_lasts_ = true;
        stored_ = std::move(write->next);
        if (on_changed_) on_changed_();
    } else {
        log::error("not_stored", {{"reason", write->result.error().message}});
    }
    answer(write->result);
    go_on();
}

void Storage::answer(const Result<>& result) {
    for (const auto& on_stored : std::exchange(in_write_, {})) on_stored(result);
}

}  // namespace impnetd
