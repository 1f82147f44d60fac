/* Streams whose bytes go in and out by functions of the application's. */
#include "http.h"
#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A layer that turns each byte around, holds what it reads in records, and
 * sends a little at a time. */

#define KEY 0x5a
#define HELD 256

typedef struct layer {
    int fd;
    char held[HELD];
    size_t start, end;
    size_t most;    /* bytes a send takes */
    bool rude;      /* every other send asks to wait */
    unsigned sends;
    int busy;       /* the number of the send that asks to wait; 0: none */
    char *again;    /* what must come first then */
    size_t first;
    const char *owed; /* what it must send before it receives */
    size_t owing;     /* bytes of it */
    int receives;
    const char *endless; /* what each receive gets */
    int shut;
    int released;
    gcore_http_server *victim; /* closed, or let go, in ... */
    int in;                    /* ... so many more receives or sends */
    bool lets_go;
} layer;

static void turn_round(char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(bytes[i] ^ KEY);
}

static void strike(layer *it)
{
    if (!it->victim || --it->in)
        return;
    if (it->lets_go)
        gcore_http_server_unref(it->victim);
    else
        gcore_http_server_close(it->victim);
}

static int pay(layer *it)
{
    while (it->owing) {
        ssize_t sent = send(it->fd, it->owed, it->owing, MSG_NOSIGNAL);

        if (sent < 0)
            return -1;
        it->owed += sent;
        it->owing -= (size_t)sent;
    }
    return 0;
}

static int64_t layer_receive(void *arg, void *buffer, size_t room)
{
    layer *it = arg;
    size_t length;

    strike(it);
    it->receives++;
    if (it->endless) {
        length = strnlen(it->endless, room);
        assert_true(it->receives < 1000);
        memcpy(buffer, it->endless, length);
        return (int64_t)length;
    }
    if (pay(it) < 0)
        return -EINPROGRESS;
    if (it->start == it->end) {
        ssize_t got = recv(it->fd, it->held, sizeof it->held, 0);

        if (got <= 0)
            return got < 0 ? -errno : 0;
        turn_round(it->held, (size_t)got);
        it->start = 0;
        it->end = (size_t)got;
    }
    length = it->end - it->start;
    if (length > room)
        length = room;
    memcpy(buffer, it->held + it->start, length);
    it->start += length;
    return (int64_t)length;
}

