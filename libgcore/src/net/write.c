/*
 * Writing, and what the kernel did not take at once: a list of chunks, each
 * of them bytes or a part of a file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/stream.h"

/* The most that one stream sends before the others have their turn. */
#define MOST_A_TURN (1024 * 1024)

_Static_assert(sizeof(gcore_piece) == sizeof(struct iovec) &&
                   offsetof(gcore_piece, data) ==
                       offsetof(struct iovec, iov_base) &&
                   offsetof(gcore_piece, length) ==
                       offsetof(struct iovec, iov_len),
               "a gcore_piece is laid out as a struct iovec");

/* The queue */

static gcore__chunk *make_chunk(int64_t length, size_t room)
{
    gcore__chunk *chunk = gcore__alloc(sizeof *chunk + room);

    if (chunk) {
        chunk->file = -1;
        chunk->length = length;
    }
    return chunk;
}

static void append(gcore_stream *stream, gcore__chunk *chunk)
{
    *stream->queue_end = chunk;
    stream->queue_end = &chunk->next;
    stream->queued += chunk->length;
}

static void drop_first(gcore_stream *stream)
{
    gcore__chunk *chunk = stream->queue;

    stream->queued -= chunk->length;
    stream->queue = chunk->next;
    if (!stream->queue)
        stream->queue_end = &stream->queue;
    if (chunk->file >= 0)
        close(chunk->file);
    gcore__free(chunk);
}

static void sent(gcore_stream *stream, int64_t count)
{
    while (count > 0) {
        gcore__chunk *chunk = stream->queue;
        int64_t part = count < chunk->length ? count : chunk->length;

        chunk->offset += part;
        chunk->length -= part;
        stream->queued -= part;
        count -= part;
        if (chunk->length == 0)
            drop_first(stream);
    }
}

/* The drain */

static int64_t taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_stream *stream = GCORE__OF(gcore_stream, drained, ready);
    int64_t result = ready->result;

    (void)hub;
    stream->draining = stream->connecting = false;
    gcore_stream_unref(stream);
    return result;
}

void gcore__write_drained(gcore_stream *stream, int64_t result)
{
    stream->drain_deadline = GCORE_FOREVER;
    if (stream->drained.listed)
        return;
    stream->drained.result = result;
    gcore__ready_add(stream->hub, &stream->drained);
}

static void look_at_level(gcore_stream *stream)
{
    if (stream->draining && (size_t)stream->queued <= stream->drain_level)
        gcore__write_drained(stream, 0);
}

void gcore__write_init(gcore_stream *stream)
{
    stream->queue_end = &stream->queue;
    stream->drained.take = taken;
}

/* Nothing is queued any more. */
static void emptied(gcore_stream *stream)
{
    gcore_watch_stop(stream->writable);
    gcore_stream_unref(stream);
}

void gcore__write_fail(gcore_stream *stream, int error)
{
    if (!stream->write_error)
        stream->write_error = error;
    if (stream->draining)
        gcore__write_drained(stream, stream->write_error);
    if (stream->queue) {
        while (stream->queue)
            drop_first(stream);
        emptied(stream);
    }
    if (stream->finishing && !stream->closed)
        gcore_stream_close(stream);
}

/* Sending */

static int64_t send_file(gcore_stream *stream, int fd, int64_t offset,
                         int64_t length)
{
    size_t most = length < MOST_A_TURN ? (size_t)length : MOST_A_TURN;
    int64_t count = stream->transport->send_file(stream, fd, offset, most);

    return count == 0 ? -ENODATA : count;
}

static int64_t send_bytes(gcore_stream *stream)
{
    struct iovec pieces[GCORE_PIECES];
    gcore__chunk *chunk = stream->queue;
    int count = 0;

    for (; chunk && chunk->file < 0 && count < GCORE_PIECES;
         chunk = chunk->next)
        pieces[count++] = (struct iovec){chunk->bytes + chunk->offset,
                                         (size_t)chunk->length};
    return stream->transport->send(stream, pieces, count);
}

static int64_t send_first(gcore_stream *stream)
{
    gcore__chunk *chunk = stream->queue;

    if (chunk->file >= 0)
        return send_file(stream, chunk->file, chunk->offset, chunk->length);
    return send_bytes(stream);
}

static void shut(gcore_stream *stream)
{
    int error = stream->transport->shut(stream);

    stream->shutting = false;
    stream->shut = true;
    if (error < 0 && stream->finishing)
        gcore_stream_close(stream);
}

/* What another process has queued is that one's to send. */
static bool forked(gcore_stream *stream)
{
    return stream->queue &&
           stream->queue_generation != gcore__fork_generation();
}

static int64_t send_queue(gcore_stream *stream)
{
    int64_t total = 0;

    if (forked(stream))
        return -ECANCELED;
    while (stream->queue && total < MOST_A_TURN) {
        int64_t count = send_first(stream);

        if (count < 0)
            return count == -EAGAIN ? 0 : count;
        sent(stream, count);
        total += count;
    }
    return 0;
}

static void writable(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    gcore_stream_ref(stream);
    if (result > 0)
        result = send_queue(stream);
    if (result < 0) {
        gcore__write_fail(stream, (int)result);
    } else {
        look_at_level(stream);
        if (!stream->queue) {
            emptied(stream);
            if (stream->shutting)
                shut(stream);
            gcore__stream_finished(stream);
        }
    }
    gcore_stream_unref(stream);
}

int gcore__write_watch(gcore_stream *stream)
{
    if (stream->writable)
        return 0;
    return gcore_io_new(stream->hub, stream->fd, GCORE_WRITE,
                        &stream->writable);
}

