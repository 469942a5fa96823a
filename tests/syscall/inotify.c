/* SPDX-License-Identifier: Apache-2.0 */
/* inotify(7). */
#include "harness.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>

static int g_fd;

/* The next event as "MASK NAME"; an empty text when there is none. */
static struct inotify_event *next_event(void) {
    static char buf[4096] __attribute__((aligned(8)));
    static ssize_t have, at;
    if (at >= have) {
        have = read(g_fd, buf, sizeof(buf));
        at = 0;
        if (have <= 0) {
            have = 0;
            return NULL;
        }
    }
    struct inotify_event *e = (void *)(buf + at);
    at += (ssize_t)sizeof(*e) + e->len;
    return e;
}

static bool expect(uint32_t mask, const char *name) {
    struct inotify_event *e = next_event();
    if (e == NULL) {
        fprintf(stderr, "no event, wanted %x %s\n", mask, name);
        return false;
    }
    bool ok = e->mask == mask && strcmp(e->len != 0 ? e->name : "", name) == 0;
    if (!ok) {
        fprintf(stderr, "event %x %s, wanted %x %s\n", e->mask, e->len != 0 ? e->name : "", mask,
                name);
    }
    return ok;
}

static int touch(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    return close(fd);
}

static void create_and_delete(void) {
    g_fd = inotify_init1(IN_NONBLOCK);
    REQUIRE(g_fd >= 0);
    int wd = inotify_add_watch(g_fd, ".", IN_CREATE | IN_DELETE);
    CHECK_EQ(wd, 1);
    CHECK_ERR(read(g_fd, &wd, 4096), EAGAIN);
    touch("a");
    mkdir("d", 0700);
    unlink("a");
    rmdir("d");
    CHECK(expect(IN_CREATE, "a"));
    CHECK(expect(IN_CREATE | IN_ISDIR, "d"));
    CHECK(expect(IN_DELETE, "a"));
    CHECK(expect(IN_DELETE | IN_ISDIR, "d"));
    CHECK(next_event() == NULL);
}

static void life_of_a_file(void) {
    touch("a");
    g_fd = inotify_init1(IN_NONBLOCK);
    REQUIRE(inotify_add_watch(g_fd, "a", IN_ALL_EVENTS) > 0);
    int fd = open("a", O_RDWR);
    CHECK_EQ(write(fd, "x", 1), 1);
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    close(fd);
    chmod("a", 0640);
    unlink("a");
    CHECK(expect(IN_OPEN, ""));
    CHECK(expect(IN_MODIFY, ""));
    CHECK(expect(IN_ACCESS, ""));
    CHECK(expect(IN_CLOSE_WRITE, ""));
    CHECK(expect(IN_ATTRIB, "")); /* of chmod; the one of unlink is merged with it */
    CHECK(expect(IN_DELETE_SELF, ""));
    CHECK(expect(IN_IGNORED, ""));
}

static void rename_has_a_cookie(void) {
    mkdir("d", 0700);
    touch("a");
    g_fd = inotify_init1(IN_NONBLOCK);
    int here = inotify_add_watch(g_fd, ".", IN_MOVE);
    int there = inotify_add_watch(g_fd, "d", IN_MOVE);
    CHECK_EQ(rename("a", "d/b"), 0);
    struct inotify_event *e = next_event();
    REQUIRE(e != NULL);
    CHECK_EQ(e->wd, here);
    CHECK_EQ(e->mask, IN_MOVED_FROM);
    CHECK(strcmp(e->name, "a") == 0);
    uint32_t cookie = e->cookie;
    CHECK(cookie != 0);
    e = next_event();
    REQUIRE(e != NULL);
    CHECK_EQ(e->wd, there);
    CHECK_EQ(e->mask, IN_MOVED_TO);
    CHECK(strcmp(e->name, "b") == 0);
    CHECK_EQ(e->cookie, cookie);
}

static void move_self(void) {
    touch("a");
    g_fd = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(g_fd, "a", IN_MOVE_SELF) > 0);
    CHECK_EQ(rename("a", "b"), 0);
    CHECK(expect(IN_MOVE_SELF, ""));
}

static void children_of_a_directory(void) {
    touch("a");
    g_fd = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(g_fd, ".", IN_OPEN | IN_MODIFY | IN_CLOSE_WRITE) > 0);
    int fd = open("a", O_WRONLY);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(write(fd, "y", 1), 1);
    close(fd);
    CHECK(expect(IN_OPEN, "a"));
    CHECK(expect(IN_MODIFY, "a")); /* the second one is merged with it */
    CHECK(expect(IN_CLOSE_WRITE, "a"));
}

