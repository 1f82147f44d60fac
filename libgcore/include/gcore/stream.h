/*
 * gcore/stream.h: streams, connected sockets with their reads and writes.
 *
 * A stream owns its descriptor, which does not block and is closed with the
 * stream. It is read in one of two ways:
 *   gcore_stream_start   each piece that arrives is handed to a function, in
 *                        a buffer of the hub's that all its streams share:
 *                        an idle stream holds none
 *   gcore_stream_read    once, into the caller's buffer
 * and written by gcore_stream_write, which gives the kernel what it takes at
 * once, without a copy, and queues a copy of the rest. Queued bytes are sent
 * as the peer takes them; gcore_stream_drain tells when they are gone.
 *
 * A pending read, start or drain keeps the hub going and the stream alive;
 * so do queued bytes. The end of the input and errors are results. After an
 * error of the connection every write returns it.
 *
 * In a forked child, streams read on if the child wants to; what was queued
 * at the fork is sent by the parent alone (the child's queue is dropped, its
 * drain completes with -ECANCELED), and closing says nothing to the peer.
 *
 * All functions here belong to the hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_STREAM_H
#define GCORE_STREAM_H

#include <gcore/address.h>
#include <gcore/base.h>
#include <gcore/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_stream gcore_stream;

/* gcore_stream_options.flags */
/* Leave Nagle's algorithm on: by default TCP sends small writes at once. */
#define GCORE_STREAM_NAGLE 1

/*
 * What a stream should be; zero in a member means the default. Since 0.1.
 *   size        sizeof(gcore_stream_options)
 *   flags       a sum of GCORE_STREAM_ bits
 *   high_water  a write is refused with -EAGAIN while so many bytes or more
 *               are queued (1 MiB); one write may exceed it
 *   read_size   the most bytes a read hands over at a time (64 KiB, which
 *               is also the most)
 */
typedef struct gcore_stream_options {
    size_t size;
    unsigned flags;
    uint32_t read_size;
    size_t high_water;
} gcore_stream_options;

/*
 * One piece of what is to be written, laid out as a struct iovec. Since 0.1.
 */
typedef struct gcore_piece {
    const void *data;
    size_t length;
} gcore_piece;

/* The most pieces of one write. */
#define GCORE_PIECES 64

/*
 * Told what arrives on a started stream.
 *   arg     as given to gcore_stream_start
 *   data    the bytes, which may be changed in place; gone after the call.
 *           NULL if there are none
 *   result  how many; 0: the peer sends no more; -ETIMEDOUT: the read
 *           deadline passed; -ECANCELED: the stream or hub was closed;
 *           another negative error: of the connection
 * 0 or a negative result ends what was started; gcore_stream_start may be
 * called again (after 0 and errors of the connection it tells the same).
 * Runs on the hub's thread. It may call anything, and close the stream and
 * its hub; it may not drive the hub. Since 0.1.
 */
typedef void gcore_stream_fn(void *arg, void *data, int64_t result);

/*
 * Makes a stream of a connected socket.
 *   fd       a stream socket (TCP, Unix), taken over if this succeeds
 *   options  NULL for the defaults; read during the call only
 *   out      set to the stream, one reference of the caller's
 * Returns 0; -EINVAL for a bad size, flag or number; -EBADF; -ENOTSOCK;
 * -ENOTSUP when the number is too big for the backend (select); -ENOMEM;
 * -ESHUTDOWN when the hub is closed. Since 0.1.
 */
GCORE_API int gcore_stream_new(gcore_hub *hub, int fd,
                               const gcore_stream_options *options,
                               gcore_stream **out);

/*
 * Makes a stream and connects it.
 *   address   the peer's
 *   options   as in gcore_stream_new
 *   deadline  until when to try
 *   done      told 0, or the error: -ECONNREFUSED, -ETIMEDOUT (also at the
 *             deadline), -ECANCELED and others; or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 *   out       set to the stream, one reference of the caller's; it can be
 *             read and written once done was told 0
 * Returns 0; -EINVAL; -EMFILE, -ENFILE, -ENOMEM; -ESHUTDOWN; -EACCES and
 * others that the system gives at once. Since 0.1.
 */
GCORE_API int gcore_stream_connect(gcore_hub *hub,
                                   const gcore_address *address,
                                   const gcore_stream_options *options,
                                   int64_t deadline, gcore_done_fn *done,
                                   void *arg, gcore_stream **out);

/* Adds a reference and returns the stream. Any thread. Since 0.1. */
GCORE_API gcore_stream *gcore_stream_ref(gcore_stream *stream);

/*
 * Drops a reference (NULL is ignored); the last one closes the stream and
 * frees it. Hub's thread; any thread once it is closed. Since 0.1.
 */
GCORE_API void gcore_stream_unref(gcore_stream *stream);

