/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Sentry that was taken over, against a real Gofer: gofer_attack GOFER.
 *
 * Around the exported directories lie files that must not be reached: every message that could lead
 * there is tried, with wrong lengths, wrong nodes, wrong names, while a third party moves things
 * about, and at random.  Whatever is answered, nothing outside is read or changed, no device, FIFO
 * or socket is opened, and the Gofer stays alive.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/seam/gofer_fixture.h"

#define SECRET "the secret outside"
#define RW     MOAT_GOFER_ROOT(0)
#define RO     MOAT_GOFER_ROOT(1)

static char g_top[400];
static uint64_t g_rand = 88172645463325252ull;

static unsigned int rnd(unsigned int below) {
    g_rand ^= g_rand << 13;
    g_rand ^= g_rand >> 7;
    g_rand ^= g_rand << 17;
    return (unsigned int)((g_rand >> 11) % below);
}

static const char *at(const char *name) {
    static char path[4][600];
    static unsigned int next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof(path[0]), "%s/%s", g_top, name);
    return p;
}

/* ---- the scene ---- */

static void make_socket(const char *path) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    (void)close(fd);
}

static void set_scene(void) {
    CHECK(mkdir(at("rw"), 0755) == 0 && mkdir(at("ro"), 0755) == 0 &&
          mkdir(at("outside"), 0755) == 0);
    CHECK(mkdir(at("rw/dir"), 0755) == 0 && mkdir(at("ro/dir"), 0755) == 0);
    temp_file_put(at("outside"), "secret", SECRET);
    temp_file_put(at("rw"), "file", "inside");
    temp_file_put(at("ro"), "file", "inside");
    CHECK(symlink(at("outside/secret"), at("rw/absolute")) == 0);
    CHECK(symlink("../outside/secret", at("rw/relative")) == 0);
    CHECK(symlink(at("outside"), at("rw/dirlink")) == 0);
    CHECK(symlink("/proc/self/fd/3", at("rw/magic")) == 0);
    CHECK(mkfifo(at("rw/fifo"), 0666) == 0);
    CHECK(mknod(at("rw/null"), S_IFCHR | 0666, makedev(1, 3)) == 0);
    CHECK(mknod(at("rw/kmsg"), S_IFCHR | 0666, makedev(1, 11)) == 0);
    make_socket(at("rw/socket"));
}

/* Does the descriptor show the secret? */
static bool shows_secret(int fd) {
    char buf[64] = "";
    return pread(fd, buf, sizeof(buf) - 1, 0) > 0 && strstr(buf, "secret") != NULL;
}

static void check_outside(void) {
    char buf[64] = "";
    struct stat st;
    int fd = open(at("outside/secret"), O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, sizeof(buf) - 1) == (ssize_t)strlen(SECRET) &&
          strcmp(buf, SECRET) == 0);
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0644 && st.st_nlink == 1);
    (void)close(fd);
    int count = 0;
    DIR *dir = opendir(at("outside"));
    CHECK(dir != NULL);
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        count++;
    }
    (void)closedir(dir);
    CHECK_EQ(count, 3); /* ".", "..", "secret" */
}

/* ---- names ---- */

