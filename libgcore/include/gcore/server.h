/*
 * gcore/server.h: listeners, sockets that accept connections.
 *
 * A listener takes connections in one of two ways:
 *   gcore_listener_start    each connection is handed to a function, as a
 *                           stream
 *   gcore_listener_accept   one, as a descriptor
 * Several are accepted in a turn, up to a bound, so that the connections
 * which exist are not starved by new ones. When descriptors run out the
 * listener lets connections go that it cannot take (with a descriptor kept
 * in reserve), tells so, and rests a moment.
 *
 * It counts the streams it has made until they are closed or detached:
 * for the limit on connections, and for gcore_listener_drain.
 *
 * A started listener keeps the hub going. All functions here belong to the
 * hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_SERVER_H
#define GCORE_SERVER_H

#include <gcore/address.h>
#include <gcore/base.h>
#include <gcore/hub.h>
#include <gcore/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_listener gcore_listener;

/* gcore_listener_options.flags */
/* Share the port: each socket of the same port, of any process, gets its
 * part of the connections. */
#define GCORE_LISTEN_REUSEPORT 1
/* An IPv6 address takes no IPv4 connections. */
#define GCORE_LISTEN_V6ONLY 2
/* Take a Unix socket's path over from one that nobody listens on. */
#define GCORE_LISTEN_REPLACE 4

/*
 * What a listener should be; zero in a member means the default. Since 0.1.
 *   size         sizeof(gcore_listener_options)
 *   flags        a sum of GCORE_LISTEN_ bits
 *   backlog      connections that wait in the kernel (1024; the system has
 *                a limit of its own)
 *   batch        the most connections accepted in a turn (64)
 *   connections  the most streams at a time (no limit): then it accepts no
 *                more until one is closed
 *   mode         of a Unix socket's file, such as 0600 (what the umask says)
 *   rest         nanoseconds without accepting after descriptors ran out
 *                (100 ms)
 *   stream       what the streams should be; NULL for the defaults; copied
 */
typedef struct gcore_listener_options {
    size_t size;
    unsigned flags;
    uint32_t backlog;
    uint32_t batch;
    uint32_t connections;
    uint32_t mode;
    int64_t rest;
    const gcore_stream_options *stream;
} gcore_listener_options;

/*
 * What a listener has done since it was made. Since 0.1.
 *   size         sizeof(gcore_listener_stats), set by the caller
 *   accepted     connections accepted
 *   dropped      connections let go because descriptors or memory ran out
 *   failed       other failures to accept, such as connections that were
 *                gone before they could be accepted
 *   connections  streams at the moment
 *   peak         the most there were at a time
 *   limited      times the limit on connections was reached
 */
typedef struct gcore_listener_stats {
    size_t size;
    uint64_t accepted;
    uint64_t dropped;
    uint64_t failed;
    uint64_t connections;
    uint64_t peak;
    uint64_t limited;
} gcore_listener_stats;

/*
 * Told of each connection.
 *   arg     as given to gcore_listener_start
 *   stream  the connection, one reference of the callee's; NULL if there is
 *           none
 *   result  0; or, without a stream, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM:
 *           connections were dropped for lack of this, and the listener goes
 *           on; -ECANCELED: the listener or hub was closed, or drains; another
 *           negative error: the listener is broken and has stopped
 * Runs on the hub's thread. It may call anything, and close the listener and
 * its hub; it may not drive the hub. Since 0.1.
 */
typedef void gcore_accepted_fn(void *arg, gcore_stream *stream,
                               int64_t result);

/*
 * Makes a listener on an address: socket, bind, listen.
 *   address  port 0: the system chooses, see gcore_listener_address
 *   options  NULL for the defaults; read during the call only
 *   out      set to the listener, one reference of the caller's
 * A Unix socket's file is removed when the listener is closed, by the process
 * that made it and if it is still the same one.
 * Returns 0; -EINVAL for a bad size, flag or address; -EADDRINUSE, -EACCES,
 * -EADDRNOTAVAIL and others of the system; -EMFILE, -ENFILE, -ENOMEM;
 * -ESHUTDOWN when the hub is closed. Since 0.1.
 */