/*
 * Closes the stream and its descriptor at once: queued bytes are lost. A
 * pending read, start or drain completes with -ECANCELED in the next turn.
 * Returns 0, also when it is closed already. Since 0.1.
 */
GCORE_API int gcore_stream_close(gcore_stream *stream);

/*
 * The same, and the peer gets a reset in place of an end: what it has cannot
 * be taken for the whole. In a forked child, which does not own the
 * connection alone, a plain close. Returns 0. Since 0.1.
 */
GCORE_API int gcore_stream_reset(gcore_stream *stream);

/*
 * Sends what is queued, tells the peer that no more will come, discards what
 * it still sends (so that it gets to read the answer instead of a reset)
 * and, once it has ended too, closes the stream. Needs no owner: the
 * reference may be dropped. What was started to read ends without being
 * told; a read completes with -ECANCELED.
 *   deadline  when to close at the latest
 * Returns 0, also when closed already. Since 0.1.
 */
GCORE_API int gcore_stream_finish(gcore_stream *stream, int64_t deadline);

/* Returns 1 once closed, else 0. Since 0.1. */
GCORE_API int gcore_stream_closed(gcore_stream *stream);

/*
 * Takes the descriptor out of a stream, which is closed by that. Nothing may
 * be queued to send.
 *   out     set to the descriptor, which is the caller's now
 *   buffer  filled with bytes that gcore_stream_unread has put back
 *   room    how many fit; must be enough (gcore_stream_unread_length)
 * Returns how many bytes that are; -EAGAIN while bytes are queued to send;
 * -ENOSPC; -ENOTSUP for a stream under TLS; -ESHUTDOWN when closed.
 * Since 0.1.
 */
GCORE_API int64_t gcore_stream_detach(gcore_stream *stream, int *out,
                                      void *buffer, size_t room);

/* The hub; no reference is added. Any thread. Since 0.1. */
GCORE_API gcore_hub *gcore_stream_hub(gcore_stream *stream);

/* The descriptor, still the stream's; -ESHUTDOWN when closed. Since 0.1. */
GCORE_API int gcore_stream_fd(gcore_stream *stream);

/*
 * The peer's address, and the stream's own.
 * Return 0; -ENOTCONN and others of the system; -ESHUTDOWN when closed.
 * Since 0.1.
 */
GCORE_API int gcore_stream_peer(gcore_stream *stream, gcore_address *out);
GCORE_API int gcore_stream_local(gcore_stream *stream, gcore_address *out);

/*
 * Hands all that arrives to `fn`, until gcore_stream_stop.
 * Returns 0; -EALREADY when started or a read is pending; -EINVAL for a
 * NULL; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_stream_start(gcore_stream *stream, gcore_stream_fn *fn,
                                 void *arg);

/*
 * Stops reading: `fn` is not called any more, nor is a pending
 * gcore_stream_read completed, not even to tell of a close before. Bytes that
 * arrive meanwhile stay in the kernel. Costs no system call if started again
 * soon. Returns 0. Since 0.1.
 */
GCORE_API int gcore_stream_stop(gcore_stream *stream);

/*
 * Reads once, at least one byte.
 *   buffer    filled; must live until done was told
 *   room      its bytes, at least 1
 *   deadline  until when to wait
 *   done      told how many bytes; 0: the peer sends no more; -ETIMEDOUT,
 *             -ECANCELED, -ECONNRESET and others; or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 * Returns 0; -EALREADY when a read is pending or the stream is started;
 * -EINVAL; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_stream_read(gcore_stream *stream, void *buffer,
                                size_t room, int64_t deadline,
                                gcore_done_fn *done, void *arg);

/*
 * Puts bytes back: they are read again first, before what arrives later.
 * Returns 0; -ENOMEM; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_stream_unread(gcore_stream *stream, const void *data,
                                  size_t length);

/* How many bytes have been put back and not been read again. Since 0.1. */
GCORE_API size_t gcore_stream_unread_length(gcore_stream *stream);

/*
 * Sets until when something must arrive, in place of what was set before:
 * then a started stream is told -ETIMEDOUT, once, and the deadline is unset.
 * GCORE_FOREVER unsets it. It does not move by itself. Moving it to a later
 * moment costs a store. What is there at that moment is told first. Returns
 * 0; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_stream_set_read_deadline(gcore_stream *stream,
                                             int64_t deadline);

/*
 * Sets until when all queued bytes must be gone: if some are left then, the
 * stream's writing has failed with -ETIMEDOUT. GCORE_FOREVER unsets it.
 * Returns 0; -ESHUTDOWN when closed. Since 0.1.
 */
GCORE_API int gcore_stream_set_write_deadline(gcore_stream *stream,
                                              int64_t deadline);