static void test_names(void) {
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "/",
                                      "../outside",
                                      "../outside/secret",
                                      "dir/..",
                                      "dir/../../outside",
                                      "/etc/passwd",
                                      "dir/",
                                      "./file"};
    char longer[300];
    memset(longer, 'x', sizeof(longer));
    longer[256] = '\0';
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_create_in create_in = {
        .flags = O_RDWR, .mode = 0644, .open_flags = MOAT_GOFER_OPEN_DONATE};
    struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0644};
    struct fuse_rename2_in rename_in = {.newdir = RW};
    struct fuse_link_in link_in = {.oldnodeid = (uint64_t)fuse_look(RW, "file", NULL)};
    for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
        const char *name = i < sizeof(bad) / sizeof(bad[0]) ? bad[i] : longer;
        CHECK(fuse_look(RW, name, NULL) < 0);
        CHECK(fuse_look(RO, name, NULL) < 0);
        CHECK(fuse_request(FUSE_MKDIR, RW, &mkdir_in, sizeof(mkdir_in), name, NULL, NULL, 0, NULL) <
              0);
        CHECK(fuse_request(FUSE_CREATE, RW, &create_in, sizeof(create_in), name, NULL, NULL, 0,
                           NULL) < 0);
        CHECK(fuse_request(FUSE_MKNOD, RW, &mknod_in, sizeof(mknod_in), name, NULL, NULL, 0, NULL) <
              0);
        CHECK(fuse_request(FUSE_UNLINK, RW, NULL, 0, name, NULL, NULL, 0, NULL) < 0);
        CHECK(fuse_request(FUSE_RMDIR, RW, NULL, 0, name, NULL, NULL, 0, NULL) < 0);
        CHECK(fuse_request(FUSE_SYMLINK, RW, NULL, 0, name, "target", NULL, 0, NULL) < 0);
        CHECK(fuse_request(FUSE_LINK, RW, &link_in, sizeof(link_in), name, NULL, NULL, 0, NULL) <
              0);
        CHECK(fuse_request(FUSE_RENAME2, RW, &rename_in, sizeof(rename_in), name, "y", NULL, 0,
                           NULL) < 0);
        CHECK(fuse_request(FUSE_RENAME2, RW, &rename_in, sizeof(rename_in), "file", name, NULL, 0,
                           NULL) < 0);
        CHECK(fuse_request(FUSE_RENAME, RW, &rename_in.newdir, 8, "file", name, NULL, 0, NULL) < 0);
    }
    CHECK(fuse_look(RW, "file", NULL) > 0);
}

/* ---- links and special files ---- */

static void test_links(void) {
    static const char *const links[] = {"absolute", "relative", "dirlink", "magic"};
    struct fuse_entry_out entry;
    char target[256];
    for (size_t i = 0; i < 4; i++) {
        int64_t node = fuse_look(RW, links[i], &entry);
        CHECK(node > 0 && S_ISLNK(entry.attr.mode)); /* itself, not what it points to */
        CHECK(fuse_open_node((uint64_t)node, O_RDONLY) < 0);
        CHECK(fuse_open_node((uint64_t)node, O_RDWR) < 0);
        CHECK_EQ(fuse_look((uint64_t)node, "secret", NULL), -ENOTDIR);
        CHECK(fuse_request(FUSE_READLINK, (uint64_t)node, NULL, 0, NULL, NULL, target,
                           sizeof(target), NULL) > 0);
        struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0777};
        CHECK(fuse_request(FUSE_SETATTR, (uint64_t)node, &in, sizeof(in), NULL, NULL, NULL, 0,
                           NULL) < 0);
        in = (struct fuse_setattr_in){.valid = FATTR_SIZE};
        CHECK(fuse_request(FUSE_SETATTR, (uint64_t)node, &in, sizeof(in), NULL, NULL, NULL, 0,
                           NULL) < 0);
        struct moat_gofer_list_in list = {.size = 4096};
        CHECK_EQ(fuse_request(MOAT_FUSE_LIST, (uint64_t)node, &list, sizeof(list), NULL, NULL, NULL,
                              0, NULL),
                 -ENOTDIR);
    }
    struct fuse_create_in create = {
        .flags = O_WRONLY | O_TRUNC, .mode = 0600, .open_flags = MOAT_GOFER_OPEN_DONATE};
    CHECK(fuse_request(FUSE_CREATE, RW, &create, sizeof(create), "absolute", NULL, NULL, 0, NULL) <
          0);
    CHECK(fuse_request(FUSE_CREATE, RW, &create, sizeof(create), "relative", NULL, NULL, 0, NULL) <
          0);
    check_outside();
}

