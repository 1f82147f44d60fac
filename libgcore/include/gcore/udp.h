/*
 * gcore/udp.h: datagram sockets (UDP, Unix), in batches.
 *
 * A started socket hands over all datagrams that a turn finds, up to a bound,
 * in one call; several are sent in one call too. So a system call, and a call
 * of the program's, are shared by many datagrams.
 *
 * Datagrams are not queued for sending: what the kernel has no room for is
 * the caller's to send again (gcore_udp_wait) or to drop.
 *
 * All functions here belong to the hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_UDP_H
#define GCORE_UDP_H

#include <gcore/address.h>
#include <gcore/base.h>
#include <gcore/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_udp gcore_udp;

/* gcore_udp_options.flags */
/* Share the port: each socket of the same port, of any process, gets its
 * part of the datagrams. */
#define GCORE_UDP_REUSEPORT 1
/* An IPv6 address takes no IPv4 datagrams. */
#define GCORE_UDP_V6ONLY 2
/* Take a Unix socket's path over from one that nobody has open. */
#define GCORE_UDP_REPLACE 4
/* May send to broadcast addresses. */
#define GCORE_UDP_BROADCAST 8

/* gcore_datagram.flags: longer than the room for it; the rest is lost. */
#define GCORE_DATAGRAM_TRUNCATED 1

/*
 * One datagram. It is an element of arrays, whose stride is part of the
 * interface, so it has no size member and never grows. Since 0.1.
 *   data     its bytes
 *   length   how many
 *   flags    received: 0 or GCORE_DATAGRAM_TRUNCATED; sent: 0
 *   address  received: the sender's, maybe none (length 0); sent: the
 *            receiver's, or none for the one that gcore_udp_connect named
 */
typedef struct gcore_datagram {
    void *data;
    size_t length;
    uint64_t flags;
    gcore_address address;
} gcore_datagram;

/*
 * What a socket should be; zero in a member means the default. Since 0.1.
 *   size      sizeof(gcore_udp_options)
 *   flags     a sum of GCORE_UDP_ bits
 *   batch     the most datagrams handed over at a time (16; at most 1024)
 *   datagram  room for each of them, bytes (64 KiB, which is also the most);
 *             memory is used only as far as datagrams fill it
 *   mode      of a Unix socket's file, such as 0600 (what the umask says)
 */
typedef struct gcore_udp_options {
    size_t size;
    unsigned flags;
    uint32_t batch;
    uint32_t datagram;
    uint32_t mode;
} gcore_udp_options;

/*
 * Told of datagrams.
 *   arg        as given to gcore_udp_start
 *   datagrams  an array, gone after the call; NULL if there is none
 *   result     how many. Or -ECANCELED: the socket or hub was closed, and
 *              nothing more is told. Or another negative error, such as
 *              -ECONNREFUSED: what was sent earlier did not arrive; it goes
 *              on
 * Runs on the hub's thread. It may call anything, and close the socket and
 * its hub; it may not drive the hub. Since 0.1.
 */
typedef void gcore_udp_fn(void *arg, gcore_datagram *datagrams,
                          int64_t result);

/*
 * Makes a socket.
 *   address  what it is bound to; port 0: the system chooses one
 *   options  NULL for the defaults; read during the call only
 *   out      set to the socket, one reference of the caller's
 * A Unix socket's file is removed when the socket is closed, by the process
 * that made it and if it is still the same one.
 * Returns 0; -EINVAL for a bad size, flag, number or address; -EADDRINUSE,
 * -EACCES, -EADDRNOTAVAIL and others of the system; -EMFILE, -ENFILE,
 * -ENOMEM; -ESHUTDOWN when the hub is closed. Since 0.1.
 */
GCORE_API int gcore_udp_new(gcore_hub *hub, const gcore_address *address,
                            const gcore_udp_options *options,
                            gcore_udp **out);

/*
 * Makes one of a datagram socket, inherited or made elsewhere.
 *   fd  taken over if this succeeds; flags and mode do not apply
 * Returns 0; -EINVAL also when it is of another kind; -EBADF; -ENOTSOCK;
 * -ENOTSUP when the number is too big for the backend (select); -ENOMEM;
 * -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_udp_adopt(gcore_hub *hub, int fd,
                              const gcore_udp_options *options,
                              gcore_udp **out);

/* Adds a reference and returns the socket. Any thread. Since 0.1. */
GCORE_API gcore_udp *gcore_udp_ref(gcore_udp *udp);

/*
 * Drops a reference (NULL is ignored); the last one closes the socket. Hub's
 * thread; any thread once it is closed. Since 0.1.
 */
GCORE_API void gcore_udp_unref(gcore_udp *udp);

/*
 * Closes the socket. A start and a wait complete with -ECANCELED in the next
 * turn. Returns 0, also when it is closed already. Since 0.1.
 */
GCORE_API int gcore_udp_close(gcore_udp *udp);

/*
 * Hands over what arrives, until gcore_udp_stop. Keeps the hub going.
 * Returns 0; -EALREADY when started; -EINVAL; -ENOMEM; -ESHUTDOWN when
 * closed. Since 0.1.
 */
GCORE_API int gcore_udp_start(gcore_udp *udp, gcore_udp_fn *fn, void *arg);

/* Stops that; datagrams wait in the kernel, as far as it has room. Returns 0.
 * Since 0.1. */
GCORE_API int gcore_udp_stop(gcore_udp *udp);

/*
 * Names the only peer: datagrams without an address go there, and only its
 * datagrams arrive. An address of length 0 takes that back, and with it a
 * port that the system has chosen: the next one sent gets another.
 * Returns 0; -EINVAL; -ENETUNREACH and others of the system; -ESHUTDOWN.
 * Since 0.1.
 */
GCORE_API int gcore_udp_connect(gcore_udp *udp, const gcore_address *address);

/*
 * Sends datagrams, in order.
 *   datagrams  read during the call only
 *   count      how many
 * Returns how many were sent, from the first on: fewer than `count` when the
 * kernel had no room for more, one of them failed, or an earlier one turned
 * out not to have arrived; the next call tells why. If none was sent: -EAGAIN
 * for lack of room; -EMSGSIZE; -ECONNREFUSED, -ENETUNREACH, -EACCES and others
 * of the system; -EINVAL; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_udp_send(gcore_udp *udp, const gcore_datagram *datagrams,
                             int count);

/*
 * Waits until datagrams can be sent.
 *   deadline  until when to wait
 *   done      told 0; -ETIMEDOUT; -ECANCELED; or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 * Returns 0; -EALREADY when a wait is pending; -EINVAL; -ENOMEM; -ESHUTDOWN
 * when closed. Since 0.1.
 */
GCORE_API int gcore_udp_wait(gcore_udp *udp, int64_t deadline,
                             gcore_done_fn *done, void *arg);

/* The descriptor, still the socket's; -ESHUTDOWN when closed. Since 0.1. */
GCORE_API int gcore_udp_fd(gcore_udp *udp);

/* The address it is bound to. Returns 0; -ESHUTDOWN when closed. Since 0.1. */
GCORE_API int gcore_udp_address(gcore_udp *udp, gcore_address *out);

#ifdef __cplusplus
}
#endif

#endif
