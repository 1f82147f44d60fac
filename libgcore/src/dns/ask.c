/*
 * Asking about a name: one question or two (A and AAAA side by side), for
 * one candidate after the other of the search list, as libc does it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"

static int dots_in(const char *name)
{
    int dots = 0;

    for (; *name; name++)
        dots += *name == '.';
    return dots;
}

static bool ends_with_dot(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && name[length - 1] == '.';
}

/* The places: 0 is the name as it is, if that is to come first; then the
 * domains; the last is the name as it is, if it has not been tried. Returns
 * the candidate of the next place, perhaps in `room`; NULL where there is
 * none, "" for one that cannot be asked. */
static const char *candidate(gcore_lookup *lookup, char *room)
{
    const gcore__config *config = lookup->resolver->config;
    gcore__ask *ask = &lookup->ask;
    bool searched = ask->search && !ends_with_dot(ask->name) &&
                    !(lookup->resolver->options.flags &
                      GCORE_RESOLVER_NOSEARCH);
    int domain;

    ask->is_as_is = false;
    if (ask->place == 0) {
        ask->place = 1;
        if (!searched || dots_in(ask->name) >= config->ndots)
            goto as_is;
    }
    domain = ask->place - 1;
    if (searched && domain < config->domain_count) {
        int length = snprintf(room, GCORE__NAME_ROOM, "%s.%s", ask->name,
                              config->domains[domain]);

        ask->place++;
        return length < GCORE__NAME_ROOM ? room : "";
    }
    if (ask->as_is)
        return NULL;

as_is:
    ask->as_is = ask->is_as_is = true;
    return ask->name;
}

static void drop_answers(gcore__ask *ask)
{
    for (int i = 0; i < ask->count; i++) {
        gcore__shared_unref(ask->answers[i]);
        ask->answers[i] = NULL;
    }
}

/* Of the two questions' errors the one that says more: that there is
 * nothing counts least, for the other may have been lost. */
static int worse(int a, int b)
{
    static const int order[] = {-GCORE_EAI_NONAME, -GCORE_EAI_NODATA};

    if (a == 0)
        return b;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (a == order[i])
            return b != 0 ? b : a;
    return a;
}

/* As libc sees it, a host whose CNAMEs lead nowhere does not exist. */
static int meaning(const gcore__ask *ask, int error,
                   const gcore__answer *answer)
{
    return error == -GCORE_EAI_NODATA && ask->search && answer &&
                   answer->count > 0
               ? -GCORE_EAI_NONAME
               : error;
}

static void take(gcore__ask *ask, gcore__wait *wait, int error,
                 gcore__answer *answer)
{
    error = meaning(ask, error, answer);
    ask->open--;
    if (error == 0)
        ask->answers[wait - ask->waits] = gcore__shared_ref(answer);
    else
        ask->error = worse(ask->error, error);
}

static void ask_all(gcore_lookup *lookup, const char *name)
{
    gcore__ask *ask = &lookup->ask;

    ask->error = 0;
    ask->open = ask->count;
    ask->busy = true;
    for (int i = 0; i < ask->count; i++) {
        gcore__answer *answer = NULL;
        int result;

        ask->waits[i].lookup = lookup;
        result = *name ? gcore__question_ask(lookup, name, ask->types[i],
                                             &ask->waits[i], &answer)
                       : -GCORE_EAI_NONAME;
        if (result == 0)
            continue;
        if (result > 0 && answer->error < 0)
            result = answer->error;
        take(ask, &ask->waits[i], result > 0 ? 0 : result, answer);
        gcore__shared_unref(answer);
    }
    ask->busy = false;
}

static bool has_answer(const gcore__ask *ask)
{
    for (int i = 0; i < ask->count; i++)
        if (ask->answers[i])
            return true;
    return false;
}

/* Whether an error says something of a name, not of this machine. */
static bool is_of_name(int error)
{
    return error == -GCORE_EAI_NONAME || error == -GCORE_EAI_NODATA ||
           error == -GCORE_EAI_AGAIN || error == -GCORE_EAI_FAIL ||
           error == GCORE__UNWILLING;
}

/* What a candidate's error means for the next ones, as in libc: who does not
 * answer for one domain may know another; servers that are silent are asked
 * for no more domains, but still for the name as it is. */
static void remember(gcore__ask *ask)
{
    int error = ask->error;
    bool unwilling = error == GCORE__UNWILLING;

    ask->last_error = unwilling ? -GCORE_EAI_AGAIN : error;
    if (ask->is_as_is) {
        if (ask->place == 1)
            ask->as_is_error = ask->last_error;
        return;
    }
    ask->unwilling |= unwilling;
    ask->no_data |= error == -GCORE_EAI_NODATA;
    if (!unwilling && error != -GCORE_EAI_NODATA && error != -GCORE_EAI_NONAME)
        ask->place = GCORE__DOMAINS + 1;
}

/* What is said in the end: what the name as it is came to, if that was asked
 * first; else what the domains came to, if there was more than no such name. */
static int verdict(const gcore__ask *ask)
{
    if (ask->as_is_error < 0)
        return ask->as_is_error;
    if (ask->no_data)
        return -GCORE_EAI_NODATA;
    return ask->unwilling ? -GCORE_EAI_AGAIN : ask->last_error;
}

static int advance(gcore_lookup *lookup)
{
    gcore__ask *ask = &lookup->ask;
    char room[GCORE__NAME_ROOM];

    for (;;) {
        const char *name;

        if (ask->open > 0)
            return 0;
        if (has_answer(ask))
            return 1;
        if (ask->error < 0 && !is_of_name(ask->error))
            return ask->error;
        if (ask->error < 0)
            remember(ask);
        name = candidate(lookup, room);
        if (!name)
            return verdict(ask);
        ask_all(lookup, name);
    }
}

int gcore__ask_start(gcore_lookup *lookup)
{
    return advance(lookup);
}

void gcore__ask_answered(gcore__wait *wait, int error, gcore__answer *answer)
{
    gcore_lookup *lookup = wait->lookup;
    int result;

    take(&lookup->ask, wait, error, answer);
    if (lookup->ask.busy)
        return;
    result = advance(lookup);
    if (result != 0)
        gcore__lookup_resume(lookup, result);
}

void gcore__ask_leave(gcore_lookup *lookup)
{
    gcore__ask *ask = &lookup->ask;

    for (int i = 0; i < ask->count; i++)
        gcore__question_leave(&ask->waits[i]);
    drop_answers(ask);
}
