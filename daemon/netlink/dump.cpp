// SPDX-License-Identifier: LGPL-2.1-or-later
#include "netlink/dump.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "netlink/request.hpp"

namespace impnetd::netlink {

namespace {

tl::unexpected<Error> dump_failed(int error) {
    return fail(ErrorCode::failed,
                std::string("reading the kernel's tables: ") + std::strerror(error));
}

}  // namespace

Result<bool> Dump::advance() {
    if (sequence_ == 0) {
        if (auto asked = ask(); !asked) return tl::unexpected(asked.error());
    }
    ReceiveBuffer buffer;
    const auto datagram = socket_.receive(buffer);
    if (!datagram) {
        if (datagram.error() == EAGAIN || datagram.error() == EINTR) return false;
        return dump_failed(datagram.error());
    }
    MessageReader reader(*datagram);
    while (const nlmsghdr* header = reader.next()) {
        if (header->nlmsg_seq != sequence_) continue;
        if (auto taken = take_in(*header); !taken) return tl::unexpected(taken.error());
    }
    return table_ == Table::none;
}

Result<> Dump::ask() {
    interrupted_ = false;
    read_.clear();
    const auto sent = socket_.send(table_ == Table::links       ? links_dump_request()
                                   : table_ == Table::addresses ? addresses_dump_request()
                                                                : routes_dump_request());
    if (!sent) return dump_failed(sent.error());
    sequence_ = *sent;
    return {};
}

Result<> Dump::take_in(const nlmsghdr& header) {
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
    if (const auto answer = decode_answer(header)) return finish(answer->error);
    if (auto message = decode(header)) read_.push_back(std::move(*message));
    return {};
}

Result<> Dump::finish(int error) {
    // The kernel makes the main table with its first route.
    if (error != 0 && !(table_ == Table::routes && error == ENOENT)) return dump_failed(error);
    if (!interrupted_) {
        for (const auto& message : read_) model_.apply(message, ignored_);
        ignored_.clear();
        table_ = static_cast<Table>(static_cast<int>(table_) + 1);
    }
    if (table_ == Table::none) return {};
    return ask();
}

}  // namespace impnetd::netlink
