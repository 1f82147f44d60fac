/* Readiness of descriptors: many waiters, closed and reused numbers, no
 * system call on the steady path. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const backends[] = {"epoll", "poll", "select"};
enum { BACKENDS = 3 };

/* Runs a test on each backend. */
#define ON_EACH_BACKEND(name)                                                 \
    static void name(void **state)                                            \
    {                                                                         \
        (void)state;                                                          \
        for (int b = 0; b < BACKENDS; b++) {                                  \
            gcore_hub *hub = hub_new_backend(backends[b]);                    \
            name##_on(hub);                                                   \
            hub_end(hub);                                                     \
        }                                                                     \
    }

static gcore_watch *io_start(gcore_hub *hub, int fd, unsigned events,
                             unsigned flags, void *arg)
{
    gcore_watch *watch;

    assert_ok(gcore_io_new(hub, fd, events, &watch));
    assert_ok(gcore_watch_start(watch, flags, GCORE_FOREVER, GCORE_COMPLETE,
                                arg ? arg : watch));
    return watch;
}

/* Nothing is there now: one turn that does not wait says so. */
static void assert_quiet(gcore_hub *hub)
{
    gcore_completion out;

    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
}

static void arguments_are_checked_on(gcore_hub *hub)
{
    gcore_watch *watch = NULL;
    int ends[2];

    make_pipe(ends);
    assert_error(gcore_io_new(hub, -1, GCORE_READ, &watch), -EINVAL);
    assert_error(gcore_io_new(hub, ends[0], 0, &watch), -EINVAL);
    assert_error(gcore_io_new(hub, ends[0], 4, &watch), -EINVAL);
    close_pipe(ends);
    assert_error(gcore_io_new(hub, ends[0], GCORE_READ, &watch), -EBADF);
    assert_null(watch);
}
ON_EACH_BACKEND(arguments_are_checked)

static void both_directions_on(gcore_hub *hub)
{
    gcore_completion out[4];
    gcore_watch *reader, *writer, *both;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    reader = io_start(hub, ends[0], GCORE_READ, 0, NULL);
    writer = io_start(hub, ends[0], GCORE_WRITE, 0, NULL);
    both = io_start(hub, ends[0], GCORE_READ | GCORE_WRITE, 0, NULL);
    assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 2);
    for (int i = 0; i < 2; i++) {
        assert_true(out[i].arg == writer || out[i].arg == both);
        assert_int_equal(out[i].result, GCORE_WRITE);
    }
    make_ready(ends);
    assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(out[i].result,
                         out[i].arg == reader   ? GCORE_READ
                         : out[i].arg == writer ? GCORE_WRITE
                                                : GCORE_READ | GCORE_WRITE);
    gcore_watch_stop(writer);
    gcore_watch_stop(both);
    assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, reader);
    gcore_watch_stop(reader);
    assert_int_equal(gcore_hub_active(hub), 0);
    gcore_watch_unref(reader);
    gcore_watch_unref(writer);
    gcore_watch_unref(both);
    gcore_hub_forget_fd(hub, ends[0], -EBADF);
    close_pipe(ends);
}
ON_EACH_BACKEND(both_directions)

static void level_triggered_on(gcore_hub *hub)
{
    gcore_completion out[4];
    gcore_watch *watch;
    int ends[2];

    make_pipe(ends);
    make_ready(ends);
    watch = io_start(hub, ends[0], GCORE_READ, 0, NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 1);
    drain(ends);
    gcore_hub_retain(hub);
    assert_quiet(hub);
    gcore_hub_release(hub);
    make_ready(ends);
    assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 1);
    gcore_watch_stop(watch);
    gcore_watch_unref(watch);
    close_pipe(ends);
}
ON_EACH_BACKEND(level_triggered)

