/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the descriptor answers that UdpSocket.Acquire returns when its info says path "kernel": it is
 * a UDP socket (udp(7)), and what a send returns is in the table of the bus API. Nothing makes it
 * writable again after EAGAIN, so it can be asked how long to wait:
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
