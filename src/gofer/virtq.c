/* SPDX-License-Identifier: Apache-2.0 */
/* A split virtqueue: see virtq.h. */
#include "virtq.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_ONCE(place)         __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define WRITE_ONCE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

int virtq_place(struct virtq *q, const struct guest_mem *m, struct front_addr desc,
                struct front_addr avail, struct front_addr used) {
    q->desc = NULL;
    if (q->size == 0 || (desc.v & 15) != 0 || (avail.v & 1) != 0 || (used.v & 3) != 0) {
        return -EINVAL;
    }
    /* Each ring ends in the index of the other side's events. */
    q->avail = guest_mem_at_front(m, avail, sizeof(struct vring_avail) + 2 * (q->size + 1));
    q->used = guest_mem_at_front(
        m, used, sizeof(struct vring_used) + q->size * sizeof(struct vring_used_elem) + 2);
    void *table = guest_mem_at_front(m, desc, q->size * sizeof(struct vring_desc));
    if (table == NULL || q->avail == NULL || q->used == NULL) {
        return -EINVAL;
    }
    /* The addresses here are aligned only if the region is. */
    if ((((uintptr_t)table & 7) | ((uintptr_t)q->avail & 1) | ((uintptr_t)q->used & 3)) != 0) {
        return -EINVAL;
    }
    q->desc = table;
    return 0;
}

bool virtq_ready(const struct virtq *q) {
    return q->desc != NULL && q->kick_fd >= 0 && q->enabled && !q->broken;
}

bool virtq_has_more(const struct virtq *q) {
    return __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE) != q->next;
}

/* ---- a chain of descriptors ---- */

/* A table of descriptors: the ring's own, or a private copy of an indirect one. */
struct table {
    const struct vring_desc *desc;
    uint32_t size;
    bool indirect;
};

static struct vring_desc read_desc(const struct table *t, uint32_t index) {
    const struct vring_desc *d = &t->desc[index];
    return (struct vring_desc){.addr = READ_ONCE(d->addr),
                               .len = READ_ONCE(d->len),
                               .flags = READ_ONCE(d->flags),
                               .next = READ_ONCE(d->next)};
}

/* Replaces *t by the table that d stands for. */
static int enter_indirect(const struct virtq *q, const struct guest_mem *m,
                          const struct vring_desc *d, struct table *t) {
    static struct vring_desc copy[VIRTQ_SIZE_MAX]; /* one thread */
    uint32_t count = d->len / (uint32_t)sizeof(copy[0]);
    if (!q->indirect || t->indirect || (d->flags & VRING_DESC_F_NEXT) != 0 || count == 0 ||
        count > VIRTQ_SIZE_MAX || d->len % sizeof(copy[0]) != 0) {
        return -EPROTO;
    }
    const void *from = guest_mem_at(m, (struct guest_phys){d->addr}, d->len);
    if (from == NULL) {
        return -EPROTO;
    }
    memcpy(copy, from, d->len);
    *t = (struct table){.desc = copy, .size = count, .indirect = true};
    return 0;
}

static int add_piece(struct virtq_chain *c, const struct guest_mem *m, const struct vring_desc *d) {
    bool write = (d->flags & VRING_DESC_F_WRITE) != 0;
    uint32_t used = c->read_count + c->write_count;
    if (!write && c->write_count > 0) {
        return -EPROTO; /* what is read comes first */
    }
    int pieces =
        guest_mem_iov(m, (struct guest_phys){d->addr}, d->len, &c->iov[used], VIRTQ_IOV_MAX - used);
    if (pieces < 0) {
        return -EPROTO;
    }
    if (write) {
        c->write_count += (uint32_t)pieces;
        c->write_size += d->len;
    } else {
        c->read_count += (uint32_t)pieces;
        c->read_size += d->len;
    }
    return 0;
}

/* Follows the chain from `head`: no further than there are descriptors, so that no loop holds us.
 */
static int follow(const struct virtq *q, const struct guest_mem *m, struct virtq_chain *c) {
    struct table t = {.desc = q->desc, .size = q->size};
    uint32_t index = c->head, steps = 0;
    for (;;) {
        if (index >= t.size || steps++ >= t.size) {
            return -EPROTO;
        }
        const struct vring_desc d = read_desc(&t, index);
        int err;
        if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
            err = enter_indirect(q, m, &d, &t);
            index = steps = 0;
            if (err == 0) {
                continue;
            }
        } else {
            err = add_piece(c, m, &d);
        }
        if (err != 0 || (d.flags & VRING_DESC_F_NEXT) == 0) {
            return err;
        }
        index = d.next;
    }
}

int virtq_take(struct virtq *q, const struct guest_mem *m, struct virtq_chain *out) {
    uint16_t there = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
    uint16_t waiting = (uint16_t)(there - q->next);
    if (waiting == 0) {
        return 0;
    }
    out->read_count = out->write_count = 0;
    out->read_size = out->write_size = 0;
    out->head = READ_ONCE(q->avail->ring[q->next & (q->size - 1)]);
    if (waiting > q->size || out->head >= q->size || follow(q, m, out) != 0) {
        q->broken = true;
        return -EPROTO;
    }
    q->next++;
    return 1;
}

/* ---- giving back ---- */

void virtq_give(struct virtq *q, const struct virtq_chain *c, uint32_t len) {
    struct vring_used_elem *e = &q->used->ring[q->done & (q->size - 1)];
    WRITE_ONCE(e->id, c->head);
    WRITE_ONCE(e->len, len);
    q->done++;
    __atomic_store_n(&q->used->idx, q->done, __ATOMIC_RELEASE);
}

/* Behind each ring: where the other side wants the next event (virtio 1.2, section 2.7.10). */
static uint16_t *avail_event(const struct virtq *q) {
    return (uint16_t *)&q->used->ring[q->size];
}

static uint16_t used_event(const struct virtq *q) {
    return READ_ONCE(q->avail->ring[q->size]);
}

static bool wants_to_be_told(const struct virtq *q) {
    if (!q->event_idx) {
        return (READ_ONCE(q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
    }
    return !q->told_ever || vring_need_event(used_event(q), q->done, q->told);
}

void virtq_tell(struct virtq *q) {
    const uint64_t one = 1;
    if (q->done == q->told && q->told_ever) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the ring before what the driver says of it */
    bool tell = wants_to_be_told(q);
    q->told = q->done;
    q->told_ever = true;
    if (tell && q->call_fd >= 0) {
        (void)!write(q->call_fd, &one, sizeof(one)); /* full: it has been told */
    }
}

bool virtq_ask_for_kicks(struct virtq *q) {
    if (q->event_idx) {
        WRITE_ONCE(*avail_event(q), q->next);
    } else {
        WRITE_ONCE(q->used->flags, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish before the look */
    return virtq_has_more(q);
}
