/* The server: requests as completions, connections, limits, time limits,
 * taking over, draining, the end. */
#include "http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"

static peer one, two;

static void respond(gcore_http_request *request)
{
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, "x", 1));
    gcore_http_request_unref(request);
}

/* Requests as completions */

static void completions(void **state)
{
    echo_server it;
    gcore_completion out[4];
    gcore_http_request *requests[4];
    int token;

    (void)state;
    taking_open(&it, NULL);
    assert_ok(gcore_http_server_watch(it.server, GCORE_COMPLETE, &token));
    assert_error(gcore_http_server_watch(it.server, GCORE_COMPLETE, &token),
                 -EALREADY);
    assert_error(gcore_http_server_start(it.server, echo_handle, &it),
                 -EALREADY);
    peer_open(&one, &it);
    peer_open(&two, &it);
    peer_say(&one, GET);
    peer_say(&two, GET);
    assert_int_equal(hub_poll_again(it.hub, out, 4, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, &token);
    assert_int_equal(out[0].result, 2);
    assert_int_equal(stats_of(&it).waiting, 2);
    assert_int_equal(stats_of(&it).active, 2);
    /* One is left, and told of again. */
    assert_int_equal(gcore_http_server_take(it.server, requests, 1), 1);
    assert_int_equal(hub_poll_again(it.hub, out, 4, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, 1);
    assert_int_equal(gcore_http_server_take(it.server, requests + 1, 3), 1);
    assert_int_equal(gcore_http_server_take(it.server, requests, 0), -EINVAL);
    assert_int_equal(gcore_hub_poll(it.hub, out, 4, GCORE_NOW), 0);
    respond(requests[0]);
    respond(requests[1]);
    assert_int_equal(stats_of(&it).active, 0);
    assert_int_equal(stats_of(&it).idle, 2);
    /* The end is told, last. */
    assert_ok(gcore_http_server_close(it.server));
    assert_int_equal(hub_poll_again(it.hub, out, 4, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, -ECANCELED);
    peer_close(&one);
    peer_close(&two);
    echo_close(&it);
}

static void the_head(void **state)
{
    static const char text[] = "PUT /a?b HTTP/1.1\r\nHost: h\r\n"
                               "X-Folded: one\r\n  two \r\n"
                               "Content-Length: 7\r\nx-folded:\r\n\r\n";
    gcore_http_options options = {.size = sizeof options,
                                  .flags = GCORE_HTTP_ALLOW_FOLDED};
    const gcore_http_head *head;
    gcore_http_request *request;
    const char *value;
    echo_server it;
    size_t size;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, text);
    request = take(&it, &one);
    head = gcore_http_request_head(request);
    assert_int_equal(head->size, sizeof *head);
    assert_int_equal(head->block_size, sizeof text - 1);
    assert_int_equal(head->block[head->block_size], 0);
    assert_int_equal(head->field_count, 4);
    assert_int_equal(head->method_size, 3);
    assert_int_equal(head->target_size, 4);
    assert_memory_equal(head->block + head->target, "/a?b", 4);
    assert_int_equal(head->minor, 1);
    assert_int_equal(head->flags, GCORE_HTTP_FOLDED);
    assert_int_equal(head->status, 0);
    assert_null(head->reason);
    assert_int_equal(head->content_length, 7);
    assert_int_equal(head->connection, 1);
    assert_int_equal(head->number, 1);
    assert_string_equal(head->peer, "");
    value = gcore_http_request_field(request, "x-FOLDED", &size);
    assert_int_equal(size, 10);
    assert_memory_equal(value, "one    two", 10);
    assert_non_null(gcore_http_request_field(request, "Host", NULL));
    assert_null(gcore_http_request_field(request, "Hos", NULL));
    assert_true(gcore_http_request_fd(request) >= 0);
    gcore_http_abort(request);
    assert_error(gcore_http_request_fd(request), -ECANCELED);
    /* It is still there. */
    assert_string_equal(gcore_http_reason(404), "Not Found");
    assert_memory_equal(head->block, "PUT", 3);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

/* Pipelined requests come one by one, in order, however they are answered. */
static void pipelined(void **state)
{
    gcore_http_options options = {.size = sizeof options, .turn = 2};
    char text[4096] = "", expected[8192] = "";
    gcore_http_request *requests[2];
    echo_server it;

    (void)state;
    for (int i = 0; i < 20; i++)
        snprintf(text + strlen(text), 100,
                 "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, text);
    for (int i = 0; i < 20; i++) {
        settle(&it, &one);
        assert_int_equal(gcore_http_server_take(it.server, requests, 2), 1);
        assert_int_equal(gcore_http_request_head(requests[0])->number, i + 1);
        respond(requests[0]);
    }
    settle(&it, &one);
    assert_int_equal(stats_of(&it).requests, 20);
    peer_close(&one);
    echo_close(&it);

    echo_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, text);
    settle(&it, &one);
    for (int i = 0; i < 20; i++)
        snprintf(expected + strlen(expected), 100, "200 GET /%d |", i);
    assert_string_equal(answers(&one), expected);
    peer_close(&one);
    echo_close(&it);
}

/* Limits */

static void limits(void **state)
{
    gcore_http_options options = {
        .size = sizeof options,
        .line_limit = 30,
        .field_limit = 3,
        .head_limit = 100,
        .field_bytes = 60,
        .extension_limit = 40,
        .trailer_limit = 50,
        .body_limit = 20,
        .requests = 2,
    };
    static const struct {
        const char *request;
        const char *answer;
    } cases[] = {
        {"GET /45678901234567890 HTTP/1.1\r\nHost: a\r\n\r\n", "414|closed"},
        {"GET /4567890123456789 HTTP/1.1\r\nHost: a\r\n\r\n",
         "200 GET /4567890123456789 |"},
        {"GET /456789012345678901234567890", "414|closed"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", "200 GET / |"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n",
         "431|closed"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 4567890123456789012345678901234567"
         "89012345678901234567890123456789012345678901234567890123456789",
         "431|closed"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 45678901234567890123456789012345"
         "6789012345678901234567890\r\n\r\n", "200 GET / |"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 45678901234567890123456789012345"
         "67890123456789012345678901\r\n\r\n", "431|closed"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 45678901234567890123456789012345"
         "678901234567890123456789012", "431|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n",
         "413|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"
         "01234567890123456789",
         "200 POST / 01234567890123456789|"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
         "200 POST / 01234567890123456789|"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "a\r\n0123456789\r\nb\r\n01234567891\r\n0\r\n\r\n",
         "400 EMSGSIZE|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1;a=34567890123456789012345678901234567890\r\n0\r\n0\r\n\r\n",
         "200 POST / 0|"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1;a=3456789012345678901234567890123456789012345678901234567890"
         "12345678901234567890\r\n",
         "400 EBADMSG|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0000000000000000000000000000000000000000000000000000000000000001",
         "400 EBADMSG|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\nA: 45678901234567890123456789012345678901234567890\r\n\r\n",
         "400 EBADMSG|closed"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\nA: b\r\nC: d\r\nE: f\r\nG: h\r\n\r\n",
         "400 EBADMSG|closed"},
        {GET GET GET, "200 GET / |200 GET / |closed"},
    };
    echo_server it;

    (void)state;
    echo_open(&it, &options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peer_open(&one, &it);
        peer_say(&one, cases[i].request);
        settle(&it, &one);
        assert_string_equal(answers(&one), cases[i].answer);
        peer_close(&one);
        settle(&it, &one);
    }
    echo_close(&it);
}

/* Everything that is refused for its form gets the same status. */
static void plain_statuses(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/2.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n"
        "\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    };
    static const int usual[] = {505, 501, 431, 400};
    gcore_http_options options = {.size = sizeof options, .field_limit = 2};
    echo_server it;
    char text[20];

    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        options.flags = plain ? GCORE_HTTP_PLAIN_STATUS : 0;
        echo_open(&it, &options);
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            peer_open(&one, &it);
            peer_say(&one, requests[i]);
            settle(&it, &one);
            snprintf(text, sizeof text, "%d|closed", plain ? 400 : usual[i]);
            assert_string_equal(answers(&one), text);
            peer_close(&one);
        }
        echo_close(&it);
    }
}

static void bad_options(void **state)
{
    gcore_http_options options = {.size = sizeof options, .flags = 1u << 30};
    gcore_http_server *server = NULL;
    gcore_hub *hub = hub_new();

    (void)state;
    assert_error(gcore_http_server_new(hub, &options, &server), -EINVAL);
    options.flags = 0;
    options.body_limit = -1;
    assert_error(gcore_http_server_new(hub, &options, &server), -EINVAL);
    options.body_limit = 0;
    options.size = 3;
    assert_error(gcore_http_server_new(hub, &options, &server), -EINVAL);
    assert_null(server);
    hub_end(hub);
}

/* Time limits */

static void turn_until_closed(echo_server *it, peer *from)
{
    int64_t deadline = after(PATIENCE);
    gcore_completion out;

    settle(it, from);
    while (!from->closed) {
        assert_true(gcore_clock() < deadline);
        hub_poll_again(it->hub, &out, 1, after(MS));
        settle(it, from);
    }
}

/* A peer that says that and no more gets these answers. */
static void outwait(echo_server *it, const char *text, const char *wanted)
{
    peer_open(&one, it);
    peer_say(&one, text);
    turn_until_closed(it, &one);
    assert_string_equal(answers(&one), wanted);
    peer_close(&one);
}

static void slow_peers(void **state)
{
    gcore_http_options options = {
        .size = sizeof options,
        .head_timeout = 20 * MS,
        .idle_timeout = 20 * MS,
        .body_grace = 20 * MS,
        .body_rate = 1000000,
    };
    echo_server it;

    (void)state;
    echo_open(&it, &options);
    outwait(&it, "", "closed");
    outwait(&it, "GET / HTTP/1.1\r\nHost:", "408|closed");
    outwait(&it, GET, "200 GET / |closed");
    outwait(&it, GET "GET", "200 GET / |408|closed");
    outwait(&it, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            "400 ETIMEDOUT|closed");
    assert_int_equal(stats_of(&it).timeouts, 5);
    echo_close(&it);
}

/* A header and the head after it have a time each. */
static void slow_proxies(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .flags = GCORE_HTTP_PROXY,
                                  .head_timeout = 3600 * SECOND,
                                  .proxy_timeout = 20 * MS};
    echo_server it;

    (void)state;
    echo_open(&it, &options);
    outwait(&it, "", "closed");
    outwait(&it, "PROXY TCP4 1.2.3.4", "408|closed");
    echo_close(&it);

    options.head_timeout = 20 * MS;
    options.proxy_timeout = 3600 * SECOND;
    echo_open(&it, &options);
    outwait(&it, "PROXY UNKNOWN\r\nGET", "408|closed");
    echo_close(&it);
}

