/*
 * gcore/dns.h: names, resolved on a hub without a thread.
 *
 * A resolver belongs to one hub; each hub that resolves has its own. What
 * libc's getaddrinfo and its kin answer, it answers: literals, the hosts
 * file, the order in nsswitch.conf, the search list, service names, flags.
 * Names that are not found locally are asked of the servers in resolv.conf,
 * or of those it was given. gcore_dns_query asks for any type of record.
 *
 * A lookup (gcore_dns_...) has three ways to end, told by what the call
 * returns:
 *   1         it is over: the answer is in *out, `done` is never called.
 *             So are literals, hosts-file names and cached answers.
 *   0         it goes on: done(arg, result) is told once, result being 0 or
 *             a negative error. The answer is in *out then.
 *   negative  it failed at once; *out is untouched.
 * Besides -errno, the errors are -GCORE_EAI_NONAME and the like, one for each
 * of getaddrinfo's; gcore_dns_eai and gcore_dns_h_errno translate. A deadline
 * that passes is -ETIMEDOUT, a server that does not answer -GCORE_EAI_AGAIN.
 *
 * The answer belongs to the lookup and lives as long as a reference to it.
 *
 * All functions here belong to the hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_DNS_H
#define GCORE_DNS_H

#include <gcore/base.h>
#include <gcore/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

typedef struct gcore_resolver gcore_resolver;
typedef struct gcore_lookup gcore_lookup;

/* gcore_resolver_options.flags; the numbers are c-ares's. */
#define GCORE_RESOLVER_USETCP 0x1      /* ask over TCP only */
#define GCORE_RESOLVER_PRIMARY 0x2     /* ask the first server only */
#define GCORE_RESOLVER_IGNTRUNC 0x4    /* take truncated answers as they are */
#define GCORE_RESOLVER_NORECURSE 0x8   /* do not ask for recursion */
#define GCORE_RESOLVER_STAYOPEN 0x10   /* keep sockets open when idle */
#define GCORE_RESOLVER_NOSEARCH 0x20   /* no search list */
#define GCORE_RESOLVER_NOCHECKRESP 0x80 /* take SERVFAIL, NOTIMP and REFUSED
                                           for an answer, ask no other */
#define GCORE_RESOLVER_NOEDNS 0x10000  /* no EDNS: answers of 512 bytes */
#define GCORE_RESOLVER_NOENV 0x20000   /* no LOCALDOMAIN, no RES_OPTIONS */
#define GCORE_RESOLVER_CACHE 0x40000   /* keep answers for their TTL */

/*
 * What a resolver should be; zero in a member means the default, which is
 * what resolv.conf says where it can say it. Read during gcore_resolver_new
 * only. Since 0.1.
 *   size         sizeof(gcore_resolver_options)
 *   flags        a sum of GCORE_RESOLVER_ bits
 *   servers      addresses, separated by commas or blanks, each with a port
 *                if need be: "192.0.2.1 192.0.2.2:5353 [2001:db8::1]:5353"
 *   domains      the search list, separated by commas or blanks; "" for none
 *   lookups      'f' the hosts file, 'b' DNS, in the order wanted; NULL: as
 *                nsswitch.conf says
 *   hosts_path   the hosts file ("/etc/hosts")
 *   resolv_path  resolv.conf ("/etc/resolv.conf")
 *   nsswitch_path   ("/etc/nsswitch.conf")
 *   local_ip     the address to ask from
 *   local_device the network device to ask through
 *   timeout      nanoseconds to wait for a server, at first (5 s)
 *   recheck      how often, in nanoseconds, to look whether a file has
 *                changed (0.1 s); 1: at each lookup
 *   cache_ttl    the longest an answer is kept, in nanoseconds (one day)
 *   negative_ttl the longest that there is none is kept (15 minutes)
 *   tries        how often each server is asked (2)
 *   ndots        a name with so many dots is tried as it is first (1);
 *                negative: 0
 *   rotate       1: spread over the servers; -1: do not
 *   udp_port, tcp_port   of servers given without (53)
 *   in_flight    the most questions on the wire at a time (256); others
 *                wait in a queue
 *   cache_size   the most answers kept (10,000)
 *   cache_bytes  the most memory for them, in bytes (32 MiB)
 *   receive_buffer   bytes of the sockets' receive buffer (1 MiB)
 *   edns_size    the longest answer by UDP to ask for, in bytes (1232)
 */
