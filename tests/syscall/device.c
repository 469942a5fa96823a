/* SPDX-License-Identifier: Apache-2.0 */
/* null(4), zero(4), full(4), random(4), tty(4), and the links of /dev. */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

static void null_takes_and_gives_nothing(void) {
    char buf[8];
    struct stat st;
    int fd = open("/dev/null", O_RDWR);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 0);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 0);
    CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
    CHECK_EQ(poll_one(fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
    CHECK_ERR(ioctl(fd, TIOCGWINSZ, buf), ENOTTY);
    CHECK_ERR(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0, ENODEV);
}

static void null_truncates_and_appends(void) {
    int fd = open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
}

static void zero_gives_zeros(void) {
    static char buf[100000];
    int fd = open("/dev/zero", O_RDWR);
    REQUIRE(fd >= 0);
    memset(buf, 1, sizeof(buf));
    CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
    CHECK(buf[0] == 0 && memcmp(buf, buf + 1, sizeof(buf) - 1) == 0);
    CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
    CHECK_ERR(read(fd, BAD, 8), EFAULT);
}

static void zero_private_mapping(void) {
    int fd = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK_EQ(p[0] | p[8191], 0);
    p[0] = 'x';
    pid_t pid = fork();
    if (pid == 0) {
        bool seen = p[0] == 'x';
        p[0] = 'y';
        _exit(seen ? 0 : 1);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(p[0], 'x');
}

static void zero_shared_mapping(void) {
    int fd = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED && other != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        p[4096] = 'c';
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(p[4096], 'c');
    p[0] = 'p';
    CHECK_EQ(other[0], 0); /* each mapping is memory of its own */
}

static void full_is_full(void) {
    char buf[4] = {1, 1, 1, 1};
    int fd = open("/dev/full", O_RDWR);
    REQUIRE(fd >= 0);
    CHECK_ERR(write(fd, "abc", 3), ENOSPC);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 4);
    CHECK_EQ(buf[0] | buf[3], 0);
}

static void random_differs(void) {
    static const char *const names[] = {"/dev/random", "/dev/urandom"};
    static unsigned char a[4000], b[4000];
    for (size_t i = 0; i < 2; i++) {
        int fd = open(names[i], O_RDWR);
        REQUIRE(fd >= 0);
        CHECK_EQ(read(fd, a, sizeof(a)), sizeof(a));
        CHECK_EQ(read(fd, b, sizeof(b)), sizeof(b));
        CHECK(memcmp(a, b, sizeof(a)) != 0);
        unsigned int seen[256] = {0}, kinds = 0;
        for (size_t k = 0; k < sizeof(a); k++) {
            kinds += seen[a[k]]++ == 0;
        }
        CHECK(kinds > 200);
        CHECK_EQ(write(fd, a, sizeof(a)), sizeof(a));
        close(fd);
    }
}

static void tty_without_terminal(void) {
    setsid();
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
}

static void links_lead_to_descriptors(void) {
    int p[2];
    char c = 0;
    REQUIRE(pipe(p) == 0);
    REQUIRE(dup2(p[1], 1) == 1);
    int out = open("/dev/stdout", O_WRONLY);
    CHECK(out >= 0);
    CHECK_EQ(write(out, "x", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    char path[32];
    snprintf(path, sizeof(path), "/dev/fd/%d", p[0]);
    int in = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(in >= 0);
    CHECK_ERR(read(in, &c, 1), EAGAIN);
    CHECK((fcntl(p[0], F_GETFL) & O_NONBLOCK) == 0); /* a description of its own */
}

static void shm_is_world_writable(void) {
    struct stat st;
    if (stat("/dev/shm", &st) != 0) {
        SKIP("no /dev/shm");
    }
    CHECK_EQ(st.st_mode & 07777, 01777);
    int fd = open("/dev/shm/moat-test", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK(unlink("/dev/shm/moat-test") == 0);
}

int main(void) {
    RUN(null_takes_and_gives_nothing);
    RUN(null_truncates_and_appends);
    RUN(zero_gives_zeros);
    RUN(zero_private_mapping);
    RUN(zero_shared_mapping);
    RUN(full_is_full);
    RUN(random_differs);
    RUN(tty_without_terminal);
    RUN(links_lead_to_descriptors);
    RUN(shm_is_world_writable);
    TEST_MAIN_END;
}
