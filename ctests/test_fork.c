/* fork in each state of a hub and of a pool. The parent must notice nothing,
 * the child must be able to go on. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const backends[] = {"epoll", "poll", "select"};
enum { BACKENDS = 3 };

/* TSan's runtime does not survive the fork of a process with threads. */
static void skip_threaded_fork(void)
{
    if (support_under_tsan())
        skip();
}

static gcore_watch *io_start(gcore_hub *hub, int fd, unsigned events)
{
    gcore_watch *watch;

    assert_ok(gcore_io_new(hub, fd, events, &watch));
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    return watch;
}

/* A hub in which nothing has happened. */

static void idle_in_child(void *arg)
{
    gcore_hub *hub = arg;
    gcore_completion out;

    CHILD_CHECK(hub_poll_again(hub, &out, 1, after(PATIENCE)) ==
                -GCORE_EIDLE);
    CHILD_CHECK(gcore_hub_post(hub, GCORE_COMPLETE, NULL) == 0);
    CHILD_CHECK(hub_poll_again(hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(gcore_hub_close(hub) == 0);
}

static void an_idle_hub(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        gcore_hub *hub = hub_new_backend(backends[b]);
        gcore_completion out;

        in_child(idle_in_child, hub);
        assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, NULL));
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
        hub_end(hub);
    }
}

/* Started watches: they work in both, without one hearing of the other. */

struct watched {
    gcore_hub *hub;
    gcore_watch *io;
    gcore_watch *timer;
    gcore_watch *fork;
    int ends[2];
    bool explicitly;
};

static void watched_in_child(void *arg)
{
    struct watched *it = arg;
    gcore_completion out[4];
    gcore_watch *mine;
    int own[2];

    if (it->explicitly)
        CHILD_CHECK(gcore_hub_after_fork(it->hub) == 0);
    /* The fork watch is told first, then what is ready. */
    CHILD_CHECK(hub_poll_again(it->hub, out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out[0].arg == it->fork);
    gcore_watch_stop(it->fork);
    CHILD_CHECK(hub_poll_again(it->hub, out, 4, after(3 * MS)) >= 0);
    make_pipe(own);
    CHILD_CHECK(gcore_io_new(it->hub, own[0], GCORE_READ, &mine) == 0);
    CHILD_CHECK(gcore_watch_start(mine, GCORE_ONCE, GCORE_FOREVER,
                                  GCORE_COMPLETE, mine) == 0);
    make_ready(own);
    for (bool seen = false; !seen;) {
        int got = hub_poll_again(it->hub, out, 4, after(PATIENCE));

        CHILD_CHECK(got > 0);
        for (int i = 0; i < got; i++) {
            CHILD_CHECK(out[i].arg != it->fork);
            seen |= out[i].arg == mine;
        }
    }
    /* The inherited registration: readable in this process too. */
    make_ready(it->ends);
    for (bool seen = false; !seen;) {
        int got = hub_poll_again(it->hub, out, 4, after(PATIENCE));

        CHILD_CHECK(got > 0);
        for (int i = 0; i < got; i++)
            seen |= out[i].arg == it->io;
    }
    drain(it->ends);
    gcore_watch_stop(it->io);
    gcore_watch_unref(it->io);
    close_pipe(it->ends);
    CHILD_CHECK(gcore_hub_close(it->hub) == 0);
}

static void started_watches(void **state)
{
    (void)state;
    for (int b = 0; b < 2 * BACKENDS; b++) {
        struct watched it = {.hub = hub_new_backend(backends[b / 2]),
                             .explicitly = b % 2};
        gcore_completion out[4];

        make_pipe(it.ends);
        it.io = io_start(it.hub, it.ends[0], GCORE_READ);
        assert_ok(gcore_timer_new(it.hub, &it.timer));
        assert_ok(gcore_watch_start(it.timer, GCORE_ONCE,
                                    after(10 * PATIENCE), GCORE_COMPLETE,
                                    it.timer));
        assert_ok(gcore_fork_new(it.hub, &it.fork));
        assert_ok(gcore_watch_start(it.fork, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                    it.fork));
        assert_int_equal(gcore_hub_poll(it.hub, out, 4, GCORE_NOW), 0);
        in_child(watched_in_child, &it);
        /* The child closed its copies of everything. */
        assert_int_equal(gcore_hub_poll(it.hub, out, 4, GCORE_NOW), 0);
        make_ready(it.ends);
        assert_int_equal(hub_poll_again(it.hub, out, 4, after(PATIENCE)), 1);
        assert_ptr_equal(out[0].arg, it.io);
        end_watch(it.io);
        end_watch(it.timer);
        end_watch(it.fork);
        hub_end(it.hub);
        close_pipe(it.ends);
    }
}

/* A child that only closes what it inherited: its epoll is still the
 * parent's. */

static void closed_at_once_in_child(void *arg)
{
    struct watched *it = arg;

    CHILD_CHECK(gcore_hub_forget_fd(it->hub, it->ends[0], -ECANCELED) == 1);
    close_pipe(it->ends);
}

static void a_descriptor_closed_in_the_child(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        struct watched it = {.hub = hub_new_backend(backends[b])};
        gcore_completion out;

        make_pipe(it.ends);
        it.io = io_start(it.hub, it.ends[0], GCORE_READ);
        assert_int_equal(gcore_hub_poll(it.hub, &out, 1, GCORE_NOW), 0);
        in_child(closed_at_once_in_child, &it);
        make_ready(it.ends);
        assert_int_equal(hub_poll_again(it.hub, &out, 1, after(PATIENCE)), 1);
        assert_ptr_equal(out.arg, it.io);
        end_watch(it.io);
        hub_end(it.hub);
        close_pipe(it.ends);
    }
}

