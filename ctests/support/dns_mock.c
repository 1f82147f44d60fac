/* The mock DNS server: one thread around poll(). */
#include "dns_mock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

enum { STREAMS = 16, DELAYED = 1024, ROOM = 65536, HEADER = 12 };

struct reply {
    struct reply *next;
    int64_t due;
    struct sockaddr_in to;
    int stream; /* -1: by UDP */
    size_t length;
    bool other_port;
    bool slow;
    bool half;
    uint8_t bytes[]; /* by TCP with the length in front */
};

struct stream {
    int fd; /* -1: free */
    size_t length;
    uint8_t bytes[2048];
};

struct dns_mock {
    pthread_t thread;
    mock_rule *rules;
    int udp;
    int other;
    int listener;
    int stop[2];
    char address[32];
    atomic_int asked;
    atomic_int asked_tcp;
    struct stream streams[STREAMS];
    struct reply *delayed;
};

/* Messages */

struct writer {
    uint8_t bytes[ROOM];
    size_t length;
};

static void put(struct writer *out, const void *bytes, size_t length)
{
    if (out->length + length > ROOM)
        return;
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put8(struct writer *out, unsigned number)
{
    uint8_t byte = (uint8_t)number;

    put(out, &byte, 1);
}

static void put16(struct writer *out, unsigned number)
{
    put8(out, number >> 8);
    put8(out, number);
}

static void put32(struct writer *out, unsigned long number)
{
    put16(out, (unsigned)(number >> 16));
    put16(out, (unsigned)number);
}

static void put_name(struct writer *out, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        size_t length = strcspn(name, ".");

        put8(out, (unsigned)length);
        put(out, name, length);
        name += length;
        name += *name == '.';
    }
    put8(out, 0);
}

static void put_string(struct writer *out, const char *text)
{
    put8(out, (unsigned)strlen(text));
    put(out, text, strlen(text));
}

static void put_hex(struct writer *out, const char *text)
{
    unsigned byte;

    for (; text && sscanf(text, "%2x", &byte) == 1; text += 2)
        put8(out, byte);
}

static const struct {
    const char *name;
    unsigned number;
    const char *data; /* b, h, w: number; n: name; s: string; r: the rest */
} types[] = {
    {"A", 1, "4"},        {"AAAA", 28, "6"},      {"CNAME", 5, "n"},
    {"NS", 2, "n"},       {"PTR", 12, "n"},       {"MX", 15, "hn"},
    {"SRV", 33, "hhhn"},  {"TXT", 16, "s"},       {"URI", 256, "hhr"},
    {"CAA", 257, "bsr"},  {"NAPTR", 35, "hhsssn"}, {"SOA", 6, "nnwwwww"},
    {"HEX", 0, "tx"},
};

static void put_field(struct writer *out, char kind, const char *word,
                      size_t type_at)
{
    uint8_t address[16];

    switch (kind) {
    case '4':
        assert_int_equal(inet_pton(AF_INET, word, address), 1);
        put(out, address, 4);
        break;
    case '6':
        assert_int_equal(inet_pton(AF_INET6, word, address), 1);
        put(out, address, 16);
        break;
    case 'b':
        put8(out, (unsigned)atoi(word));
        break;
    case 'h':
        put16(out, (unsigned)atoi(word));
        break;
    case 'w':
        put32(out, strtoul(word, NULL, 10));
        break;
    case 'n':
        put_name(out, word);
        break;
    case 's':
        put_string(out, word);
        break;
    case 'r':
        put(out, word, strlen(word));
        break;
    case 't':
        out->bytes[type_at] = (uint8_t)(atoi(word) >> 8);
        out->bytes[type_at + 1] = (uint8_t)atoi(word);
        break;
    default:
        put_hex(out, word);
    }
}