static void many_waiters_on(gcore_hub *hub)
{
    enum { MANY = 200 };
    gcore_completion out[2 * MANY];
    gcore_watch *readers[MANY], *writers[MANY];
    int ends[2], got = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    make_ready(ends);
    for (int i = 0; i < MANY; i++) {
        readers[i] = io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, NULL);
        writers[i] = io_start(hub, ends[0], GCORE_WRITE, GCORE_ONCE, NULL);
    }
    while (got < 2 * MANY) {
        int count = hub_poll_again(hub, out + got, 2 * MANY - got,
                                   after(PATIENCE));

        assert_true(count > 0);
        got += count;
    }
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    for (int i = 0; i < MANY; i++) {
        gcore_watch_unref(readers[i]);
        gcore_watch_unref(writers[i]);
    }
    close_pipe(ends);
}
ON_EACH_BACKEND(many_waiters)

static void deadline_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *late, *ready;
    int a[2], b[2];
    int64_t deadline;

    make_pipe(a);
    make_pipe(b);
    make_ready(b);
    assert_ok(gcore_io_new(hub, a[0], GCORE_READ, &late));
    assert_ok(gcore_io_new(hub, b[0], GCORE_READ, &ready));
    assert_ok(gcore_watch_start(ready, GCORE_ONCE, after(PATIENCE),
                                GCORE_COMPLETE, ready));
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, ready);
    assert_int_equal(out[0].result, GCORE_READ);
    assert_int_equal(gcore_watch_deadline(ready), GCORE_FOREVER);
    deadline = after(3 * MS);
    assert_ok(gcore_watch_start(late, GCORE_ONCE, deadline, GCORE_COMPLETE,
                                late));
    assert_int_equal(gcore_watch_deadline(late), deadline);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, late);
    assert_int_equal(out[0].result, -ETIMEDOUT);
    assert_true(gcore_clock() >= deadline);
    assert_int_equal(gcore_watch_active(late), 0);
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);

    /* One that stays started ends at its deadline too. */
    drain(b);
    assert_ok(gcore_watch_start(ready, 0, after(MS), GCORE_COMPLETE, ready));
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, -ETIMEDOUT);
    assert_int_equal(gcore_watch_active(ready), 0);
    gcore_watch_unref(late);
    gcore_watch_unref(ready);
    close_pipe(a);
    close_pipe(b);
}
ON_EACH_BACKEND(deadline)

/* Readiness that is there at the deadline wins over the deadline. */
static void ready_at_the_deadline_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *watch;
    int ends[2];

    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &watch));
    assert_ok(gcore_watch_start(watch, GCORE_ONCE, GCORE_NOW, GCORE_COMPLETE,
                                watch));
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, GCORE_READ);
    gcore_watch_unref(watch);
    close_pipe(ends);
}
ON_EACH_BACKEND(ready_at_the_deadline)

static void hang_up_is_readable_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *watch;
    int ends[2];

    make_pipe(ends);
    watch = io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, NULL);
    close(ends[1]);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_true(out[0].result & GCORE_READ);
    gcore_watch_unref(watch);
    close(ends[0]);
}
ON_EACH_BACKEND(hang_up_is_readable)

static void forget_ends_the_waits_on(gcore_hub *hub)
{
    gcore_completion out[8];
    gcore_watch *reader, *writer, *stopped;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    reader = io_start(hub, ends[0], GCORE_READ, 0, NULL);
    writer = io_start(hub, ends[1], GCORE_READ, GCORE_ONCE, NULL);
    stopped = io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, NULL);
    gcore_watch_stop(stopped);
    assert_quiet(hub);
    assert_error(gcore_hub_forget_fd(hub, -1, -EBADF), -EINVAL);
    assert_error(gcore_hub_forget_fd(hub, ends[0], 0), -EINVAL);
    assert_error(gcore_hub_forget_fd(hub, ends[0], 7), -EINVAL);
    assert_int_equal(gcore_hub_forget_fd(hub, ends[0], -EBADF), 1);
    assert_int_equal(gcore_hub_forget_fd(hub, ends[0], -EBADF), 0);
    close(ends[0]);
    assert_int_equal(gcore_watch_active(reader), 0);
    assert_int_equal(hub_poll_again(hub, out, 8, after(PATIENCE)), 2);
    for (int i = 0; i < 2; i++) {
        if (out[i].arg == reader)
            assert_int_equal(out[i].result, -EBADF);
        else
            assert_int_equal(out[i].result, GCORE_READ); /* end of file */
    }
    close(ends[1]);
    gcore_watch_unref(reader);
    gcore_watch_unref(writer);
    gcore_watch_unref(stopped);
}
ON_EACH_BACKEND(forget_ends_the_waits)

