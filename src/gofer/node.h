/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes that the client knows: one for each (mount, device, inode number), named by a 64-bit id
 * that is not used again.
 *
 * A node remembers the directory and name under which it was seen last.  Its O_PATH descriptor is
 * opened when needed and closed again when there are too many; it is compared with the node's
 * identity on each opening, so that a node never stands for another file than the one looked up
 * (-ESTALE when the name now means something else).
 */
#ifndef MOAT_GOFER_NODE_H
#define MOAT_GOFER_NODE_H

#include "base/list.h"
#include "gofer.h"

/*
 * Exports are kept apart even where they show the same mount, as on hosts where we may not clone
 * it.  Type and time of birth tell a file from an earlier one whose inode number it got.
 */
struct node_key {
    uint64_t mnt, dev, ino;
    int64_t born_sec;
    uint32_t born_nsec;
    uint32_t export_index;
    uint32_t type; /* S_IFMT bits */
};

struct node {
    uint64_t id;
    struct node_key key;
    uint64_t lookups; /* that the client has not forgotten */
    struct node *hash_next;
    struct node *parent; /* counted in its `children`; NULL: root of an export */
    char *name;          /* in parent; NULL: root, or the name is gone */
    struct list lru;     /* of nodes with an evictable descriptor */
    uint32_t index;
    uint32_t children;             /* nodes whose parent it is */
    int fd;                        /* O_PATH, or -1 */
    uint16_t type;                 /* S_IFMT bits */
    bool pinned;                   /* fd is the only way to it: not closed */
    bool sealed;                   /* a mount that is not entered: an empty directory */
    bool top;                      /* likewise, but its names are the exports (top.c) */
    struct statx_timestamp opened; /* change time when it was last opened (vhost: see op_open) */
};

/* `fds_max` bounds the descriptors kept open between requests. */
must_check int node_table_create(uint32_t fds_max, struct node_table **out_table);
/* The root node of an export; `fd` is kept.  A sealed one has nothing in it. */
must_check int node_add_root(struct node_table *t, uint32_t export_index, int fd, bool sealed,
                             const struct statx *stx);
/* Forgets the root of an export and all that was ever found below it, whatever the client says; the
 * root's descriptor is closed. */
void node_drop_export(struct node_table *t, uint32_t export_index);
/* NULL for an id that is not in use. */
struct node *node_find(struct node_table *t, uint64_t id);
/* The node that the client gets for `name` in `dir`, which has these attributes; counts one lookup.
 * -ENFILE, -ENOMEM. */
must_check int node_lookup(struct node_table *t, struct node *dir, const char *name,
                           const struct statx *stx, struct node **out_node);
/* Takes back `count` lookups. */
void node_forget(struct node_table *t, struct node *n, uint64_t count);
/* The O_PATH descriptor; the table's, valid until the request is answered.  -ESTALE, -EMFILE and
 * what opening gives. */
must_check int node_fd(struct node_table *t, struct node *n);
/* `name` of `dir` is about to go away: keeps a descriptor on its node, if the client knows it. */
void node_name_going(struct node_table *t, struct node *dir, const char *name);
/* It went / was moved. */
void node_name_gone(struct node_table *t, struct node *dir, const char *name,
                    const struct node_key *key);
void node_moved(struct node_table *t, struct node *dir, const char *name,
                const struct node_key *key);
/* Closes descriptors above the limit; called between requests. */
void node_trim(struct node_table *t);

bool node_key_equal(const struct node_key *a, const struct node_key *b);
struct node_key node_key_of(const struct statx *stx, uint32_t export_index);
/* statx of a child by name, never following; of an open descriptor with name "". */
must_check int node_stat_at(int dir_fd, const char *name, struct statx *out_stx);

#endif
