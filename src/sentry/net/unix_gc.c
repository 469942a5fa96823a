/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector of unix sockets that only each other's queues hold.
 *
 * A socket is a candidate when every reference on its file is one of a queued message.  From each
 * candidate's count the messages found in queues of candidates are taken off; what is left comes
 * from outside.  Sockets with something left are alive, and so is all that their queues hold.  The
 * rest is garbage: the rights in their queues are closed, which breaks the circle.
 *
 * All under g_unix_rights_lock: a message that left its queue and was not yet detached is found in
 * no queue, so its files count as held from outside, which errs on the safe side.
 */
#include "net/unix_rights.h"

static void unix_gc_scan_queue(struct socket *s, void (*fn)(struct unix_sock *u, struct list *work),
                               struct list *work) {
    struct sock_buf *b;
    list_for_each_entry (b, &s->rx, link) {
        for (uint32_t i = 0; b->rights != NULL && i < b->rights->count; i++) {
            struct unix_sock *u = unix_of_file(b->rights->files[i]);
            if (u != NULL && u->gc_candidate) {
                fn(u, work);
            }
        }
    }
}

/* Calls fn for each candidate in a socket's queue and in those of connections it has not accepted.
 */
static void unix_gc_scan(struct unix_sock *u,
                         void (*fn)(struct unix_sock *child, struct list *work),
                         struct list *work) {
    struct socket *child;
    spin_lock(&u->s.lock);
    unix_gc_scan_queue(&u->s, fn, work);
    list_for_each_entry (child, &u->s.accept_queue, accept_link) {
        spin_lock_nested(&child->lock); /* nobody locks a listener under its child */
        unix_gc_scan_queue(child, fn, work);
        spin_unlock(&child->lock);
    }
    spin_unlock(&u->s.lock);
}

static void unix_gc_explain(struct unix_sock *u, struct list *work) {
    if (u->gc_left > 0) {
        u->gc_left--;
    }
}

/* Moves a candidate to the list of those found alive, whose queues are still to be looked at. */
static void unix_gc_revive(struct unix_sock *u, struct list *work) {
    u->gc_candidate = false;
    list_del_init(&u->inflight_link);
    list_push_back(work, &u->inflight_link);
}

static bool unix_gc_mark_candidates(void) {
    struct unix_sock *u;
    bool any = false;
    list_for_each_entry (u, &g_unix_inflight, inflight_link) {
        u->gc_left = u->inflight;
        /* In flight means that a message holds the file, so it is there. */
        u->gc_candidate = atomic_load(&u->s.file->ref.n) == u->inflight;
        any = any || u->gc_candidate;
    }
    return any;
}

/* Leaves gc_candidate set on garbage only. */
static void unix_gc_find(void) {
    struct unix_sock *u, *next;
    struct list alive, seen;
    list_init(&alive);
    list_init(&seen);
    list_for_each_entry (u, &g_unix_inflight, inflight_link) {
        if (u->gc_candidate) {
            unix_gc_scan(u, unix_gc_explain, NULL);
        }
    }
    list_for_each_entry_safe (u, next, &g_unix_inflight, inflight_link) {
        if (u->gc_candidate && u->gc_left > 0) {
            unix_gc_revive(u, &alive);
        }
    }
    while (!list_empty(&alive)) {
        u = list_first(&alive, struct unix_sock, inflight_link);
        list_del_init(&u->inflight_link);
        list_push_back(&seen, &u->inflight_link);
        unix_gc_scan(u, unix_gc_revive, &alive);
    }
    list_splice_back(&g_unix_inflight, &seen);
}

static void unix_gc_strip_queue(struct socket *s, struct list *out_rights) {
    struct sock_buf *b;
    list_for_each_entry (b, &s->rx, link) {
        if (b->rights != NULL) {
            list_push_back(out_rights, &b->rights->link);
            b->rights = NULL;
        }
    }
}

static void unix_gc_strip(struct unix_sock *u, struct list *out_rights) {
    struct socket *child;
    spin_lock(&u->s.lock);
    unix_gc_strip_queue(&u->s, out_rights);
    list_for_each_entry (child, &u->s.accept_queue, accept_link) {
        spin_lock_nested(&child->lock);
        unix_gc_strip_queue(child, out_rights);
        spin_unlock(&child->lock);
    }
    spin_unlock(&u->s.lock);
}

void unix_collect(void) {
    if (list_empty(&g_unix_inflight)) {
        return; /* no socket in flight, no circle; a race only leaves it to the next close */
    }
    struct list rights;
    struct unix_sock *u;
    struct sock_rights *r, *next;
    list_init(&rights);
    spin_lock(&g_unix_rights_lock);
    if (unix_gc_mark_candidates()) {
        unix_gc_find();
        list_for_each_entry (u, &g_unix_inflight, inflight_link) {
            if (u->gc_candidate) {
                unix_gc_strip(u, &rights);
            }
        }
    }
    list_for_each_entry (r, &rights, link) {
        sock_rights_detach_locked(r);
    }
    spin_unlock(&g_unix_rights_lock);
    list_for_each_entry_safe (r, next, &rights, link) {
        list_del_init(&r->link);
        sock_rights_discard(r);
    }
}
