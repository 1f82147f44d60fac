/*
 * Structures whose size the caller sets: programs that were built against an
 * older header, with fewer members, and against a newer one, with more.
 */
#include "net.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Where each call is tried, and what it is given. */
typedef union any {
    size_t size;
    char bytes[512];
} any;

static gcore_hub *hub;

static int make_hub(const void *given)
{
    gcore_hub *made;
    int error = gcore_hub_new(given, &made);

    if (error == 0)
        gcore_hub_unref(made);
    return error;
}

static int make_pool(const void *given)
{
    gcore_pool *made;
    int error = gcore_pool_new(given, &made);

    if (error == 0)
        gcore_pool_unref(made);
    return error;
}

static int make_resolver(const void *given)
{
    gcore_resolver *made;
    int error = gcore_resolver_new(hub, given, &made);

    if (error == 0)
        gcore_resolver_unref(made);
    return error;
}

static void nothing(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static int look_up(const void *given)
{
    gcore_resolver *resolver;
    gcore_lookup *lookup;
    int error;

    assert_ok(gcore_resolver_new(hub, NULL, &resolver));
    error = gcore_dns_getaddrinfo(resolver, "127.0.0.1", NULL, given,
                                  GCORE_FOREVER, nothing, NULL, &lookup);
    if (error >= 0)
        gcore_lookup_unref(lookup);
    gcore_resolver_unref(resolver);
    return error < 0 ? error : 0;
}

static int make_server(const void *given)
{
    gcore_http_server *made;
    int error = gcore_http_server_new(hub, given, &made);

    if (error == 0)
        gcore_http_server_unref(made);
    return error;
}

static int make_listener(const void *given)
{
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener *made;
    int error = gcore_listener_new(hub, &address, given, &made);

    if (error == 0)
        gcore_listener_unref(made);
    return error;
}

static int make_udp(const void *given)
{
    gcore_address address = local_address("127.0.0.1:0");
    gcore_udp *made;
    int error = gcore_udp_new(hub, &address, given, &made);

    if (error == 0)
        gcore_udp_unref(made);
    return error;
}

static int make_stream(const void *given)
{
    int ends[2];
    gcore_stream *made;
    int error;

    tcp_pair(ends);
    error = gcore_stream_new(hub, ends[0], given, &made);
    if (error == 0)
        gcore_stream_unref(made);
    else
        close(ends[0]);
    close(ends[1]);
    return error;
}

static int make_tls(const void *given)
{
    gcore_tls *made;
    int error = gcore_tls_new(given, &made);

    if (error == 0)
        gcore_tls_unref(made);
    return error == -ENOTSUP ? 0 : error;
}

static const struct {
    const char *name;
    int (*give)(const void *given);
    size_t known;
} options[] = {
    {"hub", make_hub, sizeof(gcore_hub_options)},
    {"pool", make_pool, sizeof(gcore_pool_options)},
    {"resolver", make_resolver, sizeof(gcore_resolver_options)},
    {"hints", look_up, sizeof(gcore_dns_hints)},
    {"http", make_server, sizeof(gcore_http_options)},
    {"listener", make_listener, sizeof(gcore_listener_options)},
    {"udp", make_udp, sizeof(gcore_udp_options)},
    {"stream", make_stream, sizeof(gcore_stream_options)},
    {"tls", make_tls, sizeof(gcore_tls_options)},
};

static void options_of_all_sizes(void **state)
{
    (void)state;
    hub = hub_new();
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        size_t known = options[i].known;
        any given;

        /* Older: what lies behind is not looked at. */
        for (size_t size = 2 * sizeof size; size < known;
             size += sizeof size) {
            memset(&given, 0xff, sizeof given);
            memset(&given, 0, size);
            given.size = size;
            if (options[i].give(&given) != 0)
                fail_msg("%s of %zu bytes", options[i].name, size);
        }
        /* Newer. */
        memset(&given, 0, sizeof given);
        given.size = known + 3 * sizeof(size_t);
        assert_ok(options[i].give(&given));
        given.bytes[known + 1] = 1;
        assert_error(options[i].give(&given), -EINVAL);
        /* What is no size. */
        memset(&given, 0, sizeof given);
        for (size_t j = 0; j < 5; j++) {
            given.size = (const size_t[]){0, sizeof(size_t), known - 1,
                                          known + 1, (size_t)-8}[j];
            assert_error(options[i].give(&given), -EINVAL);
        }
    }
    hub_end(hub);
}

