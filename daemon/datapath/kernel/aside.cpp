// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/kernel/aside.hpp"

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace impnetd::kernel {

struct Aside::Queue {
    std::mutex mutex;
    std::condition_variable ending;
    std::deque<std::function<void()>> work;
    bool ended = false;

    void run() {
        std::unique_lock lock(mutex);
        while (!work.empty()) {
            const auto next = std::move(work.front());
            work.pop_front();
            lock.unlock();
            next();
            lock.lock();
        }
        ended = true;
        ending.notify_all();
    }
};

bool Aside::run(std::uint32_t client, std::function<void()> work) {
    if (const auto found = late_.find(client); found != late_.end()) {
        if (const auto queue = found->second.lock()) {
            const std::lock_guard lock(queue->mutex);
            if (!queue->ended) {
                queue->work.push_back(std::move(work));
                return false;
            }
        }
        late_.erase(found);
    }
    const auto queue = std::make_shared<Queue>();
    queue->work.push_back(std::move(work));
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the loop's
    bool started = true;
    try {
        std::thread([queue] { queue->run(); }).detach();
    } catch (const std::system_error&) {
        started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!started) return false;
    std::unique_lock lock(queue->mutex);
    if (queue->ending.wait_for(lock, patience, [&queue] { return queue->ended; })) return true;
    late_[client] = queue;
    return false;
}

}  // namespace impnetd::kernel
