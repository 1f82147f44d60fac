/*
 * A program that knows the library only as it is installed: a timer, a post
 * from a thread, and a job on a pool, all told by one hub.
 */
#include <gcore.h>

#include <pthread.h>
#include <stdio.h>

#define MS INT64_C(1000000)

static int told;

static void tell(void *arg, int64_t result)
{
    printf("%s: %lld\n", (const char *)arg, (long long)result);
    told++;
}

static int64_t work(void *arg)
{
    return *(int *)arg * 2;
}

static void *post(void *arg)
{
    static char name[] = "post";

    return gcore_hub_post(arg, tell, name) == 0 ? arg : NULL;
}

static int run(gcore_hub *hub, gcore_pool *pool)
{
    static char timer_name[] = "timer", job_name[] = "job";
    gcore_watch *timer;
    pthread_t thread;
    void *posted;
    int number = 21;
    int error = gcore_timer_new(hub, &timer);

    if (error < 0)
        return error;
    error = gcore_watch_start(timer, GCORE_ONCE, gcore_clock() + 5 * MS, tell,
                              timer_name);
    gcore_watch_unref(timer);
    if (error == 0)
        error = gcore_pool_submit(pool, hub, work, &number, GCORE_FOREVER,
                                  tell, job_name, NULL);
    if (error == 0)
        error = -pthread_create(&thread, NULL, post, hub);
    if (error < 0)
        return error;
    pthread_join(thread, &posted);
    return posted ? gcore_hub_run(hub) : -ENOMEM;
}

int main(void)
{
    gcore_hub *hub = NULL;
    gcore_pool *pool = NULL;
    int error;

    printf("libgcore %s\n", gcore_version());
    if (gcore_version_number() / 100 !=
        GCORE_VERSION_MAJOR * 100 + GCORE_VERSION_MINOR)
        return 2;
    error = gcore_hub_new(NULL, &hub);
    if (error == 0)
        error = gcore_pool_new(NULL, &pool);
    if (error == 0)
        error = run(hub, pool);
    gcore_pool_unref(pool);
    gcore_hub_unref(hub);
    if (error < 0)
        fprintf(stderr, "%s: %s\n", gcore_error_name(error),
                gcore_error_text(error));
    return error == 0 && told == 3 ? 0 : 1;
}
