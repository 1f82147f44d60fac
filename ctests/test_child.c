/* Child watches, on pidfds and on the waiting thread that stands in for
 * them where the system has none. */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_BOTH_WAYS(name)                                                    \
    static void name(void **state)                                            \
    {                                                                         \
        (void)state;                                                          \
        name##_with(0);                                                       \
        name##_with(GCORE_HUB_NOPIDFD);                                       \
    }

static gcore_hub *child_hub(unsigned flags)
{
    gcore_hub_options options = {.size = sizeof options, .flags = flags};
    gcore_hub *hub = NULL;

    assert_ok(gcore_hub_new(&options, &hub));
    return hub;
}

/* A child that exits with `status`, once `hold` is closed unless that is
 * NULL. */
static pid_t child_start(int status, int *hold)
{
    int ends[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[1]);
        if (hold && read(ends[0], &byte, 1) < 0)
            _exit(99);
        _exit(status);
    }
    close(ends[0]);
    if (hold)
        *hold = ends[1];
    else
        close(ends[1]);
    return child;
}

/* Waits for the child's end without reaping it. */
static void wait_for_end(pid_t child)
{
    siginfo_t info;

    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0)
        assert_int_equal(errno, EINTR);
}

static gcore_watch *child_watch(gcore_hub *hub, pid_t child, void *arg)
{
    gcore_watch *watch;

    assert_ok(gcore_child_new(hub, child, &watch));
    assert_int_equal(gcore_child_pid(watch), child);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                arg ? arg : watch));
    return watch;
}

static void assert_reaped(pid_t child)
{
    assert_int_equal(waitpid(child, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void arguments_are_checked_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_watch *watch = NULL;

    assert_error(gcore_child_new(hub, 0, &watch), -EINVAL);
    assert_error(gcore_child_new(hub, -1, &watch), -EINVAL);
    assert_error(gcore_child_new(hub, 1 << 30, &watch), -ESRCH);
    assert_null(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(arguments_are_checked)

static void exits_after_the_start_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    int hold;
    pid_t child = child_start(7, &hold);

    watch = child_watch(hub, child, NULL);
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
    close(hold);
    poll_for(hub, &out, 1);
    assert_ptr_equal(out.arg, watch);
    assert_true(WIFEXITED((int)out.result));
    assert_int_equal(WEXITSTATUS((int)out.result), 7);
    assert_int_equal(gcore_watch_active(watch), 0);
    assert_reaped(child);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(exits_after_the_start)

static void exited_before_the_start_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    pid_t child = child_start(3, NULL);

    assert_ok(gcore_child_new(hub, child, &watch));
    wait_for_end(child);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    poll_for(hub, &out, 1);
    assert_int_equal(WEXITSTATUS((int)out.result), 3);
    assert_reaped(child);
    gcore_watch_unref(watch);

    /* Even before the watch was made. */
    child = child_start(4, NULL);
    wait_for_end(child);
    watch = child_watch(hub, child, NULL);
    poll_for(hub, &out, 1);
    assert_int_equal(WEXITSTATUS((int)out.result), 4);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(exited_before_the_start)

static void killed_by_a_signal_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    int hold;
    pid_t child = child_start(0, &hold);

    watch = child_watch(hub, child, NULL);
    kill(child, SIGKILL);
    poll_for(hub, &out, 1);
    assert_true(WIFSIGNALED((int)out.result));
    assert_int_equal(WTERMSIG((int)out.result), SIGKILL);
    gcore_watch_unref(watch);
    close(hold);
    hub_end(hub);
}
IN_BOTH_WAYS(killed_by_a_signal)

/* With or without a core: as waitpid would tell it. */
static void aborted_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    struct rlimit none = {0, 0};
    siginfo_t info;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &none);
        abort();
    }
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0)
        assert_int_equal(errno, EINTR);
    watch = child_watch(hub, child, NULL);
    poll_for(hub, &out, 1);
    assert_true(WIFSIGNALED((int)out.result));
    assert_int_equal(WTERMSIG((int)out.result), SIGABRT);
    assert_int_equal(!!WCOREDUMP((int)out.result),
                     info.si_code == CLD_DUMPED);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(aborted)

static void several_watches_of_one_child_with(unsigned flags)
{
    gcore_hub *hubs[2] = {child_hub(flags), child_hub(flags)};
    gcore_watch *watches[4];
    gcore_completion out[2];
    int hold;
    pid_t child = child_start(9, &hold);

    for (int i = 0; i < 4; i++)
        watches[i] = child_watch(hubs[i / 2], child, NULL);
    close(hold);
    for (int i = 0; i < 2; i++) {
        poll_for(hubs[i], out, 2);
        for (int j = 0; j < 2; j++)
            assert_int_equal(WEXITSTATUS((int)out[j].result), 9);
    }
    for (int i = 0; i < 4; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hubs[0]);
    hub_end(hubs[1]);
}
IN_BOTH_WAYS(several_watches_of_one_child)

static void reaped_by_someone_else_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    pid_t child = child_start(0, NULL);

    assert_ok(gcore_child_new(hub, child, &watch));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    poll_for(hub, &out, 1);
    assert_int_equal(out.result, -ECHILD);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(reaped_by_someone_else)

