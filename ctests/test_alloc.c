/* The allocator hook, and each call with a failing k-th allocation: it must
 * say -ENOMEM, leave nothing behind, and leave the hub as it was. */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The hook */

static void *counting(void *context, void *block, size_t bytes)
{
    ++*(int *)context;
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, bytes);
}

static void the_hook(void **state)
{
    static int context;
    gcore_hub *hub = hub_new();

    (void)state;
    assert_true(gcore_allocator_live() > 0);
    assert_error(gcore_allocator_set(counting, &context), -EBUSY);
    hub_end(hub);
    assert_int_equal(gcore_allocator_live(), 0);
    assert_ok(gcore_allocator_set(counting, &context));
    hub_end(hub_new());
    assert_true(context > 0);
    context = 0;
    assert_ok(gcore_allocator_set(NULL, NULL));
    hub_end(hub_new());
    assert_int_equal(context, 0);
    support_install_allocator();
}

/* Failing allocations */

struct setting {
    gcore_hub *hub;
    gcore_pool *pool;
    gcore_watch *watch;
    gcore_job *job;
    int ends[2];
    pid_t child;
    int value;
};

/* A call under test, and what undoes it once it has succeeded. */
struct operation {
    const char *name;
    int (*run)(struct setting *it);
    void (*undo)(struct setting *it);
};

static void drop_watch(struct setting *it)
{
    gcore_watch_stop(it->watch);
    gcore_watch_unref(it->watch);
    it->watch = NULL;
}

static int make_hub(struct setting *it)
{
    gcore_hub *hub = NULL;
    int error = gcore_hub_new(NULL, &hub);

    (void)it;
    if (error == 0) {
        gcore_hub_close(hub);
        gcore_hub_unref(hub);
    } else {
        assert_null(hub);
    }
    return error;
}

static int make_select_hub(struct setting *it)
{
    gcore_hub_options options = {.size = sizeof options, .backend = "select"};
    gcore_hub *hub = NULL;
    int error = gcore_hub_new(&options, &hub);

    (void)it;
    if (error == 0)
        gcore_hub_unref(hub);
    return error;
}

static int make_poll_hub(struct setting *it)
{
    gcore_hub_options options = {.size = sizeof options, .backend = "poll"};
    gcore_hub *hub = NULL;
    int error = gcore_hub_new(&options, &hub);

    (void)it;
    if (error == 0)
        gcore_hub_unref(hub);
    return error;
}

static int make_io(struct setting *it)
{
    return gcore_io_new(it->hub, it->ends[0], GCORE_READ, &it->watch);
}

static int set_io(struct setting *it)
{
    gcore_watch *watch = NULL;
    int error = gcore_io_new(it->hub, it->ends[0], GCORE_READ, &watch);

    if (error < 0)
        return error;
    error = gcore_io_set(watch, it->ends[1], GCORE_WRITE);
    if (error == 0)
        assert_int_equal(gcore_io_fd(watch), it->ends[1]);
    else
        assert_int_equal(gcore_io_fd(watch), it->ends[0]);
    gcore_watch_unref(watch);
    return error;
}

static int make_timer(struct setting *it)
{
    return gcore_timer_new(it->hub, &it->watch);
}

static int make_signal(struct setting *it)
{
    return gcore_signal_new(it->hub, SIGUSR1, &it->watch);
}

static int make_child(struct setting *it)
{
    return gcore_child_new(it->hub, it->child, &it->watch);
}

static int make_stat(struct setting *it)
{
    return gcore_stat_new(it->hub, "/", 0, &it->watch);
}

static int make_async(struct setting *it)
{
    return gcore_async_new(it->hub, &it->watch);
}

static int make_idle(struct setting *it)
{
    return gcore_idle_new(it->hub, &it->watch);
}

static int make_prepare(struct setting *it)
{
    return gcore_prepare_new(it->hub, &it->watch);
}

static int make_check(struct setting *it)
{
    return gcore_check_new(it->hub, &it->watch);
}

static int make_fork(struct setting *it)
{
    return gcore_fork_new(it->hub, &it->watch);
}

static int post(struct setting *it)
{
    return gcore_hub_post(it->hub, GCORE_COMPLETE, it);
}

static void unpost(struct setting *it)
{
    gcore_completion out;

    poll_for(it->hub, &out, 1);
    assert_ptr_equal(out.arg, it);
}

static int64_t answer(void *arg)
{
    return *(int *)arg;
}

