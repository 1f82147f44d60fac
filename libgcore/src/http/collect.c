/*
 * Collecting: small pieces of an answer that follow each other quickly leave
 * by one call of the kernel, not by one each.
 *
 * A piece must be on its way while the application makes the next one. So the
 * first ones are sent at once. When several have followed quickly, the next
 * are put into `out`, and the connection is listed by the server's collector.
 * They leave with a piece that makes them many, at the answer's end, in the
 * hub's next turn, or, if the application computes on meanwhile, by the
 * collector's thread when they are due.
 *
 * While a connection is listed, the thread may read its `out` and `fd`, with
 * the lock held, and notes in `collected.sent` what it has sent of `out`, or
 * the error that it met; it changes nothing else. The hub's thread alone
 * lists and unlists, with the lock held, and needs the lock to change `out`.
 * gcore__http_reclaim ends the sharing.
 *
 * In a forked child there is no thread until the child needs its own, and
 * what was collected is the parent's to send.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <time.h>

#include "http/wire.h"
#include "net/stream.h"

/* Bytes that are worth a call. */
#define ENOUGH 16384

/* A piece that is not small is sent at once. */
#define SMALL 4096

/* Pieces that have followed quickly before the next are collected: a short
 * answer, or a burst, is not worth waking the thread. */
#define STREAK 4

/* A piece is quick that comes within this part of `coalesce`. */
#define QUICK_PART 4

/* So often in a row the thread looks and finds nothing before it sleeps until
 * it is woken. */
#define LOOKS 4

static int64_t later(int64_t time)
{
    int64_t now = gcore_clock();

    return time > GCORE_FOREVER - now ? GCORE_FOREVER : now + time;
}

static gcore__http_conn *conn_of(gcore__link *link)
{
    return GCORE__OF(gcore__http_conn, collected.link, link);
}

/* The thread */

static void send_collected(gcore__http_conn *conn)
{
    gcore__http_collected *it = &conn->collected;
    struct iovec rest;
    int64_t sent;

    if (it->sent < 0)
        return;
    rest.iov_base = gcore__buffer_first(&conn->out) + it->sent;
    rest.iov_len = gcore__buffer_size(&conn->out) - (size_t)it->sent;
    sent = rest.iov_len ? gcore__plain_send(conn->fd, &rest, 1, 0) : 0;
    if (sent >= 0)
        it->sent += sent;
    else if (sent != -EAGAIN)
        it->sent = sent;
}

/* Sends what is due `now`; when the next is. What a peer does not take is for
 * the hub's next turn. */
static int64_t send_due(gcore__http_collector *it, int64_t now)
{
    int64_t next = GCORE_FOREVER;

    for (gcore__link *link = it->conns.next; link != &it->conns;
         link = link->next) {
        gcore__http_collected *collected = &conn_of(link)->collected;

        if (collected->due <= now) {
            send_collected(conn_of(link));
            collected->due = GCORE_FOREVER;
        } else if (collected->due < next) {
            next = collected->due;
        }
    }
    return next;
}

static void wait_until(gcore__http_collector *it, int64_t moment)
{
    struct timespec time = {.tv_sec = (time_t)(moment / 1000000000),
                            .tv_nsec = (long)(moment % 1000000000)};

    pthread_cond_timedwait(&it->wake, &it->lock, &time);
}

static void sleep_until_woken(gcore__http_collector *it)
{
    it->asleep = true;
    while (it->asleep && !it->over)
        pthread_cond_wait(&it->wake, &it->lock);
}

/* What is listed while it waits for a moment is not due before that moment:
 * so it need not be woken, and mostly is not. */
static void *main_of_thread(void *arg)
{
    gcore__http_collector *it = arg;
    int looks = 0;

    pthread_mutex_lock(&it->lock);
    while (!it->over) {
        int64_t next = send_due(it, gcore_clock());

        looks = next == GCORE_FOREVER ? looks + 1 : 0;
        if (looks <= LOOKS) {
            wait_until(it, next == GCORE_FOREVER ? later(it->time) : next);
        } else {
            sleep_until_woken(it);
            looks = 0;
        }
    }
    send_due(it, GCORE_FOREVER);
    pthread_mutex_unlock(&it->lock);
    return NULL;
}

static void start(gcore__http_collector *it)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&it->thread, NULL, main_of_thread, it);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    it->running = error == 0;
    if (error)
        it->time = 0; /* all is sent at once then */
}

/* The collector */

static void make_lock(gcore__http_collector *it)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&it->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&it->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    it->generation = gcore__fork_generation();
}

/* In a forked child: whatever the thread was doing, it is not here. */
static void look_for_fork(gcore__http_collector *it)
{
    if (it->generation == gcore__fork_generation())
        return;
    make_lock(it);
    it->running = it->asleep = false;
    for (gcore__link *link = it->conns.next; link != &it->conns;
         link = link->next)
        conn_of(link)->collected.sent = -ECANCELED;
}

static void lock(gcore__http_collector *it)
{
    look_for_fork(it);
    pthread_mutex_lock(&it->lock);
}

static bool has_thread(gcore__http_collector *it)
{
    look_for_fork(it);
    if (!it->running)
        start(it);
    return it->running;
}

