/*
 * Answers: their heads, what is added to these, and how bodies are framed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/bytes.h"
#include "http/engine.h"

#define REASON_LIMIT 256

/* Status line and added fields, the reason aside. */
#define HEAD_ROOM 256

/* The longest size in hexadecimal, and the end of its line. */
#define CHUNK_LINE 18

/* What the application's header lines say. */
typedef struct said {
    int64_t length; /* -1: nothing */
    bool date;
    bool close;
    bool keep;
} said;

/* An answer's head, ready to be sent. */
typedef struct head_pieces {
    char before[32];
    char after[HEAD_ROOM];
    struct iovec pieces[5];
} head_pieces;

static struct iovec piece_of(const void *bytes, size_t size)
{
    return (struct iovec){(void *)(uintptr_t)bytes, size};
}

/* The application's header lines */

static bool named(const char *line, size_t size, const char *name)
{
    return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

static bool has_option(const char *value, size_t size, const char *option)
{
    size_t length = strlen(option);

    for (size_t i = 0; i + length <= size; i++) {
        bool begins = i == 0 || strchr(", \t", value[i - 1]);
        bool ends = i + length == size || strchr(", \t", value[i + length]);

        if (begins && ends && strncasecmp(value + i, option, length) == 0)
            return true;
    }
    return false;
}

static int read_length(said *it, const char *value, size_t size)
{
    if (it->length >= 0 || size == 0 || size > 18)
        return -EINVAL;
    it->length = 0;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -EINVAL;
        it->length = it->length * 10 + (value[i] - '0');
    }
    return 0;
}

static int read_field(said *it, const char *name, size_t name_size,
                      const char *value, size_t size)
{
    switch (name_size) {
    case 4:
        it->date |= named(name, 4, "date");
        return 0;
    case 10:
        if (named(name, 10, "connection")) {
            it->close |= has_option(value, size, "close");
            it->keep |= has_option(value, size, "keep-alive");
        }
        return 0;
    case 14:
        return named(name, 14, "content-length")
                   ? read_length(it, value, size)
                   : 0;
    case 17:
        return named(name, 17, "transfer-encoding") ? -EINVAL : 0;
    default:
        return 0;
    }
}

static int read_line(said *it, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    const char *value, *end = line + size;

    if (!colon || colon == line ||
        !gcore__http_all(line, (size_t)(colon - line), GCORE__BYTE_TOKEN) ||
        !gcore__http_all(colon, (size_t)(end - colon), GCORE__BYTE_TEXT))
        return -EINVAL;
    value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return read_field(it, line, (size_t)(colon - line), value,
                      (size_t)(end - value));
}

/* Nothing in them may end the head or begin another field unseen. */
static int read_lines(said *it, const char *lines, size_t size)
{
    *it = (said){.length = -1};
    while (size) {
        const char *end = memchr(lines, '\r', size);
        size_t length = end ? (size_t)(end - lines) : 0;

        if (!end || length + 2 > size || end[1] != '\n' ||
            read_line(it, lines, length) < 0)
            return -EINVAL;
        lines += length + 2;
        size -= length + 2;
    }
    return 0;
}

/* The answer's framing */

static bool is_head(const gcore_http_request *request)
{
    return request->head.method_size == 4 &&
           memcmp(request->head.block, "HEAD", 4) == 0;
}

static bool bodiless(const gcore_http_request *request, int status)
{
    return status < 200 || status == 204 || status == 304 || is_head(request);
}

/* `length` is what the application says of the body; -1: nothing. */
static void choose_mode(gcore_http_request *request, int64_t length)
{
    request->to_send = length < 0 ? 0 : length;
    if (bodiless(request, request->status))
        request->mode = GCORE__HTTP_BODILESS;
    else if (length >= 0)
        request->mode = GCORE__HTTP_LENGTH_KNOWN;
    else if (request->head.minor > 0)
        request->mode = GCORE__HTTP_CHUNKS;
    else
        request->mode = GCORE__HTTP_UNTIL_CLOSE;
}

static size_t add(char *room, size_t at, const char *text)
{
    size_t size = strlen(text);

    memcpy(room + at, text, size);
    return at + size;
}

static size_t add_date(gcore_http_request *request, char *room, size_t at)
{
    size_t size;
    const char *date = gcore__http_date(request->conn->server, &size);

    at = add(room, at, "Date: ");
    memcpy(room + at, date, size);
    return add(room, at + size, "\r\n");
}

static size_t add_length(char *room, size_t at, uint64_t length)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + length % 10);
    while ((length /= 10) != 0);
    at = add(room, at, "Content-Length: ");
    while (count)
        room[at++] = digits[--count];
    return add(room, at, "\r\n");
}

/* The fields that the application leaves to us. `length` is to be announced
 * unless -1. */
