/* A hub inside another event loop: its descriptor and its next deadline. */
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

/* The other loop: waits with poll for at most as long as the hub allows. */
static void wait_as_the_other_loop(gcore_hub *hub, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int64_t deadline = gcore_hub_next_deadline(hub);
    int64_t left = deadline - gcore_clock();
    int timeout = deadline == GCORE_FOREVER ? (int)(PATIENCE / MS)
                  : left <= 0               ? 0
                                            : (int)((left + MS - 1) / MS);

    assert_true(poll(&entry, 1, timeout) >= 0 || errno == EINTR);
}

static int drive(gcore_hub *hub, int fd, gcore_completion *out, int max)
{
    int64_t patience = after(PATIENCE);
    int got;

    do {
        wait_as_the_other_loop(hub, fd);
        got = gcore_hub_poll(hub, out, max, GCORE_NOW);
        assert_true(gcore_clock() < patience);
    } while (got == 0 || got == -EINTR);
    return got;
}

static void timers_io_and_posts(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_watch *timer, *io;
    gcore_completion out[4];
    int ends[2], fd, mark;

    (void)state;
    fd = gcore_hub_backend_fd(hub);
    assert_true(fd >= 0);
    assert_error(hub_poll_again(hub, out, 4, after(PATIENCE)), -GCORE_EIDLE);
    assert_int_equal(gcore_hub_next_deadline(hub), GCORE_FOREVER);
    make_pipe(ends);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(3 * MS),
                                GCORE_COMPLETE, timer));
    assert_true(gcore_hub_next_deadline(hub) <= after(3 * MS));
    assert_int_equal(drive(hub, fd, out, 4), 1);
    assert_ptr_equal(out[0].arg, timer);

    assert_ok(
        gcore_watch_start(io, 0, GCORE_FOREVER, GCORE_COMPLETE, io));
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), 0);
    for (int i = 0; i < 3; i++) {
        make_ready(ends);
        assert_int_equal(drive(hub, fd, out, 4), 1);
        assert_ptr_equal(out[0].arg, io);
        drain(ends);
    }
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &mark));
    assert_int_equal(gcore_hub_next_deadline(hub), GCORE_NOW);
    assert_int_equal(drive(hub, fd, out, 4), 1);
    assert_ptr_equal(out[0].arg, &mark);
    assert_int_equal(gcore_hub_backend_fd(hub), fd);
    gcore_watch_stop(io);
    gcore_watch_unref(io);
    gcore_watch_unref(timer);
    close_pipe(ends);
    hub_end(hub);
}

/* A watch that is started without a turn in between must be seen too. */
static void a_start_is_seen_by_the_other_loop(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_watch *io;
    gcore_completion out;
    int ends[2], fd = gcore_hub_backend_fd(hub);

    (void)state;
    make_pipe(ends);
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    for (int i = 0; i < 5; i++) {
        assert_ok(gcore_watch_start(io, GCORE_ONCE, GCORE_FOREVER,
                                    GCORE_COMPLETE, io));
        make_ready(ends);
        assert_int_equal(drive(hub, fd, &out, 1), 1);
        drain(ends);
    }
    gcore_watch_unref(io);
    close_pipe(ends);
    hub_end(hub);
}

struct sender {
    gcore_hub *hub;
    atomic_int seen;
    int count;
};

static void *post_one_by_one(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < sender->count; i++) {
        if (gcore_hub_post(sender->hub, GCORE_COMPLETE, sender) != 0)
            break;
        while (atomic_load(&sender->seen) <= i)
            sched_yield();
    }
    return NULL;
}

static void posts_wake_the_other_loop(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    struct sender sender = {.hub = hub, .count = support_times(2000)};
    int fd = gcore_hub_backend_fd(hub);
    gcore_completion out;
    pthread_t thread;

    (void)state;
    gcore_hub_retain(hub);
    thread = thread_start(post_one_by_one, &sender);
    for (int i = 0; i < sender.count; i++) {
        assert_int_equal(drive(hub, fd, &out, 1), 1);
        atomic_fetch_add(&sender.seen, 1);
    }
    thread_join(thread);
    gcore_hub_release(hub);
    hub_end(hub);
}

static void only_epoll_has_one(void **state)
{
    gcore_hub *hub = hub_new_backend("poll");

    (void)state;
    assert_error(gcore_hub_backend_fd(hub), -ENOTSUP);
    hub_end(hub);
    hub = hub_new_backend("select");
    assert_error(gcore_hub_backend_fd(hub), -ENOTSUP);
    hub_end(hub);
}

struct child {
    gcore_hub *hub;
    int fd;
};

static void same_number_in_child(void *arg)
{
    struct child *child = arg;
    struct pollfd entry = {.fd = child->fd, .events = POLLIN};
    gcore_completion out;

    CHILD_CHECK(gcore_hub_after_fork(child->hub) == 0);
    CHILD_CHECK(gcore_hub_backend_fd(child->hub) == child->fd);
    CHILD_CHECK(gcore_hub_next_deadline(child->hub) == GCORE_NOW);
    gcore_hub_poll(child->hub, &out, 1, GCORE_NOW);
    CHILD_CHECK(gcore_hub_post(child->hub, GCORE_COMPLETE, NULL) == 0);
    CHILD_CHECK(poll(&entry, 1, (int)(PATIENCE / MS)) == 1);
    CHILD_CHECK(gcore_hub_poll(child->hub, &out, 1, GCORE_NOW) == 1);
}

static void the_descriptor_stays_the_same(void **state)
{
    struct child child = {.hub = hub_new_backend("epoll")};

    (void)state;
    child.fd = gcore_hub_backend_fd(child.hub);
    assert_true(child.fd >= 0);
    in_child(same_number_in_child, &child);
    assert_int_equal(gcore_hub_backend_fd(child.hub), child.fd);
    hub_end(child.hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_io_and_posts),
        TEST(a_start_is_seen_by_the_other_loop),
        TEST(posts_wake_the_other_loop),
        TEST(only_epoll_has_one),
        TEST(the_descriptor_stays_the_same),
    };

    return RUN(tests);
}