/* Posts that have not run: they run in both. */

struct posted {
    gcore_hub *hub;
    int count;
};

static void posted_in_child(void *arg)
{
    struct posted *posted = arg;
    gcore_completion out[8];

    CHILD_CHECK(hub_poll_again(posted->hub, out, 8, after(PATIENCE)) ==
                posted->count);
    CHILD_CHECK(gcore_hub_post(posted->hub, GCORE_COMPLETE, NULL) == 0);
    CHILD_CHECK(hub_poll_again(posted->hub, out, 8, after(PATIENCE)) == 1);
}

static void pending_posts(void **state)
{
    struct posted posted = {.hub = hub_new(), .count = 5};
    gcore_completion out[8];

    (void)state;
    for (int i = 0; i < posted.count; i++)
        assert_ok(gcore_hub_post(posted.hub, GCORE_COMPLETE, NULL));
    in_child(posted_in_child, &posted);
    assert_int_equal(hub_poll_again(posted.hub, out, 8, after(PATIENCE)),
                     posted.count);
    hub_end(posted.hub);
}

/* A call that another thread waits for: the child has its note, not the
 * thread. */

struct calling {
    gcore_hub *hub;
    atomic_int thread; /* which it is, once it is about to call */
    int64_t result;
};

static int64_t answer(void *arg)
{
    (void)arg;
    return 42;
}

static void *make_call(void *arg)
{
    struct calling *it = arg;

    atomic_store(&it->thread, (int)syscall(SYS_gettid));
    if (gcore_hub_call(it->hub, answer, NULL, GCORE_FOREVER, &it->result) < 0)
        it->result = -1;
    return NULL;
}

/* Whether a thread of this process sleeps in the kernel. */
static bool is_asleep(int thread)
{
    char path[64];
    char state = '?';
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    file = fopen(path, "r");
    if (!file)
        return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    fclose(file);
    return state == 'S';
}

static void called_in_child(void *arg)
{
    struct calling *it = arg;
    gcore_completion out;

    CHILD_CHECK(hub_poll_again(it->hub, &out, 1, after(PATIENCE)) ==
                -GCORE_EIDLE);
    CHILD_CHECK(gcore_hub_close(it->hub) == 0);
}

static void a_call_of_another_thread(void **state)
{
    struct calling it = {.hub = NULL};
    gcore_completion out;
    pthread_t thread;

    (void)state;
    skip_threaded_fork();
    it.hub = hub_new();
    thread = thread_start(make_call, &it);
    while (gcore_hub_next_deadline(it.hub) != GCORE_NOW ||
           !is_asleep(atomic_load(&it.thread)))
        sched_yield();
    in_child(called_in_child, &it);
    assert_int_equal(gcore_hub_poll(it.hub, &out, 1, GCORE_NOW), 0);
    thread_join(thread);
    assert_int_equal(it.result, 42);
    hub_end(it.hub);
}