static size_t add_fields(gcore_http_request *request, const said *it,
                         int64_t length, char *room)
{
    const gcore_http_server *server = request->conn->server;
    size_t at = add(room, 0, "\r\n");

    if (!it->date && !(server->options.flags & GCORE_HTTP_NO_DATE))
        at = add_date(request, room, at);
    if (request->status < 200)
        return at;
    if (!request->keep && !it->close)
        at = add(room, at, "Connection: close\r\n");
    else if (request->keep && !it->keep && request->head.minor == 0)
        at = add(room, at, "Connection: keep-alive\r\n");
    if (length >= 0 && it->length < 0)
        at = add_length(room, at, (uint64_t)length);
    else if (request->mode == GCORE__HTTP_CHUNKS)
        at = add(room, at, "Transfer-Encoding: chunked\r\n");
    return at;
}

static void compose(gcore_http_request *request, const said *it,
                    int64_t length, const char *reason, const char *headers,
                    size_t headers_size, head_pieces *out)
{
    size_t at = add(out->before, 0, "HTTP/1.1 ");
    int status = request->status;

    out->before[at++] = (char)('0' + status / 100);
    out->before[at++] = (char)('0' + status / 10 % 10);
    out->before[at++] = (char)('0' + status % 10);
    out->before[at++] = ' ';
    out->pieces[0] = piece_of(out->before, at);
    out->pieces[1] = piece_of(reason, strlen(reason));
    out->pieces[2] =
        piece_of(out->after, add_fields(request, it, length, out->after));
    out->pieces[3] = piece_of(headers, headers_size);
    out->pieces[4] = piece_of("\r\n", 2);
}

static int check(gcore_http_request *request, int status, const char **reason,
                 const char *headers, size_t headers_size, said *it)
{
    if (!*reason)
        *reason = gcore_http_reason(status);
    if (status < 100 || status > 999 || strlen(*reason) > REASON_LIMIT ||
        !gcore__http_all(*reason, strlen(*reason), GCORE__BYTE_TEXT) ||
        (!headers && headers_size) ||
        read_lines(it, headers, headers_size) < 0)
        return -EINVAL;
    if (request->begun || request->head.status)
        return -EALREADY;
    return request->conn ? 0 : request->error;
}

/* The answer has begun. `length` of the body; -1 if not known yet. */
static void begin(gcore_http_request *request, const said *it, int status,
                  int64_t length)
{
    request->status = status;
    request->begun = true;
    choose_mode(request, it->length >= 0 ? it->length : length);
    request->keep = request->keep && !it->close && !request->body_error &&
                    request->continued &&
                    request->mode != GCORE__HTTP_UNTIL_CLOSE &&
                    !request->conn->server->draining;
}

static void finish(gcore_http_request *request)
{
    request->finished = true;
    gcore__http_conn_answered(request->conn);
}

/* What to announce: of a body that is not sent only what is known. */
static int64_t announced(const gcore_http_request *request, int64_t length)
{
    if (request->status < 200 || request->status == 204 ||
        request->status == 304)
        return -1;
    return is_head(request) && length == 0 ? -1 : length;
}

/* The application's functions */

int gcore_http_respond(gcore_http_request *request, int status,
                       const char *reason, const char *headers,
                       size_t headers_size, const void *body, size_t body_size)
{
    gcore__http_conn *conn = request->conn;
    struct iovec pieces[6];
    head_pieces head;
    said it;
    int error = check(request, status, &reason, headers, headers_size, &it);
    int count = 5;

    if (error == 0 && status < 200 && status != 101)
        return -EINVAL;
    if (error == 0 && it.length >= 0 && !bodiless(request, status) &&
        it.length != (int64_t)body_size)
        return -EMSGSIZE;
    if (error < 0)
        return error;
    gcore__http_conn_enter(conn);
    begin(request, &it, status, (int64_t)body_size);
    compose(request, &it, announced(request, (int64_t)body_size), reason,
            headers, headers_size, &head);
    memcpy(pieces, head.pieces, sizeof head.pieces);
    if (request->mode != GCORE__HTTP_BODILESS && body_size)
        pieces[count++] = piece_of(body, body_size);
    error = gcore__http_send(conn, pieces, count);
    if (error == 0)
        finish(request);
    gcore__http_conn_leave(conn);
    return error;
}

/* An answer before the answer: 103 and its like. */
static int send_interim(gcore_http_request *request, const said *it,
                        int status, const char *reason, const char *headers,
                        size_t headers_size)
{
    head_pieces head;
    int error;

    if (request->head.minor == 0)
        return 0; /* HTTP/1.0 has none */
    request->continued |= status == 100;
    request->status = status;
    compose(request, it, -1, reason, headers, headers_size, &head);
    request->status = 0;
    error = gcore__http_send(request->conn, head.pieces, 5);
    return error;
}

