// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A client that puts anything into its messages, does not wait for one answer before the next call,
// and goes when it likes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <systemd/sd-bus.h>

#include "bus.hpp"
#include "deadline.hpp"
#include "fd.hpp"

namespace lab {

class RudeClient {
  public:
    struct Target {
        std::string path;
        std::string interface;
        std::string member;
    };
    /// Appends the arguments.
    using Fill = std::function<void(sd_bus_message* message)>;
    /// The name of the error, empty if it was none, and the message itself.
    using OnReply = std::function<void(const std::string& error, sd_bus_message* reply)>;

    static constexpr const char* service = "org.impnet1";
    /// Calls that a bus lets one connection have under way.
    static constexpr unsigned most_waiting = 128;

    explicit RudeClient(const Bus& bus);

    /// Sends a call; the answer, if it comes, is told in `settle` or in a later call that has to
    /// wait because `most_waiting` are under way. Throws if the bus has thrown us out.
    void call(const Target& target, const Fill& fill, OnReply on_reply);
    /// The same for `service` other than impnetd.
    void call_to(const char* service, const Target& target, const Fill& fill, OnReply on_reply);
    /// Calls and waits: "ok", or the error's name.
    std::string outcome(const Target& target, const Fill& fill = {}, const OnReply& on_reply = {});

    /// Handles what has come, and what comes until all calls are answered. False: the deadline
    /// passed first.
    bool settle(const Deadline& deadline);
    unsigned waiting() const { return waiting_; }
    /// What was called is on its way.
    void flush();
    /// Closes the connection as the kernel does with a process that is killed: whatever is still
    /// under way, both ways, is nobody's.
    void vanish();

    sd_bus* bus() { return bus_.get(); }
    std::string unique_name();

    /// Opens an interface or a socket; the new object's path. Throws if it fails.
    std::string open(const std::string& nii);
    std::string open_udp(const std::string& session, std::uint16_t port, const char* delivery);

    /// The descriptor of a socket with delivery "fd". Throws if there is none to be had.
    Fd acquire(const std::string& socket);

    static Target manager(const std::string& member) {
        return {"/org/impnet1", "org.impnet1.Manager", member};
    }
    static Target session(const std::string& path, const std::string& member) {
        return {path, "org.impnet1.Session", member};
    }
    static Target socket(const std::string& path, const std::string& member) {
        return {path, "org.impnet1.UdpSocket", member};
    }
    /// The dictionary of `Open`.
    static Fill nic(const std::string& nii);
    /// The dictionary of `OpenUdp`.
    static Fill udp(std::uint16_t port, const char* delivery);

  private:
    struct Close {
        void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    };
    struct Pending;
    static int replied(sd_bus_message* reply, void* data, sd_bus_error* error);
    std::string path_of(const Target& target, const Fill& fill);

    std::unique_ptr<sd_bus, Close> bus_;
    unsigned waiting_ = 0;
};

}  // namespace lab
