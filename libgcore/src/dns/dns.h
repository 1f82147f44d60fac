/*
 * The inside of the resolver, shared by the files of this folder.
 *
 * A lookup is a small machine: it takes steps, each of which ends it, or
 * asks questions and waits. A question is a name and a type that is to be
 * asked of name servers; lookups that want the same share one. Questions go
 * through a queue onto a wire, which is c-ares; what comes back is an answer.
 * Answers, and the hosts made of them, never change and are shared by
 * reference between lookups and the cache.
 *
 *   addrinfo.c nameinfo.c  the calls, on top of
 *   lookup.c               the handle: telling, deadline, cancelling
 *   host.c reverse.c       names to addresses and back, source by source
 *   ask.c                  the search list; A and AAAA side by side
 *   question.c             sharing, queue, limit
 *   cache.c                answers kept
 *   ares.c                 the one file that knows c-ares
 *   answer.c message.c     answers; reading them from the wire's bytes
 *   hosts.c config.c       /etc/hosts; resolv.conf and nsswitch.conf
 *   name.c address.c service.c sort.c idna.c   small parts
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE__DNS_H
#define GCORE__DNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <gcore/dns.h>

#include "hub/hub.h"
#include "util/alloc.h"
#include "util/arena.h"
#include "util/list.h"
#include "util/table.h"

/* The longest name as text: 255 bytes, each as \DDD, and a NUL. */
#define GCORE__NAME_ROOM 1024

#define GCORE__NS INT64_C(1000000000)

/* Drops a reference; whether it was the last one. Who has the only one need
 * not ask the other threads. */
