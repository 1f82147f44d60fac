/*
 * The hub beside raw libev and libuv: a turn, an io wait, timers, posts.
 *
 * libev's sources are compiled into this program in its own configuration,
 * so it pays for nothing that the library puts around it, and is optimised
 * alike.
 */
#define EV_STANDALONE 1
#define EV_USE_MONOTONIC 1
#define EV_USE_CLOCK_SYSCALL 0
#define EV_USE_SELECT 0
#define EV_USE_POLL 0
#define EV_USE_EPOLL 1
#define EV_USE_EVENTFD 1
#define EV_USE_LINUXAIO 0
#define EV_USE_IOURING 0
#define EV_USE_TIMERFD 0
#include <ev.c>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include <uv.h>

#include <gcore.h>

#include "measure.h"

enum { HEAP = 1000, WATCHED = 1000, READY = 100, BATCH = 100 };

#define FAR (INT64_C(3600) * 1000000000)

static void make_pipe(int ends[2])
{
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

static void put(int ends[2])
{
    CHECK(write(ends[1], "x", 1) == 1);
}

static void get(int ends[2])
{
    char byte;

    CHECK(read(ends[0], &byte, 1) == 1);
}

static void close_pipe(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* One state for all works of an engine: each uses its part. */

struct ours {
    gcore_hub *hub;
    gcore_watch *watches[WATCHED];
    int pipes[WATCHED][2];
    int count;
    long told;
};

struct raw {
    struct ev_loop *loop;
    ev_io ios[WATCHED];
    ev_timer timers[HEAP];
    ev_async async;
    int pipes[WATCHED][2];
    int count;
    long told;
};

struct uv {
    uv_loop_t loop;
    uv_poll_t polls[WATCHED];
    uv_timer_t timers[HEAP];
    uv_async_t async;
    int pipes[WATCHED][2];
    int count;
    long told;
};

/* libgcore */

static struct ours *ours_new(int pipes)
{
    struct ours *it = calloc(1, sizeof *it);

    CHECK(it != NULL);
    CHECK(gcore_hub_new(NULL, &it->hub) == 0);
    it->count = pipes;
    for (int i = 0; i < pipes; i++) {
        make_pipe(it->pipes[i]);
        CHECK(gcore_io_new(it->hub, it->pipes[i][0], GCORE_READ,
                           &it->watches[i]) == 0);
    }
    return it;
}

static void ours_close(void *state)
{
    struct ours *it = state;

    for (int i = 0; i < WATCHED; i++) {
        if (!it->watches[i])
            continue;
        gcore_watch_stop(it->watches[i]);
        gcore_watch_unref(it->watches[i]);
    }
    gcore_hub_close(it->hub);
    gcore_hub_unref(it->hub);
    for (int i = 0; i < it->count; i++)
        close_pipe(it->pipes[i]);
    free(it);
}

static void ours_told(void *arg, int64_t result)
{
    (void)result;
    ((struct ours *)arg)->told++;
}

static void ours_start_all(struct ours *it, gcore_done_fn *done)
{
    for (int i = 0; i < it->count; i++)
        CHECK(gcore_watch_start(it->watches[i], 0, GCORE_FOREVER, done, it) ==
              0);
}

static void *ours_open_turn(void)
{
    struct ours *it = ours_new(1);

    ours_start_all(it, ours_told);
    put(it->pipes[0]);
    return it;
}

static void *ours_open_completion(void)
{
    struct ours *it = ours_new(1);

    ours_start_all(it, GCORE_COMPLETE);
    put(it->pipes[0]);
    return it;
}

static void ours_turn(void *state, long count)
{
    struct ours *it = state;
    gcore_completion out[8];

    while (count-- > 0)
        gcore_hub_poll(it->hub, out, 8, GCORE_NOW);
}

static void *ours_open_wait(void)
{
    return ours_new(1);
}

static void ours_wait(void *state, long count)
{
    struct ours *it = state;
    gcore_completion out;

    while (count-- > 0) {
        put(it->pipes[0]);
        gcore_watch_start(it->watches[0], GCORE_ONCE, GCORE_FOREVER,
                          GCORE_COMPLETE, it);
        gcore_hub_poll(it->hub, &out, 1, GCORE_FOREVER);
        get(it->pipes[0]);
    }
}

static void *ours_open_many(void)
{
    struct ours *it = ours_new(WATCHED);

    ours_start_all(it, ours_told);
    for (int i = 0; i < READY; i++)
        put(it->pipes[i * (WATCHED / READY)]);
    return it;
}

static void ours_many(void *state, long count)
{
    struct ours *it = state;
    gcore_completion out;

    for (it->told = 0; it->told < count;)
        gcore_hub_poll(it->hub, &out, 1, GCORE_NOW);
}

static void *ours_open_timers(void)
{
    struct ours *it = ours_new(0);
    int64_t now = gcore_clock();

    for (int i = 0; i < HEAP; i++) {
        CHECK(gcore_timer_new(it->hub, &it->watches[i]) == 0);
        CHECK(gcore_watch_start(it->watches[i], GCORE_ONCE,
                                now + FAR + (i * 7919 % HEAP), ours_told,
                                it) == 0);
    }
    return it;
}

/* One of the timers, another each time, is stopped and started anew. */
static void ours_timers(void *state, long count)
{
    struct ours *it = state;
    int64_t now = gcore_hub_now(it->hub);

    for (long i = 0; i < count; i++) {
        gcore_watch *timer = it->watches[i * 13 % HEAP];

        gcore_watch_stop(timer);
        gcore_watch_start(timer, GCORE_ONCE, now + FAR + i % HEAP, ours_told,
                          it);
    }
}

static void *ours_open_due(void)
{
    struct ours *it = ours_new(0);

    for (int i = 0; i < BATCH; i++)
        CHECK(gcore_timer_new(it->hub, &it->watches[i]) == 0);
    return it;
}

static void ours_due(void *state, long count)
{
    struct ours *it = state;
    gcore_completion out;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++)
            gcore_watch_start(it->watches[i], GCORE_ONCE, GCORE_NOW,
                              ours_told, it);
        gcore_hub_poll(it->hub, &out, 1, GCORE_NOW);
    }
}

