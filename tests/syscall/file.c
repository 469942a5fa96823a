/* SPDX-License-Identifier: Apache-2.0 */
/* open(2), read(2), write(2), lseek(2), stat(2), truncate(2), chmod(2), utimensat(2), access(2). */
#include "harness.h"

#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

static int make(const char *name, const char *text) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static bool holds(const char *name, const char *text) {
    char buf[256] = {0};
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

static void open_flags(void) {
    CHECK_ERR(open("f", O_RDONLY), ENOENT);
    int fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_ERR(open("f", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
    CHECK_EQ(write(fd, "abc", 3), 3);
    int r = open("f", O_RDONLY);
    CHECK_ERR(write(r, "x", 1), EBADF);
    close(open("f", O_WRONLY | O_TRUNC));
    CHECK(holds("f", ""));
    CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERR(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_ERR(open(".", O_WRONLY), EISDIR);
    CHECK_ERR(open(".", O_RDWR | O_CREAT, 0600), EISDIR);
    CHECK_ERR(open("", O_RDONLY), ENOENT);
    CHECK_ERR(open(BAD, O_RDONLY), EFAULT);
    char longer[5000];
    memset(longer, 'x', sizeof(longer));
    longer[4999] = 0;
    CHECK_ERR(open(longer, O_RDONLY), ENAMETOOLONG);
    longer[300] = 0;
    CHECK_ERR(open(longer, O_RDONLY), ENAMETOOLONG);
}

static void append(void) {
    close(make("f", "abc"));
    int fd = open("f", O_RDWR | O_APPEND);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, "de", 2), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(pwrite(fd, "f", 1, 0), 1); /* pwrite(2), BUGS: appends */
    CHECK(holds("f", "abcdef"));
    CHECK(fcntl(fd, F_GETFL) & O_APPEND);
}

static void positions(void) {
    int fd = make("f", "0123456789");
    char buf[8];
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(read(fd, buf, 2), 2);
    CHECK(memcmp(buf, "34", 2) == 0);
    CHECK_EQ(lseek(fd, -1, SEEK_CUR), 4);
    CHECK_EQ(lseek(fd, -2, SEEK_END), 8);
    CHECK_EQ(read(fd, buf, 8), 2);
    CHECK_EQ(read(fd, buf, 8), 0);
    CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERR(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(pread(fd, buf, 3, 7), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(pwrite(fd, "AB", 2, 4), 2);
    CHECK(holds("f", "0123AB6789"));
    CHECK_ERR(pread(fd, buf, 1, -1), EINVAL);
    CHECK_EQ(pread(fd, buf, 1, 100), 0);
}

static void shared_position(void) {
    int fd = make("f", "abcdef"), copy = dup(fd), other = open("f", O_RDONLY);
    char c;
    lseek(fd, 2, SEEK_SET);
    CHECK_EQ(read(copy, &c, 1), 1);
    CHECK_EQ(c, 'c');
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(read(fd, &c, 1) == 1 && c == 'd' ? 0 : 1);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
}

static void holes(void) {
    int fd = make("f", "");
    CHECK_EQ(pwrite(fd, "end", 3, 100000), 3);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 100003);
    char buf[4096];
    CHECK_EQ(pread(fd, buf, sizeof(buf), 50000), 4096);
    for (size_t i = 0; i < sizeof(buf); i++) {
        REQUIRE(buf[i] == 0);
    }
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE) <= 100003, 1);
    CHECK(lseek(fd, 0, SEEK_DATA) >= 0);
    CHECK_ERR(lseek(fd, 100003, SEEK_DATA), ENXIO);
}

static void truncation(void) {
    int fd = make("f", "0123456789");
    CHECK_EQ(ftruncate(fd, 4), 0);
    CHECK(holds("f", "0123"));
    CHECK_EQ(ftruncate(fd, 6), 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 6);
    char buf[8];
    CHECK_EQ(pread(fd, buf, 8, 0), 6);
    CHECK(memcmp(buf, "0123\0\0", 6) == 0);
    CHECK_EQ(truncate("f", 0), 0);
    CHECK_EQ(pread(fd, buf, 8, 0), 0);
    CHECK_ERR(truncate("f", -1), EINVAL);
    CHECK_ERR(truncate(".", 0), EISDIR);
    CHECK_ERR(truncate("none", 0), ENOENT);
    int r = open("f", O_RDONLY);
    CHECK_ERR(ftruncate(r, 0), EINVAL);
}

static void large_io(void) {
    static char data[1 << 20], back[1 << 20];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i * 31 + i / 4096);
    }
    int fd = make("f", "");
    CHECK_EQ(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
    CHECK_EQ(pwrite(fd, data, sizeof(data), 3333333), (ssize_t)sizeof(data));
    CHECK_EQ(pread(fd, back, sizeof(back), 0), (ssize_t)sizeof(back));
    CHECK(memcmp(data, back, sizeof(data)) == 0);
    CHECK_EQ(pread(fd, back, sizeof(back), 3333333), (ssize_t)sizeof(back));
    CHECK(memcmp(data, back, sizeof(data)) == 0);
}

static void vectors(void) {
    int fd = make("f", "");
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"twoo", 4}};
    CHECK_EQ(writev(fd, out, 3), 7);
    char a[4], b[8];
    struct iovec in[2] = {{a, 4}, {b, 8}};
    CHECK_EQ(preadv(fd, in, 2, 0), 7);
    CHECK(memcmp(a, "onet", 4) == 0 && memcmp(b, "woo", 3) == 0);
    CHECK_EQ(pwritev(fd, out, 1, 10), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_ERR(readv(fd, in, 2000), EINVAL);
    CHECK_EQ(preadv2(fd, in, 1, 0, 0), 4);
    CHECK_ERR(preadv2(fd, in, 1, 0, 0x4000), EOPNOTSUPP);
}

