/* Streams: reading, writing, deadlines, the ways to end. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void arguments_are_checked_on(gcore_hub *hub)
{
    gcore_stream_options options = {.size = 3};
    gcore_stream *stream = NULL;
    gcore_piece piece = {"x", 1};
    char byte;
    told one = {0};
    int ends[2], peer;

    assert_error(gcore_stream_new(hub, -1, NULL, &stream), -EINVAL);
    make_pipe(ends);
    assert_error(gcore_stream_new(hub, ends[0], NULL, &stream), -ENOTSOCK);
    close_pipe(ends);
    assert_error(gcore_stream_new(hub, ends[0], NULL, &stream), -EBADF);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    assert_error(gcore_stream_new(hub, ends[0], NULL, &stream), -EINVAL);
    close_pipe(ends);
    tcp_pair(ends);
    assert_error(gcore_stream_new(hub, ends[0], &options, &stream), -EINVAL);
    options = (gcore_stream_options){.size = sizeof options, .flags = 64};
    assert_error(gcore_stream_new(hub, ends[0], &options, &stream), -EINVAL);
    close_pipe(ends);
    assert_null(stream);

    stream = stream_and_peer(hub, &peer);
    assert_error(gcore_stream_start(stream, NULL, NULL), -EINVAL);
    assert_error(gcore_stream_read(stream, NULL, 1, GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_error(gcore_stream_read(stream, &byte, 0, GCORE_FOREVER, tell,
                                   &one), -EINVAL);
    assert_error(gcore_stream_read(stream, &byte, 1, GCORE_FOREVER, NULL,
                                   &one), -EINVAL);
    assert_int_equal(gcore_stream_write(stream, &piece, -1), -EINVAL);
    assert_int_equal(gcore_stream_write(stream, NULL, 1), -EINVAL);
    assert_int_equal(gcore_stream_write(stream, &piece, GCORE_PIECES + 1),
                     -EINVAL);
    piece.length = SIZE_MAX;
    assert_int_equal(gcore_stream_write(stream, &piece, 1), -EINVAL);
    assert_int_equal(gcore_stream_write(stream, NULL, 0), 0);
    assert_error(gcore_stream_drain(stream, 0, GCORE_FOREVER, NULL, NULL),
                 -EINVAL);
    assert_ptr_equal(gcore_stream_hub(stream), hub);

    assert_ok(gcore_stream_close(stream));
    assert_ok(gcore_stream_close(stream));
    assert_int_equal(gcore_stream_closed(stream), 1);
    assert_error(gcore_stream_fd(stream), -ESHUTDOWN);
    assert_error(gcore_stream_start(stream, hear, NULL), -ESHUTDOWN);
    assert_int_equal(WRITE_TEXT(stream, "x"), -ESHUTDOWN);
    assert_error(gcore_stream_shutdown(stream), -ESHUTDOWN);
    assert_error(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one),
                 -ESHUTDOWN);
    assert_error(gcore_stream_unread(stream, "x", 1), -ESHUTDOWN);
    assert_error(gcore_stream_set_read_deadline(stream, 1), -ESHUTDOWN);
    assert_error(gcore_stream_set_write_deadline(stream, 1), -ESHUTDOWN);
    assert_ok(gcore_stream_stop(stream));
    assert_ok(gcore_stream_finish(stream, GCORE_FOREVER));
    gcore_stream_unref(stream);
    gcore_stream_unref(NULL);
    close(peer);
}
ON_EACH_BACKEND(arguments_are_checked)

/* Reading */

static void what_arrives_is_heard_on(gcore_hub *hub)
{
    enum { LENGTH = 300000 };
    char *bytes = pattern(LENGTH);
    heard it = {0}, again = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_error(gcore_stream_start(stream, hear, &it), -EALREADY);
    fd_send(hub, peer, bytes, LENGTH);
    shutdown(peer, SHUT_WR);
    UNTIL(hub, it.ends);
    assert_int_equal(it.end, 0);
    assert_int_equal(it.length, LENGTH);
    assert_memory_equal(it.bytes, bytes, LENGTH);
    net_settle(hub);
    assert_int_equal(it.ends, 1);
    /* The end stays the end; the other half is open. */
    assert_ok(gcore_stream_start(stream, hear, &again));
    UNTIL(hub, again.ends);
    assert_int_equal(again.end, 0);
    assert_int_equal(WRITE_TEXT(stream, "still here"), 0);
    fd_expect(hub, peer, "still here", 10);
    gcore_stream_unref(stream);
    assert_int_equal(fd_end(hub, peer), 0);
    close(peer);
    heard_free(&it);
    free(bytes);
}
ON_EACH_BACKEND(what_arrives_is_heard)

static void stopping_leaves_bytes_in_the_kernel_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_send(hub, peer, "one", 3);
    UNTIL(hub, it.length == 3);
    assert_ok(gcore_stream_stop(stream));
    fd_send(hub, peer, "two", 3);
    net_settle(hub);
    assert_int_equal(it.length, 3);
    assert_ok(gcore_stream_start(stream, hear, &it));
    UNTIL(hub, it.length == 6);
    assert_memory_equal(it.bytes, "onetwo", 6);
    gcore_stream_stop(stream);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(stopping_leaves_bytes_in_the_kernel)

