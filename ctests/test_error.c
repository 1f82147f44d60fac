/* The error table, the version, the clock. */
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct entry {
    int number;
    const char *name;
    const char *text;
};

#define OWN(name, number, text) {number, #name, text},
#define SYSTEM(name, text) {name, #name, text},

static const struct entry table[] = {GCORE_OWN_ERRORS(OWN)
                                         GCORE_SYSTEM_ERRORS(SYSTEM)};
static const size_t count = sizeof table / sizeof *table;

static void each_error_has_name_and_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(gcore_error_name(table[i].number), table[i].name);
        assert_string_equal(gcore_error_name(-table[i].number),
                            table[i].name);
        assert_string_equal(gcore_error_text(table[i].number), table[i].text);
        assert_string_equal(gcore_error_text(-table[i].number),
                            table[i].text);
        assert_true(strlen(table[i].text) > 0);
    }
}

static void numbers_are_distinct(void **state)
{
    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(table[i].number, table[j].number);
}

#define IS_OWN(name, number, text) && name == number && number > 10000
static void own_numbers_are_out_of_errno_range(void **state)
{
    (void)state;
    assert_true(1 GCORE_OWN_ERRORS(IS_OWN));
}

static void unknown_numbers_are_told_as_such(void **state)
{
    const int unknown[] = {0, 1 << 20, -(1 << 20), INT_MAX, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_string_equal(gcore_error_name(unknown[i]), "UNKNOWN");
        assert_string_equal(gcore_error_text(unknown[i]), "unknown error");
    }
}

static void version_is_the_headers(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", GCORE_VERSION_MAJOR,
             GCORE_VERSION_MINOR, GCORE_VERSION_PATCH);
    assert_string_equal(gcore_version(), text);
    assert_int_equal(gcore_version_number(),
                     GCORE_VERSION_MAJOR * 10000 + GCORE_VERSION_MINOR * 100 +
                         GCORE_VERSION_PATCH);
}

static void clock_is_the_monotonic_one(void **state)
{
    struct timespec time;
    int64_t before, between, behind;

    (void)state;
    before = gcore_clock();
    clock_gettime(CLOCK_MONOTONIC, &time);
    behind = gcore_clock();
    between = (int64_t)time.tv_sec * SECOND + time.tv_nsec;
    assert_true(before <= between && between <= behind);
}

static void complete_does_nothing(void **state)
{
    (void)state;
    gcore_complete(NULL, 0);
    assert_true(GCORE_COMPLETE == gcore_complete);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_error_has_name_and_text),
        TEST(numbers_are_distinct),
        TEST(own_numbers_are_out_of_errno_range),
        TEST(unknown_numbers_are_told_as_such),
        TEST(version_is_the_headers),
        TEST(clock_is_the_monotonic_one),
        TEST(complete_does_nothing),
    };

    return RUN(tests);
}
