/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of AF_UNIX: paths, abstract names, automatic names.
 *
 * One hash table holds bound sockets: those with a path by their inode, which the socket's own
 * reference on the path keeps at its place, the others by type and name.
 */
#include "base/fmt.h"
#include "base/hash.h"
#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "net/unix.h"

#include <asm/errno.h>
#include <linux/stat.h>

#define UNIX_BUCKETS 256u

struct spinlock g_unix_lock = SPINLOCK_INIT(RANK_FILES);
static struct list
    g_unix_table[UNIX_BUCKETS];  /* guarded by g_unix_lock; a head is made at its first use */
static uint32_t g_unix_autoname; /* guarded likewise */

static struct list *unix_bucket(uint64_t hash) {
    struct list *head = &g_unix_table[hash % UNIX_BUCKETS];
    if (head->next == NULL) {
        list_init(head);
    }
    return head;
}

static bool unix_is_abstract(const struct sock_addr *addr) {
    return addr->u.bytes[UNIX_FAMILY_LEN] == 0;
}

static uint64_t unix_name_hash(const struct sock_addr *addr, uint16_t type) {
    return hash_bytes(addr->u.bytes, addr->len) ^ type;
}

static uint64_t unix_inode_hash(const struct inode *inode) {
    return hash_u64((uint64_t)(uintptr_t)inode);
}

static bool unix_same_name(const struct unix_sock *u, const struct sock_addr *addr, uint16_t type) {
    return u->path.dentry == NULL && u->s.type == type && u->name->addr.len == addr->len &&
           memcmp(u->name->addr.u.bytes, addr->u.bytes, addr->len) == 0;
}

/* Under g_unix_lock. */
static struct unix_sock *unix_table_name(const struct sock_addr *addr, uint16_t type) {
    struct unix_sock *u;
    struct list *bucket = unix_bucket(unix_name_hash(addr, type));
    list_for_each_entry (u, bucket, hash_link) {
        if (unix_same_name(u, addr, type)) {
            return u;
        }
    }
    return NULL;
}

static struct unix_sock *unix_table_inode(const struct inode *inode) {
    struct unix_sock *u;
    struct list *bucket = unix_bucket(unix_inode_hash(inode));
    list_for_each_entry (u, bucket, hash_link) {
        if (u->path.dentry != NULL && u->path.dentry->inode == inode) {
            return u;
        }
    }
    return NULL;
}

void unix_unhash(struct unix_sock *u) {
    spin_lock(&g_unix_lock);
    list_del_init(&u->hash_link);
    spin_unlock(&g_unix_lock);
}

/* Checks an address and brings a path into the one form: ended by a NUL that counts. */
static int unix_normalize(const struct sock_addr *in, struct sock_addr *out) {
    if (in->u.family != AF_UNIX || in->len <= UNIX_FAMILY_LEN ||
        in->len > sizeof(struct sockaddr_un)) {
        return -EINVAL;
    }
    *out = *in;
    if (!unix_is_abstract(in)) {
        size_t room = in->len - UNIX_FAMILY_LEN;
        size_t len = strnlen((const char *)in->u.bytes + UNIX_FAMILY_LEN, room);
        out->u.bytes[UNIX_FAMILY_LEN + len] = 0; /* SOCKADDR_MAX is more than sockaddr_un */
        out->len = UNIX_FAMILY_LEN + (uint32_t)len + 1;
    }
    return 0;
}

/* ---- finding ---------------------------------------------------------------------------- */

static int unix_find_path(const char *name, uint16_t type, struct unix_sock **out) {
    struct path path;
    int err = path_lookup(AT_FDCWD_MOAT, name, LOOKUP_FOLLOW, &path);
    if (err != 0) {
        return err;
    }
    err = path_permission(&path, MAY_WRITE);
    if (err == 0) {
        spin_lock(&g_unix_lock);
        struct unix_sock *u =
            S_ISSOCK(path.dentry->inode->mode) ? unix_table_inode(path.dentry->inode) : NULL;
        err = u == NULL ? -ECONNREFUSED : (u->s.type != type ? -EPROTOTYPE : 0);
        if (err == 0) {
            socket_get(&u->s);
            *out = u;
        }
        spin_unlock(&g_unix_lock);
    }
    path_put(&path);
    return err;
}

