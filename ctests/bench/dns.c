/*
 * The resolver beside bare c-ares, against a responder in a process of its
 * own on the loopback: so many lookups are kept going at a time, each of
 * another name.
 *
 * Both do the same questions in turn, and the median of the runs counts:
 * answers a second, and this process's processor time an answer.
 *
 *   dns [--runs N]
 */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gcore.h>

#include "measure.h"

enum { BATCH = 64, MESSAGE = 512, LOOKUPS = 100000, CACHED = 300000 };

static int port;

/* The responder: an A record, 192.0.2.1, for whatever is asked */

static size_t write_reply(uint8_t *message, size_t length)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                     0,    60, 0, 4, 192, 0, 2, 1};
    size_t at = 12;

    while (at < length && message[at])
        at += 1u + message[at];
    at += 5;
    if (at > length || at + sizeof record > MESSAGE)
        return 0;
    message[2] = 0x81;
    message[3] = 0x80;
    message[7] = 1;
    memset(message + 8, 0, 4);
    memcpy(message + at, record, sizeof record);
    return at + sizeof record;
}

static void respond(int fd)
{
    static uint8_t messages[BATCH][MESSAGE];
    struct sockaddr_in from[BATCH];
    struct mmsghdr headers[BATCH];
    struct iovec pieces[BATCH];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int count;

        for (int i = 0; i < BATCH; i++) {
            pieces[i] = (struct iovec){messages[i], MESSAGE};
            headers[i] = (struct mmsghdr){
                .msg_hdr = {.msg_name = &from[i],
                            .msg_namelen = sizeof *from,
                            .msg_iov = &pieces[i],
                            .msg_iovlen = 1}};
        }
        count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < count; i++)
            pieces[i].iov_len = write_reply(messages[i], headers[i].msg_len);
        if (count > 0)
            sendmmsg(fd, headers, (unsigned)count, 0);
    }
}

static pid_t start_responder(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int room = 1 << 22;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pid_t child;

    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    CHECK(bind(fd, (struct sockaddr *)&name, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    port = ntohs(name.sin_port);
    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        respond(fd);
    close(fd);
    return child;
}

/* The load: `width` lookups at a time until `total` were answered */

struct load {
    int width;
    int total;
    bool addresses; /* getaddrinfo, else a query */
    int started;
    int answered;
    int failed;
    gcore_resolver *resolver;
    ares_channel channel;
};

static const char *next_name(struct load *load)
{
    static char name[32];
    static unsigned serial;

    load->started++;
    snprintf(name, sizeof name, "n%u.test", serial++);
    return name;
}

/* libgcore */

struct slot {
    struct load *load;
    gcore_lookup *lookup;
};

static void start_ours(struct slot *slot);

static void ours_done(void *arg, int64_t result)
{
    struct slot *slot = arg;
    struct load *load = slot->load;

    load->answered++;
    load->failed += result < 0;
    gcore_lookup_unref(slot->lookup);
    if (load->started < load->total)
        start_ours(slot);
}

static void start_ours(struct slot *slot)
{
    static const gcore_dns_hints hints = {.size = sizeof hints,
                                          .family = AF_INET,
                                          .socktype = SOCK_STREAM};
    struct load *load = slot->load;
    const char *name = next_name(load);
    int error = load->addresses
                    ? gcore_dns_getaddrinfo(load->resolver, name, NULL,
                                            &hints, GCORE_FOREVER, ours_done,
                                            slot, &slot->lookup)
                    : gcore_dns_query(load->resolver, name, GCORE_DNS_A,
                                      GCORE_FOREVER, ours_done, slot,
                                      &slot->lookup);

    CHECK(error == 0);
}

static gcore_resolver *new_resolver(gcore_hub *hub, unsigned flags)
{
    char servers[32];
    gcore_resolver_options options = {.size = sizeof options,
                                      .servers = servers,
                                      .domains = "",
                                      .lookups = "b",
                                      .flags = flags};
    gcore_resolver *resolver;

    snprintf(servers, sizeof servers, "127.0.0.1:%d", port);
    CHECK(gcore_resolver_new(hub, &options, &resolver) == 0);
    return resolver;
}

static void run_ours(struct load *load)
{
    struct slot *slots = calloc((size_t)load->width, sizeof *slots);
    gcore_hub *hub;

    CHECK(slots != NULL && gcore_hub_new(NULL, &hub) == 0);
    load->resolver = new_resolver(hub, 0);
    for (int i = 0; i < load->width; i++) {
        slots[i].load = load;
        start_ours(&slots[i]);
    }
    CHECK(gcore_hub_run(hub) == 0);
    gcore_resolver_unref(load->resolver);
    gcore_hub_close(hub);
    gcore_hub_unref(hub);
    free(slots);
}

/* Bare c-ares */

static void start_bare(struct load *load);

static void bare_done(struct load *load, bool failed)
{
    load->answered++;
    load->failed += failed;
    if (load->started < load->total)
        start_bare(load);
}

static void bare_answered(void *arg, int status, int timeouts,
                          unsigned char *bytes, int length)
{
    struct ares_addrttl found[8];
    int count = 8;

    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = ares_parse_a_reply(bytes, length, NULL, found, &count);
    bare_done(arg, status != ARES_SUCCESS);
}

static void bare_resolved(void *arg, int status, int timeouts,
                          struct ares_addrinfo *result)
{
    (void)timeouts;
    if (result)
        ares_freeaddrinfo(result);
    bare_done(arg, status != ARES_SUCCESS);
}

static void start_bare(struct load *load)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_INET,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT};
    const char *name = next_name(load);

    if (load->addresses)
        ares_getaddrinfo(load->channel, name, NULL, &hints, bare_resolved,
                         load);
    else
        ares_query(load->channel, name, 1, 1, bare_answered, load);
}

