/*
 * A DNS server on the loopback, UDP and TCP on one port, on a thread of its
 * own. What it answers stands in a table of rules: the first that fits a
 * question, and is not used up, counts; without one there is no such name.
 */
#ifndef DNS_MOCK_H
#define DNS_MOCK_H

#include <stdatomic.h>
#include <stdint.h>

typedef enum mock_fault {
    MOCK_NONE,
    MOCK_DROP,           /* no answer */
    MOCK_WRONG_ID,       /* and then no other */
    MOCK_WRONG_QUESTION, /* likewise */
    MOCK_WRONG_PORT,     /* comes from another socket */
    MOCK_TRUNCATED,      /* by UDP only: says TC */
    MOCK_SERVFAIL,
    MOCK_REFUSED,
    MOCK_FORMERR,
    MOCK_NO_EDNS,  /* FORMERR to questions with EDNS */
    MOCK_NOTIMP,
    MOCK_YXDOMAIN, /* which is no answer to a question */
    MOCK_NXDOMAIN,
    MOCK_POINTER_LOOP,
    MOCK_GARBAGE,
    MOCK_CUT,       /* the message ends early */
    MOCK_SLOW_TCP,  /* as MOCK_TRUNCATED; by TCP, byte after byte */
    MOCK_TCP_CLOSE, /* as MOCK_TRUNCATED; by TCP, closes half-way */
} mock_fault;

/*
 * `records` are separated by ";", each "[NAME=]TYPE[/TTL] DATA":
 *   A, AAAA, CNAME, NS, PTR as in master files
 *   MX "10 name", SRV "1 2 3 name", TXT "text", URI "1 2 text",
 *   CAA "128 tag value", NAPTR "1 2 flags services regexp name",
 *   SOA "server mailbox 1 2 3 4 5", HEX "type bytes"
 * A NAME "AUTHORITY" puts it there; a name of "*" is any.
 */
typedef struct mock_rule {
    const char *name;
    int type; /* 0: any */
    const char *records;
    mock_fault fault;
    int delay; /* milliseconds */
    int times; /* how often it counts; 0: always */
    int repeat; /* its first record so often, A records counted up */
} mock_rule;

typedef struct dns_mock dns_mock;

/* `rules` end with one without a name, and live as long as the server. */
dns_mock *mock_start(mock_rule *rules);
void mock_stop(dns_mock *mock);

/* "127.0.0.1:port". */
const char *mock_address(dns_mock *mock);

/* Questions so far, by UDP and by TCP. */
int mock_asked(dns_mock *mock);
int mock_asked_tcp(dns_mock *mock);

#endif
