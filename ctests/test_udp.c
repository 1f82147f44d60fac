/* Datagram sockets: batches, addresses, errors, ends. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct mailbox {
    char *letters[4096];
    size_t lengths[4096];
    gcore_address from;
    uint64_t flags;
    int count;
    int calls;
    int errors;
    int64_t error;
    int ends;
    gcore_udp *close; /* if set, closed and dropped when a letter comes */
};

static void deliver(void *arg, gcore_datagram *datagrams, int64_t result)
{
    struct mailbox *box = arg;

    box->calls++;
    if (result == -ECANCELED)
        box->ends++;
    else if (result < 0)
        box->error = result, box->errors++;
    for (int64_t i = 0; i < result; i++) {
        char *copy = malloc(datagrams[i].length + 1);

        assert_non_null(copy);
        memcpy(copy, datagrams[i].data, datagrams[i].length);
        assert_true(box->count < 4096);
        box->letters[box->count] = copy;
        box->lengths[box->count++] = datagrams[i].length;
        box->from = datagrams[i].address;
        box->flags = datagrams[i].flags;
    }
    if (result > 0 && box->close) {
        gcore_udp_unref(box->close);
        box->close = NULL;
    }
}

static void empty(struct mailbox *box)
{
    for (int i = 0; i < box->count; i++)
        free(box->letters[i]);
    memset(box, 0, sizeof *box);
}

static gcore_udp *udp_with(gcore_hub *hub, const gcore_udp_options *options,
                           gcore_address *address)
{
    gcore_udp *udp;

    *address = local_address("127.0.0.1:0");
    assert_ok(gcore_udp_new(hub, address, options, &udp));
    assert_ok(gcore_udp_address(udp, address));
    return udp;
}

static void arguments_are_checked_on(gcore_hub *hub)
{
    gcore_udp_options options = {.size = 4};
    gcore_address address = local_address("127.0.0.1:0"), bad = {.length = 1};
    gcore_datagram one = {.data = NULL, .length = 3};
    gcore_udp *udp = NULL, *other = NULL;
    told waits = {0};
    int ends[2];

    assert_error(gcore_udp_new(hub, &address, &options, &udp), -EINVAL);
    options = (gcore_udp_options){.size = sizeof options, .flags = 64};
    assert_error(gcore_udp_new(hub, &address, &options, &udp), -EINVAL);
    options = (gcore_udp_options){.size = sizeof options, .batch = 5000};
    assert_error(gcore_udp_new(hub, &address, &options, &udp), -EINVAL);
    options = (gcore_udp_options){.size = sizeof options, .datagram = 70000};
    assert_error(gcore_udp_new(hub, &address, &options, &udp), -EINVAL);
    assert_error(gcore_udp_new(hub, NULL, NULL, &udp), -EINVAL);
    assert_error(gcore_udp_new(hub, &bad, NULL, &udp), -EINVAL);
    assert_error(gcore_udp_adopt(hub, -1, NULL, &udp), -EINVAL);
    tcp_pair(ends);
    assert_error(gcore_udp_adopt(hub, ends[0], NULL, &udp), -EINVAL);
    close_pipe(ends);
    assert_error(gcore_udp_adopt(hub, ends[0], NULL, &udp), -EBADF);
    assert_null(udp);
    udp = udp_with(hub, NULL, &address);
    assert_error(gcore_udp_new(hub, &address, NULL, &other), -EADDRINUSE);
    assert_error(gcore_udp_start(udp, NULL, NULL), -EINVAL);
    assert_error(gcore_udp_wait(udp, GCORE_NOW, NULL, NULL), -EINVAL);
    assert_error(gcore_udp_send(udp, NULL, 1), -EINVAL);
    assert_error(gcore_udp_send(udp, &one, -1), -EINVAL);
    assert_error(gcore_udp_send(udp, &one, 1), -EINVAL);
    assert_int_equal(gcore_udp_send(udp, NULL, 0), 0);
    assert_error(gcore_udp_connect(udp, NULL), -EINVAL);
    assert_error(gcore_udp_connect(udp, &bad), -EINVAL);
    one.data = "abc";
    assert_error(gcore_udp_send(udp, &one, 1), -EDESTADDRREQ);
    assert_ok(gcore_udp_close(udp));
    assert_ok(gcore_udp_close(udp));
    assert_error(gcore_udp_start(udp, deliver, NULL), -ESHUTDOWN);
    assert_error(gcore_udp_send(udp, &one, 1), -ESHUTDOWN);
    assert_error(gcore_udp_wait(udp, GCORE_NOW, tell, &waits), -ESHUTDOWN);
    assert_error(gcore_udp_connect(udp, &address), -ESHUTDOWN);
    assert_error(gcore_udp_fd(udp), -ESHUTDOWN);
    assert_error(gcore_udp_address(udp, &address), -ESHUTDOWN);
    assert_ok(gcore_udp_stop(udp));
    gcore_udp_unref(udp);
    gcore_udp_unref(NULL);
}
ON_EACH_BACKEND(arguments_are_checked)

