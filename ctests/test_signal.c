/* Signal watches. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static gcore_watch *signal_start(gcore_hub *hub, int signum, unsigned flags,
                                 void *arg)
{
    gcore_watch *watch;

    assert_ok(gcore_signal_new(hub, signum, &watch));
    assert_ok(gcore_watch_start(watch, flags, GCORE_FOREVER, GCORE_COMPLETE,
                                arg ? arg : watch));
    return watch;
}

static void arguments_are_checked(void **state)
{
    const int bad[] = {0, -1, 10000, SIGKILL, SIGSTOP};
    gcore_hub *hub = hub_new();
    gcore_watch *watch = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_error(gcore_signal_new(hub, bad[i], &watch), -EINVAL);
    assert_null(watch);
    hub_end(hub);
}

static void told_of_a_signal(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch = signal_start(hub, SIGUSR1, 0, NULL);
    gcore_completion out[2];

    (void)state;
    assert_int_equal(gcore_signal_number(watch), SIGUSR1);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR1);
        poll_for(hub, out, 1);
        assert_ptr_equal(out[0].arg, watch);
        assert_int_equal(out[0].result, SIGUSR1);
    }
    raise(SIGUSR1);
    raise(SIGUSR1); /* counts as one */
    poll_for(hub, out, 1);
    assert_int_equal(gcore_hub_poll(hub, out, 2, GCORE_NOW), 0);
    end_watch(watch);
    hub_end(hub);
}

static void several_watches_on_several_hubs(void **state)
{
    gcore_hub *hubs[2] = {hub_new(), hub_new()};
    gcore_watch *watches[4];
    gcore_completion out[3];

    (void)state;
    for (int i = 0; i < 4; i++)
        watches[i] = signal_start(hubs[i / 2], SIGUSR1, 0, NULL);
    for (int round = 0; round < 3; round++) {
        raise(SIGUSR1);
        for (int i = 0; i < 2; i++) {
            poll_for(hubs[i], out, 2);
            assert_true(out[0].arg != out[1].arg);
            assert_true(out[0].arg == watches[2 * i] ||
                        out[0].arg == watches[2 * i + 1]);
            assert_int_equal(out[0].result, SIGUSR1);
        }
    }
    end_watch(watches[0]);
    raise(SIGUSR1);
    poll_for(hubs[0], out, 1);
    assert_ptr_equal(out[0].arg, watches[1]);
    poll_for(hubs[1], out, 2);
    for (int i = 1; i < 4; i++)
        end_watch(watches[i]);
    hub_end(hubs[0]);
    hub_end(hubs[1]);
}

static atomic_int program_got;

static void programs_own(int signum)
{
    (void)signum;
    atomic_fetch_add(&program_got, 1);
}

static void handlers_are_put_back(void **state)
{
    gcore_hub *hub = hub_new();
    struct sigaction own = {.sa_handler = programs_own}, old, now;
    gcore_watch *first, *second;

    (void)state;
    sigaction(SIGUSR1, &own, &old);
    first = signal_start(hub, SIGUSR1, 0, NULL);
    second = signal_start(hub, SIGUSR1, 0, NULL);
    end_watch(first);
    sigaction(SIGUSR1, NULL, &now);
    assert_true(now.sa_handler != programs_own);
    end_watch(second);
    sigaction(SIGUSR1, NULL, &now);
    assert_true(now.sa_handler == programs_own);

    /* What the program has set meanwhile stays. */
    first = signal_start(hub, SIGUSR1, 0, NULL);
    own.sa_handler = SIG_IGN;
    sigaction(SIGUSR1, &own, NULL);
    end_watch(first);
    sigaction(SIGUSR1, NULL, &now);
    assert_true(now.sa_handler == SIG_IGN);
    sigaction(SIGUSR1, &old, NULL);
    hub_end(hub);
}

static void started_after_the_program_replaced_the_handler(void **state)
{
    gcore_hub *hub = hub_new();
    struct sigaction own = {.sa_handler = programs_own}, old, now;
    gcore_watch *first = signal_start(hub, SIGUSR1, 0, NULL);
    gcore_watch *second;
    gcore_completion out[2];

    (void)state;
    sigaction(SIGUSR1, &own, &old);
    second = signal_start(hub, SIGUSR1, 0, NULL);
    raise(SIGUSR1);
    poll_for(hub, out, 2);
    end_watch(first);
    end_watch(second);
    sigaction(SIGUSR1, NULL, &now);
    assert_true(now.sa_handler == programs_own);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    hub_end(hub);
}

static void dropping_the_hub_puts_handlers_back(void **state)
{
    struct sigaction own = {.sa_handler = programs_own}, old, now;
    gcore_hub *hub = hub_new();
    gcore_watch *watch;

    (void)state;
    sigaction(SIGUSR2, &own, &old);
    watch = signal_start(hub, SIGUSR2, 0, NULL);
    hub_end(hub);
    gcore_watch_unref(watch);
    sigaction(SIGUSR2, NULL, &now);
    assert_true(now.sa_handler == programs_own);
    sigaction(SIGUSR2, &old, NULL);
}

static void once(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch = signal_start(hub, SIGUSR1, GCORE_ONCE, NULL);
    gcore_completion out;

    (void)state;
    raise(SIGUSR1);
    poll_for(hub, &out, 1);
    assert_int_equal(gcore_watch_active(watch), 0);
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    gcore_watch_unref(watch);
    hub_end(hub);
}