static void one_read_on(gcore_hub *hub)
{
    char buffer[8];
    told one = {0};
    gcore_completion out;
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    /* It waits; then what is there is there at once. */
    assert_ok(gcore_stream_read(stream, buffer, sizeof buffer, GCORE_FOREVER,
                                tell, &one));
    assert_error(gcore_stream_read(stream, buffer, sizeof buffer,
                                   GCORE_FOREVER, tell, &one), -EALREADY);
    assert_error(gcore_stream_start(stream, hear, NULL), -EALREADY);
    net_settle(hub);
    assert_int_equal(one.count, 0);
    fd_send(hub, peer, "0123456789", 10);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 8);
    assert_memory_equal(buffer, "01234567", 8);
    assert_ok(gcore_stream_read(stream, buffer, sizeof buffer, GCORE_NOW,
                                GCORE_COMPLETE, buffer));
    poll_for(hub, &out, 1);
    assert_ptr_equal(out.arg, buffer);
    assert_int_equal(out.result, 2);
    assert_memory_equal(buffer, "89", 2);
    /* Nothing is there. */
    assert_ok(gcore_stream_read(stream, buffer, sizeof buffer, GCORE_NOW,
                                tell, &one));
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, -ETIMEDOUT);
    assert_ok(gcore_stream_read(stream, buffer, sizeof buffer, after(MS),
                                tell, &one));
    UNTIL(hub, one.count == 3);
    assert_int_equal(one.result, -ETIMEDOUT);
    shutdown(peer, SHUT_WR);
    for (int i = 4; i < 6; i++) {
        assert_ok(gcore_stream_read(stream, buffer, sizeof buffer,
                                    GCORE_FOREVER, tell, &one));
        UNTIL(hub, one.count == i);
        assert_int_equal(one.result, 0);
    }
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(one_read)

/* A read that is over but not handed over gives its bytes back. */
static void a_stopped_read_loses_nothing_on(gcore_hub *hub)
{
    char buffer[3], rest[16];
    told one = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    fd_send(NULL, peer, "abcdef", 6);
    assert_ok(gcore_stream_read(stream, buffer, sizeof buffer, GCORE_FOREVER,
                                tell, &one));
    assert_ok(gcore_stream_stop(stream));
    net_settle(hub);
    assert_int_equal(one.count, 0);
    for (size_t got = 0; got < 6; got += (size_t)one.result) {
        int count = one.count;

        assert_ok(gcore_stream_read(stream, rest + got, sizeof rest - got,
                                    GCORE_FOREVER, tell, &one));
        UNTIL(hub, one.count > count);
        assert_true(one.result > 0);
    }
    assert_memory_equal(rest, "abcdef", 6);
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(a_stopped_read_loses_nothing)

static void bytes_put_back_come_first_on(gcore_hub *hub)
{
    heard it = {0};
    char buffer[2];
    told one = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    fd_send(NULL, peer, "ghi", 3);
    assert_ok(gcore_stream_unread(stream, "def", 3));
    assert_ok(gcore_stream_unread(stream, "abc", 3));
    assert_ok(gcore_stream_unread(stream, NULL, 0));
    assert_int_equal(gcore_stream_unread_length(stream), 6);
    assert_ok(gcore_stream_read(stream, buffer, 2, GCORE_NOW, tell, &one));
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 2);
    assert_memory_equal(buffer, "ab", 2);
    assert_int_equal(gcore_stream_unread_length(stream), 4);
    assert_ok(gcore_stream_start(stream, hear, &it));
    UNTIL(hub, it.length == 7);
    assert_memory_equal(it.bytes, "cdefghi", 7);
    /* While started: heard again without anything arriving. */
    assert_ok(gcore_stream_unread(stream, "xyz", 3));
    UNTIL(hub, it.length == 10);
    assert_memory_equal(it.bytes + 7, "xyz", 3);
    gcore_stream_stop(stream);
    /* While one read waits. */
    assert_ok(gcore_stream_read(stream, buffer, 2, GCORE_FOREVER, tell, &one));
    assert_ok(gcore_stream_unread(stream, "!", 1));
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, 1);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(bytes_put_back_come_first)

/* Where there is no memory for what was read last, nothing is read that came
 * behind it. */
static void no_gap_on(gcore_hub *hub)
{
    told read = {0};
    char buffer[3];
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_unread(stream, "abcdef", 6));
    assert_ok(gcore_stream_read(stream, buffer, 3, GCORE_FOREVER, tell,
                                &read));
    support_fail_allocation(1);
    assert_ok(gcore_stream_stop(stream));
    support_fail_allocation(0);
    assert_ok(gcore_stream_read(stream, buffer, 3, GCORE_FOREVER, tell,
                                &read));
    UNTIL(hub, read.count);
    assert_int_equal(read.result, -ENOMEM);
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(no_gap)

