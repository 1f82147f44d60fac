/*
 * Questions on their way: identical ones are one, and no more than so many
 * are on the wire at a time, for a socket's buffer holds only so many
 * answers. One that nobody waits for any more leaves the queue; on the wire
 * it stays, and counts, until the wire is done with it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "dns/dns.h"

/* A key as it lies in a question: the name is its end. */
#define KEY_HEAD                                                              \
    (offsetof(gcore__key, bytes.name) - offsetof(gcore__key, bytes))

/* What is kept to be used again: so many, each with room for such a key. */
#define MOST_SPARE 64
#define USUAL_KEY 64

static void attach(gcore__question *question, gcore__wait *wait)
{
    wait->question = question;
    gcore__list_append(&question->waits, &wait->link);
}

static gcore__question *find(gcore_resolver *resolver, const gcore__key *key)
{
    gcore__node *node = gcore__table_find(&resolver->questions, &key->bytes,
                                          key->length);

    return node ? GCORE__OF(gcore__question, node, node) : NULL;
}

/* A question with room for a key and a NUL; only those fields of it count
 * that are set here. */
static gcore__question *take(gcore_resolver *resolver, size_t length)
{
    size_t room = length < USUAL_KEY ? USUAL_KEY : length + 1;
    gcore__question *question;

    if (room == USUAL_KEY && resolver->spare_count > 0) {
        question = GCORE__OF(gcore__question, link, resolver->spare.prev);
        gcore__list_remove(&question->link);
        resolver->spare_count--;
    } else {
        question = gcore__alloc(sizeof *question + room);
        if (!question)
            return NULL;
    }
    *question = (gcore__question){.resolver = resolver, .room = room};
    return question;
}

static void give_back(gcore__question *question)
{
    gcore_resolver *resolver = question->resolver;

    if (question->room > USUAL_KEY || resolver->spare_count == MOST_SPARE) {
        gcore__free(question);
        return;
    }
    gcore__list_append(&resolver->spare, &question->link);
    resolver->spare_count++;
}

void gcore__questions_trim(gcore_resolver *resolver)
{
    while (!gcore__list_empty(&resolver->spare)) {
        gcore__link *link = resolver->spare.next;

        gcore__list_remove(link);
        gcore__free(GCORE__OF(gcore__question, link, link));
    }
    resolver->spare_count = 0;
}

static gcore__question *add(gcore_resolver *resolver, const gcore__key *key,
                            int type)
{
    gcore__question *question = take(resolver, key->length);

    if (!question)
        return NULL;
    question->type = type;
    question->name = question->key + KEY_HEAD;
    memcpy(question->key, &key->bytes, key->length);
    question->key[key->length] = '\0';
    question->node.key = question->key;
    question->node.length = (uint32_t)key->length;
    gcore__list_init(&question->waits);
    gcore__list_append(&resolver->queue, &question->link);
    resolver->stats.queued++;
    gcore__table_add(&resolver->questions, &question->node);
    return question;
}

static void unqueue(gcore__question *question)
{
    if (gcore__list_empty(&question->link))
        return;
    gcore__list_remove(&question->link);
    question->resolver->stats.queued--;
}

static void discard(gcore__question *question)
{
    unqueue(question);
    gcore__table_remove(&question->resolver->questions, &question->node);
    give_back(question);
}

/* Returns 0 with a wire to ask by, or an error. */
static int find_wire(gcore_resolver *resolver)
{
    gcore__wire *wire = resolver->wire;

    if (wire && gcore__wire_is_worn(wire)) {
        resolver->wire = NULL;
        gcore__wire_retire(wire);
    }
    return resolver->wire ? 0 : gcore__wire_new(resolver, &resolver->wire);
}

/* Puts questions on the wire while there is room. */
static void pump(gcore_resolver *resolver)
{
    if (resolver->pumping)
        return;
    resolver->pumping = true;
    while (!gcore__list_empty(&resolver->queue) &&
           resolver->stats.in_flight < resolver->options.in_flight) {
        gcore__question *question =
            GCORE__OF(gcore__question, link, resolver->queue.next);
        int error = find_wire(resolver);

        unqueue(question);
        resolver->stats.questions++;
        if (error < 0) {
            gcore__question_answered(question, error, NULL);
        } else {
            resolver->stats.in_flight++;
            gcore__wire_ask(resolver->wire, question);
        }
    }
    resolver->pumping = false;
}

int gcore__question_ask(gcore_lookup *lookup, const char *name, int type,
                        gcore__wait *wait, gcore__answer **out)
{
    gcore_resolver *resolver = lookup->resolver;
    gcore__question *question;
    gcore__key key;

    if (!gcore__key_set(&key, 'q', type, name))
        return -GCORE_EAI_NONAME;
    if (resolver->caching) {
        *out = gcore__cache_find(&resolver->cache, &key, resolver->now);
        if (*out) {
            resolver->stats.hits++;
            gcore__shared_ref(*out);
            return 1;
        }
    }
    if (lookup->local)
        return -ETIMEDOUT;
    question = find(resolver, &key);
    if (question) {
        resolver->stats.shared++;
        attach(question, wait);
        return 0;
    }
    question = add(resolver, &key, type);
    if (!question)
        return -ENOMEM;
    attach(question, wait);
    pump(resolver);
    return 0;
}

void gcore__question_leave(gcore__wait *wait)
{
    gcore__question *question = wait->question;

    if (!question)
        return;
    wait->question = NULL;
    gcore__list_remove(&wait->link);
    if (gcore__list_empty(&question->waits) && !question->wire)
        discard(question);
}

static void keep(gcore__question *question, gcore__answer *answer)
{
    gcore_resolver *resolver = question->resolver;
    int64_t most = answer->error < 0 ? resolver->options.negative_ttl
                                     : resolver->options.cache_ttl;
    int64_t ttl = answer->ttl * GCORE__NS;
    gcore__key key;

    if (ttl > most)
        ttl = most;
    answer->shared.expires = resolver->now + ttl;
    if (!resolver->caching || resolver->closed || ttl <= 0)
        return;
    key.length = question->node.length;
    memcpy(&key.bytes, question->key, key.length);
    gcore__cache_keep(&resolver->cache, &key, answer);
}

void gcore__question_answered(gcore__question *question, int error,
                              gcore__answer *answer)
{
    gcore_resolver *resolver = question->resolver;

    resolver->stats.in_flight -= question->wire != NULL;
    if (answer) {
        resolver->stats.answers++;
        error = answer->error;
        keep(question, answer);
    } else {
        resolver->stats.failures++;
    }
    /* It is over before anybody can ask the same again. */
    unqueue(question);
    gcore__table_remove(&resolver->questions, &question->node);
    while (!gcore__list_empty(&question->waits)) {
        gcore__wait *wait = GCORE__OF(gcore__wait, link,
                                      question->waits.next);

        gcore__list_remove(&wait->link);
        wait->question = NULL;
        gcore__ask_answered(wait, error, answer);
    }
    give_back(question);
    gcore__shared_unref(answer);
    if (!resolver->closed)
        pump(resolver);
}

void gcore__questions_drop(gcore_resolver *resolver)
{
    while (!gcore__list_empty(&resolver->queue))
        gcore__question_answered(
            GCORE__OF(gcore__question, link, resolver->queue.next),
            -ECANCELED, NULL);
}