/* What is stopped is not told, not even that it was closed. */
static void stopping_what_is_closed_on(gcore_hub *hub)
{
    static struct mailbox box;
    gcore_address address;
    gcore_udp *udp = udp_with(hub, NULL, &address);

    assert_ok(gcore_udp_start(udp, deliver, &box));
    gcore_udp_close(udp);
    assert_ok(gcore_udp_stop(udp));
    gcore_udp_unref(udp);
    net_settle(hub);
    assert_int_equal(box.calls, 0);
}
ON_EACH_BACKEND(stopping_what_is_closed)

static void batches_arrive_in_order_on(gcore_hub *hub)
{
    enum { MANY = 150 };
    static struct mailbox box;
    gcore_udp_options options = {.size = sizeof options, .batch = 40};
    gcore_address to, from;
    gcore_udp *receiver = udp_with(hub, &options, &to);
    gcore_udp *sender = udp_with(hub, NULL, &from);
    gcore_datagram letters[MANY];
    char texts[MANY][16];

    assert_ok(gcore_udp_start(receiver, deliver, &box));
    assert_error(gcore_udp_start(receiver, deliver, &box), -EALREADY);
    for (int i = 0; i < MANY; i++) {
        int length = snprintf(texts[i], sizeof texts[i], "letter %d", i);

        letters[i] = (gcore_datagram){.data = texts[i],
                                      .length = i == 5 ? 0 : (size_t)length,
                                      .address = to};
    }
    assert_int_equal(gcore_udp_send(sender, letters, MANY), MANY);
    UNTIL(hub, box.count == MANY);
    assert_true(box.calls < MANY / 10);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(box.lengths[i], letters[i].length);
        assert_memory_equal(box.letters[i], texts[i], box.lengths[i]);
    }
    assert_int_equal(gcore_address_port(&box.from), gcore_address_port(&from));
    /* Stopped: they wait in the kernel. */
    assert_ok(gcore_udp_stop(receiver));
    assert_int_equal(gcore_udp_send(sender, letters, 1), 1);
    net_settle(hub);
    assert_int_equal(box.count, MANY);
    assert_ok(gcore_udp_start(receiver, deliver, &box));
    UNTIL(hub, box.count == MANY + 1);
    gcore_udp_unref(sender);
    gcore_udp_close(receiver);
    gcore_udp_unref(receiver);
    UNTIL(hub, box.ends);
    net_settle(hub);
    assert_int_equal(box.ends, 1);
    empty(&box);
}
ON_EACH_BACKEND(batches_arrive_in_order)

static void sizes_on(gcore_hub *hub)
{
    static struct mailbox box;
    gcore_udp_options options = {.size = sizeof options, .datagram = 100};
    gcore_address to[2], from;
    gcore_udp *big = udp_with(hub, NULL, &to[0]);
    gcore_udp *small = udp_with(hub, &options, &to[1]);
    gcore_udp *sender = udp_with(hub, NULL, &from);
    char *bytes = pattern(70000);
    gcore_datagram letter = {.data = bytes, .length = 65507, .address = to[0]};

    assert_ok(gcore_udp_start(big, deliver, &box));
    assert_ok(gcore_udp_start(small, deliver, &box));
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    UNTIL(hub, box.count == 1);
    assert_int_equal(box.lengths[0], 65507);
    assert_memory_equal(box.letters[0], bytes, 65507);
    assert_int_equal(box.flags, 0);
    letter = (gcore_datagram){.data = bytes, .length = 101, .address = to[1]};
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    UNTIL(hub, box.count == 2);
    assert_int_equal(box.lengths[1], 100);
    assert_int_equal(box.flags, GCORE_DATAGRAM_TRUNCATED);
    letter.length = 70000;
    assert_error(gcore_udp_send(sender, &letter, 1), -EMSGSIZE);
    gcore_udp_stop(big);
    gcore_udp_stop(small);
    gcore_udp_unref(big);
    gcore_udp_unref(small);
    gcore_udp_unref(sender);
    empty(&box);
    free(bytes);
}
ON_EACH_BACKEND(sizes)

