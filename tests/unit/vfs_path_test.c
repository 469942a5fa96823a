/* SPDX-License-Identifier: Apache-2.0 */
/* Path walk, permissions, names and renames over tmpfs. */
#include "vfs_harness.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>

static int64_t touch(const char *name, unsigned int mode) {
    int64_t fd = CALL3(open, P(name), O_CREAT | O_RDWR | O_EXCL, mode);
    return fd < 0 ? fd : CALL1(close, fd);
}

static int64_t stat_of(const char *name, struct stat *st) {
    return CALL2(stat, P(name), P(st));
}

static int64_t exists(const char *name) {
    struct stat st;
    return CALL2(lstat, P(name), P(&st));
}

static void test_walk(void) {
    struct stat st, other;
    CHECK(CALL2(mkdir, P("/a"), 0755) == 0);
    CHECK(CALL2(mkdir, P("/a/b/"), 0755) == 0);
    CHECK(CALL2(mkdir, P("/a"), 0755) == -EEXIST);
    CHECK(CALL2(mkdir, P("/"), 0755) == -EEXIST);
    CHECK(CALL2(mkdir, P("/x/y"), 0755) == -ENOENT);
    CHECK(touch("/a/b/f", 0644) == 0);
    CHECK(touch("/a/b/f", 0644) == -EEXIST);
    CHECK(stat_of("/a/b/f", &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0644);
    CHECK(stat_of("//a///./b/../b/f", &other) == 0 && other.st_ino == st.st_ino);
    CHECK(stat_of("/a/b/f/", &other) == -ENOTDIR);
    CHECK(stat_of("/a/b/f/g", &other) == -ENOTDIR);
    CHECK(stat_of("/../../a/b/f", &other) == 0 && other.st_ino == st.st_ino);
    CHECK(stat_of("", &other) == -ENOENT);
    CHECK(CALL2(stat, 0, P(&st)) == -EFAULT);
    CHECK(stat_of("/a/b", &st) == 0 && st.st_nlink == 2);
    CHECK(stat_of("/a", &st) == 0 && st.st_nlink == 3);
    char longest[300];
    memset(longest, 'n', sizeof(longest));
    longest[0] = '/';
    longest[256] = '\0';
    CHECK(touch(longest, 0600) == 0 && exists(longest) == 0);
    longest[256] = 'n';
    longest[257] = '\0';
    CHECK(touch(longest, 0600) == -ENAMETOOLONG);
    char too_long[4200];
    memset(too_long, '/', sizeof(too_long));
    too_long[4199] = '\0';
    CHECK(exists(too_long) == -ENAMETOOLONG);
    too_long[4095] = '\0';
    CHECK(exists(too_long) == 0);
}

static void test_links(void) {
    struct stat st;
    char buf[64];
    CHECK(CALL2(symlink, P("b/f"), P("/a/rel")) == 0);
    CHECK(CALL2(symlink, P("/a/b"), P("/abs")) == 0);
    CHECK(CALL2(symlink, P("loop2"), P("/loop1")) == 0);
    CHECK(CALL2(symlink, P("loop1"), P("/loop2")) == 0);
    CHECK(CALL2(symlink, P("/nowhere/x"), P("/dangling")) == 0);
    CHECK(CALL2(symlink, P("x"), P("/abs")) == -EEXIST);
    CHECK(stat_of("/a/rel", &st) == 0 && S_ISREG(st.st_mode));
    CHECK(stat_of("/abs/f", &st) == 0 && S_ISREG(st.st_mode));
    CHECK(stat_of("/abs/../rel", &st) == 0);
    CHECK(stat_of("/loop1", &st) == -ELOOP);
    CHECK(stat_of("/dangling", &st) == -ENOENT);
    CHECK(CALL2(lstat, P("/abs"), P(&st)) == 0 && S_ISLNK(st.st_mode) && st.st_size == 4);
    CHECK(CALL2(lstat, P("/abs/"), P(&st)) == 0 && S_ISDIR(st.st_mode));
    CHECK(CALL3(readlink, P("/abs"), P(buf), sizeof(buf)) == 4 && memcmp(buf, "/a/b", 4) == 0);
    CHECK(CALL3(readlink, P("/a"), P(buf), sizeof(buf)) == -EINVAL);
    CHECK(CALL3(readlink, P("/abs"), P(buf), 2) == 2);
    /* Opening through links; creating through a dangling one. */
    CHECK(CALL3(open, P("/abs"), O_RDONLY | O_NOFOLLOW, 0) == -ELOOP);
    CHECK(CALL3(open, P("/dangling"), O_CREAT | O_EXCL | O_WRONLY, 0600) == -EEXIST);
    CHECK(CALL3(open, P("/dangling"), O_CREAT | O_WRONLY, 0600) == -ENOENT);
    CHECK(CALL2(symlink, P("a/made"), P("/maker")) == 0);
    int64_t fd = CALL3(open, P("/maker"), O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && CALL1(close, fd) == 0 && exists("/a/made") == 0);
    /* Forty in a row are followed, forty-one are not. */
    char from[16], to[16] = "a";
    for (int i = 0; i < 41; i++) {
        snprintf(from, sizeof(from), "/l%d", i);
        CHECK(CALL2(symlink, P(to), P(from)) == 0);
        snprintf(to, sizeof(to), "l%d", i);
    }
    CHECK(stat_of("/l39", &st) == 0);
    CHECK(stat_of("/l40", &st) == -ELOOP);
}

static void test_open_flags(void) {
    CHECK(CALL3(open, P("/a"), O_WRONLY, 0) == -EISDIR);
    CHECK(CALL3(open, P("/a/"), O_CREAT | O_WRONLY, 0600) == -EISDIR);
    CHECK(CALL3(open, P("/a/new/"), O_CREAT | O_WRONLY, 0600) == -EISDIR);
    CHECK(CALL3(open, P("/a/b/f"), O_DIRECTORY, 0) == -ENOTDIR);
    int64_t fd = CALL3(open, P("/a/b/f"), O_PATH, 0);
    char c;
    struct stat st;
    CHECK(fd >= 0);
    CHECK(CALL3(read, fd, P(&c), 1) == -EBADF);
    CHECK(CALL2(fstat, fd, P(&st)) == 0);
    CHECK(CALL3(fcntl, fd, F_GETFL, 0) == O_PATH);
    CHECK(CALL1(close, fd) == 0);
    CHECK(CALL1(close, fd) == -EBADF);
    fd = CALL3(open, P("/abs"), O_PATH | O_NOFOLLOW, 0);
    CHECK(fd >= 0 && CALL2(fstat, fd, P(&st)) == 0 && S_ISLNK(st.st_mode));
    CHECK(CALL1(close, fd) == 0);
    /* O_TMPFILE has no name until it is given one. */
    fd = CALL3(open, P("/a"), O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && CALL3(write, fd, P("hi"), 2) == 2);
    CHECK(CALL5(linkat, fd, P(""), AT_FDCWD, P("/a/named"), AT_EMPTY_PATH) == 0);
    CHECK(CALL1(close, fd) == 0);
    CHECK(stat_of("/a/named", &st) == 0 && st.st_size == 2 && st.st_nlink == 1);
}

static int64_t open2(int dirfd, const char *name, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags, .resolve = resolve};
    int64_t fd = CALL4(openat2, dirfd, P(name), P(&how), sizeof(how));
    return fd < 0 ? fd : CALL1(close, fd);
}

