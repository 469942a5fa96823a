/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, keys and permissions of System V objects: sysvipc(7). */
#include "ipc/ipc.h"

#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/container.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm/errno.h>
#include <linux/capability.h>

static struct container *own_container(void) {
    return current->process->member->ipc;
}

void ipc_put(struct ipc_kind *kind, struct ipc_object *o) {
    if (o != NULL && ref_put(&o->ref)) {
        kind->free(o);
    }
}

struct ipc_object *ipc_find(struct ipc_kind *kind, int32_t id) {
    struct ipc_object *o = NULL;
    spin_lock(&kind->lock);
    if (id >= 0) {
        o = (void *)(uintptr_t)radix_get(&kind->by_id, (uint64_t)id);
    }
    if (o != NULL && o->container != own_container()) {
        o = NULL;
    }
    if (o != NULL) {
        ref_get(&o->ref);
    }
    spin_unlock(&kind->lock);
    return o;
}

struct ipc_object *ipc_at(struct ipc_kind *kind, int32_t index, int32_t *out_count) {
    struct ipc_object *o, *found = NULL;
    *out_count = 0;
    spin_lock(&kind->lock);
    list_for_each_entry (o, &kind->objects, link) {
        if (o->container == own_container()) {
            found = *out_count == index ? o : found;
            (*out_count)++;
        }
    }
    if (found != NULL) {
        ref_get(&found->ref);
    }
    spin_unlock(&kind->lock);
    return found;
}

void ipc_show_all(struct ipc_kind *kind, struct seq *s,
                  void (*show)(struct seq *s, struct ipc_object *o)) {
    struct ipc_object *o;
    spin_lock(&kind->lock);
    list_for_each_entry (o, &kind->objects, link) {
        if (o->container == own_container()) {
            spin_lock(&o->lock);
            show(s, o);
            spin_unlock(&o->lock);
        }
    }
    spin_unlock(&kind->lock);
}

/* Under kind->lock. */
static struct ipc_object *find_key(struct ipc_kind *kind, int32_t key) {
    struct ipc_object *o;
    if (key == IPC_PRIVATE) {
        return NULL;
    }
    list_for_each_entry (o, &kind->objects, link) {
        if (o->key == key && o->container == own_container()) {
            return o;
        }
    }
    return NULL;
}

bool ipc_key_exists(struct ipc_kind *kind, int32_t key) {
    spin_lock(&kind->lock);
    bool exists = find_key(kind, key) != NULL;
    spin_unlock(&kind->lock);
    return exists;
}

void ipc_object_init(struct ipc_object *o, int32_t key, uint32_t flags) {
    ref_init(&o->ref);
    list_init(&o->link);
    o->container = own_container();
    o->key = key;
    spin_init(&o->lock, RANK_FILE);
    waitq_init(&o->waitq);
    o->uid = o->cuid = current->cred->euid;
    o->gid = o->cgid = current->cred->egid;
    o->mode = flags & 0777;
    o->ctime = ktime_now().sec;
}

/* Enters a new object; under kind->lock: its id or -errno. */
static int64_t enter(struct ipc_kind *kind, struct ipc_object *fresh) {
    struct ipc_object *o;
    uint32_t count = 0;
    list_for_each_entry (o, &kind->objects, link) {
        count += o->container == fresh->container;
    }
    if (count >= kind->max) {
        return -ENOSPC;
    }
    do { /* the numbers may have gone round */
        fresh->id = kind->next_id;
        kind->next_id = kind->next_id == INT32_MAX ? 0 : kind->next_id + 1;
    } while (radix_get(&kind->by_id, (uint64_t)fresh->id) != 0);
    int err =
        radix_set(&kind->by_id, &kradix_alloc, (uint64_t)fresh->id, (uint64_t)(uintptr_t)fresh);
    if (err != 0) {
        return err;
    }
    ref_get(&fresh->ref);
    list_push_back(&kind->objects, &fresh->link);
    return fresh->id;
}

