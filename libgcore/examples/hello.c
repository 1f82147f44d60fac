/*
 * A timer, a post from another thread and a pool job, on one hub:
 *
 *     cc hello.c $(pkg-config --cflags --libs gcore) -o hello && ./hello
 *
 * The hub runs until nothing is left to wait for.
 */
#include <pthread.h>
#include <stdio.h>

#include <gcore.h>

#define MILLISECOND 1000000

static int told;

static void say(void *arg, int64_t result)
{
    const char *what = arg;

    printf("%s: %lld\n", what, (long long)result);
    told++;
}

static void *post_from_here(void *arg)
{
    gcore_hub *hub = arg;

    gcore_hub_post(hub, say, "post");
    gcore_hub_release(hub);
    return NULL;
}

static int64_t work(void *arg)
{
    const int *number = arg;

    return *number * *number;
}

static int fail(const char *call, int error)
{
    fprintf(stderr, "%s: %s\n", call, gcore_error_text(error));
    return 1;
}

int main(void)
{
    static int seven = 7;
    gcore_hub *hub;
    gcore_pool *pool;
    gcore_watch *timer;
    pthread_t thread;
    int error;

    error = gcore_hub_new(NULL, &hub);
    if (error < 0)
        return fail("gcore_hub_new", error);
    error = gcore_pool_new(NULL, &pool);
    if (error < 0)
        return fail("gcore_pool_new", error);

    error = gcore_timer_new(hub, &timer);
    if (error < 0)
        return fail("gcore_timer_new", error);
    error = gcore_watch_start(timer, GCORE_ONCE,
                              gcore_clock() + 10 * MILLISECOND, say, "timer");
    if (error < 0)
        return fail("gcore_watch_start", error);
    gcore_watch_unref(timer); /* it lives on while started */

    gcore_hub_retain(hub); /* until the thread has posted */
    if (pthread_create(&thread, NULL, post_from_here, hub) != 0)
        return fail("pthread_create", -EAGAIN);

    error = gcore_pool_submit(pool, hub, work, &seven, GCORE_FOREVER, say,
                              "job", NULL);
    if (error < 0)
        return fail("gcore_pool_submit", error);

    error = gcore_hub_run(hub);
    if (error < 0)
        return fail("gcore_hub_run", error);
    pthread_join(thread, NULL);
    gcore_pool_unref(pool);
    gcore_hub_unref(hub);
    return told == 3 ? 0 : 1;
}