/* Nobody is there: told, and it goes on. */
static void refused_on(gcore_hub *hub)
{
    static struct mailbox box;
    gcore_address to, from, none = {.length = 0};
    gcore_udp *receiver = udp_with(hub, NULL, &to);
    gcore_udp *sender = udp_with(hub, NULL, &from);
    gcore_datagram letter = {.data = "x", .length = 1};

    gcore_udp_unref(receiver);
    assert_ok(gcore_udp_start(sender, deliver, &box));
    assert_ok(gcore_udp_connect(sender, &to));
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    UNTIL(hub, box.errors == 1);
    assert_int_equal(box.error, -ECONNREFUSED);
    assert_ok(gcore_udp_connect(sender, &none));
    receiver = udp_with(hub, NULL, &to);
    assert_ok(gcore_udp_start(receiver, deliver, &box));
    letter.address = to;
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    UNTIL(hub, box.count == 1);
    letter.address = box.from;
    assert_int_equal(gcore_udp_send(receiver, &letter, 1), 1);
    UNTIL(hub, box.count == 2);
    gcore_udp_stop(receiver);
    gcore_udp_unref(receiver);
    gcore_udp_stop(sender);
    gcore_udp_unref(sender);
    empty(&box);
}
ON_EACH_BACKEND(refused)

static void waiting_for_room_on(gcore_hub *hub)
{
    gcore_datagram letter = {.data = "x", .length = 1};
    told one = {0};
    gcore_completion out;
    gcore_udp *udp;
    char byte;
    int ends[2], sent = 0, error;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    assert_ok(gcore_udp_adopt(hub, ends[0], NULL, &udp));
    while ((error = gcore_udp_send(udp, &letter, 1)) == 1)
        sent++;
    assert_error(error, -EAGAIN);
    assert_ok(gcore_udp_wait(udp, after(MS), tell, &one));
    assert_error(gcore_udp_wait(udp, after(MS), tell, &one), -EALREADY);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ETIMEDOUT);
    assert_ok(gcore_udp_wait(udp, GCORE_FOREVER, GCORE_COMPLETE, &one));
    while (sent-- > 0)
        assert_int_equal(recv(ends[1], &byte, 1, 0), 1);
    poll_for(hub, &out, 1);
    assert_ptr_equal(out.arg, &one);
    assert_int_equal(out.result, 0);
    while (gcore_udp_send(udp, &letter, 1) == 1)
        ;
    assert_ok(gcore_udp_wait(udp, GCORE_FOREVER, tell, &one));
    gcore_udp_close(udp);
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, -ECANCELED);
    gcore_udp_unref(udp);
    close(ends[1]);
}
ON_EACH_BACKEND(waiting_for_room)

static void closing_inside_a_callback_on(gcore_hub *hub)
{
    static struct mailbox box;
    gcore_address to, from;
    gcore_udp *sender = udp_with(hub, NULL, &from);
    gcore_datagram letter = {.data = "x", .length = 1};

    box.close = udp_with(hub, NULL, &to);
    letter.address = to;
    /* The reference that is dropped inside is the last but the start's. */
    assert_ok(gcore_udp_start(box.close, deliver, &box));
    gcore_udp_ref(box.close);
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    {
        gcore_udp *udp = box.close;

        UNTIL(hub, box.count == 1);
        assert_ok(gcore_udp_close(udp));
        UNTIL(hub, box.ends);
        gcore_udp_unref(udp);
    }
    gcore_udp_unref(sender);
    empty(&box);
}
ON_EACH_BACKEND(closing_inside_a_callback)

