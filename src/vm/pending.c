/* SPDX-License-Identifier: Apache-2.0 */
/* Requests under way: see pending.h. */
#include "vm/pending.h"

#include "moat/control.h"

#include <stdio.h>

static struct pending_request *find(struct pending *p, uint32_t id) {
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        if (p->requests[i].id == id) {
            return &p->requests[i];
        }
    }
    return NULL;
}

bool pending_add(struct pending *p, uint32_t id, uint16_t type, uint64_t now_ns) {
    struct pending_request *r = find(p, 0);
    if (id == 0 || r == NULL) {
        return id == 0; /* nobody waits for an answer to 0 */
    }
    *r = (struct pending_request){.id = id, .type = type, .since_ns = now_ns};
    return true;
}

bool pending_take(struct pending *p, uint32_t id) {
    struct pending_request *r = id != 0 ? find(p, id) : NULL;
    if (r != NULL) {
        r->id = 0;
    }
    return r != NULL;
}

void pending_up(struct pending *p, uint64_t now_ns) {
    p->up = true;
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        p->requests[i].since_ns = now_ns;
    }
}

/* Making a container is part of the start: its files are read for the first time. */
static uint32_t seconds_of(const struct pending *p, uint16_t type) {
    return type == MOAT_CTL_CREATE ? p->start_s : p->answer_s;
}

/* When its time is up; UINT64_MAX: never. */
static uint64_t deadline(const struct pending *p, const struct pending_request *r) {
    uint32_t seconds = p->up ? seconds_of(p, r->type) : p->start_s;
    uint64_t since = p->up ? r->since_ns : p->start_ns;
    return r->id == 0 || seconds == 0 ? UINT64_MAX : since + seconds * NSEC_PER_SEC;
}

static const char *what_was_asked(uint16_t type) {
    static const struct {
        uint16_t type;
        const char *text;
    } names[] = {
        {MOAT_CTL_CREATE, "to create the container"}, {MOAT_CTL_START, "to start the container"},
        {MOAT_CTL_EXEC, "to run a program"},          {MOAT_CTL_SIGNAL, "to send a signal"},
        {MOAT_CTL_PS, "for its processes"},           {MOAT_CTL_STATS, "for statistics"},
        {MOAT_CTL_PAUSE, "to pause the container"},   {MOAT_CTL_RESUME, "to resume the container"},
        {MOAT_CTL_UPDATE, "for new limits"},          {MOAT_CTL_DESTROY, "to end the container"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (names[i].type == type) {
            return names[i].text;
        }
    }
    return "something";
}

bool pending_expired(struct pending *p, uint64_t now_ns, uint32_t *out_id, char *text,
                     size_t size) {
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        struct pending_request *r = &p->requests[i];
        if (deadline(p, r) > now_ns) {
            continue;
        }
        if (!p->up) {
            (void)snprintf(
                text, size,
                "the virtual machine's agent did not speak within %u s: its kernel does "
                "not come up (--debug --log FILE shows what it says), or the host is too "
                "busy (vm.start-timeout in moat.conf)",
                p->start_s); /* cut if need be */
        } else {
            (void)snprintf(text, size,
                           "the virtual machine was asked %s and did not answer within %u s: it "
                           "hangs, or the host is too busy ('moat delete --force' ends it)",
                           what_was_asked(r->type), seconds_of(p, r->type)); /* likewise */
        }
        *out_id = r->id;
        r->id = 0;
        return true;
    }
    return false;
}

bool pending_any(struct pending *p, uint32_t *out_id) {
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        *out_id = p->requests[i].id;
        p->requests[i].id = 0;
        if (*out_id != 0) {
            return true;
        }
    }
    return false;
}

int pending_wait_ms(const struct pending *p, uint64_t now_ns) {
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < PENDING_MAX; i++) {
        first = MIN(first, deadline(p, &p->requests[i]));
    }
    if (first == UINT64_MAX) {
        return -1;
    }
    uint64_t left_ms = first > now_ns ? (first - now_ns) / NSEC_PER_MSEC + 1 : 0;
    return (int)MIN(left_ms, (uint64_t)INT32_MAX);
}