int gcore_http_start(gcore_http_request *request, int status,
                     const char *reason, const char *headers,
                     size_t headers_size)
{
    gcore__http_conn *conn = request->conn;
    head_pieces head;
    said it;
    int error = check(request, status, &reason, headers, headers_size, &it);

    if (error < 0)
        return error;
    gcore__http_conn_enter(conn);
    if (status < 200 && status != 101) {
        error = send_interim(request, &it, status, reason, headers,
                             headers_size);
    } else {
        begin(request, &it, status, -1);
        compose(request, &it, -1, reason, headers, headers_size, &head);
        gcore__http_collected_begin(conn);
        error = gcore__http_cork(conn, head.pieces, 5);
    }
    gcore__http_conn_leave(conn);
    return error;
}

/* Whether more of the body may be sent. */
static int sendable(const gcore_http_request *request)
{
    if (request->finished || request->head.status)
        return -EALREADY;
    if (!request->begun)
        return -EINVAL;
    if (!request->conn)
        return request->error;
    return request->sending ? -EBUSY : 0;
}

/* What stands before a chunk of so many bytes. */
static struct iovec chunk_line(char room[CHUNK_LINE], uint64_t size)
{
    char *first = room + CHUNK_LINE;

    *--first = '\n';
    *--first = '\r';
    do
        *--first = "0123456789abcdef"[size % 16];
    while ((size /= 16) != 0);
    return piece_of(first, (size_t)(room + CHUNK_LINE - first));
}

static int send_piece(gcore_http_request *request, const void *data,
                      size_t size)
{
    struct iovec pieces[3];
    char line[CHUNK_LINE];

    if (request->mode != GCORE__HTTP_CHUNKS || size == 0) {
        pieces[0] = piece_of(data, size);
        return gcore__http_send_on(request->conn, pieces, 1);
    }
    pieces[0] = chunk_line(line, size);
    pieces[1] = piece_of(data, size);
    pieces[2] = piece_of("\r\n", 2);
    return gcore__http_send_on(request->conn, pieces, 3);
}

/* Counts a piece against the length announced; how much of it is to go. */
static int64_t account(gcore_http_request *request, int64_t size)
{
    if (request->mode == GCORE__HTTP_BODILESS)
        return 0;
    if (request->mode == GCORE__HTTP_LENGTH_KNOWN) {
        if (size > request->to_send)
            return -EMSGSIZE;
        request->to_send -= size;
    }
    return size;
}

int gcore_http_write(gcore_http_request *request, const void *data,
                     size_t size)
{
    gcore__http_conn *conn = request->conn;
    int error = sendable(request);
    int64_t count = error < 0 ? error : account(request, (int64_t)size);
    int full;

    if (count < 0)
        return (int)count;
    gcore__http_conn_enter(conn);
    error = send_piece(request, data, (size_t)count);
    full = error == 0 &&
           gcore__http_unsent(conn) > conn->server->options.buffer;
    gcore__http_conn_leave(conn);
    return error < 0 ? error : full;
}

static int send_source(gcore_http_request *request,
                       const gcore__http_source *source, gcore_done_fn *done,
                       void *arg)
{
    gcore__http_conn *conn = request->conn;
    int error = sendable(request);
    char line[CHUNK_LINE];
    struct iovec piece;
    int64_t count;

    if (error == 0 && source->left <= 0)
        error = -EINVAL;
    if (error < 0)
        return error;
    error = gcore__http_wait_start(&request->source_wait, GCORE_FOREVER, done,
                                   arg);
    if (error < 0)
        return error;
    count = account(request, source->left);
    if (count < 0) {
        gcore__http_wait_cancel(&request->source_wait);
        return (int)count;
    }
    gcore__http_conn_enter(conn);
    request->sending = true;
    request->source = *source;
    request->source.left = count;
    piece = chunk_line(line, (uint64_t)count);
    if (count && request->mode == GCORE__HTTP_CHUNKS)
        error = gcore__http_cork(conn, &piece, 1);
    if (error == 0)
        gcore__http_source_begin(conn);
    gcore__http_conn_leave(conn);
    return 0;
}

int gcore_http_send_file(gcore_http_request *request, int fd, int64_t offset,
                         int64_t count, gcore_done_fn *done, void *arg)
{
    gcore__http_source source = {.file = fd, .offset = offset,
                                 .left = fd < 0 || offset < 0 ? -1 : count};

    return send_source(request, &source, done, arg);
}

int gcore_http_send_data(gcore_http_request *request, const void *data,
                         size_t size, gcore_done_fn *done, void *arg)
{
    gcore__http_source source = {.data = data,
                                 .left = data ? (int64_t)size : -1};
    const gcore__ready *told = &request->source_wait.ready;
    int error = send_source(request, &source, done, arg);

    if (error < 0 || !told->listed || told->result < 0)
        return error;
    gcore__http_wait_cancel(&request->source_wait);
    return 1;
}

