// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whether a session's owner reads what it is sent. It is pinged (org.freedesktop.DBus.Peer, which
// libraries answer by themselves, in the order of arrival); so its answer confirms all that was
// sent before. One ping a session at a time, however many sockets ask: the bus lets us wait for so
// many answers only, and those who never answer must not use them all up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sdbus-c++/sdbus-c++.h>

namespace impnetd::bus {

class Attention {
  public:
    enum class Answer { confirmed, refused };  ///< refused: by the bus; ask again later
    using OnAnswer = std::function<void(Answer)>;

    explicit Attention(sdbus::IConnection& connection) : connection_(connection) {}

    /// Tells once, later, when the owner (a unique name on the bus) has read what was sent to it so
    /// far; never, if it does not, or goes, or another is asked for. Not told when `alive` has
    /// expired by then.
    void ask(const std::string& owner, std::weak_ptr<const bool> alive, OnAnswer on_answer);

  private:
    struct Question {
        std::weak_ptr<const bool> alive;
        OnAnswer on_answer;
    };
    void ping();
    void answered(Answer answer);

    sdbus::IConnection& connection_;
    std::string owner_;
    std::unique_ptr<sdbus::IProxy> peer_;  // made for the first ping
    std::vector<Question> asked_;          // with the ping that is under way
    std::vector<Question> waiting_;        // for the next
};

}  // namespace impnetd::bus
