/*
 * Streams and listeners while memory runs out and the system's calls fail:
 * errors are returned or told, nothing is lost, nothing is left behind.
 *
 * The calls are replaced by ones that fail, or are interrupted, when told.
 */
#include "net.h"
#include "next.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* The next `count` calls fail with `error`; sends take at most `most`. */
static struct {
    int error;
    int count;
    size_t most;
} receiving, sending, accepting;

#define FAIL(what)                                                            \
    do {                                                                      \
        if ((what).count > 0) {                                               \
            (what).count--;                                                   \
            errno = (what).error;                                             \
            return -1;                                                        \
        }                                                                     \
    } while (0)

#pragma GCC visibility push(default)

ssize_t recv(int fd, void *buffer, size_t room, int flags)
{
    if (!(flags & MSG_DONTWAIT)) /* the tests' own */
        FAIL(receiving);
    return NEXT(recv)(fd, buffer, room, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr less = *message;
    struct iovec piece;

    FAIL(sending);
    if (sending.most && less.msg_iovlen) {
        piece = less.msg_iov[0];
        if (piece.iov_len > sending.most)
            piece.iov_len = sending.most;
        less.msg_iov = &piece;
        less.msg_iovlen = 1;
    }
    return NEXT(sendmsg)(fd, &less, flags);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    if (!(flags & MSG_DONTWAIT)) {
        FAIL(sending);
        if (sending.most && length > sending.most)
            length = sending.most;
    }
    return NEXT(send)(fd, data, length, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    FAIL(accepting);
    return NEXT(accept4)(fd, address, length, flags);
}

#pragma GCC visibility pop

static void all_well(void)
{
    memset(&receiving, 0, sizeof receiving);
    memset(&sending, 0, sizeof sending);
    memset(&accepting, 0, sizeof accepting);
}

/* The system's errors */

static void reading_fails_on(gcore_hub *hub)
{
    static const int errors[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOMEM};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        heard it = {0};
        int peer;
        gcore_stream *stream = stream_and_peer(hub, &peer);

        all_well();
        assert_ok(gcore_stream_start(stream, hear, &it));
        receiving.error = EINTR; /* goes on */
        receiving.count = 3;
        fd_send(NULL, peer, "x", 1);
        UNTIL(hub, it.length == 1);
        receiving.error = EAGAIN; /* readiness that was none */
        receiving.count = 2;
        fd_send(NULL, peer, "y", 1);
        UNTIL(hub, it.length == 2);
        receiving.error = errors[i];
        receiving.count = 1;
        fd_send(NULL, peer, "z", 1);
        UNTIL(hub, it.ends);
        assert_int_equal(it.end, -errors[i]);
        assert_ok(gcore_stream_start(stream, hear, &it));
        UNTIL(hub, it.ends == 2);
        assert_int_equal(it.end, -errors[i]);
        gcore_stream_unref(stream);
        close(peer);
        heard_free(&it);
    }
}
ON_EACH_BACKEND(reading_fails)

static void writing_fails_on(gcore_hub *hub)
{
    static const int errors[] = {ECONNRESET, EPIPE, ENOBUFS, ETIMEDOUT};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        told one = {0};
        int peer;
        gcore_stream *stream = stream_and_peer(hub, &peer);

        all_well();
        sending.error = EINTR;
        sending.count = 3;
        assert_int_equal(WRITE_TEXT(stream, "one"), 0);
        sending.error = EAGAIN;
        sending.count = 2;
        assert_int_equal(WRITE_TEXT(stream, "two"), 3);
        fd_expect(hub, peer, "onetwo", 6);
        UNTIL(hub, gcore_stream_queued(stream) == 0);
        /* While queued. */
        sending.error = EAGAIN;
        sending.count = 1;
        assert_int_equal(WRITE_TEXT(stream, "three"), 5);
        sending.error = errors[i];
        sending.count = 1;
        assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
        UNTIL(hub, one.count);
        assert_int_equal(one.result, -errors[i]);
        assert_int_equal(WRITE_TEXT(stream, "four"), -errors[i]);
        assert_int_equal(sending.count, 0);
        gcore_stream_unref(stream);
        close(peer);

        /* At once. */
        stream = stream_and_peer(hub, &peer);
        sending.error = errors[i];
        sending.count = 1;
        assert_int_equal(WRITE_TEXT(stream, "one"), -errors[i]);
        assert_int_equal(WRITE_TEXT(stream, "one"), -errors[i]);
        gcore_stream_unref(stream);
        close(peer);
    }
}
ON_EACH_BACKEND(writing_fails)