/* A number that was closed and reused without a word to the hub is safe to
 * watch anew. */
static void reused_number_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *first, *second;
    int a[2], b[2];

    make_pipe(a);
    first = io_start(hub, a[0], GCORE_READ, 0, NULL);
    gcore_hub_retain(hub);
    assert_quiet(hub);
    gcore_watch_stop(first);
    gcore_watch_unref(first);
    close_pipe(a);
    make_pipe(b);
    assert_int_equal(b[0], a[0]); /* the lowest free numbers are taken */
    second = io_start(hub, b[0], GCORE_READ, GCORE_ONCE, NULL);
    assert_quiet(hub);
    make_ready(b);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, second);
    gcore_watch_unref(second);
    close_pipe(b);
    gcore_hub_release(hub);
}
ON_EACH_BACKEND(reused_number)

/* The same while the first watch is still started: nothing aborts, nothing
 * spins, and the new watch is told. */
static void reused_number_while_waited_for_on(gcore_hub *hub)
{
    gcore_completion out[4];
    gcore_watch *first, *second;
    int a[2], b[2], got;
    bool told_second = false;

    make_pipe(a);
    first = io_start(hub, a[0], GCORE_READ, GCORE_ONCE, NULL);
    gcore_hub_retain(hub);
    assert_quiet(hub);
    close_pipe(a);
    make_pipe(b);
    assert_int_equal(b[0], a[0]);
    second = io_start(hub, b[0], GCORE_READ, GCORE_ONCE, NULL);
    make_ready(b);
    while (!told_second) {
        got = hub_poll_again(hub, out, 4, after(PATIENCE));
        assert_true(got > 0);
        for (int i = 0; i < got; i++)
            told_second |= out[i].arg == second;
    }
    gcore_watch_stop(first);
    gcore_watch_unref(first);
    gcore_watch_unref(second);
    gcore_hub_release(hub);
    close_pipe(b);
}
ON_EACH_BACKEND(reused_number_while_waited_for)

static void dup2_over_a_watched_number_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *watch;
    int a[2], b[2];

    make_pipe(a);
    make_pipe(b);
    watch = io_start(hub, a[0], GCORE_READ, 0, NULL);
    gcore_hub_retain(hub);
    assert_quiet(hub);
    assert_int_equal(gcore_hub_forget_fd(hub, a[0], -EBADF), 1);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, -EBADF);
    assert_int_equal(dup2(b[0], a[0]), a[0]);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    assert_quiet(hub);
    make_ready(b);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_int_equal(out[0].result, GCORE_READ);
    gcore_watch_stop(watch);
    gcore_watch_unref(watch);
    gcore_hub_release(hub);
    close_pipe(a);
    close_pipe(b);
}
ON_EACH_BACKEND(dup2_over_a_watched_number)

/* Closed behind the hub's back while someone waits: the process lives on,
 * the hub does not spin, other descriptors go on. */
