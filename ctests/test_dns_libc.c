/*
 * Answers equal to libc's, for what needs no name server: literals, flags,
 * services, the system's hosts file. Where mounts may be made (in a
 * namespace of its own), a hosts file with awkward lines takes the place of
 * the system's, and both are asked for each of its names.
 */
#include "support.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static gcore_hub *hub;
static gcore_resolver *resolver;
static int wrong;

static void open_resolver(const char *lookups)
{
    gcore_resolver_options options = {.size = sizeof options,
                                      .lookups = lookups,
                                      .servers = "127.0.0.1:9",
                                      .recheck = 1};

    hub = hub_new();
    assert_ok(gcore_resolver_new(hub, &options, &resolver));
}

static void close_resolver(void)
{
    gcore_resolver_unref(resolver);
    hub_end(hub);
}

/* getaddrinfo, as text: one line an answer */

static void put(char *out, size_t room, const char *format, const char *text,
                int a, int b, int port, int scope)
{
    size_t length = strlen(out);

    snprintf(out + length, room - length, format, text, a, b, port, scope);
}

static void libc_says(const char *node, const char *service,
                      const struct addrinfo *hints, char *out, size_t room)
{
    struct addrinfo *list;
    int error = getaddrinfo(node, service, hints, &list);

    out[0] = '\0';
    if (error != 0) {
        snprintf(out, room, "error %d", error);
        return;
    }
    for (struct addrinfo *at = list; at; at = at->ai_next) {
        gcore_dns_address address;

        assert_ok(gcore_dns_from_sockaddr(at->ai_addr, at->ai_addrlen,
                                          &address));
        put(out, room, "%s %d %d %d %d\n", address.text, at->ai_socktype,
            at->ai_protocol, address.port, (int)address.scope);
    }
    if (list->ai_canonname)
        put(out, room, "(%s)", list->ai_canonname, 0, 0, 0, 0);
    freeaddrinfo(list);
}

static void we_say(const char *node, const char *service,
                   const struct addrinfo *given, char *out, size_t room)
{
    gcore_dns_hints hints = {.size = sizeof hints,
                             .flags = given->ai_flags,
                             .family = given->ai_family,
                             .socktype = given->ai_socktype,
                             .protocol = given->ai_protocol};
    const gcore_dns_result *result;
    gcore_lookup *lookup;
    int error = gcore_dns_getaddrinfo(resolver, node, service, &hints,
                                      GCORE_NOW, GCORE_COMPLETE, NULL,
                                      &lookup);

    out[0] = '\0';
    if (error < 0) {
        snprintf(out, room, "error %d", gcore_dns_eai(error));
        return;
    }
    result = gcore_lookup_result(lookup);
    for (size_t i = 0; i < result->address_count; i++)
        put(out, room, "%s %d %d %d %d\n", result->addresses[i].text,
            result->addresses[i].socktype, result->addresses[i].protocol,
            result->addresses[i].port, (int)result->addresses[i].scope);
    if (result->name)
        put(out, room, "(%s)", result->name, 0, 0, 0, 0);
    gcore_lookup_unref(lookup);
}

static void compare(const char *node, const char *service,
                    const struct addrinfo *hints)
{
    char ours[4096], libcs[4096];

    libc_says(node, service, hints, libcs, sizeof libcs);
    we_say(node, service, hints, ours, sizeof ours);
    if (strcmp(ours, libcs) == 0)
        return;
    wrong++;
    print_error("%s, %s, family %d, type %d, protocol %d, flags 0x%x\n"
                "libc:\n%s\nours:\n%s\n",
                node ? node : "NULL", service ? service : "NULL",
                hints->ai_family, hints->ai_socktype, hints->ai_protocol,
                (unsigned)hints->ai_flags, libcs, ours);
}

static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};

/* Many addresses, most of them with zeros and other landmarks. */
static void addresses_as_text(void **state)
{
    (void)state;
    srandom(1);
    for (int i = 0; i < 100000; i++) {
        struct sockaddr_in6 socket = {.sin6_family = AF_INET6};
        uint8_t *bytes = socket.sin6_addr.s6_addr;
        char expected[INET6_ADDRSTRLEN];
        gcore_dns_address address;
        long zeros = random(), shape = random() % 6;

        for (int k = 0; k < 16; k++)
            bytes[k] = zeros >> k / 2 & 1 ? 0 : (uint8_t)random();
        if (shape < 3)
            memset(bytes, 0, shape == 0 ? 12 : 10);
        if (shape == 1)
            bytes[10] = bytes[11] = 0xff;
        assert_ok(gcore_dns_from_sockaddr((struct sockaddr *)&socket,
                                          sizeof socket, &address));
        inet_ntop(AF_INET6, bytes, expected, sizeof expected);
        assert_string_equal(address.text, expected);
    }
}

