/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path walks while the dentry cache is shrunk, names are renamed and superblocks come and go: every
 * walk must arrive at the inode that its path names, or find nothing where nothing is.
 */
#include "vfs_harness.h"

#include "fs/internal.h"
#include "kernel/kmalloc.h"

#include <sys/stat.h>

#define WALKERS 5
#define ROUNDS  6000
#define NAMES   12

/* ---- a filesystem in which every name exists: "d..." are directories, the others files.  An
 * inode's number tells by which path it was found. ---- */

static uint64_t child_number(uint64_t parent, const char *name, size_t len) {
    for (size_t i = 0; i < len; i++) {
        parent = parent * 1099511628211ull + (uint8_t)name[i];
    }
    return parent;
}

static uint64_t g_inodes; /* atomic: alive */
static const struct inode_ops g_lazy_ops;
static const struct file_ops g_lazy_fops;

static struct inode *lazy_inode(struct super_block *sb, uint32_t mode, uint64_t number) {
    struct inode *inode = inode_alloc(sb, mode, &g_lazy_ops, &g_lazy_fops);
    CHECK(inode != NULL);
    inode->ino = number;
    (void)atomic_fetch_add(&g_inodes, 1ull);
    return inode;
}

static int lazy_lookup(struct inode *dir, struct dentry *d) {
    if (d->name[0] == 'n') {
        return 0; /* does not exist */
    }
    uint32_t mode = d->name[0] == 'd' ? S_IFDIR | 0755 : S_IFREG | 0644;
    dentry_set_inode(d, lazy_inode(dir->sb, mode, child_number(dir->ino, d->name, d->name_len)));
    return 0;
}

static const struct inode_ops g_lazy_ops = {.lookup = lazy_lookup};

static void lazy_evict(struct inode *inode) {
    inode->ino = 0;
    inode->mode = 0xffffffff;
    (void)atomic_fetch_sub(&g_inodes, 1ull);
}

static const struct super_ops g_lazy_super_ops = {.evict = lazy_evict};

static int lazy_mount(const struct fs_type *type, const char *source, uint32_t flags,
                      const char *data, struct super_block **out_sb) {
    struct super_block *sb = super_alloc(type, &g_lazy_super_ops, 1);
    CHECK(sb != NULL);
    sb->dcache_stable = true;
    CHECK(super_set_root(sb, lazy_inode(sb, S_IFDIR | 0755, 1)) == 0);
    *out_sb = sb;
    return 0;
}

static const struct fs_type g_lazy_type = {.name = "lazy", .mount = lazy_mount};

/* ---- walkers ---- */

static uint32_t g_walking; /* atomic */

static void walker(void *arg) {
    unsigned long seed = (unsigned long)(uintptr_t)arg * 104729 + 3;
    char path[160], name[48];
    struct stat st;
    vfs_harness_join(NULL);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t want = 1;
        size_t at = (size_t)snprintf(path, sizeof(path), "/lazy");
        int depth = (int)(test_random(&seed) % 3);
        bool missing = test_random(&seed) % 8 == 0;
        for (int k = 0; k <= depth; k++) {
            char kind = k < depth ? 'd' : missing ? 'n' : 'f';
            /* Some names are too long to lie in the dentry itself. */
            int len =
                snprintf(name, sizeof(name), test_random(&seed) % 3 == 0 ? "%c%lu-%030d" : "%c%lu",
                         kind, test_random(&seed) % NAMES, 7);
            want = child_number(want, name, (size_t)len);
            at += (size_t)snprintf(path + at, sizeof(path) - at, "/%s", name);
        }
        int64_t r = CALL2(stat, P(path), P(&st));
        if (missing) {
            CHECK(r == -ENOENT);
        } else {
            CHECK(r == 0 && st.st_ino == want);
        }
    }
    (void)atomic_fetch_sub(&g_walking, 1u);
    vfs_harness_leave();
}

/* Mounts and unmounts the same filesystem elsewhere, so that its dentries are reused. */
static void mounter(void *arg) {
    struct stat st;
    vfs_harness_join(NULL);
    while (atomic_load(&g_walking) != 0) {
        struct super_block *sb;
        struct path at;
        CHECK(lazy_mount(&g_lazy_type, "x", 0, "", &sb) == 0);
        CHECK(path_lookup(AT_FDCWD_MOAT, "/other", 0, &at) == 0);
        CHECK(mount_attach(sb, &at, 0, "x", NULL) == 0);
        path_put(&at);
        for (int i = 0; i < 20; i++) {
            char path[64];
            snprintf(path, sizeof(path), "/other/d%d/d%d/f%d", i % NAMES, i % 3, i);
            CHECK(CALL2(stat, P(path), P(&st)) == 0);
        }
        CHECK(CALL2(umount2, P("/other"), 2) == 0); /* MNT_DETACH */
    }
    vfs_harness_leave();
}

static void start(void *arg) {
    atomic_store(&g_walking, (uint32_t)WALKERS);
    for (uintptr_t i = 0; i < WALKERS; i++) {
        harness_thread(walker, (void *)i);
    }
    harness_thread(mounter, NULL);
}