static void test_special(void) {
    static const char *const special[] = {"fifo", "null", "kmsg", "socket"};
    for (size_t i = 0; i < 4; i++) {
        int64_t node = fuse_look(RW, special[i], NULL);
        CHECK(node > 0);
        for (int flags = O_RDONLY; flags <= O_RDWR; flags++) {
            CHECK(fuse_open_node((uint64_t)node, flags) < 0);
            struct fuse_open_in in = {.flags = (uint32_t)flags};
            CHECK(fuse_request(FUSE_OPEN, (uint64_t)node, &in, sizeof(in), NULL, NULL, NULL, 0,
                               NULL) < 0);
            struct fuse_create_in create = {.flags = (uint32_t)flags, .mode = 0600};
            CHECK(fuse_request(FUSE_CREATE, RW, &create, sizeof(create), special[i], NULL, NULL, 0,
                               NULL) < 0);
        }
        struct fuse_getxattr_in get = {.size = 64};
        CHECK(fuse_request(FUSE_GETXATTR, (uint64_t)node, &get, sizeof(get), "user.x", NULL, NULL,
                           0, NULL) < 0);
        struct fuse_setattr_in set = {.valid = FATTR_SIZE};
        CHECK(fuse_request(FUSE_SETATTR, (uint64_t)node, &set, sizeof(set), NULL, NULL, NULL, 0,
                           NULL) < 0);
    }
    static const uint32_t kinds[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFDIR, S_IFLNK, 0};
    for (size_t i = 0; i < 7; i++) {
        struct fuse_mknod_in in = {.mode = kinds[i] | 0666, .rdev = 0x103};
        CHECK_EQ(fuse_request(FUSE_MKNOD, RW, &in, sizeof(in), "made", NULL, NULL, 0, NULL),
                 -EPERM);
        CHECK(access(at("rw/made"), F_OK) != 0);
    }
}

/* ---- read-only, and between exports ---- */

static void test_read_only(void) {
    uint64_t file = (uint64_t)fuse_look(RO, "file", NULL),
             dir = (uint64_t)fuse_look(RO, "dir", NULL);
    struct fuse_create_in create = {
        .flags = O_RDWR, .mode = 0644, .open_flags = MOAT_GOFER_OPEN_DONATE};
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_SIZE | FATTR_UID, .mode = 0777};
    struct fuse_rename2_in into = {.newdir = RO};
    struct fuse_rename2_in out = {.newdir = RW};
    struct fuse_link_in link_in = {.oldnodeid = file};
    uint32_t xattr[2] = {1, 0};
    CHECK_EQ(fuse_open_node(file, O_RDWR), -EROFS);
    CHECK_EQ(fuse_open_node(file, O_WRONLY), -EROFS);
    CHECK(fuse_open_node(file, O_WRONLY | O_TRUNC) < 0 &&
          fuse_open_node(file, O_RDONLY | O_TRUNC) < 0);
    CHECK_EQ(fuse_request(FUSE_CREATE, RO, &create, sizeof(create), "new", NULL, NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_CREATE, RO, &create, sizeof(create), "file", NULL, NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_MKDIR, dir, &mkdir_in, sizeof(mkdir_in), "new", NULL, NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_UNLINK, RO, NULL, 0, "file", NULL, NULL, 0, NULL), -EROFS);
    CHECK_EQ(fuse_request(FUSE_RMDIR, RO, NULL, 0, "dir", NULL, NULL, 0, NULL), -EROFS);
    CHECK_EQ(fuse_request(FUSE_SETATTR, file, &set, sizeof(set), NULL, NULL, NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_SETXATTR, file, xattr, sizeof(xattr), "user.a", "v", NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_SYMLINK, RO, NULL, 0, "l", "t", NULL, 0, NULL), -EROFS);
    CHECK_EQ(fuse_request(FUSE_RENAME2, RO, &out, sizeof(out), "file", "stolen", NULL, 0, NULL),
             -EROFS);
    CHECK_EQ(fuse_request(FUSE_RENAME2, RW, &into, sizeof(into), "file", "new", NULL, 0, NULL),
             -EXDEV);
    CHECK_EQ(fuse_request(FUSE_LINK, RW, &link_in, sizeof(link_in), "stolen", NULL, NULL, 0, NULL),
             -EXDEV);
    /* What was donated for reading cannot be written through, nor be made writable. */
    int fd = fuse_open_node(file, O_RDONLY);
    CHECK(fd >= 0 && write(fd, "x", 1) < 0 && errno == EBADF);
    char self[64];
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    CHECK(open(self, O_RDWR) < 0 && errno == EROFS);
    CHECK(fchmod(fd, 0777) < 0 && errno == EROFS);
    (void)close(fd);
}

