/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's kernel, and a hypervisor, that were taken over, against the Gofer's vhost-user back
 * end: vhost_attack [GOFER].
 *
 * Without GOFER the back end runs in children of this program under sanitizers, with small bounds.
 * Whatever is sent, nothing outside the exports is read or changed, no device, FIFO or socket is
 * opened, memory and descriptors stay bounded, and the back end goes on or ends by itself.
 */
#include "vhost_attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "moat/gofer.h"

#define SECRET "the secret outside"

unsigned int g_checks;
static uint64_t g_random = 88172645463325252ull;

unsigned int scene_random(unsigned int below) {
    g_random ^= g_random << 13;
    g_random ^= g_random >> 7;
    g_random ^= g_random << 17;
    return (unsigned int)((g_random >> 11) % below);
}

/* ---- the scene ---- */

static const char *at(const struct scene *s, const char *name) {
    static char path[4][600];
    static unsigned int next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof(path[0]), "%s/%s", s->top, name);
    return p;
}

static void put_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, mode) == 0);
    (void)close(fd);
}

static void make_socket(const char *path) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    (void)close(fd);
}

static void set_scene(struct scene *s) {
    (void)snprintf(s->top, sizeof(s->top), "/tmp/moat-vhost-XXXXXX");
    CHECK(mkdtemp(s->top) != NULL);
    (void)snprintf(s->rw, sizeof(s->rw), "%s/rw", s->top);
    (void)snprintf(s->ro, sizeof(s->ro), "%s/ro", s->top);
    CHECK(mkdir(s->rw, 0755) == 0 && mkdir(s->ro, 0755) == 0 && mkdir(at(s, "outside"), 0755) == 0);
    CHECK(mkdir(at(s, "rw/dir"), 0755) == 0 && mkdir(at(s, "ro/dir"), 0755) == 0);
    put_file(at(s, "outside/secret"), SECRET, 0644);
    put_file(at(s, "rw/file"), "inside", 0644);
    put_file(at(s, "ro/file"), "inside", 06755);
    CHECK(symlink(at(s, "outside/secret"), at(s, "rw/absolute")) == 0);
    CHECK(symlink("../outside/secret", at(s, "rw/relative")) == 0);
    CHECK(symlink(at(s, "outside"), at(s, "rw/dirlink")) == 0);
    CHECK(symlink("/proc/self/fd/3", at(s, "rw/magic")) == 0);
    CHECK(mkfifo(at(s, "rw/fifo"), 0666) == 0);
    CHECK(mknod(at(s, "rw/null"), S_IFCHR | 0666, makedev(1, 3)) == 0);
    make_socket(at(s, "rw/socket"));
}

static void check_outside(const struct scene *s) {
    char buf[64] = "";
    struct stat st;
    int count = 0, fd = open(at(s, "outside/secret"), O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, sizeof(buf) - 1) == (ssize_t)strlen(SECRET) &&
          strcmp(buf, SECRET) == 0);
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0644 && st.st_nlink == 1);
    (void)close(fd);
    DIR *dir = opendir(at(s, "outside"));
    CHECK(dir != NULL);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        count++;
    }
    (void)closedir(dir);
    CHECK_EQ(count, 3); /* ".", "..", "secret" */
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* ---- calls ---- */

#define CALL(...) driver_call(d, &(struct driver_call){__VA_ARGS__})
#define BODY(in)  .body = &(in), .body_len = sizeof(in)

static int64_t create(struct driver *d, uint64_t dir, const char *name, uint32_t flags,
                      uint64_t *out_node, uint64_t *out_fh) {
    struct fuse_create_in in = {.flags = flags, .mode = 0644};
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out;
    int64_t got = CALL(.opcode = FUSE_CREATE, .node = dir, BODY(in), .name = name, .out = &out,
                       .out_max = sizeof(out));
    *out_node = out.entry.nodeid;
    *out_fh = out.open.fh;
    return got;
}