static void closed_behind_our_back_on(gcore_hub *hub)
{
    gcore_completion out[4];
    gcore_watch *gone, *other;
    int a[2], b[2];
    uint64_t turns;
    int got;

    make_pipe(a);
    make_pipe(b);
    gone = io_start(hub, a[0], GCORE_READ, GCORE_ONCE, NULL);
    other = io_start(hub, b[0], GCORE_READ, 0, NULL);
    gcore_hub_retain(hub);
    assert_quiet(hub);
    close_pipe(a);
    make_ready(b);
    do {
        got = hub_poll_again(hub, out, 4, after(PATIENCE));
        assert_true(got > 0);
    } while (out[got - 1].arg != other);
    drain(b);
    turns = hub_stats(hub).turns;
    /* Completions with an error may come; then it is quiet. */
    do
        got = hub_poll_again(hub, out, 4, after(20 * MS));
    while (got > 0);
    assert_int_equal(got, 0);
    assert_true(hub_stats(hub).turns < turns + 20);
    gcore_watch_stop(gone);
    gcore_watch_stop(other);
    gcore_watch_unref(gone);
    gcore_watch_unref(other);
    gcore_hub_release(hub);
    close_pipe(b);
}
ON_EACH_BACKEND(closed_behind_our_back)

static void set_changes_what_is_watched_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *watch;
    int a[2], b[2];

    make_pipe(a);
    make_pipe(b);
    make_ready(b);
    watch = io_start(hub, a[0], GCORE_READ, 0, NULL);
    assert_error(gcore_io_set(watch, b[0], GCORE_READ), -EALREADY);
    assert_int_equal(gcore_io_fd(watch), a[0]);
    assert_int_equal(gcore_io_events(watch), GCORE_READ);
    gcore_watch_stop(watch);
    assert_error(gcore_io_set(watch, -1, GCORE_READ), -EINVAL);
    assert_error(gcore_io_set(watch, b[0], 0), -EINVAL);
    assert_ok(gcore_io_set(watch, b[0], GCORE_READ));
    assert_int_equal(gcore_io_fd(watch), b[0]);
    assert_ok(gcore_watch_start(watch, GCORE_ONCE, GCORE_FOREVER,
                                GCORE_COMPLETE, watch));
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    gcore_watch_unref(watch);
    close_pipe(a);
    close_pipe(b);
}
ON_EACH_BACKEND(set_changes_what_is_watched)

static void stop_other(void *arg, int64_t result)
{
    (void)result;
    gcore_watch_stop(arg);
}

static void stop_withdraws_what_was_harvested_on(gcore_hub *hub)
{
    gcore_watch *watches[2];
    gcore_completion out;
    told never = {0};
    int ends[2];

    make_pipe(ends);
    make_ready(ends);
    for (int i = 0; i < 2; i++)
        assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &watches[i]));
    assert_ok(gcore_watch_start(watches[0], GCORE_ONCE, GCORE_FOREVER,
                                stop_other, watches[1]));
    assert_ok(gcore_watch_start(watches[1], 0, GCORE_FOREVER, tell, &never));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(never.count, 0);

    /* Also when it lies in the list because the array was full. */
    assert_ok(gcore_watch_start(watches[0], GCORE_ONCE, GCORE_FOREVER,
                                GCORE_COMPLETE, watches[0]));
    assert_ok(gcore_watch_start(watches[1], 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watches[1]));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_ptr_equal(out.arg, watches[0]);
    assert_int_equal(gcore_watch_pending(watches[1]), 1);
    gcore_watch_stop(watches[1]);
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    for (int i = 0; i < 2; i++)
        gcore_watch_unref(watches[i]);
    close_pipe(ends);
}
ON_EACH_BACKEND(stop_withdraws_what_was_harvested)

struct later {
    int ends[2];
    gcore_watch *last;
    told end;
};

/* Then one more turn, by a timer, finds what this writes. */
static void write_to(void *arg, int64_t result)
{
    struct later *later = arg;

    if (result < 0)
        return;
    make_ready(later->ends);
    assert_ok(gcore_watch_start(later->last, GCORE_ONCE, GCORE_NOW, tell,
                                &later->end));
}

/* A run cannot hand over completions: what becomes ready meanwhile is added
 * to the one that waits, and its deadline leaves it alone. */
