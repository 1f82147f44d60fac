/*
 * The wire: c-ares, which sends a question to the servers, and again, and by
 * TCP, until one of them has answered. Its sockets are watched by the hub,
 * its timeouts by one timer.
 *
 * c-ares from 1.28 on has parsed a message, and is asked for its bytes
 * again, for what it hands over; before that it hands over the bytes.
 * Either way message.c reads them: there is one reader, and it is ours.
 *
 * SPDX-License-Identifier: MIT
 */
#define CARES_NO_DEPRECATED
#include <ares.h>
#if ARES_VERSION >= 0x011c00
#define HAS_RECORDS 1
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "dns/dns.h"
#include "util/slab.h"

/* Sockets stay open between questions, which spares half of the work; but
 * whoever forges answers has to guess their ports. After so many questions,
 * or so long, the next one goes by new ones. */
#define WORN_BY_QUESTIONS 4000
#define WORN_BY_TIME (2 * GCORE__NS)

/* Questions' numbers got from the kernel at a time. */
#define IDS 128

/* A socket of c-ares's. */
struct gcore__socket {
    gcore__link link;
    gcore__wire *wire;
    gcore_watch *watch;
    int fd;
};

struct gcore__wire {
    gcore__link link; /* in resolver->wires */
    gcore_resolver *resolver;
    ares_channel channel;
    gcore_watch *timer;
    gcore__link sockets;
    gcore__link questions; /* not answered yet */
    int asked;             /* how many these are */
    int count;    /* of questions so far */
    int64_t born;
    int64_t timeout; /* of a question's first message */
    int inside;   /* calls of c-ares */
    int error;    /* that must end it, with all questions */
    bool retired;
    bool ticking;
    gcore__slab slab; /* c-ares's memory */
#ifndef HAS_RECORDS
    bool plain; /* the servers do not know EDNS */
    uint16_t ids[IDS];
    int ids_left;
#endif
};

/* Memory: the copy of c-ares in the library is nobody else's, so it takes
 * what it needs from the library: it makes and frees several blocks for each
 * question, which come from the wire's slab. A wire is counted for the large
 * ones, too. */

static int library_status;

/* The wire that this thread calls c-ares for. */
static _Thread_local gcore__wire *caller;

#ifdef GCORE_CARES_OWN
static void *checked(gcore__wire *wire, void *block)
{
    if (!block && wire)
        wire->error = -ENOMEM;
    return block;
}

static void *take(size_t bytes)
{
    gcore__wire *wire = caller;

    return checked(wire, gcore__slab_take(wire ? &wire->slab : NULL, bytes));
}

static void *resize(void *block, size_t bytes)
{
    gcore__wire *wire = caller;

    return checked(wire, gcore__slab_resize(wire ? &wire->slab : NULL, block,
                                            bytes ? bytes : 1));
}
#endif

static void init_library(void)
{
#ifdef GCORE_CARES_OWN
    library_status = ares_library_init_mem(ARES_LIB_INIT_ALL, take,
                                           gcore__slab_give, resize);
#else
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
#endif
}

/* Errors */

static int error_of(int status)
{
    switch (status) {
    case ARES_ENODATA:
        return -GCORE_EAI_NODATA;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
    case ARES_EBADQUERY:
    case ARES_EBADSTR:
        return -GCORE_EAI_NONAME;
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED:
    case ARES_ECONNREFUSED: /* before 1.28 for the above, too */
        return GCORE__UNWILLING;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return -ECANCELED;
    case ARES_EFORMERR:
    case ARES_EBADRESP:
        return -GCORE_EAI_FAIL;
    default:
        return -GCORE_EAI_AGAIN;
    }
}

/* Calls of c-ares: what they leave to be done is done afterwards */

/* Returns what leave is to be told. */
static gcore__wire *enter(gcore__wire *wire)
{
    gcore__wire *before = caller;

    wire->inside++;
    caller = wire;
    return before;
}

/* Enters on behalf of the hub. */
static gcore__wire *wake(gcore__wire *wire)
{
    wire->resolver->now = gcore_clock();
    return enter(wire);
}

/* A socket that cannot be watched, or c-ares was refused memory: from 1.28 on
 * it may then lose a question, or fall over it later. */
static void abandon(gcore__wire *wire)
{
    if (wire->resolver->wire == wire)
        wire->resolver->wire = NULL;
    gcore__wire_free(wire);
}

static void set_timer(gcore__wire *wire);

static void leave(gcore__wire *wire, gcore__wire *before)
{
    caller = before;
    if (--wire->inside > 0)
        return;
    if (wire->error < 0)
        abandon(wire);
    else if (wire->retired && wire->asked == 0)
        gcore__wire_free(wire);
    else
        set_timer(wire);
}

