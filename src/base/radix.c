/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Radix tree with 64-way nodes that grows at the top.  A node frees itself when its last slot
 * empties, so an empty tree holds no memory.  Recursion depth is at most RADIX_LEVELS_MAX.
 */
#include "base/radix.h"

#include <asm-generic/errno.h>

#define RADIX_BITS       6u
#define RADIX_SLOTS      (1u << RADIX_BITS)
#define RADIX_MASK       (RADIX_SLOTS - 1)
#define RADIX_LEVELS_MAX 11u

struct radix_node {
    uint64_t slots[RADIX_SLOTS]; /* children, or values at the lowest level */
    uint32_t used;
};

static struct radix_node *child_of(const struct radix_node *node, uint32_t slot) {
    return (struct radix_node *)(uintptr_t)node->slots[slot];
}

static uint32_t slot_of(uint64_t key, uint32_t level) {
    return (uint32_t)(key >> (RADIX_BITS * level)) & RADIX_MASK;
}

/* Keys that a tree of this height can hold end here (inclusive). */
static uint64_t max_key(uint32_t height) {
    return height >= RADIX_LEVELS_MAX ? UINT64_MAX : (1ull << (RADIX_BITS * height)) - 1;
}

uint64_t radix_get(const struct radix *tree, uint64_t key) {
    const struct radix_node *node = tree->root;
    if (node == NULL || key > max_key(tree->height)) {
        return 0;
    }
    for (uint32_t level = tree->height - 1; level > 0; level--) {
        node = child_of(node, slot_of(key, level));
        if (node == NULL) {
            return 0;
        }
    }
    return node->slots[slot_of(key, 0)];
}

static int grow(struct radix *tree, const struct radix_alloc *ops, uint64_t key) {
    while (tree->root == NULL || key > max_key(tree->height)) {
        if (tree->root == NULL && key > max_key(tree->height + 1)) {
            tree->height++; /* empty: only the height has to fit */
            continue;
        }
        struct radix_node *top = ops->alloc(sizeof(*top));
        if (top == NULL) {
            if (tree->root == NULL) {
                tree->height = 0;
            }
            return -ENOMEM;
        }
        if (tree->root != NULL) {
            top->slots[0] = (uintptr_t)tree->root;
            top->used = 1;
        }
        tree->root = top;
        tree->height++;
    }
    return 0;
}

/* Frees empty nodes on the way to `key`; true when `node` itself became empty. */
static bool prune(const struct radix_alloc *ops, struct radix_node *node, uint32_t level,
                  uint64_t key) {
    if (level > 0) {
        uint32_t slot = slot_of(key, level);
        struct radix_node *child = child_of(node, slot);
        if (child != NULL && prune(ops, child, level - 1, key)) {
            ops->free(child);
            node->slots[slot] = 0;
            node->used--;
        }
    }
    return node->used == 0;
}

static void prune_tree(struct radix *tree, const struct radix_alloc *ops, uint64_t key) {
    if (prune(ops, tree->root, tree->height - 1, key)) {
        ops->free(tree->root);
        tree->root = NULL;
        tree->height = 0;
    }
}

int radix_set(struct radix *tree, const struct radix_alloc *ops, uint64_t key, uint64_t value) {
    int err = grow(tree, ops, key);
    if (err != 0) {
        return err;
    }
    struct radix_node *node = tree->root;
    for (uint32_t level = tree->height - 1; level > 0; level--) {
        uint32_t slot = slot_of(key, level);
        struct radix_node *child = child_of(node, slot);
        if (child == NULL) {
            child = ops->alloc(sizeof(*child));
            if (child == NULL) {
                prune_tree(tree, ops, key);
                return -ENOMEM;
            }
            node->slots[slot] = (uintptr_t)child;
            node->used++;
        }
        node = child;
    }
    uint64_t *slot = &node->slots[slot_of(key, 0)];
    if (*slot == 0) {
        node->used++;
        tree->count++;
    }
    *slot = value;
    return 0;
}

uint64_t radix_del(struct radix *tree, const struct radix_alloc *ops, uint64_t key) {
    struct radix_node *node = tree->root;
    if (node == NULL || key > max_key(tree->height)) {
        return 0;
    }
    for (uint32_t level = tree->height - 1; level > 0; level--) {
        node = child_of(node, slot_of(key, level));
        if (node == NULL) {
            return 0;
        }
    }
    uint32_t slot = slot_of(key, 0);
    uint64_t value = node->slots[slot];
    if (value != 0) {
        node->slots[slot] = 0;
        tree->count--;
        if (--node->used == 0) {
            prune_tree(tree, ops, key);
        }
    }
    return value;
}

/* First key >= *key below `node`, whose lowest key is `base`. */
static bool find_from(const struct radix_node *node, uint32_t level, uint64_t base, uint64_t *key,
                      uint64_t *out_value) {
    uint32_t slot = *key > base ? slot_of(*key, level) : 0;
    for (; slot < RADIX_SLOTS; slot++) {
        if (node->slots[slot] == 0) {
            continue;
        }
        uint64_t first = base + ((uint64_t)slot << (RADIX_BITS * level));
        if (level == 0) {
            *key = first;
            *out_value = node->slots[slot];
            return true;
        }
        uint64_t from = MAX(*key, first);
        if (find_from(child_of(node, slot), level - 1, first, &from, out_value)) {
            *key = from;
            return true;
        }
    }
    return false;
}

bool radix_next(const struct radix *tree, uint64_t *key, uint64_t *out_value) {
    if (tree->root == NULL || *key > max_key(tree->height)) {
        return false;
    }
    return find_from(tree->root, tree->height - 1, 0, key, out_value);
}

static void clear_node(const struct radix_alloc *ops, struct radix_node *node, uint32_t level) {
    for (uint32_t slot = 0; level > 0 && slot < RADIX_SLOTS; slot++) {
        if (node->slots[slot] != 0) {
            clear_node(ops, child_of(node, slot), level - 1);
        }
    }
    ops->free(node);
}

void radix_clear(struct radix *tree, const struct radix_alloc *ops) {
    if (tree->root != NULL) {
        clear_node(ops, tree->root, tree->height - 1);
    }
    *tree = (struct radix){0};
}