static int64_t release(struct driver *d, uint64_t node, uint64_t fh) {
    struct fuse_release_in in = {.fh = fh};
    return CALL(.opcode = FUSE_RELEASE, .node = node, BODY(in));
}

static int64_t write_at(struct driver *d, uint64_t node, uint64_t fh, uint64_t offset,
                        const char *text, uint32_t flags) {
    struct fuse_write_in in = {
        .fh = fh, .offset = offset, .size = (uint32_t)strlen(text), .write_flags = flags};
    struct fuse_write_out out;
    int64_t got = CALL(.opcode = FUSE_WRITE, .node = node, BODY(in), .data = text,
                       .data_len = in.size, .out = &out, .out_max = sizeof(out));
    return got < 0 ? got : out.size;
}

static int64_t read_at(struct driver *d, uint64_t node, uint64_t fh, uint64_t offset, char *out,
                       uint32_t size) {
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    return CALL(.opcode = FUSE_READ, .node = node, BODY(in), .out = out, .out_max = size);
}

static uint64_t must_look(struct driver *d, uint64_t dir, const char *name) {
    int64_t node = driver_look(d, dir, name, NULL);
    CHECK(node > 0);
    return (uint64_t)node;
}

/* ---- the folder of exports ---- */

static void test_top(struct driver *d) {
    static const char *const bad[] = {"",   ".",  "..",  "/",     "2",   "00",    "01",
                                      "-1", "+1", " 1",  "1 ",    "0x1", "1/dir", "99999999999999",
                                      "1a", "a",  "../", "1/../0"};
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_entry_out entry;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(driver_look(d, FUSE_ROOT_ID, bad[i], NULL) < 0);
    }
    CHECK(driver_look(d, FUSE_ROOT_ID, "0", &entry) > 0);
    CHECK(S_ISDIR(entry.attr.mode) && (entry.attr.flags & FUSE_ATTR_SUBMOUNT) != 0);
    CHECK_EQ(CALL(.opcode = FUSE_MKDIR, .node = FUSE_ROOT_ID, BODY(mkdir_in), .name = "x"), -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_UNLINK, .node = FUSE_ROOT_ID, .name = "0"), -EROFS);
    struct fuse_rename2_in rename_in = {.newdir = FUSE_ROOT_ID};
    CHECK_EQ(CALL(.opcode = FUSE_RENAME2, .node = must_look(d, 1, "0"), BODY(rename_in),
                  .name = "file", .name2 = "9"),
             -EXDEV);
    /* Forgotten more often than it was known. */
    struct fuse_forget_in all = {.nlookup = UINT64_MAX};
    struct fuse_batch_forget_in batch = {.count = UINT32_MAX};
    for (uint64_t node = 0; node < 5; node++) {
        (void)CALL(.opcode = FUSE_GETATTR, .node = node, BODY(all), .out_max = 200);
        struct {
            struct fuse_in_header h;
            struct fuse_forget_in in;
        } m = {{.len = sizeof(m), .opcode = FUSE_FORGET, .nodeid = node}, all};
        uint32_t len;
        memcpy(d->mem + 0x100000, &m, sizeof(m));
        d->q[0].desc[0] = (struct vring_desc){driver_phys(0x100000), sizeof(m), 0, 0};
        driver_offer(d, 0, 0);
        CHECK(driver_wait(d, 0, &len, WAIT_MS) && len == 0);
        m.h.opcode = FUSE_BATCH_FORGET;
        memcpy(&m.in, &batch, sizeof(batch));
        memcpy(d->mem + 0x100000, &m, sizeof(m));
        driver_offer(d, 0, 0);
        CHECK(driver_wait(d, 0, &len, WAIT_MS) && len == 0);
    }
    CHECK(driver_alive(d) && driver_look(d, FUSE_ROOT_ID, "0", NULL) > 0);
}

/* ---- names, links, special files ---- */