static void one_undelivered_completion_on(gcore_hub *hub)
{
    gcore_completion out[2];
    gcore_watch *io, *first;
    struct later later = {0};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
                                later.ends),
                     0);
    assert_ok(
        gcore_io_new(hub, later.ends[0], GCORE_READ | GCORE_WRITE, &io));
    assert_ok(gcore_timer_new(hub, &first));
    assert_ok(gcore_timer_new(hub, &later.last));
    assert_ok(gcore_watch_set_keepalive(io, 0));
    assert_ok(gcore_watch_start(io, 0, after(MS), GCORE_COMPLETE, io));
    assert_ok(gcore_watch_start(first, GCORE_ONCE, after(2 * MS), write_to,
                                &later));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(later.end.count, 1);
    assert_int_equal(gcore_watch_pending(io), 1);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, io);
    assert_int_equal(out[0].result, GCORE_READ | GCORE_WRITE);
    assert_ok(gcore_watch_stop(io));
    gcore_watch_unref(io);
    gcore_watch_unref(first);
    gcore_watch_unref(later.last);
    gcore_hub_forget_fd(hub, later.ends[0], -EBADF);
    close_pipe(later.ends);
}
ON_EACH_BACKEND(one_undelivered_completion)

/* An interrupted wait, a stop and a start again, as a blocking receive does:
 * the kernel need not hear of it. */
static void no_epoll_ctl_on_the_steady_path(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_completion out;
    gcore_watch *watch;
    uint64_t before;
    int ends[2];

    (void)state;
    make_pipe(ends);
    watch = io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, NULL);
    make_ready(ends);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    drain(ends);
    before = hub_stats(hub).syscalls;
    for (int i = 0; i < 1000; i++) {
        assert_ok(gcore_watch_start(watch, GCORE_ONCE, GCORE_FOREVER,
                                    GCORE_COMPLETE, watch));
        make_ready(ends);
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
        drain(ends);
    }
    assert_int_equal(hub_stats(hub).syscalls, before);
    assert_true(before >= 1); /* so the counter counts */
    gcore_watch_unref(watch);
    close_pipe(ends);
    hub_end(hub);
}

/* An event that nobody waits for must not keep the hub turning. */
static void unwanted_readiness_does_not_spin_on(gcore_hub *hub)
{
    gcore_completion out;
    gcore_watch *watch;
    uint64_t turns;
    int ends[2];

    make_pipe(ends);
    watch = io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, NULL);
    make_ready(ends);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    gcore_hub_retain(hub);
    turns = hub_stats(hub).turns;
    assert_int_equal(hub_poll_again(hub, &out, 1, after(20 * MS)), 0);
    assert_true(hub_stats(hub).turns < turns + 20);
    /* And a waiter that comes later finds it. */
    assert_ok(gcore_watch_start(watch, GCORE_ONCE, GCORE_FOREVER,
                                GCORE_COMPLETE, watch));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    gcore_hub_release(hub);
    gcore_watch_unref(watch);
    close_pipe(ends);
}
ON_EACH_BACKEND(unwanted_readiness_does_not_spin)

/* What epoll cannot watch is always ready, as select and poll say. */
static void regular_file_on(gcore_hub *hub)
{
    gcore_completion out;
    gcore_watch *watch;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    watch = io_start(hub, fd, GCORE_READ, GCORE_ONCE, NULL);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_int_equal(out.result, GCORE_READ);
    gcore_watch_unref(watch);
    close(fd);
}
ON_EACH_BACKEND(regular_file)

static void big_number_on(gcore_hub *hub)
{
    gcore_completion out;
    gcore_watch *watch = NULL;
    int ends[2], high, error;

    make_pipe(ends);
    make_ready(ends);
    high = fcntl(ends[0], F_DUPFD_CLOEXEC, 1500);
    if (high < 0) {
        assert_int_equal(errno, EINVAL); /* the system allows no such number */
    } else {
        error = gcore_io_new(hub, high, GCORE_READ, &watch);
        if (error == -ENOTSUP) {
            assert_int_equal(gcore_hub_backend(hub), GCORE_BACKEND_SELECT);
        } else {
            assert_ok(error);
            assert_ok(gcore_watch_start(watch, GCORE_ONCE, GCORE_FOREVER,
                                        GCORE_COMPLETE, watch));
            assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)),
                             1);
            gcore_watch_unref(watch);
        }
        close(high);
    }
    close_pipe(ends);
}
ON_EACH_BACKEND(big_number)

