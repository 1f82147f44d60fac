/* Asking name servers: records, hosts, the search list, faults. */
#include "support.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns_mock.h"

static struct {
    gcore_hub *hub;
    dns_mock *mock;
    gcore_resolver *resolver;
} it;

static gcore_resolver_options options(void)
{
    return (gcore_resolver_options){
        .size = sizeof(gcore_resolver_options),
        .servers = mock_address(it.mock),
        .domains = "",
        .lookups = "b",
        .timeout = SECOND, /* for slow machines */
        .tries = 3,
        .flags = GCORE_RESOLVER_NOENV,
    };
}

static void open_with(mock_rule *rules, gcore_resolver_options *given)
{
    gcore_resolver_options chosen;

    it.hub = hub_new();
    it.mock = mock_start(rules);
    chosen = given ? *given : options();
    chosen.servers = mock_address(it.mock);
    assert_ok(gcore_resolver_new(it.hub, &chosen, &it.resolver));
}

static void begin(mock_rule *rules)
{
    open_with(rules, NULL);
}

static void finish(void)
{
    gcore_resolver_unref(it.resolver);
    hub_end(it.hub);
    mock_stop(it.mock);
}

/* What a call, and then the hub, says in the end. */
static int outcome(int result, gcore_lookup **lookup)
{
    gcore_completion completion;

    if (result != 0)
        return result > 0 ? 0 : result;
    poll_for(it.hub, &completion, 1);
    assert_ptr_equal(completion.arg, &it);
    assert_true((completion.result == 0)
                == (gcore_lookup_result(*lookup) != NULL));
    return (int)completion.result;
}

static int query(const char *name, int type, gcore_lookup **lookup)
{
    *lookup = NULL;
    return outcome(gcore_dns_query(it.resolver, name, type, GCORE_FOREVER,
                                   GCORE_COMPLETE, &it, lookup),
                   lookup);
}

static int resolve(const char *name, int family, gcore_lookup **lookup)
{
    gcore_dns_hints hints = {.size = sizeof hints,
                             .family = family,
                             .socktype = SOCK_STREAM,
                             .flags = AI_CANONNAME};

    *lookup = NULL;
    return outcome(gcore_dns_getaddrinfo(it.resolver, name, "80", &hints,
                                         GCORE_FOREVER, GCORE_COMPLETE, &it,
                                         lookup),
                   lookup);
}

static void a_records(void **state)
{
    mock_rule rules[] = {{.name = "two.test",
                          .records = "A/30 192.0.2.1;A/20 192.0.2.2"},
                         {0}};
    gcore_lookup *lookup;
    const gcore_dns_result *result;

    (void)state;
    begin(rules);
    assert_ok(query("two.test", GCORE_DNS_A, &lookup));
    result = gcore_lookup_result(lookup);
    assert_int_equal(result->record_count, 2);
    assert_string_equal(result->records[0].target, "192.0.2.1");
    assert_int_equal(result->records[0].ttl, 30);
    assert_string_equal(result->records[1].target, "192.0.2.2");
    assert_string_equal(result->name, "two.test");
    gcore_lookup_unref(lookup);
    assert_error(query("none.test", GCORE_DNS_A, &lookup), -GCORE_EAI_NONAME);
    gcore_lookup_unref(lookup);
    finish();
}

static void addresses(void **state)
{
    mock_rule rules[] = {
        {.name = "alias.test", .type = 1,
         .records = "CNAME real.test;real.test=A 192.0.2.1"},
        {.name = "alias.test", .type = 28,
         .records = "CNAME real.test;real.test=AAAA 2001:db8::1"},
        {0}};
    gcore_lookup *lookup;
    const gcore_dns_result *result;

    (void)state;
    begin(rules);
    assert_ok(resolve("alias.test", AF_INET, &lookup));
    result = gcore_lookup_result(lookup);
    assert_int_equal(result->address_count, 1);
    assert_string_equal(result->addresses[0].text, "192.0.2.1");
    assert_int_equal(result->addresses[0].port, 80);
    assert_string_equal(result->name, "real.test");
    gcore_lookup_unref(lookup);
    assert_ok(resolve("alias.test", AF_UNSPEC, &lookup));
    assert_int_equal(gcore_lookup_result(lookup)->address_count, 2);
    gcore_lookup_unref(lookup);
    finish();
}


/* A query that must end so. */
static void expect_query(const char *name, int type, int error)
{
    gcore_lookup *lookup;
    int result = query(name, type, &lookup);

    if (result != error)
        print_error("%s: %s\n", name, gcore_error_name(result));
    assert_int_equal(result, error);
    gcore_lookup_unref(lookup);
}

static const gcore_dns_record *first_record(const char *name, int type,
                                            gcore_lookup **lookup)
{
    assert_ok(query(name, type, lookup));
    assert_int_equal(gcore_lookup_result(*lookup)->record_count, 1);
    return gcore_lookup_result(*lookup)->records;
}

static void check_part(const gcore_dns_record *one, size_t index,
                       const char *text)
{
    assert_true(index < one->part_count);
    assert_int_equal(one->parts[index].length, strlen(text));
    assert_string_equal((const char *)one->parts[index].data, text);
}

