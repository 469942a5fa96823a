/* SPDX-License-Identifier: Apache-2.0 */
/* mount(2), umount(2), pivot_root(2), in a mount namespace of the test's own where there are such.
 */
#include "harness.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* A namespace of its own; the sandbox has one a container anyway, and its tests clean up behind
 * themselves. */
static void own_namespace(void) {
    struct utsname u;
    if (geteuid() != 0) {
        SKIP("needs root");
    }
    if (unshare(CLONE_NEWNS) == 0) {
        REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    } else if (uname(&u) != 0 || strstr(u.release, "moat") == NULL) {
        SKIP("no mount namespace");
    }
    mkdir("m", 0755);
    mkdir("b", 0755);
}

static int touch(const char *name) {
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    return fd < 0 ? -1 : close(fd);
}

static bool is_mounted(const char *where) {
    char line[512], want[600], cwd[256];
    bool found = false;
    snprintf(want, sizeof(want), " %s/%s ", getcwd(cwd, sizeof(cwd)), where);
    FILE *f = fopen("/proc/self/mounts", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        found |= strstr(line, want) != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static void memory_filesystem(void) {
    struct stat out, in;
    struct statfs fs;
    own_namespace();
    CHECK_EQ(stat("m", &out), 0);
    REQUIRE(mount("none", "m", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=750,nr_inodes=8") ==
            0);
    CHECK(is_mounted("m"));
    CHECK_EQ(stat("m", &in), 0);
    CHECK(in.st_dev != out.st_dev);
    CHECK_EQ(in.st_mode & 07777, 0750);
    CHECK_EQ(statfs("m", &fs), 0);
    CHECK_EQ(fs.f_type, 0x01021994);
    CHECK_EQ(fs.f_blocks * (unsigned long)fs.f_bsize, 65536);
    CHECK((fs.f_flags & (ST_NOSUID | ST_NODEV)) == (ST_NOSUID | ST_NODEV));
    int fd = open("m/full", O_CREAT | O_RDWR, 0600);
    char block[4096] = {0};
    int written = 0;
    while (write(fd, block, sizeof(block)) == sizeof(block)) {
        written++;
    }
    CHECK_EQ(errno, ENOSPC);
    CHECK(written > 8 && written <= 16);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(write(fd, block, sizeof(block)), (ssize_t)sizeof(block));
    CHECK_ERR(umount("m"), EBUSY);
    CHECK_ERR(rmdir("m"), EBUSY);
    CHECK_ERR(rename("m", "n"), EBUSY);
    CHECK_ERR(rename("m/full", "full"), EXDEV);
    CHECK_ERR(link("m/full", "full"), EXDEV);
    close(fd);
    CHECK_EQ(umount("m"), 0);
    CHECK(!is_mounted("m"));
    CHECK_ERR(umount("m"), EINVAL);
}

static void devices_are_refused(void) {
    own_namespace();
    REQUIRE(mount("none", "m", "tmpfs", MS_NODEV, NULL) == 0);
    CHECK_EQ(mknod("m/null", S_IFCHR | 0666, (1 << 8) | 3), 0);
    CHECK_ERR(open("m/null", O_RDONLY), EACCES);
    CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT, NULL), 0);
    int fd = open("m/null", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(umount("m"), 0);
}

static void programs_are_refused(void) {
    own_namespace();
    REQUIRE(mount("none", "m", "tmpfs", MS_NOEXEC, NULL) == 0);
    int fd = open("m/run", O_CREAT | O_WRONLY, 0755);
    CHECK_EQ(write(fd, "#!/bin/sh\nexit 7\n", 17), 17);
    close(fd);
    CHECK_ERR(access("m/run", X_OK), EACCES);
    CHECK_ERR(execl("m/run", "m/run", (char *)NULL), EACCES);
    CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT, NULL), 0);
    CHECK_EQ(access("m/run", X_OK), 0);
    CHECK_EQ(umount("m"), 0);
}

static int setxattr_any(const char *name) {
    return setxattr(name, "user.moat", "x", 1, 0);
}