static void stat_fields(void) {
    int fd = make("f", "12345");
    CHECK_EQ(fchmod(fd, 0640), 0);
    struct stat st, same;
    CHECK_EQ(stat("f", &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0640);
    CHECK_EQ(st.st_size, 5);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_uid, geteuid());
    CHECK(st.st_blksize >= 512);
    CHECK_EQ(fstat(fd, &same), 0);
    CHECK(same.st_ino == st.st_ino && same.st_dev == st.st_dev);
    CHECK_EQ(fstatat(AT_FDCWD, "f", &same, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(same.st_ino == st.st_ino);
    CHECK_EQ(fstatat(fd, "", &same, AT_EMPTY_PATH), 0);
    CHECK(same.st_ino == st.st_ino);
    CHECK_ERR(fstatat(AT_FDCWD, "", &same, 0), ENOENT);
    CHECK_ERR(fstatat(AT_FDCWD, "f", &same, 0x10), EINVAL);
    CHECK_ERR(stat("f", BAD), EFAULT);
    CHECK_EQ(stat("/dev/null", &st), 0);
    CHECK(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

static void statx_fields(void) {
    close(make("f", "12345"));
    struct statx x;
    CHECK_EQ(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x), 0);
    CHECK((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    CHECK_EQ(x.stx_size, 5);
    CHECK(S_ISREG(x.stx_mode));
    CHECK_EQ(x.stx_nlink, 1);
    CHECK(x.stx_mtime.tv_sec > 1600000000);
    CHECK_ERR(statx(AT_FDCWD, "none", 0, STATX_SIZE, &x), ENOENT);
    CHECK_ERR(statx(AT_FDCWD, "f", 0x8, STATX_SIZE, &x), EINVAL);
}

static void times(void) {
    int fd = make("f", "x");
    struct timespec set[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    struct stat st;
    CHECK_EQ(futimens(fd, set), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000000000);
    CHECK_EQ(st.st_mtim.tv_sec, 1100000000);
    CHECK_EQ(st.st_mtim.tv_nsec, 987654321);
    set[0].tv_nsec = UTIME_OMIT;
    set[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "f", set, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000000000);
    CHECK(st.st_mtim.tv_sec >= time(NULL) - 5);
    set[1].tv_nsec = 1000000000;
    CHECK_ERR(utimensat(AT_FDCWD, "f", set, 0), EINVAL);
    set[1] = (struct timespec){5, 5};
    CHECK_EQ(futimens(fd, set), 0);
    CHECK_EQ(write(fd, "y", 1), 1);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(st.st_mtim.tv_sec > 1000000000);
    CHECK(st.st_ctim.tv_sec > 1000000000);
}

static void modes_and_umask(void) {
    umask(027);
    close(open("a", O_CREAT | O_WRONLY, 0777));
    struct stat st;
    CHECK_EQ(stat("a", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0750);
    CHECK_EQ(umask(0), 027);
    mkdir("d", 01777);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 01777);
    CHECK_EQ(chmod("a", 04755), 0);
    CHECK_EQ(stat("a", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 04755);
    CHECK_ERR(chmod("none", 0600), ENOENT);
    CHECK_EQ(fchmodat(AT_FDCWD, "a", 0600, 0), 0);
}

static void become_user(void) {
    if (geteuid() == 0) {
        REQUIRE(chown(".", 1000, 1000) == 0);
        REQUIRE(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
    }
}

static void permissions(void) {
    become_user();
    close(make("f", "secret"));
    CHECK_EQ(chmod("f", 0), 0);
    CHECK_ERR(open("f", O_RDONLY), EACCES);
    CHECK_ERR(access("f", R_OK), EACCES);
    CHECK_EQ(access("f", F_OK), 0);
    CHECK_EQ(chmod("f", 0400), 0);
    CHECK_EQ(access("f", R_OK), 0);
    CHECK_ERR(access("f", W_OK), EACCES);
    CHECK_ERR(access("f", X_OK), EACCES);
    CHECK_ERR(open("f", O_RDWR), EACCES);
    CHECK_EQ(mkdir("d", 0700), 0);
    close(make("d/in", "x"));
    CHECK_EQ(chmod("d", 0600), 0);
    CHECK_ERR(open("d/in", O_RDONLY), EACCES);
    CHECK_EQ(chmod("d", 0500), 0);
    CHECK(open("d/in", O_RDONLY) >= 0);
    CHECK_ERR(unlink("d/in"), EACCES);
    CHECK_ERR(open("d/new", O_CREAT | O_WRONLY, 0600), EACCES);
    CHECK_EQ(chmod("d", 0700), 0);
    CHECK_ERR(chown("f", 0, 0), EPERM);
    CHECK_ERR(open("/root/.x-moat", O_CREAT | O_WRONLY, 0600), EACCES);
    CHECK_ERR(chmod("/", 0700), EPERM);
    CHECK_ERR(access("f", 99), EINVAL);
}

static void ownership(void) {
    if (geteuid() != 0) {
        SKIP("needs root");
    }
    close(make("f", "x"));
    struct stat st;
    CHECK_EQ(chmod("f", 06755), 0);
    CHECK_EQ(chown("f", 1234, 5678), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_uid == 1234 && st.st_gid == 5678);
    CHECK_EQ(st.st_mode & 07777, 0755);
    CHECK_EQ(chown("f", -1, 1), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_uid == 1234 && st.st_gid == 1);
    CHECK_EQ(symlink("f", "s"), 0);
    CHECK_EQ(lchown("s", 7, 8), 0);
    CHECK_EQ(lstat("s", &st), 0);
    CHECK(st.st_uid == 7 && st.st_gid == 8);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_uid, 1234);
}

static void set_id_bits_fall(void) {
    become_user();
    int fd = make("f", "x");
    CHECK_EQ(fchmod(fd, 06755), 0);
    CHECK_EQ(write(fd, "y", 1), 1);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0755);
}

static void file_size_limit(void) {
    int fd = make("f", "");
    struct rlimit rl = {1000, 1000};
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &rl) == 0);
    char block[600] = {0};
    CHECK_EQ(write(fd, block, 600), 600);
    CHECK_EQ(write(fd, block, 600), 400);
    CHECK_ERR(write(fd, block, 1), EFBIG);
    CHECK_ERR(ftruncate(fd, 2000), EFBIG);
}

static void path_only(void) {
    close(make("f", "abc"));
    int fd = open("f", O_PATH);
    CHECK(fd >= 0);
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
    CHECK_ERR(fchmod(fd, 0600), EBADF);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 3);
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    int again = open(name, O_RDONLY);
    CHECK(again >= 0);
    CHECK_EQ(read(again, &c, 1), 1);
}

static void relative_to_directories(void) {
    CHECK_EQ(mkdir("d", 0700), 0);
    int d = open("d", O_RDONLY | O_DIRECTORY);
    int fd = openat(d, "f", O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(access("d/f", F_OK), 0);
    CHECK_EQ(faccessat(d, "f", W_OK, 0), 0);
    CHECK_ERR(openat(fd, "x", O_RDONLY), ENOTDIR);
    CHECK_ERR(openat(900, "x", O_RDONLY), EBADF);
    CHECK(openat(900, "/dev/null", O_RDONLY) >= 0);
    CHECK_EQ(unlinkat(d, "f", 0), 0);
    CHECK_EQ(fchdir(d), 0);
    char cwd[256];
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL && strcmp(strrchr(cwd, '/'), "/d") == 0);
    CHECK_ERR(syscall(SYS_getcwd, cwd, 2), ERANGE);
    CHECK_EQ(rmdir("../d"), 0);
    CHECK_ERR(syscall(SYS_getcwd, cwd, sizeof(cwd)), ENOENT);
    CHECK_ERR(open("x", O_CREAT | O_WRONLY, 0600), ENOENT);
}

static int open2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static void openat2_limits(void) {
    CHECK_EQ(mkdir("d", 0700), 0);
    close(make("d/f", "x"));
    close(make("out", "x"));
    CHECK_EQ(symlink("f", "d/in"), 0);
    CHECK_EQ(symlink("../out", "d/up"), 0);
    CHECK_EQ(symlink("/f", "d/abs"), 0);
    int d = open("d", O_RDONLY | O_DIRECTORY);
    CHECK(open2(d, "f", O_RDONLY, RESOLVE_BENEATH) >= 0);
    CHECK(open2(d, "in", O_RDONLY, RESOLVE_BENEATH) >= 0);
    CHECK_ERR(open2(d, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(open2(d, "../out", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(open2(d, "abs", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK(open2(d, "abs", O_RDONLY, RESOLVE_IN_ROOT) >= 0);
    CHECK_ERR(open2(d, "../out", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
    CHECK_ERR(open2(d, "in", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERR(open2(d, "f", O_RDONLY, 0x8000), EINVAL);
    CHECK_ERR(open2(d, "f", O_RDONLY | 0x80000000ull << 8, 0), EINVAL);
}

static void temporary_file(void) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) {
        SKIP("the filesystem has no O_TMPFILE");
    }
    CHECK_EQ(write(fd, "tmp", 3), 3);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK(holds("named", "tmp"));
}

static void unlinked_lives_on(void) {
    int fd = make("f", "still");
    CHECK_EQ(unlink("f"), 0);
    char buf[8];
    CHECK_EQ(pread(fd, buf, 8, 0), 5);
    CHECK_EQ(write(fd, "!", 1), 1);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_size, 6);
}

static void devices(void) {
    char buf[16] = "xxxxxxxxxxxxxxx";
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR),
        full = open("/dev/full", O_RDWR);
    int random = open("/dev/urandom", O_RDONLY);
    CHECK(null >= 0 && zero >= 0 && full >= 0 && random >= 0);
    CHECK_EQ(read(null, buf, 16), 0);
    CHECK_EQ(write(null, buf, 16), 16);
    CHECK_EQ(read(zero, buf, 16), 16);
    CHECK(buf[0] == 0 && buf[15] == 0);
    CHECK_ERR(write(full, buf, 1), ENOSPC);
    CHECK_EQ(read(full, buf, 4), 4);
    char a[16], b[16];
    CHECK_EQ(read(random, a, 16), 16);
    CHECK_EQ(read(random, b, 16), 16);
    CHECK(memcmp(a, b, 16) != 0);
}

static void filesystem_facts(void) {
    struct statfs s;
    struct statvfs v;
    CHECK_EQ(statfs(".", &s), 0);
    CHECK(s.f_bsize > 0 && s.f_blocks > 0 && s.f_namelen >= 255);
    CHECK_EQ(statvfs(".", &v), 0);
    CHECK_ERR(statfs("none", &s), ENOENT);
    int fd = open(".", O_RDONLY);
    CHECK_EQ(fstatfs(fd, &s), 0);
    CHECK_EQ(fsync(make("f", "x")), 0);
    CHECK_EQ(fdatasync(make("g", "x")), 0);
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(fsync(p[0]), EINVAL);
    sync();
}

int main(void) {
    RUN(open_flags);
    RUN(append);
    RUN(positions);
    RUN(shared_position);
    RUN(holes);
    RUN(truncation);
    RUN(large_io);
    RUN(vectors);
    RUN(stat_fields);
    RUN(statx_fields);
    RUN(times);
    RUN(modes_and_umask);
    RUN(permissions);
    RUN(ownership);
    RUN(set_id_bits_fall);
    RUN(file_size_limit);
    RUN(path_only);
    RUN(relative_to_directories);
    RUN(openat2_limits);
    RUN(temporary_file);
    RUN(unlinked_lives_on);
    RUN(devices);
    RUN(filesystem_facts);
    TEST_MAIN_END;
}
