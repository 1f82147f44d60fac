/*
 * Two connected streams, and thousands of random operations on them, inside
 * and outside of callbacks: bytes arrive in order and once, whatever is
 * started is told its end at most once and never after it was stopped, and
 * nothing is left.
 */
#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_READ = 5000, STEPS = 400 };

/* What the n-th byte of a direction is. */
static char byte_at(size_t n)
{
    return (char)(n * 167 + n / 251);
}

struct end {
    struct run *run;
    struct end *peer;
    gcore_stream *stream;
    size_t written; /* bytes given to writes that were not refused */
    size_t read;
    bool started;
    bool reading;
    bool draining;
    bool told_end;
    bool broken; /* closed, finished, or its writing has failed */
    char buffer[MOST_READ];
};

struct run {
    gcore_hub *hub;
    unsigned seed;
    struct end ends[2];
    int depth;
};

static unsigned draw(struct run *run, unsigned below)
{
    run->seed = run->seed * 1664525u + 1013904223u;
    return (run->seed >> 10) % below;
}

static void act(struct end *it);

static void check_bytes(struct end *it, const char *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(data[i], byte_at(it->read + (size_t)i));
    it->read += (size_t)count;
    assert_true(it->read <= it->peer->written);
}

/* Inside a callback, a few more operations. */
static void act_inside(struct end *it)
{
    if (it->run->depth > 0)
        return;
    it->run->depth++;
    while (draw(it->run, 2))
        act(&it->run->ends[draw(it->run, 2)]);
    it->run->depth--;
}

static void check_end(struct end *it, int64_t result)
{
    if (result == 0 && !it->peer->broken)
        it->told_end = true;
    assert_true(result <= 0);
}

static void hear_random(void *arg, void *data, int64_t result)
{
    struct end *it = arg;
    size_t back;

    assert_true(it->started);
    if (result <= 0) {
        it->started = false;
        check_end(it, result);
        act_inside(it);
        return;
    }
    check_bytes(it, data, result);
    /* Some of it is put back, and must come again. */
    back = draw(it->run, 4) == 0 ? draw(it->run, (unsigned)result + 1) : 0;
    if (back && gcore_stream_unread(it->stream,
                                    (char *)data + result - (int64_t)back,
                                    back) == 0)
        it->read -= back;
    act_inside(it);
}

static void told_read(void *arg, int64_t result)
{
    struct end *it = arg;

    assert_true(it->reading);
    it->reading = false;
    if (result > 0)
        check_bytes(it, it->buffer, result);
    else
        check_end(it, result);
    act_inside(it);
}

static void told_drain(void *arg, int64_t result)
{
    struct end *it = arg;

    assert_true(it->draining);
    assert_true(result <= 0);
    it->draining = false;
    act_inside(it);
}

static void write_some(struct end *it)
{
    static char bytes[60000];
    gcore_piece pieces[3];
    size_t length = 1 + draw(it->run, draw(it->run, 8) ? 500 : 60000);
    size_t cut = draw(it->run, (unsigned)length + 1);
    int64_t result;

    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(it->written + i);
    pieces[0] = (gcore_piece){bytes, cut};
    pieces[1] = (gcore_piece){NULL, 0};
    pieces[2] = (gcore_piece){bytes + cut, length - cut};
    it->written += length; /* the peer may see them inside */
    result = gcore_stream_write(it->stream, pieces, 3);
    if (result < 0) {
        assert_true(result == -EAGAIN || result == -ESHUTDOWN ||
                    result == -EPIPE || result == -ECONNRESET ||
                    result == -ETIMEDOUT);
        if (result == -EAGAIN || result == -ESHUTDOWN)
            it->written -= length;
    }
}

static int64_t soon(struct run *run)
{
    return draw(run, 4) ? GCORE_FOREVER
                        : after((int64_t)draw(run, 3) * MS / 2);
}

