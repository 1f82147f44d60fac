/*
 * The body of a request, read when the application asks for it: from what
 * came with the head, then from the socket. A length-framed body goes
 * straight into the application's buffer.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "http/wire.h"

#define LEAST_READ 4096

/* Thrown away in one turn: other connections have theirs. */
#define DISCARD_TURN (1 << 20)

int gcore__http_body_begin(const gcore_http_server *server,
                           gcore_http_request *request)
{
    const gcore_http_options *options = &server->options;

    request->continued = !(request->head.flags & GCORE_HTTP_EXPECT);
    if (request->head.content_length >= 0) {
        request->left = request->head.content_length;
        request->body_over = request->left == 0;
        return 0;
    }
    request->chunks = gcore__alloc(sizeof *request->chunks);
    if (!request->chunks)
        return -ENOMEM;
    gcore__http_chunks_init(request->chunks, options->extension_limit,
                            options->trailer_limit, options->field_limit);
    return 0;
}

/* The body ends badly, and so will the connection. */
static int64_t fail(gcore_http_request *request, int error)
{
    request->body_error = error;
    request->keep = false;
    return error;
}

/* From the peer; what the application is to be told, or the bytes. */
static int64_t receive(gcore_http_request *request, void *buffer, size_t size)
{
    int64_t got = gcore__wire_receive(request->conn, buffer, size);

    request->starved = got == -EAGAIN;
    if (got > 0 || got == -EAGAIN)
        return got;
    return fail(request, -ECONNRESET);
}

static size_t take_buffered(gcore_http_request *request, void *buffer,
                            size_t size)
{
    gcore__buffer *in = &request->conn->in;
    size_t there = gcore__buffer_size(in);

    if (size > there)
        size = there;
    memcpy(buffer, gcore__buffer_first(in), size);
    gcore__buffer_use(in, size);
    return size;
}

static int64_t read_plain(gcore_http_request *request, void *buffer,
                          size_t size)
{
    int64_t got;

    if (size > (uint64_t)request->left)
        size = (size_t)request->left;
    if (gcore__buffer_size(&request->conn->in))
        got = (int64_t)take_buffered(request, buffer, size);
    else
        got = receive(request, buffer, size);
    if (got < 0)
        return got;
    request->left -= got;
    request->body_over = request->left == 0;
    return got;
}

static int64_t save_trailers(gcore_http_request *request)
{
    gcore__http_chunks *chunks = request->chunks;
    uint32_t lines = chunks->trailer.lines;
    gcore__http_found found = {.room = lines};

    request->body_over = true;
    if (lines == 0)
        return 0;
    request->trailer_block = gcore__alloc(chunks->size);
    request->trailer_fields = gcore__alloc(lines * sizeof *found.fields);
    if (!request->trailer_block || !request->trailer_fields)
        return fail(request, -ENOMEM);
    memcpy(request->trailer_block, chunks->data, chunks->size);
    found.fields = request->trailer_fields;
    if (gcore__http_read_fields(request->trailer_block, 0, chunks->size,
                                &found) ||
        found.folded)
        return fail(request, -EBADMSG);
    request->trailer_count = found.count;
    return 0;
}

/* Reads the input up to the next piece of the body: 1 if there is one, 0 at
 * the end, -EAGAIN when there is too little input. */
static int64_t next_piece(gcore_http_request *request)
{
    gcore__http_chunks *chunks = request->chunks;
    gcore__buffer *in = &request->conn->in;
    int64_t result = -EAGAIN;
    size_t used;

    if (!gcore__buffer_size(in))
        return -EAGAIN;
    switch (gcore__http_chunks_read(chunks, gcore__buffer_first(in),
                                    gcore__buffer_size(in), &used)) {
    case GCORE__HTTP_DATA:
        used -= chunks->size;
        request->left = (int64_t)chunks->size;
        result = 1;
        break;
    case GCORE__HTTP_END:
        result = save_trailers(request);
        break;
    case GCORE__HTTP_MORE:
        break;
    case GCORE__HTTP_MALFORMED:
        return fail(request, -EBADMSG);
    }
    gcore__buffer_use(in, used);
    return result;
}

static int64_t read_more(gcore_http_request *request, size_t size)
{
    gcore__buffer *in = &request->conn->in;
    int64_t got;

    if (size < LEAST_READ)
        size = LEAST_READ;
    if (size > GCORE__HTTP_SCRATCH)
        size = GCORE__HTTP_SCRATCH;
    if (gcore__buffer_reserve(in, size) < 0)
        return -ENOMEM;
    got = receive(request, in->bytes + in->end, size);
    if (got > 0)
        in->end += (size_t)got;
    else if (!gcore__buffer_size(in))
        gcore__buffer_clear(in);
    return got;
}

static int64_t read_chunked(gcore_http_request *request, void *buffer,
                            size_t size)
{
    int64_t limit = request->conn->server->options.body_limit;

    while (!request->left) {
        int64_t result = next_piece(request);

        if (result == -EAGAIN)
            result = read_more(request, size);
        if (result <= 0)
            return result;
    }
    if (request->left > limit - request->body_seen)
        return fail(request, -EMSGSIZE);
    if (size > (uint64_t)request->left)
        size = (size_t)request->left;
    size = take_buffered(request, buffer, size);
    request->left -= (int64_t)size;
    return (int64_t)size;
}