static int64_t turn_taken(gcore_hub *hub, gcore__ready *ready)
{
    (void)hub;
    return ready->result;
}

/* `out` of those that are listed is never empty, so a flush unlists. */
static void on_turn(void *arg, int64_t result)
{
    gcore__http_collector *it = arg;

    (void)result;
    while (!gcore__list_empty(&it->conns)) {
        gcore__http_conn *conn = conn_of(it->conns.next);

        gcore__http_conn_enter(conn);
        gcore__http_flush(conn);
        gcore__http_conn_leave(conn);
    }
}

void gcore__http_collector_init(gcore__http_collector *it, int64_t time)
{
    gcore__list_init(&it->conns);
    it->time = time;
    it->turn.take = turn_taken;
    it->turn.done = on_turn;
    it->turn.arg = it;
    make_lock(it);
}

void gcore__http_collector_rest(gcore__http_collector *it)
{
    look_for_fork(it);
    if (!it->running)
        return;
    lock(it);
    it->over = true;
    pthread_cond_signal(&it->wake);
    pthread_mutex_unlock(&it->lock);
    pthread_join(it->thread, NULL);
    it->running = it->asleep = it->over = false;
}

void gcore__http_collector_end(gcore__http_collector *it, gcore_hub *hub)
{
    gcore__ready_withdraw(hub, &it->turn);
    gcore__http_collector_rest(it);
    pthread_cond_destroy(&it->wake);
    pthread_mutex_destroy(&it->lock);
}

/* Connections */

/* What the thread has sent leaves `out`; 0, or the error that it met, which
 * stays. */
static int take_result(gcore__http_conn *conn)
{
    int64_t sent = conn->collected.sent;

    if (sent < 0)
        return (int)sent;
    gcore__buffer_use(&conn->out, (size_t)sent);
    conn->collected.sent = 0;
    return 0;
}

int gcore__http_reclaim(gcore__http_conn *conn)
{
    gcore__http_collector *it = &conn->server->collector;

    if (!conn->collected.listed)
        return 0;
    lock(it);
    gcore__list_remove(&conn->collected.link);
    conn->collected.listed = false;
    pthread_mutex_unlock(&it->lock);
    return take_result(conn);
}

static void list(gcore__http_collector *it, gcore__http_conn *conn)
{
    gcore__http_collected *collected = &conn->collected;

    if (!collected->listed) {
        gcore__list_append(&it->conns, &collected->link);
        collected->listed = true;
        collected->due = GCORE_FOREVER;
    }
    if (collected->due == GCORE_FOREVER)
        collected->due = later(it->time);
}

static int append(gcore__http_conn *conn, const struct iovec *pieces,
                  int count)
{
    int error = take_result(conn);

    if (error == 0)
        error = gcore__buffer_reserve(
            &conn->out, ENOUGH - gcore__buffer_size(&conn->out));
    for (int i = 0; i < count && error == 0; i++)
        error = gcore__buffer_append(&conn->out, pieces[i].iov_base,
                                     pieces[i].iov_len);
    return error;
}

static int collect(gcore__http_conn *conn, const struct iovec *pieces,
                   int count)
{
    gcore__http_collector *it = &conn->server->collector;
    bool asleep;
    int error;

    lock(it);
    error = append(conn, pieces, count);
    if (error == 0)
        list(it, conn);
    asleep = error == 0 && it->asleep;
    it->asleep = it->asleep && !asleep;
    pthread_mutex_unlock(&it->lock);
    if (asleep)
        pthread_cond_signal(&it->wake);
    if (error == 0 && !it->turn.listed)
        gcore__ready_add(conn->server->hub, &it->turn);
    return error;
}

static bool is_quick(gcore__http_conn *conn)
{
    gcore__http_collected *it = &conn->collected;
    int64_t now = gcore_clock();
    bool quick = now - it->last < conn->server->collector.time / QUICK_PART;

    it->last = now;
    if (!quick)
        it->streak = 0;
    else if (it->streak <= STREAK)
        it->streak++;
    return it->streak > STREAK;
}

static bool is_small(const gcore__http_conn *conn, size_t size)
{
    size_t most = conn->server->options.buffer;

    return size > 0 && size <= SMALL &&
           gcore__http_unsent(conn) + size <= (most < ENOUGH ? most : ENOUGH);
}

static bool to_collect(gcore__http_conn *conn, size_t size)
{
    gcore__http_collector *it = &conn->server->collector;

    return it->time > 0 && !conn->stream && is_quick(conn) && !conn->blocked &&
           is_small(conn, size) && !gcore__http_conn_inherited(conn) &&
           has_thread(it);
}

int gcore__http_send_on(gcore__http_conn *conn, struct iovec *pieces,
                        int count)
{
    size_t size = 0;
    int error;

    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    if (!to_collect(conn, size))
        return gcore__http_send(conn, pieces, count);
    error = collect(conn, pieces, count);
    return error < 0 ? gcore__http_lose(conn, error) : 0;
}

void gcore__http_collected_begin(gcore__http_conn *conn)
{
    conn->collected.streak = 0;
    conn->collected.last = INT64_MIN / 2;
}