static void test_names(struct driver *d, uint64_t rw) {
    static const char *const names[] = {
        "",       ".",           "..",  "/",     "../outside", "dir/..",      "dir/", "/etc/passwd",
        "./file", "dir/../file", "a/b", "../ro", "....//",     "../../../etc"};
    char longer[300];
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0644};
    struct fuse_rename2_in rename_in = {.newdir = rw};
    struct fuse_link_in link_in = {.oldnodeid = must_look(d, rw, "file")};
    uint64_t node, fh;
    memset(longer, 'x', sizeof(longer));
    longer[256] = '\0';
    for (size_t i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
        const char *n = i < sizeof(names) / sizeof(names[0]) ? names[i] : longer;
        CHECK(driver_look(d, rw, n, NULL) < 0);
        CHECK(create(d, rw, n, O_RDWR, &node, &fh) < 0);
        CHECK(CALL(.opcode = FUSE_MKDIR, .node = rw, BODY(mkdir_in), .name = n) < 0);
        CHECK(CALL(.opcode = FUSE_MKNOD, .node = rw, BODY(mknod_in), .name = n) < 0);
        CHECK(CALL(.opcode = FUSE_UNLINK, .node = rw, .name = n) < 0);
        CHECK(CALL(.opcode = FUSE_RMDIR, .node = rw, .name = n) < 0);
        CHECK(CALL(.opcode = FUSE_SYMLINK, .node = rw, .name = n, .name2 = "target") < 0);
        CHECK(CALL(.opcode = FUSE_LINK, .node = rw, BODY(link_in), .name = n) < 0);
        CHECK(CALL(.opcode = FUSE_RENAME2, .node = rw, BODY(rename_in), .name = n, .name2 = "y") <
              0);
        CHECK(CALL(.opcode = FUSE_RENAME2, .node = rw, BODY(rename_in), .name = "file",
                   .name2 = n) < 0);
        CHECK(CALL(.opcode = FUSE_RENAME, .node = rw, .body = &rename_in.newdir, .body_len = 8,
                   .name = "file", .name2 = n) < 0);
    }
    /* Names without an end. */
    CHECK_EQ(CALL(.opcode = FUSE_LOOKUP, .node = rw, .data = "file", .data_len = 4, .out_max = 200),
             -EINVAL);
    CHECK_EQ(CALL(.opcode = FUSE_RENAME2, .node = rw, BODY(rename_in), .name = "file", .data = "x",
                  .data_len = 1),
             -EINVAL);
    CHECK(driver_look(d, rw, "file", NULL) > 0);
}

