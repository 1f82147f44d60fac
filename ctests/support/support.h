/*
 * What the C tests share.
 *
 * A test is TEST(function): around it the library's allocator counts blocks
 * and can be told to fail, and it ends by proving that no block, descriptor
 * or thread was left behind. Nothing here waits a fixed time in the hope
 * that something has happened by then.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <gcore.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

/* Longer than anything here takes; reaching it is a failure. */
#define PATIENCE (60 * SECOND)

#define TEST(function)                                                        \
    cmocka_unit_test_setup_teardown(function, support_setup, support_teardown)

int support_setup(void **state);
int support_teardown(void **state);

/* Runs the tests of one program. */
#define RUN(tests) support_run(#tests, tests, sizeof(tests) / sizeof *(tests))
int support_run(const char *name, const struct CMUnitTest *tests,
                size_t count);

/* "At that many nanoseconds from now." */
int64_t after(int64_t ns);

/* Asserts that a call of the library returned 0. */
#define assert_ok(call) support_assert_ok((call), #call, __FILE__, __LINE__)
void support_assert_ok(int result, const char *call, const char *file,
                       int line);

/* Asserts that a call returned this negative error. */
#define assert_error(call, error)                                             \
    support_assert_error((call), (error), #call, __FILE__, __LINE__)
void support_assert_error(int result, int error, const char *call,
                          const char *file, int line);

/* The allocator: the k-th allocation from now on fails (1 is the next), and
 * all that follow until it is switched off; 0 switches off. */
void support_fail_allocation(int64_t k);
/* Puts that allocator back after a test of others. */
void support_install_allocator(void);
/* Whether one has failed since. */
bool support_allocation_failed(void);

/* Open descriptors, and threads, of this process. */
int support_descriptors(void);
int support_threads(void);

/* True in builds whose runtime changes what may be asked of the process. */
bool support_under_tsan(void);
bool support_under_asan(void);
bool support_under_valgrind(void);

/* How often to repeat: `times`, fewer in slow builds. */
int support_times(int times);

/* A hub; and its end, which asserts that nobody else holds it. */
gcore_hub *hub_new(void);
gcore_hub *hub_new_backend(const char *backend);
void hub_end(gcore_hub *hub);

/* The counters. */
gcore_hub_stats hub_stats(gcore_hub *hub);

/* Stops a watch and drops it. */
void end_watch(gcore_watch *watch);

/* gcore_hub_poll(), but -EINTR does not end it: that comes not only of handlers,
 * but also where the process was stopped for a while. */
int hub_poll_again(gcore_hub *hub, gcore_completion *out, int max,
                   int64_t deadline);

/* Polls until `count` completions have come, and returns them in `out`. */
void poll_for(gcore_hub *hub, gcore_completion *out, int count);

/* A pipe whose ends do not block, read end first. */
void make_pipe(int ends[2]);
void make_ready(int ends[2]);
void drain(int ends[2]);
void close_pipe(int ends[2]);

/* Records what was told, in order: a done function and its argument. */
typedef struct told {
    struct record *record;
    int name;
    int count;
    int64_t result;
    gcore_watch *watch;
} told;

typedef struct record {
    int count;
    int names[4096];
    int64_t results[4096];
} record;

void tell(void *arg, int64_t result);

/* Forks; the child runs body(arg) and is asserted to exit with 0, which it
 * does when body returns. An assertion that fails there ends it otherwise. */
void in_child(void (*body)(void *arg), void *arg);
void child_check(bool condition, const char *text, const char *file, int line);
#define CHILD_CHECK(condition)                                                \
    child_check((condition), #condition, __FILE__, __LINE__)

/* Threads. */
pthread_t thread_start(void *(*body)(void *arg), void *arg);
void thread_join(pthread_t thread);

/* A job: 1 if the calling thread has signals blocked, as the library's own
 * threads have. */
int64_t blocked_signals(void *arg);

#endif