static void literals(void **state)
{
    static const char *const nodes[] = {
        NULL, "127.0.0.1", "127.1", "0x7f.1", "017700000001", "2130706433",
        "1.2.3", "255.255.255.255", "0", "::1", "::", "fe80::1%lo",
        "fe80::1%1", "fe80::1%7", "2001:db8::1%3", "::ffff:1.2.3.4",
        "1:2:3:4:5:6:7:8", "*"};
    static const int flags[] = {
        AI_NUMERICHOST, AI_NUMERICHOST | AI_CANONNAME,
        AI_NUMERICHOST | AI_V4MAPPED, AI_NUMERICHOST | AI_V4MAPPED | AI_ALL,
        AI_NUMERICHOST | AI_PASSIVE, AI_NUMERICHOST | AI_NUMERICSERV};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        for (size_t f = 0; f < 3; f++)
            for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
                struct addrinfo hints = {.ai_family = families[f],
                                         .ai_flags = flags[k]};

                compare(nodes[i], "80", &hints);
                compare(nodes[i], NULL, &hints);
            }
    assert_int_equal(wrong, 0);
    close_resolver();
}

static void not_literals(void **state)
{
    static const char *const nodes[] = {"",        "1.2.3.4.5", "1.2.3.256",
                                        "08.1",    "1.2.3.4 ",  " 1.2.3.4",
                                        "::g",     ":::",       "fe80::1%no",
                                        "1.2.3.4%1", "0x"};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        for (size_t f = 0; f < 3; f++) {
            struct addrinfo hints = {.ai_family = families[f],
                                     .ai_flags = AI_NUMERICHOST};

            compare(nodes[i], "80", &hints);
        }
    assert_int_equal(wrong, 0);
    close_resolver();
}

static void services(void **state)
{
    static const char *const names[] = {
        NULL, "80", "0", "65535", "65536", "-1", "", " 7", "+9", "80x",
        "http", "domain", "ntp", "nosuchservice", "*", "HTTP"};
    static const int socktypes[] = {0, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW,
                                    SOCK_SEQPACKET, SOCK_DCCP, SOCK_RDM, 77};
    static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP,
                                    IPPROTO_ICMP, IPPROTO_UDPLITE};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t s = 0; s < sizeof socktypes / sizeof *socktypes; s++)
            for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
                struct addrinfo hints = {.ai_socktype = socktypes[s],
                                         .ai_protocol = protocols[p]};

                compare("127.0.0.1", names[i], &hints);
                hints.ai_flags = AI_NUMERICSERV;
                compare("127.0.0.1", names[i], &hints);
            }
    assert_int_equal(wrong, 0);
    close_resolver();
}

static void bad_hints(void **state)
{
    const struct addrinfo hints[] = {
        {.ai_flags = 0x10000}, {.ai_family = AF_UNIX}, {.ai_family = 999},
        {.ai_flags = AI_CANONNAME}};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        compare(i == 3 ? NULL : "127.0.0.1", "80", &hints[i]);
        compare(NULL, NULL, &hints[i]);
    }
    assert_int_equal(wrong, 0);
    close_resolver();
}

static void addrconfig(void **state)
{
    static const char *const nodes[] = {NULL, "127.0.0.1", "::1", "8.8.8.8"};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        for (size_t f = 0; f < 3; f++) {
            struct addrinfo hints = {.ai_family = families[f],
                                     .ai_flags = AI_ADDRCONFIG};

            compare(nodes[i], "80", &hints);
        }
    assert_int_equal(wrong, 0);
    close_resolver();
}

/* The hosts file */

static void put_names(char *out, size_t room, const char *name,
                      char *const *aliases, size_t count)
{
    snprintf(out, room, "%s:", name);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(out);

        snprintf(out + length, room - length, " %s", aliases[i]);
    }
}

static size_t count_of(char *const *list)
{
    size_t count = 0;

    while (list[count])
        count++;
    return count;
}

static void put_hostent(char *out, size_t room, const struct hostent *host)
{
    if (!host) {
        snprintf(out, room, "error %d", h_errno);
        return;
    }
    put_names(out, room, host->h_name, host->h_aliases,
              count_of(host->h_aliases));
    for (char **at = host->h_addr_list; *at; at++) {
        char text[INET6_ADDRSTRLEN];
        size_t length = strlen(out);

        inet_ntop(host->h_addrtype, *at, text, sizeof text);
        snprintf(out + length, room - length, " %s", text);
    }
}