/* ---- messages that are wrong ---- */

static void test_nodes(void) {
    static const uint64_t bad[] = {
        0, 3, 64, 1000000, 1ull << 32, (1ull << 32) | 1, (1ull << 32) | 65, UINT64_MAX, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (uint32_t opcode = FUSE_LOOKUP; opcode <= 60; opcode++) {
            uint8_t body[128] = {0};
            if (opcode == FUSE_INIT || opcode == FUSE_DESTROY) {
                continue;
            }
            int64_t got = fuse_request(opcode, bad[i], body, sizeof(body), "a", "b", NULL, 0, NULL);
            CHECK(got <= 0);
        }
    }
    /* A forgotten node is unknown, and its number is not used again soon. */
    int64_t node = fuse_look(RW, "file", NULL);
    struct fuse_forget_in all = {.nlookup = UINT64_MAX};
    (void)fuse_request(FUSE_FORGET, (uint64_t)node, &all, sizeof(all), NULL, NULL, NULL, 0, NULL);
    struct fuse_getattr_in in = {0};
    CHECK_EQ(fuse_request(FUSE_GETATTR, (uint64_t)node, &in, sizeof(in), NULL, NULL, NULL, 0, NULL),
             -ESTALE);
    CHECK(fuse_look(RW, "file", NULL) != node);
    (void)fuse_request(FUSE_FORGET, RW, &all, sizeof(all), NULL, NULL, NULL, 0, NULL);
    CHECK(fixture_alive()); /* roots are not forgotten */
}

static void test_handles(void) {
    uint64_t file = (uint64_t)fuse_look(RW, "file", NULL),
             dir = (uint64_t)fuse_look(RW, "dir", NULL);
    struct fuse_open_in open_in = {.flags = O_RDONLY};
    struct fuse_open_out out;
    CHECK(fuse_request(FUSE_OPEN, file, &open_in, sizeof(open_in), NULL, NULL, &out, sizeof(out),
                       NULL) > 0);
    struct fuse_read_in read_in = {.fh = out.fh, .size = 100};
    CHECK_EQ(fuse_request(FUSE_READ, file, &read_in, sizeof(read_in), NULL, NULL, NULL, 0, NULL),
             6);
    CHECK_EQ(fuse_request(FUSE_READ, dir, &read_in, sizeof(read_in), NULL, NULL, NULL, 0, NULL),
             -EBADF);
    read_in.size = UINT32_MAX;
    CHECK_EQ(fuse_request(FUSE_READ, file, &read_in, sizeof(read_in), NULL, NULL, NULL, 0, NULL),
             6);
    read_in.offset = UINT64_MAX;
    CHECK(fuse_request(FUSE_READ, file, &read_in, sizeof(read_in), NULL, NULL, NULL, 0, NULL) < 0);
    struct fuse_write_in write_in = {.fh = out.fh, .size = UINT32_MAX};
    CHECK(fuse_request(FUSE_WRITE, file, &write_in, sizeof(write_in), NULL, NULL, NULL, 0, NULL) <
          0);
    write_in.size = 1;
    CHECK(fuse_request(FUSE_WRITE, file, &write_in, sizeof(write_in), "x", NULL, NULL, 0, NULL) <
          0); /* read-only */
    struct fuse_release_in release = {.fh = out.fh};
    CHECK_EQ(fuse_request(FUSE_RELEASE, file, &release, sizeof(release), NULL, NULL, NULL, 0, NULL),
             0);
    CHECK(fuse_request(FUSE_RELEASE, file, &release, sizeof(release), NULL, NULL, NULL, 0, NULL) <
          0);
    /* Only so many handles. */
    int64_t got = 0;
    for (int i = 0; i < 5000 && got >= 0; i++) {
        got = fuse_request(FUSE_OPENDIR, dir, &open_in, sizeof(open_in), NULL, NULL, NULL, 0, NULL);
    }
    CHECK_EQ(got, -ENFILE);
    CHECK(fixture_alive());
}