/* The kernel takes one, two, three ... bytes at a time. */
static void every_partial_write_on(gcore_hub *hub)
{
    enum { LENGTH = 150 };
    char *bytes = pattern(LENGTH);

    for (size_t most = 1; most <= LENGTH; most += 7) {
        gcore_piece pieces[4] = {
            {bytes, 1}, {bytes + 1, 50}, {NULL, 0}, {bytes + 51, 99}};
        int peer;
        gcore_stream *stream = stream_and_peer(hub, &peer);

        all_well();
        sending.most = most;
        assert_true(gcore_stream_write(stream, pieces, 4) >= 0);
        assert_true(gcore_stream_write(stream, pieces, 4) >= 0);
        fd_expect(hub, peer, bytes, LENGTH);
        fd_expect(hub, peer, bytes, LENGTH);
        gcore_stream_unref(stream);
        close(peer);
    }
    all_well();
    free(bytes);
}
ON_EACH_BACKEND(every_partial_write)

struct door {
    int count;
    int64_t errors[16];
    int told;
};

static void enter(void *arg, gcore_stream *stream, int64_t result)
{
    struct door *door = arg;

    gcore_stream_unref(stream);
    if (result == 0)
        door->count++;
    else if (door->told < 16)
        door->errors[door->told++] = result;
}

static int call_on(gcore_listener *listener)
{
    gcore_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_ok(gcore_listener_address(listener, &address));
    assert_int_equal(connect(fd, (const void *)address.bytes,
                             (socklen_t)address.length), 0);
    return fd;
}

static void accepting_fails_on(gcore_hub *hub)
{
    static const struct {
        int error;
        bool told;
        bool ends;
    } errors[] = {
        {ECONNABORTED, false, false}, {EPROTO, false, false},
        {EINTR, false, false},        {EPERM, false, false},
        {ENETDOWN, false, false},     {EMFILE, true, false},
        {ENFILE, true, false},        {ENOBUFS, true, false},
        {ENOMEM, true, false},        {EINVAL, true, true},
        {ENOTSOCK, true, true},
    };
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener_options options = {.size = sizeof options, .rest = MS};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct door door = {0};
        gcore_listener *listener;
        told one = {0};
        int fd;

        all_well();
        assert_ok(gcore_listener_new(hub, &address, &options, &listener));
        assert_ok(gcore_listener_start(listener, enter, &door));
        accepting.error = errors[i].error;
        accepting.count = 1;
        fd = call_on(listener);
        if (errors[i].told)
            UNTIL(hub, door.told == 1);
        else
            UNTIL(hub, door.count == 1);
        assert_int_equal(door.told, errors[i].told);
        if (errors[i].told)
            assert_int_equal(door.errors[0], -errors[i].error);
        if (errors[i].ends)
            assert_ok(gcore_listener_start(listener, enter, &door));
        close(fd);
        fd = call_on(listener);
        UNTIL(hub, door.count >= 1);
        assert_ok(gcore_listener_stop(listener));
        close(fd);

        /* The same for one accept. */
        accepting.count = 1;
        assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, tell, &one));
        fd = call_on(listener);
        UNTIL(hub, one.count);
        if (errors[i].told)
            assert_int_equal(one.result, -errors[i].error);
        else
            assert_true(one.result >= 0);
        if (one.result >= 0)
            close((int)one.result);
        close(fd);
        gcore_listener_unref(listener);
    }
    all_well();
}
ON_EACH_BACKEND(accepting_fails)

/* Memory */

struct setting {
    gcore_hub *hub;
    gcore_stream *stream;
    gcore_listener *listener;
    gcore_address address;
    int peer;
};

typedef int64_t operation(struct setting *it);

static int64_t make_stream(struct setting *it)
{
    gcore_stream *stream;
    int ends[2];
    int error;

    tcp_pair(ends);
    error = gcore_stream_new(it->hub, ends[0], NULL, &stream);
    close(ends[1]);
    if (error < 0)
        close(ends[0]);
    else
        gcore_stream_unref(stream);
    return error;
}

