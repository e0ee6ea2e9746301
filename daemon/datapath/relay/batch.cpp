// SPDX-License-Identifier: LGPL-2.1-or-later
#include "datapath/relay/batch.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <sys/mman.h>

namespace impnetd::relay {

namespace {

// One byte more than the largest message: what fills a slot is too large.
constexpr std::size_t slot_size = max_frame + 1;
// A multiple of 64 that is none of 4096: slots that begin at the same place of a page would all
// compete for the same few lines of the processor's cache.
constexpr std::size_t stride = 65536 + 64;
static_assert(slot_size <= stride);
constexpr std::size_t memory_size = Batch::capacity * stride;

constexpr std::size_t small = 2048;
constexpr std::size_t large_pages_kept = std::size_t{512} * 1024;

}  // namespace

Batch::Batch() {
    void* memory = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    // A huge page would make 2 MiB of the first byte that is written.
    ::madvise(memory, memory_size, MADV_NOHUGEPAGE);
    memory_ = static_cast<std::uint8_t*>(memory);
}

Batch::~Batch() {
    ::munmap(memory_, memory_size);
}

std::uint8_t* Batch::begin(std::size_t slot) const {
    return memory_ + slot * stride;
}

Batch::Outcome Batch::receive_frames(int fd, std::size_t most) {
    return receive(fd, Content::frames, most);
}

Batch::Outcome Batch::receive_datagrams(int fd) {
    return receive(fd, Content::datagrams, capacity);
}

/// Slots whose headers the kernel has written to, or all if they were for something else.
void Batch::prepare(Content content) {
    const std::size_t stale = content == content_ ? filled_ : capacity;
    const std::size_t offset = content == Content::datagrams ? header_size : 0;
    for (std::size_t slot = 0; slot < stale; ++slot) {
        received_parts_[slot] = {begin(slot) + offset, slot_size - offset};
        msghdr& message = received_[slot].msg_hdr;
        message = {};
        message.msg_iov = &received_parts_[slot];
        message.msg_iovlen = 1;
        if (content != Content::datagrams) continue;
        message.msg_name = &addresses_[slot];
        message.msg_namelen = sizeof(addresses_[slot]);
        message.msg_control = &controls_[slot];
        message.msg_controllen = sizeof(controls_[slot]);
    }
    content_ = content;
    filled_ = 0;
}

Batch::Outcome Batch::receive(int fd, Content content, std::size_t most) {
    if (touched_by_large_ > large_pages_kept) {
        ::madvise(memory_, memory_size, MADV_DONTNEED);
        touched_by_large_ = 0;
        touched_ = {};
    }
    prepare(content);
    const int count =
        ::recvmmsg(fd, received_.data(), static_cast<unsigned>(most), MSG_DONTWAIT, nullptr);
    if (count < 0) return {.count = 0, .error = errno};
    filled_ = static_cast<std::size_t>(count);
    for (std::size_t slot = 0; slot < filled_; ++slot) note_touched(slot);
    return {.count = filled_, .error = 0};
}

std::span<const std::uint8_t> Batch::frame(std::size_t slot) const {
    return {begin(slot), received_[slot].msg_len};
}

void Batch::restore(std::size_t slot, std::span<const std::uint8_t> frame) {
    const std::size_t size = std::min(frame.size(), slot_size);
    std::copy_n(frame.data(), size, begin(slot));
    received_[slot].msg_len = static_cast<unsigned>(size);
    note_touched(slot);
}

void Batch::note_touched(std::size_t slot) {
    const std::size_t size = received_[slot].msg_len;
    if (size <= std::max(small, touched_[slot])) return;
    touched_by_large_ += size - touched_[slot];
    touched_[slot] = size;
}

std::span<const std::uint8_t> Batch::payload(std::size_t slot) const {
    return {begin(slot) + header_size, received_[slot].msg_len};
}

Batch::Arrival Batch::arrival(std::size_t slot) const {
    Arrival result{.from = Ipv4::from_network_order(addresses_[slot].sin_addr.s_addr),
                   .from_port = ntohs(addresses_[slot].sin_port),
                   .to = {},
                   .ifindex = 0};
    msghdr message = received_[slot].msg_hdr;
    for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr;
         entry = CMSG_NXTHDR(&message, entry)) {
        if (entry->cmsg_level != IPPROTO_IP || entry->cmsg_type != IP_PKTINFO) continue;
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(entry), sizeof(info));
        result.to = Ipv4::from_network_order(info.ipi_addr.s_addr);
        result.ifindex = info.ipi_ifindex;
    }
    return result;
}