/* Turns whose slot or length is out of range, and headers that lie. */
static void test_turns(void) {
    static const uint64_t lengths[] = {
        0, 1, 39, 40, 41, 4096, MOAT_GOFER_MSG_MAX, MOAT_GOFER_MSG_MAX + 1, UINT32_MAX, UINT64_MAX};
    static const uint64_t slots[] = {0, 65, 66, 1000, UINT32_MAX, UINT64_MAX};
    uint8_t *area = fixture_slots();
    for (size_t s = 0; s < 6; s++) {
        for (size_t i = 0; i < 10; i++) {
            struct fuse_in_header h = {
                .len = (uint32_t)lengths[i], .opcode = FUSE_GETATTR, .unique = 1, .nodeid = 1};
            memcpy(area, &h, sizeof(h));
            (void)syscall(MOAT_GOFER_CALL_NR, slots[s], lengths[i], 3, 4, 5, 6);
            h.len = 7;
            memcpy(area, &h, sizeof(h));
            (void)syscall(MOAT_GOFER_CALL_NR, slots[s], lengths[i], 3, 4, 5, 6);
        }
    }
    CHECK(fixture_alive());
}

/* Random bodies for every opcode, real node ids among them. */
static void test_random(void) {
    static const uint32_t extra[] = {MOAT_FUSE_LIST, 0, UINT32_MAX, 4096, 0x4d02};
    uint8_t *area = fixture_slots();
    for (int i = 0; i < 60000; i++) {
        uint32_t opcode = rnd(4) == 0 ? extra[rnd(5)] : rnd(60);
        uint32_t len = (uint32_t)sizeof(struct fuse_in_header) + rnd(rnd(8) == 0 ? 4000 : 200);
        struct fuse_in_header h = {
            .len = len, .opcode = opcode, .unique = (uint64_t)i + 1, .nodeid = rnd(80)};
        for (uint32_t j = sizeof(h); j < len; j++) {
            area[j] = rnd(3) == 0 ? 0 : rnd(4) == 0 ? (uint8_t) "/.ab"[rnd(4)] : (uint8_t)rnd(256);
        }
        memcpy(area, &h, sizeof(h));
        long got = syscall(MOAT_GOFER_CALL_NR, 0, len);
        CHECK(got >= 0 && got <= (long)MOAT_GOFER_MSG_MAX);
    }
    CHECK(fixture_alive());
    check_outside();
}

/* ---- a third party that moves things while we ask ---- */

static pid_t start_mover(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid != 0) {
        return pid;
    }
    char a[600], b[600], link_path[600], file[600], fifo[600];
    (void)snprintf(a, sizeof(a), "%s", at("rw/race"));
    (void)snprintf(b, sizeof(b), "%s", at("rw/race.away"));
    (void)snprintf(link_path, sizeof(link_path), "%s", at("rw/race.link"));
    (void)snprintf(file, sizeof(file), "%s", at("rw/swap"));
    (void)snprintf(fifo, sizeof(fifo), "%s", at("rw/swap.fifo"));
    for (;;) {
        /* The directory and a symlink to the outside change places; so do a file and a FIFO. */
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, link_path, RENAME_EXCHANGE);
        (void)renameat2(AT_FDCWD, file, AT_FDCWD, fifo, RENAME_EXCHANGE);
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, link_path, RENAME_EXCHANGE);
        (void)renameat2(AT_FDCWD, file, AT_FDCWD, fifo, RENAME_EXCHANGE);
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, b, 0);
        (void)renameat2(AT_FDCWD, b, AT_FDCWD, a, 0);
    }
}

