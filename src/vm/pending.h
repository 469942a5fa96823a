/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that the agent has not answered yet, and how long each may take.  Until the agent
 * has spoken all wait for that alone; from then on each has its own time.
 */
#ifndef MOAT_VM_PENDING_H
#define MOAT_VM_PENDING_H

#include "base/types.h"

#define PENDING_MAX 128u

struct pending_request {
    uint32_t id;   /* 0: none */
    uint16_t type; /* MOAT_CTL_* */
    uint64_t since_ns;
};

struct pending {
    uint64_t start_ns;          /* when the machine began; times are CLOCK_MONOTONIC */
    uint32_t start_s, answer_s; /* what the start, and what an answer, may take; 0: any time */
    bool up;                    /* the agent has spoken */
    struct pending_request requests[PENDING_MAX];
};

/* False when too many are under way. */
must_check bool pending_add(struct pending *p, uint32_t id, uint16_t type, uint64_t now_ns);
/* The agent's answer has come: false when nobody waits for one with that id (any more). */
bool pending_take(struct pending *p, uint32_t id);
/* The agent has spoken: what waited for that has its own time from now on. */
void pending_up(struct pending *p, uint64_t now_ns);
/* Takes one request that nobody answered in its time, and says so in text; false: there is none. */
must_check bool pending_expired(struct pending *p, uint64_t now_ns, uint32_t *out_id, char *text,
                                size_t size);
/* Takes any request; false: there is none. */
must_check bool pending_any(struct pending *p, uint32_t *out_id);
/* For poll(2): milliseconds until pending_expired may have something, or -1. */
int pending_wait_ms(const struct pending *p, uint64_t now_ns);

#endif
