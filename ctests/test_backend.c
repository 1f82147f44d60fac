/* Which backend is taken: by option, by GEVENT_BACKEND, by LIBEV_FLAGS. */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void clear_environment(void)
{
    unsetenv("GEVENT_BACKEND");
    unsetenv("LIBEV_FLAGS");
}

static void assert_backend(const gcore_hub_options *options, const char *name,
                           unsigned bit)
{
    gcore_hub *hub = NULL;

    assert_ok(gcore_hub_new(options, &hub));
    assert_string_equal(gcore_hub_backend_name(hub), name);
    assert_int_equal(gcore_hub_backend(hub), bit);
    hub_end(hub);
}

static void all_three_are_there(void **state)
{
    const unsigned three =
        GCORE_BACKEND_SELECT | GCORE_BACKEND_POLL | GCORE_BACKEND_EPOLL;

    (void)state;
    assert_int_equal(gcore_backends() & three, three);
}

static void by_option(void **state)
{
    gcore_hub_options options = {.size = sizeof options};

    (void)state;
    clear_environment();
    assert_backend(NULL, "epoll", GCORE_BACKEND_EPOLL);
    options.backend = "select";
    assert_backend(&options, "select", GCORE_BACKEND_SELECT);
    options.backend = "poll";
    assert_backend(&options, "poll", GCORE_BACKEND_POLL);
    options.backend = "poll,select";
    assert_backend(&options, "poll", GCORE_BACKEND_POLL);
    options.backend = "select, epoll";
    assert_backend(&options, "epoll", GCORE_BACKEND_EPOLL);
    options.backend = NULL;
    options.backends = GCORE_BACKEND_SELECT;
    assert_backend(&options, "select", GCORE_BACKEND_SELECT);
    options.backends = GCORE_BACKEND_SELECT | GCORE_BACKEND_POLL;
    assert_backend(&options, "poll", GCORE_BACKEND_POLL);
}

static void by_environment(void **state)
{
    gcore_hub_options options = {.size = sizeof options};
    gcore_hub *hub = NULL;

    (void)state;
    clear_environment();
    setenv("LIBEV_FLAGS", "1", 1);
    assert_backend(NULL, "select", GCORE_BACKEND_SELECT);
    setenv("LIBEV_FLAGS", "3", 1);
    assert_backend(NULL, "poll", GCORE_BACKEND_POLL);
    setenv("LIBEV_FLAGS", "0x10001", 1); /* other bits are not backends */
    assert_backend(NULL, "select", GCORE_BACKEND_SELECT);
    setenv("GEVENT_BACKEND", "poll", 1); /* goes first */
    assert_backend(NULL, "poll", GCORE_BACKEND_POLL);
    setenv("GEVENT_BACKEND", "", 1);
    assert_backend(NULL, "select", GCORE_BACKEND_SELECT);
    setenv("GEVENT_BACKEND", "nonsense", 1);
    assert_error(gcore_hub_new(NULL, &hub), -EINVAL);
    options.flags = GCORE_HUB_NOENV;
    assert_backend(&options, "epoll", GCORE_BACKEND_EPOLL);
    options.flags = 0;
    options.backend = "select"; /* an option goes before both */
    assert_backend(&options, "select", GCORE_BACKEND_SELECT);
    clear_environment();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_three_are_there),
        TEST(by_option),
        TEST(by_environment),
    };

    return RUN(tests);
}
