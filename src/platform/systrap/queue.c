/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of orders of a space: a list of chunks, each a pool page.  The caller holds the space's
 * lock. */
#include "platform/systrap/internal.h"

#include <errno.h>

must_check int queue_push(struct order_queue *q, const struct order *o) {
    if (q->last == NULL || q->tail == ORDER_CHUNK) {
        struct order_chunk *c = pool_page_get();
        if (c == NULL) {
            return -ENOMEM;
        }
        c->next = NULL;
        if (q->last == NULL) {
            q->first = c;
            q->head = 0;
        } else {
            q->last->next = c;
        }
        q->last = c;
        q->tail = 0;
    }
    q->last->orders[q->tail++] = *o;
    q->count++;
    q->urgent += o->urgent ? 1u : 0u;
    return 0;
}

struct order *queue_head(struct order_queue *q) {
    return q->count == 0 ? NULL : &q->first->orders[q->head];
}

struct order *queue_last(struct order_queue *q) {
    return q->count == 0 ? NULL : &q->last->orders[q->tail - 1];
}

struct order *queue_at(struct order_queue *q, uint32_t i) {
    struct order_chunk *c = q->first;
    uint64_t at = (uint64_t)q->head + i;
    while (at >= ORDER_CHUNK) {
        c = c->next;
        at -= ORDER_CHUNK;
    }
    return &c->orders[at];
}

void queue_pop(struct order_queue *q) {
    struct order_chunk *c = q->first;
    q->urgent -= c->orders[q->head].urgent ? 1u : 0u;
    q->count--;
    q->head++;
    if (q->count == 0) {
        pool_page_put(c);
        q->first = q->last = NULL;
        q->head = q->tail = 0;
    } else if (q->head == ORDER_CHUNK) {
        q->first = c->next;
        q->head = 0;
        pool_page_put(c);
    }
}