static void put_result(char *out, size_t room, int error,
                       gcore_lookup *lookup)
{
    const gcore_dns_result *result;

    if (error < 0) {
        snprintf(out, room, "error %d", gcore_dns_h_errno(error));
        return;
    }
    result = gcore_lookup_result(lookup);
    put_names(out, room, result->name, (char *const *)result->aliases,
              result->alias_count);
    for (size_t i = 0; i < result->address_count; i++) {
        size_t length = strlen(out);

        snprintf(out + length, room - length, " %s",
                 result->addresses[i].text);
    }
    gcore_lookup_unref(lookup);
}

static void check_equal(const char *what, const char *name, const char *ours,
                        const char *libcs)
{
    if (strcmp(ours, libcs) == 0)
        return;
    wrong++;
    print_error("%s(%s)\nlibc: %s\nours: %s\n", what, name, libcs, ours);
}

static void compare_hosts(const char *name, int family)
{
    char ours[4096], libcs[4096];
    gcore_lookup *lookup = NULL;
    int error;

    put_hostent(libcs, sizeof libcs, gethostbyname2(name, family));
    error = gcore_dns_gethostbyname(resolver, name, family, GCORE_NOW,
                                    GCORE_COMPLETE, NULL, &lookup);
    put_result(ours, sizeof ours, error, lookup);
    check_equal(family == AF_INET ? "gethostbyname" : "gethostbyname, IPv6",
                name, ours, libcs);
}

static void compare_address(const char *text)
{
    gcore_dns_address address;
    char ours[4096], libcs[4096];
    gcore_lookup *lookup = NULL;
    int error;

    assert_ok(gcore_dns_parse_address(text, &address));
    put_hostent(libcs, sizeof libcs,
                gethostbyaddr(address.bytes, address.length, address.family));
    error = gcore_dns_gethostbyaddr(resolver, &address, GCORE_NOW,
                                    GCORE_COMPLETE, NULL, &lookup);
    put_result(ours, sizeof ours, error, lookup);
    check_equal("gethostbyaddr", text, ours, libcs);
}

static void compare_name(const char *name)
{
    for (size_t f = 0; f < 3; f++) {
        struct addrinfo hints = {.ai_family = families[f],
                                 .ai_socktype = SOCK_STREAM,
                                 .ai_flags = AI_CANONNAME};

        compare(name, NULL, &hints);
    }
    compare_hosts(name, AF_INET);
    compare_hosts(name, AF_INET6);
}

static const char awkward[] =
    "# a comment\n"
    "\n"
    "127.0.0.1\tlocalhost\n"
    "::1 localhost ip6-localhost\n"
    "  192.0.2.1   blank.test   # after\n"
    "192.0.2.2\t\ttabs.test\ttabs\n"
    "192.0.2.3 Capital.Test ALIAS.test\n"
    "192.0.2.4 many.test a.test b.test c.test\n"
    "192.0.2.5 many.test d.test\n"
    "2001:db8::4 many.test e.test\n"
    "192.0.2.4 many.test again.test\n"
    "2001:db8::6 six.test\n"
    "192.0.2.7 twice.test twice.test\n"
    "nonsense bad.test\n"
    "192.0.2.999 bad2.test\n"
    "0x7f.1 hex.test\n"
    "127.1 short.test\n"
    "fe80::1%lo scope.test\n"
    "::ffff:192.0.2.9 mapped.test\n"
    "::1 only-six-loopback.test\n"
    "127.0.0.1 only-four-loopback.test\n"
    "192.0.2.10 carriage.test\r\n"
    "192.0.2.11 hash#tag.test\n"
    "192.0.2.12 under_score.test -dash.test\n"
    "192.0.2.13 dotted.test.\n"
    "192.0.2.14 both.test\n"
    "2001:db8::14 both.test\n"
    "192.0.2.15 no-newline.test";

static const char *const names[] = {
    "localhost", "ip6-localhost", "blank.test", "tabs.test", "tabs",
    "capital.test", "CAPITAL.TEST", "alias.test", "many.test", "a.test",
    "e.test", "again.test", "six.test", "twice.test", "bad.test", "bad2.test",
    "hex.test", "short.test", "scope.test", "mapped.test",
    "only-six-loopback.test", "only-four-loopback.test", "carriage.test",
    "hash", "hash#tag.test", "under_score.test", "-dash.test", "dotted.test",
    "dotted.test.", "both.test", "no-newline.test", "none.test",
    "many.test."};