/* A hub in its background thread. */

static int64_t seven(void *arg)
{
    (void)arg;
    return 7;
}

static void threaded_in_child(void *arg)
{
    gcore_hub *hub = arg;
    int64_t result = 0;

    CHILD_CHECK(gcore_hub_after_fork(hub) == 0);
    CHILD_CHECK(gcore_hub_start(hub) == 0);
    CHILD_CHECK(gcore_hub_call(hub, seven, NULL, after(PATIENCE), &result) ==
                0);
    CHILD_CHECK(result == 7);
    CHILD_CHECK(gcore_hub_stop(hub) == 0);
    CHILD_CHECK(gcore_hub_close(hub) == 0);
    gcore_hub_unref(hub);
    CHILD_CHECK(gcore_allocator_live() == 0);
}

static void closed_in_child(void *arg)
{
    gcore_hub *hub = arg;

    CHILD_CHECK(gcore_hub_close(hub) == 0);
    gcore_hub_unref(hub);
    CHILD_CHECK(gcore_allocator_live() == 0);
}

static void a_background_thread(void **state)
{
    gcore_hub *hub;
    int64_t result = 0;

    (void)state;
    skip_threaded_fork();
    hub = hub_new();
    assert_ok(gcore_hub_start(hub));
    for (int i = 0; i < 10; i++) {
        in_child(threaded_in_child, hub);
        in_child(closed_in_child, hub);
        assert_ok(gcore_hub_call(hub, seven, NULL, after(PATIENCE), &result));
        assert_int_equal(result, 7);
    }
    hub_end(hub);
}

/* fork from a function that the hub calls. */

struct inside {
    gcore_hub *hub;
    int count;
};

static void fork_done(void *arg, int64_t result)
{
    struct inside *inside = arg;

    if (result == 0)
        inside->count++;
}

static void inside_in_child(void *arg)
{
    struct inside *inside = arg;

    CHILD_CHECK(gcore_hub_post(inside->hub, fork_done, inside) == 0);
    CHILD_CHECK(gcore_hub_close(inside->hub) == 0);
}

static void fork_within(void *arg, int64_t result)
{
    struct inside *inside = arg;

    (void)result;
    in_child(inside_in_child, inside);
    inside->count++;
}

static void within_a_done_function(void **state)
{
    struct inside inside = {.hub = hub_new()};

    (void)state;
    assert_ok(gcore_hub_post(inside.hub, fork_within, &inside));
    assert_ok(gcore_hub_post(inside.hub, fork_done, &inside));
    assert_ok(gcore_hub_run(inside.hub));
    assert_int_equal(inside.count, 2);
    hub_end(inside.hub);
}

/* Signal watches. */

static void signal_in_child(void *arg)
{
    gcore_hub *hub = arg;
    gcore_completion out;

    raise(SIGUSR1);
    poll_for(hub, &out, 1);
    CHILD_CHECK(out.result == SIGUSR1);
}

static void a_signal_watch(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch;
    gcore_completion out;

    (void)state;
    assert_ok(gcore_signal_new(hub, SIGUSR1, &watch));
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    in_child(signal_in_child, hub);
    /* The child's signal was the child's. */
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
    raise(SIGUSR1);
    poll_for(hub, &out, 1);
    end_watch(watch);
    hub_end(hub);
}

/* Several hubs, of which the child uses one. */