typedef struct gcore_resolver_options {
    size_t size;
    unsigned flags;
    const char *servers;
    const char *domains;
    const char *lookups;
    const char *hosts_path;
    const char *resolv_path;
    const char *nsswitch_path;
    const char *local_ip;
    const char *local_device;
    int64_t timeout;
    int64_t recheck;
    int64_t cache_ttl;
    int64_t negative_ttl;
    int32_t tries;
    int32_t ndots;
    int32_t rotate;
    uint16_t udp_port;
    uint16_t tcp_port;
    uint32_t in_flight;
    uint32_t cache_size;
    uint32_t receive_buffer;
    uint32_t edns_size;
    uint64_t cache_bytes;
} gcore_resolver_options;

/*
 * What a resolver has done since it was made. Since 0.1.
 *   size       sizeof(gcore_resolver_stats), set by the caller
 *   lookups    lookups made
 *   at_once    of these, the ones that were over at once
 *   questions  questions put on the wire, repetitions not counted
 *   shared     questions that were being asked already
 *   hits       answers found in the cache
 *   answers    questions that were answered, also by "no such name"
 *   failures   questions that ended without an answer
 *   pending    lookups going on at the moment
 *   in_flight  questions on the wire at the moment, also ones that nobody
 *              waits for any more
 *   queued     questions that wait for their turn at the moment
 *   cached     answers kept at the moment
 *   cached_bytes   of memory that they take
 */
typedef struct gcore_resolver_stats {
    size_t size;
    uint64_t lookups;
    uint64_t at_once;
    uint64_t questions;
    uint64_t shared;
    uint64_t hits;
    uint64_t answers;
    uint64_t failures;
    uint64_t pending;
    uint64_t in_flight;
    uint64_t queued;
    uint64_t cached;
    uint64_t cached_bytes;
} gcore_resolver_stats;

/*
 * Makes a resolver. It does not keep the hub going; a lookup that goes on
 * does.
 *   options  NULL for the defaults
 *   out      set to the resolver, one reference of the caller's; untouched
 *            on error
 * Returns 0; -EINVAL for a bad size, flag, address or number; -EMFILE,
 * -ENOMEM; -ESHUTDOWN when the hub is closed. Since 0.1.
 */
GCORE_API int gcore_resolver_new(gcore_hub *hub,
                                 const gcore_resolver_options *options,
                                 gcore_resolver **out);

/* Adds a reference and returns the resolver. Since 0.1. */
GCORE_API gcore_resolver *gcore_resolver_ref(gcore_resolver *resolver);

/* Drops a reference (NULL is ignored); the last one closes the resolver.
 * Since 0.1. */
GCORE_API void gcore_resolver_unref(gcore_resolver *resolver);

/*
 * Closes the resolver and its sockets: lookups that go on complete with
 * -ECANCELED in the next turn. The hub's close does this, too.
 * Returns 0, also when it is closed already. Since 0.1.
 */
GCORE_API int gcore_resolver_close(gcore_resolver *resolver);

/* The hub; no reference is added. Since 0.1. */
GCORE_API gcore_hub *gcore_resolver_hub(gcore_resolver *resolver);

