/*
 * Random operations on a hub, beside a model of what may be told.
 *
 * The input is a program: each operation takes a few bytes. The model knows
 * of each watch whether it may tell (it is started, or ended and not yet
 * handed over) and that it tells no more once it was stopped, and once at
 * most after it was closed. At the end the hub is closed: all that was still
 * to be told must have been, and nothing must be left.
 *
 * The first byte decides whether functions are called, which then go on with
 * the program from the inside, or completions are returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gcore.h>

enum { PIPES = 4, WATCHES = 12, BATCH = 3 };

struct slot {
    struct program *program;
    gcore_watch *watch; /* NULL once dropped */
    bool used;
    bool expected; /* may tell */
    bool last;     /* and then no more */
    bool closed;
};

struct program {
    const uint8_t *next;
    const uint8_t *end;
    gcore_hub *hub;
    gcore_done_fn *done;
    int pipes[PIPES][2];
    struct slot slots[WATCHES];
    int posts;
    int depth;
    bool closing;
};

#define REQUIRE(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,  \
                    #condition);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)

static unsigned take(struct program *it)
{
    return it->next < it->end ? *it->next++ : 0;
}

static void step(struct program *it);

static void open_pipe(int ends[2])
{
    REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

/* What is told */

static void hear(struct slot *slot, int64_t result)
{
    REQUIRE(slot->expected);
    if (result == -ECANCELED)
        REQUIRE(slot->closed || slot->program->closing);
    if (slot->watch)
        slot->expected = gcore_watch_active(slot->watch) &&
                         !slot->program->closing;
    else
        slot->expected = false;
    if (slot->last)
        REQUIRE(!slot->expected);
    if (!slot->watch && !slot->expected)
        slot->used = false;
}

static void call_hear(void *arg, int64_t result)
{
    struct slot *slot = arg;
    struct program *it = slot->program;

    hear(slot, result);
    if (it->depth < 3 && !it->closing) {
        it->depth++;
        for (unsigned count = take(it) % 3; count > 0; count--)
            step(it);
        it->depth--;
    }
}

static void call_posted(void *arg, int64_t result)
{
    struct program *it = arg;

    REQUIRE(result == 0 || (result == -ECANCELED && it->closing));
    it->posts--;
}

static void take_completions(struct program *it, const gcore_completion *out,
                             int count)
{
    for (int i = 0; i < count; i++) {
        if (out[i].arg == it)
            call_posted(it, out[i].result);
        else
            hear(out[i].arg, out[i].result);
    }
}

/* Operations */

static struct slot *some(struct program *it)
{
    return &it->slots[take(it) % WATCHES];
}

static int make(struct program *it, gcore_watch **out)
{
    int *ends = it->pipes[take(it) % PIPES];

    switch (take(it) % 8) {
    case 0:
        return gcore_io_new(it->hub, ends[0], GCORE_READ, out);
    case 1:
        return gcore_io_new(it->hub, ends[1], GCORE_WRITE, out);
    case 2:
        return gcore_io_new(it->hub, ends[0], GCORE_READ | GCORE_WRITE, out);
    case 3:
        return gcore_async_new(it->hub, out);
    case 4:
        return gcore_idle_new(it->hub, out);
    case 5:
        return gcore_prepare_new(it->hub, out);
    case 6:
        return gcore_check_new(it->hub, out);
    default:
        return gcore_timer_new(it->hub, out);
    }
}

static void new_watch(struct program *it)
{
    struct slot *slot = some(it);

    if (slot->used)
        return;
    memset(slot, 0, sizeof *slot);
    slot->program = it;
    REQUIRE(make(it, &slot->watch) == 0);
    slot->used = true;
}

static int64_t some_deadline(struct program *it)
{
    switch (take(it) % 4) {
    case 0:
        return GCORE_NOW;
    case 1:
        return gcore_clock() + 1000 * take(it);
    case 2:
        return gcore_clock() - 1000 * take(it);
    default:
        return GCORE_FOREVER;
    }
}

static void start(struct program *it, struct slot *slot)
{
    unsigned flags = take(it) % 2 ? GCORE_ONCE : 0;
    bool busy =
        gcore_watch_active(slot->watch) || gcore_watch_pending(slot->watch);
    int error = gcore_watch_start(slot->watch, flags, some_deadline(it),
                                  it->done, slot);

    if (slot->closed)
        REQUIRE(error == -ECANCELED);
    else if (busy)
        REQUIRE(error == -EALREADY);
    else
        REQUIRE(error == 0);
    if (error == 0) {
        slot->expected = true;
        slot->last = flags & GCORE_ONCE;
    }
}

static void stop(struct slot *slot)
{
    REQUIRE(gcore_watch_stop(slot->watch) == 0);
    REQUIRE(!gcore_watch_active(slot->watch));
    REQUIRE(!gcore_watch_pending(slot->watch));
    slot->expected = false;
}

static void close_watch(struct slot *slot)
{
    REQUIRE(gcore_watch_close(slot->watch) == 0);
    REQUIRE(!gcore_watch_active(slot->watch));
    slot->closed = true;
    slot->last = true;
}

/* Only where the model can tell from the outside when it ends. */
static void drop(struct slot *slot)
{
    if (slot->expected && !slot->last)
        return;
    gcore_watch_unref(slot->watch);
    slot->watch = NULL;
    slot->used = slot->expected;
}

static void change(struct program *it, struct slot *slot)
{
    switch (take(it) % 4) {
    case 0:
        gcore_watch_set_priority(slot->watch, (int)(take(it) % 6) - 3);
        break;
    case 1:
        gcore_watch_set_keepalive(slot->watch, take(it) % 2);
        break;
    case 2:
        gcore_timer_set_repeat(slot->watch, 1000 * (take(it) % 4));
        break;
    default:
        gcore_io_set(slot->watch, it->pipes[take(it) % PIPES][0], GCORE_READ);
    }
}

static void with_watch(struct program *it)
{
    struct slot *slot = some(it);

    if (!slot->watch)
        return;
    switch (take(it) % 8) {
    case 0:
    case 1:
    case 2:
        start(it, slot);
        break;
    case 3:
        stop(slot);
        break;
    case 4:
        close_watch(slot);
        break;
    case 5:
        drop(slot);
        break;
    case 6:
        gcore_async_send(slot->watch);
        break;
    default:
        change(it, slot);
    }
}

static void with_pipe(struct program *it)
{
    int *ends = it->pipes[take(it) % PIPES];
    char buffer[64];

    switch (take(it) % 4) {
    case 0:
        REQUIRE(write(ends[1], "x", 1) == 1 || errno == EAGAIN);
        break;
    case 1:
        REQUIRE(read(ends[0], buffer, sizeof buffer) >= 0 ||
                errno == EAGAIN);
        break;
    case 2: /* told to the hub */
        gcore_hub_forget_fd(it->hub, ends[0], -EBADF);
        gcore_hub_forget_fd(it->hub, ends[1], -EBADF);
        /* fall through */
    default: /* or behind its back; the numbers are used again */
        close(ends[0]);
        close(ends[1]);
        open_pipe(ends);
    }
}

static void turn(struct program *it)
{
    gcore_completion out[BATCH];
    int count;

    if (it->depth > 0) {
        REQUIRE(gcore_hub_poll(it->hub, out, 1, GCORE_NOW) == -EBUSY);
        return;
    }
    count = gcore_hub_poll(it->hub, out, 1 + (int)(take(it) % BATCH),
                           GCORE_NOW);
    REQUIRE(count >= 0);
    REQUIRE(count == 0 || it->done == GCORE_COMPLETE);
    take_completions(it, out, count);
}

static void post(struct program *it)
{
    gcore_done_fn *done =
        it->done == GCORE_COMPLETE ? GCORE_COMPLETE : call_posted;

    REQUIRE(gcore_hub_post(it->hub, done, it) == 0);
    it->posts++;
}

static void step(struct program *it)
{
    switch (take(it) % 8) {
    case 0:
        new_watch(it);
        break;
    case 1:
    case 2:
    case 3:
        with_watch(it);
        break;
    case 4:
        with_pipe(it);
        break;
    case 5:
        post(it);
        break;
    default:
        turn(it);
    }
}

static gcore_hub *some_hub(unsigned choice)
{
    static const char *const backends[] = {"epoll", "poll", "select"};
    gcore_hub_options options = {.size = sizeof options,
                                 .backend = backends[choice % 3]};
    gcore_hub *hub = NULL;

    REQUIRE(gcore_hub_new(&options, &hub) == 0);
    return hub;
}

static void end(struct program *it)
{
    gcore_completion out[BATCH];
    int count;

    it->closing = true;
    REQUIRE(gcore_hub_close(it->hub) == 0);
    while ((count = gcore_hub_poll(it->hub, out, BATCH, GCORE_NOW)) > 0)
        take_completions(it, out, count);
    REQUIRE(count == -ESHUTDOWN);
    for (int i = 0; i < WATCHES; i++) {
        REQUIRE(!it->slots[i].expected);
        gcore_watch_unref(it->slots[i].watch);
    }
    REQUIRE(it->posts == 0);
    gcore_hub_unref(it->hub);
    for (int i = 0; i < PIPES; i++) {
        close(it->pipes[i][0]);
        close(it->pipes[i][1]);
    }
    REQUIRE(gcore_allocator_live() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct program it;
    unsigned choice;

    memset(&it, 0, sizeof it);
    it.next = data;
    it.end = data + size;
    choice = take(&it);
    it.done = choice & 1 ? GCORE_COMPLETE : call_hear;
    it.hub = some_hub(choice >> 1);
    for (int i = 0; i < PIPES; i++)
        open_pipe(it.pipes[i]);
    while (it.next < it.end)
        step(&it);
    end(&it);
    return 0;
}
