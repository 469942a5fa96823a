/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of tmpfs files, directories being read, attributes, pipes, copies; nothing may be left
 * behind. */
#include "vfs_harness.h"

#include "kernel/kmalloc.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FILE_MAX (600 * 1024)
#undef SIG_BIT

static char g_model[FILE_MAX], g_buf[FILE_MAX];

static int64_t open_new(const char *name) {
    return CALL3(open, P(name), O_CREAT | O_RDWR | O_TRUNC, 0644);
}

static uint64_t blocks_of(int64_t fd) {
    struct stat st;
    CHECK(CALL2(fstat, fd, P(&st)) == 0);
    return (uint64_t)st.st_blocks;
}

/* Random reads, writes, truncations and holes against an array that does the same. */
static void test_contents(void) {
    unsigned long seed = 42;
    size_t size = 0;
    int64_t fd = open_new("/file");
    CHECK(fd >= 0);
    memset(g_model, 0, sizeof(g_model));
    for (int round = 0; round < 3000; round++) {
        size_t off = test_random(&seed) % (FILE_MAX - 1), len = test_random(&seed) % 20000 + 1;
        if (off + len > FILE_MAX) {
            len = FILE_MAX - off;
        }
        switch (test_random(&seed) % 6) {
        case 0:
        case 1:
            memset(g_buf, (int)(test_random(&seed) & 0xff), len);
            CHECK(CALL4(pwrite64, fd, P(g_buf), len, off) == (int64_t)len);
            memcpy(g_model + off, g_buf, len);
            size = MAX(size, off + len);
            break;
        case 2:
            if (test_random(&seed) % 4 == 0) {
                CHECK(CALL2(ftruncate, fd, off) == 0);
                if (off < size) {
                    memset(g_model + off, 0, FILE_MAX - off);
                }
                size = off;
            }
            break;
        case 3:
            CHECK(CALL4(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len) == 0);
            memset(g_model + off, 0, len);
            break;
        default: {
            int64_t want = off >= size ? 0 : (int64_t)MIN(len, size - off);
            memset(g_buf, 0x77, len);
            CHECK(CALL4(pread64, fd, P(g_buf), len, off) == want);
            CHECK(memcmp(g_buf, g_model + off, (size_t)want) == 0);
            break;
        }
        }
    }
    CHECK(CALL1(close, fd) == 0);
}

static void test_sparse(void) {
    uint64_t before = vfs_harness_frames();
    int64_t fd = open_new("/sparse");
    CHECK(CALL4(pwrite64, fd, P("x"), 1, 1 << 20) == 1);
    CHECK(blocks_of(fd) == 8);
    CHECK(CALL3(lseek, fd, 0, SEEK_DATA) == 1 << 20 && CALL3(lseek, fd, 0, SEEK_HOLE) == 0);
    CHECK(CALL3(lseek, fd, 1 << 20, SEEK_HOLE) == (1 << 20) + 1);
    CHECK(CALL3(lseek, fd, (1 << 20) + 1, SEEK_DATA) == -ENXIO);
    CHECK(CALL4(fallocate, fd, 0, 0, 10 * 4096) == 0 && blocks_of(fd) == 88);
    CHECK(CALL4(fallocate, fd, FALLOC_FL_KEEP_SIZE, 1 << 21, 4096) == 0);
    struct stat st;
    CHECK(CALL2(fstat, fd, P(&st)) == 0 && st.st_size == (1 << 20) + 1);
    CHECK(CALL4(fallocate, fd, FALLOC_FL_ZERO_RANGE, 4096, 4096) == 0 && blocks_of(fd) == 96);
    CHECK(CALL2(ftruncate, fd, 0) == 0 && blocks_of(fd) == 0);
    CHECK(CALL4(fallocate, fd, FALLOC_FL_PUNCH_HOLE, 0, 1) == -EOPNOTSUPP);
    CHECK(CALL4(fallocate, fd, 0, 0, 0) == -EINVAL &&
          CALL4(fallocate, fd, 0, INT64_MAX, 2) == -EFBIG);
    CHECK(CALL2(ftruncate, fd, -1) == -EINVAL && CALL3(lseek, fd, -1, SEEK_SET) == -EINVAL);
    CHECK(CALL4(pwrite64, fd, P("x"), 1, INT64_MAX) == -EFBIG);
    CHECK(CALL1(unlink, P("/sparse")) == 0 && CALL1(close, fd) == 0);
    CHECK(vfs_harness_frames() == before);
}