static const char *const texts[] = {
    "127.0.0.1", "::1", "192.0.2.1", "192.0.2.3", "192.0.2.4", "192.0.2.5",
    "2001:db8::4", "2001:db8::6", "192.0.2.7", "192.0.2.9",
    "::ffff:192.0.2.9", "::ffff:192.0.2.4", "fe80::1", "192.0.2.15"};

static void mount_text(const char *path, const char *text)
{
    char name[] = "/tmp/gcore-dns-XXXXXX";
    int fd = mkstemp(name);
    size_t length = strlen(text);

    CHILD_CHECK(fd >= 0);
    CHILD_CHECK(write(fd, text, length) == (ssize_t)length);
    close(fd);
    CHILD_CHECK(mount(name, path, NULL, MS_BIND, NULL) == 0);
    unlink(name);
}

static void compare_file(void *arg)
{
    (void)arg;
    CHILD_CHECK(unshare(CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mount_text("/etc/hosts", awkward);
    mount_text("/etc/nsswitch.conf", "hosts: files\nservices: files\n");
    open_resolver("f");
    wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        compare_name(names[i]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        compare_address(texts[i]);
    CHILD_CHECK(wrong == 0);
    close_resolver();
}

static bool may_mount(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(unshare(CLONE_NEWNS) != 0 ||
              mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0);
    return waitpid(child, &status, 0) == child && status == 0;
}

static void awkward_hosts(void **state)
{
    (void)state;
    if (!may_mount()) {
        print_message("mounts are not permitted here\n");
        skip();
    }
    in_child(compare_file, NULL);
}

static void own_hosts(void **state)
{
    (void)state;
    open_resolver("f");
    wrong = 0;
    compare_hosts("localhost", AF_INET);
    compare_address("127.0.0.1");
    assert_int_equal(wrong, 0);
    close_resolver();
}

/* getnameinfo */

static void compare_nameinfo(const char *text, int port, int flags)
{
    struct sockaddr_storage storage;
    gcore_dns_address address;
    char host[NI_MAXHOST], service[NI_MAXSERV];
    char ours[2048], libcs[2048];
    gcore_lookup *lookup = NULL;
    int error, length;

    assert_ok(gcore_dns_parse_address(text, &address));
    address.port = (uint16_t)port;
    length = gcore_dns_to_sockaddr(&address, (struct sockaddr *)&storage,
                                   sizeof storage);
    assert_true(length > 0);
    error = getnameinfo((struct sockaddr *)&storage, (socklen_t)length, host,
                        sizeof host, service, sizeof service, flags);
    if (error != 0)
        snprintf(libcs, sizeof libcs, "error %d", error);
    else
        snprintf(libcs, sizeof libcs, "%s %s", host, service);
    error = gcore_dns_getnameinfo(resolver, &address, flags, GCORE_NOW,
                                  GCORE_COMPLETE, NULL, &lookup);
    if (error < 0)
        snprintf(ours, sizeof ours, "error %d", gcore_dns_eai(error));
    else
        snprintf(ours, sizeof ours, "%s %s",
                 gcore_lookup_result(lookup)->name,
                 gcore_lookup_result(lookup)->service);
    gcore_lookup_unref(error < 0 ? NULL : lookup);
    check_equal("getnameinfo", text, ours, libcs);
}

static void nameinfo(void **state)
{
    static const char *const addresses[] = {
        "127.0.0.1", "1.2.3.4", "::1", "fe80::1%lo", "2001:db8::1",
        "::ffff:1.2.3.4"};
    static const int ports[] = {0, 80, 53, 514, 65000};
    static const int flags[] = {0, NI_NUMERICSERV, NI_DGRAM, NI_NAMEREQD};

    (void)state;
    open_resolver("fb");
    wrong = 0;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        for (size_t p = 0; p < sizeof ports / sizeof *ports; p++)
            for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
                compare_nameinfo(addresses[i], ports[p],
                                 NI_NUMERICHOST | flags[f]);
    assert_int_equal(wrong, 0);
    close_resolver();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses_as_text), TEST(literals),
        TEST(not_literals),  TEST(services),
        TEST(bad_hints), TEST(addrconfig),   TEST(own_hosts),
        TEST(nameinfo),  TEST(awkward_hosts),
    };

    return RUN(tests);
}