/* Queues what is left, which begins the waiting if there was none. */
static int queue(gcore_stream *stream, gcore__chunk *chunk)
{
    int error = gcore__write_watch(stream);

    if (error < 0)
        return error;
    if (!stream->queue) {
        gcore_stream_ref(stream);
        stream->queue_generation = gcore__fork_generation();
        gcore_watch_start(stream->writable, 0, GCORE_FOREVER, writable,
                          stream);
    }
    append(stream, chunk);
    gcore__stream_arm(stream);
    return 0;
}

static int may_write(gcore_stream *stream)
{
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (forked(stream))
        gcore__write_fail(stream, -ECANCELED);
    if (stream->write_error)
        return stream->write_error;
    if (stream->shutting || stream->shut)
        return -EPIPE;
    if (stream->connecting)
        return -ENOTCONN;
    return stream->queued && (size_t)stream->queued >= stream->high_water
               ? -EAGAIN
               : 0;
}

/* What has been begun cannot go on: half of it would be the peer's. */
static int64_t broken(gcore_stream *stream, int64_t error)
{
    gcore__write_fail(stream, (int)error);
    return error;
}

/* The pieces without the first `skipped` bytes. */
static gcore__chunk *copy_rest(const gcore_piece *pieces, int count,
                               size_t total, size_t skipped)
{
    gcore__chunk *chunk = make_chunk((int64_t)(total - skipped),
                                     total - skipped);
    size_t place = 0;

    if (!chunk)
        return NULL;
    for (int i = 0; i < count; i++) {
        size_t part = skipped < pieces[i].length ? skipped : pieces[i].length;
        size_t length = pieces[i].length - part;

        skipped -= part;
        if (length)
            memcpy(chunk->bytes + place, (const char *)pieces[i].data + part,
                   length);
        place += length;
    }
    return chunk;
}

static int64_t total_of(const gcore_piece *pieces, int count)
{
    size_t total = 0;

    if (count < 0 || count > GCORE_PIECES || (count && !pieces))
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        if (pieces[i].length > (size_t)INT64_MAX - total)
            return -EINVAL;
        total += pieces[i].length;
    }
    return (int64_t)total;
}

int64_t gcore_stream_write(gcore_stream *stream, const gcore_piece *pieces,
                           int count)
{
    int64_t total = total_of(pieces, count);
    int64_t taken_now = 0;
    gcore__chunk *chunk;
    int error;

    if (total < 0)
        return total;
    error = may_write(stream);
    if (error < 0)
        return error;
    if (total == 0)
        return stream->queued;
    if (!stream->queue) {
        taken_now = stream->transport->send(
            stream, (const struct iovec *)(const void *)pieces, count);
        if (taken_now == total)
            return 0;
        if (taken_now == -EAGAIN)
            taken_now = 0;
        if (taken_now < 0)
            return broken(stream, taken_now);
    }
    chunk = copy_rest(pieces, count, (size_t)total, (size_t)taken_now);
    error = chunk ? queue(stream, chunk) : -ENOMEM;
    if (error == 0)
        return stream->queued;
    gcore__free(chunk);
    return broken(stream, error);
}

static int check_file(int fd, int64_t offset, int64_t length)
{
    struct stat about;

    if (offset < 0 || length < 0 || length > INT64_MAX - offset)
        return -EINVAL;
    if (fstat(fd, &about) < 0)
        return -errno;
    return S_ISREG(about.st_mode) ? 0 : -EINVAL;
}

static int queue_file(gcore_stream *stream, int fd, int64_t offset,
                      int64_t length)
{
    gcore__chunk *chunk = make_chunk(length, 0);
    int error;

    if (!chunk)
        return -ENOMEM;
    chunk->offset = offset;
    chunk->file = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    error = chunk->file < 0 ? -errno : queue(stream, chunk);
    if (error == 0)
        return 0;
    if (chunk->file >= 0)
        close(chunk->file);
    gcore__free(chunk);
    return error;
}

int64_t gcore_stream_sendfile(gcore_stream *stream, int fd, int64_t offset,
                              int64_t length)
{
    int error = check_file(fd, offset, length);
    bool tried = false;
    int64_t count = 0;

    if (error == 0)
        error = may_write(stream);
    if (error < 0)
        return error;
    if (length == 0)
        return stream->queued;
    if (!stream->queue) {
        count = send_file(stream, fd, offset, length);
        if (count == length)
            return 0;
        /* A transport may hold a part that it has not told of. */
        tried = count > 0 || stream->transport != &gcore__plain;
        if (count == -EAGAIN)
            count = 0;
        if (count < 0)
            return broken(stream, count);
    }
    error = queue_file(stream, fd, offset + count, length - count);
    if (error == 0)
        return stream->queued;
    return tried ? broken(stream, error) : error;
}

int64_t gcore_stream_queued(gcore_stream *stream)
{
    return stream->queued;
}

int gcore_stream_drain(gcore_stream *stream, size_t level, int64_t deadline,
                       gcore_done_fn *done, void *arg)
{
    if (!done)
        return -EINVAL;
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (stream->draining || stream->connecting)
        return -EALREADY;
    if (stream->write_error)
        return stream->write_error;
    stream->draining = true;
    stream->drained.done = done;
    stream->drained.arg = arg;
    stream->drain_level = level;
    stream->drain_deadline =
        deadline == GCORE_NOW ? stream->hub->now : deadline;
    gcore_stream_ref(stream);
    look_at_level(stream);
    gcore__stream_arm(stream);
    return 0;
}

int gcore_stream_shutdown(gcore_stream *stream)
{
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (stream->write_error)
        return stream->write_error;
    if (stream->shutting || stream->shut)
        return 0;
    stream->shutting = true;
    if (!stream->queue)
        shut(stream);
    return 0;
}
