/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatch of host events: see hostevent.h.
 *
 * Lock: g_watch_lock (RANK_FILE) guards the table and is held while a callback runs, which is what
 * makes host_watch_remove final.  Cookies are never used twice, so a late event of a removed watch
 * finds nothing.
 */
#include "kernel/hostevent.h"

#include "hal.h"
#include "kernel/lock.h"

#include <asm-generic/errno-base.h>

#define WATCH_BUCKETS 64u

static struct spinlock g_watch_lock = SPINLOCK_INIT(RANK_FILE);
static struct list
    g_watch_table[WATCH_BUCKETS]; /* guarded by g_watch_lock; zero until first used */
static uint64_t g_next_cookie = HAL_COOKIE_FIRST_FREE;

static struct list *watch_bucket(uint64_t cookie) {
    struct list *head = &g_watch_table[cookie % WATCH_BUCKETS];
    if (head->next == NULL) {
        list_init(head);
    }
    return head;
}

void host_watch_add(struct host_watch *w, int hfd,
                    void (*fn)(struct host_watch *w, uint32_t events)) {
    w->hfd = hfd;
    w->fn = fn;
    w->armed = 0;
    spin_lock(&g_watch_lock);
    w->cookie = g_next_cookie++;
    list_push_back(watch_bucket(w->cookie), &w->link);
    spin_unlock(&g_watch_lock);
}

int host_watch_arm(struct host_watch *w, uint32_t events) {
    int err = 0;
    spin_lock(&g_watch_lock);
    if (w->cookie == 0) {
        err = -EBADF;
    } else if ((events & ~w->armed) != 0) {
        err = hal_stream_watch(w->hfd, w->armed | events, w->cookie);
        if (err == 0) {
            w->armed |= events;
        }
    }
    spin_unlock(&g_watch_lock);
    return err;
}

void host_watch_remove(struct host_watch *w) {
    spin_lock(&g_watch_lock);
    if (w->cookie != 0) {
        if (w->armed != 0) {
            int ignored = hal_stream_watch(w->hfd, 0, w->cookie);
            (void)ignored; /* the cookie is dead in any case */
        }
        list_del_init(&w->link);
        w->cookie = 0;
        w->armed = 0;
    }
    spin_unlock(&g_watch_lock);
}

void sentry_host_event(uint64_t cookie, uint32_t events) {
    if (cookie == HAL_COOKIE_CONTROL) {
        control_event();
        return;
    }
    spin_lock(&g_watch_lock);
    struct list *pos;
    list_for_each (pos, watch_bucket(cookie)) {
        struct host_watch *w = list_entry(pos, struct host_watch, link);
        if (w->cookie == cookie) {
            w->armed = 0;
            w->fn(w, events);
            break;
        }
    }
    spin_unlock(&g_watch_lock);
}