static void test_positions(void) {
    char buf[16] = {0};
    struct iovec iov[3] = {{(void *)"ab", 2}, {NULL, 0}, {(void *)"cde", 3}};
    int64_t fd = open_new("/pos");
    CHECK(CALL3(writev, fd, P(iov), 3) == 5 && CALL3(lseek, fd, 0, SEEK_CUR) == 5);
    int64_t twin = CALL1(dup, fd);
    CHECK(CALL3(lseek, twin, 1, SEEK_SET) == 1 && CALL3(read, fd, P(buf), 2) == 2 &&
          memcmp(buf, "bc", 2) == 0);
    CHECK(CALL3(lseek, twin, 0, SEEK_CUR) == 3 && CALL3(lseek, fd, -1, SEEK_END) == 4);
    CHECK(CALL3(fcntl, fd, F_SETFL, O_APPEND) == 0 && CALL4(pwrite64, twin, P("!"), 1, 0) == 1);
    CHECK(CALL4(pread64, fd, P(buf), 16, 0) == 6 && memcmp(buf, "abcde!", 6) == 0);
    CHECK(CALL3(readv, fd, P(iov), 2000) == -EINVAL);
    CHECK(CALL3(read, fd, 0, 4) == -EFAULT && CALL3(write, fd, 0, 4) == -EFAULT);
    CHECK(CALL4(pread64, fd, P(buf), 6, 0) == 6);
    int64_t ro = CALL3(open, P("/pos"), O_RDONLY, 0);
    CHECK(CALL3(write, ro, P("x"), 1) == -EBADF && CALL2(ftruncate, ro, 0) == -EINVAL);
    CHECK(CALL1(close, fd) == 0 && CALL1(close, twin) == 0 && CALL1(close, ro) == 0);
}

static void test_full(void) {
    CHECK(CALL2(mkdir, P("/small"), 0755) == 0);
    CHECK(CALL5(mount, P("none"), P("/small"), P("tmpfs"), 0, P("size=8k,nr_inodes=3")) == 0);
    int64_t fd = open_new("/small/f");
    CHECK(CALL3(write, fd, P(g_model), 9000) == 8192 && CALL3(write, fd, P(g_model), 1) == -ENOSPC);
    CHECK(CALL2(ftruncate, fd, 4096) == 0 && CALL4(pwrite64, fd, P("x"), 1, 5000) == 1);
    int64_t other = open_new("/small/g");
    CHECK(other >= 0 && open_new("/small/h") == -ENOSPC);
    CHECK(CALL1(close, fd) == 0 && CALL1(close, other) == 0);
    CHECK(CALL2(umount2, P("/small"), 0) == 0);
    CHECK(CALL5(mount, P("none"), P("/small"), P("tmpfs"), 0, P("size=bogus")) == -EINVAL);
}

/* ---- directories ---- */

struct dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

#define MANY 700