static void test_resolve(void) {
    int64_t a = CALL3(open, P("/a"), O_DIRECTORY, 0);
    CHECK(a >= 0);
    CHECK(CALL2(symlink, P("/a"), P("/a/up")) == 0);
    CHECK(CALL2(symlink, P("../a/b/f"), P("/a/out")) == 0);
    CHECK(open2((int)a, "b/f", 0, RESOLVE_BENEATH) == 0);
    CHECK(open2((int)a, "b/../b/f", 0, RESOLVE_BENEATH) == 0);
    CHECK(open2((int)a, "../a/b/f", 0, RESOLVE_BENEATH) == -EXDEV);
    CHECK(open2((int)a, "/a/b/f", 0, RESOLVE_BENEATH) == -EXDEV);
    CHECK(open2((int)a, "up/b/f", 0, RESOLVE_BENEATH) == -EXDEV);
    CHECK(open2((int)a, "out", 0, RESOLVE_BENEATH) == -EXDEV);
    CHECK(open2((int)a, "/b/f", 0, RESOLVE_IN_ROOT) == 0);
    CHECK(open2((int)a, "../../b/f", 0, RESOLVE_IN_ROOT) == 0);
    CHECK(open2((int)a, "rel", 0, RESOLVE_NO_SYMLINKS) == -ELOOP);
    CHECK(open2((int)a, "rel", O_NOFOLLOW, 0) == -ELOOP);
    CHECK(open2((int)a, "b/f", 1ull << 40, 0) == -EINVAL);
    CHECK(open2((int)a, "b/f", 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT) == -EINVAL);
    CHECK(CALL1(close, a) == 0);
}