static void test_special(struct driver *d, const struct scene *s, uint64_t rw) {
    static const char *const special[] = {"absolute", "relative", "dirlink", "magic",
                                          "fifo",     "null",     "socket"};
    static const uint32_t devices[] = {S_IFCHR, S_IFBLK, S_IFDIR, S_IFLNK, 0, 0170000};
    struct fuse_entry_out entry;
    char target[256];
    uint64_t made, fh;
    for (size_t i = 0; i < 7; i++) {
        int64_t node = driver_look(d, rw, special[i], &entry);
        CHECK(node > 0 && !S_ISREG(entry.attr.mode) && !S_ISDIR(entry.attr.mode));
        for (uint32_t flags = O_RDONLY; flags <= O_RDWR; flags++) { /* none may hang */
            CHECK(driver_open(d, (uint64_t)node, flags) < 0);
            CHECK(create(d, rw, special[i], flags, &made, &fh) < 0);
        }
        CHECK(driver_open(d, (uint64_t)node, O_WRONLY | O_TRUNC) < 0);
        CHECK_EQ(driver_look(d, (uint64_t)node, "secret", NULL), -ENOTDIR);
        struct fuse_setattr_in set = {.valid = FATTR_SIZE};
        CHECK(CALL(.opcode = FUSE_SETATTR, .node = (uint64_t)node, BODY(set), .out_max = 200) < 0);
        struct fuse_getxattr_in get = {.size = 64};
        CHECK(CALL(.opcode = FUSE_GETXATTR, .node = (uint64_t)node, BODY(get), .name = "user.x",
                   .out_max = 64) < 0);
    }
    CHECK(CALL(.opcode = FUSE_READLINK, .node = must_look(d, rw, "absolute"), .out = target,
               .out_max = sizeof(target)) > 0);
    for (size_t i = 0; i < 6; i++) {
        struct fuse_mknod_in in = {.mode = devices[i] | 0666, .rdev = 0x103};
        CHECK_EQ(CALL(.opcode = FUSE_MKNOD, .node = rw, BODY(in), .name = "made", .out_max = 200),
                 -EPERM);
        CHECK(access(at(s, "rw/made"), F_OK) != 0);
    }
    /* FIFOs and sockets are names, whoever makes them. */
    static const uint32_t kinds[] = {S_IFIFO, S_IFSOCK};
    for (size_t i = 0; i < 2; i++) {
        struct fuse_mknod_in in = {.mode = kinds[i] | 0640, .rdev = 0x103};
        CHECK_EQ(CALL(.opcode = FUSE_MKNOD, .node = rw, BODY(in), .name = "made", .out = &entry,
                      .out_max = sizeof(entry)),
                 sizeof(entry));
        CHECK((entry.attr.mode & (S_IFMT | 07777)) == in.mode);
        CHECK(driver_open(d, entry.nodeid, O_RDWR) < 0);
        CHECK_EQ(CALL(.opcode = FUSE_UNLINK, .node = rw, .name = "made"), 0);
    }
    check_outside(s);
}

/* ---- nodes, handles, read-only ---- */

static void test_read_only(struct driver *d, uint64_t rw, uint64_t ro) {
    struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_SIZE, .mode = 0777};
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_mknod_in fifo = {.mode = S_IFIFO | 0644};
    struct fuse_rename2_in into = {.newdir = ro}, out = {.newdir = rw};
    uint64_t file = must_look(d, ro, "file"), node, fh;
    struct fuse_link_in link_in = {.oldnodeid = file};
    uint32_t xattr[2] = {1, 0};
    CHECK_EQ(driver_open(d, file, O_RDWR), -EROFS);
    CHECK_EQ(driver_open(d, file, O_WRONLY | O_TRUNC), -EROFS);
    CHECK_EQ(driver_open(d, file, O_RDONLY | O_TRUNC), -EROFS);
    CHECK_EQ(create(d, ro, "new", O_RDWR, &node, &fh), -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_MKDIR, .node = ro, BODY(mkdir_in), .name = "n"), -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_MKNOD, .node = ro, BODY(fifo), .name = "n"), -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_UNLINK, .node = ro, .name = "file"), -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_SETATTR, .node = file, BODY(set), .out_max = 200), -EROFS);
    CHECK_EQ(
        CALL(.opcode = FUSE_SETXATTR, .node = file, BODY(xattr), .name = "user.a", .name2 = ""),
        -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_RENAME2, .node = ro, BODY(out), .name = "file", .name2 = "s"),
             -EROFS);
    CHECK_EQ(CALL(.opcode = FUSE_RENAME2, .node = rw, BODY(into), .name = "file", .name2 = "n"),
             -EXDEV);
    CHECK_EQ(CALL(.opcode = FUSE_LINK, .node = rw, BODY(link_in), .name = "s"), -EXDEV);
    /* Through a handle that is open for reading. */
    int64_t held = driver_open(d, file, O_RDONLY);
    CHECK(held > 0);
    CHECK_EQ(write_at(d, file, (uint64_t)held, 0, "x", FUSE_WRITE_KILL_SUIDGID), -EROFS);
    struct fuse_fallocate_in space = {.fh = (uint64_t)held, .length = 10};
    CHECK_EQ(CALL(.opcode = FUSE_FALLOCATE, .node = file, BODY(space)), -EROFS);
    struct fuse_copy_file_range_in copy = {
        .fh_in = (uint64_t)held, .nodeid_out = file, .fh_out = (uint64_t)held, .len = 3};
    CHECK_EQ(CALL(.opcode = FUSE_COPY_FILE_RANGE, .node = file, BODY(copy), .out_max = 8), -EROFS);
    set.fh = (uint64_t)held;
    set.valid |= FATTR_FH | FATTR_KILL_SUIDGID;
    CHECK_EQ(CALL(.opcode = FUSE_SETATTR, .node = file, BODY(set), .out_max = 200), -EROFS);
    struct fuse_fsync_in sync = {.fh = (uint64_t)held};
    struct fuse_syncfs_in syncfs_in = {0};
    CHECK_EQ(CALL(.opcode = FUSE_FSYNC, .node = file, BODY(sync)), 0); /* nothing to write */
    CHECK_EQ(CALL(.opcode = FUSE_SYNCFS, .node = ro, BODY(syncfs_in)), 0);
    CHECK_EQ(release(d, file, (uint64_t)held), 0);
}