int64_t ipc_get(struct ipc_kind *kind, int32_t key, uint32_t flags, struct ipc_object *fresh,
                bool (*fits)(struct ipc_object *o, uint64_t arg), uint64_t arg) {
    int64_t result;
    spin_lock(&kind->lock);
    struct ipc_object *o = find_key(kind, key);
    if (o == NULL) {
        bool create = key == IPC_PRIVATE || (flags & IPC_CREAT) != 0;
        result = !create ? -ENOENT : (fresh == NULL ? -ENOMEM : enter(kind, fresh));
    } else if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) {
        result = -EEXIST;
    } else if (fits != NULL && !fits(o, arg)) {
        result = -EINVAL;
    } else {
        spin_lock(&o->lock);
        uint32_t want = (flags & 0777) | ((flags & 0777) >> 3) | ((flags & 0777) >> 6);
        result = ipc_permitted(o, (want & 7) << 6) ? o->id : -EACCES;
        spin_unlock(&o->lock);
    }
    spin_unlock(&kind->lock);
    ipc_put(kind, fresh);
    return result;
}

bool ipc_permitted(const struct ipc_object *o, uint32_t want) {
    const struct cred *c = current->cred;
    uint32_t granted = o->mode << 6;
    if (c->euid == o->uid || c->euid == o->cuid) {
        granted = o->mode;
    } else if (cred_in_group(c, o->gid) || cred_in_group(c, o->cgid)) {
        granted = o->mode << 3;
    }
    return (want & ~granted & 0700) == 0 || capable(CAP_IPC_OWNER);
}

bool ipc_owned(const struct ipc_object *o) {
    uint32_t euid = current->cred->euid;
    return euid == o->uid || euid == o->cuid || capable(CAP_SYS_ADMIN);
}

/* Out of the table, whose reference goes to the caller; false when somebody else was first. */
static bool leave(struct ipc_kind *kind, struct ipc_object *o) {
    spin_lock(&kind->lock);
    bool there = !list_empty(&o->link);
    if (there) {
        list_del_init(&o->link);
        (void)radix_del(&kind->by_id, &kradix_alloc, (uint64_t)o->id); /* was there */
    }
    spin_unlock(&kind->lock);
    return there;
}

void ipc_remove(struct ipc_kind *kind, struct ipc_object *o) {
    if (!leave(kind, o)) {
        return;
    }
    spin_lock(&o->lock);
    o->removed = true;
    spin_unlock(&o->lock);
    waitq_wake(&o->waitq, UINT32_MAX);
    ipc_put(kind, o);
}

void ipc_fill_perm(const struct ipc_object *o, struct ipc64_perm *out) {
    memset(out, 0, sizeof(*out));
    out->key = o->key;
    out->uid = o->uid;
    out->gid = o->gid;
    out->cuid = o->cuid;
    out->cgid = o->cgid;
    out->mode = o->mode;
}

void ipc_set_perm(struct ipc_object *o, const struct ipc64_perm *in) {
    o->uid = in->uid;
    o->gid = in->gid;
    o->mode = in->mode & 0777;
    o->ctime = ktime_now().sec;
}

static struct ipc_object *first_of(struct ipc_kind *kind, const struct container *c) {
    struct ipc_object *o, *found = NULL;
    spin_lock(&kind->lock);
    list_for_each_entry (o, &kind->objects, link) {
        if (o->container == c) {
            found = o;
            ref_get(&o->ref);
            break;
        }
    }
    spin_unlock(&kind->lock);
    return found;
}

void ipc_container_gone(struct container *c) {
    struct ipc_kind *kinds[] = {&g_sem_kind, &g_msg_kind};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct ipc_object *o;
        while ((o = first_of(kinds[i], c)) != NULL) {
            ipc_remove(kinds[i], o);
            ipc_put(kinds[i], o);
        }
    }
    mqueue_container_gone(c);
}