/* Timeouts. Asking c-ares when the next one is may cost time in proportion
 * to what is on the wire, so it is asked only when the timer has run out.
 * That never takes longer than a new question waits for its answer, so that
 * none asked meanwhile has to be looked at before. */

static void tick(void *arg, int64_t result)
{
    gcore__wire *wire = arg;
    gcore__wire *before;

    wire->ticking = false;
    if (result < 0)
        return;
    before = wake(wire);
    ares_process_fd(wire->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    leave(wire, before);
}

static int64_t next_timeout(gcore__wire *wire)
{
    struct timeval most = {
        .tv_sec = wire->timeout / GCORE__NS,
        .tv_usec = wire->timeout % GCORE__NS / 1000,
    };
    struct timeval room;
    struct timeval *time = ares_timeout(wire->channel, &most, &room);

    return time->tv_sec * GCORE__NS + time->tv_usec * INT64_C(1000);
}

static void set_timer(gcore__wire *wire)
{
    int64_t moment;

    if (wire->ticking || wire->asked == 0)
        return;
    moment = wire->resolver->now + next_timeout(wire);
    wire->ticking = gcore_watch_start(wire->timer, GCORE_ONCE, moment, tick,
                                      wire) == 0;
}

/* Sockets */

static void ready(void *arg, int64_t result)
{
    struct gcore__socket *socket = arg;
    gcore__wire *wire = socket->wire;
    gcore__wire *before;
    int fd = socket->fd;

    if (result == -ECANCELED) /* the hub closes */
        return;
    if (result < 0) /* c-ares is to find out what it is */
        result = GCORE_READ | GCORE_WRITE;
    before = wake(wire);
    ares_process_fd(wire->channel,
                    result & GCORE_READ ? fd : ARES_SOCKET_BAD,
                    result & GCORE_WRITE ? fd : ARES_SOCKET_BAD);
    leave(wire, before);
}

static struct gcore__socket *find_socket(gcore__wire *wire, int fd)
{
    for (gcore__link *link = wire->sockets.next; link != &wire->sockets;
         link = link->next) {
        struct gcore__socket *socket = GCORE__OF(struct gcore__socket, link,
                                                 link);

        if (socket->fd == fd)
            return socket;
    }
    return NULL;
}

static int add_socket(gcore__wire *wire, int fd, unsigned events,
                      struct gcore__socket **out)
{
    struct gcore__socket *socket = gcore__alloc(sizeof *socket);
    int error;

    if (!socket)
        return -ENOMEM;
    error = gcore_io_new(wire->resolver->hub, fd, events, &socket->watch);
    if (error < 0) {
        gcore__free(socket);
        return error;
    }
    gcore_watch_set_keepalive(socket->watch, 0);
    socket->wire = wire;
    socket->fd = fd;
    gcore__list_append(&wire->sockets, &socket->link);
    *out = socket;
    return 0;
}

static void free_socket(struct gcore__socket *socket)
{
    gcore_watch_stop(socket->watch);
    gcore_watch_unref(socket->watch);
    gcore__list_remove(&socket->link);
    gcore__free(socket);
}

static int watch_socket(gcore__wire *wire, int fd, unsigned events)
{
    struct gcore__socket *socket = find_socket(wire, fd);
    int error;

    if (!socket) {
        error = add_socket(wire, fd, events, &socket);
    } else {
        gcore_watch_stop(socket->watch);
        error = gcore_io_set(socket->watch, fd, events);
    }
    if (error < 0)
        return error;
    return gcore_watch_start(socket->watch, 0, GCORE_FOREVER, ready, socket);
}

/* c-ares wants to know of a socket; nothing when it is about to close it. */
static void socket_changed(void *arg, ares_socket_t fd, int readable,
                           int writable)
{
    gcore__wire *wire = arg;
    struct gcore__socket *socket;
    unsigned events = (readable ? GCORE_READ : 0u) |
                      (writable ? GCORE_WRITE : 0u);
    int error;

    if (events != 0) {
        error = watch_socket(wire, fd, events);
        if (error < 0)
            wire->error = error;
        return;
    }
    socket = find_socket(wire, fd);
    if (!socket)
        return;
    free_socket(socket);
    gcore_hub_forget_fd(wire->resolver->hub, fd, -EBADF);
}

/* The channel */

static int flags_of(const gcore_resolver *resolver)
{
    static const unsigned own = GCORE_RESOLVER_NOEDNS | GCORE_RESOLVER_NOENV |
                                GCORE_RESOLVER_CACHE;
    unsigned flags = resolver->options.flags;
    int all = (int)(flags & ~own) | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
              ARES_FLAG_STAYOPEN;

    if (!(flags & GCORE_RESOLVER_NOEDNS))
        all |= ARES_FLAG_EDNS;
    if (resolver->config->use_tcp)
        all |= ARES_FLAG_USEVC;
    return all;
}

static int milliseconds(int64_t ns)
{
    int64_t ms = (ns + 999999) / 1000000;

    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int open_channel(gcore__wire *wire)
{
    const gcore_resolver *resolver = wire->resolver;
    const gcore__config *config = resolver->config;
    char lookups[] = "b";
    char nothing[] = "/dev/null";
    struct ares_options options = {
        .flags = flags_of(resolver),
        .timeout = milliseconds(config->timeout),
        .tries = config->tries,
        .ndots = 0,
        .socket_receive_buffer_size = (int)resolver->options.receive_buffer,
        .lookups = lookups,
        .sock_state_cb = socket_changed,
        .sock_state_cb_data = wire,
        .ednspsz = (int)resolver->options.edns_size,
        .resolvconf_path = nothing,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_NDOTS | ARES_OPT_SOCK_RCVBUF | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ |
               ARES_OPT_RESOLVCONF | ARES_OPT_DOMAINS |
               (config->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
    int status;

#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* of no seconds: the resolver has its own */
#endif
    status = ares_init_options(&wire->channel, &options, mask);
    if (status == ARES_SUCCESS)
        return 0;
    return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

static int set_servers(gcore__wire *wire)
{
    const gcore__config *config = wire->resolver->config;
    struct ares_addr_port_node nodes[GCORE__SERVERS];

    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < config->server_count; i++) {
        const gcore__server *server = &config->servers[i];

        nodes[i].family = server->family;
        memcpy(&nodes[i].addr, server->bytes,
               server->family == AF_INET ? 4 : 16);
        nodes[i].udp_port = server->udp_port;
        nodes[i].tcp_port = server->tcp_port;
        nodes[i].next = i + 1 < config->server_count ? &nodes[i + 1] : NULL;
    }
    return ares_set_servers_ports(wire->channel, nodes) == ARES_SUCCESS
               ? 0
               : -ENOMEM;
}

static int set_local(gcore__wire *wire)
{
    const gcore_resolver_options *options = &wire->resolver->options;
    gcore_dns_address address;
    struct in_addr address4;

    if (options->local_device)
        ares_set_local_dev(wire->channel, options->local_device);
    if (!options->local_ip)
        return 0;
    if (gcore__address_parse(options->local_ip, &address) < 0)
        return -EINVAL;
    memcpy(&address4, address.bytes, sizeof address4);
    if (address.family == AF_INET)
        ares_set_local_ip4(wire->channel, ntohl(address4.s_addr));
    else
        ares_set_local_ip6(wire->channel, address.bytes);
    return 0;
}

static int open_wire(gcore__wire *wire)
{
    gcore__wire *before = caller;
    int error = gcore_timer_new(wire->resolver->hub, &wire->timer);

    if (error < 0)
        return error;
    gcore_watch_set_keepalive(wire->timer, 0);
    caller = wire;
    error = open_channel(wire);
    if (error == 0)
        error = set_servers(wire);
    if (error == 0)
        error = set_local(wire);
    caller = before;
    return error;
}

int gcore__wire_new(gcore_resolver *resolver, gcore__wire **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    gcore__wire *wire;
    int error;

    pthread_once(&once, init_library);
    if (library_status != ARES_SUCCESS)
        return -ENOMEM;
    wire = gcore__alloc(sizeof *wire);
    if (!wire)
        return -ENOMEM;
    wire->resolver = resolver;
    wire->born = resolver->now;
    wire->timeout = resolver->config->timeout;
    gcore__list_init(&wire->sockets);
    gcore__list_init(&wire->questions);
    gcore__list_append(&resolver->wires, &wire->link);
    error = open_wire(wire);
    if (error < 0) {
        gcore__wire_free(wire);
        return error;
    }
    *out = wire;
    return 0;
}

gcore__wire *gcore__wire_of(gcore__link *link)
{
    return GCORE__OF(gcore__wire, link, link);
}

/* The answer's reference goes with it. */
static void answered(gcore__question *question, int error,
                     gcore__answer *answer)
{
    gcore__wire *wire = question->wire;

    if (error == -ECANCELED && wire->error < 0)
        error = wire->error;
    wire->asked--;
    gcore__list_remove(&question->link);
    gcore__question_answered(question, answer ? 0 : error, answer);
}

void gcore__wire_free(gcore__wire *wire)
{
    gcore__wire *before = enter(wire); /* its questions must not free it */

    gcore__list_remove(&wire->link);
    if (wire->channel)
        ares_destroy(wire->channel);
    while (!gcore__list_empty(&wire->questions)) /* c-ares lost them */
        answered(GCORE__OF(gcore__question, link, wire->questions.next),
                 -ECANCELED, NULL);
    while (!gcore__list_empty(&wire->sockets))
        free_socket(GCORE__OF(struct gcore__socket, link,
                              wire->sockets.next));
    if (wire->timer) {
        gcore_watch_stop(wire->timer);
        gcore_watch_unref(wire->timer);
    }
    caller = before;
    gcore__slab_free(&wire->slab);
    gcore__free(wire);
}

void gcore__wire_retire(gcore__wire *wire)
{
    gcore__wire *before;

    wire->retired = true;
    before = enter(wire);
    leave(wire, before);
}

bool gcore__wire_is_worn(const gcore__wire *wire)
{
    if (wire->resolver->options.flags & GCORE_RESOLVER_STAYOPEN)
        return false;
    return wire->count >= WORN_BY_QUESTIONS ||
           wire->resolver->now - wire->born > WORN_BY_TIME;
}

/* Asking */

static void read_answer(gcore__question *question, int status,
                        const unsigned char *bytes, size_t length)
{
    gcore__answer *answer = NULL;
    int error = bytes ? gcore__message_read(bytes, length, question->name,
                                            question->type, &answer)
                      : error_of(status);

    answered(question, error, answer);
}

#ifdef HAS_RECORDS

static void heard(void *arg, ares_status_t status, size_t timeouts,
                  const ares_dns_record_t *message)
{
    unsigned char *bytes = NULL;
    size_t length = 0;

    (void)timeouts;
    if (message && ares_dns_write(message, &bytes, &length) != ARES_SUCCESS)
        status = ARES_ENOMEM;
    read_answer(arg, (int)status, bytes, length);
    ares_free_string(bytes);
}

static void ask(gcore__question *question)
{
    ares_query_dnsrec(question->wire->channel, question->name, ARES_CLASS_IN,
                      (ares_dns_rec_type_t)question->type, heard, question,
                      NULL);
}

#else

/* The question is written here: c-ares takes several times as long, and its
 * numbers can be guessed. */

/* Returns 0, or an error. */
static int next_id(gcore__wire *wire, uint16_t *id)
{
    if (wire->ids_left == 0) {
        if (getrandom(wire->ids, sizeof wire->ids, 0) < 0)
            return -errno;
        wire->ids_left = IDS;
    }
    *id = wire->ids[--wire->ids_left];
    return 0;
}

/* What is below "onion" is not DNS's (RFC 7686). */
static bool is_onion(const char *name)
{
    static const char onion[] = ".onion";
    size_t length = gcore__name_length(name);
    size_t tail = sizeof onion - 1;

    return length >= tail &&
           gcore__text_equal(name + length - tail, onion, tail);
}

static void heard(void *arg, int status, int timeouts, unsigned char *bytes,
                  int length);

static void ask(gcore__question *question)
{
    gcore__wire *wire = question->wire;
    const gcore_resolver_options *options = &wire->resolver->options;
    uint8_t message[GCORE__QUESTION_ROOM];
    uint16_t id = 0;
    int error = next_id(wire, &id);
    size_t length;

    question->plain = wire->plain || options->flags & GCORE_RESOLVER_NOEDNS;
    length = gcore__message_write(
        message, id, !(options->flags & GCORE_RESOLVER_NORECURSE),
        question->name, question->type,
        question->plain ? 0 : options->edns_size);
    if (error == 0 && (length == 0 || is_onion(question->name)))
        error = -GCORE_EAI_NONAME;
    if (error < 0)
        answered(question, error, NULL);
    else
        ares_send(wire->channel, message, (int)length, heard, question);
}

/* Whether the server could not read the question. */
static bool is_unread(const unsigned char *bytes, int length)
{
    return length > 3 && (bytes[3] & 0xf) == 1;
}

static void heard(void *arg, int status, int timeouts, unsigned char *bytes,
                  int length)
{
    gcore__question *question = arg;

    (void)timeouts;
    if (bytes && is_unread(bytes, length) && !question->plain) {
        question->wire->plain = true;
        ask(question);
        return;
    }
    read_answer(question, status, bytes, (size_t)length);
}

#endif

void gcore__wire_ask(gcore__wire *wire, gcore__question *question)
{
    gcore__wire *before;

    question->wire = wire;
    gcore__list_append(&wire->questions, &question->link);
    wire->asked++;
    wire->count++;
    before = enter(wire);
    ask(question);
    leave(wire, before);
}