static void read_size_is_kept_on(gcore_hub *hub)
{
    gcore_stream_options options = {.size = sizeof options, .read_size = 10};
    heard it = {0};
    gcore_stream *stream;
    int ends[2];

    tcp_pair(ends);
    assert_ok(gcore_stream_new(hub, ends[0], &options, &stream));
    fd_send(NULL, ends[1], "0123456789012345678901234", 25);
    assert_ok(gcore_stream_start(stream, hear, &it));
    UNTIL(hub, it.length == 25);
    assert_int_equal(it.calls, 3);
    gcore_stream_close(stream);
    UNTIL(hub, it.ends);
    gcore_stream_unref(stream);
    close(ends[1]);
    heard_free(&it);
}
ON_EACH_BACKEND(read_size_is_kept)

static void no_system_call_but_the_read_on(gcore_hub *hub)
{
    heard it = {0};
    uint64_t syscalls;
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_send(hub, peer, "x", 1);
    UNTIL(hub, it.length == 1);
    syscalls = hub_stats(hub).syscalls;
    for (size_t i = 2; i < 100; i++) {
        fd_send(hub, peer, "x", 1);
        UNTIL(hub, it.length == i);
        assert_int_equal(WRITE_TEXT(stream, "answer"), 0);
        gcore_stream_set_read_deadline(stream, after(PATIENCE));
        assert_ok(gcore_stream_stop(stream));
        assert_ok(gcore_stream_start(stream, hear, &it));
    }
    assert_int_equal(hub_stats(hub).syscalls, syscalls);
    gcore_stream_stop(stream);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(no_system_call_but_the_read)

/* Writing */

static void partial_writes_on(gcore_hub *hub)
{
    enum { LENGTH = 900000 };
    char *bytes = pattern(LENGTH);
    gcore_piece pieces[GCORE_PIECES];
    told one = {0};
    size_t place = 0;
    int64_t queued;
    int peer;
    gcore_stream *stream = stream_and_slow_peer(hub, &peer);

    for (int i = 0; i < GCORE_PIECES; i++) {
        size_t length = i == GCORE_PIECES - 1 ? LENGTH - place
                                              : (size_t)(i * i * 5);

        pieces[i] = (gcore_piece){bytes + place, length};
        place += length;
    }
    queued = gcore_stream_write(stream, pieces, GCORE_PIECES);
    assert_true(queued > 0);
    assert_int_equal(gcore_stream_queued(stream), queued);
    for (int i = 1; i < 10; i++)
        assert_int_equal(WRITE_TEXT(stream, "more"), queued + 4 * i);
    assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
    assert_error(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one),
                 -EALREADY);
    fd_expect(hub, peer, bytes, LENGTH);
    for (int i = 1; i < 10; i++)
        fd_expect(hub, peer, "more", 4);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 0);
    assert_int_equal(gcore_stream_queued(stream), 0);
    /* Nothing is queued: told at once, in the next turn. */
    assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
    assert_int_equal(one.count, 1);
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, 0);
    gcore_stream_unref(stream);
    close(peer);
    free(bytes);
}
ON_EACH_BACKEND(partial_writes)

static void high_water_refuses_on(gcore_hub *hub)
{
    enum { LENGTH = 500000 };
    gcore_stream_options options = {.size = sizeof options,
                                    .high_water = 1000};
    char *bytes = pattern(LENGTH);
    gcore_stream *stream;
    told one = {0};
    int ends[2];

    tcp_pair_small(ends);
    assert_ok(gcore_stream_new(hub, ends[0], &options, &stream));
    assert_true(write_bytes(stream, bytes, LENGTH) > 1000);
    assert_int_equal(WRITE_TEXT(stream, "too much"), -EAGAIN);
    assert_ok(gcore_stream_drain(stream, 500, GCORE_FOREVER, tell, &one));
    fd_expect(hub, ends[1], bytes, LENGTH);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 0);
    assert_true(WRITE_TEXT(stream, "again") >= 0);
    fd_expect(hub, ends[1], "again", 5);
    gcore_stream_unref(stream);
    close(ends[1]);
    free(bytes);
}
ON_EACH_BACKEND(high_water_refuses)

/* A megabyte that nobody reads. */
static gcore_stream *stuffed(gcore_hub *hub, int *peer)
{
    static char zeros[1024 * 1024];
    gcore_stream *stream = stream_and_slow_peer(hub, peer);

    assert_true(write_bytes(stream, zeros, sizeof zeros) > 0);
    return stream;
}

static void drain_gives_up_at_its_deadline_on(gcore_hub *hub)
{
    told one = {0};
    int peer;
    gcore_stream *stream = stuffed(hub, &peer);

    assert_ok(gcore_stream_drain(stream, 0, after(MS), tell, &one));
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ETIMEDOUT);
    assert_true(gcore_stream_queued(stream) > 0);
    assert_true(WRITE_TEXT(stream, "x") == -EAGAIN ||
                gcore_stream_queued(stream) < 1024 * 1024);
    gcore_stream_close(stream);
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(drain_gives_up_at_its_deadline)

