/* The programs of fuzz/operations.c, made by a generator with a fixed seed,
 * so that each run of the tests does the same. */
#include "support.h"

#include "fuzz/operations.c"

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void random_programs(void **state)
{
    uint32_t random = 2463534242u;

    (void)state;
    for (int i = 0; i < support_times(3000); i++) {
        uint8_t bytes[600];
        size_t size = 50 + next_random(&random) % 550;

        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(next_random(&random) >> 11);
        LLVMFuzzerTestOneInput(bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_programs),
    };

    return RUN(tests);
}