/*
 * Writes pieces, in order, as if they were one.
 *   pieces  read during the call only
 *   count   how many, at most GCORE_PIECES
 * Returns how many bytes are queued now: 0 when the kernel has taken all.
 * -EAGAIN: nothing was taken, for the queue has reached its high-water mark
 * (see gcore_stream_drain); -EPIPE: the peer is gone, or gcore_stream_shutdown
 * was called; -ENOMEM: the rest could not be queued, so nothing more can be
 * written; another error: of the connection, now or before; -EINVAL;
 * -ESHUTDOWN when closed. Never raises SIGPIPE. Since 0.1.
 */
GCORE_API int64_t gcore_stream_write(gcore_stream *stream,
                                     const gcore_piece *pieces, int count);

/*
 * Writes a part of a file, after what is queued, without copying it through
 * the process where the stream allows that.
 *   fd      a regular file; may be closed after the call
 *   offset  where the part begins, bytes
 *   length  how long it is, bytes. If the file turns out to be shorter, the
 *           stream's writing has failed with -ENODATA
 * Returns as gcore_stream_write, and -EMFILE, -ENFILE when the descriptor
 * cannot be kept: then nothing was taken. Since 0.1.
 */
GCORE_API int64_t gcore_stream_sendfile(gcore_stream *stream, int fd,
                                        int64_t offset, int64_t length);

/* Bytes that are queued and not yet taken by the kernel. Since 0.1. */
GCORE_API int64_t gcore_stream_queued(gcore_stream *stream);

/*
 * Waits until the queue has drained.
 *   level     ... to so many bytes or fewer; 0: until it is empty
 *   deadline  until when to wait; the queue goes on then
 *   done      told 0; -ETIMEDOUT; -ECANCELED; or the error that ended the
 *             writing; or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 * Returns 0; -EALREADY when a drain is pending; -EINVAL; -ESHUTDOWN when
 * closed; the error that has ended the writing. Since 0.1.
 */
GCORE_API int gcore_stream_drain(gcore_stream *stream, size_t level,
                                 int64_t deadline, gcore_done_fn *done,
                                 void *arg);

/*
 * Closes the writing half, after what is queued has been sent. Returns 0;
 * -ESHUTDOWN when closed; the error that has ended the writing. Since 0.1.
 */
GCORE_API int gcore_stream_shutdown(gcore_stream *stream);

/*
 * How the bytes of a stream go in and out, where not as they are: TLS by a
 * library of the application's, for instance. The functions are called on
 * the hub's thread, with the stream's `arg`; they use the stream's socket,
 * which they neither wait for nor close. They must not use the stream; they
 * may close an HTTP server that it was given to. Since 0.1.
 *   size     sizeof(gcore_transport)
 *   receive  fills a buffer of `room` bytes, at least 1. Returns how many
 *            there were; 0: the peer sends no more; -EAGAIN: nothing until
 *            the socket is readable; -EINPROGRESS: nothing until it is
 *            writable, for something is to be sent first (TLS answers its
 *            peer, say); or an error, which ends the input
 *   send     sends at most `length` bytes, which are 1 to 16384. Returns how
 *            many it has taken; -EAGAIN: none until the socket is writable,
 *            and then the same bytes come first again, perhaps with more
 *            behind them; or an error, after which nothing can be written
 *   pending  returns 1 if `receive` has bytes that the socket does not tell
 *            of, else 0; NULL: it never has
 *   shut     tells the peer that no more will come, as far as can be done at
 *            once; then the socket is shut or closed. Not called where a part
 *            would pass for the whole. NULL: nothing is to be told
 *   release  the stream is freed, and `arg` not used any more; NULL: nothing
 *            is to be done
 */
typedef struct gcore_transport {
    size_t size;
    int64_t (*receive)(void *arg, void *buffer, size_t room);
    int64_t (*send)(void *arg, const void *data, size_t length);
    int (*pending)(void *arg);
    void (*shut)(void *arg);
    void (*release)(void *arg);
} gcore_transport;

/*
 * Has all bytes of a stream go in and out by these functions from now on.
 * Nothing may be read, queued or put back at the time. The stream can be
 * detached as ever: none of the functions but `release` is called then.
 *   transport  copied
 *   arg        handed to the functions; the caller's until this succeeds
 * Returns 0; -EINVAL; -EALREADY when it has a transport already, is under
 * TLS, read or connecting; -EAGAIN while bytes are queued or put back;
 * -ENOMEM; -ESHUTDOWN when closed; the error that has ended the writing.
 * Since 0.1.
 */
GCORE_API int gcore_stream_set_transport(gcore_stream *stream,
                                         const gcore_transport *transport,
                                         void *arg);

/* The `arg` of a stream's transport; NULL if none was set. Since 0.1. */
GCORE_API void *gcore_stream_transport_arg(gcore_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