/* An application's own patience with a body. */
static void waiting_for_a_body(void **state)
{
    echo_server it;
    told told_of = {0};
    gcore_http_request *request;
    gcore_completion out;
    char buffer[4];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    request = take(&it, &one);
    assert_int_equal(gcore_http_read(request, buffer, 0), -EINVAL);
    assert_int_equal(gcore_http_read(request, buffer, 4), -EAGAIN);
    assert_error(gcore_http_wait_body(request, GCORE_FOREVER, NULL, NULL),
                 -EINVAL);
    assert_ok(gcore_http_wait_body(request, after(MS), tell, &told_of));
    assert_error(gcore_http_wait_body(request, after(MS), tell, &told_of),
                 -EALREADY);
    while (told_of.count == 0)
        hub_poll_again(it.hub, &out, 1, after(MS));
    assert_int_equal(told_of.result, -ETIMEDOUT);
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    gcore_http_cancel_body(request);
    peer_say(&one, "ab");
    settle(&it, &one);
    assert_int_equal(told_of.count, 1);
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    settle(&it, &one);
    assert_int_equal(told_of.count, 2);
    assert_int_equal(told_of.result, 0);
    assert_int_equal(gcore_http_read(request, buffer, 4), 2);
    /* The peer gives up; the wait says so, by a read. */
    assert_int_equal(gcore_http_read(request, buffer, 4), -EAGAIN);
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    peer_close(&one);
    settle(&it, &one);
    assert_int_equal(told_of.count, 3);
    assert_int_equal(gcore_http_read(request, buffer, 4), -ECONNRESET);
    assert_int_equal(gcore_http_read(request, buffer, 4), -ECONNRESET);
    gcore_http_request_unref(request);
    echo_close(&it);
}