static void *ours_open_post(void)
{
    return ours_new(0);
}

static void ours_post(void *state, long count)
{
    struct ours *it = state;
    gcore_completion out;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++)
            gcore_hub_post(it->hub, ours_told, it);
        gcore_hub_poll(it->hub, &out, 1, GCORE_NOW);
    }
}

struct sender {
    void *state;
    long count;
    void (*send)(void *state);
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;

    for (long i = 0; i < sender->count; i++)
        sender->send(sender->state);
    return NULL;
}

static pthread_t start_sender(struct sender *sender)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, send_all, sender) == 0);
    return thread;
}

static void ours_send(void *state)
{
    struct ours *it = state;

    while (gcore_hub_post(it->hub, ours_told, it) == -EAGAIN)
        sched_yield();
}

static void ours_thread(void *state, long count)
{
    struct ours *it = state;
    struct sender sender = {it, count, ours_send};
    pthread_t thread = start_sender(&sender);
    gcore_completion out;

    gcore_hub_retain(it->hub);
    for (it->told = 0; it->told < count;)
        gcore_hub_poll(it->hub, &out, 1, gcore_clock() + 1000000);
    gcore_hub_release(it->hub);
    pthread_join(thread, NULL);
}

/* What a program has to put beside the others' wake-ups: a queue. */

struct message {
    struct message *next;
    void (*fn)(void *arg);
    void *arg;
};

