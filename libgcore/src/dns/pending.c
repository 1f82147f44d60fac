/* SPDX-License-Identifier: MIT */
#include "gcore/dns.h"

int gcore_resolver_new(gcore_hub *hub, const gcore_resolver_options *options, gcore_resolver **out)
{
    (void)hub;
    (void)options;
    (void)out;
    return -ENOTSUP;
}

gcore_resolver *gcore_resolver_ref(gcore_resolver *resolver)
{
    (void)resolver;
    return NULL;
}

void gcore_resolver_unref(gcore_resolver *resolver)
{
    (void)resolver;
}

int gcore_resolver_close(gcore_resolver *resolver)
{
    (void)resolver;
    return -ENOTSUP;
}

gcore_hub *gcore_resolver_hub(gcore_resolver *resolver)
{
    (void)resolver;
    return NULL;
}

int gcore_resolver_set_servers(gcore_resolver *resolver, const char *servers)
{
    (void)resolver;
    (void)servers;
    return -ENOTSUP;
}

const char *gcore_resolver_servers(gcore_resolver *resolver)
{
    (void)resolver;
    return NULL;
}

int gcore_resolver_clear(gcore_resolver *resolver)
{
    (void)resolver;
    return -ENOTSUP;
}

int gcore_resolver_after_fork(gcore_resolver *resolver)
{
    (void)resolver;
    return -ENOTSUP;
}

int gcore_resolver_counters(gcore_resolver *resolver, gcore_resolver_stats *out)
{
    (void)resolver;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_to_sockaddr(const gcore_dns_address *address, struct sockaddr *out, size_t room)
{
    (void)address;
    (void)out;
    (void)room;
    return -ENOTSUP;
}

int gcore_dns_from_sockaddr(const struct sockaddr *from, size_t length, gcore_dns_address *out)
{
    (void)from;
    (void)length;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_parse_address(const char *text, gcore_dns_address *out)
{
    (void)text;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_getaddrinfo(gcore_resolver *resolver, const char *node, const char *service, const gcore_dns_hints *hints, int64_t deadline, gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    (void)resolver;
    (void)node;
    (void)service;
    (void)hints;
    (void)deadline;
    (void)done;
    (void)arg;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_getnameinfo(gcore_resolver *resolver, const gcore_dns_address *address, int flags, int64_t deadline, gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    (void)resolver;
    (void)address;
    (void)flags;
    (void)deadline;
    (void)done;
    (void)arg;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_gethostbyname(gcore_resolver *resolver, const char *name, int family, int64_t deadline, gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    (void)resolver;
    (void)name;
    (void)family;
    (void)deadline;
    (void)done;
    (void)arg;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_gethostbyaddr(gcore_resolver *resolver, const gcore_dns_address *address, int64_t deadline, gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    (void)resolver;
    (void)address;
    (void)deadline;
    (void)done;
    (void)arg;
    (void)out;
    return -ENOTSUP;
}

int gcore_dns_query(gcore_resolver *resolver, const char *name, int type, int64_t deadline, gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    (void)resolver;
    (void)name;
    (void)type;
    (void)deadline;
    (void)done;
    (void)arg;
    (void)out;
    return -ENOTSUP;
}

int gcore_lookup_cancel(gcore_lookup *lookup)
{
    (void)lookup;
    return -ENOTSUP;
}

const gcore_dns_result *gcore_lookup_result(gcore_lookup *lookup)
{
    (void)lookup;
    return NULL;
}

gcore_lookup *gcore_lookup_ref(gcore_lookup *lookup)
{
    (void)lookup;
    return NULL;
}

void gcore_lookup_unref(gcore_lookup *lookup)
{
    (void)lookup;
}

int gcore_dns_eai(int error)
{
    (void)error;
    return -ENOTSUP;
}

int gcore_dns_h_errno(int error)
{
    (void)error;
    return -ENOTSUP;
}
