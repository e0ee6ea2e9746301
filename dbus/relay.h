/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What travels over the descriptor that UdpSocket.Acquire returns when its info says path "relay":
 * a SOCK_SEQPACKET socket, each message this header and then the payload. All numbers are in
 * network byte order. libimpnet-client speaks it; a program that does without the library may, too.
 *
 * Client to daemon: DATAGRAM. peer_*: the destination. sequence: the client's count, modulo 2^16.
 * The rest is 0. Or DATAGRAMS, 2 to 64 of one size to one destination in one message, which is much
 * faster: local_port: that size; the payload: theirs, one after the other, together at most 65507
 * bytes, of which the last may be shorter; sequence: the first one's, from which the others count
 * on. They are judged, sent and answered as if each had come by itself. Anything else ends the
 * socket.
 *
 * Daemon to client: DATAGRAM, one that arrived. peer_*: its sender; local_*: the address it was
 * sent to (own, subnet broadcast or 255.255.255.255) and our port. sequence is 0. VERDICT, for each
 * datagram of the client, in order: the payload is one byte (impnet_relay_verdict) for each
 * consecutive datagram, beginning with the one numbered `sequence`. local_port: the port that is in
 * force now, 0 before the first send. peer_address: microseconds from then until a datagram may be
 * sent again, if nobody else takes what comes in meanwhile: as the rate limit said when it refused
 * the last of those that it refused, 2^32 - 1 if it is that long or longer; 0 if it refused none.
 * (WOULD_BLOCK with 0: the kernel had no room.) peer_port is 0.
 *
 * RESUMED, once from a daemon that has taken the socket over from one that ended: no payload, the
 * rest is 0. What the old one had read and not answered has no verdict and gets none: nobody knows
 * whether it was sent. It is the oldest part of what is unanswered, and since verdicts come in
 * order, a verdict with a number further on says where it ends. A client that waits for one and has
 * nothing more to send may send an empty DATAGRAM to port 0 of 255.255.255.255, which goes nowhere
 * and has a verdict.
 *
 * Kinds may be added: a client passes over what it does not know.
 *
 * The end of the stream: the socket is closed.
 */
#ifndef IMPNET_RELAY_H
#define IMPNET_RELAY_H

#include <stdint.h>

#define IMPNET_RELAY_VERSION 1
#define IMPNET_RELAY_MOST_DATAGRAMS 64 /* in one message */

enum impnet_relay_kind {
    IMPNET_RELAY_DATAGRAM = 1,
    IMPNET_RELAY_VERDICT = 2,
    IMPNET_RELAY_RESUMED = 3,
    IMPNET_RELAY_DATAGRAMS = 4
};

enum impnet_relay_verdict {
    IMPNET_RELAY_SENT = 0,
    IMPNET_RELAY_NOT_CONNECTED = 1,
    IMPNET_RELAY_WOULD_BLOCK = 4,          /* rate limit; nothing was queued */
    IMPNET_RELAY_ADDRESS_NOT_ALLOWED = 16, /* and the socket is closed */
    IMPNET_RELAY_INVALID_PORT = 17,
    IMPNET_RELAY_TOO_LARGE = 18
};

struct impnet_relay_header {
    uint8_t version;
    uint8_t kind;
    uint16_t peer_port;
    uint32_t peer_address;
    uint32_t local_address;
    uint16_t local_port;
    uint16_t sequence;
};

#endif