GCORE_API int gcore_listener_new(gcore_hub *hub, const gcore_address *address,
                                 const gcore_listener_options *options,
                                 gcore_listener **out);

/*
 * Makes a listener of a listening socket, inherited or made elsewhere.
 *   fd  taken over if this succeeds; backlog, mode and flags do not apply
 * Returns 0; -EINVAL also when it does not listen; -EBADF; -ENOTSOCK;
 * -ENOTSUP when the number is too big for the backend (select); -EMFILE,
 * -ENFILE, -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_listener_adopt(gcore_hub *hub, int fd,
                                   const gcore_listener_options *options,
                                   gcore_listener **out);

/*
 * The sockets that whoever started this process has handed to it, by the
 * environment's LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES: they are numbered
 * from 3.
 *   name  only the first of that name counts; NULL: all
 * Returns, for NULL, how many there are, maybe 0; for a name, the descriptor,
 * or -ENOENT. Marks them to be closed on exec. Any thread. Since 0.1.
 */
GCORE_API int gcore_inherited_sockets(const char *name);

/* Adds a reference and returns the listener. Any thread. Since 0.1. */
GCORE_API gcore_listener *gcore_listener_ref(gcore_listener *listener);

/*
 * Drops a reference (NULL is ignored); the last one closes the listener.
 * Hub's thread; any thread once it is closed. Since 0.1.
 */
GCORE_API void gcore_listener_unref(gcore_listener *listener);

/*
 * Closes the listening socket. Its streams live on. A start, accept or drain
 * completes with -ECANCELED in the next turn.
 * Returns 0, also when it is closed already. Since 0.1.
 */
GCORE_API int gcore_listener_close(gcore_listener *listener);

/*
 * Hands each connection to `fn`.
 * Returns 0; -EALREADY when started or an accept is pending; -EINVAL;
 * -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_listener_start(gcore_listener *listener,
                                   gcore_accepted_fn *fn, void *arg);

/*
 * Stops accepting: connections wait in the kernel until a new start or
 * accept; `fn` is not called any more, nor is an accept completed, not even
 * to tell of a close before. Returns 0. Since 0.1.
 */
GCORE_API int gcore_listener_stop(gcore_listener *listener);

/*
 * Accepts one connection.
 *   deadline  until when to wait
 *   done      told its descriptor, which is the callee's and neither blocks
 *             nor outlives exec; -ETIMEDOUT, -ECANCELED, -EMFILE and others;
 *             or GCORE_COMPLETE. It does not count as a stream.
 *   arg       handed to it; the caller's
 * A connection that was accepted when the accept is stopped is kept for the
 * next accept or start.
 * Returns 0; -EALREADY when an accept is pending or the listener is started;
 * -EINVAL; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_listener_accept(gcore_listener *listener,
                                    int64_t deadline, gcore_done_fn *done,
                                    void *arg);

/*
 * Ends gracefully: closes the listening socket and waits until its streams
 * are closed.
 *   deadline  when the streams that are left are closed
 *   done      told how many had to be closed, or -ECANCELED when the hub was
 *             closed; or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 * What was started completes with -ECANCELED; a start is told at once.
 * Returns 0; -EALREADY when it drains already; -EINVAL; -ESHUTDOWN when
 * closed. Since 0.1.
 */
GCORE_API int gcore_listener_drain(gcore_listener *listener, int64_t deadline,
                                   gcore_done_fn *done, void *arg);

/* The descriptor, still the listener's; -ESHUTDOWN when closed. Since 0.1. */
GCORE_API int gcore_listener_fd(gcore_listener *listener);

/*
 * The address it listens on, with the port that the system chose. Returns 0;
 * -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_listener_address(gcore_listener *listener,
                                     gcore_address *out);

/*
 * Fills in the counters.
 *   out  its size member is set by the caller; only that much is written
 * Returns 0; -EINVAL when the size is not one of any version. Since 0.1.
 */
GCORE_API int gcore_listener_counters(gcore_listener *listener,
                                      gcore_listener_stats *out);

#ifdef __cplusplus
}
#endif

#endif