static void begin_read(struct end *it)
{
    int error;

    if (draw(it->run, 2)) {
        error = gcore_stream_start(it->stream, hear_random, it);
        it->started |= error == 0;
    } else {
        error = gcore_stream_read(it->stream, it->buffer,
                                  1 + draw(it->run, MOST_READ),
                                  soon(it->run), told_read, it);
        it->reading |= error == 0;
    }
    assert_true(error == 0 || error == -EALREADY || error == -ESHUTDOWN);
}

static void stop_reading(struct end *it)
{
    assert_ok(gcore_stream_stop(it->stream));
    it->started = it->reading = false;
}

static void end_somehow(struct end *it)
{
    it->broken = true;
    switch (draw(it->run, 3)) {
    case 0: gcore_stream_close(it->stream); break;
    case 1: gcore_stream_shutdown(it->stream); break;
    default:
        gcore_stream_finish(it->stream,
                            after((int64_t)draw(it->run, 4) * MS));
        it->started = false;
    }
}

static void act(struct end *it)
{
    struct run *run = it->run;
    unsigned what = draw(run, 100);

    if (what < 40) {
        write_some(it);
    } else if (what < 70) {
        begin_read(it);
    } else if (what < 80) {
        stop_reading(it);
    } else if (what < 88) {
        int error = gcore_stream_drain(it->stream, draw(run, 3000),
                                       soon(run), told_drain, it);

        it->draining |= error == 0;
    } else if (what < 94) {
        gcore_stream_set_read_deadline(it->stream, soon(run));
    } else if (what < 96 && draw(run, 10) == 0) {
        gcore_stream_set_write_deadline(it->stream, soon(run));
    } else if (what == 99 && draw(run, 6) == 0) {
        end_somehow(it);
    }
}

static void make_ends(struct run *run)
{
    gcore_stream_options options = {.size = sizeof options,
                                    .high_water = 100000,
                                    .read_size = 3000};
    int fds[2];

    if (draw(run, 2))
        tcp_pair_small(fds);
    else
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        run->ends[i].run = run;
        run->ends[i].peer = &run->ends[1 - i];
        assert_ok(gcore_stream_new(run->hub, fds[i], &options,
                                   &run->ends[i].stream));
    }
}

static bool quiet(const struct run *run)
{
    for (int i = 0; i < 2; i++)
        if (run->ends[i].started || run->ends[i].reading ||
            run->ends[i].draining)
            return false;
    return true;
}

static void run_once(const char *backend, unsigned seed)
{
    struct run *run = calloc(1, sizeof *run);
    gcore_completion out;

    assert_non_null(run);
    run->hub = hub_new_backend(backend);
    run->seed = seed;
    make_ends(run);
    for (int i = 0; i < STEPS; i++) {
        act(&run->ends[draw(run, 2)]);
        if (draw(run, 3) == 0)
            gcore_hub_poll(run->hub, &out, 1, GCORE_NOW);
    }
    if (draw(run, 2)) {
        run->depth = 1; /* no more operations */
        gcore_hub_close(run->hub);
        assert_true(quiet(run));
    } else {
        run->depth = 1;
        for (int i = 0; i < 2; i++)
            gcore_stream_close(run->ends[i].stream);
        UNTIL(run->hub, quiet(run));
        net_settle(run->hub);
    }
    for (int i = 0; i < 2; i++)
        gcore_stream_unref(run->ends[i].stream);
    gcore_hub_close(run->hub);
    gcore_hub_unref(run->hub);
    free(run);
}

static void random_operations(void **state)
{
    static const char *const backends[] = {"epoll", "poll", "select"};
    int runs = support_times(600);

    (void)state;
    for (int i = 0; i < runs; i++) {
        int64_t blocks = gcore_allocator_live();
        int descriptors = support_descriptors();

        if (i % 50 == 0) /* so that a failure can be found again */
            print_message("seeds from %d\n", i);
        run_once(backends[i % 3], (unsigned)i);
        if (gcore_allocator_live() != blocks ||
            support_descriptors() != descriptors)
            print_error("seed %d leaves something\n", i);
        assert_int_equal(gcore_allocator_live(), blocks);
        assert_int_equal(support_descriptors(), descriptors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(random_operations)};

    return RUN(tests);
}