static char *cut(char **text, const char *separators)
{
    char *word = *text + strspn(*text, separators);
    char *end = word + strcspn(word, separators);

    *text = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* "[NAME=]TYPE[/TTL] DATA"; false for one of another section. */
static bool put_record(struct writer *out, char *text, bool authority)
{
    char *head = cut(&text, " ");
    char *equal = strchr(head, '=');
    char *slash;
    const char *owner = equal ? head : NULL;
    size_t type_at, start, length;
    unsigned long ttl = 60;

    if (equal) {
        *equal = '\0';
        head = equal + 1;
    }
    if ((owner && strcmp(owner, "AUTHORITY") == 0) != authority)
        return false;
    slash = strchr(head, '/');
    if (slash) {
        *slash = '\0';
        ttl = strtoul(slash + 1, NULL, 10);
    }
    if (owner && !authority)
        put_name(out, owner);
    else
        put16(out, 0xc000 | HEADER);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, head) != 0)
            continue;
        type_at = out->length;
        put16(out, types[i].number);
        put16(out, 1);
        put32(out, ttl);
        start = out->length;
        put16(out, 0);
        for (const char *kind = types[i].data; *kind; kind++)
            put_field(out, *kind, *kind == 'r' ? text : cut(&text, " "),
                      type_at);
        length = out->length - start - 2;
        out->bytes[start] = (uint8_t)(length >> 8);
        out->bytes[start + 1] = (uint8_t)length;
        return true;
    }
    print_error("no such record: %s\n", head);
    abort();
}

static unsigned put_section(struct writer *out, const char *records,
                            bool authority)
{
    char *copy = strdup(records);
    char *rest = copy;
    unsigned count = 0;

    while (*rest) {
        char *one = cut(&rest, ";");

        one += strspn(one, " \n");
        if (*one)
            count += put_record(out, one, authority);
    }
    free(copy);
    return count;
}

/* Rules */

static mock_rule *find_rule(dns_mock *mock, const char *name, int type)
{
    for (mock_rule *rule = mock->rules; rule->name; rule++) {
        if (strcmp(rule->name, "*") != 0 &&
            strcasecmp(rule->name, name) != 0)
            continue;
        if ((rule->type && rule->type != type) || rule->times < 0)
            continue;
        if (rule->times > 0 && --rule->times == 0)
            rule->times = -1;
        return rule;
    }
    return NULL;
}

/* The name in a question; the place after its type and class, or 0. */
static size_t read_question(const uint8_t *bytes, size_t length, char *name)
{
    size_t at = HEADER;
    size_t out = 0;

    while (at < length && bytes[at] && at + 1 + bytes[at] < length) {
        if (out)
            name[out++] = '.';
        memcpy(name + out, bytes + at + 1, bytes[at]);
        out += bytes[at];
        at += 1u + bytes[at];
    }
    name[out] = '\0';
    return at + 5 <= length ? at + 5 : 0;
}

static void put_repeated(struct writer *out, const mock_rule *rule)
{
    for (int i = 0; i < rule->repeat; i++) {
        put16(out, 0xc000 | HEADER);
        put16(out, 1);
        put16(out, 1);
        put32(out, 60);
        put16(out, 4);
        put32(out, 0x0a000000ul + (unsigned)i);
    }
}

static void set16(struct writer *out, size_t at, unsigned number)
{
    out->bytes[at] = (uint8_t)(number >> 8);
    out->bytes[at + 1] = (uint8_t)number;
}

static void write_answer(struct writer *out, const mock_rule *rule)
{
    const char *records = rule->records ? rule->records : "";
    unsigned answers = put_section(out, records, false);

    if (rule->repeat) {
        put_repeated(out, rule);
        answers += (unsigned)rule->repeat;
    }
    set16(out, 6, answers);
    set16(out, 8, put_section(out, records, true));
}

static void write_fault(struct writer *out, const mock_rule *rule)
{
    switch (rule->fault) {
    case MOCK_SERVFAIL:
        out->bytes[3] |= 2;
        break;
    case MOCK_REFUSED:
        out->bytes[3] |= 5;
        break;
    case MOCK_FORMERR:
        out->bytes[3] |= 1;
        break;
    case MOCK_NOTIMP:
        out->bytes[3] |= 4;
        break;
    case MOCK_YXDOMAIN:
        out->bytes[3] |= 6;
        break;
    case MOCK_NXDOMAIN:
        out->bytes[3] |= 3;
        write_answer(out, rule);
        break;
    case MOCK_WRONG_ID:
        out->bytes[0] ^= 0xff;
        break;
    case MOCK_WRONG_QUESTION:
        out->bytes[HEADER + 1] ^= 1;
        break;
    case MOCK_POINTER_LOOP:
        set16(out, 6, 1);
        put16(out, 0xc000u | (unsigned)out->length);
        put16(out, 1);
        put16(out, 1);
        put32(out, 60);
        put16(out, 4);
        put32(out, 0x7f000001);
        break;
    case MOCK_GARBAGE:
        set16(out, 6, 3);
        put_hex(out, "ffc0ffee00ff3fff0102030405");
        break;
    default:
        write_answer(out, rule);
    }
}