static int64_t read_some(gcore_http_request *request, void *buffer,
                         size_t size)
{
    int64_t got;

    if (request->body_error)
        return request->body_error;
    if (request->body_over)
        return 0;
    got = request->chunks ? read_chunked(request, buffer, size)
                          : read_plain(request, buffer, size);
    if (got > 0)
        request->body_seen += got;
    return got;
}

/* Whether there is, or may be, something to read. */
static int readable(gcore_http_request *request)
{
    if (request->body_error || request->body_over)
        return 0;
    if (!request->conn)
        return request->error;
    return request->finished ? -EALREADY : 0;
}

static int send_continue(gcore_http_request *request)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec piece = {text, sizeof text - 1};

    if (request->continued || request->begun)
        return 0;
    request->continued = true;
    return gcore__http_send(request->conn, &piece, 1);
}

int64_t gcore_http_read(gcore_http_request *request, void *buffer, size_t size)
{
    gcore__http_conn *conn = request->conn;
    int64_t result = readable(request);

    if (!size)
        return -EINVAL;
    if (result < 0 || !conn || request->body_over || request->body_error)
        return result < 0 ? result : request->body_error;
    gcore__http_conn_enter(conn);
    result = send_continue(request);
    if (result == 0)
        result = read_some(request, buffer, size);
    gcore__http_conn_leave(conn);
    return result;
}

/* How long the peer may take for what it owes now. */
static void set_rate(gcore_http_request *request)
{
    const gcore_http_options *options = &request->conn->server->options;

    if (options->body_rate < 0) {
        request->rate_end = GCORE_FOREVER;
    } else if (request->rate_end <= gcore_clock()) {
        request->rate_end = gcore__http_later(options->body_grace);
        request->rate_seen = request->body_seen;
    }
}

/* The time in which nobody waited is not the peer's. */
static void resume_rate(gcore_http_request *request)
{
    int64_t spared = gcore_clock() - request->rate_paused;

    if (request->rate_paused)
        request->rate_end = request->rate_end > GCORE_FOREVER - spared
                                ? GCORE_FOREVER
                                : request->rate_end + spared;
    request->rate_paused = 0;
    set_rate(request);
}

static void pause_rate(gcore_http_request *request)
{
    if (request->body_wait.waits)
        request->rate_paused = gcore_clock();
}

static bool too_slow(const gcore_http_request *request)
{
    const gcore_http_options *options = &request->conn->server->options;
    double owed = (double)options->body_rate *
                  (double)options->body_grace / 1e9;

    return (double)(request->body_seen - request->rate_seen) < owed;
}

int gcore_http_wait_body(gcore_http_request *request, int64_t deadline,
                         gcore_done_fn *done, void *arg)
{
    gcore__http_conn *conn = request->conn;
    /* Without a connection there may be no hub left to tell anything. */
    int error = conn ? readable(request) : request->error;

    if (error == 0)
        error = gcore__http_wait_start(&request->body_wait, deadline, done,
                                       arg);
    if (error < 0)
        return error;
    if (request->body_over || request->body_error || !request->starved) {
        gcore__http_wait_end(&request->body_wait, 0);
        return 0;
    }
    gcore__http_conn_enter(conn);
    if (send_continue(request) == 0)
        resume_rate(request);
    gcore__http_conn_leave(conn);
    return 0;
}

void gcore_http_cancel_body(gcore_http_request *request)
{
    gcore__http_conn *conn = request->conn;

    pause_rate(request);
    gcore__http_wait_cancel(&request->body_wait);
    if (!conn)
        return;
    gcore__http_conn_enter(conn);
    gcore__http_conn_leave(conn);
}

static void out_of_time(gcore_http_request *request)
{
    int64_t now = gcore_hub_now(request->hub);

    if (request->body_wait.deadline <= now) {
        pause_rate(request);
        gcore__http_wait_end(&request->body_wait, -ETIMEDOUT);
    } else if (request->rate_end <= now && too_slow(request)) {
        request->conn->server->stats.timeouts++;
        fail(request, -ETIMEDOUT);
        gcore__http_wait_end(&request->body_wait, 0);
    } else {
        set_rate(request);
    }
}

void gcore__http_body_input(gcore_http_request *request, int64_t result)
{
    if (result == -ETIMEDOUT) {
        out_of_time(request);
    } else if (result < 0) {
        gcore__http_conn_close(request->conn, (int)result);
    } else {
        request->starved = false;
        pause_rate(request);
        gcore__http_wait_end(&request->body_wait, 0);
    }
}

int gcore__http_body_discard(gcore_http_request *request)
{
    gcore__http_conn *conn = request->conn;
    int64_t most = conn->server->options.discard;
    int64_t turn = conn->lingered + DISCARD_TURN;
    int64_t got;

    if (!request->continued || (!request->chunks && request->left > most))
        return -1;
    do {
        got = read_some(request, conn->server->scratch, GCORE__HTTP_SCRATCH);
        conn->lingered += got > 0 ? got : 0;
    } while (got > 0 && conn->lingered <= most &&
             (conn->lingered < turn || gcore__buffer_size(&conn->in)));
    if (got == 0 || (got > 0 && request->body_over))
        return 1;
    return got == -EAGAIN || (got > 0 && conn->lingered <= most) ? 0 : -1;
}

int gcore_http_trailers(gcore_http_request *request, const char **block,
                        const gcore_http_field **fields)
{
    if (!request->body_over || request->body_error)
        return -EAGAIN;
    *block = request->trailer_block ? request->trailer_block : "";
    *fields = request->trailer_fields;
    return (int)request->trailer_count;
}