/* A peer that takes nothing of an answer is not waited for. */
static void a_peer_that_does_not_read(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .send_timeout = 20 * MS};
    static char much[4 << 20];
    gcore_http_request *request;
    gcore_completion out;
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, much,
                                 sizeof much));
    gcore_http_request_unref(request);
    while (stats_of(&it).connections)
        hub_poll_again(it.hub, &out, 1, after(MS));
    assert_int_equal(stats_of(&it).timeouts, 1);
    peer_close(&one);
    echo_close(&it);
}

/* Pipelined requests whose answers nobody reads wait in the kernel. */
static void answers_that_nobody_reads(void **state)
{
    static char much[100000];
    gcore_http_request *request;
    gcore_completion out;
    echo_server it;
    int answered = 0;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    for (int i = 0; i < 200; i++)
        peer_say(&one, GET);
    for (int i = 0; i < 400; i++) {
        gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
        if (gcore_http_server_take(it.server, &request, 1) == 0)
            continue;
        assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, much,
                                     sizeof much));
        gcore_http_request_unref(request);
        answered++;
    }
    assert_true(answered > 0 && answered < 100);
    for (int quiet = 0; quiet < 3; quiet++) {
        settle(&it, &one);
        one.size = 0;
        while (gcore_http_server_take(it.server, &request, 1) == 1) {
            assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, "x", 1));
            gcore_http_request_unref(request);
            answered++;
            quiet = 0;
            settle(&it, &one);
            one.size = 0;
        }
    }
    assert_int_equal(answered, 200);
    peer_close(&one);
    echo_close(&it);
}

