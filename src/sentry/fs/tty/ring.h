/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte queue that grows up to a limit.  Callers bring their own lock.  A queue always has its
 * first RING_FIRST bytes, so that it makes progress without memory.
 */
#ifndef MOAT_SENTRY_TTY_RING_H
#define MOAT_SENTRY_TTY_RING_H

#include "base/types.h"

#define RING_FIRST 1024u

struct ring {
    uint8_t *buf;
    uint32_t cap;  /* power of two */
    uint32_t max;  /* power of two */
    uint32_t head; /* free-running: bytes ever put */
    uint32_t tail; /* bytes ever taken */
};

/* 0 or -ENOMEM.  `max`: a power of two, at least RING_FIRST. */
must_check int ring_init(struct ring *r, uint32_t max);
void ring_free(struct ring *r);
static inline uint32_t ring_len(const struct ring *r) {
    return r->head - r->tail;
}
static inline uint32_t ring_room(const struct ring *r) {
    return r->max - ring_len(r);
}
/* Puts as many of the bytes as fit; how many. */
size_t ring_put(struct ring *r, const void *data, size_t len);
/* All or nothing. */
must_check bool ring_put_all(struct ring *r, const void *data, size_t len);
/* Copies up to `len` bytes out without taking them. */
size_t ring_peek(const struct ring *r, void *buf, size_t len);
void ring_drop(struct ring *r, size_t len);
size_t ring_take(struct ring *r, void *buf, size_t len);
void ring_clear(struct ring *r);

#endif
