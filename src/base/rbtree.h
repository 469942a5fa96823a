/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive red-black tree.  The caller walks to the insertion point (so that the comparison is
 * inlined), links the node there and asks for rebalancing.  Callers bring their own lock.
 */
#ifndef MOAT_BASE_RBTREE_H
#define MOAT_BASE_RBTREE_H

#include "base/types.h"

struct rb_node {
    struct rb_node *parent;
    struct rb_node *left;
    struct rb_node *right;
    bool red;
};

struct rb_tree {
    struct rb_node *root;
};

#define rb_entry(ptr, type, member) container_of(ptr, type, member)

/* Links `node` as the child `*slot` (either &tree->root, &parent->left or &parent->right) and
 * rebalances. */
void rb_insert(struct rb_tree *tree, struct rb_node *parent, struct rb_node **slot,
               struct rb_node *node);
/* Removes `node`, which must be in `tree`. */
void rb_erase(struct rb_tree *tree, struct rb_node *node);
/* In-order walk; NULL at the ends. */
struct rb_node *rb_first(const struct rb_tree *tree);
struct rb_node *rb_last(const struct rb_tree *tree);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

#endif
