/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify(7), the part that the VFS calls: from an event on an inode to the queues of the instances
 * that watch it.
 */
#include "base/string.h"
#include "fs/fsnotify.h"
#include "fs/inotify_int.h"
#include "fs/poll.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/task.h"

uint32_t g_fsnotify_watches;

/* ---- queues ----------------------------------------------------------------------------- */

/* An event equal to the last one in the queue adds nothing: inotify(7). */
static bool inotify_repeats_last(const struct inotify *in, int32_t wd, uint32_t mask,
                                 uint32_t cookie, const char *name, size_t name_len) {
    if (list_empty(&in->records)) {
        return false;
    }
    const struct inotify_record *last = list_last(&in->records, struct inotify_record, link);
    return last->event.wd == wd && last->event.mask == mask && last->event.cookie == cookie &&
           last->name_len == name_len && memcmp(last->event.name, name, name_len) == 0;
}

static struct inotify_record *inotify_record_new(int32_t wd, uint32_t mask, uint32_t cookie,
                                                 const char *name, size_t name_len) {
    /* The name ends in NUL and is padded so that the next event is aligned. */
    size_t padded = name_len == 0 ? 0 : ALIGN_UP(name_len + 1, sizeof(struct inotify_event));
    struct inotify_record *r = kmalloc(sizeof(*r) + padded);
    if (r == NULL) {
        return NULL;
    }
    r->name_len = (uint32_t)name_len;
    r->event.wd = wd;
    r->event.mask = mask;
    r->event.cookie = cookie;
    r->event.len = (uint32_t)padded;
    memcpy(r->event.name, name, name_len);
    memset(r->event.name + name_len, 0, padded - name_len);
    return r;
}

void inotify_queue(struct inotify *in, int32_t wd, uint32_t mask, uint32_t cookie,
                   const char *name) {
    if (in->record_count > in->record_max) {
        return; /* the overflow was told already */
    }
    if (in->record_count == in->record_max) {
        wd = -1;
        mask = IN_Q_OVERFLOW;
        cookie = 0;
        name = NULL;
    }
    name = name == NULL ? "" : name;
    size_t name_len = strnlen(name, NAME_MAX_LEN);
    if (inotify_repeats_last(in, wd, mask, cookie, name, name_len)) {
        return;
    }
    struct inotify_record *r = inotify_record_new(wd, mask, cookie, name, name_len);
    if (r == NULL) {
        return; /* without memory events are lost, as with a full queue */
    }
    list_push_back(&in->records, &r->link);
    in->record_count++;
    in->queued_bytes += sizeof(r->event) + r->event.len;
    waitq_wake(&in->waitq, POLLIN | POLLRDNORM);
}

/* ---- watches ---------------------------------------------------------------------------- */

void inotify_watch_put(struct inotify_watch *w) {
    if (ref_put(&w->ref)) {
        inode_put(w->inode);
        kfree(w);
    }
}

bool inotify_watch_detach(struct inotify_watch *w) {
    struct inotify *in = w->instance;
    if (!w->attached) {
        return false;
    }
    w->attached = false;
    list_del_init(&w->inode_link);
    spin_lock(&in->lock);
    (void)radix_del(&in->watches, &kradix_alloc, (uint64_t)w->wd); /* was there */
    inotify_queue(in, w->wd, IN_IGNORED, 0, NULL);
    spin_unlock(&in->lock);
    (void)atomic_fetch_sub(&in->user->inotify_watches, 1u);
    (void)atomic_fetch_sub(&g_fsnotify_watches, 1u);
    return true;
}

static bool inotify_watch_wants(const struct inotify_watch *w, uint32_t mask) {
    if ((w->mask & mask & IN_EXCL_UNLINK) != 0) {
        return false;
    }
    return (w->mask & mask & IN_ALL_EVENTS) != 0 || (mask & IN_UNMOUNT) != 0;
}

void fsnotify_post(struct inode *inode, uint32_t mask, const char *name, uint32_t cookie) {
    struct inotify_watch *w, *next;
    struct list ended;
    bool last = (mask & (IN_DELETE_SELF | IN_UNMOUNT)) != 0;
    list_init(&ended);
    spin_lock(&inode->lock);
    list_for_each_entry_safe (w, next, &inode->watches, inode_link) {
        bool wants = inotify_watch_wants(w, mask);
        if (wants) {
            spin_lock(&w->instance->lock);
            inotify_queue(w->instance, w->wd, mask & ~(uint32_t)IN_EXCL_UNLINK, cookie, name);
            spin_unlock(&w->instance->lock);
        }
        if ((last || (wants && (w->mask & IN_ONESHOT) != 0)) && inotify_watch_detach(w)) {
            list_push_back(&ended, &w->inode_link);
        }
    }
    spin_unlock(&inode->lock);
    list_for_each_entry_safe (w, next, &ended, inode_link) {
        list_del_init(&w->inode_link);
        inotify_watch_put(w);
    }
}

void fsnotify_inode_gone(struct inode *inode) {
    /* Watches hold their inode, so none is left when it goes; a list that is not empty would be a
     * lost reference. */
    kassert(list_empty(&inode->watches));
}