static int64_t layer_send(void *arg, const void *data, size_t length)
{
    layer *it = arg;
    char bytes[16384];
    ssize_t sent;

    assert_true(length >= 1 && length <= sizeof bytes);
    strike(it);
    if (it->again) {
        assert_true(length >= it->first);
        assert_memory_equal(data, it->again, it->first);
        free(it->again);
        it->again = NULL;
    }
    if (it->busy && --it->busy == 0) {
        it->again = malloc(length);
        it->first = length;
        memcpy(it->again, data, length);
        return -EAGAIN;
    }
    if (it->rude && it->sends++ % 2)
        return -EAGAIN;
    if (length > it->most)
        length = it->most;
    memcpy(bytes, data, length);
    turn_round(bytes, length);
    sent = send(it->fd, bytes, length, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

static int layer_pending(void *arg)
{
    layer *it = arg;

    return it->start < it->end || it->endless;
}

static void layer_shut(void *arg)
{
    ((layer *)arg)->shut++;
}

static void layer_release(void *arg)
{
    ((layer *)arg)->released++;
}

static const gcore_transport transport = {
    .size = sizeof transport,
    .receive = layer_receive,
    .send = layer_send,
    .pending = layer_pending,
    .shut = layer_shut,
    .release = layer_release,
};

static gcore_stream *layered(gcore_hub *hub, layer *it, int *other)
{
    gcore_stream *stream = stream_and_slow_peer(hub, other);

    *it = (layer){.fd = gcore_stream_fd(stream), .most = 1000};
    assert_null(gcore_stream_transport_arg(stream));
    assert_ok(gcore_stream_set_transport(stream, &transport, it));
    assert_ptr_equal(gcore_stream_transport_arg(stream), it);
    return stream;
}

static char *turned(size_t length)
{
    char *bytes = pattern(length);

    turn_round(bytes, length);
    return bytes;
}

/* Streams */

static void both_ways_on(gcore_hub *hub)
{
    enum { SIZE = 300000 };
    layer it;
    heard got = {0};
    int other;
    gcore_stream *stream = layered(hub, &it, &other);
    char *plain = pattern(SIZE), *crypt = turned(SIZE);
    gcore_piece pieces[] = {{plain, 0}, {plain, 10}, {plain + 10, SIZE - 10}};

    it.rude = true;
    assert_ok(gcore_stream_start(stream, hear, &got));
    assert_true(gcore_stream_write(stream, pieces, 3) > 0);
    fd_expect(hub, other, crypt, SIZE);
    fd_send(hub, other, crypt, SIZE);
    UNTIL(hub, got.length == SIZE);
    assert_memory_equal(got.bytes, plain, SIZE);
    assert_ok(gcore_stream_shutdown(stream));
    assert_int_equal(fd_end(hub, other), 0);
    assert_int_equal(it.shut, 1);
    close(other);
    UNTIL(hub, got.ends);
    gcore_stream_unref(stream);
    net_settle(hub);
    assert_int_equal(it.shut, 1);
    assert_int_equal(it.released, 1);
    heard_free(&got);
    free(plain);
    free(crypt);
}
ON_EACH_BACKEND(both_ways)

enum { DEBT = 300000 }; /* more than the kernel takes */

/* Nobody is asked again before the socket takes more. */
static void assert_patient(gcore_hub *hub, layer *it)
{
    int receives;

    net_settle(hub);
    receives = it->receives;
    net_settle(hub);
    assert_true(it->owing > 0);
    assert_int_equal(it->receives, receives);
}

/* What has come is received once the layer has sent what it owes. */
static void sends_first_on(gcore_hub *hub)
{
    layer it;
    heard got = {0};
    told read = {0};
    char room[16];
    int other;
    gcore_stream *stream = layered(hub, &it, &other);
    char *debt = pattern(DEBT), *crypt = turned(8);

    fd_send(hub, other, crypt, 4);
    it.owed = debt;
    it.owing = DEBT;
    assert_ok(gcore_stream_read(stream, room, sizeof room, GCORE_FOREVER, tell,
                                &read));
    assert_patient(hub, &it);
    assert_int_equal(read.count, 0);
    fd_expect(hub, other, debt, DEBT);
    UNTIL(hub, read.count);
    assert_int_equal(read.result, 4);
    fd_send(hub, other, crypt, 4);
    it.owed = debt;
    it.owing = DEBT;
    assert_ok(gcore_stream_start(stream, hear, &got));
    assert_patient(hub, &it);
    fd_expect(hub, other, debt, DEBT);
    UNTIL(hub, got.length == 4);
    it.receives = 0;
    net_settle(hub); /* nor is it asked for nothing after that */
    assert_int_equal(it.receives, 0);
    fd_send(hub, other, crypt, 4);
    UNTIL(hub, got.length == 8);
    gcore_stream_unref(stream);
    close(other);
    UNTIL(hub, got.ends);
    assert_int_equal(got.end, 0);
    net_settle(hub);
    assert_int_equal(it.released, 1);
    heard_free(&got);
    free(debt);
    free(crypt);
}
ON_EACH_BACKEND(sends_first)

static void one_turn(gcore_hub *hub)
{
    gcore_completion out;

    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
}

/* A layer that always has more leaves others their turns, and the stream its
 * deadlines. */
static void endless_on(gcore_hub *hub)
{
    layer it;
    heard got = {0};
    int other;
    gcore_stream *stream = layered(hub, &it, &other);

    it.endless = "x";
    assert_ok(gcore_stream_start(stream, hear, &got));
    for (int turn = 0; turn < 10; turn++)
        one_turn(hub);
    assert_in_range(it.receives, 5, 20);
    gcore_stream_finish(stream, gcore_hub_now(hub) + 1);
    for (int turn = 0; turn < 10; turn++)
        one_turn(hub);
    assert_true(gcore_stream_closed(stream));
    gcore_stream_unref(stream);
    close(other);
    heard_free(&got);
}
ON_EACH_BACKEND(endless)

static void a_file_on(gcore_hub *hub)
{
    enum { SIZE = 100000 };
    layer it;
    int other, file = memfd_create("file", MFD_CLOEXEC);
    gcore_stream *stream = layered(hub, &it, &other);
    char *plain = pattern(SIZE), *crypt = turned(SIZE);

    assert_int_equal(write(file, plain, SIZE), SIZE);
    assert_true(gcore_stream_sendfile(stream, file, 0, SIZE) >= 0);
    fd_expect(hub, other, crypt, SIZE);
    gcore_stream_close(stream);
    assert_int_equal(fd_end(hub, other), 0);
    gcore_stream_unref(stream);
    assert_int_equal(it.shut, 1);
    close(other);
    close(file);
    free(plain);
    free(crypt);
}
ON_EACH_BACKEND(a_file)

/* What the layer was to send again cannot be queued: nothing else may take
 * its place. */
static void a_file_without_memory_on(gcore_hub *hub)
{
    layer it;
    int other, file = memfd_create("file", MFD_CLOEXEC);
    gcore_stream *stream = layered(hub, &it, &other);

    assert_int_equal(write(file, "file", 4), 4);
    it.busy = 1;
    support_fail_allocation(1);
    assert_int_equal(gcore_stream_sendfile(stream, file, 0, 4), -ENOMEM);
    support_fail_allocation(0);
    assert_int_equal(WRITE_TEXT(stream, "text"), -ENOMEM);
    gcore_stream_unref(stream);
    free(it.again);
    close(other);
    close(file);
}
ON_EACH_BACKEND(a_file_without_memory)

/* Where a part would pass for the whole, nothing is told. */
static void no_end_on(gcore_hub *hub)
{
    static char large[2 << 20];
    layer it;
    int other;
    gcore_stream *stream = layered(hub, &it, &other);

    it.most = sizeof large;
    assert_true(write_bytes(stream, large, sizeof large) > 0);
    gcore_stream_close(stream);
    gcore_stream_unref(stream);
    assert_int_equal(it.shut, 0);
    assert_int_equal(it.released, 1);
    close(other);
    stream = layered(hub, &it, &other);
    gcore_stream_reset(stream);
    gcore_stream_unref(stream);
    assert_int_equal(it.shut, 0);
    close(other);
}
ON_EACH_BACKEND(no_end)

static void detached_on(gcore_hub *hub)
{
    layer it;
    char back[8];
    int fd, other;
    gcore_stream *stream = layered(hub, &it, &other);

    assert_ok(gcore_stream_unread(stream, "back", 4));
    assert_int_equal(gcore_stream_detach(stream, &fd, back, sizeof back), 4);
    assert_memory_equal(back, "back", 4);
    gcore_stream_unref(stream);
    assert_int_equal(it.shut, 0);
    assert_int_equal(it.released, 1);
    assert_int_equal(fd, it.fd);
    close(fd);
    close(other);
}
ON_EACH_BACKEND(detached)

static void refused(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_transport wrong = transport;
    layer it;
    heard got = {0};
    int other;
    gcore_stream *stream = stream_and_peer(hub, &other);

    (void)state;
    assert_error(gcore_stream_set_transport(stream, NULL, &it), -EINVAL);
    wrong.size = sizeof(size_t);
    assert_error(gcore_stream_set_transport(stream, &wrong, &it), -EINVAL);
    wrong = transport;
    wrong.send = NULL;
    assert_error(gcore_stream_set_transport(stream, &wrong, &it), -EINVAL);
    assert_ok(gcore_stream_start(stream, hear, &got));
    assert_error(gcore_stream_set_transport(stream, &transport, &it),
                 -EALREADY);
    gcore_stream_stop(stream);
    assert_ok(gcore_stream_unread(stream, "x", 1));
    assert_error(gcore_stream_set_transport(stream, &transport, &it),
                 -EAGAIN);
    gcore_stream_close(stream);
    assert_error(gcore_stream_set_transport(stream, &transport, &it),
                 -ESHUTDOWN);
    gcore_stream_unref(stream);
    close(other);
    stream = layered(hub, &it, &other);
    assert_error(gcore_stream_set_transport(stream, &transport, &it),
                 -EALREADY);
    gcore_stream_unref(stream);
    close(other);
    heard_free(&got);
    hub_end(hub);
}

static void without_memory(void **state)
{
    bool failed = true;

    (void)state;
    for (int k = 1; failed; k++) {
        gcore_hub *hub = hub_new();
        layer it = {.most = 1000};
        int other, error;
        gcore_stream *stream = stream_and_peer(hub, &other);

        support_fail_allocation(k);
        error = gcore_stream_set_transport(stream, &transport, &it);
        support_fail_allocation(0);
        failed = support_allocation_failed();
        assert_int_equal(error, failed ? -ENOMEM : 0);
        gcore_stream_unref(stream);
        assert_int_equal(it.released, !failed);
        close(other);
        hub_end(hub);
        assert_true(k < 10);
    }
}

/* The HTTP server on them */

typedef struct line {
    echo_server server;
    layer layer;
    int client;
} line;

static void line_open(line *it, void open(echo_server *,
                                          const gcore_http_options *))
{
    gcore_stream *stream;

    open(&it->server, NULL);
    stream = layered(it->server.hub, &it->layer, &it->client);
    assert_ok(gcore_http_server_adopt_stream(it->server.server, stream));
}

static void line_say(line *it, const char *text)
{
    size_t length = strlen(text);
    char *bytes = malloc(length);

    memcpy(bytes, text, length);
    turn_round(bytes, length);
    fd_send(it->server.hub, it->client, bytes, length);
    free(bytes);
}

/* Until what came ends with that text. */
static void line_await(line *it, const char *text)
{
    size_t length = strlen(text), size = 0;
    char got[4096];

    do {
        ssize_t more = recv(it->client, got + size, sizeof got - size, 0);

        if (more > 0) {
            turn_round(got + size, (size_t)more);
            size += (size_t)more;
        }
        net_turn(it->server.hub);
        assert_true(size < sizeof got);
    } while (size < length || memcmp(got + size - length, text, length) != 0);
}

static gcore_http_request *line_take(line *it)
{
    gcore_http_request *request = NULL;

    UNTIL(it->server.hub,
          gcore_http_server_take(it->server.server, &request, 1) == 1);
    return request;
}

static void line_close(line *it)
{
    close(it->client);
    echo_close(&it->server);
    assert_int_equal(it->layer.released, 1);
}

static void requests(void **state)
{
    line it;

    (void)state;
    line_open(&it, echo_open);
    line_say(&it, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                  "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
                  "0123456789012345678901234567890123456789"
                  "012345678901234567890123456789012345678901234567890123456789"
                  "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    line_await(&it, "GET /3 ");
    assert_int_equal(it.server.handled, 3);
    line_close(&it);
}

/* A head and a body, before each of which the layer sends something. */
static void sends_first_for_requests(void **state)
{
    char *debt = pattern(DEBT);
    line it;

    (void)state;
    line_open(&it, echo_open);
    net_settle(it.server.hub);
    for (int request = 0; request < 2; request++) {
        it.layer.owed = debt;
        it.layer.owing = DEBT;
        line_say(&it, "POST / HTTP/1.1\r\nHost: a\r\n"
                      "Content-Length: 2\r\n\r\n");
        assert_patient(it.server.hub, &it.layer);
        assert_int_equal(it.server.handled, request);
        fd_expect(it.server.hub, it.client, debt, DEBT);
        UNTIL(it.server.hub, it.server.handled == request + 1);
        it.layer.owed = debt;
        it.layer.owing = DEBT;
        line_say(&it, "xy");
        assert_patient(it.server.hub, &it.layer);
        fd_expect(it.server.hub, it.client, debt, DEBT);
        line_await(&it, "POST / xy");
    }
    line_close(&it);
    free(debt);
}

/* Requests, a body that nobody reads, and what comes behind the last answer,
 * without an end. */
static void endless_input(void **state)
{
    static const char *const endless[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\n\r\n",
        "?\r\n",
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        gcore_http_request *request;
        line it;

        line_open(&it, taking_open);
        it.layer.endless = endless[i];
        for (int turn = 0; turn < 10; turn++) {
            one_turn(it.server.hub);
            while (gcore_http_server_take(it.server.server, &request, 1)) {
                gcore_http_respond(request, 200, NULL, NULL, 0, NULL, 0);
                gcore_http_request_unref(request);
            }
        }
        assert_in_range(it.layer.receives, 5, 200);
        gcore_http_server_close(it.server.server);
        line_close(&it);
    }
}

/* The server is closed within whatever is called. */
static void closed_within(void **state)
{
    bool struck = true;

    (void)state;
    for (int k = 1; struck; k++) {
        line it;

        line_open(&it, echo_open);
        it.layer.victim = it.server.server;
        it.layer.in = k;
        line_say(&it, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                      "POST /2 HTTP/1.1\r\nHost: a\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
                      "0\r\n\r\nGET bad\r\n\r\n");
        shutdown(it.client, SHUT_WR);
        UNTIL(it.server.hub, it.layer.released);
        struck = it.layer.in <= 0;
        line_close(&it);
        assert_true(k < 30);
    }
}

static void forget_request(void *arg, gcore_http_request *request)
{
    (void)arg;
    gcore_http_request_unref(request);
}

/* Its last owner lets go of it within whatever is called for a request that
 * is refused, and reported. */
static void let_go_within(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .flags = GCORE_HTTP_REPORT};
    bool struck = true;

    (void)state;
    for (int k = 1; struck; k++) {
        line it;
        gcore_stream *stream;

        taking_open(&it.server, &options);
        assert_ok(gcore_http_server_start(it.server.server, forget_request,
                                          NULL));
        stream = layered(it.server.hub, &it.layer, &it.client);
        assert_ok(gcore_http_server_adopt_stream(it.server.server, stream));
        it.layer.victim = it.server.server;
        it.layer.in = k;
        it.layer.lets_go = true;
        line_say(&it, "GET bad\r\n\r\n");
        shutdown(it.client, SHUT_WR);
        UNTIL(it.server.hub, it.layer.released);
        struck = it.layer.in <= 0;
        if (struck)
            it.server.server = NULL;
        line_close(&it);
        assert_true(k < 30);
    }
}

enum { BODY = 50000 };

static void body_sent(void *arg, int64_t result)
{
    gcore_http_request *request = arg;

    assert_int_equal(result, 0);
    assert_ok(gcore_http_finish(request));
    gcore_http_request_unref(request);
}

static void answer_by_data(line *it, const char *body)
{
    gcore_http_request *request = line_take(it);

    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    if (gcore_http_send_data(request, body, BODY, body_sent, request) == 1)
        body_sent(request, 0);
}

/* A layer that asks to wait gets the same bytes again, whichever send it is:
 * a head and the data behind it may be one record. */
static void the_same_bytes_again(void **state)
{
    char *body = pattern(BODY), last[] = "0\r\n\r\n";
    bool waited = true;

    (void)state;
    turn_round(last, 5);
    for (int k = 1; waited; k++) {
        char got[2 * BODY];
        size_t size = 0;
        line it;

        line_open(&it, taking_open);
        it.layer.most = 16384;
        it.layer.busy = k;
        line_say(&it, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        answer_by_data(&it, body);
        while (size < BODY || memcmp(got + size - 5, last, 5) != 0) {
            ssize_t more = recv(it.client, got + size, sizeof got - size, 0);

            size += more > 0 ? (size_t)more : 0;
            net_turn(it.server.hub);
            assert_true(it.layer.released == 0);
        }
        waited = it.layer.busy == 0;
        line_close(&it);
        assert_true(k < 1000);
    }
    free(body);
}

static void upgrade(void **state)
{
    line it;
    gcore_http_request *request;
    gcore_stream *stream, *none;
    const void *bytes;
    char back[16];
    heard got = {0};
    size_t size;

    (void)state;
    line_open(&it, taking_open);
    line_say(&it, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                  "Upgrade: other\r\n\r\nmore");
    request = line_take(&it);
    assert_error(gcore_http_take_over(request, &bytes, &size), -ENOTSUP);
    assert_error(gcore_http_take_over_stream(request, NULL), -EINVAL);
    assert_ok(gcore_http_respond(request, 101, NULL, NULL, 0, NULL, 0));
    assert_ok(gcore_http_take_over_stream(request, &stream));
    assert_error(gcore_http_take_over_stream(request, &none), -ECANCELED);
    gcore_http_request_unref(request);
    assert_ptr_equal(gcore_stream_transport_arg(stream), &it.layer);
    line_await(&it, "\r\n\r\n");
    assert_ok(gcore_stream_start(stream, hear, &got));
    line_say(&it, " and more");
    UNTIL(it.server.hub, got.length == 13);
    assert_memory_equal(got.bytes, "more and more", 13);
    WRITE_TEXT(stream, "answer");
    line_await(&it, "answer");
    gcore_stream_stop(stream);
    assert_int_equal(gcore_stream_detach(stream, &it.layer.fd, back, 16), 0);
    gcore_stream_unref(stream);
    close(it.layer.fd);
    heard_free(&got);
    line_close(&it);
}

static void plain_upgrade(void **state)
{
    echo_server server;
    peer client;
    gcore_http_request *request;
    gcore_stream *stream;

    (void)state;
    taking_open(&server, NULL);
    peer_open(&client, &server);
    peer_say(&client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    request = take(&server, &client);
    assert_error(gcore_http_take_over_stream(request, &stream), -ENOTSUP);
    gcore_http_abort(request);
    assert_error(gcore_http_take_over_stream(request, &stream), -ECANCELED);
    gcore_http_request_unref(request);
    peer_close(&client);
    echo_close(&server);
}

/* The k-th allocation fails: nothing has happened, and it may be tried
 * again. */
static void upgrade_without_memory(void **state)
{
    bool failed = true;

    (void)state;
    for (int k = 1; failed; k++) {
        line it;
        gcore_http_request *request;
        gcore_stream *stream = NULL;
        int error;

        line_open(&it, taking_open);
        line_say(&it, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                      "Upgrade: other\r\n\r\nmore");
        request = line_take(&it);
        support_fail_allocation(k);
        error = gcore_http_take_over_stream(request, &stream);
        support_fail_allocation(0);
        failed = support_allocation_failed();
        assert_int_equal(error, failed ? -ENOMEM : 0);
        if (failed)
            assert_ok(gcore_http_take_over_stream(request, &stream));
        assert_int_equal(gcore_stream_unread_length(stream), 4);
        gcore_http_request_unref(request);
        gcore_stream_unref(stream);
        line_close(&it);
        assert_true(k < 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_ways), TEST(sends_first), TEST(sends_first_for_requests),
        TEST(endless), TEST(endless_input),
        TEST(a_file), TEST(a_file_without_memory), TEST(no_end), TEST(detached),
        TEST(refused), TEST(without_memory),
        TEST(requests), TEST(closed_within), TEST(let_go_within),
        TEST(the_same_bytes_again),
        TEST(upgrade), TEST(plain_upgrade),
        TEST(upgrade_without_memory),
    };

    return RUN(tests);
}