/*
 * Changes the servers for what is asked from now on.
 *   servers  as in the options; NULL: resolv.conf's
 * Returns 0; -EINVAL for what is no address, or none at all; -ENOMEM;
 * -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_resolver_set_servers(gcore_resolver *resolver,
                                         const char *servers);

/*
 * The servers, as gcore_resolver_set_servers takes them.
 * Returns text that lives until the next call on the resolver; NULL when it
 * is closed. Since 0.1.
 */
GCORE_API const char *gcore_resolver_servers(gcore_resolver *resolver);

/* Forgets all answers kept, and reads the files anew when next needed.
 * Returns 0. Since 0.1. */
GCORE_API int gcore_resolver_clear(gcore_resolver *resolver);

/*
 * Makes the resolver usable in a forked child: new sockets; lookups that
 * were going on are the parent's and complete with -ECANCELED in the child.
 * Every other call on the resolver, and the hub's poll, do this by
 * themselves in a child made by fork(). Returns 0. Since 0.1.
 */
GCORE_API int gcore_resolver_after_fork(gcore_resolver *resolver);

/*
 * Fills in the counters.
 *   out  its size member is set by the caller; only that much is written
 * Returns 0; -EINVAL when the size is not one of any version. Since 0.1.
 */
GCORE_API int gcore_resolver_counters(gcore_resolver *resolver,
                                      gcore_resolver_stats *out);

/*
 * An address. It is an element of arrays, whose stride is part of the
 * interface, so it has no size member and never grows. Since 0.1.
 *   family    AF_INET or AF_INET6
 *   socktype, protocol   of getaddrinfo's answer; else 0
 *   port      of getaddrinfo's answer, in host order; else 0
 *   length    of `bytes`: 4 or 16
 *   scope     of a link-local IPv6 address, else 0
 *   flow      IPv6 flow information, in host order
 *   ttl       seconds, as the server gave it; 0 when it is not from DNS
 *   bytes     the address, in network order
 *   text      the address as text, with its scope: "fe80::1%eth0"
 */
typedef struct gcore_dns_address {
    int32_t family;
    int32_t socktype;
    int32_t protocol;
    uint16_t port;
    uint16_t length;
    uint32_t scope;
    uint32_t flow;
    uint32_t ttl;
    uint8_t bytes[16];
    char text[64];
} gcore_dns_address;

/*
 * Turns an address into a socket address and back.
 *   address  family, bytes, port, scope and flow are used; set are all
 *   out      room for the socket address, whatever its family
 *   room     bytes there
 * Return the socket address's length, or 0; -EINVAL for another family or
 * too little room. Any thread. Since 0.1.
 */
GCORE_API int gcore_dns_to_sockaddr(const gcore_dns_address *address,
                                    struct sockaddr *out, size_t room);
GCORE_API int gcore_dns_from_sockaddr(const struct sockaddr *from,
                                      size_t length, gcore_dns_address *out);

/*
 * Reads an address: IPv4 in each form that inet_aton takes, IPv6 with or
 * without a scope.
 * Returns 0; -EINVAL when the text is no address. Any thread. Since 0.1.
 */
GCORE_API int gcore_dns_parse_address(const char *text,
                                      gcore_dns_address *out);

/* Types of records. */
#define GCORE_DNS_A 1
#define GCORE_DNS_NS 2
#define GCORE_DNS_CNAME 5
#define GCORE_DNS_SOA 6
#define GCORE_DNS_PTR 12
#define GCORE_DNS_MX 15
#define GCORE_DNS_TXT 16
#define GCORE_DNS_AAAA 28
#define GCORE_DNS_SRV 33
#define GCORE_DNS_NAPTR 35
#define GCORE_DNS_SVCB 64
#define GCORE_DNS_HTTPS 65
#define GCORE_DNS_ANY 255
#define GCORE_DNS_URI 256
#define GCORE_DNS_CAA 257

/* Some bytes of a record. `key` numbers an SVCB parameter, else it is 0.
 * An element of arrays, it never grows. Since 0.1. */