/* Taking over */

static void taken_over(void **state)
{
    static const char upgrade[] =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
        "Upgrade: x\r\n\r\nearly";
    static const char headers[] = "Upgrade: x\r\nConnection: Upgrade\r\n";
    gcore_http_request *request;
    const void *bytes;
    echo_server it;
    size_t size;
    int fd;

    (void)state;
    taking_open(&it, NULL);
    for (int agreed = 0; agreed < 2; agreed++) {
        peer_open(&one, &it);
        peer_say(&one, upgrade);
        request = take(&it, &one);
        assert_true(gcore_http_request_head(request)->flags &
                    GCORE_HTTP_UPGRADE);
        if (agreed) {
            assert_ok(gcore_http_respond(request, 101, NULL, headers,
                                         sizeof headers - 1, NULL, 0));
            expect(&it, &one,
                   "HTTP/1.1 101 Switching Protocols\r\n"
                   "Upgrade: x\r\nConnection: Upgrade\r\n\r\n");
        }
        fd = gcore_http_take_over(request, &bytes, &size);
        assert_true(fd >= 0);
        assert_int_equal(size, 5);
        assert_memory_equal(bytes, "early", 5);
        assert_int_equal(stats_of(&it).connections, 0);
        assert_error(gcore_http_take_over(request, &bytes, &size),
                     -ECANCELED);
        assert_int_equal(write(fd, "raw", 3), 3);
        expect(&it, &one, "raw");
        gcore_http_request_unref(request);
        close(fd);
        peer_close(&one);
    }
    /* Not in the middle of an answer. */
    peer_open(&one, &it);
    peer_say(&one, upgrade);
    request = take(&it, &one);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    assert_error(gcore_http_take_over(request, &bytes, &size), -EALREADY);
    gcore_http_request_unref(request);
    peer_close(&one);
    /* Agreed, and not taken. */
    peer_open(&one, &it);
    peer_say(&one, upgrade);
    request = take(&it, &one);
    assert_ok(gcore_http_respond(request, 101, NULL, headers,
                                 sizeof headers - 1, NULL, 0));
    gcore_http_request_unref(request);
    settle(&it, &one);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

/* Listening */

static int listening(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void dial(peer *it, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(it->fd, (struct sockaddr *)&address,
                             sizeof address), 0);
    fcntl(it->fd, F_SETFL, O_NONBLOCK);
    it->size = 0;
    it->closed = false;
}

/* Turns until the server has so many connections. */
static void turn_until_connections(echo_server *it, uint64_t count)
{
    int64_t deadline = after(PATIENCE);
    gcore_completion out;

    while (stats_of(it).connections != count) {
        assert_true(gcore_clock() < deadline);
        hub_poll_again(it->hub, &out, 1, after(MS));
    }
}

static gcore_http_request *await_request(echo_server *it, peer *from)
{
    int64_t deadline = after(PATIENCE);
    gcore_http_request *request = NULL;
    gcore_completion out;

    (void)from;
    while (gcore_http_server_take(it->server, &request, 1) == 0) {
        assert_true(gcore_clock() < deadline);
        hub_poll_again(it->hub, &out, 1, after(MS));
    }
    return request;
}

static void accepting(void **state)
{
    gcore_http_options options = {.size = sizeof options, .connections = 1};
    gcore_http_request *request;
    echo_server it;
    uint16_t port;
    int fd = listening(&port);

    (void)state;
    taking_open(&it, &options);
    assert_error(gcore_http_server_listen(it.server, -1), -EBADF);
    assert_ok(gcore_http_server_listen(it.server, fd));
    dial(&one, port);
    dial(&two, port);
    assert_error(gcore_http_server_listen(it.server, one.fd), -EINVAL);
    turn_until_connections(&it, 1);
    peer_say(&two, GET);
    /* The second has to wait for the first one's end. */
    settle(&it, &one);
    assert_int_equal(stats_of(&it).accepted, 1);
    peer_say(&one, GET);
    request = await_request(&it, &one);
    assert_string_equal(gcore_http_request_head(request)->peer, "127.0.0.1");
    assert_true(gcore_http_request_head(request)->peer_port > 0);
    respond(request);
    peer_close(&one);
    respond(await_request(&it, &two));
    peer_close(&two);
    turn_until_connections(&it, 0);

    /* Paused, and forgotten. */
    assert_ok(gcore_http_server_pause(it.server));
    dial(&one, port);
    settle(&it, &one);
    assert_int_equal(stats_of(&it).connections, 0);
    assert_ok(gcore_http_server_resume(it.server));
    turn_until_connections(&it, 1);
    assert_ok(gcore_http_server_forget(it.server, fd));
    assert_error(gcore_http_server_forget(it.server, fd), -ENOENT);
    peer_close(&one);
    turn_until_connections(&it, 0);
    dial(&one, port);
    settle(&it, &one);
    assert_int_equal(stats_of(&it).connections, 0);
    peer_close(&one);
    close(fd);
    echo_close(&it);
}

/* Without a descriptor to spare the server rests, and goes on later. */
static void out_of_descriptors(void **state)
{
    struct rlimit before, none;
    gcore_completion out;
    echo_server it;
    uint16_t port;
    int fd;

    (void)state;
    if (support_under_valgrind())
        skip(); /* its own limit closes what the kernel has accepted */
    fd = listening(&port);
    taking_open(&it, NULL);
    assert_ok(gcore_http_server_listen(it.server, fd));
    dial(&one, port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)one.fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 5; i++)
        hub_poll_again(it.hub, &out, 1, after(MS));
    assert_int_equal(stats_of(&it).accepted, 0);
    assert_true(hub_stats(it.hub).turns < 100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    turn_until_connections(&it, 1);
    peer_close(&one);
    close(fd);
    echo_close(&it);
}

/* With none for longer the peers that wait are let go. */
static void out_of_descriptors_for_long(void **state)
{
    struct rlimit before, none;
    gcore_completion out;
    echo_server it;
    uint16_t port;
    int fd;

    (void)state;
    if (support_under_valgrind())
        skip(); /* its own limit closes what the kernel has accepted */
    fd = listening(&port);
    taking_open(&it, NULL);
    assert_ok(gcore_http_server_listen(it.server, fd));
    dial(&one, port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)one.fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (stats_of(&it).dropped == 0)
        hub_poll_again(it.hub, &out, 1, after(SECOND));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(stats_of(&it).accepted, 0);
    settle(&it, &one);
    assert_true(one.closed);
    peer_close(&one);
    assert_ok(gcore_http_server_forget(it.server, fd));
    assert_int_equal(stats_of(&it).dropped, 1);
    assert_ok(gcore_http_server_listen(it.server, fd));
    dial(&one, port);
    turn_until_connections(&it, 1);
    peer_close(&one);
    close(fd);
    echo_close(&it);
}

/* Draining */

static void draining(void **state)
{
    gcore_http_request *request;
    told told_of = {0};
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_open(&two, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &told_of));
    assert_error(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                         &told_of), -EALREADY);
    settle(&it, &two);
    assert_true(two.closed);
    assert_int_equal(told_of.count, 0);
    respond(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                      "Content-Length: 1\r\n\r\nxclosed");
    assert_int_equal(told_of.count, 1);
    assert_int_equal(told_of.result, 0);
    peer_close(&one);
    peer_close(&two);
    echo_close(&it);
}