void Batch::begin_list(const PacketOrigin& origin) {
    listed_ = 0;
    origin_ = origin;
}

void Batch::list_request(std::size_t slot, const Request& request, std::size_t largest_segment) {
    addresses_[listed_] = socket_address(request.peer, request.peer_port);
    list_parts_[listed_] = {begin(slot) + header_size, frame(slot).size() - header_size};
    requests_[listed_] = request;
    together_[listed_] = request.count == 1 || request.size <= largest_segment;
    msghdr& message = list_[listed_].msg_hdr;
    message = {};
    message.msg_name = &addresses_[listed_];
    message.msg_namelen = sizeof(addresses_[listed_]);
    message.msg_iov = &list_parts_[listed_];
    message.msg_iovlen = 1;
    origin_.attach_to(message);
    if (request.count > 1) {
        auto& control = controls_[listed_];
        std::memcpy(control.bytes, message.msg_control, message.msg_controllen);
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        // Behind the origin.
        auto* entry = reinterpret_cast<cmsghdr*>(control.bytes + PacketOrigin::size());
        const auto size = static_cast<std::uint16_t>(request.size);
        entry->cmsg_level = IPPROTO_UDP;
        entry->cmsg_type = UDP_SEGMENT;
        entry->cmsg_len = CMSG_LEN(sizeof(size));
        std::memcpy(CMSG_DATA(entry), &size, sizeof(size));
    }
    ++listed_;
}

void Batch::cut(std::size_t listed, std::size_t count) {
    Request& request = requests_[listed];
    if (count >= request.count) return;
    request.count = count;
    list_parts_[listed].iov_len = count * request.size;
    if (count > 1) return;
    // One by itself is not a segment of anything, and may be larger than one.
    together_[listed] = true;
    list_[listed].msg_hdr.msg_controllen = PacketOrigin::size();
}

void Batch::drop(std::size_t slot, std::size_t count) {
    const auto message = frame(slot);
    const auto header = decode(message);
    const auto request = decode_request(message);
    if (!header || !request || count >= request->count) return;
    auto rest = *header;
    rest.sequence = static_cast<std::uint16_t>(rest.sequence + count);
    if (request->count - count == 1) {
        rest.kind = IMPNET_RELAY_DATAGRAM;
        rest.local_port = 0;
    }
    const std::size_t gone = count * request->size;
    std::uint8_t* const payload = begin(slot) + header_size;
    std::memmove(payload, payload + gone, message.size() - header_size - gone);
    received_[slot].msg_len -= static_cast<unsigned>(gone);
    encode(rest, std::span<std::uint8_t, header_size>(begin(slot), header_size));
}

void Batch::list_frame(std::size_t slot, const Header& header) {
    encode(header, std::span<std::uint8_t, header_size>(begin(slot), header_size));
    together_[listed_] = true;
    list_parts_[listed_] = {begin(slot), header_size + payload(slot).size()};
    msghdr& message = list_[listed_].msg_hdr;
    message = {};
    message.msg_iov = &list_parts_[listed_];
    message.msg_iovlen = 1;
    ++listed_;
}

Batch::Outcome Batch::send(int fd, std::size_t first, std::size_t last) {
    const auto together = std::span(together_).subspan(first, last - first);
    const auto apart = std::find(together.begin(), together.end(), false);
    last = first + static_cast<std::size_t>(apart - together.begin());
    const int count = ::sendmmsg(fd, &list_[first], static_cast<unsigned>(last - first),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) return {.count = 0, .error = errno};
    return {.count = static_cast<std::size_t>(count), .error = 0};
}

Batch::Outcome Batch::send_apart(int fd, std::size_t listed, std::size_t from) {
    const Request& request = requests_[listed];
    const auto& all = list_parts_[listed];
    for (std::size_t i = from; i < request.count; ++i) {
        const std::size_t offset = i * request.size;
        apart_parts_[i] = {static_cast<std::uint8_t*>(all.iov_base) + offset,
                           std::min(request.size, all.iov_len - offset)};
        msghdr& message = apart_[i].msg_hdr;
        message = list_[listed].msg_hdr;
        message.msg_iov = &apart_parts_[i];
        message.msg_controllen = PacketOrigin::size();
    }
    const int count = ::sendmmsg(fd, &apart_[from], static_cast<unsigned>(request.count - from),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) return {.count = 0, .error = errno};
    return {.count = static_cast<std::size_t>(count), .error = 0};
}

}  // namespace impnetd::relay