static void write_deadline_ends_the_writing_on(gcore_hub *hub)
{
    told one = {0};
    heard it = {0};
    int peer;
    gcore_stream *stream = stuffed(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_set_write_deadline(stream, after(PATIENCE)));
    assert_ok(gcore_stream_set_write_deadline(stream, after(MS)));
    assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ETIMEDOUT);
    assert_int_equal(gcore_stream_queued(stream), 0);
    assert_int_equal(WRITE_TEXT(stream, "x"), -ETIMEDOUT);
    assert_error(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one),
                 -ETIMEDOUT);
    assert_int_equal(it.ends, 0);
    fd_send(hub, peer, "x", 1);
    UNTIL(hub, it.length == 1);
    gcore_stream_stop(stream);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(write_deadline_ends_the_writing)

static void read_deadline_is_told_once_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_set_read_deadline(stream, after(5 * MS)));
    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_set_read_deadline(stream, after(10 * MS)));
    UNTIL(hub, it.ends);
    assert_int_equal(it.end, -ETIMEDOUT);
    net_settle(hub);
    assert_int_equal(it.ends, 1);
    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_send(hub, peer, "late", 4);
    UNTIL(hub, it.length == 4);
    /* What is there already comes before a deadline that has passed. */
    gcore_stream_stop(stream);
    fd_send(hub, peer, "more", 4);
    assert_ok(gcore_stream_set_read_deadline(stream, 1));
    assert_ok(gcore_stream_start(stream, hear, &it));
    UNTIL(hub, it.ends == 2);
    assert_int_equal(it.length, 8);
    /* Unset, it does not come. */
    assert_ok(gcore_stream_set_read_deadline(stream, after(MS)));
    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_set_read_deadline(stream, GCORE_FOREVER));
    for (int64_t end = after(5 * MS); gcore_clock() < end;)
        net_turn(hub);
    assert_int_equal(it.ends, 2);
    gcore_stream_close(stream);
    UNTIL(hub, it.ends == 3);
    assert_int_equal(it.end, -ECANCELED);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(read_deadline_is_told_once)

/* Turns, each of which finds bytes, until shortly after that moment. */
static void flood(gcore_hub *hub, int peer, int64_t until)
{
    static char bytes[4096];

    for (int late = 0; late < 4; late += gcore_clock() > until) {
        while (send(peer, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
            continue;
        net_turn(hub);
    }
}

/* A peer that sends without a pause does not put deadlines off. */
static void flooded_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    int64_t deadline = after(5 * MS);

    assert_ok(gcore_stream_set_read_deadline(stream, deadline));
    assert_ok(gcore_stream_start(stream, hear, &it));
    flood(hub, peer, deadline);
    assert_int_equal(it.ends, 1);
    assert_int_equal(it.end, -ETIMEDOUT);
    deadline = after(5 * MS);
    assert_ok(gcore_stream_finish(stream, deadline));
    flood(hub, peer, deadline);
    assert_true(gcore_stream_closed(stream));
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
}
ON_EACH_BACKEND(flooded)

/* Ends */

static void a_reset_is_an_error_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_reset(peer);
    UNTIL(hub, it.ends);
    assert_int_equal(it.end, -ECONNRESET);
    assert_int_equal(WRITE_TEXT(stream, "x"), -EPIPE);
    assert_int_equal(WRITE_TEXT(stream, "x"), -EPIPE);
    assert_error(gcore_stream_shutdown(stream), -EPIPE);
    gcore_stream_unref(stream);
}
ON_EACH_BACKEND(a_reset_is_an_error)

static void a_reset_ends_the_queue_on(gcore_hub *hub)
{
    told one = {0};
    int peer;
    gcore_stream *stream = stuffed(hub, &peer);

    assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
    fd_reset(peer);
    UNTIL(hub, one.count);
    assert_true(one.result == -ECONNRESET || one.result == -EPIPE);
    assert_int_equal(gcore_stream_queued(stream), 0);
    gcore_stream_unref(stream);
}
ON_EACH_BACKEND(a_reset_ends_the_queue)

static void half_close_follows_the_queue_on(gcore_hub *hub)
{
    enum { LENGTH = 400000 };
    char *bytes = pattern(LENGTH);
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_slow_peer(hub, &peer);

    assert_true(write_bytes(stream, bytes, LENGTH) > 0);
    assert_ok(gcore_stream_shutdown(stream));
    assert_ok(gcore_stream_shutdown(stream));
    assert_int_equal(WRITE_TEXT(stream, "x"), -EPIPE);
    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_expect(hub, peer, bytes, LENGTH);
    assert_int_equal(fd_end(hub, peer), 0);
    fd_send(hub, peer, "answer", 6);
    UNTIL(hub, it.length == 6);
    assert_int_equal(WRITE_TEXT(stream, "x"), -EPIPE);
    gcore_stream_stop(stream);
    gcore_stream_unref(stream);
    close(peer);
    heard_free(&it);
    free(bytes);
}
ON_EACH_BACKEND(half_close_follows_the_queue)

