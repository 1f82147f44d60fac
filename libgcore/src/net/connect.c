/*
 * Connecting. A stream that connects waits for its descriptor to be writable;
 * the result is told by the entry that tells of drains, of which there can be
 * none before.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/stream.h"

void gcore__connect_begin(gcore_stream *stream, gcore_done_fn *done, void *arg)
{
    stream->connecting = true;
    stream->drained.done = done;
    stream->drained.arg = arg;
    gcore_stream_ref(stream);
}

void gcore__connect_over(gcore_stream *stream, int64_t result)
{
    if (result < 0)
        stream->input_end = stream->write_error = (int)result;
    stream->drained.result = result;
    gcore__ready_add(stream->hub, &stream->drained);
}

static void connected(void *arg, int64_t result)
{
    gcore_stream *stream = arg;
    int error = 0;
    socklen_t length = sizeof error;

    if (result > 0) {
        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            error = errno;
        result = -error;
    }
    gcore__connect_over(stream, result);
}

void gcore__connect_cancel(gcore_stream *stream)
{
    if (!stream->connecting || stream->drained.listed)
        return;
    if (stream->writable)
        gcore_watch_stop(stream->writable);
    gcore__connect_over(stream, -ECANCELED);
}

static int begin(gcore_stream *stream, const gcore_address *address,
                 int64_t deadline)
{
    int error;

    if (connect(stream->fd,
                (const struct sockaddr *)(const void *)address->bytes,
                (socklen_t)address->length) == 0) {
        gcore__connect_over(stream, 0);
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR)
        return -errno;
    error = gcore__write_watch(stream);
    if (error < 0)
        return error;
    return gcore_watch_start(stream->writable, GCORE_ONCE, deadline,
                             connected, stream);
}

static int make(gcore_hub *hub, const gcore_address *address,
                const gcore_stream_options *options, gcore_stream **out)
{
    int fd = socket(gcore__address_family(address),
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    error = gcore_stream_new(hub, fd, options, out);
    if (error < 0)
        close(fd);
    return error;
}

int gcore_stream_connect(gcore_hub *hub, const gcore_address *address,
                         const gcore_stream_options *options, int64_t deadline,
                         gcore_done_fn *done, void *arg, gcore_stream **out)
{
    gcore_stream *stream;
    int error;

    if (!hub || !address || !done || !out ||
        gcore__address_family(address) < 0)
        return -EINVAL;
    error = make(hub, address, options, &stream);
    if (error < 0)
        return error;
    gcore__connect_begin(stream, done, arg);
    error = begin(stream, address, deadline);
    if (error < 0) {
        stream->connecting = false;
        gcore_stream_close(stream);
        gcore_stream_unref(stream);
        gcore_stream_unref(stream);
        return error;
    }
    *out = stream;
    return 0;
}