static void test_permissions(void) {
    CHECK(CALL2(mkdir, P("/p"), 0755) == 0);
    CHECK(CALL2(mkdir, P("/p/closed"), 0700) == 0);
    CHECK(touch("/p/closed/f", 0666) == 0);
    CHECK(touch("/p/ro", 0644) == 0);
    CHECK(CALL2(mkdir, P("/p/tmp"), 0) == 0 && CALL2(chmod, P("/p/tmp"), 01777) == 0);
    CHECK(CALL3(chown, P("/p/tmp"), 5, 5) == 0);
    CHECK(touch("/p/tmp/roots", 0666) == 0);
    vfs_harness_become(1000, 1000, false);
    CHECK(exists("/p/closed/f") == -EACCES);
    CHECK(CALL3(open, P("/p/ro"), O_RDWR, 0) == -EACCES);
    CHECK(CALL2(access, P("/p/ro"), 2) == -EACCES && CALL2(access, P("/p/ro"), 4) == 0);
    CHECK(touch("/p/mine", 0600) == -EACCES);
    CHECK(touch("/p/tmp/mine", 0600) == 0);
    CHECK(CALL1(unlink, P("/p/tmp/roots")) == -EPERM);
    CHECK(CALL2(rename, P("/p/tmp/roots"), P("/p/tmp/x")) == -EPERM);
    CHECK(CALL2(chmod, P("/p/ro"), 0777) == -EPERM);
    CHECK(CALL3(chown, P("/p/tmp/mine"), 0, -1) == -EPERM);
    CHECK(CALL2(chmod, P("/p/tmp/mine"), 0600) == 0);
    CHECK(CALL3(mknod, P("/p/tmp/dev"), S_IFCHR | 0600, 0x103) == -EPERM);
    CHECK(CALL1(chroot, P("/p")) == -EPERM);
    vfs_harness_become(1001, 1000, false);
    CHECK(CALL3(open, P("/p/tmp/mine"), O_RDONLY, 0) == -EACCES);
    CHECK(CALL1(unlink, P("/p/tmp/mine")) == -EPERM);
    vfs_harness_become(0, 0, true);
    CHECK(CALL3(open, P("/p/tmp/mine"), O_RDONLY, 0) >= 0);
    /* Set-id bits go with ownership and, for others, with writing; a set-gid directory hands its
     * group on. */
    struct stat st;
    CHECK(CALL2(chmod, P("/p/ro"), 06755) == 0 && CALL3(chown, P("/p/ro"), 7, -1) == 0);
    CHECK(stat_of("/p/ro", &st) == 0 && (st.st_mode & 07777) == 0755 && st.st_uid == 7);
    CHECK(CALL3(chown, P("/p/closed"), -1, 77) == 0 && CALL2(chmod, P("/p/closed"), 02755) == 0);
    CHECK(CALL2(mkdir, P("/p/closed/d"), 0755) == 0);
    CHECK(stat_of("/p/closed/d", &st) == 0 && st.st_gid == 77 && (st.st_mode & S_ISGID) != 0);
}