void gcore__http_source_sent(gcore_http_request *request, int error)
{
    struct iovec piece = piece_of("\r\n", 2);

    request->sending = false;
    if (error == 0 && request->mode == GCORE__HTTP_CHUNKS)
        error = gcore__http_send(request->conn, &piece, 1);
    gcore__http_wait_end(&request->source_wait, error);
}

void gcore_http_cancel_file(gcore_http_request *request)
{
    if (request->sending)
        gcore_http_abort(request);
    gcore__http_wait_cancel(&request->source_wait);
}

/* The rest of the answer is not to come. */
static void leave_out(gcore_http_request *request)
{
    request->keep = false;
    request->conn->cut = true;
}

int gcore_http_finish(gcore_http_request *request)
{
    static const char last[] = "0\r\n\r\n";
    gcore__http_conn *conn = request->conn;
    struct iovec piece = piece_of(last, sizeof last - 1);
    int error = sendable(request);

    if (error < 0)
        return error;
    gcore__http_conn_enter(conn);
    if (request->mode == GCORE__HTTP_LENGTH_KNOWN && request->to_send)
        leave_out(request);
    if (request->mode == GCORE__HTTP_CHUNKS)
        error = gcore__http_send(conn, &piece, 1);
    else
        error = gcore__http_flush(conn);
    if (error == 0)
        finish(request);
    gcore__http_conn_leave(conn);
    return error;
}

int gcore_http_cut(gcore_http_request *request)
{
    gcore__http_conn *conn = request->conn;
    int error = sendable(request);

    if (error < 0)
        return error;
    gcore__http_conn_enter(conn);
    leave_out(request);
    error = gcore__http_flush(conn);
    if (error == 0)
        finish(request);
    gcore__http_conn_leave(conn);
    return error;
}

/* The library's own answers */

static int status_of(const gcore_http_server *server,
                     gcore__http_refusal refusal)
{
    if ((server->options.flags & GCORE_HTTP_PLAIN_STATUS) &&
        (refusal == GCORE__HTTP_VERSION_OTHER ||
         refusal == GCORE__HTTP_CODING_OTHER ||
         refusal == GCORE__HTTP_FIELDS_MANY))
        return 400;
    return gcore__http_refusal_status(refusal);
}

void gcore__http_abandoned(gcore_http_request *request)
{
    static const char type[] = "Content-Type: text/plain\r\n";
    static const char text[] = "Internal Server Error\n";
    gcore__http_conn *conn = request->conn;

    if (request->begun) {
        gcore__http_conn_reset(conn, -ECANCELED);
        return;
    }
    request->keep = false;
    gcore_http_respond(request, 500, NULL, type, sizeof type - 1, text,
                       sizeof text - 1);
}

/* What was refused, to be logged; NULL if nobody asks or there is no memory
 * for it. */
static gcore_http_request *report(gcore__http_conn *conn,
                                  gcore__http_refusal refusal,
                                  const char *bytes, size_t size)
{
    gcore_http_server *server = conn->server;
    gcore_http_request *request;

    if (!(server->options.flags & GCORE_HTTP_REPORT))
        return NULL;
    request = gcore__http_request_new(conn, 0, bytes, size);
    if (!request)
        return NULL;
    request->head.status = status_of(server, refusal);
    request->head.reason = gcore__http_refusal_text(refusal);
    request->error = -EALREADY;
    request->body_over = true;
    return request;
}

void gcore__http_refuse(gcore__http_conn *conn, gcore__http_refusal refusal,
                        const char *bytes, size_t size)
{
    gcore_http_server *server = conn->server;
    gcore_http_request *request = report(conn, refusal, bytes, size);
    int status = status_of(server, refusal);
    const char *text = gcore__http_refusal_text(refusal);
    const char *date;
    struct iovec piece;
    char answer[512];
    size_t date_size;

    gcore_http_server_ref(server); /* a transport may drop the last one */
    date = gcore__http_date(server, &date_size);
    piece = piece_of(answer, (size_t)snprintf(
        answer, sizeof answer,
        "HTTP/1.1 %d %s\r\nDate: %.*s\r\nConnection: close\r\n"
        "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
        status, gcore_http_reason(status), (int)date_size, date,
        strlen(text) + 1, text));
    server->stats.refused++;
    if (gcore__http_send(conn, &piece, 1) == 0)
        gcore__http_conn_end(conn, true);
    if (request && server->closed)
        gcore_http_request_unref(request);
    else if (request)
        gcore__http_hand_over(server, request);
    gcore_http_server_unref(server);
}