static void other_children_are_left_alone_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    pid_t other = child_start(21, NULL);
    pid_t child = child_start(22, NULL);
    int status;

    watch = child_watch(hub, child, NULL);
    poll_for(hub, &out, 1);
    assert_int_equal(WEXITSTATUS((int)out.result), 22);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 21);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(other_children_are_left_alone)

/* Stopped before the end: the child stays the program's to wait for. */
static void stopped_watches_do_not_reap_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_watch *watch;
    int hold, status;
    pid_t child = child_start(5, &hold);

    watch = child_watch(hub, child, NULL);
    assert_ok(gcore_watch_stop(watch));
    close(hold);
    gcore_watch_unref(watch);
    assert_ok(gcore_hub_run(hub));
    hub_end(hub);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 5);
}
IN_BOTH_WAYS(stopped_watches_do_not_reap)

static void gives_up_at_the_deadline_with(unsigned flags)
{
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;
    int hold;
    pid_t child = child_start(6, &hold);

    assert_ok(gcore_child_new(hub, child, &watch));
    assert_ok(gcore_watch_start(watch, 0, after(2 * MS), GCORE_COMPLETE,
                                watch));
    poll_for(hub, &out, 1);
    assert_int_equal(out.result, -ETIMEDOUT);
    close(hold);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    poll_for(hub, &out, 1);
    assert_int_equal(WEXITSTATUS((int)out.result), 6);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(gives_up_at_the_deadline)

static void many_children_with(unsigned flags)
{
    enum { MANY = 60 };
    gcore_hub *hub = child_hub(flags);
    gcore_watch *watches[MANY];
    gcore_completion out[MANY];
    bool seen[MANY] = {false};
    int numbers[MANY];

    for (int i = 0; i < MANY; i++) {
        numbers[i] = i;
        watches[i] = child_watch(hub, child_start(i, NULL), &numbers[i]);
    }
    poll_for(hub, out, MANY);
    for (int i = 0; i < MANY; i++) {
        int number = *(int *)out[i].arg;

        assert_int_equal(WEXITSTATUS((int)out[i].result), number);
        assert_false(seen[number]);
        seen[number] = true;
        gcore_watch_unref(watches[number]);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    hub_end(hub);
}
IN_BOTH_WAYS(many_children)

static atomic_int programs_count;

static void no_descriptor_left(void **state)
{
    gcore_hub *hub = hub_new();
    pid_t child = child_start(7, NULL);
    gcore_watch *watch;
    struct rlimit before, none;
    gcore_completion out;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_ok(gcore_child_new(hub, child, &watch));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    poll_for(hub, &out, 1);
    assert_int_equal(out.result, 7 << 8);
    gcore_watch_unref(watch);
    hub_end(hub);
}

static void programs_own(int signum)
{
    (void)signum;
    atomic_fetch_add(&programs_count, 1);
}

static void sigchld_stays_the_programs_with(unsigned flags)
{
    struct sigaction own = {.sa_handler = programs_own,
                            .sa_flags = SA_RESTART},
                     old, now;
    gcore_hub *hub = child_hub(flags);
    gcore_completion out;
    gcore_watch *watch;

    sigaction(SIGCHLD, &own, &old);
    atomic_store(&programs_count, 0);
    watch = child_watch(hub, child_start(1, NULL), NULL);
    sigaction(SIGCHLD, NULL, &now);
    assert_true(now.sa_handler == programs_own);
    poll_for(hub, &out, 1);
    assert_true(atomic_load(&programs_count) >= 1);
    sigaction(SIGCHLD, NULL, &now);
    assert_true(now.sa_handler == programs_own);
    sigaction(SIGCHLD, &old, NULL);
    gcore_watch_unref(watch);
    hub_end(hub);
}
IN_BOTH_WAYS(sigchld_stays_the_programs)

struct family {
    unsigned flags;
    int count;
    int wrong;
};

static void *raise_a_family(void *arg)
{
    struct family *family = arg;
    gcore_hub *hub = child_hub(family->flags);
    gcore_completion out;

    for (int i = 0; i < family->count; i++) {
        pid_t child = child_start(i % 100, NULL);
        gcore_watch *watch;

        if (i % 2)
            wait_for_end(child);
        watch = child_watch(hub, child, NULL);
        poll_for(hub, &out, 1);
        family->wrong += WEXITSTATUS((int)out.result) != i % 100;
        gcore_watch_unref(watch);
    }
    hub_end(hub);
    return NULL;
}

static void children_of_several_threads_with(unsigned flags)
{
    enum { THREADS = 4 };
    struct family families[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        families[i] =
            (struct family){.flags = flags, .count = support_times(60)};
        threads[i] = thread_start(raise_a_family, &families[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        assert_int_equal(families[i].wrong, 0);
    }
}
IN_BOTH_WAYS(children_of_several_threads)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(exits_after_the_start),
        TEST(exited_before_the_start),
        TEST(killed_by_a_signal),
        TEST(aborted),
        TEST(several_watches_of_one_child),
        TEST(reaped_by_someone_else),
        TEST(other_children_are_left_alone),
        TEST(stopped_watches_do_not_reap),
        TEST(gives_up_at_the_deadline),
        TEST(many_children),
        TEST(no_descriptor_left),
        TEST(sigchld_stays_the_programs),
        TEST(children_of_several_threads),
    };

    return RUN(tests);
}
