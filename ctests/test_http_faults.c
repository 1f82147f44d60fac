/* System calls that fail under the HTTP server: what means "not now" costs
 * nothing, what ends a connection ends that one alone.
 *
 * The calls are replaced by ones that fail when told. */
#include "http.h"
#include "net.h"
#include "next.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* The k-th call of that name fails, once. */
static struct {
    const char *name; /* NULL: none does */
    int calls;        /* until then */
    int error;
} failing;

static void fail_call(const char *name, int k, int error)
{
    failing.name = name;
    failing.calls = k;
    failing.error = error;
}

/* Whether it did; none will any more. */
static bool has_failed(void)
{
    failing.name = NULL;
    return failing.calls <= 0;
}

static bool fails(const char *name)
{
    if (!failing.name || strcmp(name, failing.name) != 0 ||
        failing.calls-- != 1)
        return false;
    errno = failing.error;
    return true;
}

/* So many bytes more come at once, whatever the socket has. */
static size_t flood;

static ssize_t take_flood(void *buffer, size_t room)
{
    size_t size = room < flood ? room : flood;

    flood -= size;
    memset(buffer, 'x', size);
    return (ssize_t)size;
}

#pragma GCC visibility push(default)

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails("accept4") ? -1 : NEXT(accept4)(fd, address, length, flags);
}