/* What pends completes once, in the next turn, and nothing after that. */
static void closing_cancels_on(gcore_hub *hub)
{
    heard it = {0};
    told one = {0}, two = {0};
    char byte;
    int peer, other;
    gcore_stream *stream = stuffed(hub, &peer);
    gcore_stream *reader = stream_and_peer(hub, &other);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_drain(stream, 0, after(PATIENCE), tell, &one));
    assert_ok(gcore_stream_read(reader, &byte, 1, after(PATIENCE), tell,
                                &two));
    assert_ok(gcore_stream_close(stream));
    assert_ok(gcore_stream_close(reader));
    gcore_stream_unref(stream);
    gcore_stream_unref(reader);
    assert_int_equal(it.ends + one.count + two.count, 0);
    UNTIL(hub, it.ends && one.count && two.count);
    net_settle(hub);
    assert_int_equal(it.ends, 1);
    assert_int_equal(it.end, -ECANCELED);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    assert_int_equal(two.count, 1);
    assert_int_equal(two.result, -ECANCELED);
    close(peer);
    close(other);
}
ON_EACH_BACKEND(closing_cancels)

/* What is stopped is not told, not even that it was closed. */
static void stopping_what_is_closed_on(gcore_hub *hub)
{
    heard it = {0};
    told read = {0};
    int peer, other;
    char byte;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    gcore_stream *reader = stream_and_peer(hub, &other);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_read(reader, &byte, 1, after(PATIENCE), tell,
                                &read));
    gcore_stream_close(stream);
    gcore_stream_close(reader);
    assert_ok(gcore_stream_stop(stream));
    assert_ok(gcore_stream_stop(reader));
    gcore_stream_unref(stream);
    gcore_stream_unref(reader);
    net_settle(hub);
    assert_int_equal(it.ends, 0);
    assert_int_equal(read.count, 0);
    close(peer);
    close(other);
}
ON_EACH_BACKEND(stopping_what_is_closed)

/* Nor does that keep it open. */
static void stopping_what_finishes_on(gcore_hub *hub)
{
    told read = {0};
    int peer;
    char byte;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_read(stream, &byte, 1, after(PATIENCE), tell,
                                &read));
    assert_ok(gcore_stream_finish(stream, after(MS)));
    assert_ok(gcore_stream_stop(stream));
    UNTIL(hub, gcore_stream_closed(stream));
    assert_int_equal(read.count, 0);
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(stopping_what_finishes)

/* Whose data the function is just looking at. */
static void close_in_the_middle(void *arg, void *data, int64_t result)
{
    gcore_stream **stream = arg;

    if (result <= 0) {
        assert_int_equal(result, -ECANCELED);
        *stream = NULL;
        return;
    }
    assert_int_equal(WRITE_TEXT(*stream, "bye"), 0);
    assert_ok(gcore_stream_close(*stream));
    gcore_stream_unref(*stream);
    assert_memory_equal(data, "x", 1);
}

static void closing_inside_a_callback_on(gcore_hub *hub)
{
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, close_in_the_middle, &stream));
    fd_send(hub, peer, "xyz", 3);
    UNTIL(hub, !stream);
    fd_expect(hub, peer, "bye", 3);
    close(peer);
}
ON_EACH_BACKEND(closing_inside_a_callback)

struct two {
    gcore_stream *streams[2];
    int ends;
};

/* The one that is told first closes the other, which may be ready too. */
static void close_both(void *arg, void *data, int64_t result)
{
    struct two *it = arg;

    (void)data;
    if (result <= 0) {
        assert_int_equal(result, -ECANCELED);
        it->ends++;
        return;
    }
    for (int i = 0; i < 2; i++)
        assert_ok(gcore_stream_close(it->streams[i]));
}

static void closing_another_that_is_ready_on(gcore_hub *hub)
{
    struct two it = {.ends = 0};
    int peers[2];

    for (int i = 0; i < 2; i++) {
        it.streams[i] = stream_and_peer(hub, &peers[i]);
        assert_ok(gcore_stream_start(it.streams[i], close_both, &it));
        fd_send(NULL, peers[i], "x", 1);
    }
    UNTIL(hub, it.ends == 2);
    net_settle(hub);
    assert_int_equal(it.ends, 2);
    for (int i = 0; i < 2; i++) {
        gcore_stream_unref(it.streams[i]);
        close(peers[i]);
    }
}
ON_EACH_BACKEND(closing_another_that_is_ready)

static void closing_the_hub_cancels(void **state)
{
    heard it = {0};
    told one = {0}, two = {0};
    char byte;
    int peers[3];
    gcore_hub *hub = hub_new();
    gcore_stream *full = stuffed(hub, &peers[0]);
    gcore_stream *started = stream_and_peer(hub, &peers[1]);
    gcore_stream *reading = stream_and_peer(hub, &peers[2]);

    (void)state;
    assert_ok(gcore_stream_start(started, hear, &it));
    assert_ok(gcore_stream_set_read_deadline(started, after(PATIENCE)));
    assert_ok(gcore_stream_unread(started, "x", 1));
    assert_ok(gcore_stream_drain(full, 0, after(PATIENCE), tell, &one));
    assert_ok(gcore_stream_read(reading, &byte, 1, after(PATIENCE), tell,
                                &two));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(it.ends, 1);
    assert_int_equal(it.end, -ECANCELED);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    assert_int_equal(two.count, 1);
    assert_int_equal(two.result, -ECANCELED);
    assert_error(gcore_stream_start(started, hear, &it), -ESHUTDOWN);
    assert_int_equal(WRITE_TEXT(started, "x"), -ESHUTDOWN);
    gcore_stream_unref(full);
    gcore_stream_unref(started);
    gcore_stream_finish(reading, GCORE_FOREVER);
    gcore_stream_unref(reading);
    gcore_hub_unref(hub);
    for (int i = 0; i < 3; i++)
        close(peers[i]);
    heard_free(&it);
}

