/*
 * Sockets, for the tests of streams, listeners, UDP and TLS.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void net_turn(gcore_hub *hub)
{
    gcore_completion out;
    int got = hub_poll_again(hub, &out, 1, after(MS));

    if (got != 0 && got != -GCORE_EIDLE)
        print_error("poll: %d %s\n", got, gcore_error_name(got));
    assert_true(got == 0 || got == -GCORE_EIDLE);
}

void net_settle(gcore_hub *hub)
{
    gcore_completion out;

    for (int i = 0; i < 20; i++) {
        int got = gcore_hub_poll(hub, &out, 1, GCORE_NOW);

        assert_true(got == 0 || got == -GCORE_EIDLE);
    }
}

static void set_small(int fd)
{
    int bytes = 4096;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int tcp_socket(bool small)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (small)
        set_small(fd);
    return fd;
}

static void not_block(int fd)
{
    assert_int_equal(
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static void make_pair(int ends[2], bool small)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t length = sizeof in;
    int listening = tcp_socket(small);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listening, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(
        getsockname(listening, (struct sockaddr *)&in, &length), 0);
    ends[1] = tcp_socket(small);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&in, sizeof in), 0);
    ends[0] = accept(listening, NULL, NULL);
    assert_true(ends[0] >= 0);
    close(listening);
    not_block(ends[0]);
    not_block(ends[1]);
}

void tcp_pair(int ends[2])
{
    make_pair(ends, false);
}

void tcp_pair_small(int ends[2])
{
    make_pair(ends, true);
}

static gcore_stream *stream_of(gcore_hub *hub, int fd)
{
    gcore_stream *stream;

    assert_ok(gcore_stream_new(hub, fd, NULL, &stream));
    return stream;
}

gcore_stream *stream_and_peer(gcore_hub *hub, int *peer)
{
    int ends[2];

    tcp_pair(ends);
    *peer = ends[1];
    return stream_of(hub, ends[0]);
}

gcore_stream *stream_and_slow_peer(gcore_hub *hub, int *peer)
{
    int ends[2];

    tcp_pair_small(ends);
    *peer = ends[1];
    return stream_of(hub, ends[0]);
}

void hear(void *arg, void *data, int64_t result)
{
    heard *it = arg;

    it->calls++;
    if (result > 0) {
        it->bytes = realloc(it->bytes, it->length + (size_t)result);
        assert_non_null(it->bytes);
        memcpy(it->bytes + it->length, data, (size_t)result);
        it->length += (size_t)result;
        return;
    }
    assert_null(data);
    it->ends++;
    it->end = result;
    if (it->stream) {
        gcore_stream_close(it->stream);
        gcore_stream_unref(it->stream);
        it->stream = NULL;
    }
}

void heard_free(heard *it)
{
    free(it->bytes);
    memset(it, 0, sizeof *it);
}

char *pattern(size_t length)
{
    char *bytes = malloc(length + 1);
    uint32_t value = 1;

    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        value = value * 1664525u + 1013904223u;
        bytes[i] = (char)(value >> 24);
    }
    return bytes;
}

static void wait_a_moment(gcore_hub *hub, int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};

    if (hub)
        net_turn(hub);
    else
        poll(&one, 1, 10);
}

void fd_send(gcore_hub *hub, int fd, const void *data, size_t length)
{
    int64_t deadline = after(PATIENCE);

    for (size_t place = 0; place < length;) {
        ssize_t count = send(fd, (const char *)data + place, length - place,
                             MSG_NOSIGNAL | MSG_DONTWAIT);

        assert_true(gcore_clock() < deadline);
        if (count > 0) {
            place += (size_t)count;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        wait_a_moment(hub, fd, POLLOUT);
    }
}

void fd_expect(gcore_hub *hub, int fd, const void *data, size_t length)
{
    int64_t deadline = after(PATIENCE);
    char buffer[8192];

    for (size_t place = 0; place < length;) {
        size_t most = length - place < sizeof buffer ? length - place
                                                     : sizeof buffer;
        ssize_t count = recv(fd, buffer, most, MSG_DONTWAIT);

        assert_true(gcore_clock() < deadline);
        if (count > 0) {
            assert_memory_equal(buffer, (const char *)data + place,
                                (size_t)count);
            place += (size_t)count;
            continue;
        }
        if (count == 0)
            print_error("the end after %zu of %zu bytes\n", place, length);
        assert_true(count < 0);
        assert_int_equal(errno, EAGAIN);
        wait_a_moment(hub, fd, POLLIN);
    }
}

int fd_end(gcore_hub *hub, int fd)
{
    int64_t deadline = after(PATIENCE);
    char buffer[8192];

    for (;;) {
        ssize_t count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);

        assert_true(gcore_clock() < deadline);
        if (count == 0)
            return 0;
        if (count < 0 && errno != EAGAIN)
            return -errno;
        if (count < 0)
            wait_a_moment(hub, fd, POLLIN);
    }
}

void fd_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

int64_t write_bytes(gcore_stream *stream, const void *data, size_t length)
{
    gcore_piece piece = {data, length};

    return gcore_stream_write(stream, &piece, 1);
}

gcore_address local_address(const char *text)
{
    gcore_address address;

    assert_ok(gcore_address_parse(text, &address));
    return address;
}