static void all_types(void **state)
{
    mock_rule rules[] = {
        {.name = "x.test", .type = 28, .records = "AAAA 2001:db8::1"},
        {.name = "x.test", .type = 2, .records = "NS ns.test"},
        {.name = "x.test", .type = 5, .records = "CNAME real.test"},
        {.name = "x.test", .type = 12, .records = "PTR host.test"},
        {.name = "x.test", .type = 15, .records = "MX 10 mail.test"},
        {.name = "x.test", .type = 33, .records = "SRV 1 2 3 srv.test"},
        {.name = "x.test", .type = 16, .records = "TXT hello"},
        {.name = "x.test", .type = 256, .records = "URI 5 6 http://x/"},
        {.name = "x.test", .type = 257,
         .records = "CAA 128 issue ca.test"},
        {.name = "x.test", .type = 35,
         .records = "NAPTR 7 8 u E2U+sip !x! repl.test"},
        {.name = "x.test", .type = 6,
         .records = "SOA ns.test root.test 1 2 3 4 5"},
        {.name = "x.test", .type = 64,
         .records = "HEX 64 000103737663000003000201bb"},
        {.name = "x.test", .type = 65, .records = "HEX 65 000000"},
        {.name = "x.test", .type = 99, .records = "HEX 99 0102"},
        {.name = "x.test", .type = 255,
         .records = "A 192.0.2.1;TXT all;MX 1 m.test"},
        {0}};
    const gcore_dns_record *one;
    gcore_lookup *lookup;

    (void)state;
    begin(rules);
    one = first_record("x.test", GCORE_DNS_AAAA, &lookup);
    assert_string_equal(one->target, "2001:db8::1");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_NS, &lookup);
    assert_string_equal(one->target, "ns.test");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_CNAME, &lookup);
    assert_string_equal(one->target, "real.test");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_PTR, &lookup);
    assert_string_equal(one->target, "host.test");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_MX, &lookup);
    assert_string_equal(one->target, "mail.test");
    assert_int_equal(one->priority, 10);
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_SRV, &lookup);
    assert_string_equal(one->target, "srv.test");
    assert_int_equal(one->priority, 1);
    assert_int_equal(one->weight, 2);
    assert_int_equal(one->port, 3);
    gcore_lookup_unref(lookup);
    check_part(first_record("x.test", GCORE_DNS_TXT, &lookup), 0, "hello");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_URI, &lookup);
    assert_string_equal(one->target, "http://x/");
    assert_int_equal(one->priority, 5);
    assert_int_equal(one->weight, 6);
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_CAA, &lookup);
    assert_int_equal(one->flags, 128);
    check_part(one, 0, "issue");
    check_part(one, 1, "ca.test");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_NAPTR, &lookup);
    assert_int_equal(one->priority, 7);
    assert_int_equal(one->weight, 8);
    check_part(one, 0, "u");
    check_part(one, 1, "E2U+sip");
    check_part(one, 2, "!x!");
    assert_string_equal(one->target, "repl.test");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_SOA, &lookup);
    assert_string_equal(one->target, "ns.test");
    assert_string_equal(one->mailbox, "root.test");
    assert_int_equal(one->serial, 1);
    assert_int_equal(one->minimum, 5);
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_SVCB, &lookup);
    assert_int_equal(one->priority, 1);
    assert_string_equal(one->target, "svc");
    assert_int_equal(one->part_count, 1);
    assert_int_equal(one->parts[0].key, 3);
    assert_int_equal(one->parts[0].data[0] << 8 | one->parts[0].data[1],
                     443);
    gcore_lookup_unref(lookup);
    one = first_record("x.test", GCORE_DNS_HTTPS, &lookup);
    assert_string_equal(one->target, ".");
    gcore_lookup_unref(lookup);
    one = first_record("x.test", 99, &lookup);
    assert_memory_equal(one->parts[0].data, "\1\2", 2);
    gcore_lookup_unref(lookup);
    assert_ok(query("x.test", GCORE_DNS_ANY, &lookup));
    assert_int_equal(gcore_lookup_result(lookup)->record_count, 3);
    gcore_lookup_unref(lookup);
    finish();
}