static void close_hub(void *arg, void *data, int64_t result)
{
    gcore_stream *stream = arg;

    (void)data;
    if (result > 0)
        gcore_hub_close(gcore_stream_hub(stream));
    else
        gcore_stream_unref(stream);
}

static void closing_the_hub_inside_a_callback(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    (void)state;
    assert_ok(gcore_stream_start(stream, close_hub, stream));
    fd_send(NULL, peer, "x", 1);
    assert_error(hub_poll_again(hub, &out, 1, after(PATIENCE)), -ESHUTDOWN);
    gcore_hub_unref(hub);
    close(peer);
}

/* The peer has sent what nobody reads, and must get the answer all the
 * same, not a reset. */
static void finishing_lets_the_answer_through_on(gcore_hub *hub)
{
    enum { LENGTH = 200000 };
    char *bytes = pattern(LENGTH);
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    fd_send(hub, peer, bytes, LENGTH);
    UNTIL(hub, it.length > 0);
    assert_ok(gcore_stream_unread(stream, "x", 1));
    assert_true(write_bytes(stream, bytes, LENGTH) >= 0);
    assert_ok(gcore_stream_finish(stream, after(PATIENCE)));
    assert_ok(gcore_stream_finish(stream, after(PATIENCE)));
    assert_error(gcore_stream_start(stream, hear, &it), -ESHUTDOWN);
    assert_int_equal(WRITE_TEXT(stream, "x"), -EPIPE);
    fd_send(hub, peer, bytes, LENGTH);
    fd_expect(hub, peer, bytes, LENGTH);
    assert_int_equal(fd_end(hub, peer), 0);
    net_settle(hub);
    assert_int_equal(gcore_stream_closed(stream), 0);
    assert_int_equal(it.ends, 0);
    close(peer);
    UNTIL(hub, gcore_stream_closed(stream));
    gcore_stream_unref(stream);
    heard_free(&it);
    free(bytes);
}
ON_EACH_BACKEND(finishing_lets_the_answer_through)

static void finishing_needs_no_owner_on(gcore_hub *hub)
{
    char byte;
    told one = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_read(stream, &byte, 1, GCORE_FOREVER, tell, &one));
    assert_int_equal(WRITE_TEXT(stream, "done"), 0);
    assert_ok(gcore_stream_finish(stream, after(PATIENCE)));
    gcore_stream_unref(stream);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ECANCELED);
    fd_expect(hub, peer, "done", 4);
    assert_int_equal(fd_end(hub, peer), 0);
    assert_true(gcore_hub_active(hub) > 0);
    close(peer);
    UNTIL(hub, gcore_hub_active(hub) == 0);
}
ON_EACH_BACKEND(finishing_needs_no_owner)

/* A peer that neither reads nor ends. */
static void finishing_ends_at_the_deadline_on(gcore_hub *hub)
{
    int peer, full;
    gcore_stream *idle = stream_and_peer(hub, &peer);
    gcore_stream *queue = stuffed(hub, &full);

    assert_ok(gcore_stream_finish(idle, after(MS)));
    assert_ok(gcore_stream_finish(queue, after(MS)));
    UNTIL(hub, gcore_stream_closed(idle) && gcore_stream_closed(queue));
    gcore_stream_unref(idle);
    gcore_stream_unref(queue);
    close(peer);
    close(full);
}
ON_EACH_BACKEND(finishing_ends_at_the_deadline)

static void finishing_after_the_peers_end_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    shutdown(peer, SHUT_WR);
    UNTIL(hub, it.ends);
    assert_int_equal(WRITE_TEXT(stream, "bye"), 0);
    assert_ok(gcore_stream_finish(stream, after(PATIENCE)));
    assert_int_equal(gcore_stream_closed(stream), 1);
    fd_expect(hub, peer, "bye", 3);
    gcore_stream_unref(stream);
    close(peer);
}
ON_EACH_BACKEND(finishing_after_the_peers_end)

static void reset_in_the_child(void *arg)
{
    gcore_stream_reset(arg);
}

static void resetting_on(gcore_hub *hub)
{
    heard it = {0};
    told one = {0};
    int peer, full;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    gcore_stream *queue = stuffed(hub, &full);

    assert_ok(gcore_stream_start(stream, hear, &it));
    in_child(reset_in_the_child, stream);
    assert_int_equal(WRITE_TEXT(stream, "still ours"), 0);
    fd_expect(hub, peer, "still ours", 10);
    assert_ok(gcore_stream_drain(queue, 0, GCORE_FOREVER, tell, &one));
    assert_ok(gcore_stream_reset(stream));
    assert_ok(gcore_stream_reset(stream));
    assert_ok(gcore_stream_reset(queue));
    UNTIL(hub, it.ends && one.count);
    assert_int_equal(it.end, -ECANCELED);
    assert_int_equal(one.result, -ECANCELED);
    assert_int_equal(fd_end(hub, peer), -ECONNRESET);
    gcore_stream_unref(stream);
    gcore_stream_unref(queue);
    close(peer);
    close(full);
}
ON_EACH_BACKEND(resetting)

