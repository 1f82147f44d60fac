/*
 * Streams: making, closing, deadlines, handing over the descriptor.
 *
 * A stream has several deadlines and one moment in the hub's heap, which is
 * never later than the earliest of them. One that moves to a later moment is
 * only stored: when the old moment comes, the deadlines are looked at and
 * the moment is set anew. Its place in the heap is the one that `readable`
 * has made room for and does not use.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/stream.h"
#include "util/sized.h"

#define MOST_READ (64 * 1024)

int gcore__stream_read_options(const gcore_stream_options *given,
                               gcore_stream_options *out)
{
    if (gcore__sized_read(given, out, sizeof *out) < 0 ||
        out->flags & ~(unsigned)GCORE_STREAM_NAGLE)
        return -EINVAL;
    if (!out->read_size || out->read_size > MOST_READ)
        out->read_size = MOST_READ;
    if (!out->high_water)
        out->high_water = 1024 * 1024;
    return 0;
}

/* Deadlines */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const gcore_stream *stream)
{
    int64_t at = GCORE_FOREVER;

    if (stream->looks)
        return stream->hub->now;
    if (gcore__reading(stream))
        at = earlier(at, stream->read_deadline);
    if (stream->queued)
        at = earlier(at, stream->write_deadline);
    if (stream->draining)
        at = earlier(at, stream->drain_deadline);
    return at;
}

void gcore__stream_arm(gcore_stream *stream)
{
    int64_t at = next_deadline(stream);

    if (at == GCORE_FOREVER || gcore_stream_closed(stream) ||
        (stream->timer.place && stream->timer.at <= at))
        return;
    gcore__timer_remove(stream->hub, &stream->timer);
    gcore__timer_add(stream->hub, &stream->timer, at);
}

static void due(gcore_hub *hub, gcore__timer *timer)
{
    gcore_stream *stream = GCORE__OF(gcore_stream, timer, timer);
    int64_t now = hub->now;

    gcore_stream_ref(stream);
    if (stream->looks) {
        stream->looks = false;
        gcore__read_look(stream);
    }
    if (gcore__reading(stream) && stream->read_deadline <= now)
        gcore__read_expired(stream);
    if (stream->queued && stream->write_deadline <= now)
        gcore__write_fail(stream, -ETIMEDOUT);
    if (stream->draining && stream->drain_deadline <= now)
        gcore__write_drained(stream, -ETIMEDOUT);
    if (!stream->closed)
        gcore__stream_arm(stream);
    gcore_stream_unref(stream);
}

/* Before the first moment of now: GCORE_NOW means the next turn. */
static int64_t moment(gcore_stream *stream, int64_t deadline)
{
    return deadline == GCORE_NOW ? stream->hub->now : deadline;
}

int gcore_stream_set_read_deadline(gcore_stream *stream, int64_t deadline)
{
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    stream->read_deadline = moment(stream, deadline);
    stream->late = false;
    gcore__stream_arm(stream);
    return 0;
}

int gcore_stream_set_write_deadline(gcore_stream *stream, int64_t deadline)
{
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    stream->write_deadline = moment(stream, deadline);
    gcore__stream_arm(stream);
    return 0;
}

/* Making */

/* What all streams of a hub read into; nobody keeps anything in it. */
static int make_scratch(gcore_hub *hub)
{
    if (!hub->scratch)
        hub->scratch = gcore__alloc(MOST_READ);
    return hub->scratch ? 0 : -ENOMEM;
}

int gcore__stream_make(gcore_hub *hub, int fd,
                       const gcore_stream_options *options,
                       gcore_stream **out)
{
    gcore_stream *stream;
    int error = make_scratch(hub);

    if (error < 0)
        return error;
    stream = gcore__alloc(sizeof *stream);
    if (!stream)
        return -ENOMEM;
    error = gcore_io_new(hub, fd, GCORE_READ, &stream->readable);
    if (error < 0) {
        gcore__free(stream);
        return error;
    }
    stream->hub = hub;
    stream->fd = fd;
    stream->transport = &gcore__plain;
    stream->timer.due = due;
    stream->read_deadline = GCORE_FOREVER;
    stream->write_deadline = GCORE_FOREVER;
    stream->read_size = options->read_size;
    stream->high_water = options->high_water;
    stream->generation = gcore__fork_generation();
    atomic_init(&stream->refs, 1);
    gcore__list_init(&stream->siblings);
    gcore__hub_hold(hub);
    gcore__read_init(stream);
    gcore__write_init(stream);
    *out = stream;
    return 0;
}