static bool is_cut_short(mock_fault fault)
{
    return fault == MOCK_TRUNCATED || fault == MOCK_SLOW_TCP ||
           fault == MOCK_TCP_CLOSE;
}

/* Answering */

static void send_reply(dns_mock *mock, struct reply *reply)
{
    struct stream *stream;
    size_t length = reply->half ? reply->length / 2 : reply->length;

    if (reply->stream < 0) {
        sendto(reply->other_port ? mock->other : mock->udp, reply->bytes,
               reply->length, 0, (struct sockaddr *)&reply->to,
               sizeof reply->to);
        return;
    }
    stream = &mock->streams[reply->stream];
    if (stream->fd < 0)
        return;
    for (size_t at = 0; at < length; at += reply->slow ? 1 : length)
        if (send(stream->fd, reply->bytes + at, reply->slow ? 1 : length,
                 MSG_NOSIGNAL) < 0)
            break;
    if (reply->half) {
        close(stream->fd);
        stream->fd = -1;
    }
}

static void answer(dns_mock *mock, const uint8_t *bytes, size_t length,
                   int stream, const struct sockaddr_in *from)
{
    static const mock_rule nothing = {.fault = MOCK_NXDOMAIN};
    static struct writer out;
    char name[ROOM];
    size_t end = read_question(bytes, length, name);
    const mock_rule *rule;
    struct reply *reply;
    size_t prefix = stream >= 0 ? 2 : 0;

    if (length < HEADER || end == 0)
        return;
    atomic_fetch_add(stream < 0 ? &mock->asked : &mock->asked_tcp, 1);
    rule = find_rule(mock, name, bytes[end - 4] << 8 | bytes[end - 3]);
    if (!rule)
        rule = &nothing;
    if (rule->fault == MOCK_DROP)
        return;
    out.length = 0;
    put(&out, bytes, end);
    out.bytes[2] = 0x81;
    out.bytes[3] = 0x80;
    memset(out.bytes + 6, 0, 6);
    if (is_cut_short(rule->fault) && stream < 0)
        out.bytes[2] |= 2;
    else if (rule->fault == MOCK_NO_EDNS && length > end)
        out.bytes[3] |= 1;
    else
        write_fault(&out, rule);
    if (rule->fault == MOCK_CUT)
        out.length -= 5;
    reply = calloc(1, sizeof *reply + out.length + prefix);
    assert_non_null(reply);
    reply->stream = stream;
    if (from)
        reply->to = *from;
    reply->other_port = rule->fault == MOCK_WRONG_PORT;
    reply->slow = rule->fault == MOCK_SLOW_TCP;
    reply->half = rule->fault == MOCK_TCP_CLOSE;
    reply->due = after(rule->delay * MS);
    if (prefix) {
        reply->bytes[0] = (uint8_t)(out.length >> 8);
        reply->bytes[1] = (uint8_t)out.length;
    }
    memcpy(reply->bytes + prefix, out.bytes, out.length);
    reply->length = out.length + prefix;
    if (rule->delay == 0) {
        send_reply(mock, reply);
        free(reply);
        return;
    }
    reply->next = mock->delayed;
    mock->delayed = reply;
}

static void send_due(dns_mock *mock)
{
    struct reply **link = &mock->delayed;

    while (*link) {
        struct reply *reply = *link;

        if (reply->due > gcore_clock()) {
            link = &reply->next;
            continue;
        }
        *link = reply->next;
        send_reply(mock, reply);
        free(reply);
    }
}

/* The thread */

