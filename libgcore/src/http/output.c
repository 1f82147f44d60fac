/*
 * Sending: at once if the kernel takes it, else from a buffer, when it does.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http/wire.h"

#define MOST_PIECES 8

/* Of a source, in one turn: other connections have theirs. */
#define SOURCE_TURN (1 << 20)

size_t gcore__http_unsent(const gcore__http_conn *conn)
{
    return gcore__buffer_size(&conn->out);
}

int gcore__http_lose(gcore__http_conn *conn, int error)
{
    if (error == -ENOMEM)
        gcore__http_conn_reset(conn, error);
    else
        gcore__http_conn_close(conn, error);
    return error;
}

/* Blocked */

static void on_output(void *arg, int64_t result);

static int64_t stall_deadline(const gcore__http_conn *conn)
{
    return gcore__http_later(conn->server->options.send_timeout);
}

static int watch_output(gcore__http_conn *conn)
{
    const gcore_http_request *request = conn->request;
    int64_t deadline = conn->stalled;
    int error = 0;

    if (request && request->sent_wait.waits &&
        request->sent_wait.deadline < deadline)
        deadline = request->sent_wait.deadline;
    if (!conn->output)
        error = gcore_io_new(conn->server->hub, conn->fd, GCORE_WRITE,
                             &conn->output);
    if (error < 0)
        return error;
    gcore_watch_stop(conn->output);
    return gcore_watch_start(conn->output, 0, deadline, on_output, conn);
}

static int block(gcore__http_conn *conn)
{
    int error;

    if (conn->blocked)
        return 0;
    conn->blocked = true;
    conn->stalled = stall_deadline(conn);
    error = watch_output(conn);
    return error < 0 ? gcore__http_lose(conn, error) : 0;
}

/* Sending */

/* How much was taken; 0 when nothing is for now; or an error. */
static int64_t push(gcore__http_conn *conn, struct iovec *pieces, int count,
                    bool more)
{
    int64_t sent;

    /* What waited at the fork is the parent's to send. */
    if (conn->blocked && gcore__http_conn_inherited(conn))
        return -ECANCELED;
    sent = gcore__wire_send(conn, pieces, count, more);
    return sent == -EAGAIN ? 0 : sent;
}

/* What was collected would have left at once otherwise: the kernel may have
 * it, for what that is worth now. */
static void send_collected(gcore__http_conn *conn)
{
    struct iovec piece;

    if (!conn->collected.listed || gcore__http_reclaim(conn) < 0)
        return;
    piece.iov_base = gcore__buffer_first(&conn->out);
    piece.iov_len = gcore__http_unsent(conn);
    if (piece.iov_len)
        push(conn, &piece, 1, false);
}

void gcore__http_output_close(gcore__http_conn *conn)
{
    send_collected(conn);
    if (!conn->output)
        return;
    gcore_watch_stop(conn->output);
    gcore_watch_unref(conn->output);
    conn->output = NULL;
}

/* Keeps what is left behind the first `sent` bytes. */
static int keep_rest(gcore__http_conn *conn, const struct iovec *pieces,
                     int count, size_t sent)
{
    for (int i = 0; i < count; i++) {
        size_t size = pieces[i].iov_len;
        size_t skip = sent < size ? sent : size;

        sent -= skip;
        if (skip < size &&
            gcore__buffer_append(&conn->out,
                                 (const char *)pieces[i].iov_base + skip,
                                 size - skip) < 0)
            return -ENOMEM;
    }
    return 0;
}