int unix_find(const struct sock_addr *addr, uint16_t type, struct unix_sock **out) {
    struct sock_addr name;
    int err = unix_normalize(addr, &name);
    if (err != 0) {
        return err;
    }
    if (!unix_is_abstract(&name)) {
        return unix_find_path((const char *)name.u.bytes + UNIX_FAMILY_LEN, type, out);
    }
    spin_lock(&g_unix_lock);
    struct unix_sock *u = unix_table_name(&name, type);
    if (u != NULL) {
        socket_get(&u->s);
        *out = u;
    }
    spin_unlock(&g_unix_lock);
    return u != NULL ? 0 : -ECONNREFUSED;
}

/* ---- binding ---------------------------------------------------------------------------- */

static int unix_bind_path(struct unix_sock *u, struct sock_name *name) {
    struct path path;
    int err = vfs_mknod_path(AT_FDCWD_MOAT, (const char *)name->addr.u.bytes + UNIX_FAMILY_LEN,
                             S_IFSOCK | 0777, 0, &path);
    if (err != 0) {
        return err == -EEXIST ? -EADDRINUSE : err;
    }
    spin_lock(&g_unix_lock);
    u->path = path;
    atomic_store(&u->name, name);
    list_push_back(unix_bucket(unix_inode_hash(path.dentry->inode)), &u->hash_link);
    spin_unlock(&g_unix_lock);
    return 0;
}

static int unix_bind_abstract(struct unix_sock *u, struct sock_name *name) {
    int err = 0;
    spin_lock(&g_unix_lock);
    if (unix_table_name(&name->addr, u->s.type) != NULL) {
        err = -EADDRINUSE;
    } else {
        atomic_store(&u->name, name);
        list_push_back(unix_bucket(unix_name_hash(&name->addr, u->s.type)), &u->hash_link);
    }
    spin_unlock(&g_unix_lock);
    return err;
}

/* Five hexadecimal digits that nobody has: unix(7), "Autobind feature". */
static int unix_bind_auto(struct unix_sock *u) {
    struct sock_addr addr = {.len = UNIX_FAMILY_LEN + 6, .u.family = AF_UNIX};
    for (uint32_t tries = 0; tries < 0x100000; tries++) {
        uint32_t number = atomic_fetch_add(&g_unix_autoname, 1u) & 0xfffff;
        char digits[8];
        fmt_snprintf(digits, sizeof(digits), "%05x", number);
        addr.u.bytes[UNIX_FAMILY_LEN] = 0;
        memcpy(addr.u.bytes + UNIX_FAMILY_LEN + 1, digits, 5);
        struct sock_name *name = sock_name_new(&addr);
        if (name == NULL) {
            return -ENOMEM;
        }
        if (unix_bind_abstract(u, name) == 0) {
            return 0;
        }
        sock_name_put(name);
    }
    return -ENOSPC;
}

int unix_autobind(struct unix_sock *u) {
    int err = 0;
    if (atomic_load(&u->name) != NULL) {
        return 0;
    }
    mutex_lock(&u->bind_mutex);
    if (u->name == NULL) {
        err = unix_bind_auto(u);
    }
    mutex_unlock(&u->bind_mutex);
    return err;
}

int unix_bind(struct socket *s, const struct sock_addr *addr) {
    struct unix_sock *u = unix_of(s);
    if (addr->len == UNIX_FAMILY_LEN && addr->u.family == AF_UNIX) {
        return unix_autobind(u);
    }
    struct sock_addr normal;
    int err = unix_normalize(addr, &normal);
    if (err != 0) {
        return err;
    }
    struct sock_name *name = sock_name_new(&normal);
    if (name == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&u->bind_mutex);
    if (u->name != NULL) {
        err = -EINVAL;
    } else {
        err = unix_is_abstract(&normal) ? unix_bind_abstract(u, name) : unix_bind_path(u, name);
    }
    mutex_unlock(&u->bind_mutex);
    if (err != 0) {
        sock_name_put(name);
    }
    return err;
}

/* ---- telling ---------------------------------------------------------------------------- */

void unix_name_fill(struct unix_sock *u, struct sock_addr *out) {
    struct sock_name *name = atomic_load(&u->name);
    if (name != NULL) {
        *out = name->addr;
    } else {
        out->len = UNIX_FAMILY_LEN;
        out->u.family = AF_UNIX;
    }
}

int unix_getname(struct socket *s, bool peer, struct sock_addr *out) {
    if (!peer) {
        unix_name_fill(unix_of(s), out);
        return 0;
    }
    spin_lock(&s->lock);
    struct socket *other = s->peer;
    if (other != NULL) {
        socket_get(other);
    }
    spin_unlock(&s->lock);
    if (other == NULL) {
        return -ENOTCONN;
    }
    unix_name_fill(unix_of(other), out);
    socket_put(other);
    return 0;
}