static void race_once(unsigned int *opened) {
    struct fuse_entry_out entry;
    struct fuse_create_in create = {
        .flags = O_RDWR | O_TRUNC, .mode = 0644, .open_flags = MOAT_GOFER_OPEN_DONATE};
    int64_t dir = fuse_look(RW, "race", &entry);
    if (dir > 0 && S_ISDIR(entry.attr.mode)) {
        int64_t node = fuse_look((uint64_t)dir, "secret", NULL);
        int fd = node < 0 ? -1 : fuse_open_node((uint64_t)node, O_RDONLY);
        if (fd >= 0) {
            CHECK(!shows_secret(fd));
            (*opened)++;
            (void)close(fd);
        }
        (void)fuse_request(FUSE_CREATE, (uint64_t)dir, &create, sizeof(create), "secret", NULL,
                           NULL, 0, &fd);
        if (fd >= 0) {
            CHECK(pwrite(fd, "harmless", 8, 0) == 8);
            (void)close(fd);
        }
        struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0600};
        if (node > 0) {
            (void)fuse_request(FUSE_SETATTR, (uint64_t)node, &set, sizeof(set), NULL, NULL, NULL, 0,
                               NULL);
        }
    }
    int64_t swap = fuse_look(RW, "swap", NULL);
    int fd = swap < 0 ? -1 : fuse_open_node((uint64_t)swap, O_RDONLY);
    if (fd >= 0) {
        struct stat st;
        CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
        (*opened)++;
        (void)close(fd);
    }
}

static void test_races(void) {
    unsigned int opened = 0;
    CHECK(mkdir(at("rw/race"), 0755) == 0);
    CHECK(symlink(at("outside"), at("rw/race.link")) == 0);
    temp_file_put(at("rw/race"), "secret", "only a name");
    temp_file_put(at("rw"), "swap", "regular");
    CHECK(mkfifo(at("rw/swap.fifo"), 0666) == 0);
    pid_t mover = start_mover();
    for (int i = 0; i < 200000 && (i < 4000 || opened < 50); i++) {
        race_once(&opened);
    }
    (void)kill(mover, SIGKILL);
    (void)waitpid(mover, NULL, 0);
    CHECK(opened >= 50); /* the race was one: sometimes the right file was there */
    CHECK(fixture_alive());
    check_outside();
}

/* A directory that was moved out of the export after it was looked up: what is made in it must not
 * follow it by name. */
static void test_moved_out(void) {
    CHECK(mkdir(at("rw/leaver"), 0755) == 0);
    uint64_t dir = (uint64_t)fuse_look(RW, "leaver", NULL);
    struct fuse_forget_in none = {0};
    (void)none;
    CHECK(rename(at("rw/leaver"), at("outside.leaver")) == 0);
    CHECK(symlink(at("outside"), at("rw/leaver")) == 0);
    CHECK(fuse_look(dir, "secret", NULL) < 0);
    struct fuse_mkdir_in in = {.mode = 0755};
    (void)fuse_request(FUSE_MKDIR, dir, &in, sizeof(in), "planted", NULL, NULL, 0, NULL);
    CHECK(access(at("outside/planted"), F_OK) != 0);
    check_outside();
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: gofer_attack GOFER\n");
        return 2;
    }
    if (geteuid() != 0) {
        printf("makes device nodes: needs root\n");
        return 77; /* meson: skipped */
    }
    (void)snprintf(g_top, sizeof(g_top), "%s", temp_dir_make());
    (void)umask(022);
    set_scene();
    struct fixture_export exports[] = {{at("rw"), 0}, {at("ro"), MOAT_GOFER_EXPORT_RO}};
    fixture_start(argv[1], exports, 2, false);
    test_names();
    test_links();
    test_special();
    test_read_only();
    test_nodes();
    test_turns();
    test_races();
    test_moved_out();
    test_random();
    test_handles();
    check_outside();
    (void)fixture_stop();
    temp_dir_remove(g_top);
    printf("%u checks\n", g_checks);
    return 0;
}