typedef struct gcore_dns_bytes {
    const uint8_t *data; /* a NUL follows the last one */
    uint32_t length;
    uint32_t key;
} gcore_dns_bytes;

/*
 * A record. What a type does not use is 0 or NULL. An element of arrays, it
 * never grows. Since 0.1.
 *   name      whose record it is; names are as in master files, without the
 *             last dot, unusual bytes as \DDD
 *   ttl       seconds, as the server gave it
 *   type      a GCORE_DNS_ number, or another
 *   target    A, AAAA: the address as text; CNAME, NS, PTR, MX, SRV, SVCB,
 *             HTTPS: a name; NAPTR: the replacement; SOA: the server; URI:
 *             the URI
 *   mailbox   SOA: the hostmaster, as a name
 *   priority  MX: preference; SRV, URI, SVCB, HTTPS: priority; NAPTR: order
 *   weight    SRV, URI: weight; NAPTR: preference
 *   port      SRV
 *   flags     CAA: flags, 128 being "critical"
 *   serial, refresh, retry, expire, minimum   SOA
 *   parts     TXT: the strings; CAA: tag, value; NAPTR: flags, services,
 *             regexp; SVCB, HTTPS: the parameters, by key; A, AAAA: the
 *             address in network order; other types: the data as it came
 */
typedef struct gcore_dns_record {
    const char *name;
    const char *target;
    const char *mailbox;
    const gcore_dns_bytes *parts;
    size_t part_count;
    uint32_t ttl;
    uint16_t type;
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    uint16_t flags;
    uint16_t reserved;
    uint32_t serial;
    uint32_t refresh;
    uint32_t retry;
    uint32_t expire;
    uint32_t minimum;
} gcore_dns_record;

/*
 * An answer; what a kind of lookup does not give is 0 or NULL. Since 0.1.
 *   size       sizeof(gcore_dns_result), set by the library
 *   name       getaddrinfo: the canonical name, if asked for; gethostbyname,
 *              gethostbyaddr: the canonical name; getnameinfo: the host;
 *              query: the name asked for at the end of its CNAMEs
 *   service    getnameinfo: the service
 *   aliases, alias_count      gethostbyname, gethostbyaddr: other names
 *   addresses, address_count  getaddrinfo, gethostbyname: best first;
 *              gethostbyaddr: the address asked for
 *   records, record_count     query: the records of the type asked for, and
 *              the CNAMEs that led there; as they came
 *   ttl        seconds the answer may still be kept; 0 when it is not from
 *              DNS
 */
typedef struct gcore_dns_result {
    size_t size;
    const char *name;
    const char *service;
    const char *const *aliases;
    size_t alias_count;
    const gcore_dns_address *addresses;
    size_t address_count;
    const gcore_dns_record *records;
    size_t record_count;
    uint32_t ttl;
} gcore_dns_result;

/*
 * getaddrinfo's hints; zero in a member means the default.
 *   size      sizeof(gcore_dns_hints)
 *   flags     a sum of <netdb.h>'s AI_ bits
 *   family    AF_INET, AF_INET6 or AF_UNSPEC
 *   socktype, protocol   as for socket()
 * Since 0.1.
 */
typedef struct gcore_dns_hints {
    size_t size;
    int32_t flags;
    int32_t family;
    int32_t socktype;
    int32_t protocol;
} gcore_dns_hints;

/*
 * Looks up the addresses of a host and the port of a service.
 *   node      a name or an address; NULL: this host
 *   service   a service's name or a number; NULL: port 0
 *   hints     NULL: any family, any type of socket, and libc's flags for
 *             that, AI_V4MAPPED and AI_ADDRCONFIG
 *   deadline  until when to wait; GCORE_NOW: take what is known here, or
 *             fail with -ETIMEDOUT
 *   done      told the result, or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 *   out       set to the lookup, one reference of the caller's
 * Returns 1, 0 or an error, see the top of this file: -EINVAL for a NULL
 * done or out; -GCORE_EAI_...; -ETIMEDOUT; -ENOMEM; -ESHUTDOWN when the
 * resolver is closed. Since 0.1.
 */