/* Where it is not TCP, this does nothing. */
static void set_nodelay(int fd, const gcore_stream_options *options)
{
    int on = 1;

    if (!(options->flags & GCORE_STREAM_NAGLE))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int gcore_stream_new(gcore_hub *hub, int fd,
                     const gcore_stream_options *given, gcore_stream **out)
{
    gcore_stream_options options;
    int error = gcore__stream_read_options(given, &options);

    if (error < 0)
        return error;
    if (!hub || !out)
        return -EINVAL;
    error = gcore__socket_prepare(fd, SOCK_STREAM);
    if (error < 0)
        return error;
    set_nodelay(fd, &options);
    return gcore__stream_make(hub, fd, &options, out);
}

gcore_stream *gcore_stream_ref(gcore_stream *stream)
{
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
    return stream;
}

void gcore_stream_unref(gcore_stream *stream)
{
    gcore_hub *hub;

    if (!stream || atomic_fetch_sub_explicit(&stream->refs, 1,
                                             memory_order_acq_rel) != 1)
        return;
    hub = stream->hub;
    if (!stream->closed) {
        atomic_store(&stream->refs, 1); /* closing may look at it */
        gcore_stream_close(stream);
        gcore_stream_unref(stream);
        return;
    }
    stream->transport->release(stream);
    gcore__free(stream);
    gcore__hub_drop(hub);
}

/* Closing */

/* All but the descriptor. */
static void dismantle(gcore_stream *stream)
{
    gcore_hub *hub = stream->hub;

    stream->closed = true;
    gcore_stream_ref(stream);
    if (!atomic_load(&hub->closed)) /* its heap is gone then */
        gcore__timer_remove(hub, &stream->timer);
    gcore__connect_cancel(stream);
    gcore__read_cancel(stream);
    gcore__write_fail(stream, -ECANCELED);
    gcore_watch_unref(stream->readable);
    gcore_watch_unref(stream->writable);
    stream->readable = stream->writable = NULL;
    gcore__free(stream->unread);
    stream->unread = NULL;
    stream->unread_start = stream->unread_end = 0;
    gcore_hub_forget_fd(hub, stream->fd, -ECANCELED);
    if (stream->listener)
        gcore__listener_left(stream->listener, stream);
    gcore_stream_unref(stream);
}

int gcore_stream_close(gcore_stream *stream)
{
    int fd = stream->fd;

    if (stream->closed)
        return 0;
    gcore_stream_ref(stream);
    stream->transport->close(stream);
    dismantle(stream);
    close(fd);
    gcore_stream_unref(stream);
    return 0;
}

int gcore_stream_reset(gcore_stream *stream)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int result;

    if (stream->closed)
        return 0;
    gcore_stream_ref(stream);
    if (stream->generation == gcore__fork_generation())
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once,
                   sizeof at_once);
    gcore__write_fail(stream, -ECANCELED); /* so TLS tells no end either */
    result = gcore_stream_close(stream);
    gcore_stream_unref(stream);
    return result;
}

int gcore_stream_closed(gcore_stream *stream)
{
    return stream->closed || atomic_load(&stream->hub->closed);
}

int64_t gcore_stream_detach(gcore_stream *stream, int *out, void *buffer,
                            size_t room)
{
    size_t length = gcore_stream_unread_length(stream);

    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (stream->tls)
        return -ENOTSUP;
    if (stream->queued)
        return -EAGAIN;
    if (room < length)
        return -ENOSPC;
    if (length)
        memcpy(buffer, stream->unread + stream->unread_start, length);
    *out = stream->fd;
    dismantle(stream);
    return (int64_t)length;
}

void gcore__stream_finished(gcore_stream *stream)
{
    if (stream->finishing && stream->input_end <= 0 && !stream->queued)
        gcore_stream_close(stream);
}

int gcore_stream_finish(gcore_stream *stream, int64_t deadline)
{
    if (stream->closed)
        return 0;
    if (stream->reader == GCORE__STARTED)
        gcore_stream_stop(stream);
    if (atomic_load(&stream->hub->closed) || stream->write_error ||
        stream->connecting)
        return gcore_stream_close(stream);
    gcore_stream_ref(stream);
    stream->read_deadline = stream->write_deadline =
        moment(stream, deadline);
    gcore_stream_shutdown(stream);
    stream->finishing = true;
    gcore__read_discard(stream);
    gcore__stream_arm(stream);
    gcore__stream_finished(stream);
    gcore_stream_unref(stream);
    return 0;
}

/* Asking */

gcore_hub *gcore_stream_hub(gcore_stream *stream)
{
    return stream->hub;
}

int gcore_stream_fd(gcore_stream *stream)
{
    return stream->closed ? -ESHUTDOWN : stream->fd;
}

int gcore_stream_local(gcore_stream *stream, gcore_address *out)
{
    return stream->closed ? -ESHUTDOWN
                          : gcore__socket_name(stream->fd, out);
}

int gcore_stream_peer(gcore_stream *stream, gcore_address *out)
{
    gcore_address address = {.length = 0};
    socklen_t length = sizeof address.bytes;

    if (stream->closed)
        return -ESHUTDOWN;
    if (getpeername(stream->fd, (struct sockaddr *)(void *)address.bytes,
                    &length) < 0)
        return -errno;
    address.length = length;
    *out = address;
    return 0;
}