/* What a server does wrong, and what comes of it. */
static void faults(void **state)
{
    mock_rule rules[] = {
        {.name = "drop.test", .fault = MOCK_DROP},
        {.name = "drop-once.test", .fault = MOCK_DROP, .times = 1},
        {.name = "drop-once.test", .records = "A 192.0.2.1"},
        {.name = "id.test", .fault = MOCK_WRONG_ID, .records = "A 192.0.2.1"},
        {.name = "question.test", .fault = MOCK_WRONG_QUESTION},
        {.name = "port.test", .fault = MOCK_WRONG_PORT,
         .records = "A 192.0.2.1"},
        {.name = "servfail.test", .fault = MOCK_SERVFAIL},
        {.name = "refused.test", .fault = MOCK_REFUSED},
        {.name = "formerr.test", .fault = MOCK_FORMERR},
        {.name = "notimp.test", .fault = MOCK_NOTIMP},
        {.name = "yxdomain.test", .fault = MOCK_YXDOMAIN},
        {.name = "nodata.test"},
        {.name = "pointer.test", .fault = MOCK_POINTER_LOOP},
        {.name = "garbage.test", .fault = MOCK_GARBAGE},
        {.name = "cut.test", .fault = MOCK_CUT, .records = "A 192.0.2.1"},
        {.name = "loop.test",
         .records = "CNAME b.test;b.test=CNAME loop.test"},
        {.name = "self.test", .records = "CNAME self.test"},
        {.name = "chain.test",
         .records = "CNAME b.test;b.test=CNAME c.test;c.test=A 192.0.2.3"},
        {.name = "open.test", .records = "CNAME b.test"},
        {.name = "other.test", .records = "b.test=A 192.0.2.3"},
        {.name = "tcp.test", .fault = MOCK_TRUNCATED,
         .records = "A 192.0.2.1"},
        {.name = "slow.test", .fault = MOCK_SLOW_TCP,
         .records = "A 192.0.2.1"},
        {.name = "half.test", .fault = MOCK_TCP_CLOSE,
         .records = "A 192.0.2.1"},
        {.name = "late.test", .delay = 30, .records = "A 192.0.2.1"},
        {0}};
    static const struct {
        const char *name;
        int error;
    } outcomes[] = {
        {"drop.test", -GCORE_EAI_AGAIN}, {"drop-once.test", 0},
        {"id.test", -GCORE_EAI_AGAIN}, {"question.test", -GCORE_EAI_AGAIN},
        {"port.test", -GCORE_EAI_AGAIN}, {"servfail.test", -GCORE_EAI_AGAIN},
        {"refused.test", -GCORE_EAI_AGAIN},
        {"notimp.test", -GCORE_EAI_AGAIN},
        {"yxdomain.test", -GCORE_EAI_FAIL},
        {"formerr.test", -GCORE_EAI_FAIL}, {"nodata.test", -GCORE_EAI_NODATA},
        {"pointer.test", -GCORE_EAI_FAIL}, {"garbage.test", -GCORE_EAI_FAIL},
        {"cut.test", -GCORE_EAI_FAIL}, {"loop.test", -GCORE_EAI_FAIL},
        {"self.test", -GCORE_EAI_FAIL}, {"chain.test", 0},
        {"open.test", -GCORE_EAI_NODATA}, {"other.test", -GCORE_EAI_NODATA},
        {"tcp.test", 0}, {"slow.test", 0}, {"half.test", -GCORE_EAI_AGAIN},
        {"late.test", 0}, {"absent.test", -GCORE_EAI_NONAME},
        {"..", -GCORE_EAI_NONAME},
    };

    gcore_resolver_options hasty;

    (void)state;
    begin(rules);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (outcomes[i].error != -GCORE_EAI_AGAIN)
            expect_query(outcomes[i].name, GCORE_DNS_A, outcomes[i].error);
    finish();
    /* Those whose end is waited for. */
    hasty = (gcore_resolver_options){.size = sizeof hasty, .lookups = "b",
                                     .domains = "", .timeout = 50 * MS,
                                     .tries = 2};
    open_with(rules, &hasty);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (outcomes[i].error == -GCORE_EAI_AGAIN)
            expect_query(outcomes[i].name, GCORE_DNS_A, outcomes[i].error);
    finish();
}

static void many_addresses(void **state)
{
    mock_rule rules[] = {
        {.name = "many.test", .fault = MOCK_TRUNCATED, .repeat = 2000}, {0}};
    gcore_lookup *lookup;
    const gcore_dns_result *result;

    (void)state;
    begin(rules);
    assert_ok(resolve("many.test", AF_INET, &lookup));
    result = gcore_lookup_result(lookup);
    assert_int_equal(result->address_count, 2000);
    assert_string_equal(result->addresses[1999].text, "10.0.7.207");
    assert_true(mock_asked_tcp(it.mock) > 0);
    gcore_lookup_unref(lookup);
    finish();
}

/* "CNAME n1;n1=CNAME n2;..." and an address at the end. */
static char *chain(int length)
{
    char *records = malloc((size_t)length * 32 + 64);
    size_t at = 0;

    assert_non_null(records);
    for (int i = 1; i <= length; i++) {
        at += (size_t)sprintf(records + at, "CNAME n%d;", i);
        if (i < length)
            at += (size_t)sprintf(records + at, "n%d=", i);
    }
    sprintf(records + at, "n%d=A 192.0.2.1", length);
    return records;
}

static void chains(void **state)
{
    char *longest = chain(64);
    char *too_long = chain(65);
    mock_rule rules[] = {
        {.name = "longest.test", .records = longest},
        {.name = "long.test", .records = too_long},
        {.name = "mixed.test",
         .records = "c.test=A 192.0.2.3;x.test=CNAME y.test;"
                    "b.test=CNAME c.test;c.test=A 192.0.2.2;CNAME b.test"},
        {0}};
    const gcore_dns_result *result;
    gcore_lookup *lookup;

    (void)state;
    begin(rules);
    assert_ok(query("longest.test", GCORE_DNS_A, &lookup));
    assert_int_equal(gcore_lookup_result(lookup)->record_count, 65);
    gcore_lookup_unref(lookup);
    expect_query("long.test", GCORE_DNS_A, -GCORE_EAI_FAIL);
    assert_ok(query("mixed.test", GCORE_DNS_A, &lookup));
    result = gcore_lookup_result(lookup);
    assert_int_equal(result->record_count, 4);
    assert_string_equal(result->records[0].name, "mixed.test");
    assert_string_equal(result->records[1].name, "b.test");
    assert_string_equal(result->records[2].target, "192.0.2.3");
    assert_string_equal(result->records[3].target, "192.0.2.2");
    assert_string_equal(result->name, "c.test");
    gcore_lookup_unref(lookup);
    finish();
    free(longest);
    free(too_long);
}

