/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the descriptor answers that UdpSocket.Acquire returns when its info says path "kernel". It
 * is a UDP socket (udp(7)) that may send and receive, and not be bound, connected or, but for its
 * buffers and time limits, set up (EPERM). IP_PKTINFO is on. What a send returns:
 *
 *     ENETUNREACH  not connected, off the subnet, or our own address
 *     EAGAIN       the rate limit
 *     EPERM        lost a race for the last token, or a firewall of the host said no: try once more
 *     EACCES       the address is not allowed; the socket is dead, and UdpSocket.Closed follows
 *     EINVAL       port 0, 67 or 68; else the interface's address has just gone
 *     EMSGSIZE     over 65507 bytes
 *     EPIPE        closed; poll(2) says POLLHUP
 *
 * Segments of one size in one call (UDP_SEGMENT, udp(7)) cost a token each, and all of them leave
 * or none. EPERM for them says that there are not so many tokens, EINVAL, EMSGSIZE or EIO that the
 * device cannot take them so: each then has to be sent by itself. sendmmsg(2) returns how many
 * went, and the next call the error of the one that did not. Nothing makes the descriptor writable
 * again after EAGAIN, so it can be asked how long to wait:
 *
 *     uint64_t wait;
 *     socklen_t size = sizeof(wait);
 *     getsockopt(fd, IMPNET_SOL, IMPNET_SO_WAIT, &wait, &size);
 */
#ifndef IMPNET_KERNEL_H
#define IMPNET_KERNEL_H

/* The level of these options, which is no protocol's. */
#define IMPNET_SOL 0x696d

/* uint64_t, read only: nanoseconds until a datagram may leave if nobody else sends; 0: now. */
#define IMPNET_SO_WAIT 1

#endif