GCORE_API int gcore_dns_getaddrinfo(gcore_resolver *resolver,
                                    const char *node, const char *service,
                                    const gcore_dns_hints *hints,
                                    int64_t deadline, gcore_done_fn *done,
                                    void *arg, gcore_lookup **out);

/*
 * Looks up the name of an address and of a port.
 *   address  its family, bytes, port and scope count
 *   flags    a sum of <netdb.h>'s NI_ bits
 * The rest, and what is returned, is as with gcore_dns_getaddrinfo.
 * Since 0.1.
 */
GCORE_API int gcore_dns_getnameinfo(gcore_resolver *resolver,
                                    const gcore_dns_address *address,
                                    int flags, int64_t deadline,
                                    gcore_done_fn *done, void *arg,
                                    gcore_lookup **out);

/*
 * Looks up a host: its canonical name, aliases and addresses.
 *   name    a name or an address
 *   family  AF_INET or AF_INET6
 * The rest, and what is returned, is as with gcore_dns_getaddrinfo.
 * Since 0.1.
 */
GCORE_API int gcore_dns_gethostbyname(gcore_resolver *resolver,
                                      const char *name, int family,
                                      int64_t deadline, gcore_done_fn *done,
                                      void *arg, gcore_lookup **out);

/*
 * Looks up the host that has an address.
 *   address  its family, bytes and scope count
 * The rest, and what is returned, is as with gcore_dns_getaddrinfo.
 * Since 0.1.
 */
GCORE_API int gcore_dns_gethostbyaddr(gcore_resolver *resolver,
                                      const gcore_dns_address *address,
                                      int64_t deadline, gcore_done_fn *done,
                                      void *arg, gcore_lookup **out);

/*
 * Asks DNS for the records of a name, without the search list and the hosts
 * file.
 *   name  complete, with or without a last dot; what is not ASCII is UTF-8
 *   type  a GCORE_DNS_ number, or another
 * That there is no such name is -GCORE_EAI_NONAME, that it has no record of
 * that type -GCORE_EAI_NODATA. The rest, and what is returned, is as with
 * gcore_dns_getaddrinfo. Since 0.1.
 */
GCORE_API int gcore_dns_query(gcore_resolver *resolver, const char *name,
                              int type, int64_t deadline,
                              gcore_done_fn *done, void *arg,
                              gcore_lookup **out);

/*
 * Cancels a lookup: it is not told any more, also when it was over and only
 * waiting to be handed over. Others that wait for the same go on. No harm if
 * it has been told. Returns 0. Since 0.1.
 */
GCORE_API int gcore_lookup_cancel(gcore_lookup *lookup);

/*
 * The answer of a lookup that ended well.
 * Returns it, the lookup's; NULL before, and after an error. Since 0.1.
 */
GCORE_API const gcore_dns_result *gcore_lookup_result(gcore_lookup *lookup);

/* Adds a reference and returns the lookup. Since 0.1. */
GCORE_API gcore_lookup *gcore_lookup_ref(gcore_lookup *lookup);

/* Drops a reference (NULL is ignored); the lookup goes on, and tells.
 * Since 0.1. */
GCORE_API void gcore_lookup_unref(gcore_lookup *lookup);

/*
 * The EAI_ number of <netdb.h>, or the number for h_errno, that says the same
 * as an error of a lookup. What is no lookup's error is EAI_SYSTEM, and
 * NETDB_INTERNAL.
 *   error  as returned by a call or told; the sign does not matter
 * Any thread. Since 0.1.
 */
GCORE_API int gcore_dns_eai(int error);
GCORE_API int gcore_dns_h_errno(int error);

#ifdef __cplusplus
}
#endif

#endif