static int call(struct setting *it)
{
    int64_t result = 0;
    int error = gcore_hub_start(it->hub);

    if (error == 0) {
        error = gcore_hub_call(it->hub, answer, &it->value, GCORE_FOREVER,
                               &result);
        assert_int_equal(result, error == 0 ? it->value : 0);
        gcore_hub_stop(it->hub);
    }
    return error;
}

static int embed(struct setting *it)
{
    gcore_hub *hub = NULL;
    int error = gcore_hub_new(NULL, &hub);

    (void)it;
    if (error < 0)
        return error;
    error = gcore_hub_backend_fd(hub);
    gcore_hub_unref(hub);
    return error < 0 ? error : 0;
}

static int make_pool(struct setting *it)
{
    gcore_pool *pool = NULL;
    int error = gcore_pool_new(NULL, &pool);

    (void)it;
    if (error == 0)
        gcore_pool_unref(pool);
    else
        assert_null(pool);
    return error;
}

static int submit(struct setting *it)
{
    return gcore_pool_submit(it->pool, it->hub, answer, &it->value,
                             after(PATIENCE), GCORE_COMPLETE, it, &it->job);
}

static void unsubmit(struct setting *it)
{
    gcore_completion out;

    poll_for(it->hub, &out, 1);
    assert_int_equal(out.result, it->value);
    gcore_job_unref(it->job);
    it->job = NULL;
}

static const struct operation operations[] = {
    {"gcore_hub_new", make_hub, NULL},
    {"gcore_hub_new, select", make_select_hub, NULL},
    {"gcore_hub_new, poll", make_poll_hub, NULL},
    {"gcore_io_new", make_io, drop_watch},
    {"gcore_io_set", set_io, NULL},
    {"gcore_timer_new", make_timer, drop_watch},
    {"gcore_signal_new", make_signal, drop_watch},
    {"gcore_child_new", make_child, drop_watch},
    {"gcore_stat_new", make_stat, drop_watch},
    {"gcore_async_new", make_async, drop_watch},
    {"gcore_idle_new", make_idle, drop_watch},
    {"gcore_prepare_new", make_prepare, drop_watch},
    {"gcore_check_new", make_check, drop_watch},
    {"gcore_fork_new", make_fork, drop_watch},
    {"gcore_hub_post", post, unpost},
    {"gcore_hub_call", call, NULL},
    {"gcore_hub_backend_fd", embed, NULL},
    {"gcore_pool_new", make_pool, NULL},
    {"gcore_pool_submit", submit, unsubmit},
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

static void open_setting(struct setting *it, const char *backend)
{
    gcore_pool_options options = {.size = sizeof options, .threads = 1};

    *it = (struct setting){.hub = hub_new_backend(backend), .value = 11};
    assert_ok(gcore_pool_new(&options, &it->pool));
    make_pipe(it->ends);
    it->child = fork();
    assert_true(it->child >= 0);
    if (it->child == 0) {
        alarm((unsigned)(PATIENCE / SECOND)); /* if the test is no more */
        pause();
        _exit(0);
    }
}

static void close_setting(struct setting *it)
{
    kill(it->child, SIGKILL);
    waitpid(it->child, NULL, 0);
    assert_ok(gcore_pool_close(it->pool));
    assert_ok(gcore_pool_join(it->pool, after(PATIENCE)));
    gcore_pool_unref(it->pool);
    hub_end(it->hub);
    close_pipe(it->ends);
}

/* The hub works: a timer, a descriptor and a post. */
static void assert_usable(gcore_hub *hub)
{
    gcore_watch *timer, *io;
    gcore_completion out[4];
    int ends[2];

    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, GCORE_NOW, GCORE_COMPLETE,
                                timer));
    assert_ok(gcore_watch_start(io, GCORE_ONCE, GCORE_FOREVER, GCORE_COMPLETE,
                                io));
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, hub));
    poll_for(hub, out, 3);
    gcore_watch_unref(timer);
    gcore_watch_unref(io);
    gcore_hub_forget_fd(hub, ends[0], -EBADF);
    close_pipe(ends);
}

/* Fails the first allocation of the call, then the second, until it needs
 * no more and succeeds. Returns how many there were. */