static struct {
    pthread_mutex_t lock;
    struct message *first;
    struct message **end;
    int length;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Whether the queue was empty; below 0: it is full. */
static int queue_put(void (*fn)(void *arg), void *arg)
{
    struct message *message = malloc(sizeof *message);
    int was_empty;

    CHECK(message != NULL);
    *message = (struct message){NULL, fn, arg};
    pthread_mutex_lock(&queue.lock);
    if (queue.length >= 65536) {
        pthread_mutex_unlock(&queue.lock);
        free(message);
        return -1;
    }
    was_empty = queue.first == NULL;
    if (was_empty)
        queue.end = &queue.first;
    *queue.end = message;
    queue.end = &message->next;
    queue.length++;
    pthread_mutex_unlock(&queue.lock);
    return was_empty;
}

static void queue_run(void)
{
    struct message *message;

    pthread_mutex_lock(&queue.lock);
    message = queue.first;
    queue.first = NULL;
    queue.length = 0;
    pthread_mutex_unlock(&queue.lock);
    while (message) {
        struct message *next = message->next;

        message->fn(message->arg);
        free(message);
        message = next;
    }
}

/* libev */

static void raw_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    ((struct raw *)io->data)->told++;
}

static void raw_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    ((struct raw *)timer->data)->told++;
}

static void raw_async(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)async;
    (void)events;
    queue_run();
}

static struct raw *raw_new(int pipes)
{
    struct raw *it = calloc(1, sizeof *it);

    CHECK(it != NULL);
    it->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    CHECK(it->loop != NULL);
    it->count = pipes;
    for (int i = 0; i < pipes; i++) {
        make_pipe(it->pipes[i]);
        ev_io_init(&it->ios[i], raw_io, it->pipes[i][0], EV_READ);
        it->ios[i].data = it;
    }
    return it;
}

static void raw_close(void *state)
{
    struct raw *it = state;

    ev_loop_destroy(it->loop);
    for (int i = 0; i < it->count; i++)
        close_pipe(it->pipes[i]);
    free(it);
}

static void *raw_open_turn(void)
{
    struct raw *it = raw_new(1);

    ev_io_start(it->loop, &it->ios[0]);
    put(it->pipes[0]);
    return it;
}

static void raw_turn(void *state, long count)
{
    struct raw *it = state;

    while (count-- > 0)
        ev_run(it->loop, EVRUN_NOWAIT);
}

static void *raw_open_wait(void)
{
    return raw_new(1);
}

static void raw_wait(void *state, long count)
{
    struct raw *it = state;

    while (count-- > 0) {
        put(it->pipes[0]);
        ev_io_start(it->loop, &it->ios[0]);
        ev_run(it->loop, EVRUN_ONCE);
        ev_io_stop(it->loop, &it->ios[0]);
        get(it->pipes[0]);
    }
}

static void *raw_open_many(void)
{
    struct raw *it = raw_new(WATCHED);

    for (int i = 0; i < WATCHED; i++)
        ev_io_start(it->loop, &it->ios[i]);
    for (int i = 0; i < READY; i++)
        put(it->pipes[i * (WATCHED / READY)]);
    return it;
}

static void raw_many(void *state, long count)
{
    struct raw *it = state;

    for (it->told = 0; it->told < count;)
        ev_run(it->loop, EVRUN_NOWAIT);
}

static void *raw_open_timers(void)
{
    struct raw *it = raw_new(0);

    for (int i = 0; i < HEAP; i++) {
        ev_timer_init(&it->timers[i], raw_timer, 3600 + i * 7919 % HEAP * 1e-9,
                      0);
        it->timers[i].data = it;
        ev_timer_start(it->loop, &it->timers[i]);
    }
    return it;
}

static void raw_timers(void *state, long count)
{
    struct raw *it = state;

    for (long i = 0; i < count; i++) {
        ev_timer *timer = &it->timers[i * 13 % HEAP];

        ev_timer_stop(it->loop, timer);
        ev_timer_set(timer, 3600 + (double)(i % HEAP) * 1e-9, 0);
        ev_timer_start(it->loop, timer);
    }
}

static void *raw_open_due(void)
{
    struct raw *it = raw_new(0);

    for (int i = 0; i < BATCH; i++) {
        ev_timer_init(&it->timers[i], raw_timer, 0, 0);
        it->timers[i].data = it;
    }
    return it;
}

static void raw_due(void *state, long count)
{
    struct raw *it = state;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++) {
            ev_timer_set(&it->timers[i], 0, 0);
            ev_timer_start(it->loop, &it->timers[i]);
        }
        ev_run(it->loop, EVRUN_NOWAIT);
    }
}

