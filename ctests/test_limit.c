/* No descriptors left: errors, and everything goes on afterwards. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct rlimit full;

/* Allows `spare` more descriptors than are open now. */
static void limit_descriptors(int spare)
{
    struct rlimit limit;
    int highest = fcntl(0, F_DUPFD_CLOEXEC, 0);

    assert_true(highest >= 0);
    close(highest); /* the lowest free number; all below are open */
    getrlimit(RLIMIT_NOFILE, &full);
    limit = full;
    limit.rlim_cur = (rlim_t)(highest + spare);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void lift_limit(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
}

static void a_hub_cannot_be_made(void **state)
{
    const char *const backends[] = {"epoll", "poll", "select"};

    (void)state;
    for (int b = 0; b < 3; b++) {
        gcore_hub_options options = {.size = sizeof options,
                                     .backend = backends[b]};
        gcore_hub *hub = NULL;
        int spare, error = 0;

        for (spare = 0; spare < 8; spare++) {
            int64_t blocks = gcore_allocator_live();

            limit_descriptors(spare);
            error = gcore_hub_new(&options, &hub);
            lift_limit();
            if (error == 0)
                break;
            assert_error(error, -EMFILE);
            assert_null(hub);
            assert_int_equal(gcore_allocator_live(), blocks);
        }
        assert_ok(error);
        assert_true(spare > 0);
        hub_end(hub);
    }
}

static void watches_that_need_one(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    gcore_watch *watch = NULL;
    int error;

    (void)state;
    limit_descriptors(0);
    error = gcore_child_new(hub, (int)getpid(), &watch);
    assert_true(error == -EMFILE || error == 0); /* 0: no pidfds here */
    if (error == 0) {
        gcore_watch_unref(watch);
        watch = NULL;
    }
    /* What can do without does. */
    error = gcore_stat_new(hub, "/", 0, &watch);
    assert_ok(error);
    error = gcore_watch_start(watch, 0, after(MS), GCORE_COMPLETE, watch);
    assert_ok(error);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    lift_limit();
    gcore_watch_unref(watch);
    hub_end(hub);
}

/* Timers, posts, descriptors that are watched: none needs a new number. */
static void a_hub_goes_on(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer, *io;
    gcore_completion out[4];
    int ends[2];

    (void)state;
    make_pipe(ends);
    limit_descriptors(0);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(MS), GCORE_COMPLETE,
                                timer));
    assert_ok(gcore_watch_start(io, GCORE_ONCE, GCORE_FOREVER, GCORE_COMPLETE,
                                io));
    make_ready(ends);
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, hub));
    poll_for(hub, out, 3);
    lift_limit();
    gcore_watch_unref(timer);
    gcore_watch_unref(io);
    close_pipe(ends);
    hub_end(hub);
}

static void no_descriptor_in_child(void *arg)
{
    gcore_hub *hub = arg;
    gcore_completion out;
    int error;

    limit_descriptors(0);
    error = gcore_hub_after_fork(hub);
    CHILD_CHECK(error == 0 || error == -EMFILE);
    lift_limit();
    CHILD_CHECK(gcore_hub_after_fork(hub) == 0);
    CHILD_CHECK(gcore_hub_post(hub, GCORE_COMPLETE, NULL) == 0);
    CHILD_CHECK(hub_poll_again(hub, &out, 1, after(PATIENCE)) == 1);
}

static void after_a_fork(void **state)
{
    gcore_hub *hub = hub_new();

    (void)state;
    in_child(no_descriptor_in_child, hub);
    hub_end(hub);
}

static void the_embedding_descriptor(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    int error;

    (void)state;
    limit_descriptors(0);
    error = gcore_hub_backend_fd(hub);
    lift_limit();
    assert_true(error >= 0 || error == -EMFILE);
    assert_true(gcore_hub_backend_fd(hub) >= 0);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hub_cannot_be_made),
        TEST(watches_that_need_one),
        TEST(a_hub_goes_on),
        TEST(after_a_fork),
        TEST(the_embedding_descriptor),
    };

    return RUN(tests);
}