static inline bool gcore__reference_drop(atomic_int *references)
{
    return atomic_load_explicit(references, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

/* shared.c: objects that lie in an arena of their own and are freed with the
 * last reference, on any thread. */
typedef struct gcore__shared {
    gcore__arena arena;
    atomic_int refs;
    int64_t expires;
} gcore__shared;

/* A zeroed object of `bytes` that begins with a gcore__shared; or NULL. */
void *gcore__shared_new(size_t bytes);
void *gcore__shared_ref(void *shared);
void gcore__shared_unref(void *shared); /* NULL is ignored */

/* answer.c: what name servers said about a question. */
typedef struct gcore__answer {
    gcore__shared shared;
    int error; /* 0, -GCORE_EAI_NONAME, -GCORE_EAI_NODATA */
    uint32_t ttl;
    const char *name; /* at the end of the CNAMEs */
    gcore_dns_record *records;
    size_t count;
    size_t room;
} gcore__answer;

gcore__answer *gcore__answer_new(void);

/* The next record, to be filled in; NULL without memory. Moves the others. */
gcore_dns_record *gcore__answer_add(gcore__answer *answer);

/* All records are in: finds out what they say about the question. Returns
 * 0, -GCORE_EAI_FAIL for CNAMEs that go round. `name` lies in the answer;
 * `negative_ttl` is for what does not exist. */
int gcore__answer_settle(gcore__answer *answer, const char *name, int type,
                         uint32_t negative_ttl);

/* name.c */
static inline char gcore__lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
}

size_t gcore__name_length(const char *name); /* without a last dot */

/* Whether so many letters, or two names, are the same. */
bool gcore__text_equal(const char *a, const char *b, size_t length);
bool gcore__name_equal(const char *a, const char *b);

/* Whether it may be the name of a host. */
bool gcore__name_is_host(const char *name);

/* Within the resolver: -GCORE_EAI_AGAIN because the servers said that they
 * cannot or will not answer. */
#define GCORE__UNWILLING (-0x10000)

/* message.c */

/* A header, a name, type and class, and what EDNS adds. */
#define GCORE__QUESTION_ROOM (12 + 255 + 4 + 11)

/* Writes a question of class IN. `edns` is how large an answer may be that
 * comes by UDP, 0 leaves EDNS out. Returns the length; 0 when the name cannot
 * be asked for. */
size_t gcore__message_write(uint8_t out[GCORE__QUESTION_ROOM], uint16_t id,
                            bool recurse, const char *name, int type,
                            unsigned edns);

/* Reads a reply into a new answer. Returns 0; GCORE__UNWILLING;
 * -GCORE_EAI_FAIL for what is no reply to the question, and servers' other
 * errors; -ENOMEM. Any bytes are safe. */
int gcore__message_read(const uint8_t *bytes, size_t length, const char *name,
                        int type, gcore__answer **out);

/* A host: names and addresses. */
typedef struct gcore__host {
    gcore__shared shared;
    uint32_t ttl;
    int64_t sorted; /* when its addresses were put into order */
    const char *name;
    const char **aliases;
    size_t alias_count;
    gcore_dns_address *addresses;
    size_t count;
} gcore__host;

/* address.c */
/* Writes it and a NUL, at most INET6_ADDRSTRLEN; returns the length. */
size_t gcore__address_text(int family, const uint8_t *bytes, char *out);
/* Returns 0; -ENOENT for a scope that is not there; -EINVAL. */
int gcore__address_parse(const char *text, gcore_dns_address *out);
void gcore__address_set(gcore_dns_address *address, int family,
                        const void *bytes, uint32_t scope);
bool gcore__address_is_mapped(const gcore_dns_address *address);
void gcore__address_map(gcore_dns_address *address);
void gcore__address_unmap(gcore_dns_address *address);

/* file.c: configuration files. */
typedef struct gcore__file {
    const char *path;
    bool known;
    int64_t stamp[4]; /* what stat told of it */
} gcore__file;

/* Whether it has changed since the last time that this said so. */
bool gcore__file_changed(gcore__file *file);

/* Its contents and a NUL, to be freed; "" where there is no such file.
 * Returns 0, -ENOMEM. */
int gcore__file_read(const char *path, char **out);

/* Cuts the next line off `text`, without what follows a character of
 * `comments`; false at the end. */
bool gcore__file_line(char **text, const char *comments, char **line);

/* Cuts the next word off a line; NULL at its end. */
char *gcore__file_word(char **line);

/* hosts.c */
typedef struct gcore__hosts gcore__hosts;
int gcore__hosts_new(const char *path, gcore__hosts **out);
void gcore__hosts_free(gcore__hosts *hosts);

/* Set *out to a host of the file's, no reference; NULL where there is none.
 * `name` is in lower case; `address` is no IPv4 address in IPv6's form, but
 * may have been one: `family` is what it was. Return 0, -ENOMEM. */
int gcore__hosts_by_name(gcore__hosts *hosts, const char *name, int family,
                         gcore__host **out);
int gcore__hosts_by_address(gcore__hosts *hosts,
                            const gcore_dns_address *address, int family,
                            gcore__host **out);

/* config.c: what to ask and whom. */
#define GCORE__SERVERS 16
#define GCORE__DOMAINS 32

typedef struct gcore__server {
    int family;
    uint8_t bytes[16];
    uint16_t udp_port;
    uint16_t tcp_port;
} gcore__server;

typedef struct gcore__config {
    gcore__arena arena;
    gcore__server servers[GCORE__SERVERS];
    int server_count;
    const char *domains[GCORE__DOMAINS];
    int domain_count;
    int ndots;
    int tries;
    int64_t timeout;
    bool rotate;
    bool use_tcp;
    bool no_aaaa;
    char sources[4]; /* of 'f' and 'b' */
} gcore__config;

int gcore__config_new(const gcore_resolver_options *options,
                      gcore__config **out);
void gcore__config_free(gcore__config *config);

/* Returns how many there are, or -EINVAL. */
int gcore__servers_parse(const char *text, const gcore_resolver_options *given,
                         gcore__server *out);

/* cache.c */
typedef struct gcore__cache {
    gcore__table table;
    gcore__link used; /* least recently first */
    size_t size;      /* bytes of what is kept */
    size_t most;      /* entries */
    size_t most_bytes;
} gcore__cache;

/* What is looked for: 'h' a host and its family, 'q' a question's type. */
typedef struct gcore__key {
    size_t length;
    struct {
        uint8_t kind;
        uint8_t number[2];
        char name[GCORE__NAME_ROOM];
    } bytes;
} gcore__key;

/* The name goes in in lower case; false when it is too long. */
bool gcore__key_set(gcore__key *key, char kind, int number, const char *name);

int gcore__cache_init(gcore__cache *cache, size_t most, size_t most_bytes);
void gcore__cache_clear(gcore__cache *cache);
void gcore__cache_free(gcore__cache *cache);

/* NULL when there is none that is still good; no reference is added. */
void *gcore__cache_find(gcore__cache *cache, const gcore__key *key,
                        int64_t now);

/* Keeps a shared object, which is complete, until it expires, or the cache is
 * full; what alone would fill it is not kept. */
void gcore__cache_keep(gcore__cache *cache, const gcore__key *key,
                       void *object);

/* ares.c: the wire. */
typedef struct gcore__wire gcore__wire;

typedef struct gcore__question {
    gcore__node node;
    gcore__link link; /* in the queue, then the wire's; else of its own */
    gcore__link waits;
    gcore_resolver *resolver;
    gcore__wire *wire; /* NULL while it is in the queue */
    int type;
    bool plain; /* was asked without EDNS */
    size_t room; /* for its key */
    const char *name;
    char key[]; /* as a gcore__key */
} gcore__question;

/* Into resolver->wires. Returns 0, -EINVAL, -ENOMEM. */
int gcore__wire_new(gcore_resolver *resolver, gcore__wire **out);
gcore__wire *gcore__wire_of(gcore__link *link);

/* Ends all its questions with -ECANCELED. */
void gcore__wire_free(gcore__wire *wire);

/* It is freed when its last question has ended. */
void gcore__wire_retire(gcore__wire *wire);

/* Whether what is asked from now on should go by another one. */
bool gcore__wire_is_worn(const gcore__wire *wire);

/* Ends in gcore__question_answered, perhaps at once. */
void gcore__wire_ask(gcore__wire *wire, gcore__question *question);

/* question.c */
typedef struct gcore__wait {
    gcore__link link;
    gcore__question *question; /* NULL while it waits for none */
    gcore_lookup *lookup;
} gcore__wait;

/* Returns 1 with an answer, of which a reference is the caller's; 0 when
 * `wait` will be told by gcore__ask_answered; an error. */
int gcore__question_ask(gcore_lookup *lookup, const char *name, int type,
                        gcore__wait *wait, gcore__answer **out);
void gcore__question_leave(gcore__wait *wait);

/* The end of one: an error, or an answer, whose reference is taken. */
void gcore__question_answered(gcore__question *question, int error,
                              gcore__answer *answer);

/* Ends the ones that wait in the queue with -ECANCELED. */
void gcore__questions_drop(gcore_resolver *resolver);

/* Frees what is kept to be used again. */
void gcore__questions_trim(gcore_resolver *resolver);

/* ask.c: the part of a lookup that asks. */
typedef struct gcore__ask {
    const char *name; /* in the lookup's arena */
    int types[2];
    int count;
    bool search;
    bool busy;
    bool as_is;      /* has been tried as it is */
    bool is_as_is;   /* is just now */
    int place;       /* of the next candidate */
    int open;        /* questions asked and not answered */
    int error;       /* of the candidate */
    bool no_data;    /* some domain's errors */
    bool unwilling;
    int as_is_error; /* when it came first */
    int last_error;
    gcore__wait waits[2];
    gcore__answer *answers[2];
} gcore__ask;

/* Asks about ask.name. Returns 1 with ask.answers, some of them NULL; 0 when
 * it goes on, then the lookup's step is called in the end; an error. */
int gcore__ask_start(gcore_lookup *lookup);
void gcore__ask_answered(gcore__wait *wait, int error, gcore__answer *answer);
void gcore__ask_leave(gcore_lookup *lookup);

/* How long something is still good, in seconds. */
uint32_t gcore__seconds_left(const gcore_lookup *lookup, int64_t expires);

/* lookup.c */
enum gcore__lookup_state { GCORE__STARTING, GCORE__PENDING, GCORE__READY,
                           GCORE__OVER };

typedef struct gcore__endpoint {
    int protocol;
    uint16_t socktype;
    uint16_t port;
} gcore__endpoint;

#define GCORE__ENDPOINTS 8

struct gcore_lookup {
    gcore__ready ready;
    gcore__timer timer;
    gcore__link link;
    atomic_int refs;
    enum gcore__lookup_state state;
    bool timed;
    bool local; /* may not wait */
    gcore_resolver *resolver;
    int64_t deadline;
    gcore_dns_result result;
    gcore__arena arena; /* it lies there itself, with its result */
    gcore__host *host;  /* what was found */
    gcore__answer *answer;

    /* The next step, after asking ended with 1 or an error: 1 is the end,
     * 0 goes on, an error is the end too. */
    int (*step)(gcore_lookup *lookup, int result);
    /* Makes the result of `host`; 1, or an error. */
    int (*finish)(gcore_lookup *lookup);
    /* reverse.c: what becomes of an error; may be NULL. 1, or an error. */
    int (*failed)(gcore_lookup *lookup, int error);

    int source; /* place in config->sources */
    int family; /* of the host wanted */
    int wanted; /* addrinfo.c: of the result's addresses */
    int failure;
    int flags;  /* AI_ or NI_ */
    gcore__endpoint endpoints[GCORE__ENDPOINTS];
    int endpoint_count;
    uint16_t port; /* nameinfo.c */
    gcore_dns_address *address; /* to be looked up */
    gcore__ask ask;
};

/* Common to all calls: checks, and makes the lookup. */
int gcore__lookup_new(gcore_resolver *resolver, int64_t deadline,
                      gcore_done_fn *done, void *arg, gcore_lookup **out);

/* The first step has returned `result`; the call returns this. Takes the
 * lookup. */
int gcore__lookup_started(gcore_lookup *lookup, int result,
                          gcore_lookup **out);

/* Asking has ended, out of a question's end. */
void gcore__lookup_resume(gcore_lookup *lookup, int result);

/* Ends it: to be told `result`. */
void gcore__lookup_complete(gcore_lookup *lookup, int result);

/* host.c: finds lookup->host by a name. Returns as a step. */
int gcore__host_find(gcore_lookup *lookup, const char *name, int family);

/* A host of one name and address, without aliases. */
gcore__host *gcore__host_of(const char *name,
                            const gcore_dns_address *address);

/* reverse.c: finds lookup->host by an address. Returns as a step. */
int gcore__reverse_find(gcore_lookup *lookup,
                        const gcore_dns_address *address);

/* sort.c: puts the best address first (RFC 6724). */
void gcore__sort(gcore_dns_address *addresses, size_t count);

/* service.c: the kinds of sockets and ports that a service means. Returns 0
 * or an error. */
int gcore__service_find(gcore_lookup *lookup, const char *service,
                        const gcore_dns_hints *hints);

/* The service of a port, "" where it has no name. */
void gcore__service_name(int port, bool datagram, char *out, size_t room);

/* idna.c: return 0; -GCORE_EAI_IDN; -ENOMEM. What is converted lies in the
 * arena. */
int gcore__idna_encode(const char *name, gcore__arena *arena,
                       const char **out);
int gcore__idna_decode(const char *name, gcore__arena *arena,
                       const char **out);

/* resolver.c */
struct gcore_resolver {
    gcore_hub *hub;
    int refs;          /* owners */
    atomic_int holds;  /* and lookups: for its memory */
    bool closed;
    unsigned generation;
    gcore__arena arena; /* the options' texts */
    gcore_resolver_options options;
    gcore_watch *fork;

    int64_t now;    /* as of the last call, or the last answer's coming */
    int64_t looked; /* at the files, last */
    gcore__file resolv_file;
    gcore__file nsswitch_file;
    gcore__config *config;
    gcore__file hosts_file;
    gcore__hosts *hosts;
    unsigned reachable;   /* addrinfo.c: families of this host's addresses */
    int64_t reachable_at; /* when that was found out */
    char *server_text;

    bool caching;
    gcore__cache cache;
    gcore__wire *wire;   /* NULL until needed */
    gcore__link wires;   /* all of them, with retired ones */
    gcore__table questions;
    gcore__link queue;   /* of questions not yet on a wire */
    gcore__link spare;   /* questions that are over, to be used again */
    int spare_count;
    bool pumping;
    gcore__link lookups; /* pending ones */
    gcore_resolver_stats stats;
};

void gcore__resolver_hold(gcore_resolver *resolver);
void gcore__resolver_drop(gcore_resolver *resolver);

/* Before anything is done with it: what a fork or changed files call for.
 * Returns 0; -ENOMEM; -ESHUTDOWN. */
int gcore__resolver_enter(gcore_resolver *resolver);

#endif