static int64_t make_listener(struct setting *it)
{
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener *listener;
    int error = gcore_listener_new(it->hub, &address, NULL, &listener);

    if (error == 0)
        gcore_listener_unref(listener);
    return error;
}

static int64_t connect_stream(struct setting *it)
{
    gcore_stream *stream;
    told one = {0};
    int error = gcore_stream_connect(it->hub, &it->address, NULL,
                                     after(PATIENCE), tell, &one, &stream);

    support_fail_allocation(0);
    if (error == 0) {
        UNTIL(it->hub, one.count);
        assert_int_equal(one.result, 0);
        gcore_stream_unref(stream);
    }
    return error;
}

static int64_t unread_bytes(struct setting *it)
{
    int64_t error = gcore_stream_unread(it->stream, "x", 1);

    assert_int_equal(gcore_stream_unread_length(it->stream), error == 0);
    return error;
}

static int64_t queue_bytes(struct setting *it)
{
    int64_t result;

    sending.error = EAGAIN;
    sending.count = 1;
    result = WRITE_TEXT(it->stream, "bytes");
    support_fail_allocation(0);
    all_well();
    if (result == 5) {
        fd_expect(it->hub, it->peer, "bytes", 5);
        return 0;
    }
    assert_int_equal(WRITE_TEXT(it->stream, "more"), result);
    return result;
}

static operation *const operations[] = {
    make_stream, make_listener, connect_stream, unread_bytes, queue_bytes,
};

static void open_setting(struct setting *it, const char *backend)
{
    it->hub = hub_new_backend(backend);
    it->stream = stream_and_peer(it->hub, &it->peer);
    it->address = local_address("127.0.0.1:0");
    assert_ok(gcore_listener_new(it->hub, &it->address, NULL,
                                 &it->listener));
    assert_ok(gcore_listener_address(it->listener, &it->address));
}

static void close_setting(struct setting *it)
{
    gcore_stream_unref(it->stream);
    gcore_listener_unref(it->listener);
    net_settle(it->hub);
    hub_end(it->hub);
    close(it->peer);
}

/* A fresh setting each time, for what exists already needs no memory. */
static void each_allocation_fails(void **state)
{
    static const char *const backends[] = {"epoll", "poll", "select"};

    (void)state;
    for (size_t i = 0; i < 3 * sizeof operations / sizeof *operations; i++) {
        bool failed = true;
        int failures = 0;

        for (int k = 1; failed; k++) {
            struct setting it;
            int descriptors;
            int64_t error;

            open_setting(&it, backends[i % 3]);
            descriptors = support_descriptors();
            support_fail_allocation(k);
            error = operations[i / 3](&it);
            support_fail_allocation(0);
            failed = support_allocation_failed();
            if (error < 0) {
                assert_true(failed);
                assert_int_equal(error, -ENOMEM);
                failures++;
            }
            net_settle(it.hub);
            assert_int_equal(support_descriptors(), descriptors);
            close_setting(&it);
            assert_true(k < 50);
        }
        assert_true(failures > 0);
    }
}

/* The listener goes on after connections it had no memory for. */
static void accepting_without_memory_on(gcore_hub *hub)
{
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener_options options = {.size = sizeof options, .rest = MS};
    gcore_listener *listener;
    struct door door = {0};
    int fd;

    assert_ok(gcore_listener_new(hub, &address, &options, &listener));
    assert_ok(gcore_listener_start(listener, enter, &door));
    net_settle(hub);
    fd = call_on(listener);
    support_fail_allocation(1);
    UNTIL(hub, door.told);
    support_fail_allocation(0);
    assert_int_equal(door.errors[0], -ENOMEM);
    assert_int_equal(fd_end(hub, fd), 0);
    close(fd);
    fd = call_on(listener);
    UNTIL(hub, door.count == 1);
    close(fd);
    gcore_listener_stop(listener);
    gcore_listener_unref(listener);
}
ON_EACH_BACKEND(accepting_without_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reading_fails),         TEST(writing_fails),
        TEST(every_partial_write),   TEST(accepting_fails),
        TEST(each_allocation_fails), TEST(accepting_without_memory),
    };

    return RUN(tests);
}