static void turn_bare(struct load *load)
{
    ares_socket_t fds[ARES_GETSOCK_MAXNUM];
    struct timeval time;
    struct pollfd waiting;

    ares_getsock(load->channel, fds, ARES_GETSOCK_MAXNUM);
    waiting = (struct pollfd){.fd = fds[0], .events = POLLIN};
    ares_timeout(load->channel, NULL, &time);
    poll(&waiting, 1, (int)(time.tv_sec * 1000 + time.tv_usec / 1000));
    ares_process_fd(load->channel,
                    waiting.revents ? fds[0] : ARES_SOCKET_BAD,
                    ARES_SOCKET_BAD);
}

static void run_bare(struct load *load)
{
    char lookups[] = "b";
    char servers[32];
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH,
                                   .lookups = lookups};

    CHECK(ares_init_options(&load->channel, &options,
                            ARES_OPT_FLAGS | ARES_OPT_LOOKUPS) == 0);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", port);
    CHECK(ares_set_servers_ports_csv(load->channel, servers) == 0);
    for (int i = 0; i < load->width; i++)
        start_bare(load);
    while (load->answered < load->total)
        turn_bare(load);
    ares_destroy(load->channel);
}

/* Cached answers */

static double cached_ns(void)
{
    static const gcore_dns_hints hints = {.size = sizeof hints,
                                          .family = AF_INET,
                                          .socktype = SOCK_STREAM};
    struct load load = {.width = 1, .total = 1, .addresses = true};
    struct slot slot = {.load = &load};
    gcore_lookup *lookup;
    gcore_hub *hub;
    int64_t spent;

    CHECK(gcore_hub_new(NULL, &hub) == 0);
    load.resolver = new_resolver(hub, GCORE_RESOLVER_CACHE);
    CHECK(gcore_dns_getaddrinfo(load.resolver, "kept.test", NULL, &hints,
                                GCORE_FOREVER, ours_done, &slot,
                                &slot.lookup) == 0);
    load.started = 1;
    CHECK(gcore_hub_run(hub) == 0);
    spent = processor_time();
    for (int i = 0; i < CACHED; i++) {
        CHECK(gcore_dns_getaddrinfo(load.resolver, "kept.test", NULL, &hints,
                                    GCORE_FOREVER, ours_done, &slot,
                                    &lookup) == 1);
        gcore_lookup_unref(lookup);
    }
    spent = processor_time() - spent;
    gcore_resolver_unref(load.resolver);
    gcore_hub_close(hub);
    gcore_hub_unref(hub);
    return (double)spent / CACHED;
}

/* Measuring */

struct figure {
    double rate;
    double cpu;
};

static struct figure measure_load(void (*run)(struct load *load),
                                  struct load load)
{
    int64_t cpu = processor_time();
    int64_t start = gcore_clock();

