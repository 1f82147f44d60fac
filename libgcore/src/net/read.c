/*
 * Reading.
 *
 * One receive a readiness: the watch stays started and is level-triggered,
 * so what is left makes the stream readable again in the next turn, after
 * the others had theirs. What the kernel does not know of (bytes put back,
 * bytes that TLS holds, an end that was met before) is looked at by way of
 * the ready entry `input`, which also carries results that come from
 * elsewhere than a readiness.
 *
 * TLS that has to write before it reads on is waited for by the same watch,
 * which is for writing then.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/stream.h"

/* input.result of a started stream: look again. */
#define LOOK 1

bool gcore__reading(const gcore_stream *stream)
{
    return stream->reader != GCORE__NOBODY;
}

size_t gcore_stream_unread_length(gcore_stream *stream)
{
    return stream->unread_end - stream->unread_start;
}

/* Whether a read has something that the kernel will not tell of. */
static bool has_more(gcore_stream *stream)
{
    return gcore_stream_unread_length(stream) || stream->input_end <= 0 ||
           stream->transport->pending(stream);
}

static void drop_unread(gcore_stream *stream)
{
    gcore__free(stream->unread);
    stream->unread = NULL;
    stream->unread_start = stream->unread_end = 0;
}

int64_t gcore__take_unread(gcore_stream *stream, void *buffer, size_t room)
{
    size_t length = gcore_stream_unread_length(stream);

    if (length > room)
        length = room;
    memcpy(buffer, stream->unread + stream->unread_start, length);
    stream->unread_start += length;
    if (stream->unread_start == stream->unread_end)
        drop_unread(stream);
    return (int64_t)length;
}

static int64_t take_bytes(gcore_stream *stream, void *buffer, size_t room)
{
    int64_t result;

    if (gcore_stream_unread_length(stream))
        return gcore__take_unread(stream, buffer, room);
    if (stream->input_end <= 0)
        return stream->input_end;
    result = stream->transport->receive(stream, buffer, room);
    stream->awaited = result == -EINPROGRESS ? GCORE_WRITE : GCORE_READ;
    if (result == -EINPROGRESS)
        return -EAGAIN;
    if (result <= 0 && result != -EAGAIN)
        stream->input_end = (int)result;
    return result;
}

/* Being told */

static void schedule(gcore_stream *stream, int64_t result)
{
    stream->input.result = result;
    if (!stream->input.listed)
        gcore__ready_add(stream->hub, &stream->input);
}

/* Nobody reads any more; the caller sees to the reference. */
static void end(gcore_stream *stream)
{
    if (!stream->closed)
        gcore_watch_stop(stream->readable);
    gcore__ready_withdraw(stream->hub, &stream->input);
    stream->looks = false;
    stream->reader = GCORE__NOBODY;
}

static void tell_end(gcore_stream *stream, int64_t result)
{
    end(stream);
    stream->fn(stream->fn_arg, NULL, result);
    gcore_stream_unref(stream);
}

static void expire(gcore_stream *stream)
{
    stream->read_deadline = GCORE_FOREVER;
    stream->late = false;
    gcore_watch_stop(stream->readable);
    schedule(stream, -ETIMEDOUT);
}

/* In the next turn: a peer that keeps up with it must not keep the others
 * from theirs. */
static void look_later(gcore_stream *stream)
{
    stream->looks = true;
    gcore__stream_arm(stream);
}

static void tell_bytes(gcore_stream *stream, int64_t result)
{
    gcore_stream_ref(stream);
    stream->fn(stream->fn_arg, stream->hub->scratch, result);
    if (stream->reader == GCORE__STARTED && !stream->closed) {
        if (stream->late)
            expire(stream);
        else if (has_more(stream))
            look_later(stream);
    }
    gcore_stream_unref(stream);
}

static void discarded(gcore_stream *stream, int64_t result)
{
    if (result > 0) {
        if (has_more(stream))
            look_later(stream);
        return;
    }
    end(stream);
    if (result < 0)
        gcore_stream_close(stream);
    else
        gcore__stream_finished(stream);
    gcore_stream_unref(stream);
}

static void deliver(gcore_stream *stream, int64_t result)
{
    switch (stream->reader) {
    case GCORE__STARTED:
        if (result > 0)
            tell_bytes(stream, result);
        else
            tell_end(stream, result);
        break;
    case GCORE__ONE_READ:
        gcore_watch_stop(stream->readable);
        schedule(stream, result);
        break;
    default:
        discarded(stream, result);
    }
}

static void watch(gcore_stream *stream);

static void receive(gcore_stream *stream)
{
    bool one = stream->reader == GCORE__ONE_READ;
    int64_t result =
        take_bytes(stream, one ? stream->buffer : stream->hub->scratch,
                   one ? stream->room : stream->read_size);

    if (gcore_io_events(stream->readable) != stream->awaited &&
        gcore_watch_active(stream->readable))
        watch(stream);
    if (result != -EAGAIN)
        deliver(stream, result);
}

static void readable(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    if (result > 0) {
        receive(stream);
        return;
    }
    if (result != -ECANCELED)
        stream->input_end = (int)result;
    deliver(stream, result);
}

/* Of a started or discarding stream: what `input` was listed for. */
static void look(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    if (stream->closed || atomic_load(&stream->hub->closed))
        deliver(stream, -ECANCELED);
    else if (result == LOOK)
        receive(stream);
    else
        deliver(stream, result);
}

