/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of an epoll set: from the wait queues of a file to the ready list of the set.
 *
 * An item holds no reference on its file.  The final put of the file (epoll_file_released) takes
 * all its items out under the sets' mutexes before the file's own release runs, so under set->mtx
 * the files of all items are alive.
 */
#include "fs/epoll_int.h"
#include "fs/poll.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>

struct spinlock g_epoll_lock = SPINLOCK_INIT(RANK_EPOLL);
uint32_t g_epoll_item_count;

/* ---- tree ------------------------------------------------------------------------------- */

static int epoll_item_compare(const struct file *file, int fd, const struct epoll_item *item) {
    if (file != item->file) {
        return (uintptr_t)file < (uintptr_t)item->file ? -1 : 1;
    }
    return fd == item->fd ? 0 : (fd < item->fd ? -1 : 1);
}

struct epoll_item *epoll_item_find(struct epoll_set *set, const struct file *file, int fd) {
    struct rb_node *node = set->items.root;
    while (node != NULL) {
        struct epoll_item *item = rb_entry(node, struct epoll_item, node);
        int order = epoll_item_compare(file, fd, item);
        if (order == 0) {
            return item;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

static void epoll_item_insert(struct epoll_set *set, struct epoll_item *item) {
    struct rb_node **slot = &set->items.root;
    struct rb_node *parent = NULL;
    while (*slot != NULL) {
        parent = *slot;
        struct epoll_item *other = rb_entry(parent, struct epoll_item, node);
        slot = epoll_item_compare(item->file, item->fd, other) < 0 ? &parent->left : &parent->right;
    }
    rb_insert(&set->items, parent, slot, &item->node);
}

/* ---- wake-ups --------------------------------------------------------------------------- */

/* Puts the item on the ready list and tells who waits for the set: was there anybody? */
static bool epoll_item_mark_ready(struct epoll_item *item, bool nested) {
    struct epoll_set *set = item->set;
    bool woke = false;
    spin_lock(&set->lock);
    /* A fired one-shot item has no events left until it is armed again. */
    bool news = (atomic_load_relaxed(&item->events) & ~EPOLL_FLAG_BITS) != 0 &&
                list_empty(&item->ready_link);
    if (news) {
        list_push_back(&set->ready, &item->ready_link);
        woke = epoll_set_wake_one(set);
    }
    spin_unlock(&set->lock);
    if (news) {
        epoll_set_wake_pollers(set, nested);
    }
    return woke;
}

/* Wait-queue callback: runs under the lock of the file's wait queue. */
static bool epoll_item_woken(struct waiter *w, uint32_t events) {
    return epoll_item_mark_ready(w->arg, true);
}

struct epoll_table {
    struct poll_table table;
    struct epoll_item *item;
};

static void epoll_item_queue(struct poll_table *table, struct waitq *q) {
    struct epoll_item *item = container_of(table, struct epoll_table, table)->item;
    if (item->waiter_count == EPOLL_WAITERS_MAX) {
        item->no_waiter_room = true;
        return;
    }
    struct waiter *w = &item->waiters[item->waiter_count++];
    waiter_init_fn(w, epoll_item_woken, item, poll_wake_mask(item->events & ~EPOLL_FLAG_BITS));
    w->exclusive = (item->events & EPOLLEXCLUSIVE) != 0;
    waitq_add(q, w);
}

uint32_t epoll_item_poll(struct epoll_item *item) {
    uint32_t wanted = item->events & ~EPOLL_FLAG_BITS;
    return wanted == 0 ? 0 : vfs_poll(item->file, NULL) & wanted;
}

/* ---- life ------------------------------------------------------------------------------- */

static uint32_t epoll_effective_events(uint32_t events) {
    return events | EPOLLERR | EPOLLHUP;
}

static struct epoll_item *epoll_item_new(struct epoll_set *set, struct file *file, int fd,
                                         const struct epoll_event *event) {
    struct epoll_item *item = kzalloc(sizeof(*item));
    if (item == NULL) {
        return NULL;
    }
    item->set = set;
    item->file = file;
    item->fd = fd;
    item->data = event->data;
    item->events = epoll_effective_events(event->events);
    list_init(&item->ready_link);
    list_init(&item->file_link);
    list_init(&item->nest_link);
    return item;
}

static int epoll_item_link(struct epoll_item *item) {
    if (epoll_is_set(item->file)) {
        return epoll_nest_add(item->set, item);
    }
    spin_lock(&g_epoll_lock);
    list_push_back(&item->file->epoll_links, &item->file_link);
    spin_unlock(&g_epoll_lock);
    return 0;
}

int epoll_item_add(struct epoll_set *set, struct file *file, int fd,
                   const struct epoll_event *event) {
    if (atomic_fetch_add(&g_epoll_item_count, 1u) >= EPOLL_ITEMS_MAX) {
        (void)atomic_fetch_sub(&g_epoll_item_count, 1u);
        return -ENOSPC;
    }
    struct epoll_item *item = epoll_item_new(set, file, fd, event);
    int err = item == NULL ? -ENOMEM : epoll_item_link(item);
    if (err != 0) {
        kfree(item);
        (void)atomic_fetch_sub(&g_epoll_item_count, 1u);
        return err;
    }
    ref_get(&set->ref);
    epoll_item_insert(set, item);
    struct epoll_table table = {.table = {.queue = epoll_item_queue}, .item = item};
    uint32_t events = vfs_poll(file, &table.table) & item->events & ~EPOLL_FLAG_BITS;
    if (item->no_waiter_room) {
        epoll_item_remove(item);
        return -ENOMEM;
    }
    if (events != 0) {
        (void)epoll_item_mark_ready(item, false); /* nobody shares this event */
    }
    return 0;
}

void epoll_item_change(struct epoll_item *item, const struct epoll_event *event) {
    item->data = event->data;
    atomic_store(&item->events, epoll_effective_events(event->events));
    uint32_t mask = poll_wake_mask(item->events & ~EPOLL_FLAG_BITS);
    for (uint32_t i = 0; i < item->waiter_count; i++) {
        atomic_store(&item->waiters[i].mask, mask);
    }
    /* The poll comes after the masks: a wake-up that missed them is seen here. */
    if (epoll_item_poll(item) != 0) {
        (void)epoll_item_mark_ready(item, false); /* nobody shares this event */
    }
}

void epoll_item_remove(struct epoll_item *item) {
    struct epoll_set *set = item->set;
    /* Waiters first: once the item is off the file's list, the file and its wait queues may go. */
    for (uint32_t i = 0; i < item->waiter_count; i++) {
        waitq_remove(&item->waiters[i]);
    }
    spin_lock(&g_epoll_lock);
    list_del_init(&item->nest_link);
    list_del_init(&item->file_link);
    spin_unlock(&g_epoll_lock);
    spin_lock(&set->lock);
    list_del_init(&item->ready_link);
    spin_unlock(&set->lock);
    rb_erase(&set->items, &item->node);
    kfree(item);
    (void)atomic_fetch_sub(&g_epoll_item_count, 1u);
    epoll_set_put(set);
}

/* A set in which `file` still is, referenced; NULL when there is none. */
static struct epoll_set *epoll_file_any_set(struct file *file) {
    struct epoll_set *set = NULL;
    spin_lock(&g_epoll_lock);
    if (!list_empty(&file->epoll_links)) {
        set = list_first(&file->epoll_links, struct epoll_item, file_link)->set;
        ref_get(&set->ref); /* the item's own reference keeps it above zero here */
    }
    spin_unlock(&g_epoll_lock);
    return set;
}

static struct epoll_item *epoll_file_item_of(struct file *file, const struct epoll_set *set) {
    struct epoll_item *item, *found = NULL;
    spin_lock(&g_epoll_lock);
    list_for_each_entry (item, &file->epoll_links, file_link) {
        if (item->set == set) {
            found = item; /* stays, because the caller holds set->mtx */
            break;
        }
    }
    spin_unlock(&g_epoll_lock);
    return found;
}

/* In no set, and no remover is still at work on the list's head: a remover writes next, then prev,
 * and nothing after. */
static bool epoll_file_unwatched(const struct file *file) {
    const struct list *links = &file->epoll_links;
    return atomic_load(&links->next) == links && atomic_load(&links->prev) == links;
}

void epoll_file_released(struct file *file) {
    if (epoll_file_unwatched(file)) {
        return;
    }
    struct epoll_set *set;
    while ((set = epoll_file_any_set(file)) != NULL) {
        mutex_lock(&set->mtx);
        struct epoll_item *item;
        while ((item = epoll_file_item_of(file, set)) != NULL) {
            epoll_item_remove(item);
        }
        mutex_unlock(&set->mtx);
        epoll_set_put(set);
    }
}

/* ---- sets that watch sets --------------------------------------------------------------- */

static uint64_t g_epoll_walk; /* guarded by g_epoll_lock */

/* Longest chain of sets from `set` downwards, itself included; UINT32_MAX when `forbidden` is among
 * them.  Recursion ends, because no chain that exists is longer than EPOLL_NEST_MAX.  Under
 * g_epoll_lock. */
static uint32_t epoll_height(struct epoll_set *set, const struct epoll_set *forbidden) {
    if (set == forbidden) {
        return UINT32_MAX;
    }
    if (set->visit == g_epoll_walk) {
        return set->visit_height;
    }
    uint32_t height = 1;
    struct epoll_item *item;
    list_for_each_entry (item, &set->children, nest_link) {
        uint32_t below = epoll_height(item->file->private, forbidden);
        height = below == UINT32_MAX ? below : MAX(height, below + 1);
        if (height == UINT32_MAX) {
            break;
        }
    }
    set->visit = g_epoll_walk;
    set->visit_height = height;
    return height;
}

/* Longest chain of sets from `set` upwards, itself included.  Under g_epoll_lock. */
static uint32_t epoll_depth(struct epoll_set *set) {
    if (set->visit == g_epoll_walk) {
        return set->visit_height;
    }
    uint32_t depth = 1;
    struct epoll_item *item;
    list_for_each_entry (item, &set->file->epoll_links, file_link) {
        depth = MAX(depth, epoll_depth(item->set) + 1);
    }
    set->visit = g_epoll_walk;
    set->visit_height = depth;
    return depth;
}

int epoll_nest_add(struct epoll_set *set, struct epoll_item *item) {
    struct epoll_set *child = item->file->private;
    int err = 0;
    spin_lock(&g_epoll_lock);
    g_epoll_walk++;
    uint32_t below = epoll_height(child, set);
    g_epoll_walk++;
    if (below == UINT32_MAX || below + epoll_depth(set) > EPOLL_NEST_MAX) {
        err = -ELOOP;
    } else {
        list_push_back(&set->children, &item->nest_link);
        list_push_back(&item->file->epoll_links, &item->file_link);
    }
    spin_unlock(&g_epoll_lock);
    return err;
}