/* Removes every entry while it reads: each is seen exactly once. */
static void test_readdir(void) {
    static char buf[1024];
    char name[64];
    int seen = 0, dots = 0;
    CHECK(CALL2(mkdir, P("/many"), 0755) == 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "/many/entry-%d", i);
        CHECK(CALL1(close, open_new(name)) == 0);
    }
    int64_t fd = CALL3(open, P("/many"), O_DIRECTORY, 0);
    CHECK(CALL3(getdents64, fd, P(buf), 10) == -EINVAL);
    for (;;) {
        int64_t n = CALL3(getdents64, fd, P(buf), sizeof(buf));
        CHECK(n >= 0);
        if (n == 0) {
            break;
        }
        for (int64_t at = 0; at < n;) {
            struct dirent64 *e = (struct dirent64 *)(void *)(buf + at);
            at += e->reclen;
            if (e->name[0] == '.') {
                CHECK(e->type == 4);
                dots++;
                continue;
            }
            CHECK(e->type == 8);
            snprintf(name, sizeof(name), "/many/%.40s", e->name);
            CHECK(CALL1(unlink, P(name)) == 0);
            seen++;
        }
    }
    CHECK(seen == MANY && dots == 2);
    CHECK(CALL3(lseek, fd, 0, SEEK_SET) == 0 && CALL3(getdents64, fd, P(buf), sizeof(buf)) == 48);
    CHECK(CALL1(rmdir, P("/many")) == 0 && CALL3(getdents64, fd, P(buf), sizeof(buf)) == -ENOENT);
    CHECK(CALL1(close, fd) == 0);
}

/* ---- attributes ---- */

static void test_xattrs(void) {
    char buf[256];
    int64_t fd = open_new("/xattr");
    CHECK(CALL5(setxattr, P("/xattr"), P("user.a"), P("hello"), 5, 0) == 0);
    CHECK(CALL5(setxattr, P("/xattr"), P("user.a"), P("x"), 1, 1) == -EEXIST);
    CHECK(CALL5(setxattr, P("/xattr"), P("user.b"), P("x"), 1, 2) == -ENODATA);
    CHECK(CALL5(fsetxattr, fd, P("trusted.overlay.opaque"), P("y"), 1, 0) == 0);
    CHECK(CALL5(setxattr, P("/xattr"), P("strange.a"), P("x"), 1, 0) == -EOPNOTSUPP);
    CHECK(CALL4(getxattr, P("/xattr"), P("user.a"), P(buf), sizeof(buf)) == 5 &&
          memcmp(buf, "hello", 5) == 0);
    CHECK(CALL4(fgetxattr, fd, P("user.a"), 0, 0) == 5 &&
          CALL4(fgetxattr, fd, P("user.a"), P(buf), 2) == -ERANGE);
    CHECK(CALL3(listxattr, P("/xattr"), P(buf), sizeof(buf)) == 30 &&
          CALL3(listxattr, P("/xattr"), P(buf), 10) == -ERANGE);
    CHECK(CALL2(symlink, P("xattr"), P("/xlink")) == 0);
    CHECK(CALL5(lsetxattr, P("/xlink"), P("user.a"), P("x"), 1, 0) == -EPERM);
    vfs_harness_become(1000, 1000, false);
    CHECK(CALL3(listxattr, P("/xattr"), P(buf), sizeof(buf)) == 7);
    CHECK(CALL5(setxattr, P("/xattr"), P("user.a"), P("x"), 1, 0) == -EACCES);
    CHECK(CALL4(getxattr, P("/xattr"), P("trusted.overlay.opaque"), P(buf), 9) == -ENODATA);
    vfs_harness_become(0, 0, true);
    CHECK(CALL2(removexattr, P("/xattr"), P("user.a")) == 0 &&
          CALL2(removexattr, P("/xattr"), P("user.a")) == -ENODATA);
    CHECK(CALL1(close, fd) == 0);
}

