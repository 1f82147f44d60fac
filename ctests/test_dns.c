/* Asking name servers: records, hosts, the search list, faults. */
#include "support.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

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
        .timeout = 100 * MS,
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

static void open(mock_rule *rules)
{
    open_with(rules, NULL);
}

static void end(void)
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
    assert_true((completion.result == 0) == (gcore_lookup_result(*lookup) != NULL));
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
    open(rules);
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
    end();
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
    open(rules);
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
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_records),
        TEST(addresses),
    };

    return RUN(tests);
}
