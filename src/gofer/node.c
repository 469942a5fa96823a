/* SPDX-License-Identifier: Apache-2.0 */
/* The table of nodes: see node.h.  Everything is bounded by GOFER_NODES_MAX. */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "path.h"

#define HASH_MIN   4096u
#define CHAIN_MAX  4096u /* depth of a directory that can still be opened again */
#define PINNED_MIN (1024u + MOAT_GOFER_EXPORTS_ALL)

struct node_table {
    struct node **by_index; /* grows */
    uint32_t *generations;  /* of each index: upper half of the next id */
    uint32_t index_cap, index_used;
    uint32_t *free_indices;
    uint32_t free_count;
    struct node **hash;
    uint32_t hash_size, count;
    struct list lru; /* most recently used first */
    uint32_t fd_count, fds_max, pinned_count, pinned_max;
};

struct node_key node_key_of(const struct statx *stx, uint32_t export_index) {
    return (struct node_key){
        .mnt = stx->stx_mnt_id,
        .dev = ((uint64_t)stx->stx_dev_major << 32) | stx->stx_dev_minor,
        .ino = stx->stx_ino,
        .born_sec = stx->stx_btime.tv_sec, /* 0 where the file system does not say */
        .born_nsec = stx->stx_btime.tv_nsec,
        .export_index = export_index,
        .type = stx->stx_mode & S_IFMT,
    };
}

bool node_key_equal(const struct node_key *a, const struct node_key *b) {
    return a->ino == b->ino && a->dev == b->dev && a->mnt == b->mnt && a->born_sec == b->born_sec &&
           a->born_nsec == b->born_nsec && a->export_index == b->export_index && a->type == b->type;
}

static uint32_t key_hash(const struct node_key *key, uint32_t size) {
    uint64_t x = key->ino * 0x9e3779b97f4a7c15ull;
    x ^= (key->dev + (key->mnt << 20) + key->export_index) * 0xc2b2ae3d27d4eb4full;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ull;
    return (uint32_t)(x >> 32) & (size - 1);
}

int node_stat_at(int dir_fd, const char *name, struct statx *out_stx) {
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
    if (statx(dir_fd, name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, out_stx) != 0) {
        return -errno;
    }
    return 0;
}

/* Doubles an array of `cap` elements of `size`; the new half is zeroed. */
static int grow_array(void *slot, uint32_t cap, uint32_t new_cap, size_t size) {
    void **array = slot;
    void *bigger = realloc(*array, (size_t)new_cap * size);
    if (bigger == NULL) {
        return -ENOMEM;
    }
    memset((char *)bigger + (size_t)cap * size, 0, (size_t)(new_cap - cap) * size);
    *array = bigger;
    return 0;
}

static int grow_indices(struct node_table *t) {
    uint32_t cap = t->index_cap == 0 ? 1024 : t->index_cap * 2;
    if (grow_array(&t->by_index, t->index_cap, cap, sizeof(struct node *)) != 0 ||
        grow_array(&t->generations, t->index_cap, cap, sizeof(uint32_t)) != 0 ||
        grow_array(&t->free_indices, t->index_cap, cap, sizeof(uint32_t)) != 0) {
        return -ENOMEM;
    }
    t->index_cap = cap;
    return 0;
}

int node_table_create(uint32_t fds_max, struct node_table **out_table) {
    struct node_table *t = calloc(1, sizeof(*t));
    struct node **hash = calloc(HASH_MIN, sizeof(struct node *));
    if (t == NULL || hash == NULL) {
        free(t);
        free(hash);
        return -ENOMEM;
    }
    t->hash = hash;
    t->hash_size = HASH_MIN;
    t->fds_max = fds_max;
    t->pinned_max = MAX(PINNED_MIN, fds_max / 2);
    list_init(&t->lru);
    if (grow_indices(t) != 0) {
        free(hash);
        free(t);
        return -ENOMEM;
    }
    t->index_used = MOAT_GOFER_EXPORTS_ALL;
    *out_table = t;
    return 0;
}

static void grow_hash(struct node_table *t) {
    uint32_t size = t->hash_size * 2;
    struct node **hash = calloc(size, sizeof(struct node *));
    if (hash == NULL) {
        return; /* longer chains are slower, not wrong */
    }
    for (uint32_t i = 0; i < t->hash_size; i++) {
        struct node *next;
        for (struct node *n = t->hash[i]; n != NULL; n = next) {
            next = n->hash_next;
            uint32_t bucket = key_hash(&n->key, size);
            n->hash_next = hash[bucket];
            hash[bucket] = n;
        }
    }
    free(t->hash);
    t->hash = hash;
    t->hash_size = size;
}