    run(&load);
    if (load.failed)
        fprintf(stderr, "%d of %d failed\n", load.failed, load.total);
    return (struct figure){
        .rate = load.total * 1e9 / (double)(gcore_clock() - start),
        .cpu = (double)(processor_time() - cpu) / load.total};
}

/* A kind of load. Those with a target are measured beside bare c-ares, in
 * processor time; the others beside the first row, in answers a second and,
 * as a busy machine lets both processes wait for their turns, in processor
 * time. */
struct kind {
    const char *title;
    struct load load;
    double target;
    bool with_bare;
    double rates[2][MOST_RUNS];
    double cpus[2][MOST_RUNS];
};

static struct kind kinds[] = {
    {.title = "query A, 64 in flight", .target = 0.9, .with_bare = true,
     .load = {.width = 64, .total = LOOKUPS}},
    {.title = "getaddrinfo IPv4, 64 in flight", .target = 0.9,
     .with_bare = true,
     .load = {.width = 64, .total = LOOKUPS, .addresses = true}},
    {.title = "query A, 1,000 in flight", .target = 0.8,
     .load = {.width = 1000, .total = LOOKUPS}},
    {.title = "query A, 10,000 in flight", .target = 0.8,
     .load = {.width = 10000, .total = LOOKUPS}},
    {.title = "query A, 1 in flight", .with_bare = true,
     .load = {.width = 1, .total = LOOKUPS / 20}},
};

#define KINDS (sizeof kinds / sizeof *kinds)

static void measure_kind(struct kind *kind, bool bare, int run)
{
    struct figure figure = measure_load(bare ? run_bare : run_ours,
                                        kind->load);

    kind->rates[bare][run] = figure.rate;
    kind->cpus[bare][run] = figure.cpu;
}

/* One run of each, so that a change of the machine's speed meets all; who
 * comes first changes, too. */
static void measure_kinds(int run)
{
    for (size_t i = 0; i < KINDS; i++) {
        bool first = kinds[i].with_bare && run % 2;

        measure_kind(&kinds[i], first, run);
        if (kinds[i].with_bare)
            measure_kind(&kinds[i], !first, run);
    }
}

static void print_ratio(double ratio, double target)
{
    printf("  %4.2f", ratio);
    if (target > 0)
        printf("  (%.1f: %s)", target, ratio >= target ? "met" : "missed");
    puts("");
}

static void print_kind(const struct kind *kind, int runs)
{
    double rate = median(kind->rates[0], runs);
    double cpu = median(kind->cpus[0], runs);

    printf("%-31s %7.0f %6.0f", kind->title, rate, cpu);
    if (kind->with_bare) {
        printf(" %7.0f %6.0f", median(kind->rates[1], runs),
               median(kind->cpus[1], runs));
        print_ratio(median(kind->cpus[1], runs) / cpu, kind->target);
    } else {
        printf("   of 64's: time %.2f, rate",
               median(kinds[0].cpus[0], runs) / cpu);
        print_ratio(rate / median(kinds[0].rates[0], runs), kind->target);
    }
}

int main(int argc, char **argv)
{
    int runs = argc > 2 && strcmp(argv[1], "--runs") == 0 ? atoi(argv[2]) : 9;
    double cached[MOST_RUNS];
    pid_t responder;

    if (runs < 1 || runs > MOST_RUNS)
        runs = 9;
    ares_library_init(ARES_LIB_INIT_ALL);
    responder = start_responder();
    for (int run = 0; run < runs; run++)
        measure_kinds(run);
    for (int run = 0; run < runs; run++)
        cached[run] = cached_ns();
    kill(responder, SIGKILL);
    printf("libgcore %s; c-ares %s in both; medians of %d runs.\n"
           "Answers a second and nanoseconds of processor time for each, ours"
           " and bare c-ares's;\nthe ratio is of processor time, above 1 ours"
           " takes less (target: outcome).\n\n",
           gcore_version(), ares_version(NULL), runs);
    printf("%-31s %7s %6s %7s %6s  ratio\n", "", "ours/s", "ns", "bare/s",
           "ns");
    for (size_t i = 0; i < KINDS; i++)
        print_kind(&kinds[i], runs);
    printf("%-31s %7s %6.0f  (1000: %s)\n", "getaddrinfo, cached", "",
           median(cached, runs),
           median(cached, runs) <= 1000 ? "met" : "missed");
    return 0;
}
