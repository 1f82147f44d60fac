/* Addresses as text. */
#include "net.h"

#include <errno.h>
#include <string.h>

static void texts_come_back(void **state)
{
    static const char *const texts[] = {
        "127.0.0.1:8000", "0.0.0.0:0",      "255.255.255.255:65535",
        "[::1]:8000",     "[fe80::1%1]:80", "[::ffff:1.2.3.4]:5",
        "unix:/run/app",  "unix:name",      "unix:@abstract",
    };
    gcore_address address;
    char text[GCORE_ADDRESS_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_ok(gcore_address_parse(texts[i], &address));
        assert_int_equal(gcore_address_format(&address, text, sizeof text),
                         strlen(texts[i]));
        assert_string_equal(text, texts[i]);
        assert_int_equal(
            gcore_address_format(&address, text, strlen(texts[i])), -ENOSPC);
    }
    assert_ok(gcore_address_parse(":80", &address));
    assert_true(gcore_address_format(&address, text, sizeof text) > 0);
    assert_string_equal(text, "[::]:80");
    assert_int_equal(gcore_address_port(&address), 80);
    assert_ok(gcore_address_parse("unix:x", &address));
    assert_int_equal(gcore_address_port(&address), -EINVAL);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const texts[] = {
        "",          ":",         "127.0.0.1",   "127.0.0.1:",
        "localhost:80",           "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1",           "127.0.0.1: 1", "1.2.3:4",
        "::1:80",    "[::1]",     "[::1]80",     "[::1:80",
        "[]:80",     "[:80",      "[::1%]:80",   "[::1%no-such-link]:80",
        "unix:",     "127.0.0.1:80x",            "[::g]:1",
    };
    char text[400];
    gcore_address address = {.length = 7};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (gcore_address_parse(texts[i], &address) != -EINVAL)
            print_error("%s\n", texts[i]);
        assert_error(gcore_address_parse(texts[i], &address), -EINVAL);
    }
    assert_error(gcore_address_parse(NULL, &address), -EINVAL);
    assert_error(gcore_address_parse("unix:x", NULL), -EINVAL);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_error(gcore_address_parse(text, &address), -EINVAL);
    memcpy(text, "unix:", 5);
    assert_error(gcore_address_parse(text, &address), -ENAMETOOLONG);
    text[300] = ':';
    text[301] = '1';
    text[302] = '\0';
    text[0] = 'x';
    assert_error(gcore_address_parse(text, &address), -EINVAL);
    assert_int_equal(address.length, 7);
    address.length = 0;
    assert_int_equal(gcore_address_format(&address, text, sizeof text),
                     -EINVAL);
    assert_int_equal(gcore_address_port(&address), -EINVAL);
    address.length = 1000;
    assert_int_equal(gcore_address_format(&address, text, sizeof text),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_come_back),
        TEST(what_is_no_address_is_refused),
    };

    return RUN(tests);
}