static void owner_lets_go_of_a_started_watch_on(gcore_hub *hub)
{
    gcore_completion out;
    int ends[2];

    make_pipe(ends);
    make_ready(ends);
    gcore_watch_unref(io_start(hub, ends[0], GCORE_READ, GCORE_ONCE, &out));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_ptr_equal(out.arg, &out);
    assert_int_equal(hub_stats(hub).watches, 0);
    close_pipe(ends);
}
ON_EACH_BACKEND(owner_lets_go_of_a_started_watch)

static void start_errors_on(gcore_hub *hub)
{
    gcore_watch *watch;
    told one = {0};
    int ends[2];

    make_pipe(ends);
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &watch));
    assert_error(gcore_watch_start(watch, 0, GCORE_FOREVER, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_watch_start(watch, 64, GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, tell, &one));
    assert_error(gcore_watch_start(watch, 0, GCORE_FOREVER, tell, &one),
                 -EALREADY);
    assert_ok(gcore_watch_close(watch));
    assert_ok(gcore_watch_close(watch));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    assert_error(gcore_watch_start(watch, 0, GCORE_FOREVER, tell, &one),
                 -ECANCELED);
    gcore_watch_unref(watch);
    close_pipe(ends);
}
ON_EACH_BACKEND(start_errors)

/* Many descriptors, most of them idle. */
static void hundreds_of_descriptors_on(gcore_hub *hub)
{
    enum { MANY = 300 };
    static int pipes[MANY][2];
    gcore_watch *watches[MANY];
    gcore_completion out[MANY];

    for (int i = 0; i < MANY; i++) {
        make_pipe(pipes[i]);
        watches[i] =
            io_start(hub, pipes[i][0], GCORE_READ, 0, &watches[i]);
    }
    for (int i = 0; i < MANY; i += 3)
        make_ready(pipes[i]);
    for (int left = MANY / 3; left > 0;) {
        int got = hub_poll_again(hub, out, MANY, after(PATIENCE));

        assert_true(got > 0);
        for (int i = 0; i < got; i++) {
            gcore_watch **watch = out[i].arg;

            assert_int_equal((watch - watches) % 3, 0);
            left -= gcore_watch_active(*watch);
            gcore_watch_stop(*watch);
        }
    }
    for (int i = 0; i < MANY; i++) {
        gcore_watch_stop(watches[i]);
        gcore_watch_unref(watches[i]);
        gcore_hub_forget_fd(hub, pipes[i][0], -EBADF);
        close_pipe(pipes[i]);
    }
}
ON_EACH_BACKEND(hundreds_of_descriptors)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(both_directions),
        TEST(level_triggered),
        TEST(many_waiters),
        TEST(deadline),
        TEST(ready_at_the_deadline),
        TEST(hang_up_is_readable),
        TEST(forget_ends_the_waits),
        TEST(reused_number),
        TEST(reused_number_while_waited_for),
        TEST(dup2_over_a_watched_number),
        TEST(closed_behind_our_back),
        TEST(set_changes_what_is_watched),
        TEST(stop_withdraws_what_was_harvested),
        TEST(one_undelivered_completion),
        TEST(no_epoll_ctl_on_the_steady_path),
        TEST(unwanted_readiness_does_not_spin),
        TEST(regular_file),
        TEST(big_number),
        TEST(owner_lets_go_of_a_started_watch),
        TEST(start_errors),
        TEST(hundreds_of_descriptors),
    };

    return RUN(tests);
}
