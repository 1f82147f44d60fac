/*
 * A transport of the application's: gcore_stream_set_transport.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/stream.h"
#include "util/sized.h"

struct gcore__custom {
    gcore_transport use;
    void *arg;
    bool told; /* the peer, of the end */
};

static int64_t receive(gcore_stream *stream, void *buffer, size_t room)
{
    return stream->custom->use.receive(stream->custom->arg, buffer, room);
}

static int64_t send_record(gcore_stream *stream, const void *data,
                           size_t length)
{
    int64_t sent = stream->custom->use.send(stream->custom->arg, data, length);

    /* What follows may be gone with what closed it. */
    return stream->closed ? -ECANCELED : sent;
}

static int64_t send_pieces(gcore_stream *stream, const struct iovec *pieces,
                           int count)
{
    return gcore__send_records(stream, pieces, count, send_record);
}

static int64_t send_file(gcore_stream *stream, int fd, int64_t offset,
                         size_t length)
{
    return gcore__send_file_records(stream, fd, offset, length, send_record);
}

static bool pending(gcore_stream *stream)
{
    const gcore_transport *use = &stream->custom->use;

    return use->pending && use->pending(stream->custom->arg);
}

static void tell_end(struct gcore__custom *custom)
{
    if (custom->told || !custom->use.shut)
        return;
    custom->told = true;
    custom->use.shut(custom->arg);
}

static int shut(gcore_stream *stream)
{
    tell_end(stream->custom);
    return gcore__plain.shut(stream);
}

static void closing(gcore_stream *stream)
{
    /* What the peer got is all there was. */
    if (stream->generation == gcore__fork_generation() && !stream->queue &&
        !stream->write_error)
        tell_end(stream->custom);
}

static void release(gcore_stream *stream)
{
    struct gcore__custom *custom = stream->custom;

    stream->custom = NULL;
    stream->transport = &gcore__plain;
    if (custom->use.release)
        custom->use.release(custom->arg);
    gcore__free(custom);
}

static const gcore__transport transport = {
    .receive = receive,
    .send = send_pieces,
    .send_file = send_file,
    .pending = pending,
    .shut = shut,
    .close = closing,
    .release = release,
};

int gcore_stream_set_transport(gcore_stream *stream,
                               const gcore_transport *given, void *arg)
{
    struct gcore__custom *custom;
    gcore_transport use;

    if (!given || gcore__sized_read(given, &use, sizeof use) < 0 ||
        !use.receive || !use.send)
        return -EINVAL;
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (stream->tls || stream->custom || stream->connecting ||
        stream->draining || gcore__reading(stream))
        return -EALREADY;
    if (stream->queued || gcore_stream_unread_length(stream))
        return -EAGAIN;
    if (stream->write_error)
        return stream->write_error;
    if (gcore__records_prepare(stream->hub) < 0)
        return -ENOMEM;
    custom = gcore__alloc(sizeof *custom);
    if (!custom)
        return -ENOMEM;
    custom->use = use;
    custom->arg = arg;
    stream->custom = custom;
    stream->transport = &transport;
    return 0;
}

void *gcore_stream_transport_arg(gcore_stream *stream)
{
    return stream->custom ? stream->custom->arg : NULL;
}