/* Idle connections may be left some time for a request on its way. */
static void draining_without_haste(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .flags = GCORE_HTTP_NO_DATE,
                                  .drain_idle = 3600 * SECOND};
    gcore_http_request *request;
    gcore_completion out;
    told told_of = {0};
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_open(&two, &it);
    settle(&it, &two);
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &told_of));
    settle(&it, &two);
    assert_false(one.closed);
    peer_say(&one, GET);
    request = take(&it, &one);
    respond(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                      "Content-Length: 1\r\n\r\nxclosed");
    peer_close(&one);
    peer_close(&two);
    settle(&it, &two);
    assert_int_equal(told_of.count, 1);
    echo_close(&it);

    options.drain_idle = MS;
    told_of.count = 0;
    taking_open(&it, &options);
    peer_open(&one, &it);
    settle(&it, &one);
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &told_of));
    while (told_of.count == 0)
        gcore_hub_poll(it.hub, &out, 1, after(SECOND));
    settle(&it, &one);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

/* An answer that had begun before says nothing of the close that follows. */
static void draining_during_an_answer(void **state)
{
    gcore_http_request *request;
    told told_of = {0};
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    assert_ok(gcore_http_write(request, "x", 1));
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &told_of));
    assert_ok(gcore_http_finish(request));
    gcore_http_request_unref(request);
    settle(&it, &one);
    assert_true(one.closed);
    assert_int_equal(told_of.count, 1);
    assert_int_equal(told_of.result, 0);
    peer_close(&one);
    echo_close(&it);
}