static void binds(void) {
    struct stat a, b;
    own_namespace();
    CHECK_EQ(mkdir("m/sub", 0755), 0);
    CHECK_EQ(touch("m/sub/f"), 0);
    CHECK_EQ(touch("file"), 0);
    CHECK_EQ(touch("over"), 0);
    REQUIRE(mount("m/sub", "b", NULL, MS_BIND, NULL) == 0);
    CHECK_EQ(stat("m/sub/f", &a), 0);
    CHECK_EQ(stat("b/f", &b), 0);
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    CHECK_EQ(touch("b/g"), 0);
    CHECK_EQ(access("m/sub/g", F_OK), 0);
    /* Read-only through this mount alone. */
    CHECK_EQ(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    CHECK_ERR(touch("b/h"), EROFS);
    CHECK_ERR(mkdir("b/h", 0700), EROFS);
    CHECK_ERR(unlink("b/g"), EROFS);
    CHECK_ERR(chmod("b/g", 0600), EROFS);
    CHECK_ERR(open("b/g", O_RDWR), EROFS);
    CHECK_ERR(truncate("b/g", 0), EROFS);
    CHECK_ERR(access("b/g", W_OK), EROFS);
    CHECK_ERR(setxattr_any("b/g"), EROFS);
    CHECK_EQ(touch("m/sub/h"), 0);
    struct statvfs vfs;
    CHECK_EQ(statvfs("b", &vfs), 0);
    CHECK((vfs.f_flag & ST_RDONLY) != 0);
    CHECK_EQ(umount("b"), 0);
    CHECK_ERR(access("b/f", F_OK), ENOENT);
    /* A file over a file; not over a directory. */
    CHECK_ERR(mount("file", "b", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERR(mount("b", "file", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_EQ(mount("file", "over", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(stat("file", &a), 0);
    CHECK_EQ(stat("over", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_ERR(unlink("over"), EBUSY);
    CHECK_EQ(umount("over"), 0);
}

static void recursive_binds(void) {
    own_namespace();
    REQUIRE(mount("none", "m", "tmpfs", 0, NULL) == 0);
    CHECK_EQ(mkdir("m/in", 0755), 0);
    REQUIRE(mount("none", "m/in", "tmpfs", 0, NULL) == 0);
    CHECK_EQ(touch("m/in/deep"), 0);
    CHECK_EQ(mount("m", "b", NULL, MS_BIND, NULL), 0);
    CHECK_ERR(access("b/in/deep", F_OK), ENOENT);
    CHECK_EQ(umount("b"), 0);
    CHECK_EQ(mount("m", "b", NULL, MS_BIND | MS_REC, NULL), 0);
    CHECK_EQ(access("b/in/deep", F_OK), 0);
    CHECK_ERR(umount("b"), EBUSY);
    CHECK_EQ(umount2("b", MNT_DETACH), 0);
    CHECK_ERR(access("b/in", F_OK), ENOENT);
    CHECK_EQ(umount("m/in"), 0);
    CHECK_EQ(umount("m"), 0);
}

static void moving(void) {
    own_namespace();
    REQUIRE(mount("none", "m", "tmpfs", 0, NULL) == 0);
    CHECK_EQ(touch("m/f"), 0);
    CHECK_EQ(mkdir("m/below", 0755), 0);
    CHECK_ERR(mount("m", "m/below", NULL, MS_MOVE, NULL), ELOOP);
    CHECK_EQ(mount("m", "b", NULL, MS_MOVE, NULL), 0);
    CHECK(!is_mounted("m"));
    CHECK(is_mounted("b"));
    CHECK_EQ(access("b/f", F_OK), 0);
    CHECK_ERR(access("m/f", F_OK), ENOENT);
    CHECK_ERR(mount("m", "b", NULL, MS_MOVE, NULL), EINVAL);
    CHECK_EQ(umount("b"), 0);
}

static void stacked(void) {
    own_namespace();
    REQUIRE(mount("one", "m", "tmpfs", 0, NULL) == 0);
    CHECK_EQ(touch("m/one"), 0);
    REQUIRE(mount("two", "m", "tmpfs", 0, NULL) == 0);
    CHECK_ERR(access("m/one", F_OK), ENOENT);
    CHECK_EQ(touch("m/two"), 0);
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(access("m/one", F_OK), 0);
    CHECK_EQ(umount("m"), 0);
}

static void detached_lives_on(void) {
    own_namespace();
    char text[256];
    REQUIRE(mount("none", "m", "tmpfs", 0, NULL) == 0);
    int fd = open("m/f", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(chdir("m"), 0);
    CHECK_EQ(umount2("../m", MNT_DETACH), 0);
    CHECK_EQ(write(fd, "still", 5), 5);
    CHECK_EQ(pread(fd, text, sizeof(text), 0), 5);
    CHECK_EQ(access("f", F_OK), 0);
    CHECK_EQ(touch("g"), 0);
    close(fd);
}

static void refusals(void) {
    own_namespace();
    CHECK_ERR(mount("none", "m", "no-such-type", 0, NULL), ENODEV);
    CHECK_ERR(mount("none", "missing", "tmpfs", 0, NULL), ENOENT);
    CHECK_ERR(mount("missing", "m", NULL, MS_BIND, NULL), ENOENT);
    CHECK_ERR(mount("none", "m", "tmpfs", 0, "size=nonsense"), EINVAL);
    CHECK_ERR(mount("none", BAD, "tmpfs", 0, NULL), EFAULT);
    CHECK_ERR(mount(NULL, "m", NULL, MS_REMOUNT, NULL), EINVAL);
    CHECK_ERR(umount2("m", 0x100), EINVAL);
    CHECK_EQ(chmod(".", 0755), 0);
    CHECK_EQ(setuid(1000), 0);
    CHECK_ERR(mount("none", "m", "tmpfs", 0, NULL), EPERM);
    CHECK_ERR(umount("m"), EPERM);
}

static void new_root(void) {
    char text[256];
    own_namespace();
    REQUIRE(mount("none", "m", "tmpfs", 0, NULL) == 0);
    CHECK_EQ(mkdir("m/old", 0755), 0);
    CHECK_EQ(touch("m/here"), 0);
    CHECK_ERR(syscall(SYS_pivot_root, "b", "b"), EBUSY);
    REQUIRE(chdir("m") == 0);
    REQUIRE(syscall(SYS_pivot_root, ".", "old") == 0);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(access("/here", F_OK), 0);
    CHECK_EQ(access("/old/proc", F_OK), 0);
    CHECK(getcwd(text, sizeof(text)) != NULL && strcmp(text, "/") == 0);
    /* And back, for those who share the namespace with others. */
    REQUIRE(chdir("/old") == 0);
    CHECK_EQ(syscall(SYS_pivot_root, ".", "tmp"), 0);
    CHECK_EQ(access("/tmp/here", F_OK), 0);
    CHECK_EQ(umount2("/tmp", MNT_DETACH), 0);
}

int main(void) {
    RUN(memory_filesystem);
    RUN(devices_are_refused);
    RUN(programs_are_refused);
    RUN(binds);
    RUN(recursive_binds);
    RUN(moving);
    RUN(stacked);
    RUN(detached_lives_on);
    RUN(refusals);
    RUN(new_root);
    TEST_MAIN_END;
}