/* A stream whose writing has failed is closed at once: what was started is
 * not told then either. */
static void finishing_after_a_failure_on(gcore_hub *hub)
{
    heard it = {0};
    int peer;
    gcore_stream *stream = stuffed(hub, &peer);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_set_write_deadline(stream, after(MS)));
    UNTIL(hub, gcore_stream_queued(stream) == 0);
    assert_ok(gcore_stream_finish(stream, after(PATIENCE)));
    assert_int_equal(gcore_stream_closed(stream), 1);
    gcore_stream_unref(stream);
    net_settle(hub);
    assert_int_equal(it.ends, 0);
    close(peer);
}
ON_EACH_BACKEND(finishing_after_a_failure)

static void detaching_on(gcore_hub *hub)
{
    heard it = {0};
    char buffer[8];
    int peer, full, fd = -1;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    gcore_stream *queue = stuffed(hub, &full);

    assert_ok(gcore_stream_start(stream, hear, &it));
    assert_ok(gcore_stream_unread(stream, "read", 4));
    assert_int_equal(gcore_stream_detach(stream, &fd, buffer, 3), -ENOSPC);
    assert_int_equal(gcore_stream_detach(queue, &fd, buffer, 3), -EAGAIN);
    assert_int_equal(fd, -1);
    assert_int_equal(gcore_stream_detach(stream, &fd, buffer, 8), 4);
    assert_memory_equal(buffer, "read", 4);
    assert_int_equal(gcore_stream_closed(stream), 1);
    assert_int_equal(gcore_stream_detach(stream, &fd, buffer, 8),
                     -ESHUTDOWN);
    fd_send(NULL, peer, "ours", 4);
    fd_expect(NULL, fd, "ours", 4);
    UNTIL(hub, it.ends);
    assert_int_equal(it.end, -ECANCELED);
    gcore_stream_unref(stream);
    gcore_stream_close(queue);
    gcore_stream_unref(queue);
    close(fd);
    close(peer);
    close(full);
}
ON_EACH_BACKEND(detaching)

/* Connecting */

static void connecting_on(gcore_hub *hub)
{
    gcore_address address = local_address("127.0.0.1:0"), found;
    gcore_listener *listener;
    gcore_stream *stream;
    told one = {0};
    char text[GCORE_ADDRESS_TEXT], same[GCORE_ADDRESS_TEXT];
    int fd = -1;

    assert_ok(gcore_listener_new(hub, &address, NULL, &listener));
    assert_ok(gcore_listener_address(listener, &address));
    assert_true(gcore_address_port(&address) > 0);
    assert_ok(gcore_stream_connect(hub, &address, NULL, after(PATIENCE), tell,
                                   &one, &stream));
    assert_int_equal(one.count, 0);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 0);
    assert_ok(gcore_stream_peer(stream, &found));
    assert_true(gcore_address_format(&address, text, sizeof text) > 0);
    assert_true(gcore_address_format(&found, same, sizeof same) > 0);
    assert_string_equal(text, same);
    assert_ok(gcore_stream_local(stream, &found));
    assert_true(gcore_address_port(&found) > 0);
    assert_int_equal(WRITE_TEXT(stream, "hi"), 0);
    fd = accept(gcore_listener_fd(listener), NULL, NULL);
    assert_true(fd >= 0);
    fd_expect(hub, fd, "hi", 2);
    close(fd);
    gcore_stream_unref(stream);

    gcore_listener_unref(listener);
    if (gcore_stream_connect(hub, &address, NULL, after(PATIENCE), tell, &one,
                             &stream) == 0) {
        UNTIL(hub, one.count == 2);
        assert_int_equal(one.result, -ECONNREFUSED);
        assert_int_equal(WRITE_TEXT(stream, "x"), -ECONNREFUSED);
        gcore_stream_unref(stream);
    }
}
ON_EACH_BACKEND(connecting)

/* A listener whose backlog is full answers nobody. */
static void connecting_gives_up_on(gcore_hub *hub)
{
    enum { MANY = 8 };
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener_options options = {.size = sizeof options, .backlog = 1};
    gcore_listener *listener;
    gcore_stream *streams[MANY], *last;
    told ones[MANY] = {{0}}, one = {0};
    int failed = 0;

    assert_ok(gcore_listener_new(hub, &address, &options, &listener));
    assert_ok(gcore_listener_address(listener, &address));
    for (int i = 0; i < MANY; i++)
        assert_ok(gcore_stream_connect(hub, &address, NULL, after(20 * MS),
                                       tell, &ones[i], &streams[i]));
    assert_ok(gcore_stream_connect(hub, &address, NULL, after(PATIENCE), tell,
                                   &one, &last));
    assert_int_equal(WRITE_TEXT(last, "x"), -ENOTCONN);
    assert_ok(gcore_stream_close(last));
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ECANCELED);
    for (int i = 0; i < MANY; i++) {
        UNTIL(hub, ones[i].count);
        assert_true(ones[i].result == 0 || ones[i].result == -ETIMEDOUT);
        failed += ones[i].result < 0;
        gcore_stream_unref(streams[i]);
    }
    assert_true(failed > 0);
    gcore_stream_unref(last);
    gcore_listener_unref(listener);
}
ON_EACH_BACKEND(connecting_gives_up)

