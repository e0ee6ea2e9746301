// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A program that uses libimpnet-client, as the tests play it: its loop is turned while the test
// waits for something, and what it is told is kept for exact comparison.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <impnet/client.hpp>

#include "bus.hpp"
#include "deadline.hpp"
#include "peer.hpp"

namespace lab {

/// From one state to another, shown as "1>204".
struct Step {
    int previous = 0;
    int state = 0;

    friend bool operator==(const Step&, const Step&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Step& step) {
        return out << step.previous << '>' << step.state;
    }
};
using Steps = std::vector<Step>;

/// The reports of one session, in order.
class Diary {
  public:
    struct Entry {
        impnet::StateChange change;
        std::uint64_t told_usec = 0;  ///< CLOCK_MONOTONIC in the callback
    };

    impnet::OnState callback() {
        return [this](const impnet::StateChange& change) {
            entries_.push_back({change, monotonic_usec()});
        };
    }
    const std::vector<Entry>& entries() const { return entries_; }
    const Entry& last() const { return entries_.at(entries_.size() - 1); }
    impnet::State state() const {
        return entries_.empty() ? impnet::State::unknown : entries_.back().change.state;
    }
    bool is(impnet::State state) const { return !entries_.empty() && this->state() == state; }
    Steps steps() const {
        Steps steps;
        for (const Entry& entry : entries_) {
            steps.push_back(
                {static_cast<int>(entry.change.previous), static_cast<int>(entry.change.state)});
        }
        return steps;
    }
    void clear() { entries_.clear(); }

  private:
    std::vector<Entry> entries_;
};

/// Datagrams as they came, copied.
struct Arrived {
    std::string from;
    std::uint16_t from_port = 0;
    std::string to;
    std::uint16_t to_port = 0;
    Bytes data;

    friend bool operator==(const Arrived&, const Arrived&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Arrived& datagram) {
        return out << datagram.from << ':' << datagram.from_port << " -> " << datagram.to << ':'
                   << datagram.to_port << ", " << datagram.data.size() << " bytes";
    }
};

inline Bytes bytes(std::span<const std::byte> data) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(data.data());
    return {first, first + data.size()};
}

inline std::span<const std::byte> view(const Bytes& data) {
    return std::as_bytes(std::span(data));
}

class Mailbox {
  public:
    impnet::OnDatagram callback() {
        return [this](const impnet::Datagram& datagram) {
            arrived_.push_back({datagram.from.text(), datagram.from_port, datagram.to.text(),
                                datagram.to_port, bytes(datagram.data)});
        };
    }
    const std::vector<Arrived>& arrived() const { return arrived_; }
    std::size_t size() const { return arrived_.size(); }
    void clear() { arrived_.clear(); }

  private:
    std::vector<Arrived> arrived_;
};

class Program {
  public:
    explicit Program(const Bus& bus) : client_(connect(bus)) {}

    impnet::Client& client() { return client_; }

    /// Opens an interface; an error throws.
    impnet::Interface open(const impnet::Nic& nic, Diary& diary) {
        auto opened = client_.open(nic, diary.callback());
        if (!opened) throw std::runtime_error(text(opened.error()));
        return std::move(*opened);
    }

    /// Turns the program's loop until `predicate` holds. False: it did not, within the limit.
    bool until(Milliseconds limit, const std::function<bool()>& predicate) {
        return eventually(Deadline(limit), {client_.fd()}, predicate, [this] { turn(); });
    }
    /// The last report of a session is, or becomes, CONNECTED.
    bool connects(const Diary& diary, Milliseconds limit = Milliseconds(5'000)) {
        return until(limit, [&] { return diary.is(impnet::State::connected); });
    }
    /// Turns the loop for so long: to show that something does not happen.
    void idle(Milliseconds time) {
        until(time, [] { return false; });
    }
    void turn() {
        const auto done = client_.dispatch();
        if (!done) throw std::runtime_error(text(done.error()));
    }

    static std::string text(const impnet::Error& error) {
        return error.name() + ": " + error.message();
    }

  private:
    static impnet::Client connect(const Bus& bus) {
        auto client = impnet::Client::connect({bus.address()});
        if (!client) throw std::runtime_error(text(client.error()));
        return std::move(*client);
    }

    impnet::Client client_;
};

/// What a call came to: "ok", or the last part of the error's name ("PortInUse").
template <typename T>
std::string outcome(const impnet::Result<T>& result) {
    if (result) return "ok";
    const std::string& name = result.error().name();
    return name.substr(name.rfind('.') + 1);
}

/// The same of a send: "0", "1", "4", or the error.
inline std::string outcome(const impnet::Result<impnet::SendResult>& result) {
    if (result) return std::to_string(static_cast<int>(*result));
    const std::string& name = result.error().name();
    return name.substr(name.rfind('.') + 1);
}

}  // namespace lab