static void receive(dns_mock *mock)
{
    static uint8_t bytes[ROOM];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length;

    while ((length = recvfrom(mock->udp, bytes, sizeof bytes, MSG_DONTWAIT,
                              (struct sockaddr *)&from, &size)) > 0)
        answer(mock, bytes, (size_t)length, -1, &from);
}

static void take_stream(dns_mock *mock)
{
    int fd = accept4(mock->listener, NULL, NULL, SOCK_CLOEXEC);

    for (int i = 0; i < STREAMS && fd >= 0; i++)
        if (mock->streams[i].fd < 0) {
            mock->streams[i].fd = fd;
            mock->streams[i].length = 0;
            return;
        }
    if (fd >= 0)
        close(fd);
}

static void read_stream(dns_mock *mock, int index)
{
    struct stream *stream = &mock->streams[index];
    ssize_t got = recv(stream->fd, stream->bytes + stream->length,
                       sizeof stream->bytes - stream->length, MSG_DONTWAIT);

    if (got <= 0) {
        close(stream->fd);
        stream->fd = -1;
        return;
    }
    stream->length += (size_t)got;
    while (stream->fd >= 0 && stream->length >= 2) {
        size_t length = (size_t)stream->bytes[0] << 8 | stream->bytes[1];
        uint8_t message[2048];

        if (stream->length < length + 2)
            return;
        memcpy(message, stream->bytes + 2, length);
        stream->length -= length + 2;
        memmove(stream->bytes, stream->bytes + length + 2, stream->length);
        answer(mock, message, length, index, NULL);
    }
}

static void *serve(void *arg)
{
    dns_mock *mock = arg;

    for (;;) {
        struct pollfd fds[3 + STREAMS] = {
            {.fd = mock->stop[0], .events = POLLIN},
            {.fd = mock->udp, .events = POLLIN},
            {.fd = mock->listener, .events = POLLIN}};

        for (int i = 0; i < STREAMS; i++)
            fds[3 + i] = (struct pollfd){.fd = mock->streams[i].fd,
                                         .events = POLLIN};
        poll(fds, 3 + STREAMS, mock->delayed ? 1 : -1);
        if (fds[0].revents)
            return NULL;
        if (fds[1].revents)
            receive(mock);
        if (fds[2].revents)
            take_stream(mock);
        for (int i = 0; i < STREAMS; i++)
            if (fds[3 + i].revents && mock->streams[i].fd >= 0)
                read_stream(mock, i);
        send_due(mock);
    }
}

static int bound(int type, int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_in name;
    socklen_t size = sizeof name;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    return ntohs(name.sin_port);
}

dns_mock *mock_start(mock_rule *rules)
{
    dns_mock *mock = calloc(1, sizeof *mock);

    assert_non_null(mock);
    mock->rules = rules;
    do { /* a port that is free for both */
        mock->udp = bound(SOCK_DGRAM, 0);
        mock->listener = bound(SOCK_STREAM, port_of(mock->udp));
        if (mock->listener < 0)
            close(mock->udp);
    } while (mock->listener < 0);
    assert_int_equal(listen(mock->listener, STREAMS), 0);
    mock->other = bound(SOCK_DGRAM, 0);
    for (int i = 0; i < STREAMS; i++)
        mock->streams[i].fd = -1;
    snprintf(mock->address, sizeof mock->address, "127.0.0.1:%d",
             port_of(mock->udp));
    make_pipe(mock->stop);
    mock->thread = thread_start(serve, mock);
    return mock;
}

void mock_stop(dns_mock *mock)
{
    make_ready(mock->stop);
    thread_join(mock->thread);
    close_pipe(mock->stop);
    close(mock->udp);
    close(mock->other);
    close(mock->listener);
    for (int i = 0; i < STREAMS; i++)
        if (mock->streams[i].fd >= 0)
            close(mock->streams[i].fd);
    while (mock->delayed) {
        struct reply *reply = mock->delayed;

        mock->delayed = reply->next;
        free(reply);
    }
    free(mock);
}

const char *mock_address(dns_mock *mock)
{
    return mock->address;
}

int mock_asked(dns_mock *mock)
{
    return atomic_load(&mock->asked);
}

int mock_asked_tcp(dns_mock *mock)
{
    return atomic_load(&mock->asked_tcp);
}