/* Processes and threads */

static void in_the_child(void *arg)
{
    gcore_stream **streams = arg;
    gcore_hub *hub = gcore_stream_hub(streams[0]);
    heard it = {0};
    told one = {0};

    CHILD_CHECK(gcore_stream_drain(streams[0], 0, after(PATIENCE), tell,
                                   &one) == 0);
    while (!one.count)
        net_turn(hub);
    CHILD_CHECK(one.result == -ECANCELED);
    CHILD_CHECK(WRITE_TEXT(streams[0], "mine") == -ECANCELED);
    CHILD_CHECK(gcore_stream_queued(streams[0]) == 0);
    /* An idle stream can be used, by whoever reads first. */
    CHILD_CHECK(gcore_stream_start(streams[1], hear, &it) == 0);
    while (it.length < 2)
        net_turn(hub);
    CHILD_CHECK(WRITE_TEXT(streams[1], "yes") == 0);
    gcore_stream_close(streams[0]);
    gcore_stream_close(streams[1]);
    free(it.bytes);
}

static void a_forked_child_sends_nothing_queued_on(gcore_hub *hub)
{
    enum { LENGTH = 600000 };
    char *bytes = pattern(LENGTH);
    gcore_stream *streams[2];
    int peers[2];

    streams[0] = stream_and_slow_peer(hub, &peers[0]);
    streams[1] = stream_and_peer(hub, &peers[1]);
    assert_true(write_bytes(streams[0], bytes, LENGTH) > 0);
    fd_send(NULL, peers[1], "ok", 2);
    in_child(in_the_child, streams);
    fd_expect(hub, peers[1], "yes", 3);
    /* The parent's queue is complete, and its stream still open. */
    fd_expect(hub, peers[0], bytes, LENGTH);
    assert_int_equal(WRITE_TEXT(streams[0], "end"), 0);
    fd_expect(hub, peers[0], "end", 3);
    for (int i = 0; i < 2; i++) {
        gcore_stream_unref(streams[i]);
        close(peers[i]);
    }
    free(bytes);
}
ON_EACH_BACKEND(a_forked_child_sends_nothing_queued)

static void echo(void *arg, void *data, int64_t result)
{
    gcore_stream *stream = arg;

    if (result > 0) {
        write_bytes(stream, data, (size_t)result);
        return;
    }
    gcore_stream_unref(stream);
}

static int64_t start_echo(void *arg)
{
    return gcore_stream_start(arg, echo, arg);
}

static int64_t drop_stream(void *arg)
{
    gcore_stream_close(arg);
    return 0;
}

static void on_a_background_hub(void **state)
{
    enum { LENGTH = 100000 };
    char *bytes = pattern(LENGTH);
    gcore_hub *hub = hub_new();
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    int64_t result = -1;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_call(hub, start_echo, stream, after(PATIENCE),
                             &result));
    assert_int_equal(result, 0);
    fd_send(NULL, peer, bytes, LENGTH);
    fd_expect(NULL, peer, bytes, LENGTH);
    assert_ok(gcore_hub_call(hub, drop_stream, stream, after(PATIENCE),
                             NULL));
    assert_int_equal(fd_end(NULL, peer), 0);
    hub_end(hub);
    close(peer);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(what_arrives_is_heard),
        TEST(stopping_leaves_bytes_in_the_kernel),
        TEST(one_read),
        TEST(a_stopped_read_loses_nothing),
        TEST(bytes_put_back_come_first),
        TEST(no_gap),
        TEST(read_size_is_kept),
        TEST(no_system_call_but_the_read),
        TEST(partial_writes),
        TEST(high_water_refuses),
        TEST(drain_gives_up_at_its_deadline),
        TEST(write_deadline_ends_the_writing),
        TEST(read_deadline_is_told_once),
        TEST(flooded),
        TEST(a_reset_is_an_error),
        TEST(a_reset_ends_the_queue),
        TEST(half_close_follows_the_queue),
        TEST(closing_cancels),
        TEST(stopping_what_is_closed),
        TEST(stopping_what_finishes),
        TEST(closing_inside_a_callback),
        TEST(closing_another_that_is_ready),
        TEST(closing_the_hub_cancels),
        TEST(closing_the_hub_inside_a_callback),
        TEST(finishing_lets_the_answer_through),
        TEST(finishing_needs_no_owner),
        TEST(finishing_ends_at_the_deadline),
        TEST(finishing_after_the_peers_end),
        TEST(resetting),
        TEST(finishing_after_a_failure),
        TEST(detaching),
        TEST(connecting),
        TEST(connecting_gives_up),
        TEST(a_forked_child_sends_nothing_queued),
        TEST(on_a_background_hub),
    };

    return RUN(tests);
}