static void one_of_two_in_child(void *arg)
{
    gcore_hub **hubs = arg;
    gcore_completion out;

    CHILD_CHECK(gcore_hub_post(hubs[0], GCORE_COMPLETE, hubs) == 0);
    CHILD_CHECK(hub_poll_again(hubs[0], &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(gcore_hub_close(hubs[1]) == 0);
    CHILD_CHECK(gcore_hub_close(hubs[0]) == 0);
}

static void several_hubs(void **state)
{
    gcore_hub *hubs[2] = {hub_new(), hub_new()};
    gcore_completion out;

    (void)state;
    in_child(one_of_two_in_child, hubs);
    for (int i = 0; i < 2; i++) {
        assert_ok(gcore_hub_post(hubs[i], GCORE_COMPLETE, NULL));
        assert_int_equal(hub_poll_again(hubs[i], &out, 1, after(PATIENCE)),
                         1);
        hub_end(hubs[i]);
    }
}

/* A child of a child. */

static void child_of_child(void *arg)
{
    in_child(idle_in_child, arg);
    idle_in_child(arg);
}

static void twice(void **state)
{
    gcore_hub *hub = hub_new();

    (void)state;
    in_child(child_of_child, hub);
    hub_end(hub);
}

/* While other threads post all the time. */

struct noise {
    gcore_hub *hub;
    atomic_int over;
    atomic_int accepted;
};

static void noise_done(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static void *make_noise(void *arg)
{
    struct noise *noise = arg;

    while (!atomic_load(&noise->over))
        if (gcore_hub_post(noise->hub, noise_done, noise) < 0)
            sched_yield();
    return NULL;
}

static void noise_in_child(void *arg)
{
    struct noise *noise = arg;
    gcore_completion out;
    int mark;

    gcore_hub_poll(noise->hub, &out, 1, GCORE_NOW);
    CHILD_CHECK(gcore_hub_post(noise->hub, GCORE_COMPLETE, &mark) == 0);
    CHILD_CHECK(hub_poll_again(noise->hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == &mark);
    CHILD_CHECK(gcore_hub_close(noise->hub) == 0);
}

static void amid_posts_of_other_threads(void **state)
{
    struct noise noise = {0};
    pthread_t threads[2];
    gcore_completion out;

    (void)state;
    skip_threaded_fork();
    noise.hub = hub_new();
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(make_noise, &noise);
    for (int i = 0; i < 30; i++) {
        in_child(noise_in_child, &noise);
        gcore_hub_poll(noise.hub, &out, 1, GCORE_NOW);
    }
    atomic_store(&noise.over, 1);
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    hub_end(noise.hub);
}

/* A pool that is busy: in the child its jobs end with -ECANCELED, once, and
 * new ones run; the parent's go on. */

struct busy {
    gcore_hub *hub;
    gcore_pool *pool;
    atomic_int started;
    atomic_int open;
    int queued;
};

static int64_t wait_open(void *arg)
{
    struct busy *busy = arg;

    atomic_fetch_add(&busy->started, 1);
    while (!atomic_load(&busy->open))
        sched_yield();
    return 1;
}

static void busy_in_child(void *arg)
{
    struct busy *busy = arg;
    gcore_pool_stats stats = {.size = sizeof stats};
    gcore_completion out[8];

    CHILD_CHECK(gcore_hub_after_fork(busy->hub) == 0);
    CHILD_CHECK(gcore_pool_after_fork(busy->pool) == 0);
    poll_for(busy->hub, out, 2 + busy->queued);
    for (int i = 0; i < 2 + busy->queued; i++)
        CHILD_CHECK(out[i].result == -ECANCELED);
    CHILD_CHECK(hub_poll_again(busy->hub, out, 1, after(PATIENCE)) ==
                -GCORE_EIDLE);
    CHILD_CHECK(gcore_pool_counters(busy->pool, &stats) == 0);
    CHILD_CHECK(stats.threads == 0 && stats.queued == 0 &&
                stats.running == 0);
    CHILD_CHECK(gcore_pool_submit(busy->pool, busy->hub, seven, NULL,
                                  after(PATIENCE), GCORE_COMPLETE, NULL,
                                  NULL) == 0);
    poll_for(busy->hub, out, 1);
    CHILD_CHECK(out[0].result == 7);
    CHILD_CHECK(gcore_pool_close(busy->pool) == 0);
    CHILD_CHECK(gcore_pool_join(busy->pool, after(PATIENCE)) == 0);
    gcore_pool_unref(busy->pool);
    CHILD_CHECK(gcore_hub_close(busy->hub) == 0);
    gcore_hub_unref(busy->hub);
    CHILD_CHECK(gcore_allocator_live() == 0);
}

static void submit_in_child(void *arg)
{
    struct busy *busy = arg;
    gcore_completion out[8];
    int seen = 0;

    /* No after_fork: the submit finds out by itself. */
    CHILD_CHECK(gcore_pool_submit(busy->pool, busy->hub, seven, NULL,
                                  GCORE_FOREVER, GCORE_COMPLETE, NULL,
                                  NULL) == 0);
    poll_for(busy->hub, out, 3 + busy->queued);
    for (int i = 0; i < 3 + busy->queued; i++) {
        seen += out[i].result == 7;
        CHILD_CHECK(out[i].result == 7 || out[i].result == -ECANCELED);
    }
    CHILD_CHECK(seen == 1);
}

static void a_busy_pool(void **state)
{
    gcore_pool_options options = {.size = sizeof options, .threads = 2};
    struct busy busy = {.queued = 3};
    gcore_completion out[8];

    (void)state;
    skip_threaded_fork();
    busy.hub = hub_new();
    assert_ok(gcore_pool_new(&options, &busy.pool));
    for (int i = 0; i < 2 + busy.queued; i++)
        assert_ok(gcore_pool_submit(busy.pool, busy.hub, wait_open, &busy,
                                    GCORE_FOREVER, GCORE_COMPLETE, NULL,
                                    NULL));
    while (atomic_load(&busy.started) < 2)
        sched_yield();
    in_child(busy_in_child, &busy);
    in_child(submit_in_child, &busy);
    atomic_store(&busy.open, 1);
    poll_for(busy.hub, out, 2 + busy.queued);
    for (int i = 0; i < 2 + busy.queued; i++)
        assert_int_equal(out[i].result, 1);
    assert_ok(gcore_pool_close(busy.pool));
    assert_ok(gcore_pool_join(busy.pool, after(PATIENCE)));
    gcore_pool_unref(busy.pool);
    hub_end(busy.hub);
}

/* While results are being handed over: each job is told once in the child,
 * with its result or -ECANCELED. */

struct swift {
    gcore_hub *hub;
    gcore_pool *pool;
    int pending;
};

static void swift_in_child(void *arg)
{
    struct swift *swift = arg;
    gcore_completion out;

    CHILD_CHECK(gcore_hub_after_fork(swift->hub) == 0);
    CHILD_CHECK(gcore_pool_after_fork(swift->pool) == 0);
    for (int i = 0; i < swift->pending; i++) {
        CHILD_CHECK(hub_poll_again(swift->hub, &out, 1, after(PATIENCE)) ==
                    1);
        CHILD_CHECK(out.result == 7 || out.result == -ECANCELED);
    }
    CHILD_CHECK(hub_poll_again(swift->hub, &out, 1, after(PATIENCE)) ==
                -GCORE_EIDLE);
}

static void a_pool_amid_results(void **state)
{
    gcore_pool_options options = {.size = sizeof options, .threads = 3};
    struct swift swift = {0};
    gcore_completion out[64];

    (void)state;
    skip_threaded_fork();
    swift.hub = hub_new();
    assert_ok(gcore_pool_new(&options, &swift.pool));
    for (int round = 0; round < 30; round++) {
        swift.pending = 60;
        for (int i = 0; i < swift.pending; i++)
            assert_ok(gcore_pool_submit(swift.pool, swift.hub, seven, NULL,
                                        GCORE_FOREVER, GCORE_COMPLETE, NULL,
                                        NULL));
        in_child(swift_in_child, &swift);
        poll_for(swift.hub, out, swift.pending);
    }
    assert_ok(gcore_pool_close(swift.pool));
    assert_ok(gcore_pool_join(swift.pool, after(PATIENCE)));
    gcore_pool_unref(swift.pool);
    hub_end(swift.hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_hub),
        TEST(started_watches),
        TEST(a_descriptor_closed_in_the_child),
        TEST(pending_posts),
        TEST(a_call_of_another_thread),
        TEST(a_background_thread),
        TEST(within_a_done_function),
        TEST(a_signal_watch),
        TEST(several_hubs),
        TEST(twice),
        TEST(amid_posts_of_other_threads),
        TEST(a_busy_pool),
        TEST(a_pool_amid_results),
    };

    return RUN(tests);
}