static void test_rename(void) {
    struct stat st, other;
    CHECK(CALL2(mkdir, P("/r"), 0755) == 0 && CALL2(mkdir, P("/r/d"), 0755) == 0 &&
          CALL2(mkdir, P("/r/e"), 0755) == 0);
    CHECK(touch("/r/f", 0600) == 0 && touch("/r/g", 0600) == 0 && touch("/r/d/in", 0600) == 0);
    CHECK(stat_of("/r/f", &st) == 0);
    CHECK(CALL2(rename, P("/r/f"), P("/r/d/moved")) == 0);
    CHECK(exists("/r/f") == -ENOENT && stat_of("/r/d/moved", &other) == 0 &&
          other.st_ino == st.st_ino);
    CHECK(CALL2(rename, P("/r/d"), P("/r/d/sub")) == -EINVAL);
    CHECK(CALL2(rename, P("/r/d/in"), P("/r/d")) == -ENOTEMPTY);
    CHECK(CALL2(rename, P("/r/g"), P("/r/e")) == -EISDIR);
    CHECK(CALL2(rename, P("/r/e"), P("/r/g")) == -ENOTDIR);
    CHECK(CALL2(rename, P("/r/e"), P("/r/d")) == -ENOTEMPTY);
    CHECK(CALL2(rename, P("/r/d"), P("/r/e")) == 0 && exists("/r/e/in") == 0 &&
          exists("/r/d") == -ENOENT);
    CHECK(stat_of("/r", &st) == 0 && st.st_nlink == 3);
    CHECK(CALL5(renameat2, AT_FDCWD, P("/r/g"), AT_FDCWD, P("/r/e"), RENAME_NOREPLACE) == -EEXIST);
    CHECK(CALL5(renameat2, AT_FDCWD, P("/r/g"), AT_FDCWD, P("/r/e"), RENAME_EXCHANGE) == 0);
    CHECK(stat_of("/r/g", &st) == 0 && S_ISDIR(st.st_mode) && exists("/r/g/in") == 0);
    CHECK(stat_of("/r/e", &st) == 0 && S_ISREG(st.st_mode));
    CHECK(CALL5(renameat2, AT_FDCWD, P("/r/e"), AT_FDCWD, P("/r/w"), RENAME_WHITEOUT) == 0);
    CHECK(stat_of("/r/e", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
    CHECK(CALL2(rename, P("/r/w"), P("/r/./w")) == 0);
    CHECK(CALL2(link, P("/r/w"), P("/r/w2")) == 0 && CALL2(rename, P("/r/w"), P("/r/w2")) == 0);
    CHECK(exists("/r/w") == 0 && exists("/r/w2") == 0);
    /* Long names change hands as well. */
    char long_name[120] = "/r/";
    memset(long_name + 3, 'q', 100);
    CHECK(CALL2(rename, P("/r/w"), P(long_name)) == 0 && exists(long_name) == 0 &&
          exists("/r/w") == -ENOENT);
    CHECK(CALL2(rename, P(long_name), P("/r/w")) == 0 && exists("/r/w") == 0 &&
          exists(long_name) == -ENOENT);
}

static void test_removal(void) {
    char text[4096];
    struct stat st;
    CHECK(CALL2(mkdir, P("/gone"), 0755) == 0 && touch("/gone/f", 0600) == 0);
    CHECK(CALL1(rmdir, P("/gone")) == -ENOTEMPTY);
    CHECK(CALL1(rmdir, P("/gone/f")) == -ENOTDIR && CALL1(unlink, P("/gone")) == -EISDIR);
    CHECK(CALL1(rmdir, P("/gone/.")) == -EINVAL && CALL1(rmdir, P("/gone/..")) == -ENOTEMPTY);
    int64_t fd = CALL3(open, P("/gone/f"), O_RDWR, 0);
    CHECK(CALL1(unlink, P("/gone/f")) == 0 && exists("/gone/f") == -ENOENT);
    CHECK(CALL3(write, fd, P("still"), 5) == 5 && CALL2(fstat, fd, P(&st)) == 0 &&
          st.st_nlink == 0 && st.st_size == 5);
    CHECK(CALL1(close, fd) == 0);
    CHECK(CALL1(chdir, P("/gone")) == 0 && CALL2(getcwd, P(text), sizeof(text)) == 6 &&
          strcmp(text, "/gone") == 0);
    CHECK(CALL1(rmdir, P("/gone")) == 0);
    CHECK(CALL2(getcwd, P(text), sizeof(text)) == -ENOENT);
    CHECK(touch("in-the-void", 0600) == -ENOENT && CALL2(mkdir, P("d"), 0755) == -ENOENT);
    CHECK(CALL1(chdir, P("/")) == 0);
    /* The same name again, after it was negative. */
    CHECK(CALL2(mkdir, P("/gone"), 0755) == 0 && touch("/gone/again", 0600) == 0 &&
          CALL1(unlink, P("/gone/again")) == 0);
    CHECK(CALL1(rmdir, P("/gone")) == 0 && CALL2(mkdir, P("/gone"), 0755) == 0 &&
          touch("/gone/again", 0600) == 0);
}

static void test_mounts(void) {
    char text[4096];
    struct stat root, st;
    CHECK(CALL2(mkdir, P("/mnt"), 0755) == 0 && CALL2(mkdir, P("/bound"), 0755) == 0);
    CHECK(stat_of("/mnt", &root) == 0);
    CHECK(CALL5(mount, P("none"), P("/mnt"), P("tmpfs"), 0, P("size=64k,mode=700")) == 0);
    CHECK(stat_of("/mnt", &st) == 0 && st.st_dev != root.st_dev && (st.st_mode & 07777) == 0700);
    CHECK(CALL2(mkdir, P("/mnt/d"), 0755) == 0 && stat_of("/mnt/d/../../a", &st) == 0 &&
          st.st_dev == root.st_dev);
    CHECK(CALL2(rename, P("/mnt/d"), P("/a/d")) == -EXDEV && CALL1(rmdir, P("/mnt")) == -EBUSY);
    CHECK(CALL1(chdir, P("/mnt/d")) == 0 && CALL2(getcwd, P(text), sizeof(text)) == 7 &&
          strcmp(text, "/mnt/d") == 0);
    CHECK(CALL2(umount2, P("/mnt"), 0) == -EBUSY && CALL1(chdir, P("/")) == 0);
    CHECK(open2(AT_FDCWD, "/mnt/d", 0, RESOLVE_NO_XDEV) == -EXDEV);
    CHECK(CALL5(mount, P("/mnt/d"), P("/bound"), 0, 0x1000, 0) == 0); /* MS_BIND */
    CHECK(touch("/bound/f", 0600) == 0 && exists("/mnt/d/f") == 0);
    CHECK(CALL5(mount, 0, P("/bound"), 0, 0x1000 | 0x20 | 1, 0) == 0); /* remount,bind,ro */
    CHECK(touch("/bound/g", 0600) == -EROFS && CALL3(open, P("/bound/f"), O_RDWR, 0) == -EROFS);
    CHECK(touch("/mnt/d/g", 0600) == 0);
    CHECK(CALL2(umount2, P("/bound"), 0) == 0 && exists("/bound/f") == -ENOENT);
    CHECK(CALL5(mount, P("x"), P("/bound"), P("ext4"), 0, 0) == -ENODEV);
    CHECK(CALL2(umount2, P("/mnt"), 0) == 0 && stat_of("/mnt", &st) == 0 &&
          st.st_ino == root.st_ino);
    CHECK(CALL2(umount2, P("/mnt"), 0) == -EINVAL && CALL2(umount2, P("/"), 0) == -EBUSY);
    vfs_harness_become(1, 1, false);
    CHECK(CALL5(mount, P("none"), P("/mnt"), P("tmpfs"), 0, 0) == -EPERM);
    vfs_harness_become(0, 0, true);
    /* chroot bounds "..". */
    CHECK(CALL1(chroot, P("/a")) == 0 && stat_of("/../../b/f", &st) == 0);
    CHECK(CALL1(chdir, P("/")) == 0 && CALL2(getcwd, P(text), sizeof(text)) == 2);
}

/* ---- several tasks at once ---- */

#define RACERS 6
#define ROUNDS 400

static void racer(void *arg) {
    uint64_t seed = (uint64_t)(uintptr_t)arg * 7919 + 1;
    char from[32], to[40];
    struct stat st;
    vfs_harness_join(NULL);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned long a = test_random(&seed) % 4, b = test_random(&seed) % 4,
                      n = test_random(&seed) % 6;
        snprintf(from, sizeof(from), "/race%lu/n%lu", a, n);
        snprintf(to, sizeof(to), "/race%lu/n%lu", b, test_random(&seed) % 6);
        switch (test_random(&seed) % 8) {
        case 0:
            (void)touch(from, 0600);
            break;
        case 1:
            (void)CALL2(mkdir, P(from), 0700);
            break;
        case 2:
            (void)CALL2(rename, P(from), P(to));
            break;
        case 3:
            (void)CALL1(unlink, P(from));
            break;
        case 4:
            (void)CALL1(rmdir, P(from));
            break;
        case 5:
            (void)CALL5(renameat2, AT_FDCWD, P(from), AT_FDCWD, P(to), RENAME_EXCHANGE);
            break;
        case 6:
            (void)CALL2(link, P(from), P(to));
            break;
        default:
            (void)stat_of(from, &st);
            snprintf(to, sizeof(to), "%s/x", from);
            (void)touch(to, 0600);
            (void)CALL1(unlink, P(to));
            break;
        }
    }
    vfs_harness_leave();
}

static void start_racers(void *arg) {
    for (uintptr_t i = 0; i < RACERS; i++) {
        harness_thread(racer, (void *)i);
    }
}

static void test_races(void) {
    char name[32];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "/race%d", i);
        CHECK(CALL2(mkdir, P(name), 0755) == 0);
    }
    harness_run(start_racers, NULL);
    /* What is left can all be removed, and then the directories are empty: no name was lost or
     * doubled. */
    for (int i = 0; i < 4; i++) {
        for (int n = 0; n < 6; n++) {
            snprintf(name, sizeof(name), "/race%d/n%d/x", i, n);
            (void)CALL1(unlink, P(name));
            snprintf(name, sizeof(name), "/race%d/n%d", i, n);
            if (CALL1(unlink, P(name)) != 0) {
                (void)CALL1(rmdir, P(name));
            }
        }
        struct stat st;
        snprintf(name, sizeof(name), "/race%d", i);
        CHECK(stat_of(name, &st) == 0 && st.st_nlink == 2);
        CHECK(CALL1(rmdir, P(name)) == 0);
    }
}

static void tests(void *arg) {
    test_walk();
    test_links();
    test_open_flags();
    test_resolve();
    test_permissions();
    test_rename();
    test_removal();
    test_races();
    test_mounts();
}

int main(void) {
    vfs_harness_main(tests);
}
