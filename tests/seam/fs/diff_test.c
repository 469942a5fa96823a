/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same random calls on the Sentry's file system over a real Gofer and on a directory of the
 * host: results, errors, contents, listings and attributes must agree at every step.
 *
 *   diff_test GOFER overlay|fuse|exclusive [SEED [STEPS]]
 *
 * overlay: the export must also be unchanged in the end.  fuse, exclusive: the export must be what
 * the reference is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/seam/fs/kfs.h"
#include "tests/seam/gofer_fixture.h"

static uint64_t g_rand = 1;
static int g_ref; /* the reference directory */
static unsigned int g_step;
static char g_doing[8192];
static bool g_overlay;

static unsigned int rnd(unsigned int below) {
    g_rand ^= g_rand << 13;
    g_rand ^= g_rand >> 7;
    g_rand ^= g_rand << 17;
    return (unsigned int)((g_rand >> 11) % below);
}

static void fail(const char *format, ...) {
    va_list args;
    (void)fprintf(stderr, "step %u: %s: ", g_step, g_doing);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    abort();
}

static void doing(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(g_doing, sizeof(g_doing), format, args);
    va_end(args);
    if (getenv("DIFF_TRACE") != NULL) {
        (void)fprintf(stderr, "%u %s\n", g_step, g_doing);
    }
}

static void same(const char *what, long ours, long theirs) {
    g_checks++;
    if (ours != theirs) {
        fail("%s: %ld here, %ld on the host", what, ours, theirs);
    }
}

static long host(long r) {
    return r < 0 ? -errno : r;
}

static void random_path(char *out, size_t size) {
    static const char *const names[] = {"a",      "b",      "c",   "dir", "x",
                                        "lower1", "lower2", "sub", "link"};
    size_t len = 0;
    unsigned int depth = 1 + rnd(3);
    out[0] = '\0';
    for (unsigned int i = 0; i < depth; i++) {
        len += (size_t)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : "/", names[rnd(9)]);
    }
}

/* ---- comparing ---- */

static void compare_stat(const char *path, bool follow) {
    struct kfs_stat k;
    struct stat st;
    long ours = kfs_stat(path, follow, &k);
    long theirs = host(fstatat(g_ref, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW));
    same("stat", ours, theirs);
    if (ours != 0) {
        return;
    }
    /* Whoever writes to a host file without CAP_FSETID over the host takes its set-id bits away;
     * nobody here has it. */
    unsigned int mask =
        S_ISREG(st.st_mode) && !g_overlay ? (unsigned int)~(S_ISUID | S_ISGID) : ~0u;
    same("mode", k.mode & mask, st.st_mode & mask);
    same("uid", k.uid, st.st_uid);
    same("gid", k.gid, st.st_gid);
    if (!S_ISDIR(st.st_mode)) {
        same("nlink", k.nlink, (long)st.st_nlink);
        same("size", (long)k.size, st.st_size);
    }
}

struct names {
    char list[256][300];
    unsigned int count;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

static void names_add(struct names *n, const struct dirent64 *d) {
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) {
        return;
    }
    CHECK(n->count < 256);
    (void)snprintf(n->list[n->count++], sizeof(n->list[0]), "%s:%u", d->d_name, d->d_type);
}

#define PIECE 160

/* getdents in small pieces. */
static void names_read(struct names *n, long (*get)(long fd, void *buf, size_t len), long fd) {
    char buf[PIECE + sizeof(struct dirent64)]
        __attribute__((aligned(8))); /* the last one may be cut */
    long got;
    n->count = 0;
    while ((got = get(fd, buf, PIECE)) > 0) {
        for (long at = 0; at < got;) {
            const struct dirent64 *d = (const void *)(buf + at);
            names_add(n, d);
            at += d->d_reclen;
        }
    }
    same("getdents", got, 0);
    qsort(n->list, n->count, sizeof(n->list[0]), compare_names);
}

static long host_getdents(long fd, void *buf, size_t len) {
    return host(syscall(SYS_getdents64, fd, buf, len));
}