static size_t size_of(const struct iovec *pieces, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

int gcore__http_cork(gcore__http_conn *conn, struct iovec *pieces, int count)
{
    int error = gcore__http_reclaim(conn);

    if (error == 0)
        error = keep_rest(conn, pieces, count, 0);
    return error < 0 ? gcore__http_lose(conn, error) : 0;
}

static int send_pieces(gcore__http_conn *conn, struct iovec *pieces, int count,
                       bool more)
{
    struct iovec all[MOST_PIECES + 1];
    int error = gcore__http_reclaim(conn);
    size_t waiting = gcore__http_unsent(conn);
    int64_t sent;

    if (error < 0)
        return gcore__http_lose(conn, error);
    if (conn->blocked)
        return gcore__http_cork(conn, pieces, count);
    if (!waiting && !count)
        return 0;
    all[0] = (struct iovec){
        .iov_base = waiting ? gcore__buffer_first(&conn->out) : NULL,
        .iov_len = waiting,
    };
    for (int i = 0; i < count; i++)
        all[i + 1] = pieces[i];
    sent = push(conn, waiting ? all : all + 1, waiting ? count + 1 : count,
                more);
    if (sent < 0)
        return gcore__http_lose(conn, (int)sent);
    if ((size_t)sent == waiting + size_of(pieces, count)) {
        gcore__buffer_clear(&conn->out);
        return 0;
    }
    if ((size_t)sent < waiting) {
        gcore__buffer_use(&conn->out, (size_t)sent);
        sent = 0;
    } else {
        gcore__buffer_clear(&conn->out);
        sent -= (int64_t)waiting;
    }
    if (keep_rest(conn, pieces, count, (size_t)sent) < 0)
        return gcore__http_lose(conn, -ENOMEM);
    return block(conn);
}

int gcore__http_send(gcore__http_conn *conn, struct iovec *pieces, int count)
{
    return send_pieces(conn, pieces, count, false);
}

static int flush(gcore__http_conn *conn, bool more)
{
    if (conn->blocked || !gcore__http_unsent(conn))
        return 0;
    return send_pieces(conn, NULL, 0, more);
}

int gcore__http_flush(gcore__http_conn *conn)
{
    return flush(conn, false);
}

/* Sources */

/* What waits, and so many bytes behind it; how many of these were taken. */
static int64_t send_data(gcore__http_conn *conn, const char *data,
                         size_t size)
{
    size_t waiting = gcore__http_unsent(conn);
    struct iovec pieces[2] = {
        {.iov_len = waiting},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = size},
    };
    int64_t sent;

    if (!waiting)
        return gcore__wire_send(conn, pieces + 1, 1, false);
    pieces[0].iov_base = gcore__buffer_first(&conn->out);
    sent = gcore__wire_send(conn, pieces, 2, false);
    if (sent < 0)
        return sent;
    gcore__buffer_use(&conn->out,
                      (size_t)sent < waiting ? (size_t)sent : waiting);
    return (size_t)sent > waiting ? sent - (int64_t)waiting : -EAGAIN;
}

static int64_t send_part(gcore__http_conn *conn,
                         const gcore__http_source *source, int64_t size)
{
    if (source->data)
        return send_data(conn, source->data + source->offset, (size_t)size);
    return gcore__wire_send_file(conn, source->file, source->offset,
                                 (size_t)size);
}

/* Sends of the source what goes; `conn` may be closed then. */
static void send_source(gcore__http_conn *conn)
{
    gcore_http_request *request = conn->request;
    gcore__http_source *source = &request->source;
    int64_t turn = SOURCE_TURN;

    while (source->left > 0 && turn > 0) {
        int64_t most = source->left < turn ? source->left : turn;
        int64_t sent = send_part(conn, source, most);

        if (sent == -EAGAIN)
            break;
        if (sent <= 0) {
            gcore__http_conn_reset(conn, sent == 0 ? -EBADMSG : (int)sent);
            return;
        }
        source->offset += sent;
        source->left -= sent;
        turn -= sent;
        conn->stalled = stall_deadline(conn);
    }
    if (source->left == 0)
        gcore__http_source_sent(request, 0);
    else
        block(conn);
}

void gcore__http_source_begin(gcore__http_conn *conn)
{
    const gcore__http_source *source = &conn->request->source;
    int error;

    if (source->data && source->left) {
        error = gcore__http_reclaim(conn);
        if (error < 0)
            gcore__http_lose(conn, error);
    } else {
        error = flush(conn, source->left > 0);
    }
    if (error == 0 && !conn->blocked)
        send_source(conn);
}