static void test_seals(void) {
    int64_t fd = CALL2(memfd_create, P("m"), MFD_ALLOW_SEALING | MFD_CLOEXEC);
    CHECK(fd >= 0 && CALL3(fcntl, fd, F_GETFD, 0) == 1 && CALL3(fcntl, fd, F_GET_SEALS, 0) == 0);
    CHECK(CALL3(write, fd, P("data"), 4) == 4);
    CHECK(CALL3(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && CALL2(ftruncate, fd, 2) == -EPERM);
    CHECK(CALL3(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW) == 0 &&
          CALL3(write, fd, P("more"), 4) == -EPERM);
    CHECK(CALL4(pwrite64, fd, P("DATA"), 4, 0) == 4);
    CHECK(CALL3(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0 &&
          CALL4(pwrite64, fd, P("d"), 1, 0) == -EPERM);
    CHECK(CALL3(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE) == -EPERM);
    CHECK(CALL1(close, fd) == 0);
    fd = CALL2(memfd_create, P("plain"), 0);
    CHECK(CALL3(fcntl, fd, F_GET_SEALS, 0) == F_SEAL_SEAL && CALL1(close, fd) == 0);
}

/* ---- pipes and copies ---- */

static void test_pipes(void) {
    int32_t p[2], q[2];
    char buf[32];
    CHECK(CALL2(pipe2, P(p), O_NONBLOCK) == 0);
    CHECK(CALL3(read, p[0], P(buf), 1) == -EAGAIN && CALL3(write, p[1], P("hello"), 5) == 5);
    int32_t n;
    CHECK(CALL3(ioctl, p[0], 0x541b, P(&n)) == 0 && n == 5); /* FIONREAD */
    CHECK(CALL3(read, p[0], P(buf), 3) == 3 && CALL3(read, p[0], P(buf), 9) == 2);
    CHECK(CALL3(write, p[1], P(g_model), 100000) == 65536 &&
          CALL3(write, p[1], P(buf), 1) == -EAGAIN);
    CHECK(CALL3(read, p[0], P(g_buf), 1000) == 1000 &&
          CALL3(write, p[1], P(g_model), 4096) == -EAGAIN);
    CHECK(CALL3(fcntl, p[1], F_SETPIPE_SZ, 4096) == -EBUSY &&
          CALL3(fcntl, p[1], F_SETPIPE_SZ, 200000) == 262144);
    CHECK(CALL3(read, p[0], P(g_buf), FILE_MAX) == 64536 &&
          memcmp(g_buf, g_model + 1000, 64536) == 0);
    CHECK(CALL3(write, p[0], P(buf), 1) == -EBADF && CALL4(pread64, p[0], P(buf), 1, 0) == -ESPIPE);
    CHECK(CALL3(lseek, p[0], 0, SEEK_CUR) == -ESPIPE);
    /* splice, tee, vmsplice. */
    CHECK(CALL2(pipe2, P(q), O_NONBLOCK) == 0 && CALL3(write, p[1], P("splice me"), 9) == 9);
    CHECK(CALL4(tee, p[0], q[1], 100, 0) == 9 && CALL3(read, q[0], P(buf), 32) == 9 &&
          memcmp(buf, "splice me", 9) == 0);
    int64_t fd = open_new("/spliced");
    int64_t off = 3;
    CHECK(CALL6(splice, p[0], 0, fd, P(&off), 6, 0) == 6 && off == 9);
    CHECK(CALL6(splice, p[0], 0, q[1], 0, 100, 0) == 3 && CALL3(read, q[0], P(buf), 32) == 3 &&
          memcmp(buf, " me", 3) == 0);
    CHECK(CALL6(splice, p[0], 0, fd, 0, 6, 2) == -EAGAIN);
    off = 4;
    CHECK(CALL6(splice, fd, P(&off), q[1], 0, 100, 0) == 5 && off == 9 &&
          CALL3(read, q[0], P(buf), 32) == 5);
    CHECK(memcmp(buf, "plice", 5) == 0);
    off = 3;
    CHECK(CALL4(sendfile, q[1], fd, P(&off), 100) == 6 && off == 9 &&
          CALL3(read, q[0], P(buf), 32) == 6);
    int64_t to = open_new("/copied");
    off = 0;
    CHECK(CALL6(copy_file_range, fd, P(&off), to, 0, 100, 0) == 9 &&
          CALL3(lseek, to, 0, SEEK_CUR) == 9);
    CHECK(CALL6(copy_file_range, fd, 0, fd, 0, 5, 0) == -EINVAL);
    /* Packets. */
    CHECK(CALL3(fcntl, p[1], F_SETFL, O_DIRECT | O_NONBLOCK) == 0);
    CHECK(CALL3(write, p[1], P("one"), 3) == 3 && CALL3(write, p[1], P("two!"), 4) == 4);
    CHECK(CALL3(read, p[0], P(buf), 2) == 2 && CALL3(read, p[0], P(buf), 32) == 4 &&
          memcmp(buf, "two!", 4) == 0);
    /* Ends that are gone. */
    CHECK(CALL1(close, p[1]) == 0 && CALL3(read, p[0], P(buf), 1) == 0);
    CHECK(CALL1(close, q[0]) == 0 && CALL3(write, q[1], P("x"), 1) == -EPIPE &&
          g_last_signal == SIGPIPE);
    CHECK(CALL1(close, p[0]) == 0 && CALL1(close, q[1]) == 0 && CALL1(close, fd) == 0 &&
          CALL1(close, to) == 0);
}

static void test_descriptors(void) {
    int64_t fd = open_new("/fds");
    CHECK(CALL3(dup3, fd, fd, 0) == -EINVAL && CALL2(dup2, fd, fd) == fd &&
          CALL2(dup2, 999, fd) == -EBADF);
    CHECK(CALL2(dup2, fd, 2000) == -EBADF && CALL2(dup2, fd, 500) == 500 &&
          CALL3(dup3, fd, 501, O_CLOEXEC) == 501);
    CHECK(CALL3(fcntl, 501, F_GETFD, 0) == 1 && CALL3(fcntl, 500, F_GETFD, 0) == 0);
    CHECK(CALL3(fcntl, fd, F_DUPFD, 500) == 502 && CALL3(fcntl, fd, F_DUPFD_CLOEXEC, 10) == 10);
    CHECK(CALL3(fcntl, fd, F_DUPFD, 5000) == -EINVAL);
    CHECK(CALL3(close_range, 500, 501, 0) == 0 && CALL1(close, 500) == -EBADF &&
          CALL1(close, 502) == 0);
    struct files *copy = files_copy(current->files);
    files_close_on_exec(copy);
    CHECK(copy != NULL && CALL1(close, 10) == 0);
    struct file *f;
    bool cloexec;
    CHECK(files_next(copy, 0, &f, &cloexec) == fd &&
          files_next(copy, (int)fd + 1, &f, &cloexec) == -1);
    file_put(f);
    files_put(copy);
    int64_t made = 0;
    while (CALL1(dup, fd) >= 0) {
        made++;
    }
    CHECK(made == 1023 && CALL1(dup, fd) == -EMFILE);
    CHECK(CALL3(close_range, 1, 4000000000u, 0) == 0 && CALL1(close, fd) == 0);
}

static void tests(void *arg) {
    test_contents();
    test_sparse();
    test_positions();
    test_full();
    test_readdir();
    test_xattrs();
    test_seals();
    test_pipes();
    test_descriptors();
}

/* The second run leaves as much memory in use as the first: nothing leaks. */
static void tests_twice(void *arg) {
    uint64_t used[2], frames[2];
    for (int i = 0; i < 2; i++) {
        CHECK(CALL2(mkdir, P("/run"), 0755) == 0);
        CHECK(CALL5(mount, P("none"), P("/run"), P("tmpfs"), 0, 0) == 0);
        CHECK(CALL1(chdir, P("/run")) == 0);
        struct path root, own;
        fs_get_root(&root);
        fs_get_cwd(&own);
        struct fs_context *old = current->fs;
        current->fs = fs_context_create(&own);
        path_put(&own);
        tests(arg);
        fs_context_put(current->fs);
        current->fs = old;
        path_put(&root);
        CHECK(CALL1(chdir, P("/")) == 0 && CALL2(umount2, P("/run"), 0) == 0 &&
              CALL1(rmdir, P("/run")) == 0);
        used[i] = kmalloc_used();
        frames[i] = vfs_harness_frames();
    }
    CHECK(frames[0] == 0 && frames[1] == 0);
    CHECK(used[0] == used[1]);
}

int main(void) {
    vfs_harness_main(tests_twice);
}
