/*
 * Measuring engines beside each other.
 *
 * A row is one kind of work, done by each engine. Runs are interleaved, all
 * engines once and then all again, so that a change in the machine's speed
 * meets all of them; the median of an engine's runs is its result, in
 * nanoseconds an operation: of processor time, all threads together, so that
 * what else the machine does counts little.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

enum { ENGINES = 3, MOST_RUNS = 101, RUN_NS = 60 * 1000 * 1000 };

struct engine {
    const char *name;
    const char *version;
};

/* open returns the work's state; run does `count` operations with it. */
struct work {
    void *(*open)(void);
    void (*run)(void *state, long count);
    void (*close)(void *state);
};

struct row {
    const char *name;
    struct work works[ENGINES];
    double results[ENGINES][MOST_RUNS];
};

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

#define CHECK(condition) check((condition), #condition)

static int64_t processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds an operation, over a run of about RUN_NS. */
static double measure_once(const struct work *work)
{
    void *state = work->open();
    long count = 16;
    int64_t spent;

    work->run(state, count); /* warm */
    for (;;) {
        int64_t start = processor_time();

        work->run(state, count);
        spent = processor_time() - start;
        if (spent >= RUN_NS / 4)
            break;
        count *= spent < RUN_NS / 64 ? 4 : 2;
    }
    count = (long)((double)count * RUN_NS / (double)spent);
    spent = processor_time();
    work->run(state, count);
    spent = processor_time() - spent;
    work->close(state);
    return (double)spent / (double)count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *results, int runs)
{
    double sorted[MOST_RUNS];

    memcpy(sorted, results, (size_t)runs * sizeof *sorted);
    qsort(sorted, (size_t)runs, sizeof *sorted, compare);
    return runs % 2 ? sorted[runs / 2]
                    : (sorted[runs / 2 - 1] + sorted[runs / 2]) / 2;
}

static void measure(struct row *rows, int count, int runs)
{
    for (int run = 0; run < runs; run++) {
        fprintf(stderr, "\rrun %d of %d", run + 1, runs);
        for (int i = 0; i < count; i++)
            for (int e = 0; e < ENGINES; e++)
                rows[i].results[e][run] = measure_once(&rows[i].works[e]);
    }
    fputs("\n", stderr);
}

/* The processor's name, as the kernel tells it. */
static const char *processor(void)
{
    static char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    char *name = NULL;

    while (file && !name && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0)
            name = strchr(line, ':');
    if (file)
        fclose(file);
    if (!name)
        return "unknown";
    name[strcspn(name, "\n")] = 0;
    return name + 2;
}

static void print_table(const struct engine *engines, const struct row *rows,
                        int count, int runs)
{
    struct utsname system;

    uname(&system);
    printf("%s, %s %s\n", processor(), system.sysname, system.release);
    for (int e = 0; e < ENGINES; e++)
        printf("%s %s%s", engines[e].name, engines[e].version,
               e < ENGINES - 1 ? ", " : "");
    printf("; nanoseconds of processor time an operation,"
           " medians of %d runs\n\n", runs);
    printf("%-42s", "");
    for (int e = 0; e < ENGINES; e++)
        printf(" %9s", engines[e].name);
    for (int e = 1; e < ENGINES; e++)
        printf(" %9s/ours", engines[e].name);
    puts("");
    for (int i = 0; i < count; i++) {
        double ours = median(rows[i].results[0], runs);

        printf("%-42s", rows[i].name);
        for (int e = 0; e < ENGINES; e++)
            printf(" %9.1f", median(rows[i].results[e], runs));
        for (int e = 1; e < ENGINES; e++)
            printf(" %14.2f", median(rows[i].results[e], runs) / ours);
        puts("");
    }
}

static int write_json(const char *path, const struct engine *engines,
                      const struct row *rows, int count, int runs)
{
    FILE *file = fopen(path, "w");
    struct utsname system;

    if (!file) {
        perror(path);
        return 1;
    }
    uname(&system);
    fprintf(file,
            "{\"processor\": \"%s\", \"system\": \"%s %s\", \"runs\": %d,\n"
            " \"versions\": {",
            processor(), system.sysname, system.release, runs);
    for (int e = 0; e < ENGINES; e++)
        fprintf(file, "%s\"%s\": \"%s\"", e ? ", " : "", engines[e].name,
                engines[e].version);
    fputs("},\n \"rows\": [", file);
    for (int i = 0; i < count; i++) {
        double ours = median(rows[i].results[0], runs);

        fprintf(file, "%s\n  {\"name\": \"%s\", \"unit\": \"ns\"",
                i ? "," : "", rows[i].name);
        for (int e = 0; e < ENGINES; e++)
            fprintf(file, ", \"%s\": %.2f", engines[e].name,
                    median(rows[i].results[e], runs));
        for (int e = 1; e < ENGINES; e++)
            fprintf(file, ", \"ratio_%s\": %.3f", engines[e].name,
                    median(rows[i].results[e], runs) / ours);
        fputs("}", file);
    }
    fputs("\n ]}\n", file);
    return fclose(file) == 0 ? 0 : 1;
}

/* [--runs N] [--json FILE] */
__attribute__((unused)) static int
measure_main(int argc, char **argv, const struct engine *engines,
             struct row *rows, int count)
{
    const char *json = NULL;
    int runs = 7;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--json") == 0) {
            json = argv[i + 1];
        } else if (i + 1 < argc && strcmp(argv[i], "--runs") == 0) {
            runs = atoi(argv[i + 1]);
        } else {
            fprintf(stderr, "usage: %s [--runs N] [--json FILE]\n", argv[0]);
            return 2;
        }
    }
    if (runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "runs: from 1 to %d\n", MOST_RUNS);
        return 2;
    }
    measure(rows, count, runs);
    print_table(engines, rows, count, runs);
    return json ? write_json(json, engines, rows, count, runs) : 0;
}

#endif
