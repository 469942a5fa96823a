/* SPDX-License-Identifier: Apache-2.0 */
/* The freestanding library: formatting against libc's printf, trees and the radix tree against
 * plain models. */
#include "base/fmt.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/radix.h"
#include "base/rbtree.h"
#include "check.h"

#include <errno.h>
#include <string.h>

/* ---- fmt ---- */

#define SAME(...)                                                                                  \
    do {                                                                                           \
        char mine[128], theirs[128];                                                               \
        int want = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                  \
        size_t got = fmt_snprintf(mine, sizeof(mine), __VA_ARGS__);                                \
        if (got != (size_t)want || strcmp(mine, theirs) != 0) {                                    \
            fprintf(stderr, "%d: got \"%s\" want \"%s\"\n", __LINE__, mine, theirs);               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void test_fmt(void) {
    SAME("plain %% text");
    SAME("%d %i %u", -5, 7, 4000000000u);
    SAME("%ld %lu %lld %zu", -5000000000l, 18000000000000000000ul, -1ll, (size_t)9);
    SAME("%x %X %#x %08x %-8x| %o %#o", 0xbeefu, 0xbeefu, 0xbeefu, 0x12u, 0x12u, 0755u, 0755u);
    SAME("%5d|%-5d|%05d|%+d|% d|%.3d|%8.3d|%.0d", 42, 42, -42, 42, 42, 7, 7, 0);
    SAME("%s|%10s|%-10s|%.2s|%*s|%-*s|%.*s", "abc", "abc", "abc", "abc", 6, "x", 6, "y", 1, "zz");
    SAME("%c|%3c|%-3c|", 'a', 'b', 'c');
    SAME("%hhu %hd %hhx", (unsigned char)44, (short)4464, (unsigned char)0xff);
    SAME("%ld %lu", (long)INT64_MIN, (unsigned long)UINT64_MAX);
    char small[4];
    CHECK(fmt_snprintf(small, sizeof(small), "%s", "abcdef") == 6 && strcmp(small, "abc") == 0);
    CHECK(fmt_snprintf(NULL, 0, "%d", 12345) == 5);
}

static void test_parse(void) {
    uint64_t v = 0;
    CHECK(fmt_parse_u64("0", 10, &v) == 0 && v == 0);
    CHECK(fmt_parse_u64("18446744073709551615", 10, &v) == 0 && v == UINT64_MAX);
    CHECK(fmt_parse_u64("18446744073709551616", 10, &v) == -ERANGE);
    CHECK(fmt_parse_u64("755", 8, &v) == 0 && v == 0755);
    CHECK(fmt_parse_u64("8", 8, &v) == -EINVAL);
    CHECK(fmt_parse_u64("fFe", 16, &v) == 0 && v == 0xffe);
    CHECK(fmt_parse_u64("", 10, &v) == -EINVAL);
    CHECK(fmt_parse_u64("1 ", 10, &v) == -EINVAL);
    CHECK(fmt_parse_u64("-1", 10, &v) == -EINVAL);
}

/* ---- red-black tree ---- */

#define TREE_KEYS 600

struct item {
    struct rb_node node;
    unsigned int key;
    bool in;
};

static struct item g_items[TREE_KEYS];

static void tree_insert(struct rb_tree *tree, struct item *item) {
    struct rb_node **slot = &tree->root, *parent = NULL;
    while (*slot != NULL) {
        parent = *slot;
        slot =
            item->key < rb_entry(parent, struct item, node)->key ? &parent->left : &parent->right;
    }
    rb_insert(tree, parent, slot, &item->node);
    item->in = true;
}

/* Black height of a subtree; checks parents, order of colours. */
static int check_node(const struct rb_node *n, const struct rb_node *parent) {
    if (n == NULL) {
        return 1;
    }
    CHECK(n->parent == parent);
    CHECK(!(n->red && parent != NULL && parent->red));
    int left = check_node(n->left, n), right = check_node(n->right, n);
    CHECK(left == right);
    return left + !n->red;
}

static void check_tree(const struct rb_tree *tree) {
    CHECK(tree->root == NULL || !tree->root->red);
    check_node(tree->root, NULL);
    struct rb_node *n = rb_first(tree), *last = NULL;
    for (unsigned int i = 0; i < TREE_KEYS; i++) {
        if (g_items[i].in) {
            CHECK(n == &g_items[i].node);
            CHECK(rb_prev(n) == last);
            last = n;
            n = rb_next(n);
        }
    }
    CHECK(n == NULL && rb_last(tree) == last);
}

static void test_rbtree(void) {
    struct rb_tree tree = {NULL};
    unsigned long seed = 42;
    for (unsigned int i = 0; i < TREE_KEYS; i++) {
        g_items[i].key = i;
    }
    for (int round = 0; round < 6000; round++) {
        struct item *item = &g_items[test_random(&seed) % TREE_KEYS];
        if (item->in) {
            rb_erase(&tree, &item->node);
            item->in = false;
        } else {
            tree_insert(&tree, item);
        }
        if (round % 16 == 0) {
            check_tree(&tree);
        }
    }
    for (unsigned int i = 0; i < TREE_KEYS; i++) {
        if (g_items[i].in) {
            rb_erase(&tree, &g_items[i].node);
            g_items[i].in = false;
            check_tree(&tree);
        }
    }
    CHECK(tree.root == NULL);
}

/* ---- radix tree ---- */

static long g_nodes, g_fail_after = -1;

static void *node_alloc(size_t size) {
    if (g_fail_after == 0) {
        return NULL;
    }
    g_fail_after -= g_fail_after > 0;
    g_nodes++;
    return calloc(1, size);
}

static void node_free(void *ptr) {
    g_nodes--;
    free(ptr);
}

static const struct radix_alloc g_alloc = {node_alloc, node_free};

#define RADIX_KEYS 512

static void test_radix_random(void) {
    static uint64_t keys[RADIX_KEYS], values[RADIX_KEYS];
    struct radix tree = {0};
    unsigned long seed = 77;
    for (int i = 0; i < RADIX_KEYS; i++) {
        keys[i] = test_random(&seed) >> (test_random(&seed) % 64);
        for (int k = 0; k < i; k++) {
            if (keys[k] == keys[i]) {
                keys[i] += 1;
                k = -1;
            }
        }
    }
    for (int round = 0; round < 20000; round++) {
        int i = (int)(test_random(&seed) % RADIX_KEYS);
        CHECK(radix_get(&tree, keys[i]) == values[i]);
        if (test_random(&seed) % 2 == 0) {
            CHECK(radix_del(&tree, &g_alloc, keys[i]) == values[i]);
            values[i] = 0;
        } else {
            values[i] = test_random(&seed) | 1;
            CHECK(radix_set(&tree, &g_alloc, keys[i], values[i]) == 0);
        }
    }
    uint64_t key = 0, value, count = 0, last = 0;
    for (; radix_next(&tree, &key, &value); key++) {
        int i = 0;
        while (keys[i] != key) {
            CHECK(++i < RADIX_KEYS);
        }
        CHECK(values[i] == value && (count == 0 || key > last));
        last = key;
        count++;
        if (key == UINT64_MAX) {
            break;
        }
    }
    CHECK(count == tree.count);
    for (int i = 0; i < RADIX_KEYS; i++) {
        CHECK(radix_del(&tree, &g_alloc, keys[i]) == values[i]);
    }
    CHECK(g_nodes == 0 && tree.count == 0);
}

static void test_radix_edges(void) {
    struct radix tree = {0};
    uint64_t key = 5, value;
    CHECK(!radix_next(&tree, &key, &value));
    CHECK(radix_set(&tree, &g_alloc, UINT64_MAX, 3) == 0);
    CHECK(radix_set(&tree, &g_alloc, 0, 4) == 0);
    key = 1;
    CHECK(radix_next(&tree, &key, &value) && key == UINT64_MAX && value == 3);
    for (long n = 0; n < 25; n++) { /* out of memory at each step leaves the tree as it was */
        long before = g_nodes;
        g_fail_after = n;
        int err = radix_set(&tree, &g_alloc, 1ull << 40, 9);
        g_fail_after = -1;
        if (err == 0) {
            CHECK(radix_del(&tree, &g_alloc, 1ull << 40) == 9);
        } else {
            CHECK(err == -ENOMEM);
        }
        CHECK(g_nodes == before && radix_get(&tree, 1ull << 40) == 0 && radix_get(&tree, 0) == 4);
    }
    radix_clear(&tree, &g_alloc);
    CHECK(g_nodes == 0 && tree.root == NULL);
}

/* ---- hash ---- */

static void test_hash(void) {
    unsigned char data[64];
    for (unsigned int i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)i;
    }
    hash_seed(1, 2);
    uint64_t h = hash_bytes(data, 20), w = hash_u64(99);
    CHECK(hash_bytes(data, 20) == h && hash_bytes(data, 21) != h && hash_bytes(data + 1, 20) != h);
    hash_seed(1, 3);
    CHECK(hash_bytes(data, 20) != h && hash_u64(99) != w);
    /* SipHash-1-3 of the bytes 00 to 0e under the key 00 to 0f, worked out from the paper's
     * definition. */
    hash_seed(0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull);
    CHECK(hash_bytes(data, 15) == 0xd320d86d2a519956ull);
    int used[256] = {0}, most = 0;
    for (uint64_t i = 0; i < 65536; i++) {
        int n = ++used[hash_u64(i * 4096) & 255];
        most = n > most ? n : most;
    }
    CHECK(most < 256 + 100); /* 256 each if even; the deviation is about 16 */
}

int main(void) {
    test_fmt();
    test_parse();
    test_rbtree();
    test_radix_random();
    test_radix_edges();
    test_hash();
    return 0;
}