static void compare_dir(const char *path) {
    static struct names ours, theirs;
    long k = kfs_open(path, O_RDONLY | O_DIRECTORY, 0);
    long h = host(openat(g_ref, path, O_RDONLY | O_DIRECTORY));
    same("opendir", k < 0 ? k : 0, h < 0 ? h : 0);
    if (k < 0) {
        return;
    }
    names_read(&ours, kfs_getdents, k);
    names_read(&theirs, host_getdents, h);
    (void)kfs_close(k);
    (void)close((int)h);
    for (unsigned int i = 0; i < ours.count && i < theirs.count; i++) {
        if (strcmp(ours.list[i], theirs.list[i]) != 0) {
            fail("entry %s here, %s on the host", ours.list[i], theirs.list[i]);
        }
    }
    same("entries", ours.count, theirs.count);
}

static void compare_content(const char *path) {
    static char ours[70000], theirs[70000];
    long k = kfs_open(path, O_RDONLY, 0);
    long h = host(openat(g_ref, path, O_RDONLY));
    same("open to read", k < 0 ? k : 0, h < 0 ? h : 0);
    if (k < 0) {
        return;
    }
    size_t piece = 1 + rnd(70000);
    int64_t off = (int64_t)rnd(3000);
    long a = kfs_read(k, ours, piece, off), b = host(pread((int)h, theirs, piece, off));
    same("read", a, b);
    if (a > 0 && memcmp(ours, theirs, (size_t)a) != 0) {
        fail("content of %s differs", path);
    }
    if (a > 0) {
        same("mapped byte", kfs_mapped_byte(k, (uint64_t)off, false), (unsigned char)theirs[0]);
    }
    (void)kfs_close(k);
    (void)close((int)h);
}

/* ---- the steps ---- */

static void step_write(const char *path) {
    static char data[70000];
    static const int ways[] = {O_CREAT, O_CREAT | O_TRUNC, O_CREAT | O_EXCL, O_CREAT | O_APPEND,
                               0,       O_TRUNC,           O_APPEND};
    int flags = (rnd(2) == 0 ? O_WRONLY : O_RDWR) | ways[rnd(7)];
    size_t len = rnd(4) == 0 ? rnd(sizeof(data)) : rnd(300);
    int64_t off = rnd(3) == 0 ? (int64_t)rnd(9000) : -1;
    doing("write %s flags 0%o len %zu off %ld", path, flags, len, (long)off);
    memset(data, 'a' + (int)rnd(26), len);
    long k = kfs_open(path, flags, 0644), h = host(openat(g_ref, path, flags, 0644));
    same("open", k < 0 ? k : 0, h < 0 ? h : 0);
    if (k < 0) {
        return;
    }
    long b = host(off < 0 ? write((int)h, data, len) : pwrite((int)h, data, len, off));
    same("write", kfs_write(k, data, len, off), b);
    struct kfs_stat st;
    same("fstat", kfs_fstat(k, &st), 0);
    same("size after write", (long)st.size, lseek((int)h, 0, SEEK_END));
    same("seek", kfs_lseek(k, 0, SEEK_END), (long)st.size);
    (void)kfs_close(k);
    (void)close((int)h);
}

/* An open file that lost its name: everything but its name still works. */
static void step_nameless(const char *path) {
    char ours[600], theirs[600];
    struct kfs_stat st;
    doing("nameless %s", path);
    long k = kfs_open(path, O_RDWR | O_CREAT, 0600),
         h = host(openat(g_ref, path, O_RDWR | O_CREAT, 0600));
    same("open", k < 0 ? k : 0, h < 0 ? h : 0);
    if (k < 0) {
        return;
    }
    same("unlink", kfs_unlink(path, false), host(unlinkat(g_ref, path, 0)));
    int64_t size = (int64_t)rnd(9000);
    same("write", kfs_write(k, "nameless", 8, 100), host(pwrite((int)h, "nameless", 8, 100)));
    same("ftruncate", kfs_ftruncate(k, size), host(ftruncate((int)h, size)));
    same("fstat", kfs_fstat(k, &st), 0);
    same("size", (long)st.size, size);
    long a = kfs_read(k, ours, sizeof(ours), 0), b = host(pread((int)h, theirs, sizeof(theirs), 0));
    same("read", a, b);
    same("content", a > 0 ? memcmp(ours, theirs, (size_t)a) : 0, 0);
    (void)kfs_close(k);
    (void)close((int)h);
}

