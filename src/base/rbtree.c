/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Red-black tree (Cormen et al., "Introduction to Algorithms", chapter 13) without a sentinel: a
 * missing child counts as black.
 */
#include "base/rbtree.h"

static bool is_red(const struct rb_node *n) {
    return n != NULL && n->red;
}

/* Puts `node` where `old` hangs below its parent. */
static void replace_child(struct rb_tree *tree, struct rb_node *parent, struct rb_node *old,
                          struct rb_node *node) {
    if (parent == NULL) {
        tree->root = node;
    } else if (parent->left == old) {
        parent->left = node;
    } else {
        parent->right = node;
    }
}

static void rotate_left(struct rb_tree *tree, struct rb_node *x) {
    struct rb_node *y = x->right;
    x->right = y->left;
    if (y->left != NULL) {
        y->left->parent = x;
    }
    y->parent = x->parent;
    replace_child(tree, x->parent, x, y);
    y->left = x;
    x->parent = y;
}

static void rotate_right(struct rb_tree *tree, struct rb_node *x) {
    struct rb_node *y = x->left;
    x->left = y->right;
    if (y->right != NULL) {
        y->right->parent = x;
    }
    y->parent = x->parent;
    replace_child(tree, x->parent, x, y);
    y->right = x;
    x->parent = y;
}

/* Rotates so that the child on the other side of `left` rises. */
static void rotate(struct rb_tree *tree, struct rb_node *x, bool left) {
    if (left) {
        rotate_left(tree, x);
    } else {
        rotate_right(tree, x);
    }
}

void rb_insert(struct rb_tree *tree, struct rb_node *parent, struct rb_node **slot,
               struct rb_node *node) {
    *node = (struct rb_node){.parent = parent, .red = true};
    *slot = node;
    while (is_red(node->parent)) {
        struct rb_node *p = node->parent, *g = p->parent;
        bool p_is_left = p == g->left;
        struct rb_node *uncle = p_is_left ? g->right : g->left;
        if (is_red(uncle)) {
            p->red = false;
            uncle->red = false;
            g->red = true;
            node = g;
            continue;
        }
        if (node == (p_is_left ? p->right : p->left)) {
            rotate(tree, p, p_is_left);
            p = node;
        }
        p->red = false;
        g->red = true;
        rotate(tree, g, !p_is_left);
        break;
    }
    tree->root->red = false;
}

/* `node` (maybe NULL) below `parent` lacks one black level. */
static void erase_fixup(struct rb_tree *tree, struct rb_node *parent, struct rb_node *node) {
    while (node != tree->root && !is_red(node)) {
        bool left = node == parent->left;
        struct rb_node *w = left ? parent->right : parent->left;
        if (w->red) {
            w->red = false;
            parent->red = true;
            rotate(tree, parent, left);
            w = left ? parent->right : parent->left;
        }
        struct rb_node *inner = left ? w->left : w->right, *outer = left ? w->right : w->left;
        if (!is_red(inner) && !is_red(outer)) {
            w->red = true;
            node = parent;
            parent = node->parent;
            continue;
        }
        if (!is_red(outer)) {
            inner->red = false;
            w->red = true;
            rotate(tree, w, !left);
            w = left ? parent->right : parent->left;
            outer = left ? w->right : w->left;
        }
        w->red = parent->red;
        parent->red = false;
        outer->red = false;
        rotate(tree, parent, left);
        node = tree->root;
    }
    if (node != NULL) {
        node->red = false;
    }
}

void rb_erase(struct rb_tree *tree, struct rb_node *node) {
    struct rb_node *child, *parent;
    bool removed_red;
    if (node->left != NULL && node->right != NULL) {
        struct rb_node *next = node->right; /* the successor takes node's place */
        while (next->left != NULL) {
            next = next->left;
        }
        removed_red = next->red;
        child = next->right;
        parent = next->parent == node ? next : next->parent;
        if (next->parent != node) {
            parent->left = child;
            next->right = node->right;
            next->right->parent = next;
        }
        if (child != NULL) {
            child->parent = parent;
        }
        next->left = node->left;
        next->left->parent = next;
        next->parent = node->parent;
        next->red = node->red;
        replace_child(tree, node->parent, node, next);
    } else {
        child = node->left != NULL ? node->left : node->right;
        parent = node->parent;
        removed_red = node->red;
        if (child != NULL) {
            child->parent = parent;
        }
        replace_child(tree, parent, node, child);
    }
    if (!removed_red) {
        erase_fixup(tree, parent, child);
    }
    *node = (struct rb_node){0};
}

struct rb_node *rb_first(const struct rb_tree *tree) {
    struct rb_node *n = tree->root;
    while (n != NULL && n->left != NULL) {
        n = n->left;
    }
    return n;
}

struct rb_node *rb_last(const struct rb_tree *tree) {
    struct rb_node *n = tree->root;
    while (n != NULL && n->right != NULL) {
        n = n->right;
    }
    return n;
}

struct rb_node *rb_next(const struct rb_node *node) {
    if (node->right != NULL) {
        struct rb_node *n = node->right;
        while (n->left != NULL) {
            n = n->left;
        }
        return n;
    }
    while (node->parent != NULL && node == node->parent->right) {
        node = node->parent;
    }
    return node->parent;
}

struct rb_node *rb_prev(const struct rb_node *node) {
    if (node->left != NULL) {
        struct rb_node *n = node->left;
        while (n->right != NULL) {
            n = n->right;
        }
        return n;
    }
    while (node->parent != NULL && node == node->parent->left) {
        node = node->parent;
    }
    return node->parent;
}
