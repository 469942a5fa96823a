/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte queue of terminals: see ring.h.
 */
#include "fs/tty/ring.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <asm-generic/errno-base.h>

int ring_init(struct ring *r, uint32_t max) {
    memset(r, 0, sizeof(*r));
    r->buf = kmalloc(RING_FIRST);
    if (r->buf == NULL) {
        return -ENOMEM;
    }
    r->cap = RING_FIRST;
    r->max = max;
    return 0;
}

void ring_free(struct ring *r) {
    kfree(r->buf);
    memset(r, 0, sizeof(*r));
}

static void copy_out(const struct ring *r, void *buf, uint32_t from, uint32_t len) {
    uint32_t at = from & (r->cap - 1);
    uint32_t first = MIN(len, r->cap - at);
    memcpy(buf, r->buf + at, first);
    memcpy((uint8_t *)buf + first, r->buf, len - first);
}

/* Makes place for `want` bytes in all if there is memory; leaves the queue as it was otherwise. */
static void ring_grow(struct ring *r, uint32_t want) {
    uint32_t cap = r->cap;
    while (cap < want && cap < r->max) {
        cap *= 2;
    }
    uint8_t *buf = cap != r->cap ? kmalloc(cap) : NULL;
    if (buf == NULL) {
        return;
    }
    uint32_t len = ring_len(r);
    copy_out(r, buf, r->tail, len);
    kfree(r->buf);
    r->buf = buf;
    r->cap = cap;
    r->tail = 0;
    r->head = len;
}

size_t ring_put(struct ring *r, const void *data, size_t len) {
    uint32_t used = ring_len(r);
    uint32_t count = (uint32_t)MIN(len, (size_t)(r->max - used));
    if (used + count > r->cap) {
        ring_grow(r, used + count);
        count = MIN(count, r->cap - used);
    }
    uint32_t at = r->head & (r->cap - 1);
    uint32_t first = MIN(count, r->cap - at);
    memcpy(r->buf + at, data, first);
    memcpy(r->buf, (const uint8_t *)data + first, count - first);
    r->head += count;
    return count;
}

bool ring_put_all(struct ring *r, const void *data, size_t len) {
    uint32_t used = ring_len(r);
    if (len > r->max - used) {
        return false;
    }
    if (used + len > r->cap) {
        ring_grow(r, used + (uint32_t)len);
        if (used + len > r->cap) {
            return false;
        }
    }
    return ring_put(r, data, len) == len;
}

size_t ring_peek(const struct ring *r, void *buf, size_t len) {
    uint32_t count = (uint32_t)MIN(len, (size_t)ring_len(r));
    copy_out(r, buf, r->tail, count);
    return count;
}

void ring_drop(struct ring *r, size_t len) {
    r->tail += (uint32_t)MIN(len, (size_t)ring_len(r));
    if (r->tail == r->head && r->cap > 4 * RING_FIRST) {
        uint8_t *small = kmalloc(RING_FIRST);
        if (small != NULL) {
            kfree(r->buf);
            r->buf = small;
            r->cap = RING_FIRST;
        }
    }
}

size_t ring_take(struct ring *r, void *buf, size_t len) {
    size_t count = ring_peek(r, buf, len);
    ring_drop(r, count);
    return count;
}

void ring_clear(struct ring *r) {
    ring_drop(r, ring_len(r));
}