static int64_t taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_stream *stream = GCORE__OF(gcore_stream, input, ready);
    int64_t result = ready->result;

    (void)hub;
    if (stream->reader != GCORE__ONE_READ)
        return result;
    stream->reader = GCORE__NOBODY;
    if (stream->finishing && !gcore_stream_closed(stream))
        gcore__read_discard(stream);
    gcore_stream_unref(stream);
    return result;
}

void gcore__read_init(gcore_stream *stream)
{
    stream->input.take = taken;
    stream->input_end = 1;
    stream->awaited = GCORE_READ;
}

/* Starting and stopping */

/* `readable` of a stream that is not closed can always be started. */
static void watch(gcore_stream *stream)
{
    gcore_watch_stop(stream->readable);
    if (gcore_io_events(stream->readable) != stream->awaited)
        gcore_io_set(stream->readable, stream->fd, stream->awaited);
    gcore_watch_start(stream->readable, 0, GCORE_FOREVER, readable, stream);
}

static void begin(gcore_stream *stream, enum gcore__reader reader,
                  gcore_done_fn *done, void *arg)
{
    stream->reader = (uint8_t)reader;
    stream->input.done = done;
    stream->input.arg = arg;
    gcore_stream_ref(stream);
}

static int may_begin(gcore_stream *stream)
{
    if (gcore_stream_closed(stream) || stream->finishing)
        return -ESHUTDOWN;
    if (stream->connecting)
        return -ENOTCONN;
    return gcore__reading(stream) ? -EALREADY : 0;
}

int gcore_stream_start(gcore_stream *stream, gcore_stream_fn *fn, void *arg)
{
    int error = fn ? may_begin(stream) : -EINVAL;

    if (error < 0)
        return error;
    stream->fn = fn;
    stream->fn_arg = arg;
    begin(stream, GCORE__STARTED, look, stream);
    if (has_more(stream))
        schedule(stream, LOOK);
    if (stream->input_end > 0)
        watch(stream);
    gcore__stream_arm(stream);
    return 0;
}

int gcore_stream_read(gcore_stream *stream, void *buffer, size_t room,
                      int64_t deadline, gcore_done_fn *done, void *arg)
{
    int error = buffer && room && done ? may_begin(stream) : -EINVAL;
    int64_t result;

    if (error < 0)
        return error;
    begin(stream, GCORE__ONE_READ, done, arg);
    stream->buffer = buffer;
    stream->room = room;
    result = take_bytes(stream, buffer, room);
    if (result != -EAGAIN) {
        schedule(stream, result);
        return 0;
    }
    watch(stream);
    return gcore_stream_set_read_deadline(stream, deadline);
}

/* A read that is over and not told: its bytes are not lost; or if they are,
 * nothing is read that came behind them. */
static void put_back(gcore_stream *stream)
{
    int64_t result = stream->input.result;

    if (!stream->input.listed || result <= 0 ||
        gcore_stream_unread(stream, stream->buffer, (size_t)result) == 0)
        return;
    drop_unread(stream);
    stream->input_end = -ENOMEM;
}

int gcore_stream_stop(gcore_stream *stream)
{
    if (!gcore__reading(stream) || stream->reader == GCORE__DISCARD)
        return 0;
    if (stream->reader == GCORE__ONE_READ)
        put_back(stream);
    end(stream);
    if (stream->finishing && !gcore_stream_closed(stream))
        gcore__read_discard(stream);
    gcore_stream_unref(stream);
    return 0;
}

/* Something may be there that the kernel does not tell of. */
void gcore__read_look(gcore_stream *stream)
{
    if (stream->input.listed)
        return;
    if (stream->reader == GCORE__ONE_READ)
        receive(stream);
    else if (gcore__reading(stream))
        schedule(stream, LOOK);
}

int gcore_stream_unread(gcore_stream *stream, const void *data, size_t length)
{
    size_t held = gcore_stream_unread_length(stream);
    char *bytes;

    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (length == 0)
        return 0;
    bytes = gcore__alloc(length + held);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, data, length);
    if (held)
        memcpy(bytes + length, stream->unread + stream->unread_start, held);
    gcore__free(stream->unread);
    stream->unread = bytes;
    stream->unread_start = 0;
    stream->unread_end = length + held;
    gcore__read_look(stream);
    return 0;
}

/* From the rest of the stream */

void gcore__read_expired(gcore_stream *stream)
{
    if (stream->reader == GCORE__DISCARD) {
        gcore_stream_close(stream);
        return;
    }
    /* What is there already comes first. */
    if (stream->input.listed || gcore_watch_pending(stream->readable)) {
        stream->read_deadline = stream->hub->now + 1;
        stream->late = true;
        return;
    }
    expire(stream);
}

void gcore__read_cancel(gcore_stream *stream)
{
    if (!gcore__reading(stream))
        return;
    gcore_watch_stop(stream->readable);
    if (stream->reader == GCORE__DISCARD) {
        stream->reader = GCORE__NOBODY;
        gcore__ready_withdraw(stream->hub, &stream->input);
        gcore_stream_unref(stream);
    } else if (stream->reader == GCORE__STARTED || !stream->input.listed) {
        schedule(stream, -ECANCELED);
    }
}

void gcore__read_discard(gcore_stream *stream)
{
    if (stream->reader == GCORE__ONE_READ) {
        if (!stream->input.listed)
            schedule(stream, -ECANCELED);
        gcore_watch_stop(stream->readable);
        return; /* discarding begins when that has been told */
    }
    gcore_stream_stop(stream);
    if (gcore__reading(stream) || stream->input_end <= 0)
        return;
    begin(stream, GCORE__DISCARD, look, stream);
    if (has_more(stream))
        schedule(stream, LOOK);
    watch(stream);
}