static struct node *find_key(struct node_table *t, const struct node_key *key) {
    struct node *n = t->hash[key_hash(key, t->hash_size)];
    while (n != NULL && !node_key_equal(&n->key, key)) {
        n = n->hash_next;
    }
    return n;
}

static int take_index(struct node_table *t, uint32_t *out_index) {
    if (t->free_count > 0) {
        *out_index = t->free_indices[--t->free_count];
        return 0;
    }
    if (t->index_used >= GOFER_NODES_MAX) {
        return -ENFILE;
    }
    if (t->index_used == t->index_cap && grow_indices(t) != 0) {
        return -ENOMEM;
    }
    *out_index = t->index_used++;
    return 0;
}

static int node_new_at(struct node_table *t, const struct node_key *key, uint32_t index,
                       struct node **out_node) {
    struct node *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return -ENOMEM;
    }
    n->index = index;
    n->id = ((uint64_t)t->generations[index] << 32) | (index + 1);
    n->key = *key;
    n->type = (uint16_t)key->type;
    n->fd = -1;
    list_init(&n->lru);
    t->by_index[index] = n;
    if (++t->count > t->hash_size * 2) {
        grow_hash(t);
    }
    uint32_t bucket = key_hash(key, t->hash_size);
    n->hash_next = t->hash[bucket];
    t->hash[bucket] = n;
    *out_node = n;
    return 0;
}

static int node_new(struct node_table *t, const struct node_key *key, struct node **out_node) {
    uint32_t index;
    int err = take_index(t, &index);
    if (err == 0) {
        err = node_new_at(t, key, index, out_node);
        if (err != 0) {
            t->free_indices[t->free_count++] = index;
        }
    }
    return err;
}

/* The first indices are the roots', used or not. */
static bool node_is_root(const struct node *n) {
    return n->index < MOAT_GOFER_EXPORTS_ALL;
}

static void drop_fd(struct node_table *t, struct node *n) {
    if (n->fd >= 0) {
        (void)close(n->fd); /* O_PATH: nothing to lose */
        n->fd = -1;
        t->fd_count--;
    }
    if (n->pinned) {
        n->pinned = false;
        t->pinned_count--;
    }
    list_del_init(&n->lru);
}

static void node_free(struct node_table *t, struct node *n) {
    struct node **link = &t->hash[key_hash(&n->key, t->hash_size)];
    while (*link != n) {
        link = &(*link)->hash_next;
    }
    *link = n->hash_next;
    t->count--;
    drop_fd(t, n);
    t->by_index[n->index] = NULL;
    t->generations[n->index]++;
    t->free_indices[t->free_count++] = n->index;
    free(n->name);
    free(n);
}

/* Frees n, and then its ancestors, as far as nobody needs them. */
static void node_release(struct node_table *t, struct node *n) {
    while (n != NULL && n->lookups == 0 && n->children == 0) {
        struct node *parent = n->parent;
        node_free(t, n);
        if (parent != NULL) {
            parent->children--;
        }
        n = parent;
    }
}

int node_add_root(struct node_table *t, uint32_t export_index, int fd, bool sealed,
                  const struct statx *stx) {
    struct node_key key = node_key_of(stx, export_index);
    struct node *n;
    int err = node_new_at(t, &key, export_index, &n);
    if (err != 0) {
        return err;
    }
    n->lookups = 1; /* ours: a root is never freed */
    n->fd = fd;
    n->sealed = sealed;
    n->pinned = true;
    t->pinned_count++;
    t->fd_count++;
    return 0;
}

void node_drop_export(struct node_table *t, uint32_t export_index) {
    for (uint32_t i = 0; i < t->index_used; i++) {
        struct node *n = t->by_index[i];
        if (n == NULL || n->key.export_index != export_index) {
            continue;
        }
        bool root = node_is_root(n);
        node_free(t, n);
        if (root) { /* its number is fixed, and in no list */
            t->generations[i] = 0;
            t->free_count--;
        }
    }
}

struct node *node_find(struct node_table *t, uint64_t id) {
    uint32_t low = (uint32_t)id;
    if (low == 0 || low > t->index_used) {
        return NULL;
    }
    struct node *n = t->by_index[low - 1];
    return n != NULL && n->id == id && n->lookups > 0 ? n : NULL;
}

static bool is_ancestor(const struct node *maybe, const struct node *n) {
    for (; n != NULL; n = n->parent) {
        if (n == maybe) {
            return true;
        }
    }
    return false;
}

/* Gives n its latest name.  A name that would make it its own ancestor (what others moved about) is
 * not taken. */