ssize_t recv(int fd, void *buffer, size_t room, int flags)
{
    /* MSG_DONTWAIT: the tests' own. */
    if (!(flags & MSG_DONTWAIT) && flood)
        return take_flood(buffer, room);
    return !(flags & MSG_DONTWAIT) && fails("recv")
               ? -1
               : NEXT(recv)(fd, buffer, room, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails("send") ? -1 : NEXT(sendmsg)(fd, message, flags);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    bool own = flags & MSG_DONTWAIT; /* the tests' */

    return !own && fails("send") ? -1 : NEXT(send)(fd, bytes, size, flags);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
    return fails("sendfile") ? -1 : NEXT(sendfile)(out, in, offset, size);
}

#pragma GCC visibility pop

static const char asked[] =
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n0\r\n\r\n"
    "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static const char answered[] =
    "200 POST /1 hello|200 POST /2 hello|200 GET /3 |closed";

static peer one;

/* With that error nothing is lost, or the connection. */
typedef struct fault {
    const char *call;
    int error;
    bool harmless;
} fault;

static uint64_t connections(echo_server *it)
{
    gcore_http_stats stats = {.size = sizeof stats};

    assert_ok(gcore_http_server_counters(it->server, &stats));
    return stats.connections;
}

/* In pieces of ten bytes, so that there are many calls. */
static void converse(echo_server *it)
{
    peer_open(&one, it);
    for (size_t at = 0; at < sizeof asked - 1; at += 10) {
        size_t left = sizeof asked - 1 - at;

        peer_send(&one, asked + at, left < 10 ? left : 10);
        settle(it, &one);
    }
}

static void try_fault(const fault *it)
{
    bool failed = true;

    for (int k = 1; failed; k++) {
        echo_server server;

        echo_open(&server, NULL);
        fail_call(it->call, k, it->error);
        converse(&server);
        failed = has_failed();
        settle(&server, &one);
        if (!failed || it->harmless)
            assert_string_equal(answers(&one), answered);
        peer_close(&one);
        settle(&server, &one);
        assert_int_equal(connections(&server), 0);
        converse(&server); /* the next one is served */
        assert_string_equal(answers(&one), answered);
        peer_close(&one);
        echo_close(&server);
        assert_true(k < 1000);
        assert_true(failed || k > 3);
    }
}

static void conversations(void **state)
{
    static const fault faults[] = {
        {"recv", EINTR, true},        {"recv", EAGAIN, true},
        {"recv", ECONNRESET, false},  {"recv", ENOMEM, false},
        {"send", EINTR, true},        {"send", EAGAIN, true},
        {"send", EPIPE, false},       {"send", ECONNRESET, false},
        {"send", ENOBUFS, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        try_fault(&faults[i]);
}

/* A file, part of which leaves by another call. */
static void send_a_file(const fault *the)
{
    gcore_http_request *request;
    echo_server it;
    told sent = {0};
    int file = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(ftruncate(file, 1000), 0);
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, "GET / HTTP/1.0\r\n\r\n");
    request = take(&it, &one);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    fail_call("sendfile", 1, the->error);
    assert_ok(gcore_http_send_file(request, file, 0, 1000, tell, &sent));
    settle(&it, &one);
    assert_true(has_failed());
    assert_int_equal(sent.count, 1);
    assert_int_equal(sent.result, the->harmless ? 0 : -the->error);
    gcore_http_finish(request);
    gcore_http_request_unref(request);
    settle(&it, &one);
    assert_true(one.closed);
    if (the->harmless)
        assert_true(one.size > 1000);
    peer_close(&one);
    echo_close(&it);
    close(file);
}

static void files(void **state)
{
    static const fault faults[] = {
        {"sendfile", EINTR, true},  {"sendfile", EAGAIN, true},
        {"sendfile", EINVAL, true}, /* a file that has to be read */
        {"sendfile", ENOSYS, true}, {"sendfile", EPIPE, false},
        {"sendfile", EIO, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        send_a_file(&faults[i]);
}

/* Bytes behind a head, each call of which in turn fails. */
static void send_bytes(const fault *the)
{
    static const char bytes[300000];
    bool failed = true;

    for (int k = 1; failed; k++) {
        gcore_http_request *request;
        echo_server it;
        told sent = {0};
        int result;

        taking_open(&it, NULL);
        peer_open(&one, &it);
        peer_say(&one, "GET / HTTP/1.0\r\n\r\n");
        request = take(&it, &one);
        assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
        fail_call("send", k, the->error);
        result = gcore_http_send_data(request, bytes, sizeof bytes, tell,
                                      &sent);
        assert_in_range(result, 0, 1);
        settle(&it, &one);
        failed = has_failed();
        assert_int_equal(sent.count, !result);
        if (!result)
            assert_int_equal(sent.result,
                             failed && !the->harmless ? -the->error : 0);
        gcore_http_finish(request);
        gcore_http_request_unref(request);
        settle(&it, &one);
        assert_true(one.closed);
        if (!failed || the->harmless)
            assert_true(one.size > sizeof bytes);
        peer_close(&one);
        echo_close(&it);
        assert_true(failed || k > 1);
    }
}

static void data(void **state)
{
    static const fault faults[] = {
        {"send", EINTR, true},
        {"send", EAGAIN, true},
        {"send", EPIPE, false},
        {"send", ENOBUFS, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        send_bytes(&faults[i]);
}

static int call_on(const gcore_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const void *)address->bytes,
                             (socklen_t)address->length), 0);
    return fd;
}

/* Accepting goes on whatever befalls a connection, after a rest where the
 * system lacks something. */
static void accepting(void **state)
{
    static const int errors[] = {EINTR,  ECONNABORTED, EPROTO, EPERM,
                                 EMFILE, ENFILE,       ENOBUFS, ENOMEM};

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        gcore_address address = local_address("127.0.0.1:0");
        gcore_listener *socket;
        echo_server it;
        int ends[2];

        echo_open(&it, NULL);
        assert_ok(gcore_listener_new(it.hub, &address, NULL, &socket));
        assert_ok(gcore_listener_address(socket, &address));
        assert_ok(gcore_http_server_listen(it.server,
                                           gcore_listener_fd(socket)));
        fail_call("accept4", 1, errors[i]);
        for (int k = 0; k < 2; k++)
            ends[k] = call_on(&address);
        UNTIL(it.hub, connections(&it) == 2);
        assert_true(has_failed());
        for (int k = 0; k < 2; k++)
            close(ends[k]);
        UNTIL(it.hub, connections(&it) == 0);
        assert_ok(gcore_http_server_forget(it.server,
                                           gcore_listener_fd(socket)));
        gcore_listener_unref(socket);
        echo_close(&it);
    }
}

/* A body that nobody wants, from a peer that sends faster than it is thrown
 * away: the others have their turns. */
static void flood_with(const char *post, const char *end)
{
    enum { BODY = 64 << 20 };
    gcore_http_options options = {.size = sizeof options,
                                  .discard = INT64_MAX};
    gcore_http_request *request;
    gcore_completion out;
    echo_server it;
    size_t before;

    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, post);
    request = take(&it, &one);
    peer_say(&one, end);
    peer_say(&one, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    flood = before = BODY;
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, "x", 1));
    gcore_http_request_unref(request);
    while (assert_true(before - flood <= BODY / 8), flood) {
        before = flood;
        gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    }
    request = take(&it, &one);
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, "y", 1));
    gcore_http_request_unref(request);
    settle(&it, &one);
    assert_int_equal(one.got[one.size - 1], 'y');
    peer_close(&one);
    echo_close(&it);
}

static void a_flood(void **state)
{
    (void)state;
    flood_with("POST / HTTP/1.1\r\nHost: a\r\n"
               "Content-Length: 67108864\r\n\r\n", "");
    flood_with("POST / HTTP/1.1\r\nHost: a\r\n"
               "Transfer-Encoding: chunked\r\n\r\n4000000\r\n",
               "\r\n0\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(conversations),
        TEST(files),
        TEST(data),
        TEST(accepting),
        TEST(a_flood),
    };

    return RUN(tests);
}
