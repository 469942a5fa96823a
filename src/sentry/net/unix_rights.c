/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files in flight: SCM_RIGHTS of unix(7).
 *
 * Each file in a queued message counts as in flight from before the message is queued until after
 * it has left the queue.  The collector relies on that order: whoever takes a socket out of a queue
 * comes through sock_rights_detach, and waits there while a collection runs.
 */
#include "net/unix_rights.h"

#include "kernel/kmalloc.h"

#include <asm/errno.h>

#define RIGHTS_INFLIGHT_MAX 65536u /* files in flight in the whole sandbox */

struct spinlock g_unix_rights_lock = SPINLOCK_INIT(RANK_FILES);
struct list g_unix_inflight = {&g_unix_inflight, &g_unix_inflight};
uint32_t g_unix_inflight_files;

/* Files to close; `g_rights_closing` says that a task is at it, which also takes what comes in
 * meanwhile.  So a chain of sockets that lie in each other's queues is closed in a loop and not by
 * recursion. */
static struct spinlock g_rights_close_lock = SPINLOCK_INIT(RANK_FILE);
static struct list g_rights_to_close = {&g_rights_to_close, &g_rights_to_close};
static bool g_rights_closing;

struct unix_sock *unix_of_file(const struct file *file) {
    struct socket *s = socket_of(file);
    return s != NULL && s->family == AF_UNIX ? unix_of(s) : NULL;
}

static bool sock_rights_attach_once(struct sock_rights *r) {
    spin_lock(&g_unix_rights_lock);
    bool fits = g_unix_inflight_files + r->count <= RIGHTS_INFLIGHT_MAX;
    if (fits) {
        g_unix_inflight_files += r->count;
        for (uint32_t i = 0; i < r->count; i++) {
            struct unix_sock *u = unix_of_file(r->files[i]);
            if (u != NULL && u->inflight++ == 0) {
                list_push_back(&g_unix_inflight, &u->inflight_link);
            }
        }
    }
    spin_unlock(&g_unix_rights_lock);
    return fits;
}

int sock_rights_attach(struct sock_rights *r) {
    if (sock_rights_attach_once(r)) {
        return 0;
    }
    unix_collect();
    return sock_rights_attach_once(r) ? 0 : -ETOOMANYREFS;
}

void sock_rights_detach_locked(struct sock_rights *r) {
    g_unix_inflight_files -= r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        struct unix_sock *u = unix_of_file(r->files[i]);
        if (u != NULL && --u->inflight == 0) {
            list_del_init(&u->inflight_link);
        }
    }
}

void sock_rights_detach(struct sock_rights *r) {
    spin_lock(&g_unix_rights_lock);
    sock_rights_detach_locked(r);
    spin_unlock(&g_unix_rights_lock);
}

struct sock_rights *sock_rights_dup(const struct sock_rights *r) {
    struct sock_rights *copy = kmalloc(sizeof(*copy) + r->count * sizeof(r->files[0]));
    if (copy == NULL) {
        return NULL;
    }
    copy->count = r->count;
    spin_lock(&g_unix_rights_lock); /* no new references while a collection compares counts */
    for (uint32_t i = 0; i < r->count; i++) {
        copy->files[i] = r->files[i];
        file_get(copy->files[i]);
    }
    spin_unlock(&g_unix_rights_lock);
    return copy;
}

static void sock_rights_close(struct sock_rights *r) {
    for (uint32_t i = 0; i < r->count; i++) {
        file_put(r->files[i]);
    }
    kfree(r);
}

void sock_rights_discard(struct sock_rights *r) {
    spin_lock(&g_rights_close_lock);
    list_push_back(&g_rights_to_close, &r->link);
    bool mine = !g_rights_closing;
    g_rights_closing = true;
    while (mine && !list_empty(&g_rights_to_close)) {
        struct sock_rights *next = list_first(&g_rights_to_close, struct sock_rights, link);
        list_del_init(&next->link);
        spin_unlock(&g_rights_close_lock);
        sock_rights_close(next);
        spin_lock(&g_rights_close_lock);
    }
    if (mine) {
        g_rights_closing = false;
    }
    spin_unlock(&g_rights_close_lock);
}