static void remove_watch(void) {
    g_fd = inotify_init1(IN_NONBLOCK);
    int wd = inotify_add_watch(g_fd, ".", IN_CREATE);
    CHECK_EQ(inotify_rm_watch(g_fd, wd), 0);
    CHECK_ERR(inotify_rm_watch(g_fd, wd), EINVAL);
    touch("a");
    CHECK(expect(IN_IGNORED, ""));
    CHECK(next_event() == NULL);
    CHECK(inotify_add_watch(g_fd, ".", IN_CREATE) > wd);
}

static void one_watch_for_an_inode(void) {
    g_fd = inotify_init1(IN_NONBLOCK);
    int wd = inotify_add_watch(g_fd, ".", IN_CREATE);
    CHECK_EQ(inotify_add_watch(g_fd, "./.", IN_DELETE), wd);
    touch("a");
    CHECK(next_event() == NULL);
    CHECK_EQ(inotify_add_watch(g_fd, ".", IN_CREATE | IN_MASK_ADD), wd);
    touch("b");
    unlink("b");
    CHECK(expect(IN_CREATE, "b"));
    CHECK(expect(IN_DELETE, "b"));
    CHECK_ERR(inotify_add_watch(g_fd, ".", IN_CREATE | IN_MASK_CREATE), EEXIST);
}

static void one_shot(void) {
    g_fd = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(g_fd, ".", IN_CREATE | IN_ONESHOT) > 0);
    touch("a");
    touch("b");
    CHECK(expect(IN_CREATE, "a"));
    CHECK(expect(IN_IGNORED, ""));
    CHECK(next_event() == NULL);
}