static void *raw_open_post(void)
{
    struct raw *it = raw_new(0);

    ev_async_init(&it->async, raw_async);
    ev_async_start(it->loop, &it->async);
    return it;
}

static void raw_message(void *arg)
{
    ((struct raw *)arg)->told++;
}

static void raw_send(void *state)
{
    struct raw *it = state;
    int was_empty;

    while ((was_empty = queue_put(raw_message, it)) < 0)
        sched_yield();
    if (was_empty)
        ev_async_send(it->loop, &it->async);
}

static void raw_post(void *state, long count)
{
    struct raw *it = state;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++)
            raw_send(it);
        ev_run(it->loop, EVRUN_NOWAIT);
    }
}

static void raw_thread(void *state, long count)
{
    struct raw *it = state;
    struct sender sender = {it, count, raw_send};
    pthread_t thread = start_sender(&sender);

    for (it->told = 0; it->told < count;)
        ev_run(it->loop, EVRUN_ONCE);
    pthread_join(thread, NULL);
}

/* libuv */

static void uv_told(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    ((struct uv *)poll->data)->told++;
}

static void uv_due(uv_timer_t *timer)
{
    ((struct uv *)timer->data)->told++;
}

static void uv_woken(uv_async_t *async)
{
    (void)async;
    queue_run();
}

static struct uv *uv_new(int pipes)
{
    struct uv *it = calloc(1, sizeof *it);

    CHECK(it != NULL);
    CHECK(uv_loop_init(&it->loop) == 0);
    it->count = pipes;
    for (int i = 0; i < pipes; i++) {
        make_pipe(it->pipes[i]);
        CHECK(uv_poll_init(&it->loop, &it->polls[i], it->pipes[i][0]) == 0);
        it->polls[i].data = it;
    }
    return it;
}

static void uv_close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

static void uv_work_close(void *state)
{
    struct uv *it = state;

    uv_walk(&it->loop, uv_close_handle, NULL);
    uv_run(&it->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&it->loop) == 0);
    for (int i = 0; i < it->count; i++)
        close_pipe(it->pipes[i]);
    free(it);
}

static void *uv_open_turn(void)
{
    struct uv *it = uv_new(1);

    uv_poll_start(&it->polls[0], UV_READABLE, uv_told);
    put(it->pipes[0]);
    return it;
}

static void uv_turn(void *state, long count)
{
    struct uv *it = state;

    while (count-- > 0)
        uv_run(&it->loop, UV_RUN_NOWAIT);
}

static void *uv_open_wait(void)
{
    return uv_new(1);
}

static void uv_wait(void *state, long count)
{
    struct uv *it = state;

    while (count-- > 0) {
        put(it->pipes[0]);
        uv_poll_start(&it->polls[0], UV_READABLE, uv_told);
        uv_run(&it->loop, UV_RUN_ONCE);
        uv_poll_stop(&it->polls[0]);
        get(it->pipes[0]);
    }
}

static void *uv_open_many(void)
{
    struct uv *it = uv_new(WATCHED);

    for (int i = 0; i < WATCHED; i++)
        uv_poll_start(&it->polls[i], UV_READABLE, uv_told);
    for (int i = 0; i < READY; i++)
        put(it->pipes[i * (WATCHED / READY)]);
    return it;
}

static void uv_many(void *state, long count)
{
    struct uv *it = state;

    for (it->told = 0; it->told < count;)
        uv_run(&it->loop, UV_RUN_NOWAIT);
}

static void *uv_open_timers(void)
{
    struct uv *it = uv_new(0);

    for (int i = 0; i < HEAP; i++) {
        uv_timer_init(&it->loop, &it->timers[i]);
        it->timers[i].data = it;
        uv_timer_start(&it->timers[i], uv_due,
                       3600000 + (uint64_t)(i * 7919 % HEAP), 0);
    }
    return it;
}