static int set_name(struct node_table *t, struct node *n, struct node *dir, const char *name) {
    if (n->parent == dir && n->name != NULL && strcmp(n->name, name) == 0) {
        return 0;
    }
    if (n == dir || (n->children > 0 && is_ancestor(n, dir))) {
        return -ESTALE;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return -ENOMEM;
    }
    free(n->name);
    n->name = copy;
    struct node *old = n->parent;
    dir->children++;
    n->parent = dir;
    if (old != NULL) {
        old->children--;
        node_release(t, old);
    }
    return 0;
}

int node_lookup(struct node_table *t, struct node *dir, const char *name, const struct statx *stx,
                struct node **out_node) {
    struct node_key key = node_key_of(stx, dir->key.export_index);
    struct node *n = find_key(t, &key);
    int err = 0;
    if (n == NULL) {
        err = node_new(t, &key, &n);
        if (err != 0) {
            return err;
        }
    } else if (node_is_root(n)) {
        return -ELOOP; /* the export's root inside itself */
    }
    err = set_name(t, n, dir, name);
    if (err != 0) {
        node_release(t, n);
        return err;
    }
    if (n->lookups == UINT64_MAX) {
        return -ENFILE;
    }
    n->lookups++;
    *out_node = n;
    return 0;
}

void node_forget(struct node_table *t, struct node *n, uint64_t count) {
    uint64_t keep = node_is_root(n) ? 1 : 0;
    n->lookups = count >= n->lookups - keep ? keep : n->lookups - count;
    node_release(t, n);
}

static bool fd_is(int fd, const struct node *n) {
    struct statx stx;
    if (node_stat_at(fd, "", &stx) != 0) {
        return false;
    }
    struct node_key key = node_key_of(&stx, n->key.export_index);
    return node_key_equal(&key, &n->key);
}

/* Opens n below its parent, whose descriptor is open. */
static int open_child(struct node_table *t, struct node *n) {
    if (n->name == NULL || n->parent == NULL) {
        return -ESTALE;
    }
    int fd = path_open_child(n->parent->fd, n->name, O_PATH, 0);
    if (fd < 0) {
        return fd == -ENOENT || fd == -ELOOP ? -ESTALE : fd;
    }
    if (!fd_is(fd, n)) {
        (void)close(fd); /* another file has the name now */
        return -ESTALE;
    }
    n->fd = fd;
    t->fd_count++;
    list_push_front(&t->lru, &n->lru);
    return 0;
}

int node_fd(struct node_table *t, struct node *n) {
    if (n->fd >= 0) {
        if (!n->pinned) {
            list_del_init(&n->lru);
            list_push_front(&t->lru, &n->lru);
        }
        return n->fd;
    }
    static struct node *chain[CHAIN_MAX]; /* one thread */
    uint32_t depth = 0;
    for (struct node *at = n; at->fd < 0; at = at->parent) {
        if (depth == CHAIN_MAX) {
            return -ENAMETOOLONG;
        }
        if (at->parent == NULL) {
            return -ESTALE;
        }
        chain[depth++] = at;
    }
    while (depth > 0) {
        int err = open_child(t, chain[--depth]);
        if (err != 0) {
            return err;
        }
    }
    return n->fd;
}

static struct node *find_named(struct node_table *t, struct node *dir, const char *name,
                               struct node_key *out_key) {
    struct statx stx;
    int fd = node_fd(t, dir);
    if (fd < 0 || node_stat_at(fd, name, &stx) != 0) {
        return NULL;
    }
    *out_key = node_key_of(&stx, dir->key.export_index);
    return find_key(t, out_key);
}

void node_name_going(struct node_table *t, struct node *dir, const char *name) {
    struct node_key key;
    struct node *n = find_named(t, dir, name, &key);
    if (n == NULL || n->pinned || t->pinned_count >= t->pinned_max) {
        return;
    }
    if (node_fd(t, n) >= 0) {
        list_del_init(&n->lru);
        n->pinned = true;
        t->pinned_count++;
    }
}

void node_name_gone(struct node_table *t, struct node *dir, const char *name,
                    const struct node_key *key) {
    struct node *n = find_key(t, key);
    if (n != NULL && n->parent == dir && n->name != NULL && strcmp(n->name, name) == 0) {
        free(n->name);
        n->name = NULL;
    }
}

void node_moved(struct node_table *t, struct node *dir, const char *name,
                const struct node_key *key) {
    struct node *n = find_key(t, key);
    if (n != NULL) {
        (void)set_name(t, n, dir, name); /* at worst the old name stays and gives -ESTALE later */
    }
}

void node_trim(struct node_table *t) {
    while (t->fd_count > t->fds_max && !list_empty(&t->lru)) {
        drop_fd(t, list_last(&t->lru, struct node, lru));
    }
}
