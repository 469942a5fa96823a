/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes kept in memory: a short list an inode (xattr(7)).
 */
#include "base/string.h"
#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <linux/xattr.h>

#define XATTRS_TOTAL_MAX                                                                           \
    (256u * 1024u) /* bytes one inode may hold: a guest may not fill the heap through one */

struct simple_xattr {
    struct list link;
    size_t size;
    char *name; /* behind the value */
    uint8_t value[];
};

void simple_xattrs_init(struct simple_xattrs *x) {
    list_init(&x->head);
    spin_init(&x->lock, RANK_CACHE);
}

void simple_xattrs_free(struct simple_xattrs *x) {
    struct simple_xattr *a, *tmp;
    list_for_each_entry_safe (a, tmp, &x->head, link) {
        kfree(a);
    }
    list_init(&x->head);
}

static struct simple_xattr *find(struct simple_xattrs *x, const char *name) {
    struct simple_xattr *a;
    list_for_each_entry (a, &x->head, link) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

static size_t total_size(struct simple_xattrs *x) {
    size_t total = 0;
    struct simple_xattr *a;
    list_for_each_entry (a, &x->head, link) {
        total += sizeof(*a) + a->size + strlen(a->name) + 1;
    }
    return total;
}

int64_t simple_xattr_get(struct simple_xattrs *x, const char *name, void *buf, size_t size) {
    spin_lock(&x->lock);
    struct simple_xattr *a = find(x, name);
    int64_t r = -ENODATA;
    if (a != NULL) {
        r = size != 0 && size < a->size ? -ERANGE : (int64_t)a->size;
        if (r >= 0 && size != 0) {
            memcpy(buf, a->value, a->size);
        }
    }
    spin_unlock(&x->lock);
    return r;
}

static struct simple_xattr *make(const char *name, const void *value, size_t size) {
    size_t name_size = strlen(name) + 1;
    struct simple_xattr *a = kmalloc(sizeof(*a) + size + name_size);
    if (a != NULL) {
        list_init(&a->link);
        a->size = size;
        a->name = (char *)a->value + size;
        memcpy(a->name, name, name_size);
        if (size != 0) {
            memcpy(a->value, value, size);
        }
    }
    return a;
}

int simple_xattr_set(struct simple_xattrs *x, const char *name, const void *value, size_t size,
                     int flags) {
    struct simple_xattr *fresh = make(name, value, size);
    if (fresh == NULL) {
        return -ENOMEM;
    }
    spin_lock(&x->lock);
    struct simple_xattr *old = find(x, name);
    int err = 0;
    if (old != NULL && (flags & XATTR_CREATE) != 0) {
        err = -EEXIST;
    } else if (old == NULL && (flags & XATTR_REPLACE) != 0) {
        err = -ENODATA;
    } else if (total_size(x) + size > XATTRS_TOTAL_MAX) {
        err = -ENOSPC;
    }
    if (err == 0) {
        list_push_back(&x->head, &fresh->link);
        if (old != NULL) {
            list_del_init(&old->link);
        }
    }
    spin_unlock(&x->lock);
    kfree(err == 0 ? old : fresh);
    return err;
}

int simple_xattr_remove(struct simple_xattrs *x, const char *name) {
    spin_lock(&x->lock);
    struct simple_xattr *a = find(x, name);
    if (a != NULL) {
        list_del_init(&a->link);
    }
    spin_unlock(&x->lock);
    kfree(a);
    return a != NULL ? 0 : -ENODATA;
}

int64_t simple_xattr_list(struct simple_xattrs *x, char *buf, size_t size) {
    int64_t used = 0;
    struct simple_xattr *a;
    spin_lock(&x->lock);
    list_for_each_entry (a, &x->head, link) {
        size_t n = strlen(a->name) + 1;
        if (size != 0) {
            if ((size_t)used + n > size) {
                used = -ERANGE;
                break;
            }
            memcpy(buf + used, a->name, n);
        }
        used += (int64_t)n;
    }
    spin_unlock(&x->lock);
    return used;
}
