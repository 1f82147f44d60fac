/*
 * Which address to try first (RFC 6724, section 6). The source address that
 * the kernel would take is found by connecting a datagram socket, which sends
 * nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns.h"

#define MOST 64 /* addresses that are looked at; the rest stays behind */

struct candidate {
    gcore_dns_address address;
    uint8_t bytes[16];  /* of the address, IPv4 mapped */
    uint8_t source[16]; /* likewise */
    bool usable;
};

struct policy {
    uint8_t prefix[16];
    int length; /* bits */
    int precedence;
    int label;
};

/* The longest prefixes first. */
static const struct policy policies[] = {
    {{[15] = 1}, 128, 50, 0},                    /* ::1 */
    {{[10] = 0xff, [11] = 0xff}, 96, 35, 4},     /* IPv4 */
    {{0}, 96, 1, 3},                             /* IPv4-compatible */
    {{0x20, 0x01}, 32, 5, 5},                    /* Teredo */
    {{0x20, 0x02}, 16, 30, 2},                   /* 6to4 */
    {{0x3f, 0xfe}, 16, 1, 12},                   /* 6bone */
    {{0xfe, 0xc0}, 10, 1, 11},                   /* site-local */
    {{0xfc}, 7, 3, 13},                          /* unique local */
    {{0}, 0, 40, 1},                             /* the rest */
};

static int common_bits(const uint8_t a[16], const uint8_t b[16])
{
    int bits = 0;

    while (bits < 128 && a[bits / 8] == b[bits / 8])
        bits += 8;
    if (bits == 128)
        return bits;
    for (uint8_t differ = a[bits / 8] ^ b[bits / 8]; !(differ & 0x80);
         differ = (uint8_t)(differ << 1))
        bits++;
    return bits;
}

static const struct policy *policy_of(const uint8_t bytes[16])
{
    const struct policy *policy = policies;

    while (common_bits(policy->prefix, bytes) < policy->length)
        policy++;
    return policy;
}

static int scope_of(const uint8_t bytes[16])
{
    enum { LINK = 2, SITE = 5, GLOBAL = 14 };
    const uint8_t *v4 = bytes + 12;

    if (policy_of(bytes)->label == 4)
        return v4[0] == 127 || (v4[0] == 169 && v4[1] == 254) ? LINK : GLOBAL;
    if (bytes[0] == 0xff)
        return bytes[1] & 0xf;
    if (policy_of(bytes)->label == 0 ||
        (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80))
        return LINK;
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0)
        return SITE;
    return GLOBAL;
}

static void as_v6(const gcore_dns_address *address, uint8_t out[16])
{
    gcore_dns_address mapped = *address;

    if (mapped.family == AF_INET)
        gcore__address_map(&mapped);
    memcpy(out, mapped.bytes, 16);
}

static void find_source(struct candidate *candidate)
{
    struct sockaddr_storage storage;
    struct sockaddr *name = (struct sockaddr *)&storage;
    gcore_dns_address target = candidate->address;
    gcore_dns_address source;
    socklen_t length;
    int fd = socket(target.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    0);

    if (fd < 0)
        return;
    target.port = 53;
    length = (socklen_t)gcore_dns_to_sockaddr(&target, name, sizeof storage);
    if (connect(fd, name, length) == 0) {
        length = sizeof storage;
        if (getsockname(fd, name, &length) == 0 &&
            gcore_dns_from_sockaddr(name, length, &source) == 0) {
            as_v6(&source, candidate->source);
            candidate->usable = true;
        }
    }
    close(fd);
}

/* Rules 1 to 10; those about home addresses and such do not apply. Above 0
 * when `a` is the better one. */
static int compare(const struct candidate *a, const struct candidate *b)
{
    const struct policy *policy_a = policy_of(a->bytes);
    const struct policy *policy_b = policy_of(b->bytes);
    int scope_a = scope_of(a->bytes);
    int scope_b = scope_of(b->bytes);
    int difference;

    if (a->usable != b->usable)
        return a->usable - b->usable;
    if (a->usable) {
        difference = (scope_a == scope_of(a->source)) -
                     (scope_b == scope_of(b->source));
        if (difference != 0)
            return difference;
        difference = (policy_a->label == policy_of(a->source)->label) -
                     (policy_b->label == policy_of(b->source)->label);
        if (difference != 0)
            return difference;
    }
    difference = policy_a->precedence - policy_b->precedence;
    if (difference != 0)
        return difference;
    if (scope_a != scope_b)
        return scope_b - scope_a;
    if (a->usable && a->address.family == AF_INET6 &&
        b->address.family == AF_INET6)
        return common_bits(a->bytes, a->source) -
               common_bits(b->bytes, b->source);
    return 0;
}

/* Keeps the order of equals. */
static void insert(struct candidate *candidates, size_t count,
                   const struct candidate *one)
{
    while (count > 0 && compare(one, &candidates[count - 1]) > 0) {
        candidates[count] = candidates[count - 1];
        count--;
    }
    candidates[count] = *one;
}

void gcore__sort(gcore_dns_address *addresses, size_t count)
{
    struct candidate *candidates;

    if (count > MOST)
        count = MOST;
    candidates = gcore__alloc(count * sizeof *candidates);
    if (!candidates)
        return; /* any order will do */
    for (size_t i = 0; i < count; i++) {
        struct candidate one = {.address = addresses[i]};

        as_v6(&addresses[i], one.bytes);
        find_source(&one);
        insert(candidates, i, &one);
    }
    for (size_t i = 0; i < count; i++)
        addresses[i] = candidates[i].address;
    gcore__free(candidates);
}
