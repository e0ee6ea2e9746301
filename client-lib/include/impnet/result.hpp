// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A value, or the reason why there is none:
//
//     auto socket = interface.open_udp(2001, on_datagram);
//     if (!socket) return complain(socket.error().message());
//     socket->send("192.168.1.255", 2001, "hello");
//
// Just what this library needs, so that its headers depend on nothing but the standard library.
#pragma once

#include <cassert>
#include <optional>
#include <utility>
#include <variant>

#include <impnet/error.hpp>

namespace impnet {

template <typename T = void>
class [[nodiscard]] Result {
  public:
    // Implicit, so that `return value;` and `return error;` do.
    // NOLINTBEGIN(google-explicit-constructor)
    Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}
    // NOLINTEND(google-explicit-constructor)

    bool has_value() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value. There must be one.
    T& operator*() & noexcept { return *value(); }
    const T& operator*() const& noexcept { return *const_cast<Result*>(this)->value(); }
    T&& operator*() && noexcept { return std::move(*value()); }
    T* operator->() noexcept { return value(); }
    const T* operator->() const noexcept { return const_cast<Result*>(this)->value(); }

    /// The error. There must be one.
    const Error& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&content_);
    }

    friend bool operator==(const Result&, const Result&) = default;

  private:
    T* value() noexcept {
        assert(has_value());
        return std::get_if<0>(&content_);
    }

    std::variant<T, Error> content_;
};

/// Done, or the reason why not.
template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The error. There must be one.
    const Error& error() const noexcept {
        assert(error_);
        return *error_;
    }

    friend bool operator==(const Result&, const Result&) = default;

  private:
    std::optional<Error> error_;
};

}  // namespace impnet