static void step_rename(const char *path, const char *other) {
    static const unsigned int ways[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    unsigned int flags = ways[rnd(5)];
    doing("rename %s %s flags %u", path, other, flags);
    long k = kfs_rename(path, other, flags);
    same("rename", k, host(renameat2(g_ref, path, g_ref, other, flags)));
    compare_stat(path, false);
    compare_stat(other, false);
}

static void step_links(const char *path, const char *other) {
    static const char *const targets[] = {"a", "b", "dir", "lower1", "nothing", "sub", "link"};
    if (rnd(2) == 0) {
        doing("link %s %s", path, other);
        same("link", kfs_link(path, other), host(linkat(g_ref, path, g_ref, other, 0)));
    } else {
        const char *target = targets[rnd(7)];
        doing("symlink %s %s", target, path);
        same("symlink", kfs_symlink(target, path), host(symlinkat(target, g_ref, path)));
    }
}

static void step_attributes(const char *path) {
    char ours[256], theirs[256];
    unsigned int mode = rnd(010000);
    switch (rnd(5)) {
    case 0:
        doing("chmod %o %s", mode, path);
        same("chmod", kfs_chmod(path, mode), host(fchmodat(g_ref, path, mode, 0)));
        break;
    case 1:
        doing("chown %s", path);
        same("chown", kfs_chown(path, 7, 8),
             host(fchownat(g_ref, path, 7, 8, AT_SYMLINK_NOFOLLOW)));
        break;
    case 2: {
        struct timespec times[2] = {{1000 + (time_t)g_step, 0}, {2000 + (time_t)g_step, 0}};
        struct kfs_stat k;
        doing("utimens %s", path);
        same("utimens", kfs_utimens(path, times[0].tv_sec, times[1].tv_sec),
             host(utimensat(g_ref, path, times, AT_SYMLINK_NOFOLLOW)));
        if (kfs_stat(path, false, &k) == 0) {
            same("mtime", k.mtime, times[1].tv_sec);
        }
        break;
    }
    case 3: {
        doing("readlink %s", path);
        long k = kfs_readlink(path, ours, sizeof(ours)),
             h = host(readlinkat(g_ref, path, theirs, sizeof(theirs)));
        same("readlink", k, h);
        same("target", k > 0 ? memcmp(ours, theirs, (size_t)k) : 0, 0);
        break;
    }
    default: {
        off_t size = (off_t)rnd(rnd(2) == 0 ? 100 : 20000);
        doing("truncate %s %ld", path, (long)size);
        long h = host(openat(g_ref, path, O_WRONLY));
        long k = kfs_truncate(path, size);
        if (h >= 0) {
            same("truncate", k, host(ftruncate((int)h, size)));
            (void)close((int)h);
        } else {
            same("truncate fails", k, h);
        }
        break;
    }
    }
}

static void step_names(const char *path) {
    switch (rnd(4)) {
    case 0:
        doing("mkdir %s", path);
        same("mkdir", kfs_mkdir(path, 0755), host(mkdirat(g_ref, path, 0755)));
        break;
    case 1:
        doing("rmdir %s", path);
        same("rmdir", kfs_unlink(path, true), host(unlinkat(g_ref, path, AT_REMOVEDIR)));
        break;
    default:
        doing("unlink %s", path);
        same("unlink", kfs_unlink(path, false), host(unlinkat(g_ref, path, 0)));
        break;
    }
}

static void step(void) {
    char path[128], other[128];
    random_path(path, sizeof(path));
    random_path(other, sizeof(other));
    switch (rnd(11)) {
    case 10:
        step_nameless(path);
        break;
    case 0:
    case 1:
        step_write(path);
        break;
    case 2:
        step_rename(path, other);
        break;
    case 3:
        step_links(path, other);
        break;
    case 4:
        step_attributes(path);
        break;
    case 5:
    case 6:
        step_names(path);
        break;
    case 7:
        doing("read dir %s", path);
        compare_dir(path);
        break;
    case 8:
        doing("read %s", path);
        compare_content(path);
        break;
    default:
        doing("shrink, stat %s", path);
        kfs_shrink(3);
        compare_stat(path, true);
        break;
    }
    compare_stat(path, false);
    same("locks held", kfs_locks_held(), 0);
}

/* ---- the whole tree ---- */

static void compare_tree(const char *path) {
    DIR *dir;
    int fd = openat(g_ref, path, O_RDONLY | O_DIRECTORY);
    compare_dir(path);
    CHECK(fd >= 0 && (dir = fdopendir(fd)) != NULL);
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        char child[4096];
        struct stat st;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(child, sizeof(child), "%s/%s", path, d->d_name);
        compare_stat(child, false);
        CHECK(fstatat(g_ref, child, &st, AT_SYMLINK_NOFOLLOW) == 0);
        if (S_ISDIR(st.st_mode)) {
            compare_tree(child);
        } else if (S_ISREG(st.st_mode)) {
            compare_content(child);
        }
    }
    (void)closedir(dir);
}