static void test_wrong_nodes(struct driver *d, uint64_t rw) {
    static const uint64_t bad[] = {0,    5,          64,         1024,       1025 | 5ull << 32,
                                   4000, 1ull << 32, 1ull << 63, UINT64_MAX, UINT32_MAX};
    uint8_t body[128] = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (uint32_t opcode = 1; opcode <= 60; opcode++) {
            if (opcode != FUSE_INIT && opcode != FUSE_DESTROY && opcode != FUSE_FORGET &&
                opcode != FUSE_BATCH_FORGET) {
                CHECK(CALL(.opcode = opcode, .node = bad[i], BODY(body), .name = "a", .name2 = "b",
                           .out_max = 4096) < 0);
            }
        }
    }
    struct fuse_link_in link_in = {.oldnodeid = 1 + (7ull << 32)};
    struct fuse_rename2_in into = {.newdir = 1 + (7ull << 32)};
    CHECK_EQ(CALL(.opcode = FUSE_LINK, .node = rw, BODY(link_in), .name = "l"), -ESTALE);
    CHECK_EQ(CALL(.opcode = FUSE_RENAME2, .node = rw, BODY(into), .name = "file", .name2 = "l"),
             -ESTALE);
    /* What is between Sentry and Gofer alone. */
    struct moat_gofer_list_in list = {.size = 4096, .what = MOAT_GOFER_LIST_ALL};
    CHECK_EQ(CALL(.opcode = MOAT_FUSE_LIST, .node = rw, BODY(list), .out_max = 8192), -ENOSYS);
}

