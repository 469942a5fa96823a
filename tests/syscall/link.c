/* SPDX-License-Identifier: Apache-2.0 */
/* link(2), symlink(2), readlink(2), unlink(2), rename(2), renameat2(2), xattr(7). */
#include "harness.h"

#include <sys/syscall.h>
#include <sys/xattr.h>

static void make(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    REQUIRE(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
    close(fd);
}

static ino_t inode(const char *name) {
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_ino : 0;
}

static bool exists(const char *name) {
    struct stat st;
    return lstat(name, &st) == 0;
}

static void hard_links(void) {
    make("a");
    CHECK_EQ(link("a", "b"), 0);
    struct stat st;
    CHECK_EQ(stat("b", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    CHECK(inode("a") == inode("b"));
    CHECK_ERR(link("a", "b"), EEXIST);
    CHECK_ERR(link("none", "c"), ENOENT);
    mkdir("d", 0700);
    CHECK_ERR(link("d", "e"), EPERM);
    CHECK_EQ(unlink("a"), 0);
    CHECK_EQ(stat("b", &st), 0);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(symlink("b", "s"), 0);
    CHECK_EQ(link("s", "s2"), 0);
    CHECK_EQ(lstat("s2", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(linkat(AT_FDCWD, "s", AT_FDCWD, "b2", AT_SYMLINK_FOLLOW), 0);
    CHECK(inode("b2") == inode("b"));
}

static void symbolic_links(void) {
    make("target");
    CHECK_EQ(symlink("target", "s"), 0);
    char buf[32];
    CHECK_EQ(readlink("s", buf, sizeof(buf)), 6);
    CHECK(memcmp(buf, "target", 6) == 0);
    CHECK_EQ(readlink("s", buf, 3), 3);
    CHECK_ERR(readlink("target", buf, 3), EINVAL);
    CHECK_ERR(readlink("s", buf, 0), EINVAL);
    CHECK_ERR(symlink("x", "s"), EEXIST);
    CHECK_ERR(symlink("", "t"), ENOENT);
    struct stat st;
    CHECK_EQ(lstat("s", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(st.st_size, 6);
    CHECK_EQ(st.st_mode & 07777, 0777);
    CHECK_EQ(stat("s", &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_ERR(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_EQ(symlink("nowhere", "dangling"), 0);
    CHECK_ERR(open("dangling", O_RDONLY), ENOENT);
    CHECK_ERR(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
    CHECK(open("dangling", O_CREAT | O_WRONLY, 0600) >= 0);
    CHECK(exists("nowhere"));
}

static void link_loops(void) {
    CHECK_EQ(symlink("b", "a"), 0);
    CHECK_EQ(symlink("a", "b"), 0);
    CHECK_ERR(open("a", O_RDONLY), ELOOP);
    CHECK_ERR(chdir("a"), ELOOP);
    make("t0");
    char from[16] = "t0", to[16];
    for (int i = 1; i <= 41; i++) {
        snprintf(to, sizeof(to), "t%d", i);
        REQUIRE(symlink(from, to) == 0);
        strcpy(from, to);
    }
    CHECK(open("t40", O_RDONLY) >= 0);
    CHECK_ERR(open("t41", O_RDONLY), ELOOP);
}

static void links_in_paths(void) {
    mkdir("d", 0700);
    mkdir("d/e", 0700);
    make("d/e/f");
    CHECK_EQ(symlink("d/e", "s"), 0);
    CHECK(inode("s/f") == inode("d/e/f"));
    CHECK(inode("s/../e/f") == inode("d/e/f"));
    CHECK(inode("s/.//f") == inode("d/e/f"));
    CHECK_EQ(chdir("s"), 0);
    CHECK(inode("../e/f") == inode("f"));
    struct stat st;
    CHECK_EQ(stat("/..", &st), 0);
    CHECK(st.st_ino == inode("/"));
}

static void trailing_slashes(void) {
    make("f");
    mkdir("d", 0700);
    CHECK_ERR(open("f/", O_RDONLY), ENOTDIR);
    CHECK(open("d/", O_RDONLY) >= 0);
    CHECK_EQ(mkdir("e/", 0700), 0);
    CHECK_ERR(unlink("f/"), ENOTDIR);
    CHECK_ERR(open("new/", O_CREAT | O_WRONLY, 0600), EISDIR);
    CHECK_EQ(symlink("d", "s"), 0);
    struct stat st;
    CHECK_EQ(lstat("s/", &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(rmdir("e/"), 0);
}

static void unlinking(void) {
    make("f");
    mkdir("d", 0700);
    CHECK_ERR(unlink("none"), ENOENT);
    CHECK_ERR(unlink("d"), EISDIR);
    CHECK_ERR(rmdir("f"), ENOTDIR);
    CHECK_ERR(rmdir("."), EINVAL);
    CHECK_ERR(rmdir("d/.."), ENOTEMPTY);
    make("d/x");
    CHECK_ERR(rmdir("d"), ENOTEMPTY);
    CHECK_EQ(unlink("d/x"), 0);
    CHECK_EQ(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR), 0);
    CHECK_ERR(unlinkat(AT_FDCWD, "f", 0x10), EINVAL);
    CHECK_EQ(unlink("f"), 0);
    CHECK(!exists("f"));
}

static void renaming(void) {
    make("a");
    make("b");
    ino_t a = inode("a");
    CHECK_EQ(rename("a", "c"), 0);
    CHECK(!exists("a") && inode("c") == a);
    CHECK_EQ(rename("c", "b"), 0);
    CHECK(!exists("c") && inode("b") == a);
    CHECK_ERR(rename("none", "x"), ENOENT);
    CHECK_EQ(link("b", "same"), 0);
    CHECK_EQ(rename("b", "same"), 0); /* the same inode: nothing happens */
    CHECK(exists("b") && exists("same"));
    CHECK_EQ(rename("b", "b"), 0);
}

static void renaming_directories(void) {
    mkdir("a", 0700);
    mkdir("b", 0700);
    make("a/f");
    CHECK_EQ(rename("a", "b"), 0);
    CHECK(exists("b/f") && !exists("a"));
    mkdir("c", 0700);
    CHECK_ERR(rename("c", "b"), ENOTEMPTY);
    CHECK_ERR(rename("c", "b/f"), ENOTDIR);
    make("g");
    CHECK_ERR(rename("g", "c"), EISDIR);
    mkdir("b/sub", 0700);
    CHECK_ERR(rename("b", "b/sub/x"), EINVAL);
    CHECK_EQ(rename("b/sub", "sub"), 0);
    struct stat st, up;
    CHECK_EQ(stat("sub/..", &up), 0);
    CHECK_EQ(stat(".", &st), 0);
    CHECK(up.st_ino == st.st_ino);
    CHECK_ERR(rename("b/sub/..", "x"), ENOENT);
    CHECK_ERR(rename(".", "x"), EBUSY);
}

static int rename2(const char *from, const char *to, unsigned int flags) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void rename_flags(void) {
    make("a");
    make("b");
    ino_t a = inode("a"), b = inode("b");
    CHECK_ERR(rename2("a", "b", 1 /* RENAME_NOREPLACE */), EEXIST);
    CHECK_EQ(rename2("a", "c", 1), 0);
    CHECK_EQ(rename2("c", "b", 2 /* RENAME_EXCHANGE */), 0);
    CHECK(inode("b") == a && inode("c") == b);
    CHECK_ERR(rename2("b", "none", 2), ENOENT);
    CHECK_ERR(rename2("b", "c", 3), EINVAL);
    mkdir("d", 0700);
    make("d/x");
    CHECK_EQ(rename2("b", "d", 2), 0);
    CHECK(exists("b/x") && inode("d") == a);
}

static void sticky_directories(void) {
    if (geteuid() != 0) {
        SKIP("needs root");
    }
    mkdir("d", 0777);
    REQUIRE(chmod("d", 01777) == 0 && chmod(".", 0755) == 0);
    make("d/f");
    REQUIRE(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    CHECK_ERR(unlink("d/f"), EPERM);
    CHECK_ERR(rename("d/f", "d/g"), EPERM);
    make("d/mine");
    CHECK_EQ(unlink("d/mine"), 0);
}

static void extended_attributes(void) {
    make("f");
    if (setxattr("f", "user.one", "value", 5, 0) != 0 && errno == EOPNOTSUPP) {
        SKIP("the filesystem has no user attributes");
    }
    char buf[64];
    CHECK_EQ(getxattr("f", "user.one", buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "value", 5) == 0);
    CHECK_EQ(getxattr("f", "user.one", NULL, 0), 5);
    CHECK_ERR(getxattr("f", "user.one", buf, 2), ERANGE);
    CHECK_ERR(getxattr("f", "user.none", buf, 2), ENODATA);
    CHECK_ERR(setxattr("f", "user.one", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERR(setxattr("f", "user.two", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_EQ(setxattr("f", "user.two", "", 0, 0), 0);
    ssize_t n = listxattr("f", buf, sizeof(buf));
    CHECK(n >= 18 && memmem(buf, (size_t)n, "user.one", 9) != NULL &&
          memmem(buf, (size_t)n, "user.two", 9) != NULL);
    CHECK_EQ(removexattr("f", "user.one"), 0);
    CHECK_ERR(removexattr("f", "user.one"), ENODATA);
    CHECK_ERR(setxattr("f", "nospace", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERR(setxattr("f", "user.x", "x", 1, 9), EINVAL);
}

static void many_names(void) {
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "file%d", i);
        make(name);
    }
    for (int i = 0; i < 1000; i += 2) {
        snprintf(name, sizeof(name), "file%d", i);
        REQUIRE(unlink(name) == 0);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "file%d", i);
        REQUIRE(exists(name) == (i % 2 == 1));
    }
}

int main(void) {
    RUN(hard_links);
    RUN(symbolic_links);
    RUN(link_loops);
    RUN(links_in_paths);
    RUN(trailing_slashes);
    RUN(unlinking);
    RUN(renaming);
    RUN(renaming_directories);
    RUN(rename_flags);
    RUN(sticky_directories);
    RUN(extended_attributes);
    RUN(many_names);
    TEST_MAIN_END;
}
