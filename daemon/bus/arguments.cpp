// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/arguments.hpp"

#include <optional>
#include <utility>

#include "core/quote.hpp"

namespace impnetd::bus {

namespace {

/// Reads on until something cannot be right. What it has not read then stays in the message.
class Reader {
  public:
    explicit Reader(sdbus::Message& message) : message_(message) {}

    Result<Dict> read() {
        Dict dict = read_dict(1);
        if (error_) return tl::unexpected<Error>(std::move(*error_));
        return dict;
    }

    Result<std::vector<std::string>> read_list() {
        auto texts = std::get<std::vector<std::string>>(read_texts().content);
        if (error_) return tl::unexpected<Error>(std::move(*error_));
        return texts;
    }

  private:
    bool reject(std::string why) {
        if (!error_) error_ = Error{ErrorCode::invalid_argument, std::move(why)};
        return false;
    }

    /// Whether one more value is allowed.
    bool count() {
        if (++values_ <= Arguments::most_values) return true;
        return reject("more than " + std::to_string(Arguments::most_values) + " values");
    }

    Dict read_dict(unsigned depth) {
        Dict dict;
        if (!message_.enterContainer("{sv}")) return dict;
        while (!error_ && message_.enterDictEntry("sv")) {
            std::string key;
            message_ >> key;
            Value value = read_variant(key, depth);
            if (error_) break;
            dict.emplace(std::move(key), std::move(value));
            message_.exitDictEntry();
        }
        if (!error_) leave();
        return dict;
    }

    Value read_variant(const std::string& key, unsigned depth) {
        if (!count()) return {};
        std::string type;
        std::string contents;
        message_.peekType(type, contents);
        message_.enterVariant(contents);
        Value value = read_value(key, contents, depth);
        if (!error_) message_.exitVariant();
        return value;
    }

    Value read_value(const std::string& key, const std::string& type, unsigned depth) {
        if (type == "b") return {read_plain<bool>()};
        if (type == "y") return read_number<std::uint8_t>();
        if (type == "n") return read_number<std::int16_t>();
        if (type == "q") return read_number<std::uint16_t>();
        if (type == "i") return read_number<std::int32_t>();
        if (type == "u") return read_number<std::uint32_t>();
        if (type == "x") return read_number<std::int64_t>();
        if (type == "s") return {read_plain<std::string>()};
        if (type == "ay") return read_blob(key);
        if (type == "as") return read_texts();
        if (type == "a{sv}" && depth < Arguments::deepest) return {read_dict(depth + 1)};
        reject(shortened(key) + ": no key takes the type " + shortened(type));
        return {};
    }

    template <typename T>
    T read_plain() {
        T value{};
        message_ >> value;
        return value;
    }

    template <typename T>
    Value read_number() {
        return {std::int64_t{read_plain<T>()}};
    }

    Value read_blob(const std::string& key) {
        constexpr std::size_t most = 4096;
        std::vector<std::uint8_t> blob;
        if (!message_.enterContainer("y")) return {blob};
        for (std::uint8_t byte = 0; message_ >> byte;) {
            if (blob.size() == most) {
                reject(shortened(key) + ": longer than " + std::to_string(most) + " bytes");
                return {};
            }
            blob.push_back(byte);
        }
        leave();
        return {std::move(blob)};
    }

    Value read_texts() {
        std::vector<std::string> texts;
        if (!message_.enterContainer("s")) return {texts};
        for (std::string text; message_ >> text;) {
            if (!count()) break;
            texts.push_back(std::move(text));
        }
        if (!error_) leave();
        return {std::move(texts)};
    }

    /// An array whose end was seen.
    void leave() {
        message_.clearFlags();
        message_.exitContainer();
    }

    sdbus::Message& message_;
    unsigned values_ = 0;
    std::optional<Error> error_;
};

void wipe(Dict& dict) {
    for (auto& [key, value] : dict) {
        if (auto* inner = std::get_if<Dict>(&value.content)) wipe(*inner);
        if (auto* text = std::get_if<std::string>(&value.content))
            for (volatile char& character : *text) character = 0;
    }
}

}  // namespace

Arguments::~Arguments() {
    if (dict) wipe(*dict);
}

sdbus::Message& operator>>(sdbus::Message& message, Texts& texts) {
    texts.list = Reader(message).read_list();
    return message;
}

sdbus::Message& operator>>(sdbus::Message& message, Arguments& arguments) {
    arguments.dict = Reader(message).read();
    return message;
}

sdbus::Message& operator>>(sdbus::Message& message, Payload& payload) {
    if (!message.enterContainer("y")) return message;
    for (std::uint8_t byte = 0; payload.bytes.size() < Payload::most && message >> byte;)
        payload.bytes.push_back(byte);
    message.clearFlags();
    return message;  // its last argument: there is nothing behind it
}

}  // namespace impnetd::bus