static void closing_the_hub(void **state)
{
    static struct mailbox box;
    gcore_hub *hub = hub_new();
    gcore_address address;
    gcore_udp *udp = udp_with(hub, NULL, &address);
    gcore_datagram letter = {.data = "x", .length = 1, .address = address};

    (void)state;
    assert_ok(gcore_udp_start(udp, deliver, &box));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(box.ends, 1);
    assert_error(gcore_udp_send(udp, &letter, 1), -ESHUTDOWN);
    assert_error(gcore_udp_start(udp, deliver, &box), -ESHUTDOWN);
    gcore_udp_unref(udp);
    gcore_hub_unref(hub);
    empty(&box);
}

static void unix_sockets_on(gcore_hub *hub)
{
    static struct mailbox box;
    gcore_udp_options options = {.size = sizeof options, .mode = 0600};
    char folder[] = "/tmp/gcore-XXXXXX", text[64], other[64];
    gcore_datagram letter = {.data = "x", .length = 1};
    gcore_udp *udp, *sender;
    gcore_address address;
    struct stat about;
    int fd;

    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, "unix:%s/a", folder);
    snprintf(other, sizeof other, "unix:%s/b", folder);
    /* Left over by one that has died. */
    address = local_address(text);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (const void *)address.bytes,
                          (socklen_t)address.length), 0);
    close(fd);
    assert_error(gcore_udp_new(hub, &address, &options, &udp), -EADDRINUSE);
    options.flags = GCORE_UDP_REPLACE;
    assert_ok(gcore_udp_new(hub, &address, &options, &udp));
    assert_error(gcore_udp_new(hub, &address, &options, &sender),
                 -EADDRINUSE);
    assert_int_equal(stat(text + 5, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    letter.address = address;
    address = local_address(other);
    assert_ok(gcore_udp_new(hub, &address, NULL, &sender));
    assert_ok(gcore_udp_start(udp, deliver, &box));
    assert_int_equal(gcore_udp_send(sender, &letter, 1), 1);
    UNTIL(hub, box.count == 1);
    assert_int_equal(gcore_address_format(&box.from, text, sizeof text),
                     strlen(other));
    assert_string_equal(text, other);
    gcore_udp_stop(udp);
    gcore_udp_unref(udp);
    gcore_udp_unref(sender);
    assert_int_equal(rmdir(folder), 0);
    empty(&box);
}
ON_EACH_BACKEND(unix_sockets)

static void each_allocation_fails(void **state)
{
    static struct mailbox box;
    bool failed = true;

    (void)state;
    for (int k = 1; failed; k++) {
        gcore_hub *hub = hub_new();
        gcore_address address = local_address("127.0.0.1:0");
        gcore_udp *udp = NULL;
        told one = {0};
        int error;

        support_fail_allocation(k);
        error = gcore_udp_new(hub, &address, NULL, &udp);
        if (error == 0)
            error = gcore_udp_start(udp, deliver, &box);
        if (error == 0)
            error = gcore_udp_wait(udp, GCORE_FOREVER, tell, &one);
        support_fail_allocation(0);
        failed = support_allocation_failed();
        assert_int_equal(error, failed ? -ENOMEM : 0);
        if (udp)
            gcore_udp_close(udp);
        net_settle(hub);
        gcore_udp_unref(udp);
        hub_end(hub);
        assert_true(k < 50);
    }
    empty(&box);
}

static void in_the_child(void *arg)
{
    static struct mailbox box;
    gcore_udp *udp = arg;
    gcore_datagram letter = {.data = "child", .length = 5};

    CHILD_CHECK(gcore_udp_address(udp, &letter.address) == 0);
    CHILD_CHECK(gcore_udp_start(udp, deliver, &box) == 0);
    CHILD_CHECK(gcore_udp_send(udp, &letter, 1) == 1);
    while (box.count == 0)
        net_turn(gcore_hub_current());
    gcore_udp_close(udp);
    free(box.letters[0]);
}

static void a_forked_child_receives_on(gcore_hub *hub)
{
    gcore_address address;
    gcore_udp *udp = udp_with(hub, NULL, &address);

    net_settle(hub);
    in_child(in_the_child, udp);
    gcore_udp_unref(udp);
}
ON_EACH_BACKEND(a_forked_child_receives)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),   TEST(stopping_what_is_closed),
        TEST(batches_arrive_in_order),
        TEST(sizes),                   TEST(refused),
        TEST(waiting_for_room),        TEST(closing_inside_a_callback),
        TEST(closing_the_hub),         TEST(unix_sockets),
        TEST(each_allocation_fails),   TEST(a_forked_child_receives),
    };

    return RUN(tests);
}
