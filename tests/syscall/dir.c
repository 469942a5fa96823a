/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir(2), getdents64(2), chdir(2), chroot(2), mknod(2). */
#include "harness.h"

#include <dirent.h>
#include <sys/syscall.h>

static void touch(const char *name) {
    close(open(name, O_WRONLY | O_CREAT, 0600));
}

static int count_entries(DIR *d) {
    int n = 0;
    while (readdir(d) != NULL) {
        n++;
    }
    return n;
}

static void making(void) {
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERR(mkdir("d", 0755), EEXIST);
    CHECK_ERR(mkdir("no/d", 0755), ENOENT);
    touch("f");
    CHECK_ERR(mkdir("f/d", 0755), ENOTDIR);
    CHECK_ERR(mkdir(".", 0755), EEXIST);
    CHECK_ERR(mkdir("/", 0755), EEXIST);
    struct stat st;
    CHECK_EQ(stat("d", &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(mkdirat(open("d", O_RDONLY), "e", 0700), 0);
    CHECK_EQ(stat("d/e", &st), 0);
}

static void listing(void) {
    touch("a");
    mkdir("b", 0700);
    CHECK_EQ(symlink("a", "c"), 0);
    mkfifo("p", 0600);
    DIR *d = opendir(".");
    REQUIRE(d != NULL);
    int seen = 0;
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        CHECK_EQ(lstat(e->d_name, &st), 0);
        CHECK(st.st_ino == e->d_ino || strcmp(e->d_name, "..") == 0);
        if (strcmp(e->d_name, "a") == 0) {
            seen |= 1;
            CHECK(e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
        } else if (strcmp(e->d_name, "b") == 0) {
            seen |= 2;
            CHECK(e->d_type == DT_DIR || e->d_type == DT_UNKNOWN);
        } else if (strcmp(e->d_name, "c") == 0) {
            seen |= 4;
            CHECK(e->d_type == DT_LNK || e->d_type == DT_UNKNOWN);
        } else if (strcmp(e->d_name, "p") == 0) {
            seen |= 8;
        } else if (strcmp(e->d_name, ".") == 0) {
            seen |= 16;
        } else if (strcmp(e->d_name, "..") == 0) {
            seen |= 32;
        } else {
            seen |= 64;
        }
    }
    CHECK_EQ(seen, 63);
    rewinddir(d);
    CHECK_EQ(count_entries(d), 6);
}

static void large_directory(void) {
    char name[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "entry-%d", i);
        touch(name);
    }
    DIR *d = opendir(".");
    CHECK_EQ(count_entries(d), 2002);
    rewinddir(d);
    for (int i = 0; i < 500; i++) {
        readdir(d);
    }
    long pos = telldir(d);
    int rest = count_entries(d);
    seekdir(d, pos);
    CHECK_EQ(count_entries(d), rest);
    CHECK_EQ(rest, 1502);
}

static void removing_while_listing(void) {
    char name[32];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "e%d", i);
        touch(name);
    }
    DIR *d = opendir(".");
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == 'e') {
            REQUIRE(unlink(e->d_name) == 0);
        }
    }
    rewinddir(d);
    CHECK_EQ(count_entries(d), 2);
}

static void getdents_errors(void) {
    char buf[1024];
    int d = open(".", O_RDONLY | O_DIRECTORY);
    touch("f");
    int f = open("f", O_RDONLY);
    CHECK_ERR(syscall(SYS_getdents64, f, buf, sizeof(buf)), ENOTDIR);
    CHECK_ERR(syscall(SYS_getdents64, 900, buf, sizeof(buf)), EBADF);
    CHECK_ERR(syscall(SYS_getdents64, d, buf, 5), EINVAL);
    CHECK_ERR(syscall(SYS_getdents64, d, BAD, sizeof(buf)), EFAULT);
    CHECK(syscall(SYS_getdents64, d, buf, sizeof(buf)) > 0);
    CHECK_EQ(syscall(SYS_getdents64, d, buf, sizeof(buf)), 0);
    CHECK(read(d, buf, 1) == -1 && (errno == EISDIR || errno == EINVAL)); /* filesystems differ */
    CHECK_ERR(write(d, buf, 1), EBADF);
}

static void link_counts(void) {
    mkdir("d", 0700);
    struct stat before, after;
    CHECK_EQ(stat("d", &before), 0);
    mkdir("d/a", 0700);
    mkdir("d/b", 0700);
    CHECK_EQ(stat("d", &after), 0);
    CHECK(before.st_nlink == 1 || after.st_nlink == before.st_nlink + 2);
    rmdir("d/a");
    CHECK_EQ(stat("d", &after), 0);
    CHECK(before.st_nlink == 1 || after.st_nlink == before.st_nlink + 1);
}

static void changing(void) {
    mkdir("d", 0700);
    touch("f");
    char cwd[256], now[256];
    REQUIRE(getcwd(cwd, sizeof(cwd)) != NULL);
    CHECK_EQ(chdir("d"), 0);
    CHECK(getcwd(now, sizeof(now)) != NULL);
    CHECK(strncmp(now, cwd, strlen(cwd)) == 0 && strcmp(now + strlen(cwd), "/d") == 0);
    CHECK_EQ(rename("../d", "../moved"), 0);
    CHECK(getcwd(now, sizeof(now)) != NULL && strcmp(now + strlen(cwd), "/moved") == 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK_ERR(chdir("f"), ENOTDIR);
    CHECK_ERR(chdir("none"), ENOENT);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK(getcwd(now, sizeof(now)) != NULL && strcmp(now, "/") == 0);
}

static void new_root(void) {
    if (geteuid() != 0) {
        CHECK_ERR(chroot("."), EPERM);
        return;
    }
    mkdir("r", 0755);
    mkdir("r/in", 0755);
    touch("outside");
    CHECK_EQ(chroot("r"), 0);
    CHECK_EQ(chdir("/"), 0);
    struct stat st;
    CHECK_EQ(stat("/in", &st), 0);
    CHECK_ERR(stat("/../outside", &st), ENOENT);
    CHECK_ERR(stat("/etc", &st), ENOENT);
    char cwd[64];
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, "/") == 0);
}

static void nodes(void) {
    CHECK_EQ(mknod("f", S_IFREG | 0600, 0), 0);
    CHECK_EQ(mknod("p", S_IFIFO | 0600, 0), 0);
    CHECK_EQ(mknod("s", S_IFSOCK | 0600, 0), 0);
    struct stat st;
    CHECK_EQ(stat("s", &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERR(mknod("f", S_IFREG | 0600, 0), EEXIST);
    CHECK_ERR(mknod("d", S_IFDIR | 0600, 0), EPERM);
    CHECK_ERR(mknod("x", 0170000 | 0600, 0), EINVAL);
    if (geteuid() != 0) {
        CHECK_ERR(mknod("null", S_IFCHR | 0600, 0x103), EPERM);
    }
}

static void deep_trees(void) {
    for (int i = 0; i < 100; i++) {
        REQUIRE(mkdir("deep", 0700) == 0 && chdir("deep") == 0);
    }
    char cwd[4096];
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL && strlen(cwd) > 500);
    for (int i = 0; i < 100; i++) {
        REQUIRE(chdir("..") == 0 && rmdir("deep") == 0);
    }
}

int main(void) {
    RUN(making);
    RUN(listing);
    RUN(large_directory);
    RUN(removing_while_listing);
    RUN(getdents_errors);
    RUN(link_counts);
    RUN(changing);
    RUN(new_root);
    RUN(nodes);
    RUN(deep_trees);
    TEST_MAIN_END;
}