static void test_handles(struct driver *d, uint64_t rw) {
    uint64_t file = must_look(d, rw, "file"), dir = must_look(d, rw, "dir"), node, fh;
    char buf[64];
    int64_t held = driver_open(d, file, O_RDONLY);
    CHECK(held > 0);
    CHECK_EQ(read_at(d, file, (uint64_t)held, 0, buf, 64), 6);
    CHECK_EQ(read_at(d, dir, (uint64_t)held, 0, buf, 64), -EBADF); /* another node's */
    for (uint64_t i = 1; i < 100; i++) {
        CHECK_EQ(read_at(d, file, (uint64_t)held + (i << 32), 0, buf, 64), -EBADF);
    }
    CHECK(read_at(d, file, (uint64_t)held, UINT64_MAX, buf, 64) < 0);
    CHECK_EQ(write_at(d, file, (uint64_t)held, 0, "x", 0), -EBADF); /* open for reading */
    /* Sizes that lie, with room for little. */
    struct fuse_read_in read_in = {.fh = (uint64_t)held, .size = UINT32_MAX};
    CHECK(CALL(.opcode = FUSE_READ, .node = file, BODY(read_in), .out_max = 10) < 0);
    struct fuse_write_in write_in = {.fh = (uint64_t)held, .size = UINT32_MAX};
    CHECK_EQ(CALL(.opcode = FUSE_WRITE, .node = file, BODY(write_in), .data = "x", .data_len = 1,
                  .out_max = 8),
             -EINVAL);
    struct fuse_lseek_in seek = {.fh = (uint64_t)held, .offset = 1ull << 63, .whence = SEEK_DATA};
    CHECK(CALL(.opcode = FUSE_LSEEK, .node = file, BODY(seek), .out_max = 8) < 0);
    CHECK_EQ(release(d, file, (uint64_t)held), 0);
    CHECK_EQ(release(d, file, (uint64_t)held), -EBADF);
    CHECK_EQ(read_at(d, file, (uint64_t)held, 0, buf, 64), -EBADF);
    /* Set-id bits go when the machine says that the writer may not keep them. */
    struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 06755};
    struct fuse_attr_out attr;
    CHECK(create(d, rw, "setid", O_RDWR, &node, &fh) > 0);
    for (uint32_t flags = 0; flags <= FUSE_WRITE_KILL_SUIDGID; flags += FUSE_WRITE_KILL_SUIDGID) {
        CHECK(CALL(.opcode = FUSE_SETATTR, .node = node, BODY(set), .out_max = 200) > 0);
        CHECK_EQ(write_at(d, node, fh, 0, "program", flags), 7);
        struct fuse_getattr_in get = {.getattr_flags = FUSE_GETATTR_FH, .fh = fh};
        CHECK(CALL(.opcode = FUSE_GETATTR, .node = node, BODY(get), .out = &attr,
                   .out_max = sizeof(attr)) > 0);
        /* A child keeps root's capabilities, so that the host's kernel leaves them alone. */
        CHECK_EQ(attr.attr.mode & 07777, flags != 0 ? 0755 : 06755);
    }
    CHECK_EQ(CALL(.opcode = FUSE_UNLINK, .node = rw, .name = "setid"), 0);
    struct fuse_getattr_in get = {.getattr_flags = FUSE_GETATTR_FH, .fh = fh};
    CHECK(CALL(.opcode = FUSE_GETATTR, .node = node, BODY(get), .out = &attr,
               .out_max = sizeof(attr)) > 0);
    CHECK_EQ(attr.attr.nlink, 0);
    CHECK_EQ(release(d, node, fh), 0);
}

/* ---- floods ---- */

static unsigned int count_fds(const struct driver *d) {
    char path[64];
    unsigned int count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", d->pid);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

static long resident_kb(const struct driver *d) {
    char path[64], line[128];
    long kb = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", d->pid);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        (void)sscanf(line, "VmRSS: %ld", &kb);
    }
    (void)fclose(f);
    return kb;
}

static void test_floods(struct driver *d, const struct scene *s, uint64_t rw) {
    uint64_t dir = must_look(d, rw, "dir"), file = must_look(d, rw, "file"), node, fh;
    struct fuse_lk_in lock = {.owner = 1, .lk = {.end = 100, .type = F_WRLCK}};
    char name[32];
    int64_t got = 0;
    long before = resident_kb(d);
    /* Locks are not kept here at all. */
    for (uint32_t i = 0; i < 3000; i++) {
        lock.owner = i;
        lock.lk.start = i;
        CHECK_EQ(CALL(.opcode = FUSE_SETLK + i % 2, .node = file, BODY(lock), .out_max = 64),
                 -ENOSYS);
    }
    /* Files that are known, more than descriptors are kept for. */
    for (uint32_t i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        CHECK(create(d, dir, name, O_RDWR, &node, &fh) > 0 && release(d, node, fh) == 0);
    }
    CHECK(count_fds(d) < (s->program != NULL ? 600 : 2 * CHILD_FDS));
    /* Handles, until there are no more. */
    uint32_t opened = 0;
    while (opened < 20000 && (got = driver_open(d, file, O_RDONLY)) > 0) {
        opened++;
    }
    CHECK(got == -ENFILE || got == -EMFILE);
    CHECK(opened > 100 && opened <= 16384);
    CHECK(resident_kb(d) - before < 16 * 1024);
    CHECK(driver_alive(d));
    /* A machine that starts anew has none open. */
    struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION, .minor = 36};
    CHECK(CALL(.opcode = FUSE_INIT, .node = 0, BODY(in), .out_max = 64) > 0);
    CHECK(driver_open(d, file, O_RDONLY) > 0);
}

