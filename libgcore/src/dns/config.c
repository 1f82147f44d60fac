/*
 * What to ask and whom: resolv.conf, nsswitch.conf, the environment, and the
 * options, which come before all of them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/dns.h"

#define DEFAULT_PORT 53
#define DEFAULT_TRIES 2
#define DEFAULT_TIMEOUT (5 * GCORE__NS)
#define LIST_SEPARATORS ", \t\r\n"
#define LOCAL_RESOLV_SERVERS 3 /* of which libc takes no more */

/* Servers */

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || number == 0 ||
        number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "address", "address:port", "[address]:port"; the text is cut up. */
static bool parse_server(char *text, const gcore_resolver_options *given,
                         gcore__server *out)
{
    char *port = NULL;
    gcore_dns_address address;

    if (*text == '[') {
        char *end = strchr(++text, ']');

        if (!end || (end[1] && end[1] != ':'))
            return false;
        port = end[1] ? end + 2 : NULL;
        *end = '\0';
    } else if (strchr(text, ':') == strrchr(text, ':') && strchr(text, ':')) {
        port = strchr(text, ':');
        *port++ = '\0';
    }
    if (gcore__address_parse(text, &address) < 0)
        return false;
    out->family = address.family;
    memcpy(out->bytes, address.bytes, sizeof out->bytes);
    out->udp_port = given->udp_port ? given->udp_port : DEFAULT_PORT;
    out->tcp_port = given->tcp_port ? given->tcp_port : DEFAULT_PORT;
    if (port && !parse_port(port, &out->udp_port))
        return false;
    if (port)
        out->tcp_port = out->udp_port;
    return true;
}

int gcore__servers_parse(const char *text, const gcore_resolver_options *given,
                         gcore__server *out)
{
    int count = 0;

    while (*(text += strspn(text, LIST_SEPARATORS))) {
        size_t length = strcspn(text, LIST_SEPARATORS);
        char word[128];

        if (length >= sizeof word || count == GCORE__SERVERS)
            return -EINVAL;
        memcpy(word, text, length);
        word[length] = '\0';
        if (!parse_server(word, given, &out[count]))
            return -EINVAL;
        count++;
        text += length;
    }
    return count > 0 ? count : -EINVAL;
}

/* resolv.conf */

static int add_domains(gcore__config *config, const char *text)
{
    config->domain_count = 0;
    while (*(text += strspn(text, LIST_SEPARATORS))) {
        size_t length = strcspn(text, LIST_SEPARATORS);
        char *domain;

        while (length > 0 && *text == '.') {
            text++;
            length--;
        }
        if (config->domain_count == GCORE__DOMAINS)
            return 0;
        if (length > 0) {
            domain = gcore__arena_text(&config->arena, text, length);
            if (!domain)
                return -ENOMEM;
            config->domains[config->domain_count++] = domain;
        }
        text += length;
    }
    return 0;
}

/* The number after "name:"; false for another word. */
static bool number_of(const char *word, const char *name, int least, int most,
                      int *out)
{
    size_t length = strlen(name);
    long number;

    if (strncmp(word, name, length) != 0)
        return false;
    number = strtol(word + length, NULL, 10);
    *out = number < least ? least : number > most ? most : (int)number;
    return true;
}

static void set_option(gcore__config *config, const char *word)
{
    int seconds;

    if (number_of(word, "ndots:", 0, 15, &config->ndots) ||
        number_of(word, "attempts:", 1, 5, &config->tries))
        return;
    if (number_of(word, "timeout:", 1, 30, &seconds))
        config->timeout = seconds * GCORE__NS;
    else if (strcmp(word, "rotate") == 0)
        config->rotate = true;
    else if (strcmp(word, "use-vc") == 0)
        config->use_tcp = true;
    else if (strcmp(word, "no-aaaa") == 0)
        config->no_aaaa = true;
}

static void set_options(gcore__config *config, char *words)
{
    char *word;

    while ((word = gcore__file_word(&words)) != NULL)
        set_option(config, word);
}

static int read_resolv_line(gcore__config *config,
                            const gcore_resolver_options *given, char *line)
{
    char *word = gcore__file_word(&line);

    if (!word)
        return 0;
    if (strcmp(word, "nameserver") == 0) {
        char *address = gcore__file_word(&line);

        if (address && config->server_count < LOCAL_RESOLV_SERVERS &&
            parse_server(address, given,
                         &config->servers[config->server_count]))
            config->server_count++;
    } else if (strcmp(word, "domain") == 0 || strcmp(word, "search") == 0) {
        return add_domains(config, line);
    } else if (strcmp(word, "options") == 0) {
        set_options(config, line);
    }
    return 0;
}

/* Without a search list: what follows the first dot of the host's name. */
static int add_own_domain(gcore__config *config)
{
    char name[256];
    char *dot;

    if (gethostname(name, sizeof name) < 0)
        return 0;
    name[sizeof name - 1] = '\0';
    dot = strchr(name, '.');
    return dot ? add_domains(config, dot + 1) : 0;
}

