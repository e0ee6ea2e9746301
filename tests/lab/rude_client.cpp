// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rude_client.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>

namespace lab {

namespace {

constexpr Milliseconds patience{20'000};

int need(int result, const char* what) {
    if (result < 0) throw std::system_error(-result, std::generic_category(), what);
    return result;
}

struct Unref {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};

}  // namespace

struct RudeClient::Pending {
    RudeClient& client;
    OnReply on_reply;
};

RudeClient::RudeClient(const Bus& bus) {
    sd_bus* raw = nullptr;
    need(sd_bus_new(&raw), "sd_bus_new");
    bus_.reset(raw);
    need(sd_bus_set_address(raw, bus.address().c_str()), "bus address");
    need(sd_bus_set_bus_client(raw, 1), "bus client");
    need(sd_bus_start(raw), "connection to the bus");
    unique_name();  // when it has one, it is connected, as whoever it is now
}

int RudeClient::replied(sd_bus_message* reply, void* data, sd_bus_error*) {
    auto* pending = static_cast<Pending*>(data);
    --pending->client.waiting_;
    if (!pending->on_reply) return 0;
    const sd_bus_error* error = sd_bus_message_get_error(reply);
    pending->on_reply(error == nullptr ? "" : error->name, reply);
    return 0;
}

void RudeClient::call(const Target& target, const Fill& fill, OnReply on_reply) {
    call_to(service, target, fill, std::move(on_reply));
}

void RudeClient::call_to(const char* service, const Target& target, const Fill& fill,
                         OnReply on_reply) {
    const Deadline deadline(patience);
    while (waiting_ >= most_waiting) {
        const int processed = need(sd_bus_process(bus(), nullptr), "bus");
        if (processed > 0) continue;
        if (deadline.passed()) throw std::runtime_error("no answer");
        need(sd_bus_wait(bus(), static_cast<std::uint64_t>(deadline.poll_timeout()) * 1000), "bus");
    }
    sd_bus_message* raw = nullptr;
    need(sd_bus_message_new_method_call(bus(), &raw, service, target.path.c_str(),
                                        target.interface.c_str(), target.member.c_str()),
         "message");
    const std::unique_ptr<sd_bus_message, Unref> message(raw);
    if (fill) fill(raw);
    auto pending = std::make_unique<Pending>(Pending{*this, std::move(on_reply)});
    sd_bus_slot* slot = nullptr;
    need(sd_bus_call_async(bus(), &slot, raw, replied, pending.get(), 0), "call");
    need(sd_bus_slot_set_destroy_callback(slot,
                                          [](void* data) { delete static_cast<Pending*>(data); }),
         "slot");
    (void)pending.release();  // the slot's from here on
    need(sd_bus_slot_set_floating(slot, 1), "slot");
    sd_bus_slot_unref(slot);
    ++waiting_;
}

std::string RudeClient::outcome(const Target& target, const Fill& fill, const OnReply& on_reply) {
    std::string result = "no answer";
    call(target, fill, [&](const std::string& error, sd_bus_message* reply) {
        result = error.empty() ? "ok" : error;
        if (on_reply) on_reply(error, reply);
    });
    settle(Deadline(patience));
    return result;
}

bool RudeClient::settle(const Deadline& deadline) {
    for (;;) {
        const int processed = need(sd_bus_process(bus(), nullptr), "bus");
        if (processed > 0) continue;
        if (waiting_ == 0) return true;
        if (deadline.passed()) return false;
        need(sd_bus_wait(bus(), static_cast<std::uint64_t>(deadline.poll_timeout()) * 1000), "bus");
    }
}

void RudeClient::flush() {
    need(sd_bus_flush(bus()), "bus");
}

void RudeClient::vanish() {
    waiting_ = 0;
    bus_.reset();
}

std::string RudeClient::unique_name() {
    const char* name = nullptr;
    need(sd_bus_get_unique_name(bus(), &name), "unique name");
    return name;
}

std::string RudeClient::path_of(const Target& target, const Fill& fill) {
    std::string path;
    std::string why;
    const std::string result =
        outcome(target, fill, [&](const std::string& error, sd_bus_message* reply) {
            const char* read = nullptr;
            if (!error.empty()) why = sd_bus_message_get_error(reply)->message;
            if (error.empty() && sd_bus_message_read(reply, "o", &read) > 0) path = read;
        });
    if (path.empty()) throw std::runtime_error(target.member + ": " + result + ": " + why);
    return path;
}

std::string RudeClient::open(const std::string& nii) {
    return path_of(manager("Open"), nic(nii));
}

std::string RudeClient::open_udp(const std::string& session, std::uint16_t port,
                                 const char* delivery) {
    return path_of(RudeClient::session(session, "OpenUdp"), udp(port, delivery));
}

Fd RudeClient::acquire(const std::string& socket) {
    Fd own;
    const std::string result = outcome(
        RudeClient::socket(socket, "Acquire"), {}, [&](const std::string&, sd_bus_message* reply) {
            int theirs = -1;  // the message's, and gone with it
            if (sd_bus_message_read(reply, "h", &theirs) > 0)
                own = Fd(checked(::fcntl(theirs, F_DUPFD_CLOEXEC, 3), "fcntl"));
        });
    if (!own) throw std::runtime_error("Acquire: " + result);
    return own;
}

RudeClient::Fill RudeClient::nic(const std::string& nii) {
    return [nii](sd_bus_message* message) {
        need(sd_bus_message_append(message, "a{sv}", 1, "interface", "s", nii.c_str()), "nic");
    };
}

RudeClient::Fill RudeClient::udp(std::uint16_t port, const char* delivery) {
    return [port, delivery](sd_bus_message* message) {
        need(sd_bus_message_append(message, "a{sv}", 2, "port", "q", static_cast<int>(port),
                                   "delivery", "s", delivery),
             "options");
    };
}

}  // namespace lab