/* ---- a third party, and chance ---- */

static void test_random_bodies(struct driver *d, const struct scene *s) {
    for (uint32_t i = 0; i < 8000; i++) {
        uint8_t body[300];
        uint32_t len = scene_random(scene_random(8) == 0 ? 300 : 120);
        uint32_t opcode = scene_random(60);
        for (uint32_t j = 0; j < len; j++) {
            body[j] = scene_random(3) == 0   ? 0
                      : scene_random(4) == 0 ? (uint8_t) "/.ab"[scene_random(4)]
                                             : (uint8_t)scene_random(256);
        }
        if (opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET) {
            (void)CALL(.opcode = opcode, .node = scene_random(1200), .body = body, .body_len = len,
                       .out_max = scene_random(5000));
        }
    }
    CHECK(driver_alive(d));
    check_outside(s);
}

/* A directory that somebody replaces by a link to the outside while it is walked. */
static void test_races(struct driver *d, const struct scene *s, uint64_t rw) {
    pid_t mover = fork();
    CHECK(mover >= 0);
    if (mover == 0) {
        (void)mkdir(at(s, "rw/turn"), 0755);
        (void)symlink(at(s, "outside"), at(s, "rw/link"));
        put_file(at(s, "rw/turn/secret"), "decoy", 0644);
        for (;;) {
            (void)renameat2(AT_FDCWD, at(s, "rw/turn"), AT_FDCWD, at(s, "rw/link"),
                            RENAME_EXCHANGE);
        }
    }
    for (int i = 0; i < 1500; i++) {
        int64_t dir = driver_look(d, rw, i % 2 == 0 ? "turn" : "link", NULL);
        int64_t file = dir > 0 ? driver_look(d, (uint64_t)dir, "secret", NULL) : -1;
        int64_t fh = file > 0 ? driver_open(d, (uint64_t)file, O_RDWR) : -1;
        if (fh > 0) {
            char buf[64] = "";
            CHECK(read_at(d, (uint64_t)file, (uint64_t)fh, 0, buf, 64) == 5);
            CHECK(memcmp(buf, "decoy", 5) == 0);
            CHECK_EQ(release(d, (uint64_t)file, (uint64_t)fh), 0);
        }
    }
    (void)kill(mover, SIGKILL);
    (void)waitpid(mover, NULL, 0);
    check_outside(s);
}

static void test_fuse(const struct scene *s) {
    struct driver driver, *d = &driver;
    driver_start(d, s->program, s->rw, s->ro);
    uint64_t rw = must_look(d, FUSE_ROOT_ID, "0"), ro = must_look(d, FUSE_ROOT_ID, "1");
    test_top(d);
    test_names(d, rw);
    test_special(d, s, rw);
    test_read_only(d, rw, ro);
    test_wrong_nodes(d, rw);
    test_handles(d, rw);
    test_races(d, s, rw);
    test_random_bodies(d, s);
    test_floods(d, s, rw);
    CHECK_EQ(driver_stop(d), 0);
    check_outside(s);
}

int main(int argc, char **argv) {
    static struct scene s;
    if (getuid() != 0) {
        (void)puts("needs root: device nodes are made");
        return 77;
    }
    s.program = argc > 1 ? argv[1] : NULL;
    set_scene(&s);
    test_messages(&s);
    test_set_up(&s);
    test_rings(&s);
    test_requests(&s);
    test_moving(&s);
    test_fuse(&s);
    (void)nftw(s.top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%u checks\n", g_checks);
    return 0;
}