static int fail_each(const struct operation *operation, struct setting *it)
{
    for (int k = 1;; k++) {
        uint64_t watches = hub_stats(it->hub).watches;
        int descriptors = support_descriptors();
        int error;

        support_fail_allocation(k);
        error = operation->run(it);
        support_fail_allocation(0);
        if (!support_allocation_failed()) {
            if (error < 0)
                print_error("%s: %s\n", operation->name,
                            gcore_error_name(error));
            assert_ok(error);
            if (operation->undo)
                operation->undo(it);
            return k - 1;
        }
        if (error == 0) { /* it could do without */
            if (operation->undo)
                operation->undo(it);
            continue;
        }
        if (error != -ENOMEM)
            print_error("%s, allocation %d: %s\n", operation->name, k,
                        gcore_error_name(error));
        assert_error(error, -ENOMEM);
        assert_null(it->watch);
        assert_null(it->job);
        assert_int_equal(hub_stats(it->hub).watches, watches);
        assert_int_equal(support_descriptors(), descriptors);
        assert_usable(it->hub);
        assert_true(k < 100);
    }
}

static void each_call_on(const char *backend)
{
    for (int i = 0; i < OPERATIONS; i++) {
        struct setting it;
        int count;

        open_setting(&it, backend);
        count = fail_each(&operations[i], &it);
        if (count == 0 && operations[i].run != call)
            print_message("%s allocates nothing\n", operations[i].name);
        assert_usable(it.hub);
        close_setting(&it);
    }
}

static void each_call_on_epoll(void **state)
{
    (void)state;
    each_call_on("epoll");
}

static void each_call_on_poll(void **state)
{
    (void)state;
    each_call_on("poll");
}

static void each_call_on_select(void **state)
{
    (void)state;
    each_call_on("select");
}

/* Once made, nothing needs memory any more: starting, waiting, completing,
 * stopping, and handing over what a pool's job returned. */
static void nothing_allocates_after_new(void **state)
{
    enum { MANY = 100 };
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_watch *timers[MANY], *ios[MANY];
    gcore_completion out[3 * MANY];
    int pipes[MANY][2], value = 3, got = 0;

    (void)state;
    assert_ok(gcore_pool_new(NULL, &pool));
    for (int i = 0; i < MANY; i++) {
        make_pipe(pipes[i]);
        make_ready(pipes[i]);
        assert_ok(gcore_timer_new(hub, &timers[i]));
        assert_ok(gcore_io_new(hub, pipes[i][0], GCORE_READ, &ios[i]));
        assert_ok(gcore_pool_submit(pool, hub, answer, &value, after(PATIENCE),
                                    GCORE_COMPLETE, pool, NULL));
    }
    support_fail_allocation(1);
    for (int i = 0; i < MANY; i++) {
        assert_ok(gcore_watch_start(timers[i], GCORE_ONCE, GCORE_NOW,
                                    GCORE_COMPLETE, timers[i]));
        assert_ok(gcore_watch_start(ios[i], GCORE_ONCE, after(PATIENCE),
                                    GCORE_COMPLETE, ios[i]));
    }
    while (got < 3 * MANY) {
        int count = hub_poll_again(hub, out, 3 * MANY, after(PATIENCE));

        assert_true(count > 0);
        got += count;
    }
    for (int i = 0; i < MANY; i++) {
        gcore_watch_unref(timers[i]);
        gcore_watch_unref(ios[i]);
        gcore_hub_forget_fd(hub, pipes[i][0], -EBADF);
        close_pipe(pipes[i]);
    }
    assert_ok(gcore_pool_close(pool));
    assert_ok(gcore_pool_join(pool, after(PATIENCE)));
    gcore_pool_unref(pool);
    hub_end(hub);
    assert_false(support_allocation_failed());
}

static void no_memory_in_child(void *arg)
{
    struct setting *it = arg;
    gcore_completion out;

    for (int k = 1;; k++) {
        int error;

        support_fail_allocation(k);
        error = gcore_hub_after_fork(it->hub);
        support_fail_allocation(0);
        if (!support_allocation_failed())
            break;
        CHILD_CHECK(error == 0 || error == -ENOMEM);
        CHILD_CHECK(k < 100);
    }
    CHILD_CHECK(gcore_hub_after_fork(it->hub) == 0);
    make_ready(it->ends);
    CHILD_CHECK(hub_poll_again(it->hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == it->watch);
}

static void after_a_fork(void **state)
{
    const char *const backends[] = {"epoll", "poll", "select"};

    (void)state;
    for (int b = 0; b < 3; b++) {
        struct setting it;

        open_setting(&it, backends[b]);
        assert_ok(make_io(&it));
        assert_ok(gcore_watch_start(it.watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                    it.watch));
        in_child(no_memory_in_child, &it);
        drop_watch(&it);
        drain(it.ends);
        close_setting(&it);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_hook),
        TEST(each_call_on_epoll),
        TEST(each_call_on_poll),
        TEST(each_call_on_select),
        TEST(nothing_allocates_after_new),
        TEST(after_a_fork),
    };

    return RUN(tests);
}
