/*
 * Work sent to a hub by other threads: post, and call, which waits for it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <time.h>

#include "hub/hub.h"

typedef struct post {
    gcore__note note;
    gcore__ready ready;
} post;

static int64_t post_taken(gcore_hub *hub, gcore__ready *ready)
{
    post *it = GCORE__OF(post, ready, ready);

    gcore__free(it);
    atomic_fetch_sub(&hub->posted, 1);
    return atomic_load(&hub->closed) ? -ECANCELED : 0;
}

static void post_arrived(gcore_hub *hub, gcore__note *note)
{
    gcore__ready_add(hub, &GCORE__OF(post, note, note)->ready);
}

/* What is sent may drop the last reference before this returns. */
static int put(gcore_hub *hub, gcore__note *note)
{
    int error;

    gcore__hub_hold(hub);
    error = gcore__inbox_put(hub, note);
    gcore__hub_drop(hub);
    return error;
}

int gcore_hub_post(gcore_hub *hub, gcore_done_fn *fn, void *arg)
{
    post *it;
    int error;

    if (!fn)
        return -EINVAL;
    if (atomic_load_explicit(&hub->closed, memory_order_relaxed))
        return -ESHUTDOWN;
    if (atomic_fetch_add(&hub->posted, 1) >= hub->post_limit) {
        atomic_fetch_add_explicit(&hub->rejected, 1, memory_order_relaxed);
        error = -EAGAIN;
        goto failed;
    }
    it = gcore__alloc(sizeof *it);
    error = -ENOMEM;
    if (!it)
        goto failed;
    it->note.arrive = post_arrived;
    it->ready.take = post_taken;
    it->ready.done = fn;
    it->ready.arg = arg;
    atomic_fetch_add_explicit(&hub->posts, 1, memory_order_relaxed);
    error = put(hub, &it->note);
    if (error == 0)
        return 0;
    atomic_fetch_sub_explicit(&hub->posts, 1, memory_order_relaxed);
    gcore__free(it);

failed:
    atomic_fetch_sub(&hub->posted, 1);
    return error;
}

/* One call, shared by the caller and the hub: the last to let go frees. The
 * hub lets go before the caller hears of it, so that once a call is over
 * nothing of it is left, should the process fork then. */
typedef struct call {
    gcore__note note;
    gcore__ready ready;
    gcore_call_fn *fn;
    void *arg;
    unsigned generation; /* of forks: a child does not run parents' calls */
    pthread_cond_t over;
    pthread_mutex_t lock; /* guards the rest */
    int refs;
    enum { WAITING, RUNNING, DONE, REFUSED, GIVEN_UP } state;
    int64_t value;
} call;

static void call_free(call *it)
{
    pthread_cond_destroy(&it->over);
    pthread_mutex_destroy(&it->lock);
    gcore__free(it);
}

/* With the lock held. */
static void call_let_go(call *it)
{
    bool last = --it->refs == 0;

    pthread_mutex_unlock(&it->lock);
    if (last)
        call_free(it);
}

static int64_t call_taken(gcore_hub *hub, gcore__ready *ready)
{
    (void)ready;
    return atomic_load(&hub->closed) ? -ECANCELED : 0;
}

static void call_arrived(gcore_hub *hub, gcore__note *note)
{
    gcore__ready_add(hub, &GCORE__OF(call, note, note)->ready);
}

static void call_run(void *arg, int64_t result)
{
    call *it = arg;

    if (it->generation != gcore__fork_generation()) {
        /* The caller is not in this process. Its condition cannot be
         * destroyed: that would wait for the caller to leave it. */
        gcore__free(it);
        return;
    }
    pthread_mutex_lock(&it->lock);
    if (it->state == WAITING && result == 0) {
        it->state = RUNNING;
        pthread_mutex_unlock(&it->lock);
        result = it->fn(it->arg);
        pthread_mutex_lock(&it->lock);
        it->value = result;
        it->state = DONE;
    } else if (it->state == WAITING) {
        it->state = REFUSED;
    }
    pthread_cond_signal(&it->over);
    call_let_go(it);
}

static call *call_new(gcore_call_fn *fn, void *arg)
{
    call *it = gcore__alloc(sizeof *it);
    pthread_condattr_t monotonic;

    if (!it)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&it->over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&it->lock, NULL);
    it->note.arrive = call_arrived;
    it->ready.take = call_taken;
    it->ready.done = call_run;
    it->ready.arg = it;
    it->fn = fn;
    it->arg = arg;
    it->generation = gcore__fork_generation();
    it->refs = 2;
    return it;
}

/* With the lock held. Returns false once the deadline has passed. */
static bool call_wait(call *it, int64_t deadline)
{
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000),
                             .tv_nsec = (long)(deadline % 1000000000)};

    if (deadline == GCORE_FOREVER || it->state == RUNNING)
        return pthread_cond_wait(&it->over, &it->lock) == 0;
    return pthread_cond_timedwait(&it->over, &it->lock, &until) != ETIMEDOUT;
}

static int call_finish(call *it, int64_t deadline, int64_t *result)
{
    int error = -ETIMEDOUT;

    pthread_mutex_lock(&it->lock);
    while (it->state == WAITING || it->state == RUNNING)
        if (!call_wait(it, deadline) && it->state == WAITING)
            it->state = GIVEN_UP;
    if (it->state == REFUSED)
        error = -ECANCELED;
    if (it->state == DONE) {
        error = 0;
        if (result)
            *result = it->value;
    }
    call_let_go(it);
    return error;
}

int gcore_hub_call(gcore_hub *hub, gcore_call_fn *fn, void *arg,
                   int64_t deadline, int64_t *result)
{
    call *it;
    int error;

    if (!fn)
        return -EINVAL;
    if (atomic_load(&hub->driver) == gcore__thread()) {
        int64_t value = fn(arg);

        if (result)
            *result = value;
        return 0;
    }
    it = call_new(fn, arg);
    if (!it)
        return -ENOMEM;
    error = put(hub, &it->note);
    if (error == 0)
        return call_finish(it, deadline, result);
    call_free(it);
    return error;
}
