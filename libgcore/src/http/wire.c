/*
 * The wire: see wire.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/socket.h>
#include <unistd.h>

#include "http/wire.h"
#include "net/stream.h"

static int64_t result_of(ssize_t count)
{
    if (count >= 0)
        return count;
    return errno == EINTR ? -EAGAIN : -errno;
}

/* Brackets around what may be the application's (gcore_transport), and may
 * close the server. */
static gcore_stream *begin(gcore__http_conn *conn)
{
    return gcore_stream_ref(conn->stream);
}

static int64_t end(gcore__http_conn *conn, gcore_stream *stream,
                   int64_t result)
{
    gcore_stream_unref(stream);
    return conn->fd < 0 ? -ECANCELED : result;
}

int64_t gcore__wire_receive(gcore__http_conn *conn, void *buffer, size_t size)
{
    gcore_stream *stream;
    int64_t got;

    if (!conn->stream)
        return result_of(recv(conn->fd, buffer, size, 0));
    stream = begin(conn);
    got = stream->transport->receive(stream, buffer, size);
    conn->more = got > 0 && stream->transport->pending(stream);
    conn->crossed = got == -EINPROGRESS;
    if (conn->crossed)
        got = -EAGAIN;
    return end(conn, stream, got);
}

int64_t gcore__wire_send(gcore__http_conn *conn, struct iovec *pieces,
                         int count, bool more)
{
    if (conn->stream) {
        gcore_stream *stream = begin(conn);

        return end(conn, stream,
                   stream->transport->send(stream, pieces, count));
    }
    return gcore__plain_send(conn->fd, pieces, count, more ? MSG_MORE : 0);
}

/* For files that the kernel does not send by itself. */
static int64_t copy_file(gcore__http_conn *conn, int file, int64_t offset,
                         size_t most)
{
    char *scratch = conn->server->scratch;
    struct iovec piece = {.iov_base = scratch};
    int64_t got;

    if (most > GCORE__HTTP_SCRATCH)
        most = GCORE__HTTP_SCRATCH;
    got = result_of(pread(file, scratch, most, (off_t)offset));
    if (got <= 0)
        return got;
    piece.iov_len = (size_t)got;
    return gcore__wire_send(conn, &piece, 1, false);
}

int64_t gcore__wire_send_file(gcore__http_conn *conn, int file,
                              int64_t offset, size_t most)
{
    int64_t sent;

    if (conn->stream) {
        gcore_stream *stream = begin(conn);

        return end(conn, stream,
                   stream->transport->send_file(stream, file, offset, most));
    }
    sent = gcore__plain_send_file(conn->fd, file, offset, most);
    if (sent == -EINVAL || sent == -ENOSYS)
        sent = copy_file(conn, file, offset, most);
    return sent == -EINTR ? -EAGAIN : sent;
}

int gcore__wire_shut(gcore__http_conn *conn)
{
    if (conn->stream && !conn->cut) {
        gcore_stream *stream = begin(conn);

        return (int)end(conn, stream, stream->transport->shut(stream));
    }
    return shutdown(conn->fd, SHUT_WR) < 0 ? -errno : 0;
}

void gcore__wire_close(gcore__http_conn *conn, bool reset)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (conn->stream) {
        if (conn->cut)
            gcore__write_fail(conn->stream, -ECANCELED);
        if (reset)
            gcore_stream_reset(conn->stream);
        else
            gcore_stream_close(conn->stream);
        gcore_stream_unref(conn->stream);
        conn->stream = NULL;
        return;
    }
    if (reset && !gcore__http_conn_inherited(conn))
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    gcore_hub_forget_fd(conn->server->hub, conn->fd, -ECANCELED);
    close(conn->fd);
}