static void populate(const char *top) {
    char path[4096];
    static char big[50000];
    memset(big, 'Z', sizeof(big) - 1);
    (void)snprintf(path, sizeof(path),
                   "cd %s && mkdir -p dir/sub sub lower2/sub && ln -s lower1 link", top);
    CHECK(system(path) == 0);
    temp_file_put(top, "lower1", "first lower file\n");
    temp_file_put(top, "dir/lower1", "in dir\n");
    temp_file_put(top, "dir/a", big);
    temp_file_put(top, "dir/sub/b", "deep\n");
    temp_file_put(top, "sub/x", "");
    temp_file_put(top, "lower2/sub/lower1", "deeper\n");
    (void)snprintf(path, sizeof(path),
                   "cd %s && ln dir/lower1 sub/lower2 && ln -s sub/lower1 lower2/link", top);
    CHECK(system(path) == 0);
}

static bool trees_equal(const char *a, const char *b) {
    char command[1200];
    (void)snprintf(command, sizeof(command), "diff -r --no-dereference %s %s", a, b);
    return system(command) == 0;
}

int main(int argc, char **argv) {
    char lower[512], reference[512], untouched[512];
    if (argc < 3) {
        (void)fprintf(stderr, "usage: diff_test GOFER overlay|fuse|exclusive [SEED [STEPS]]\n");
        return 2;
    }
    g_overlay = strcmp(argv[2], "overlay") == 0;
    g_rand = (argc > 3 ? strtoull(argv[3], NULL, 10) : 1) * 0x9e3779b97f4a7c15ull + 7;
    unsigned int steps = argc > 4 ? (unsigned int)strtoul(argv[4], NULL, 10) : 3000;
    const char *top = temp_dir_make();
    (void)umask(0);
    (void)snprintf(lower, sizeof(lower), "%s/lower", top);
    (void)snprintf(reference, sizeof(reference), "%s/reference", top);
    (void)snprintf(untouched, sizeof(untouched), "%s/untouched", top);
    CHECK(mkdir(lower, 0755) == 0 && mkdir(reference, 0755) == 0 && mkdir(untouched, 0755) == 0);
    populate(lower);
    populate(reference);
    populate(untouched);
    g_ref = open(reference, O_PATH | O_DIRECTORY);
    struct fixture_export export = {lower, g_overlay ? MOAT_GOFER_EXPORT_RO : 0};
    fixture_start(argv[1], &export, 1, false);
    if (g_overlay) {
        kfs_boot_overlay();
    } else {
        kfs_boot_fuse(strcmp(argv[2], "exclusive") == 0 ? ",exclusive" : "");
    }
    doing("first look");
    compare_tree(".");
    for (g_step = 1; g_step <= steps; g_step++) {
        step();
        if (g_step % 500 == 0) {
            doing("tree");
            compare_tree(".");
        }
    }
    doing("end");
    compare_tree(".");
    kfs_end();
    (void)fixture_stop();
    CHECK(trees_equal(lower, g_overlay ? untouched : reference));
    temp_dir_remove(top);
    printf("%u checks\n", g_checks);
    return 0;
}
