// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A limit for each user of the host: so many sessions, so many sockets. A share that was taken is
// given back by its destructor, on whatever path its owner goes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <sys/types.h>

namespace impnetd {

class Quota {
  public:
    class Share {
      public:
        Share() = default;
        Share(Share&& other) noexcept
            : quota_(std::exchange(other.quota_, nullptr)), uid_(other.uid_) {}
        Share& operator=(Share&& other) noexcept {
            std::swap(quota_, other.quota_);
            std::swap(uid_, other.uid_);
            return *this;
        }
        ~Share() { give_back(); }

        void give_back() {
            if (auto* quota = std::exchange(quota_, nullptr)) quota->give_back(uid_);
        }

      private:
        friend class Quota;
        Share(Quota& quota, uid_t uid) : quota_(&quota), uid_(uid) {}

        Quota* quota_ = nullptr;
        uid_t uid_ = 0;
    };

    explicit Quota(unsigned per_uid) : per_uid_(per_uid) {}

    /// Nothing if this user has all it may have. The quota must outlive its shares.
    std::optional<Share> take(uid_t uid) {
        auto& used = used_[uid];
        if (used >= per_uid_) return std::nullopt;
        ++used;
        return Share(*this, uid);
    }

    unsigned limit() const { return per_uid_; }
    /// From now on; nobody loses what it has.
    void set_limit(unsigned per_uid) { per_uid_ = per_uid; }
    unsigned used(uid_t uid) const {
        const auto found = used_.find(uid);
        return found == used_.end() ? 0 : found->second;
    }

  private:
    void give_back(uid_t uid) {
        const auto found = used_.find(uid);
        if (--found->second == 0) used_.erase(found);
    }

    unsigned per_uid_;
    std::map<uid_t, unsigned> used_;
};

}  // namespace impnetd
