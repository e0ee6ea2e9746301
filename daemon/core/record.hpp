// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How values are written out as bytes and read back by the process after us. Whoever reads trusts
// nothing: what does not fit spoils the whole record.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/nic.hpp"
#include "core/state.hpp"

namespace impnetd {

/// Little-endian numbers; texts and lists with their length first.
class RecordWriter {
  public:
    template <typename Number>
    void number(Number value) {
        auto bits = static_cast<std::uint64_t>(value);
        for (std::size_t i = 0; i < 8; ++i, bits >>= 8) out_.push_back(bits & 0xff);
    }
    template <typename Bytes>
    void bytes(const Bytes& value) {
        number(value.size());
        out_.insert(out_.end(), value.begin(), value.end());
    }
    void secret(const Secret& value) {
        number(value.index());
        if (const auto* text = std::get_if<SecretText>(&value))
            bytes(text->reveal());
        else
            bytes(std::get<SealedBlob>(value));
    }
    /// An optional part: whether it is there, then what it holds.
    template <typename Part, typename Write>
    void part(const std::optional<Part>& value, Write write) {
        number(value.has_value());
        if (value) write(*value);
    }
    void raw(std::string_view text) { out_.insert(out_.end(), text.begin(), text.end()); }
    std::vector<std::uint8_t> take() { return std::move(out_); }

  private:
    std::vector<std::uint8_t> out_;
};

/// Reads what RecordWriter wrote; after the first thing that does not fit, everything is empty and
/// `good` is false.
class RecordReader {
  public:
    explicit RecordReader(std::span<const std::uint8_t> in) : in_(in) {}

    std::uint64_t number(std::uint64_t most = UINT64_MAX) {
        if (in_.size() < 8) return spoil();
        std::uint64_t value = 0;
        for (std::size_t i = 8; i-- > 0;) value = value << 8 | in_[i];
        in_ = in_.subspan(8);
        return value <= most ? value : spoil();
    }
    template <typename Bytes>
    Bytes bytes() {
        const auto size = number(in_.size());
        if (size > in_.size()) spoil();
        if (!good_) return {};
        Bytes out(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(size));
        in_ = in_.subspan(size);
        return out;
    }
    std::string text() { return bytes<std::string>(); }
    Secret secret() {
        if (number(1) == 0) return SecretText(text());
        return bytes<SealedBlob>();
    }
    template <typename Part, typename Read>
    std::optional<Part> part(Read read) {
        if (number(1) == 0) return std::nullopt;
        return read();
    }
    bool raw(std::string_view expected) {
        if (in_.size() < expected.size() ||
            !std::equal(expected.begin(), expected.end(), in_.begin()))
            return spoil() != 0;
        in_ = in_.subspan(expected.size());
        return true;
    }
    bool good() const { return good_; }
    bool finished() const { return good_ && in_.empty(); }

  private:
    std::uint64_t spoil() {
        good_ = false;
        in_ = {};
        return 0;
    }

    std::span<const std::uint8_t> in_;
    bool good_ = true;
};

/// Parts that several records have.
void write_state(RecordWriter& out, State state);
/// Any number; `is_known` tells whether it is a state.
State read_state(RecordReader& in);
void write_static(RecordWriter& out, const StaticConfig& part);
StaticConfig read_static(RecordReader& in);
void write_proxy(RecordWriter& out, const ProxyConfig& part);
ProxyConfig read_proxy(RecordReader& in);
Ipv4 read_ipv4(RecordReader& in);
void write_network(RecordWriter& out, const Ipv4Network& network);
Ipv4Network read_network(RecordReader& in);
void write_addresses(RecordWriter& out, const std::vector<Ipv4>& addresses);
/// At most two, as everywhere in the guide.
std::vector<Ipv4> read_addresses(RecordReader& in);

}  // namespace impnetd
