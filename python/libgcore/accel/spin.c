/*
 * Waiting a moment for another thread before going to sleep.
 *
 * Two threads that hand a short task over and its result back sleep between,
 * each on a processor of its own, and waking a processor that sleeps takes
 * several times as long as the task.  A thread that expects to be told soon
 * therefore looks a moment whether it has been.
 *
 * The price is bounded: it looks SPIN_NS at most, and each time in vain it
 * lets twice as many of its next waits pass without looking, up to 128.
 * With one processor it never looks: the other thread could
 * not run meanwhile.
 */
#include "spin.h"

#include <sched.h>
#include <stdint.h>

#include <gcore.h>

enum {
    SPIN_NS = 30000,
    LOOKS_A_TIME = 32, /* between readings of the clock */
    MOST_DOUBLINGS = 7
};

static bool alone(void)
{
    static atomic_int processors;
    int count = atomic_load_explicit(&processors, memory_order_relaxed);
    if (!count) {
        cpu_set_t set;
        count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
        atomic_store_explicit(&processors, count, memory_order_relaxed);
    }
    return count < 2;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static bool look(const atomic_bool *flag)
{
    int64_t end = gcore_clock() + SPIN_NS;
    do {
        for (int i = 0; i < LOOKS_A_TIME; i++) {
            if (atomic_load_explicit(flag, memory_order_acquire))
                return true;
            relax();
        }
    } while (gcore_clock() < end);
    return false;
}

bool accel_spin(accel_spin_record *record, const atomic_bool *flag)
{
    if (record->skip) {
        record->skip--;
        return atomic_load(flag);
    }
    if (alone())
        return atomic_load(flag);
    if (look(flag)) {
        record->failures = 0;
        return true;
    }
    if (record->failures < MOST_DOUBLINGS)
        record->failures++;
    record->skip = 1u << record->failures;
    return false;
}
