// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/requests.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace impnetd::netlink {

namespace {

Error error_of(const std::string& what, int error, const std::string& detail) {
    std::string message = what + ": " + std::strerror(error);
    if (!detail.empty()) message += " (" + detail + ")";
    return Error{error == ENODEV ? ErrorCode::unavailable : ErrorCode::failed, std::move(message)};
}

}  // namespace

Requests::Requests(Loop& loop, std::function<void()> before_answer)
    : loop_(loop),
      before_answer_(std::move(before_answer)),
      poll_(loop, socket_.fd(), [this](int) { read(); }),
      unsent_timer_(loop, [this] { answer_unsent(); }) {
    poll_.watch(Poll::readable);
}

void Requests::send(Request request) {
    const auto sequence = socket_.send(request.message);
    request.message.reset();
    if (sequence) {
        pending_.push_back({*sequence, std::move(request)});
        return;
    }
    unsent_.push_back({sequence.error(), std::move(request)});
    unsent_timer_.start(Milliseconds(0));
}

void Requests::read() {
    ReceiveBuffer buffer;
    for (;;) {
        const auto datagram = socket_.receive(buffer);
        if (!datagram) {
            if (datagram.error() == EINTR) continue;
            if (datagram.error() != ENOBUFS) return;
            // Answers were lost, and nobody knows whose.
            for (const auto& pending : std::exchange(pending_, {})) {
                tell(pending.request, ENOBUFS, "");
            }
            continue;
        }
        MessageReader reader(*datagram);
        while (const nlmsghdr* header = reader.next()) {
            if (const auto decoded = decode_answer(*header)) answer(*decoded);
        }
    }
}

void Requests::answer(const Answer& answer) {
    const auto at = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
        return pending.sequence == answer.sequence;
    });
    if (at == pending_.end()) return;
    const Request request = std::move(at->request);
    pending_.erase(at);
    tell(request, answer.error, answer.detail);
}

void Requests::answer_unsent() {
    for (const auto& unsent : std::exchange(unsent_, {})) tell(unsent.request, unsent.error, "");
}

void Requests::tell(const Request& request, int error, const std::string& detail) {
    before_answer_();
    if (!request.done) return;
    const auto& fine = request.also_success;
    const bool success = error == 0 || std::find(fine.begin(), fine.end(), error) != fine.end();
    loop_.guarded([&] {
        request.done(success ? Result<>{} : tl::unexpected(error_of(request.what, error, detail)));
    });
}

}  // namespace impnetd::netlink