static void uv_timers(void *state, long count)
{
    struct uv *it = state;

    for (long i = 0; i < count; i++) {
        uv_timer_t *timer = &it->timers[i * 13 % HEAP];

        uv_timer_stop(timer);
        uv_timer_start(timer, uv_due, 3600000 + (uint64_t)(i % HEAP), 0);
    }
}

static void *uv_open_due(void)
{
    struct uv *it = uv_new(0);

    for (int i = 0; i < BATCH; i++) {
        uv_timer_init(&it->loop, &it->timers[i]);
        it->timers[i].data = it;
    }
    return it;
}

static void uv_run_due(void *state, long count)
{
    struct uv *it = state;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++)
            uv_timer_start(&it->timers[i], uv_due, 0, 0);
        uv_run(&it->loop, UV_RUN_NOWAIT);
    }
}

static void *uv_open_post(void)
{
    struct uv *it = uv_new(0);

    uv_async_init(&it->loop, &it->async, uv_woken);
    return it;
}

static void uv_message(void *arg)
{
    ((struct uv *)arg)->told++;
}

static void uv_send(void *state)
{
    struct uv *it = state;
    int was_empty;

    while ((was_empty = queue_put(uv_message, it)) < 0)
        sched_yield();
    if (was_empty)
        uv_async_send(&it->async);
}

static void uv_post(void *state, long count)
{
    struct uv *it = state;

    for (it->told = 0; it->told < count;) {
        for (int i = 0; i < BATCH; i++)
            uv_send(it);
        uv_run(&it->loop, UV_RUN_NOWAIT);
    }
}

static void uv_thread(void *state, long count)
{
    struct uv *it = state;
    struct sender sender = {it, count, uv_send};
    pthread_t thread = start_sender(&sender);

    for (it->told = 0; it->told < count;)
        uv_run(&it->loop, UV_RUN_ONCE);
    pthread_join(thread, NULL);
}

static struct row rows[] = {
    {"hub turn, one ready fd",
     {{ours_open_turn, ours_turn, ours_close},
      {raw_open_turn, raw_turn, raw_close},
      {uv_open_turn, uv_turn, uv_work_close}},
     {{0}}},
    {"the same, by completion",
     {{ours_open_completion, ours_turn, ours_close},
      {raw_open_turn, raw_turn, raw_close},
      {uv_open_turn, uv_turn, uv_work_close}},
     {{0}}},
    {"io wait: write, start, turn, stop, read",
     {{ours_open_wait, ours_wait, ours_close},
      {raw_open_wait, raw_wait, raw_close},
      {uv_open_wait, uv_wait, uv_work_close}},
     {{0}}},
    {"an event, 100 of 1000 fds ready",
     {{ours_open_many, ours_many, ours_close},
      {raw_open_many, raw_many, raw_close},
      {uv_open_many, uv_many, uv_work_close}},
     {{0}}},
    {"timer stop and start, 1000 started",
     {{ours_open_timers, ours_timers, ours_close},
      {raw_open_timers, raw_timers, raw_close},
      {uv_open_timers, uv_timers, uv_work_close}},
     {{0}}},
    {"timer start, due at once, told",
     {{ours_open_due, ours_due, ours_close},
      {raw_open_due, raw_due, raw_close},
      {uv_open_due, uv_run_due, uv_work_close}},
     {{0}}},
    {"post, by the hub's own thread",
     {{ours_open_post, ours_post, ours_close},
      {raw_open_post, raw_post, raw_close},
      {uv_open_post, uv_post, uv_work_close}},
     {{0}}},
    {"post, by another thread",
     {{ours_open_post, ours_thread, ours_close},
      {raw_open_post, raw_thread, raw_close},
      {uv_open_post, uv_thread, uv_work_close}},
     {{0}}},
};

int main(int argc, char **argv)
{
    char libev_version[16];
    struct engine engines[ENGINES] = {{"gcore", gcore_version()},
                                      {"libev", libev_version},
                                      {"libuv", uv_version_string()}};

    snprintf(libev_version, sizeof libev_version, "%d.%d", ev_version_major(),
             ev_version_minor());
    return measure_main(argc, argv, engines, rows,
                        sizeof rows / sizeof *rows);
}