static void long_names(void **state)
{
    char longest[254];
    char too_long[300];
    mock_rule rules[] = {{.name = longest, .records = "A 192.0.2.1"}, {0}};
    gcore_lookup *lookup;

    (void)state;
    for (size_t i = 0; i < sizeof longest - 1; i++)
        longest[i] = i % 64 == 63 ? '.' : 'a';
    longest[sizeof longest - 1] = '\0';
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    begin(rules);
    assert_ok(query(longest, GCORE_DNS_A, &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->records[0].name,
                        longest);
    gcore_lookup_unref(lookup);
    expect_query(too_long, GCORE_DNS_A, -GCORE_EAI_NONAME);
    finish();
}

static void search_list(void **state)
{
    mock_rule rules[] = {
        {.name = "host.two.test", .records = "A 192.0.2.2"},
        {.name = "dotted.name", .records = "A 192.0.2.3"},
        {.name = "plain", .records = "A 192.0.2.4"},
        {0}};
    gcore_resolver_options given;
    gcore_lookup *lookup;

    (void)state;
    given = (gcore_resolver_options){.size = sizeof given, .lookups = "b",
                                     .domains = "one.test, two.test"};
    open_with(rules, &given);
    assert_ok(resolve("host", AF_INET, &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->name, "host.two.test");
    assert_int_equal(mock_asked(it.mock), 2);
    gcore_lookup_unref(lookup);
    assert_ok(resolve("dotted.name", AF_INET, &lookup));
    assert_int_equal(mock_asked(it.mock), 3);
    gcore_lookup_unref(lookup);
    assert_ok(resolve("plain", AF_INET, &lookup));
    assert_int_equal(mock_asked(it.mock), 6);
    gcore_lookup_unref(lookup);
    assert_error(resolve("host.", AF_INET, &lookup), -GCORE_EAI_NONAME);
    assert_int_equal(mock_asked(it.mock), 7);
    gcore_lookup_unref(lookup);
    finish();
}

static void expect_resolve(const char *name, int error)
{
    gcore_lookup *lookup;

    assert_int_equal(resolve(name, AF_UNSPEC, &lookup), error);
    gcore_lookup_unref(lookup);
}

/* What one candidate of the search list means for the others. */
static void search_goes_on(void **state)
{
    mock_rule rules[] = {
        {.name = "a.one.test", .fault = MOCK_SERVFAIL},
        {.name = "a.two.test", .records = "A 192.0.2.1"},
        {.name = "b.one.test", .fault = MOCK_SERVFAIL},
        {.name = "c.one.test"},
        {.name = "c.two.test", .fault = MOCK_SERVFAIL},
        {.name = "d.one.test", .fault = MOCK_DROP},
        {.name = "d.two.test", .records = "A 192.0.2.1"},
        {.name = "e.one.test", .fault = MOCK_DROP},
        {.name = "e", .records = "A 192.0.2.1"},
        {.name = "f.dotted.one.test"},
        {.name = "g.dotted", .fault = MOCK_SERVFAIL},
        {.name = "g.dotted.two.test", .records = "A 192.0.2.1"},
        {0}};
    gcore_resolver_options given = {.size = sizeof given, .lookups = "b",
                                    .domains = "one.test, two.test",
                                    .timeout = SECOND, .tries = 1};

    (void)state;
    open_with(rules, &given);
    expect_resolve("a", 0);
    expect_resolve("b", -GCORE_EAI_AGAIN);
    expect_resolve("c", -GCORE_EAI_NODATA);
    expect_resolve("d", -GCORE_EAI_NONAME);
    expect_resolve("e", 0);
    expect_resolve("f.dotted", -GCORE_EAI_NONAME);
    expect_resolve("g.dotted", 0);
    finish();
}

static void reverse(void **state)
{
    mock_rule rules[] = {
        {.name = "1.2.0.192.in-addr.arpa",
         .records = "PTR bad~name;PTR host.test;PTR other.test"},
        {.name = "*", .type = 12, .records = "PTR six.test"},
        {0}};
    gcore_dns_address address;
    const gcore_dns_result *result;
    gcore_lookup *lookup = NULL;

    (void)state;
    begin(rules);
    assert_ok(gcore_dns_parse_address("192.0.2.1", &address));
    assert_ok(outcome(gcore_dns_gethostbyaddr(it.resolver, &address,
                                              GCORE_FOREVER, GCORE_COMPLETE,
                                              &it, &lookup),
                      &lookup));
    result = gcore_lookup_result(lookup);
    assert_string_equal(result->name, "host.test");
    assert_int_equal(result->alias_count, 0);
    assert_string_equal(result->addresses[0].text, "192.0.2.1");
    gcore_lookup_unref(lookup);
    assert_ok(gcore_dns_parse_address("2001:db8::1", &address));
    address.port = 80;
    assert_ok(outcome(gcore_dns_getnameinfo(it.resolver, &address,
                                            NI_NUMERICSERV, GCORE_FOREVER,
                                            GCORE_COMPLETE, &it, &lookup),
                      &lookup));
    result = gcore_lookup_result(lookup);
    assert_string_equal(result->name, "six.test");
    assert_string_equal(result->service, "80");
    gcore_lookup_unref(lookup);
    finish();
}

static gcore_resolver_stats counters(void)
{
    gcore_resolver_stats stats = {.size = sizeof stats};

    assert_ok(gcore_resolver_counters(it.resolver, &stats));
    return stats;
}

static void cache(void **state)
{
    mock_rule rules[] = {
        {.name = "kept.test", .type = 1, .records = "A/60 192.0.2.1"},
        {.name = "never.test", .records = "A/0 192.0.2.1"},
        {.name = "absent.test", .fault = MOCK_NXDOMAIN,
         .records = "AUTHORITY=SOA/60 ns.test root.test 1 2 3 4 5"},
        {0}};
    gcore_resolver_options given;
    gcore_lookup *lookup;

    (void)state;
    given = (gcore_resolver_options){.size = sizeof given, .lookups = "b",
                                     .domains = "",
                                     .flags = GCORE_RESOLVER_CACHE,
                                     .cache_size = 3};
    open_with(rules, &given);
    for (int i = 0; i < 3; i++) {
        assert_ok(resolve("Kept.test", AF_INET, &lookup));
        assert_true(gcore_lookup_result(lookup)->ttl <= 60);
        gcore_lookup_unref(lookup);
    }
    assert_int_equal(mock_asked(it.mock), 1);
    for (int i = 0; i < 2; i++)
        expect_query("absent.test", GCORE_DNS_A, -GCORE_EAI_NONAME);
    assert_int_equal(mock_asked(it.mock), 2);
    for (int i = 0; i < 2; i++)
        expect_query("never.test", GCORE_DNS_A, 0);
    assert_int_equal(mock_asked(it.mock), 4);
    assert_int_equal(counters().hits, 3);
    gcore_resolver_clear(it.resolver);
    assert_int_equal(counters().cached, 0);
    expect_query("kept.test", GCORE_DNS_A, 0);
    assert_int_equal(mock_asked(it.mock), 5);
    finish();
}

/* 2,000 addresses take more than 200 KB, a single one less than 2 KB. */
static void a_cache_of_bytes(void **state)
{
    mock_rule rules[] = {
        {.name = "large.test", .fault = MOCK_TRUNCATED, .repeat = 2000,
         .records = "A/60 192.0.2.1"},
        {.name = "*", .records = "A/60 192.0.2.1"},
        {0}};
    gcore_resolver_options given;

    (void)state;
    given = (gcore_resolver_options){.size = sizeof given, .lookups = "b",
                                     .flags = GCORE_RESOLVER_CACHE,
                                     .cache_bytes = 10000};
    open_with(rules, &given);
    expect_query("small.test", GCORE_DNS_A, 0);
    assert_int_equal(counters().cached, 1);
    expect_query("large.test", GCORE_DNS_A, 0);
    assert_int_equal(counters().cached, 1); /* and displaces nothing */
    for (int i = 0; i < 50; i++) {
        char name[32];

        snprintf(name, sizeof name, "n%d.test", i);
        expect_query(name, GCORE_DNS_A, 0);
        assert_in_range(counters().cached_bytes, 1, 10000);
    }
    assert_in_range(counters().cached, 2, 49);
    expect_query("n49.test", GCORE_DNS_A, 0);
    assert_int_equal(counters().hits, 1);
    gcore_resolver_clear(it.resolver);
    assert_int_equal(counters().cached_bytes, 0);
    finish();
}

enum { MANY = 300 };

static void start_many(gcore_lookup **lookups, const char *format, int count)
{
    for (int i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof name, format, i);
        assert_ok(gcore_dns_query(it.resolver, name, GCORE_DNS_A,
                                  GCORE_FOREVER, GCORE_COMPLETE, &it,
                                  &lookups[i]));
    }
}

static void end_many(gcore_lookup **lookups, int count, int error)
{
    static gcore_completion out[MANY];

    poll_for(it.hub, out, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(out[i].result, error);
        gcore_lookup_unref(lookups[i]);
    }
}

static void shared_questions(void **state)
{
    mock_rule rules[] = {
        {.name = "one.test", .delay = 20, .records = "A 192.0.2.1"}, {0}};
    gcore_lookup *lookups[MANY];

    (void)state;
    begin(rules);
    start_many(lookups, "one.test", MANY);
    assert_int_equal(counters().shared, MANY - 1);
    end_many(lookups, MANY, 0);
    assert_int_equal(counters().questions, 1);
    finish();
}

static void limit_and_queue(void **state)
{
    mock_rule rules[] = {{.name = "*", .records = "A 192.0.2.1"}, {0}};
    gcore_resolver_options given;
    gcore_lookup *lookups[MANY];

    (void)state;
    given = (gcore_resolver_options){.size = sizeof given, .lookups = "b",
                                     .in_flight = 7};
    open_with(rules, &given);
    start_many(lookups, "n%d.test", MANY);
    assert_int_equal(counters().in_flight, 7);
    assert_int_equal(counters().queued, MANY - 7);
    end_many(lookups, MANY, 0);
    assert_int_equal(counters().in_flight, 0);
    assert_int_equal(mock_asked(it.mock), MANY);
    finish();
}

/* Servers that do not know EDNS are asked without it. */
static void without_edns(void **state)
{
    mock_rule rules[] = {
        {.name = "*", .fault = MOCK_NO_EDNS, .records = "A 192.0.2.1"}, {0}};
    gcore_lookup *lookups[MANY];

    (void)state;
    begin(rules);
    start_many(lookups, "n%d.test", MANY);
    end_many(lookups, MANY, 0);
    start_many(lookups, "m%d.test", MANY);
    end_many(lookups, MANY, 0);
    assert_in_range(mock_asked(it.mock), 2 * MANY + 1, 4 * MANY);
    finish();
}

/* The name in the answer is the server's copy of the one in the question. */
static void expect_name(const char *asked, const char *name)
{
    gcore_lookup *lookup;

    assert_ok(query(asked, GCORE_DNS_A, &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->records->name, name);
    gcore_lookup_unref(lookup);
}

/* c-ares from 1.28 on asks for nothing that cannot be a host's name. */
static void expect_name_or_none(const char *asked, const char *name)
{
    gcore_lookup *lookup;
    int result = query(asked, GCORE_DNS_A, &lookup);

    if (result == 0)
        assert_string_equal(gcore_lookup_result(lookup)->records->name,
                            name);
    else
        assert_error(result, -GCORE_EAI_NONAME);
    gcore_lookup_unref(lookup);
}

static void names_in_questions(void **state)
{
    mock_rule rules[] = {{.name = "*", .records = "A 192.0.2.1"}, {0}};
    char label[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test";
    int asked;

    (void)state;
    begin(rules);
    expect_name("Plain_1.TEST", "plain_1.test");
    expect_name("last.test.", "last.test");
    expect_name(".", ".");
    expect_name("a\\.b.test", "a\\.b.test");
    expect_name("\\097\\b.test", "ab.test");
    expect_name_or_none("a\\\\.test", "a\\\\.test");
    expect_name_or_none("a\\032b\\000.test", "a\\032b\\000.test");
    expect_name(label + 1, label + 1);
    asked = mock_asked(it.mock);
    expect_query(label, GCORE_DNS_A, -GCORE_EAI_NONAME);
    expect_query(".test", GCORE_DNS_A, -GCORE_EAI_NONAME);
    expect_query("a..test", GCORE_DNS_A, -GCORE_EAI_NONAME);
    expect_query("a.test..", GCORE_DNS_A, -GCORE_EAI_NONAME);
    expect_query("hidden.onion", GCORE_DNS_A, -GCORE_EAI_NONAME);
    expect_query("Hidden.ONION.", GCORE_DNS_A, -GCORE_EAI_NONAME);
    assert_int_equal(mock_asked(it.mock), asked);
    finish();
}

static void cancelled(void **state)
{
    mock_rule rules[] = {{.name = "slow.test", .delay = 50,
                          .records = "A 192.0.2.1"},
                         {.name = "*", .fault = MOCK_DROP},
                         {0}};
    gcore_resolver_options given = {.size = sizeof given, .lookups = "b",
                                    .in_flight = 1};
    gcore_lookup *lookups[3];
    gcore_completion out;

    (void)state;
    open_with(rules, &given);
    start_many(&lookups[0], "slow.test", 1);
    start_many(&lookups[1], "slow.test", 1);
    start_many(&lookups[2], "queued.test", 1);
    assert_int_equal(counters().queued, 1);
    gcore_lookup_cancel(lookups[2]);
    gcore_lookup_cancel(lookups[2]);
    assert_int_equal(counters().queued, 0);
    gcore_lookup_cancel(lookups[0]);
    assert_int_equal(counters().pending, 1);
    poll_for(it.hub, &out, 1);
    assert_int_equal(out.result, 0);
    assert_null(gcore_lookup_result(lookups[0]));
    assert_non_null(gcore_lookup_result(lookups[1]));
    assert_int_equal(gcore_hub_active(it.hub), 0);
    for (int i = 0; i < 3; i++)
        gcore_lookup_unref(lookups[i]);
    finish();
}

static void deadlines(void **state)
{
    mock_rule rules[] = {{.name = "*", .fault = MOCK_DROP}, {0}};
    int64_t deadline;
    gcore_lookup *lookup;
    gcore_completion out;

    (void)state;
    begin(rules);
    deadline = after(20 * MS);
    assert_ok(gcore_dns_query(it.resolver, "x.test", GCORE_DNS_A, deadline,
                              GCORE_COMPLETE, &it, &lookup));
    poll_for(it.hub, &out, 1);
    assert_int_equal(out.result, -ETIMEDOUT);
    assert_true(gcore_clock() >= deadline);
    assert_int_equal(counters().in_flight, 1); /* the wire goes on */
    gcore_lookup_unref(lookup);
    assert_error(gcore_dns_query(it.resolver, "x.test", GCORE_DNS_A,
                                 GCORE_NOW, GCORE_COMPLETE, &it, &lookup),
                 -ETIMEDOUT);
    finish();
}

/* A question that has been sent twice waits longer for its answer; one that
 * is asked meanwhile must not. */
static void timeouts(void **state)
{
    mock_rule rules[] = {{.name = "*", .fault = MOCK_DROP}, {0}};
    gcore_resolver_options given = {.size = sizeof given, .lookups = "b",
                                    .timeout = 200 * MS, .tries = 3};
    gcore_lookup *lookups[2];
    gcore_completion out;

    (void)state;
    open_with(rules, &given);
    start_many(&lookups[0], "first.test", 1);
    while (mock_asked(it.mock) < 2)
        assert_int_equal(hub_poll_again(it.hub, &out, 1, after(MS)), 0);
    start_many(&lookups[1], "second.test", 1);
    gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    assert_true(gcore_hub_next_deadline(it.hub) <= after(given.timeout));
    assert_ok(gcore_resolver_close(it.resolver));
    end_many(lookups, 2, -ECANCELED);
    finish();
}

static void closed(void **state)
{
    mock_rule rules[] = {{.name = "*", .fault = MOCK_DROP}, {0}};
    gcore_lookup *lookups[MANY];
    gcore_lookup *lookup;

    (void)state;
    begin(rules);
    start_many(lookups, "n%d.test", MANY);
    assert_ok(gcore_resolver_close(it.resolver));
    assert_ok(gcore_resolver_close(it.resolver));
    end_many(lookups, MANY, -ECANCELED);
    assert_error(gcore_dns_query(it.resolver, "x.test", GCORE_DNS_A,
                                 GCORE_FOREVER, GCORE_COMPLETE, &it, &lookup),
                 -ESHUTDOWN);
    assert_null(gcore_resolver_servers(it.resolver));
    finish();
}

static void hub_closed(void **state)
{
    mock_rule rules[] = {{.name = "*", .fault = MOCK_DROP}, {0}};
    gcore_lookup *lookups[MANY];

    (void)state;
    begin(rules);
    start_many(lookups, "n%d.test", MANY);
    assert_ok(gcore_hub_close(it.hub));
    end_many(lookups, MANY, -ECANCELED);
    finish();
}

static void abandoned(void **state)
{
    mock_rule rules[] = {{.name = "*", .fault = MOCK_DROP}, {0}};
    gcore_lookup *lookups[MANY];

    (void)state;
    begin(rules);
    start_many(lookups, "n%d.test", MANY);
    for (int i = 0; i < MANY; i++)
        gcore_lookup_unref(lookups[i]);
    finish();
}

static void in_forked_child(void *arg)
{
    gcore_lookup **lookups = arg;
    gcore_completion out;
    gcore_lookup *lookup;

    CHILD_CHECK(gcore_dns_query(it.resolver, "fast.test", GCORE_DNS_A,
                                GCORE_FOREVER, GCORE_COMPLETE, &lookup,
                                &lookup) == 0);
    /* The parent's comes first, then the child's own. */
    CHILD_CHECK(hub_poll_again(it.hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == &it && out.result == -ECANCELED);
    CHILD_CHECK(hub_poll_again(it.hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == &lookup && out.result == 0);
    gcore_lookup_unref(lookup);
    gcore_lookup_unref(lookups[0]);
    gcore_resolver_unref(it.resolver);
    gcore_hub_close(it.hub);
    gcore_hub_unref(it.hub);
}

static void forked(void **state)
{
    mock_rule rules[] = {{.name = "slow.test", .delay = 100,
                          .records = "A 192.0.2.1"},
                         {.name = "*", .records = "A 192.0.2.1"},
                         {0}};
    gcore_lookup *lookup;

    (void)state;
    begin(rules);
    start_many(&lookup, "slow.test", 1);
    in_child(in_forked_child, &lookup);
    end_many(&lookup, 1, 0);
    finish();
}

static void several_hubs(void **state)
{
    mock_rule rules[] = {{.name = "*", .records = "A 192.0.2.1"}, {0}};
    gcore_resolver_options given = {.size = sizeof given};
    gcore_hub *hubs[4];
    gcore_resolver *resolvers[4];
    gcore_lookup *lookups[4];

    (void)state;
    begin(rules);
    given.servers = mock_address(it.mock);
    for (int i = 0; i < 4; i++) {
        hubs[i] = hub_new();
        assert_ok(gcore_resolver_new(hubs[i], &given, &resolvers[i]));
        assert_ok(gcore_dns_query(resolvers[i], "x.test", GCORE_DNS_A,
                                  GCORE_FOREVER, GCORE_COMPLETE, NULL,
                                  &lookups[i]));
    }
    for (int i = 3; i >= 0; i--) {
        gcore_completion out;

        poll_for(hubs[i], &out, 1);
        assert_int_equal(out.result, 0);
        gcore_lookup_unref(lookups[i]);
        gcore_resolver_unref(resolvers[i]);
        hub_end(hubs[i]);
    }
    finish();
}

static void servers(void **state)
{
    mock_rule rules[] = {{.name = "*", .records = "A 192.0.2.1"}, {0}};
    char before[64];

    (void)state;
    begin(rules);
    snprintf(before, sizeof before, "%s", mock_address(it.mock));
    assert_string_equal(gcore_resolver_servers(it.resolver), before);
    assert_error(gcore_resolver_set_servers(it.resolver, "nonsense"),
                 -EINVAL);
    assert_error(gcore_resolver_set_servers(it.resolver, ""), -EINVAL);
    assert_error(gcore_resolver_set_servers(it.resolver, "1.2.3.4:0"),
                 -EINVAL);
    assert_string_equal(gcore_resolver_servers(it.resolver), before);
    assert_ok(gcore_resolver_set_servers(it.resolver,
                                         "[2001:db8::1]:5353, 192.0.2.1"));
    assert_string_equal(gcore_resolver_servers(it.resolver),
                        "[2001:db8::1]:5353,192.0.2.1:53");
    assert_ok(gcore_resolver_set_servers(it.resolver, before));
    expect_query("x.test", GCORE_DNS_A, 0);
    finish();
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Files are read again when they have changed. */
static void changed_files(void **state)
{
    mock_rule rules[] = {{.name = "a.second.test", .records = "A 192.0.2.9"},
                         {0}};
    char hosts[] = "/tmp/gcore-hosts-XXXXXX";
    char resolv[] = "/tmp/gcore-resolv-XXXXXX";
    gcore_resolver_options given = {.size = sizeof given, .recheck = 1,
                                    .hosts_path = hosts,
                                    .resolv_path = resolv,
                                    .lookups = "fb",
                                    .flags = GCORE_RESOLVER_NOENV};
    gcore_lookup *lookup;

    (void)state;
    close(mkstemp(hosts));
    close(mkstemp(resolv));
    open_with(rules, &given);
    assert_error(resolve("a", AF_INET, &lookup), -GCORE_EAI_NONAME);
    gcore_lookup_unref(lookup);
    write_file(resolv, "search first.test second.test\noptions ndots:2\n");
    assert_ok(resolve("a", AF_INET, &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->addresses[0].text,
                        "192.0.2.9");
    gcore_lookup_unref(lookup);
    write_file(hosts, "192.0.2.7 a\n");
    assert_ok(resolve("a", AF_INET, &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->addresses[0].text,
                        "192.0.2.7");
    gcore_lookup_unref(lookup);
    finish();
    unlink(hosts);
    unlink(resolv);
}

/* What a program gives that was built with the first header. */
static void sizes_of_the_first_version(void **state)
{
    gcore_resolver_options options = {
        .size = offsetof(gcore_resolver_options, cache_bytes),
        .cache_bytes = 1, /* is not looked at */
        .flags = GCORE_RESOLVER_CACHE};
    gcore_resolver_stats stats = {
        .size = offsetof(gcore_resolver_stats, cached_bytes),
        .cached_bytes = 7};
    gcore_resolver *resolver;
    gcore_hub *hub = hub_new();

    (void)state;
    assert_ok(gcore_resolver_new(hub, &options, &resolver));
    assert_ok(gcore_resolver_counters(resolver, &stats));
    assert_int_equal(stats.cached_bytes, 7);
    stats.size = options.size = 8;
    assert_error(gcore_resolver_counters(resolver, &stats), -EINVAL);
    gcore_resolver_unref(resolver);
    assert_error(gcore_resolver_new(hub, &options, &resolver), -EINVAL);
    hub_end(hub);
}

static void bad_options(void **state)
{
    static const gcore_resolver_options bad[] = {
        {.size = 8},
        {.size = sizeof *bad, .flags = 0x80000000u},
        {.size = sizeof *bad, .servers = "x"},
        {.size = sizeof *bad, .lookups = "fx"},
        {.size = sizeof *bad, .timeout = -1},
        {.size = sizeof *bad, .local_ip = "nowhere"},
    };
    gcore_resolver *resolver = NULL;
    gcore_hub *hub = hub_new();

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_error(gcore_resolver_new(hub, &bad[i], &resolver), -EINVAL);
    assert_null(resolver);
    gcore_hub_close(hub);
    assert_error(gcore_resolver_new(hub, NULL, &resolver), -ESHUTDOWN);
    gcore_hub_unref(hub);
}

static void international(void **state)
{
    mock_rule rules[] = {{.name = "xn--mnchen-3ya.test",
                          .records = "A 192.0.2.1"},
                         {0}};
    gcore_dns_hints hints = {.size = sizeof hints, .family = AF_INET,
                             .flags = AI_IDN | AI_CANONNAME | AI_CANONIDN};
    gcore_lookup *lookup = NULL;

    (void)state;
    begin(rules);
    assert_ok(outcome(gcore_dns_getaddrinfo(
                          it.resolver, "m\xc3\xbcnchen.test", NULL, &hints,
                          GCORE_FOREVER, GCORE_COMPLETE, &it, &lookup),
                      &lookup));
    assert_string_equal(gcore_lookup_result(lookup)->name,
                        "m\xc3\xbcnchen.test");
    gcore_lookup_unref(lookup);
    finish();
}

/* Each allocation of some work fails in turn, and all after it; in the end
 * none does. */
static void fail_each(int (*work)(void))
{
    int64_t k = 0;
    int error;

    do {
        support_fail_allocation(++k);
        error = work();
        support_fail_allocation(0);
        if (error != 0 && error != -GCORE_EAI_AGAIN)
            assert_int_equal(error, -ENOMEM);
    } while (support_allocation_failed() && k < 10000);
    assert_int_equal(error, 0);
}

static int find_with_new_servers(void)
{
    gcore_lookup *lookup = NULL;
    int error = gcore_resolver_set_servers(it.resolver,
                                           mock_address(it.mock));

    if (error == 0)
        error = resolve("x.test", AF_UNSPEC, &lookup);
    gcore_lookup_unref(lookup);
    return error;
}

static int find_by_address(void)
{
    gcore_dns_address address;
    gcore_lookup *lookup = NULL;
    int error;

    assert_ok(gcore_dns_parse_address("192.0.2.1", &address));
    error = outcome(gcore_dns_getnameinfo(it.resolver, &address, 0,
                                          GCORE_FOREVER, GCORE_COMPLETE, &it,
                                          &lookup),
                    &lookup);
    gcore_lookup_unref(lookup);
    return error;
}

static int make_another(void)
{
    gcore_resolver_options given = options();
    gcore_resolver *resolver = NULL;
    int error;

    given.lookups = "fb";
    given.flags |= GCORE_RESOLVER_CACHE;
    error = gcore_resolver_new(it.hub, &given, &resolver);
    gcore_resolver_unref(resolver);
    return error;
}

static void no_memory(void **state)
{
    mock_rule rules[] = {
        {.name = "1.2.0.192.in-addr.arpa", .records = "PTR one.test"},
        {.name = "*", .type = 1, .records = "CNAME b.test;b.test=A 192.0.2.1"},
        {.name = "*", .records = "AAAA 2001:db8::1"},
        {0}};

    (void)state;
    begin(rules);
    fail_each(find_with_new_servers);
    fail_each(find_by_address);
    fail_each(make_another);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_records),       TEST(addresses),      TEST(all_types),
        TEST(faults),          TEST(many_addresses), TEST(long_names),
        TEST(chains),
        TEST(search_list),     TEST(search_goes_on),
        TEST(reverse),         TEST(cache),
        TEST(a_cache_of_bytes),
        TEST(shared_questions), TEST(limit_and_queue), TEST(cancelled),
        TEST(without_edns),    TEST(names_in_questions),
        TEST(deadlines),       TEST(timeouts),
        TEST(closed),          TEST(hub_closed),
        TEST(abandoned),       TEST(forked),         TEST(several_hubs),
        TEST(servers),         TEST(changed_files),  TEST(bad_options),
        TEST(sizes_of_the_first_version),
        TEST(international),   TEST(no_memory),
    };

    return RUN(tests);
}