/* A signal that came before stop is not told after it, nor to the start that
 * follows. */
static void stop_withdraws(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch = signal_start(hub, SIGUSR1, 0, NULL);
    gcore_completion out;

    (void)state;
    raise(SIGUSR1);
    gcore_watch_stop(watch);
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
    raise(SIGUSR1);
    poll_for(hub, &out, 1);
    end_watch(watch);
    hub_end(hub);
}

static void *raise_elsewhere(void *arg)
{
    (void)arg;
    pthread_kill(pthread_self(), SIGUSR1);
    return NULL;
}

static void a_signal_of_another_thread(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch = signal_start(hub, SIGUSR1, GCORE_ONCE, NULL);
    gcore_completion out;

    (void)state;
    thread_join(thread_start(raise_elsewhere, NULL));
    poll_for(hub, &out, 1);
    assert_ptr_equal(out.arg, watch);
    gcore_watch_unref(watch);
    hub_end(hub);
}

/* An interval timer that fires all the time: neither watches nor posts are
 * lost, and the last signal is always told. */
static void storm(void **state)
{
    gcore_hub *hubs[2] = {hub_new(), hub_new()};
    struct itimerval often = {{0, 100}, {0, 100}}, off = {{0, 0}, {0, 0}};
    gcore_watch *watches[4];
    gcore_completion out[8];
    int64_t deadline;
    int seen[4] = {0}, posts = 0, mark;
    int want = support_times(500);

    (void)state;
    /* The last one may still be on its way when nobody watches any more. */
    signal(SIGALRM, SIG_IGN);
    for (int i = 0; i < 4; i++)
        watches[i] = signal_start(hubs[i % 2], SIGALRM, 0, &seen[i]);
    setitimer(ITIMER_REAL, &often, NULL);
    deadline = after(PATIENCE);
    while (seen[0] < want || seen[1] < want || posts < want) {
        assert_ok(gcore_hub_post(hubs[0], GCORE_COMPLETE, &mark));
        for (int h = 0; h < 2; h++) {
            int got = gcore_hub_poll(hubs[h], out, 8, deadline);

            assert_true(got > 0 || got == -EINTR);
            for (int i = 0; i < got; i++) {
                if (out[i].arg == &mark)
                    posts++;
                else
                    ++*(int *)out[i].arg;
            }
        }
    }
    setitimer(ITIMER_REAL, &off, NULL);
    assert_true(seen[2] > 0 && seen[3] > 0);
    for (int i = 0; i < 4; i++)
        end_watch(watches[i]);
    hub_end(hubs[0]);
    hub_end(hubs[1]);
}

static void *storm_thread(void *arg)
{
    atomic_int *over = arg;

    while (!atomic_load(over))
        kill(getpid(), SIGUSR1);
    return NULL;
}

/* Watches come and go while signals arrive. */
static void start_and_stop_in_a_storm(void **state)
{
    gcore_hub *hub = hub_new();
    struct sigaction own = {.sa_handler = programs_own}, old;
    gcore_completion out[4];
    atomic_int over = 0;
    pthread_t thread;

    (void)state;
    sigaction(SIGUSR1, &own, &old);
    thread = thread_start(storm_thread, &over);
    for (int i = 0; i < support_times(2000); i++) {
        gcore_watch *a = signal_start(hub, SIGUSR1, 0, NULL);
        gcore_watch *b = signal_start(hub, SIGUSR1, GCORE_ONCE, NULL);
        int got = gcore_hub_poll(hub, out, 4, GCORE_NOW);

        assert_true(got >= 0 || got == -EINTR);
        end_watch(i % 2 ? a : b);
        end_watch(i % 2 ? b : a);
    }
    atomic_store(&over, 1);
    thread_join(thread);
    sigaction(SIGUSR1, &old, NULL);
    hub_end(hub);
}

struct listener {
    gcore_hub *hub;
    atomic_int *ready;
    int told;
};

static void *listen_once(void *arg)
{
    struct listener *listener = arg;
    gcore_hub *hub = hub_new();
    gcore_watch *watch = signal_start(hub, SIGUSR1, GCORE_ONCE, NULL);
    gcore_completion out;

    atomic_fetch_add(listener->ready, 1);
    poll_for(hub, &out, 1);
    listener->told = (int)out.result;
    gcore_watch_unref(watch);
    hub_end(hub);
    return NULL;
}

static void hubs_of_several_threads(void **state)
{
    enum { THREADS = 4 };
    struct listener listeners[THREADS];
    pthread_t threads[THREADS];
    atomic_int ready = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        listeners[i] = (struct listener){.ready = &ready};
        threads[i] = thread_start(listen_once, &listeners[i]);
    }
    while (atomic_load(&ready) < THREADS)
        sched_yield();
    raise(SIGUSR1);
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        assert_int_equal(listeners[i].told, SIGUSR1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(told_of_a_signal),
        TEST(several_watches_on_several_hubs),
        TEST(handlers_are_put_back),
        TEST(started_after_the_program_replaced_the_handler),
        TEST(dropping_the_hub_puts_handlers_back),
        TEST(once),
        TEST(stop_withdraws),
        TEST(a_signal_of_another_thread),
        TEST(storm),
        TEST(start_and_stop_in_a_storm),
        TEST(hubs_of_several_threads),
    };

    return RUN(tests);
}
