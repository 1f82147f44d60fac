/*
 * Datagram sockets while the system's calls fail or do a part only: what has
 * arrived is handed over, once; what was sent is counted; errors are told.
 *
 * The calls are replaced by ones that fail, or are interrupted, when told.
 */
#include "net.h"
#include "next.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MANY = 100 };

/* The first `before` calls are the system's, then `count` of them fail with
 * `error`; none takes more than `most` datagrams, unless that is 0. */
typedef struct fault {
    int before;
    int count;
    int error;
    unsigned most;
} fault;

static fault receiving, sending;

static bool fails(fault *it, unsigned *count)
{
    if (it->most && *count > it->most)
        *count = it->most;
    if (it->before > 0) {
        it->before--;
        return false;
    }
    if (it->count == 0)
        return false;
    it->count--;
    errno = it->error;
    return true;
}

#pragma GCC visibility push(default)

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
             struct timespec *limit)
{
    return fails(&receiving, &count)
               ? -1
               : NEXT(recvmmsg)(fd, messages, count, flags, limit);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return fails(&sending, &count)
               ? -1
               : NEXT(sendmmsg)(fd, messages, count, flags);
}

#pragma GCC visibility pop

/* Two sockets, and letters from one to the other: each says its number. */
typedef struct post {
    gcore_hub *hub;
    gcore_udp *from;
    gcore_udp *to;
    gcore_datagram letters[MANY];
    int numbers[MANY];
    int delivered; /* so many, in order */
    int errors;
    int64_t error; /* the last */
} post;

static void deliver(void *arg, gcore_datagram *datagrams, int64_t result)
{
    post *it = arg;

    if (result < 0) {
        it->error = result;
        it->errors++;
    }
    for (int64_t i = 0; i < result; i++) {
        int number;

        assert_int_equal(datagrams[i].length, sizeof number);
        memcpy(&number, datagrams[i].data, sizeof number);
        assert_int_equal(number, it->delivered);
        it->delivered++;
    }
}

static void post_open(post *it, gcore_hub *hub)
{
    gcore_address address = local_address("127.0.0.1:0");

    memset(it, 0, sizeof *it);
    memset(&receiving, 0, sizeof receiving);
    memset(&sending, 0, sizeof sending);
    it->hub = hub;
    assert_ok(gcore_udp_new(hub, &address, NULL, &it->from));
    assert_ok(gcore_udp_new(hub, &address, NULL, &it->to));
    assert_ok(gcore_udp_address(it->to, &address));
    for (int i = 0; i < MANY; i++) {
        it->numbers[i] = i;
        it->letters[i] = (gcore_datagram){.data = &it->numbers[i],
                                          .length = sizeof it->numbers[i],
                                          .address = address};
    }
    assert_ok(gcore_udp_start(it->to, deliver, it));
}

static void post_close(post *it)
{
    net_settle(it->hub); /* nothing comes twice, or late */
    assert_int_equal(it->delivered, MANY);
    gcore_udp_stop(it->to);
    gcore_udp_unref(it->to);
    gcore_udp_unref(it->from);
}

static int send_from(post *it, int first)
{
    return gcore_udp_send(it->from, it->letters + first, MANY - first);
}

static void receiving_a_part_on(gcore_hub *hub)
{
    post it;

    for (unsigned most = 1; most < 20; most += 6) {
        post_open(&it, hub);
        receiving.most = most;
        assert_int_equal(send_from(&it, 0), MANY);
        UNTIL(hub, it.delivered == MANY);
        assert_int_equal(it.errors, 0);
        post_close(&it);
    }
}
ON_EACH_BACKEND(receiving_a_part)

/* Between two batches. */
static void receiving_fails_on(gcore_hub *hub)
{
    static const struct {
        int error;
        bool told;
    } all[] = {
        {EINTR, false},     {EAGAIN, false}, {ECONNREFUSED, true},
        {ENOMEM, true},     {ENOBUFS, true}, {ENOSYS, true},
        {EHOSTUNREACH, true},
    };
    post it;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        post_open(&it, hub);
        receiving = (fault){.before = 1, .count = 2, .error = all[i].error};
        assert_int_equal(send_from(&it, 0), MANY);
        UNTIL(hub, it.delivered == MANY);
        assert_int_equal(it.errors, all[i].told ? 2 : 0);
        assert_int_equal(it.error, all[i].told ? -all[i].error : 0);
        post_close(&it);
    }
}
ON_EACH_BACKEND(receiving_fails)

/* The caller goes on where it stopped. */
static void sending_a_part_on(gcore_hub *hub)
{
    post it;

    for (unsigned most = 1; most < 70; most += 23) {
        int sent = 0;

        post_open(&it, hub);
        sending.most = most;
        while (sent < MANY) {
            int count = send_from(&it, sent);

            assert_in_range(count, 1, most);
            sent += count;
        }
        UNTIL(hub, it.delivered == MANY);
        post_close(&it);
    }
}
ON_EACH_BACKEND(sending_a_part)

static void sending_fails_on(gcore_hub *hub)
{
    static const int errors[] = {EAGAIN, ECONNREFUSED, EPERM, ENOBUFS,
                                 ENOSYS};
    post it;
    int sent;

    post_open(&it, hub);
    sending = (fault){.count = 3, .error = EINTR}; /* goes on */
    assert_int_equal(send_from(&it, 0), MANY);
    UNTIL(hub, it.delivered == MANY);
    post_close(&it);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        post_open(&it, hub);
        sending = (fault){.count = 1, .error = errors[i]};
        assert_error(send_from(&it, 0), -errors[i]);
        /* After the first of two calls: what that sent counts, and the next
         * one tells why, though the system does not tell it again. */
        sending = (fault){.before = 1, .count = 1, .error = errors[i]};
        sent = send_from(&it, 0);
        assert_in_range(sent, 1, MANY - 1);
        assert_int_equal(gcore_udp_send(it.from, NULL, 0), 0);
        if (errors[i] != EAGAIN)
            assert_error(send_from(&it, sent), -errors[i]);
        assert_int_equal(send_from(&it, sent), MANY - sent);
        UNTIL(hub, it.delivered == MANY);
        assert_int_equal(it.errors, 0);
        post_close(&it);
    }
}
ON_EACH_BACKEND(sending_fails)

/* An error that the network has reported of an earlier datagram is told by
 * whatever comes first, and the socket goes on. */
static void nobody_there_on(gcore_hub *hub)
{
    gcore_address gone;
    post it;

    post_open(&it, hub);
    assert_ok(gcore_udp_address(it.to, &gone));
    gcore_udp_stop(it.to);
    gcore_udp_unref(it.to);
    assert_ok(gcore_udp_connect(it.from, &gone));
    assert_int_equal(gcore_udp_send(it.from, it.letters, 1), 1);
    assert_error(gcore_udp_send(it.from, it.letters, MANY), -ECONNREFUSED);
    assert_ok(gcore_udp_new(hub, &gone, NULL, &it.to));
    assert_ok(gcore_udp_start(it.to, deliver, &it));
    assert_int_equal(send_from(&it, 0), MANY);
    UNTIL(hub, it.delivered == MANY);
    post_close(&it);
}
ON_EACH_BACKEND(nobody_there)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(receiving_a_part), TEST(receiving_fails), TEST(sending_a_part),
        TEST(sending_fails),    TEST(nobody_there),
    };

    return RUN(tests);
}