static void draining_in_vain(void **state)
{
    gcore_http_request *request;
    gcore_completion out;
    told told_of = {0}, again = {0};
    echo_server it;
    char buffer[1];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    assert_ok(gcore_http_server_drain(it.server, after(MS), tell, &told_of));
    while (told_of.count == 0)
        hub_poll_again(it.hub, &out, 1, after(MS));
    assert_int_equal(told_of.result, -ETIMEDOUT);
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &again));
    assert_ok(gcore_http_server_close(it.server));
    assert_ok(gcore_http_server_close(it.server));
    settle(&it, &one);
    assert_int_equal(again.result, -ECANCELED);
    assert_true(one.closed);
    assert_int_equal(gcore_http_read(request, buffer, 1), 0);
    assert_error(gcore_http_respond(request, 200, NULL, NULL, 0, "x", 1),
                 -ECANCELED);
    assert_error(gcore_http_server_adopt(it.server, one.fd), -ECANCELED);
    assert_error(gcore_http_server_listen(it.server, one.fd), -ECANCELED);
    assert_error(gcore_http_server_pause(it.server), -ECANCELED);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

/* The hub closes first: the server, its connections and waits end. */
static void the_hub_closes(void **state)
{
    gcore_http_request *request;
    told told_of = {0};
    echo_server it;
    char buffer[1];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_open(&two, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    request = take(&it, &one);
    assert_int_equal(gcore_http_read(request, buffer, 1), -EAGAIN);
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    assert_ok(gcore_hub_close(it.hub));
    assert_int_equal(told_of.count, 1);
    assert_int_equal(told_of.result, -ECANCELED);
    assert_int_equal(gcore_http_read(request, buffer, 1), -ECANCELED);
    gcore_http_request_unref(request);
    gcore_http_server_unref(it.server);
    gcore_hub_unref(it.hub);
    peer_close(&one);
    peer_close(&two);
}

/* The application may end everything from within a request. */
static void close_server(void *arg, gcore_http_request *request)
{
    echo_server *it = arg;

    gcore_http_server_unref(it->server);
    it->server = NULL;
    gcore_http_request_unref(request);
}

static void abort_request(void *arg, gcore_http_request *request)
{
    (void)arg;
    gcore_http_abort(request);
    gcore_http_request_unref(request);
}

static void ending_from_within(void **state)
{
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    assert_ok(gcore_http_server_start(it.server, close_server, &it));
    peer_open(&one, &it);
    peer_say(&one, GET GET);
    settle(&it, &one);
    assert_true(one.closed);
    assert_null(it.server);
    peer_close(&one);
    hub_end(it.hub);

    taking_open(&it, NULL);
    assert_ok(gcore_http_server_start(it.server, abort_request, &it));
    peer_open(&one, &it);
    peer_say(&one, GET GET);
    settle(&it, &one);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

static size_t read_all(int fd)
{
    static char buffer[65536];
    size_t came = 0;
    ssize_t got;

    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        came += (size_t)got;
    return came;
}

/* The PROXY protocol, whole and byte by byte. */

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void proxied(void **state)
{
    static const struct {
        const char *header;
        size_t size;
        const char *peer; /* NULL: refused */
        int port;
    } cases[] = {
#define CASE(header, peer, port) {header, sizeof(header) - 1, peer, port}
        CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n", "1.2.3.4", 1111),
        CASE("PROXY TCP6 1:0::2 ::1 65535 80\r\n", "1::2", 65535),
        CASE("PROXY UNKNOWN\r\n", "", 0),
        CASE("PROXY UNKNOWN anything at all\r\n", "", 0),
        CASE(V2 "\x20\x00\x00\x00", "", 0),
        CASE(V2 "\x21\x00\x00\x03\x01\x02\x03", "", 0),
        CASE(V2 "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57"
             "\x00\x50", "1.2.3.4", 1111),
        CASE(V2 "\x21\x11\x00\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57"
             "\x00\x50tlv", "1.2.3.4", 1111),
        CASE(V2 "\x21\x21\x00\x24\x00\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
             "0123456789abcdef\x04\x57\x00\x50", "1::2", 1111),
        CASE("", NULL, 0),
        CASE("PROXY\r\n", NULL, 0),
        CASE("PROXY TCP4\r\n", NULL, 0),
        CASE("PROXY TCP5 1.2.3.4 5.6.7.8 1111 80\r\n", NULL, 0),
        CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\n", NULL, 0),
        CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1111 80 \r\n", NULL, 0),
        CASE("PROXY TCP4 1.2.3.4 5.6.7.8 1111 65536\r\n", NULL, 0),
        CASE("PROXY TCP4 1.2.3.4 5.6.7.8 01 80\r\n", NULL, 0),
        CASE("PROXY TCP4 1.2.3.256 5.6.7.8 1111 80\r\n", NULL, 0),
        CASE("PROXY TCP4 ::1 ::1 1111 80\r\n", NULL, 0),
        CASE("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678"
             "9012345678901234567890123456789012345678901234567890\r\n", NULL,
             0),
        CASE(V2 "\x11\x11\x00\x00", NULL, 0),
        CASE(V2 "\x22\x11\x00\x00", NULL, 0),
        CASE(V2 "\x21\x11\x00\x0b", NULL, 0),
        CASE(V2 "\x21\x11\xff\xff", NULL, 0),
#undef CASE
    };
    gcore_http_options options = {.size = sizeof options,
                                  .flags = GCORE_HTTP_PROXY};
    gcore_http_request *request;
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        char text[512];
        size_t size = cases[i / 2].size;

        memcpy(text, cases[i / 2].header, size);
        memcpy(text + size, GET, sizeof GET);
        peer_open(&one, &it);
        for (size_t at = 0; i % 2 && at < size; at++) {
            peer_send(&one, text + at, 1);
            settle(&it, &one);
        }
        peer_say(&one, i % 2 ? GET : "");
        if (i % 2 == 0)
            peer_send(&one, text, size + sizeof GET - 1);
        if (cases[i / 2].peer) {
            request = take(&it, &one);
            assert_string_equal(gcore_http_request_head(request)->peer,
                                cases[i / 2].peer);
            assert_int_equal(gcore_http_request_head(request)->peer_port,
                             cases[i / 2].port);
            respond(request);
            expect(&it, &one, OK);
        } else {
            peer_send(&one, "0123456789", i % 2 ? 10 : 0);
            settle(&it, &one);
            if (!one.closed)
                print_error("case %zu\n", i / 2);
            assert_true(one.closed);
            assert_memory_equal(one.got, "HTTP/1.1 400 ", 13);
        }
        peer_close(&one);
    }
    echo_close(&it);
}

static void check_proxy(const gcore_http_proxy *proxy, int version,
                        const char *target, int port)
{
    assert_non_null(proxy);
    assert_true(proxy->size >= sizeof *proxy);
    assert_int_equal(proxy->version, version);
    assert_string_equal(proxy->address, "");
    assert_int_equal(proxy->port, 0);
    assert_string_equal(proxy->target, target);
    assert_int_equal(proxy->target_port, port);
}

/* The next request, answered, its connection gone. */
static gcore_http_request *answered(echo_server *it)
{
    gcore_http_request *request = take(it, &one);

    respond(gcore_http_request_ref(request));
    expect(it, &one, OK);
    peer_close(&one);
    settle(it, &one);
    return request;
}

/* The header need not be there; what begins like one has to be one. */
static void perhaps_proxied(void **state)
{
    static const char *const without[] = {"P", "\r\n", "PROX"};
    static const char *const rest[] = {
        "UT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", GET,
        "IES / HTTP/1.1\r\nHost: h\r\n\r\n"};
    gcore_http_options options = {
        .size = sizeof options,
        .flags = GCORE_HTTP_PROXY | GCORE_HTTP_PROXY_OPTIONAL |
                 GCORE_HTTP_NO_DATE};
    gcore_http_request *request;
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, "PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n" GET);
    request = answered(&it);
    assert_string_equal(gcore_http_request_head(request)->peer, "1.2.3.4");
    check_proxy(gcore_http_request_head(request)->proxy, 1, "5.6.7.8", 80);
    gcore_http_request_unref(request);

    peer_open(&one, &it);
    peer_send(&one, V2 "\x20\x00\x00\x00" GET, 16 + sizeof GET - 1);
    request = answered(&it);
    check_proxy(gcore_http_request_head(request)->proxy, 2, "", 0);
    gcore_http_request_unref(request);

    for (int i = 0; i < 3; i++) {
        peer_open(&one, &it);
        peer_say(&one, without[i]);
        settle(&it, &one);
        peer_say(&one, rest[i]);
        request = answered(&it);
        assert_null(gcore_http_request_head(request)->proxy);
        gcore_http_request_unref(request);
    }

    peer_open(&one, &it);
    peer_say(&one, "PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n" GET);
    settle(&it, &one);
    assert_memory_equal(one.got, "HTTP/1.1 400 ", 13);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

/* A forked child sends nothing of an answer that waited to be sent, and
 * closing its copy of the server does not disturb the parent's. */
static void close_copy(void *arg)
{
    echo_server *it = arg;
    gcore_completion out;

    CHILD_CHECK(read_all(one.fd) > 0); /* so there is room for more */
    for (int i = 0; i < 5; i++)
        CHILD_CHECK(gcore_hub_poll(it->hub, &out, 1, GCORE_NOW) <= 0);
    CHILD_CHECK(read_all(one.fd) == 0);
    gcore_http_server_unref(it->server);
    gcore_hub_unref(it->hub);
}

static void after_a_fork(void **state)
{
    static char much[4 << 20];
    gcore_http_request *request;
    size_t came = 0, size;
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_open(&two, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, much,
                                 sizeof much));
    gcore_http_request_unref(request);
    in_child(close_copy, &it);
    do {
        settle(&it, &one);
        size = one.size;
        came += size;
        one.size = 0;
    } while (size);
    assert_false(one.closed);
    assert_true(came > sizeof much / 2); /* the child has read some */
    settle(&it, &two);
    assert_false(two.closed);
    peer_close(&one);
    peer_close(&two);
    echo_close(&it);
}