static void test_shrinking(void) {
    struct super_block *sb;
    struct path at;
    uint32_t limit = g_dentries_max;
    g_dentries_max = 60;
    CHECK(CALL2(mkdir, P("/lazy"), 0755) == 0 && CALL2(mkdir, P("/other"), 0755) == 0);
    CHECK(lazy_mount(&g_lazy_type, "x", 0, "", &sb) == 0);
    CHECK(path_lookup(AT_FDCWD_MOAT, "/lazy", 0, &at) == 0 &&
          mount_attach(sb, &at, 0, "x", NULL) == 0);
    path_put(&at);
    harness_run(start, NULL);
    CHECK(CALL2(umount2, P("/lazy"), 0) == 0);
    CHECK(atomic_load(&g_inodes) == 0);
    g_dentries_max = limit;
}

/* ---- renames: a file that trades places with another is always one of the two ---- */

static uint64_t g_numbers[2];

static void trader(void *arg) {
    vfs_harness_join(NULL);
    for (int i = 0; i < 4000; i++) {
        CHECK(CALL5(renameat2, -100, P("/t/a"), -100,
                    P("/t/bb-with-a-name-of-more-than-thirty-two-bytes"), 2) == 0);
    }
    atomic_store(&g_walking, 0u);
    vfs_harness_leave();
}

static void watcher(void *arg) {
    struct stat st;
    vfs_harness_join(NULL);
    while (atomic_load(&g_walking) != 0) {
        CHECK(CALL2(stat, P("/t/a/f"), P(&st)) == 0);
        CHECK(st.st_ino == g_numbers[0] || st.st_ino == g_numbers[1]);
        CHECK(CALL2(stat, P("/t/bb-with-a-name-of-more-than-thirty-two-bytes/f"), P(&st)) == 0);
        CHECK(st.st_ino == g_numbers[0] || st.st_ino == g_numbers[1]);
        task_yield(); /* the trader may wait on this vCPU */
    }
    vfs_harness_leave();
}

static void start_trade(void *arg) {
    g_walking = 1;
    harness_thread(trader, NULL);
    harness_thread(watcher, NULL);
    harness_thread(watcher, NULL);
}

static uint64_t make_with_file(const char *dir) {
    char name[96];
    struct stat st;
    CHECK(CALL2(mkdir, P(dir), 0755) == 0);
    snprintf(name, sizeof(name), "%s/f", dir);
    CHECK(CALL3(mknod, P(name), 0100644, 0) == 0 && CALL2(stat, P(name), P(&st)) == 0);
    return st.st_ino;
}

static void test_trading(void) {
    CHECK(CALL2(mkdir, P("/t"), 0755) == 0);
    g_numbers[0] = make_with_file("/t/a");
    g_numbers[1] = make_with_file("/t/bb-with-a-name-of-more-than-thirty-two-bytes");
    harness_run(start_trade, NULL);
}

/* ---- the table grows while it is used ---- */

static void grower(void *arg) {
    char name[64];
    struct stat st;
    vfs_harness_join(NULL);
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "/t/g%lu-%d", (unsigned long)(uintptr_t)arg, i);
        CHECK(CALL3(mknod, P(name), 0100644, 0) == 0 && CALL2(stat, P(name), P(&st)) == 0);
    }
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "/t/g%lu-%d", (unsigned long)(uintptr_t)arg, i);
        CHECK(CALL2(stat, P(name), P(&st)) == 0 && CALL1(unlink, P(name)) == 0 &&
              CALL2(stat, P(name), P(&st)) == -ENOENT);
    }
    vfs_harness_leave();
}

static void start_growers(void *arg) {
    for (uintptr_t i = 0; i < 4; i++) {
        harness_thread(grower, (void *)i);
    }
}

/* ---- a namespace that ends takes its mounts along, as soon as nobody uses them ---- */

static void test_namespace_end(void) {
    struct super_block *sb;
    struct mount *m;
    struct path inside, below;
    CHECK(lazy_mount(&g_lazy_type, "x", 0, "", &sb) == 0 &&
          mount_attach(sb, NULL, 0, "x", &m) == 0);
    struct path root = {m, m->root};
    CHECK(path_lookup_at(&root, &root, "/d1", 0, &inside) == 0);
    CHECK(lazy_mount(&g_lazy_type, "y", 0, "", &sb) == 0);
    CHECK(mount_attach(sb, &inside, 0, "y", NULL) == 0);
    path_put(&inside);
    CHECK(path_lookup_at(&root, &root, "/d1/d2/f3", 0, &below) == 0);
    mount_ns_end(&below); /* named by any path in it */
    mount_put(m);
    CHECK(atomic_load(&g_inodes) == 3); /* the walker's file and what leads there */
    path_put(&below);
    CHECK(atomic_load(&g_inodes) == 0);
}

static void tests(void *arg) {
    test_namespace_end();
    test_shrinking();
    test_trading();
    harness_run(start_growers, NULL);
}

int main(void) {
    vfs_harness_main(tests);
}