static int read_resolv(gcore__config *config,
                       const gcore_resolver_options *given)
{
    char *text, *rest, *line;
    int error = gcore__file_read(given->resolv_path, &text);

    if (error < 0)
        return error;
    config->domain_count = -1;
    rest = text;
    while (error == 0 && gcore__file_line(&rest, ";#", &line))
        error = read_resolv_line(config, given, line);
    gcore__free(text);
    if (error == 0 && config->domain_count < 0) {
        config->domain_count = 0;
        error = add_own_domain(config);
    }
    return error;
}

static int read_environment(gcore__config *config,
                            const gcore_resolver_options *given)
{
    const char *domains = getenv("LOCALDOMAIN");
    const char *options = getenv("RES_OPTIONS");
    int error = 0;

    if (given->flags & GCORE_RESOLVER_NOENV)
        return 0;
    if (domains)
        error = add_domains(config, domains);
    if (error == 0 && options) {
        char *words = gcore__arena_text(&config->arena, options,
                                        strlen(options));

        if (!words)
            return -ENOMEM;
        set_options(config, words);
    }
    return error;
}

/* nsswitch.conf */

static void add_source(gcore__config *config, char source)
{
    size_t length = strlen(config->sources);

    if (!strchr(config->sources, source) &&
        length + 1 < sizeof config->sources)
        config->sources[length] = source;
}

/* The services after "hosts:". systemd's own resolver is the DNS server that
 * resolv.conf names, and knows the hosts file. Of the actions, only the ones
 * that end the search where a source has nothing matter here. */
static void read_services(gcore__config *config, char *line)
{
    bool known = false;
    char *word;

    while ((word = gcore__file_word(&line)) != NULL) {
        if (*word == '[') {
            if (known && (strcasestr(word, "notfound=return") ||
                          strcasestr(word, "!unavail=return") ||
                          strcasestr(word, "!success=return")))
                return;
            continue;
        }
        known = true;
        if (strcmp(word, "files") == 0) {
            add_source(config, 'f');
        } else if (strcmp(word, "dns") == 0) {
            add_source(config, 'b');
        } else if (strcmp(word, "resolve") == 0) {
            add_source(config, 'f');
            add_source(config, 'b');
        } else {
            known = false;
        }
    }
}

static int read_nsswitch(gcore__config *config,
                         const gcore_resolver_options *given)
{
    static const char key[] = "hosts:";
    char *text, *rest, *line;
    int error = gcore__file_read(given->nsswitch_path, &text);

    if (error < 0)
        return error;
    rest = text;
    while (gcore__file_line(&rest, "#", &line)) {
        line += strspn(line, " \t");
        if (strncmp(line, key, sizeof key - 1) == 0)
            read_services(config, line + sizeof key - 1);
    }
    gcore__free(text);
    if (!config->sources[0])
        memcpy(config->sources, "fb", 3);
    return 0;
}

/* All of it */

static int apply_options(gcore__config *config,
                         const gcore_resolver_options *given)
{
    int error = 0;

    if (given->domains)
        error = add_domains(config, given->domains);
    if (given->ndots != 0)
        config->ndots = given->ndots < 0 ? 0 : given->ndots;
    if (given->tries != 0)
        config->tries = given->tries;
    if (given->timeout != 0)
        config->timeout = given->timeout;
    if (given->rotate != 0)
        config->rotate = given->rotate > 0;
    if (given->flags & GCORE_RESOLVER_USETCP)
        config->use_tcp = true;
    if (given->servers && error == 0) {
        error = gcore__servers_parse(given->servers, given, config->servers);
        config->server_count = error;
    }
    return error < 0 ? error : 0;
}

static void default_server(gcore__config *config,
                           const gcore_resolver_options *given)
{
    char loopback[] = "127.0.0.1";

    if (config->server_count == 0 &&
        parse_server(loopback, given, config->servers))
        config->server_count = 1;
}

int gcore__config_new(const gcore_resolver_options *options,
                      gcore__config **out)
{
    gcore__config *config = gcore__alloc(sizeof *config);
    int error;

    if (!config)
        return -ENOMEM;
    config->ndots = 1;
    config->tries = DEFAULT_TRIES;
    config->timeout = DEFAULT_TIMEOUT;
    error = read_resolv(config, options);
    if (error == 0)
        error = read_environment(config, options);
    if (error == 0 && !options->lookups)
        error = read_nsswitch(config, options);
    for (const char *at = options->lookups; at && *at; at++)
        add_source(config, *at);
    if (error == 0)
        error = apply_options(config, options);
    if (error < 0) {
        gcore__config_free(config);
        return error;
    }
    default_server(config, options);
    *out = config;
    return 0;
}

void gcore__config_free(gcore__config *config)
{
    if (!config)
        return;
    gcore__arena_free(&config->arena);
    gcore__free(config);
}