static uint64_t answer(gcore_http_request *request, const char *text)
{
    uint64_t connection = gcore_http_request_head(request)->connection;

    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, text,
                                 strlen(text)));
    gcore_http_request_unref(request);
    return connection;
}

static void hanging_up(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    gcore_http_request *request;
    uint64_t connection;
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    /* Between two requests: what was answered arrives. */
    peer_open(&one, &it);
    peer_say(&one, get);
    connection = answer(take(&it, &one), "A");
    settle(&it, &one);
    assert_false(one.closed);
    assert_ok(gcore_http_server_hang_up(it.server, connection + 1));
    assert_ok(gcore_http_server_hang_up(it.server, connection));
    assert_ok(gcore_http_server_hang_up(it.server, connection));
    settle(&it, &one);
    assert_string_equal(answers(&one), "200 A|closed");
    assert_false(one.reset);
    peer_close(&one);
    settle(&it, &one);
    assert_ok(gcore_http_server_hang_up(it.server, connection));
    /* While the second of three is being answered, which is the last. */
    peer_open(&one, &it);
    peer_say(&one, get);
    peer_say(&one, get);
    peer_say(&one, get);
    connection = answer(take(&it, &one), "B");
    request = take(&it, &one);
    assert_ok(gcore_http_server_hang_up(it.server, connection));
    settle(&it, &one);
    assert_false(one.closed);
    answer(request, "C");
    settle(&it, &one);
    assert_string_equal(answers(&one), "200 B|200 C|closed");
    assert_non_null(strstr(one.got, "Connection: close"));
    assert_int_equal(gcore_http_server_take(it.server, &request, 1), 0);
    peer_close(&one);
    echo_close(&it);
}