/* What is filled in. */

static void *object; /* of the kind that is asked */

static int ask_hub(void *out)
{
    return gcore_hub_counters(object, out);
}

static int ask_pool(void *out)
{
    return gcore_pool_counters(object, out);
}

static int ask_resolver(void *out)
{
    return gcore_resolver_counters(object, out);
}

static int ask_server(void *out)
{
    return gcore_http_server_counters(object, out);
}

static int ask_listener(void *out)
{
    return gcore_listener_counters(object, out);
}

static int ask_file(void *out)
{
    return gcore_stat_last(object, out);
}

static bool all(const any *it, size_t from, size_t to, char byte)
{
    for (size_t i = from; i < to; i++)
        if (it->bytes[i] != byte)
            return false;
    return true;
}

static void check(int (*ask)(void *out), void *asked, size_t known)
{
    size_t more = known + 3 * sizeof(size_t);
    any whole, out;

    object = asked;
    memset(&whole, 0x55, sizeof whole);
    whole.size = more;
    assert_ok(ask(&whole));
    assert_int_equal(whole.size, more);
    assert_true(all(&whole, known, more, 0));
    assert_true(all(&whole, more, sizeof whole, 0x55));
    for (size_t size = 2 * sizeof size; size <= known; size += sizeof size) {
        memset(&out, 0x55, sizeof out);
        out.size = size;
        assert_ok(ask(&out));
        assert_int_equal(out.size, size);
        assert_memory_equal(out.bytes + sizeof size,
                            whole.bytes + sizeof size, size - sizeof size);
        assert_true(all(&out, size, sizeof out, 0x55));
    }
    for (size_t i = 0; i < 5; i++) {
        memset(&out, 0x55, sizeof out);
        out.size = (const size_t[]){0, sizeof(size_t), known - 1, known + 1,
                                    (size_t)-8}[i];
        assert_error(ask(&out), -EINVAL);
        assert_true(all(&out, sizeof(size_t), sizeof out, 0x55));
    }
}

static void counters_of_all_sizes(void **state)
{
    gcore_address address = local_address("127.0.0.1:0");
    gcore_pool *pool;
    gcore_resolver *resolver;
    gcore_http_server *server;
    gcore_listener *listener;
    gcore_watch *watch;

    (void)state;
    hub = hub_new();
    assert_ok(gcore_pool_new(NULL, &pool));
    assert_ok(gcore_resolver_new(hub, NULL, &resolver));
    assert_ok(gcore_http_server_new(hub, NULL, &server));
    assert_ok(gcore_listener_new(hub, &address, NULL, &listener));
    assert_ok(gcore_stat_new(hub, "/", 0, &watch));
    check(ask_hub, hub, sizeof(gcore_hub_stats));
    check(ask_pool, pool, sizeof(gcore_pool_stats));
    check(ask_resolver, resolver, sizeof(gcore_resolver_stats));
    check(ask_server, server, sizeof(gcore_http_stats));
    check(ask_listener, listener, sizeof(gcore_listener_stats));
    check(ask_file, watch, sizeof(gcore_file_info));
    gcore_watch_unref(watch);
    gcore_listener_unref(listener);
    gcore_http_server_unref(server);
    gcore_resolver_unref(resolver);
    gcore_pool_unref(pool);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_of_all_sizes),
        TEST(counters_of_all_sizes),
    };

    return RUN(tests);
}