static void errors(void) {
    g_fd = inotify_init1(IN_CLOEXEC);
    CHECK_EQ(fcntl(g_fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(inotify_init1(1), EINVAL);
    CHECK_ERR(inotify_add_watch(g_fd, "none", IN_CREATE), ENOENT);
    CHECK_ERR(inotify_add_watch(g_fd, ".", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(0, ".", IN_CREATE), EINVAL);
    CHECK_ERR(inotify_add_watch(400, ".", IN_CREATE), EBADF);
    CHECK_ERR(inotify_add_watch(g_fd, BAD, IN_CREATE), EFAULT);
    touch("f");
    CHECK_ERR(inotify_add_watch(g_fd, "f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    CHECK_ERR(inotify_rm_watch(g_fd, 99), EINVAL);
    char small[8];
    CHECK(inotify_add_watch(g_fd, ".", IN_CREATE) > 0);
    touch("g");
    CHECK_ERR(read(g_fd, small, sizeof(small)), EINVAL);
}

static void poll_and_count(void) {
    g_fd = inotify_init1(0);
    CHECK(inotify_add_watch(g_fd, ".", IN_CREATE) > 0);
    CHECK_EQ(poll_one(g_fd, POLLIN, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(poll_one(g_fd, POLLIN, -1) == POLLIN ? 0 : 1);
    }
    wait_asleep(pid);
    touch("a");
    CHECK(child_ok(pid));
    int n = 0;
    CHECK_EQ(ioctl(g_fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 32);
    CHECK(expect(IN_CREATE, "a"));
}

static void dont_follow(void) {
    touch("target");
    CHECK_EQ(symlink("target", "link"), 0);
    g_fd = inotify_init1(IN_NONBLOCK);
    int link_wd = inotify_add_watch(g_fd, "link", IN_ALL_EVENTS | IN_DONT_FOLLOW);
    int target_wd = inotify_add_watch(g_fd, "link", IN_ALL_EVENTS);
    CHECK(link_wd > 0 && target_wd > 0 && link_wd != target_wd);
    CHECK_EQ(inotify_add_watch(g_fd, "target", IN_ALL_EVENTS), target_wd);
}

static void truncate_and_link(void) {
    touch("a");
    g_fd = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(g_fd, ".", IN_CREATE | IN_MODIFY) > 0);
    CHECK_EQ(truncate("a", 10), 0);
    CHECK_EQ(link("a", "b"), 0);
    CHECK_EQ(symlink("a", "s"), 0);
    CHECK(expect(IN_MODIFY, "a"));
    CHECK(expect(IN_CREATE, "b"));
    CHECK(expect(IN_CREATE, "s"));
}

/* IN_EXCL_UNLINK: a file that lost its name is nobody's business any more. */
static void unlinked_files(void) {
    g_fd = inotify_init1(IN_NONBLOCK);
    int other = inotify_init1(IN_NONBLOCK), f = open("a", O_CREAT | O_RDWR, 0600);
    char buf[256];
    REQUIRE(inotify_add_watch(g_fd, ".", IN_MODIFY | IN_EXCL_UNLINK) > 0);
    REQUIRE(inotify_add_watch(other, ".", IN_MODIFY) > 0);
    CHECK_EQ(write(f, "x", 1), 1);
    CHECK(expect(IN_MODIFY, "a"));
    CHECK(read(other, buf, sizeof(buf)) > 0);
    CHECK_EQ(unlink("a"), 0);
    CHECK_EQ(write(f, "x", 1), 1);
    CHECK(next_event() == NULL);
    CHECK(read(other, buf, sizeof(buf)) > 0);
}

static void fdinfo(void) {
    struct stat st;
    char path[64], line[256];
    unsigned int wd = 0, mask = 0;
    unsigned long ino = 0;
    int fd = inotify_init1(0), want = inotify_add_watch(fd, ".", IN_MODIFY | IN_ONESHOT);
    REQUIRE(want > 0 && stat(".", &st) == 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "r");
    REQUIRE(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        (void)!sscanf(line, "inotify wd:%x ino:%lx sdev:%*x mask:%x", &wd, &ino, &mask);
    }
    fclose(f);
    CHECK_EQ(wd, want);
    CHECK_EQ(ino, st.st_ino);
    CHECK_EQ(mask, IN_MODIFY | IN_ONESHOT);
}

/* ---- limits ---- */

static unsigned long sysctl_value(const char *name) {
    char path[128];
    unsigned long value = 0;
    snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
    FILE *f = fopen(path, "r");
    REQUIRE(f != NULL && fscanf(f, "%lu", &value) == 1);
    fclose(f);
    return value;
}

/* Of one user; others may have some already. */
static void limit_of_instances(void) {
    unsigned long limit = sysctl_value("max_user_instances"), count = 0;
    if (limit > 512) {
        SKIP("more instances are allowed than descriptors");
    }
    int fd, last = -1;
    while ((fd = inotify_init1(IN_CLOEXEC)) >= 0) {
        last = fd;
        count++;
        REQUIRE(count <= limit);
    }
    CHECK_EQ(errno, EMFILE);
    CHECK(count > 0);
    int other = dup(last);
    CHECK(other >= 0); /* not for want of descriptors */
    close(other);
    CHECK_EQ(close(last), 0);
    last = inotify_init1(IN_CLOEXEC);
    CHECK(last >= 0 || errno == EMFILE); /* somebody else of this user may be quicker */
}

static void queue_overflows(void) {
    unsigned long limit = sysctl_value("max_queued_events");
    if (limit > 100000) {
        SKIP("the queue is long");
    }
    int fd = inotify_init1(IN_NONBLOCK), a = open("a", O_CREAT | O_WRONLY, 0600);
    static char buf[65536] __attribute__((aligned(8)));
    unsigned long events = 0;
    ssize_t n;
    bool overflow = false;
    REQUIRE(fd >= 0 && a >= 0 && inotify_add_watch(fd, "a", IN_ATTRIB) > 0 &&
            inotify_add_watch(fd, ".", IN_ATTRIB) > 0);
    for (unsigned long i = 0; i < limit / 2 + 5; i++) { /* two events each, of two watches */
        REQUIRE(fchmod(a, 0600) == 0);
    }
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (char *at = buf; at < buf + n;) {
            struct inotify_event *e = (void *)at;
            CHECK(!overflow); /* it is the last one */
            overflow = e->mask == IN_Q_OVERFLOW && e->wd == -1;
            events++;
            at += sizeof(*e) + e->len;
        }
    }
    CHECK(overflow);
    CHECK_EQ(events, limit + 1);
}

int main(void) {
    RUN(create_and_delete);
    RUN(life_of_a_file);
    RUN(rename_has_a_cookie);
    RUN(move_self);
    RUN(children_of_a_directory);
    RUN(remove_watch);
    RUN(one_watch_for_an_inode);
    RUN(one_shot);
    RUN(errors);
    RUN(poll_and_count);
    RUN(dont_follow);
    RUN(truncate_and_link);
    RUN(unlinked_files);
    RUN(fdinfo);
    RUN(limit_of_instances);
    RUN(queue_overflows);
    TEST_MAIN_END;
}