/* Requests outlive what they came from, answered or not. */
static void kept_to_the_last(void **state)
{
    gcore_http_request *requests[2];
    told told_of = {0};
    echo_server it;
    char byte;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET GET);
    requests[0] = take(&it, &one);
    assert_ok(gcore_http_respond(requests[0], 200, NULL, NULL, 0, NULL, 0));
    requests[1] = take(&it, &one);
    echo_close(&it);
    for (int i = 0; i < 2; i++) {
        int error = i == 0 ? -EALREADY : -ECANCELED;

        assert_int_equal(gcore_http_read(requests[i], &byte, 1), 0);
        assert_error(gcore_http_wait_body(requests[i], GCORE_FOREVER, tell,
                                          &told_of), error);
        assert_error(gcore_http_wait_sent(requests[i], GCORE_FOREVER, tell,
                                          &told_of), error);
        assert_error(gcore_http_respond(requests[i], 200, NULL, NULL, 0, NULL,
                                        0), error);
        gcore_http_request_unref(requests[i]);
    }
    assert_int_equal(told_of.count, 0);
    peer_close(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kept_to_the_last),
        TEST(hanging_up),
        TEST(completions),
        TEST(the_head),
        TEST(pipelined),
        TEST(limits),
        TEST(plain_statuses),
        TEST(bad_options),
        TEST(slow_peers),
        TEST(waiting_for_a_body),
        TEST(a_peer_that_does_not_read),
        TEST(answers_that_nobody_reads),
        TEST(taken_over),
        TEST(accepting),
        TEST(out_of_descriptors),
        TEST(out_of_descriptors_for_long),
        TEST(draining),
        TEST(draining_without_haste),
        TEST(draining_during_an_answer),
        TEST(draining_in_vain),
        TEST(the_hub_closes),
        TEST(ending_from_within),
        TEST(after_a_fork),
        TEST(proxied),
        TEST(slow_proxies),
        TEST(perhaps_proxied),
    };

    return RUN(tests);
}