/* The kernel takes more */

/* What waits leaves with the data behind it, as it was tried the last time:
 * a transport may hold a part of both in one record. */
static bool has_data_behind(const gcore__http_conn *conn)
{
    const gcore_http_request *request = conn->request;

    return request && request->sending && request->source.data &&
           request->source.left;
}

/* Sends what waits; 1 when all has been sent, or goes with what follows. */
static int send_waiting(gcore__http_conn *conn)
{
    struct iovec piece = {.iov_base = gcore__buffer_first(&conn->out),
                          .iov_len = gcore__http_unsent(conn)};
    int64_t sent;

    if (piece.iov_len == 0 || has_data_behind(conn))
        return 1;
    sent = push(conn, &piece, 1, false);
    if (sent < 0)
        return gcore__http_lose(conn, (int)sent);
    if (sent > 0)
        conn->stalled = stall_deadline(conn);
    gcore__buffer_use(&conn->out, (size_t)sent);
    return gcore__http_unsent(conn) == 0;
}

/* How much may be left when that is told. Whoever waits before a body can
 * only want to take the connection over, with nothing of ours to be sent. */
static size_t little(const gcore__http_conn *conn)
{
    const gcore_http_request *request = conn->request;

    return request->begun && request->status != 101
               ? conn->server->options.buffer / 4
               : 0;
}

static void tell_sent(gcore__http_conn *conn)
{
    if (conn->request && gcore__http_unsent(conn) <= little(conn))
        gcore__http_wait_end(&conn->request->sent_wait, 0);
}

static void unblock(gcore__http_conn *conn)
{
    conn->blocked = false;
    gcore_watch_stop(conn->output);
    if (conn->request && conn->request->sending)
        send_source(conn);
    if (conn->fd >= 0 && !conn->blocked)
        gcore__http_conn_sent(conn);
}

static void out_of_time(gcore__http_conn *conn)
{
    int64_t now = gcore_hub_now(conn->server->hub);
    gcore_http_request *request = conn->request;
    int error;

    if (request && request->sent_wait.waits &&
        request->sent_wait.deadline <= now)
        gcore__http_wait_end(&request->sent_wait, -ETIMEDOUT);
    if (conn->stalled <= now) {
        conn->server->stats.timeouts++;
        gcore__http_conn_reset(conn, -ETIMEDOUT);
        return;
    }
    error = watch_output(conn);
    if (error < 0)
        gcore__http_lose(conn, error);
}

static void on_output(void *arg, int64_t result)
{
    gcore__http_conn *conn = arg;
    int sent;

    gcore__http_conn_enter(conn);
    if (result == -ETIMEDOUT) {
        out_of_time(conn);
    } else if (result < 0) {
        gcore__http_conn_close(conn, (int)result);
    } else if (gcore__http_conn_inherited(conn)) {
        gcore__http_conn_close(conn, -ECANCELED); /* the parent sends it */
    } else {
        sent = send_waiting(conn);
        if (sent >= 0)
            tell_sent(conn);
        if (sent > 0)
            unblock(conn);
    }
    gcore__http_conn_leave(conn);
}

int gcore_http_wait_sent(gcore_http_request *request, int64_t deadline,
                         gcore_done_fn *done, void *arg)
{
    gcore__http_conn *conn = request->conn;
    int error;

    if (!conn)
        return request->error;
    error = gcore__http_wait_start(&request->sent_wait, deadline, done, arg);
    if (error < 0)
        return error;
    gcore__http_conn_enter(conn);
    tell_sent(conn);
    if (conn->blocked && request->sent_wait.waits) {
        error = watch_output(conn);
        if (error < 0)
            gcore__http_lose(conn, error);
    } else if (request->sent_wait.waits) { /* corked */
        gcore__http_flush(conn);
        tell_sent(conn);
    }
    gcore__http_conn_leave(conn);
    return 0;
}

void gcore_http_cancel_sent(gcore_http_request *request)
{
    gcore__http_wait_cancel(&request->sent_wait);
}
