/*
 * The tests' fixture: allocator, counts of what is left, helpers.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* Allocator */

static _Atomic int64_t fail_in; /* 0: never */
static atomic_bool failed;

static bool shall_fail(void)
{
    int64_t left = atomic_load(&fail_in);

    while (left > 1)
        if (atomic_compare_exchange_weak(&fail_in, &left, left - 1))
            return false;
    if (left == 0)
        return false;
    atomic_store(&failed, true);
    return true;
}

static void *count_and_fail(void *context, void *block, size_t bytes)
{
    (void)context;
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    return shall_fail() ? NULL : realloc(block, bytes);
}

void support_fail_allocation(int64_t k)
{
    if (k > 0)
        atomic_store(&failed, false);
    atomic_store(&fail_in, k);
}

void support_install_allocator(void)
{
    assert_ok(gcore_allocator_set(count_and_fail, NULL));
}

bool support_allocation_failed(void)
{
    return atomic_load(&failed);
}

/* What is left */

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2; /* "." and ".." */
}

int support_descriptors(void)
{
    return entries("/proc/self/fd") - 1; /* the one that reads them */
}

int support_threads(void)
{
    return entries("/proc/self/task");
}

struct before {
    int64_t blocks;
    int descriptors;
    int threads;
};

static struct before before;

int support_setup(void **state)
{
    (void)state;
    support_fail_allocation(0);
    before.blocks = gcore_allocator_live();
    before.descriptors = support_descriptors();
    before.threads = support_threads();
    return 0;
}

struct left {
    int64_t blocks;
    int descriptors;
    int threads;
};

static struct left count_left(void)
{
    return (struct left){
        .blocks = gcore_allocator_live() - before.blocks,
        .descriptors = support_descriptors() - before.descriptors,
        .threads = support_threads() - before.threads,
    };
}

static bool is_left(struct left left)
{
    return left.blocks != 0 || left.descriptors != 0 || left.threads > 0;
}

/* A thread that nobody joins, or that was just joined, is seen a moment
 * longer, with what it holds. */
int support_teardown(void **state)
{
    int64_t deadline = after(5 * SECOND);
    struct left left;

    (void)state;
    support_fail_allocation(0);
    do
        left = count_left();
    while (is_left(left) && gcore_clock() < deadline);
    if (!is_left(left))
        return 0;
    print_error("left behind: %lld blocks, %d descriptors, %d threads\n",
                (long long)left.blocks, left.descriptors, left.threads);
    return -1;
}

static void *no_work(void *arg)
{
    return arg;
}

int support_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
    signal(SIGPIPE, SIG_IGN);
    /* A sanitizer's runtime may start a thread of its own at the first. */
    thread_join(thread_start(no_work, NULL));
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (gcore_allocator_set(count_and_fail, NULL) != 0)
        return 1;
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

/* Assertions */

int64_t after(int64_t ns)
{
    return gcore_clock() + ns;
}

void support_assert_ok(int result, const char *call, const char *file,
                       int line)
{
    if (result == 0)
        return;
    print_error("%s: %d %s\n", call, result,
                result < 0 ? gcore_error_name(result) : "");
    _fail(file, line);
}

void support_assert_error(int result, int error, const char *call,
                          const char *file, int line)
{
    if (result == error)
        return;
    print_error("%s: %d %s instead of %s\n", call, result,
                result < 0 ? gcore_error_name(result) : "",
                gcore_error_name(error));
    _fail(file, line);
}

/* Builds */

bool support_under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
    return true;
#else
    return false;
#endif
}

bool support_under_asan(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}

bool support_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && (strstr(preload, "valgrind") != NULL ||
                               strstr(preload, "vgpreload") != NULL);
}

int support_times(int times)
{
    int slow = support_under_valgrind() ? 50
               : support_under_tsan() || support_under_asan() ? 10
                                                               : 1;

    return times / slow > 0 ? times / slow : 1;
}

/* Hubs */

gcore_hub *hub_new(void)
{
    gcore_hub *hub = NULL;

    assert_ok(gcore_hub_new(NULL, &hub));
    return hub;
}

gcore_hub *hub_new_backend(const char *backend)
{
    gcore_hub_options options = {.size = sizeof options, .backend = backend};
    gcore_hub *hub = NULL;

    assert_ok(gcore_hub_new(&options, &hub));
    return hub;
}

void hub_end(gcore_hub *hub)
{
    assert_ok(gcore_hub_close(hub));
    gcore_hub_unref(hub);
}

gcore_hub_stats hub_stats(gcore_hub *hub)
{
    gcore_hub_stats stats = {.size = sizeof stats};

    assert_ok(gcore_hub_counters(hub, &stats));
    return stats;
}

void end_watch(gcore_watch *watch)
{
    assert_ok(gcore_watch_stop(watch));
    gcore_watch_unref(watch);
}

int hub_poll_again(gcore_hub *hub, gcore_completion *out, int max,
                   int64_t deadline)
{
    int got;

    do
        got = gcore_hub_poll(hub, out, max, deadline);
    while (got == -EINTR);
    return got;
}

void poll_for(gcore_hub *hub, gcore_completion *out, int count)
{
    int64_t deadline = after(PATIENCE);

    while (count > 0) {
        int got = hub_poll_again(hub, out, count, deadline);

        if (got <= 0)
            print_error("poll: %d %s\n", got, gcore_error_name(got));
        assert_true(got > 0);
        out += got;
        count -= got;
    }
}

/* Pipes */

void make_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

void make_ready(int ends[2])
{
    assert_int_equal(write(ends[1], "x", 1), 1);
}

void drain(int ends[2])
{
    char buffer[4096];

    while (read(ends[0], buffer, sizeof buffer) > 0)
        ;
}

void close_pipe(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* What was told */

void tell(void *arg, int64_t result)
{
    told *one = arg;
    record *all = one->record;

    one->count++;
    one->result = result;
    if (all == NULL)
        return;
    assert_true(all->count < (int)(sizeof all->names / sizeof *all->names));
    all->names[all->count] = one->name;
    all->results[all->count] = result;
    all->count++;
}

/* Children */

void child_check(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: in the child: %s does not hold\n", file, line,
            text);
    _exit(1);
}

/* exit, for the counters of a coverage build are written there; but the leak
 * sanitizer would look at what the parent has left for itself. */
static void end_child(void)
{
    if (support_under_asan() || support_under_tsan())
        _exit(0);
    exit(0);
}

void in_child(void (*body)(void *arg), void *arg)
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        alarm((unsigned)(PATIENCE / SECOND));
        body(arg);
        end_child();
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (status != 0)
        print_error("the child ended with status 0x%x\n", (unsigned)status);
    assert_int_equal(status, 0);
}

/* Threads */

pthread_t thread_start(void *(*body)(void *arg), void *arg)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

void thread_join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int64_t blocked_signals(void *arg)
{
    sigset_t set;

    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return sigismember(&set, SIGUSR1) && sigismember(&set, SIGTERM);
}
