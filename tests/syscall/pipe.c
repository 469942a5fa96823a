/* SPDX-License-Identifier: Apache-2.0 */
/* pipe(7), fifo(7), splice(2), tee(2). */
#include "harness.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static void pipe_moves_bytes(void) {
    int p[2];
    char buf[16];
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(write(p[1], "hello", 5), 5);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
}

static void pipe_keeps_order_over_many_writes(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    for (int i = 0; i < 1000; i++) {
        REQUIRE(write(p[1], &i, sizeof(i)) == sizeof(i));
    }
    for (int i = 0; i < 1000; i++) {
        int got = -1;
        REQUIRE(read(p[0], &got, sizeof(got)) == sizeof(got));
        REQUIRE(got == i);
    }
}

static void pipe_end_of_file_after_last_writer(void) {
    int p[2];
    char c;
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    close(p[1]);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 0);
    CHECK_EQ(read(p[0], &c, 1), 0);
}

static void pipe_write_without_reader(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    CHECK_ERR(write(p[1], "x", 1), EPIPE);
}

static void write_to_broken_pipe(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    signal(SIGPIPE, SIG_DFL);
    close(p[0]);
    (void)!write(p[1], "x", 1);
}

static void pipe_sigpipe_kills(void) {
    CHECK_EQ(in_child(write_to_broken_pipe), 256 + SIGPIPE);
}

static void pipe_nonblock(void) {
    int p[2];
    char c;
    REQUIRE(pipe2(p, O_NONBLOCK) == 0);
    CHECK_ERR(read(p[0], &c, 1), EAGAIN);
    char block[4096] = {0};
    long total = 0;
    ssize_t n;
    while ((n = write(p[1], block, sizeof(block))) > 0) {
        total += n;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(total, 65536);
    CHECK_ERR(write(p[1], "x", 1), EAGAIN);
    CHECK_EQ(read(p[0], block, sizeof(block)), 4096);
    CHECK_EQ(write(p[1], block, sizeof(block)), 4096);
}

static void pipe2_flags(void) {
    int p[2];
    REQUIRE(pipe2(p, O_CLOEXEC) == 0);
    CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(p[1], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(p[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(fcntl(p[1], F_GETFL) & O_ACCMODE, O_WRONLY);
    CHECK_ERR(pipe2(p, 0x40000000), EINVAL);
    CHECK_ERR(pipe(BAD), EFAULT);
}

static void pipe_wrong_direction(void) {
    int p[2];
    char c;
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(write(p[0], "x", 1), EBADF);
    CHECK_ERR(read(p[1], &c, 1), EBADF);
    CHECK_ERR(lseek(p[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERR(pread(p[0], &c, 1, 0), ESPIPE);
}

static void pipe_poll(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(poll_one(p[0], POLLIN, 0), 0);
    CHECK_EQ(poll_one(p[1], POLLOUT, 0), POLLOUT);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll_one(p[0], POLLIN, 0), POLLIN);
    close(p[1]);
    CHECK_EQ(poll_one(p[0], POLLIN, 0), POLLIN | POLLHUP);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(poll_one(p[0], POLLIN, 0), POLLHUP);
    REQUIRE(pipe(p) == 0);
    close(p[0]);
    CHECK_EQ(poll_one(p[1], POLLOUT, 0), POLLOUT | POLLERR);
}

static void pipe_fionread(void) {
    int p[2], n = -1;
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_EQ(write(p[1], "abc", 3), 3);
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
}

static void pipe_size(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 8192), 8192);
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 8192);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 10000), 16384);
    CHECK_ERR(fcntl(p[1], F_SETPIPE_SZ, (1u << 31) + 1), EINVAL);
}

static void pipe_blocking_reader_wakes(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c = 0;
        _exit(read(p[0], &c, 1) == 1 && c == 'z' ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(write(p[1], "z", 1), 1);
    CHECK(child_ok(pid));
}

static void pipe_blocking_writer_wakes(void) {
    int p[2];
    static char big[200000];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        memset(big, 'q', sizeof(big));
        _exit(write(p[1], big, sizeof(big)) == (ssize_t)sizeof(big) ? 0 : 1);
    }
    close(p[1]);
    wait_asleep(pid);
    long total = 0;
    ssize_t n;
    while ((n = read(p[0], big, 7000)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            REQUIRE(big[i] == 'q');
        }
        total += n;
    }
    CHECK_EQ(total, 200000);
    CHECK(child_ok(pid));
}

static void pipe_small_writes_are_atomic(void) {
    int p[2];
    char buf[512];
    REQUIRE(pipe(p) == 0);
    pid_t pids[4];
    for (int w = 0; w < 4; w++) {
        pids[w] = fork();
        if (pids[w] == 0) {
            memset(buf, 'a' + w, sizeof(buf));
            for (int i = 0; i < 100; i++) {
                if (write(p[1], buf, sizeof(buf)) != sizeof(buf)) {
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    close(p[1]);
    for (int i = 0; i < 400; i++) {
        size_t have = 0;
        while (have < sizeof(buf)) {
            ssize_t n = read(p[0], buf + have, sizeof(buf) - have);
            REQUIRE(n > 0);
            have += (size_t)n;
        }
        for (size_t k = 1; k < sizeof(buf); k++) {
            REQUIRE(buf[k] == buf[0]);
        }
    }
    for (int w = 0; w < 4; w++) {
        CHECK(child_ok(pids[w]));
    }
}

static void pipe_readv_writev(void) {
    int p[2];
    char a[3] = {0}, b[5] = {0};
    REQUIRE(pipe(p) == 0);
    struct iovec out[2] = {{"abc", 3}, {"defg", 4}};
    struct iovec in[2] = {{a, 2}, {b, 5}};
    CHECK_EQ(writev(p[1], out, 2), 7);
    CHECK_EQ(readv(p[0], in, 2), 7);
    CHECK(memcmp(a, "ab", 2) == 0 && memcmp(b, "cdefg", 5) == 0);
    CHECK_ERR(writev(p[1], out, -1), EINVAL);
    CHECK_EQ(writev(p[1], out, 0), 0);
}

static void pipe_bad_buffer(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    CHECK_ERR(write(p[1], BAD, 4), EFAULT);
    CHECK_EQ(write(p[1], "abcd", 4), 4);
    CHECK_ERR(read(p[0], BAD, 4), EFAULT);
}

static void fifo_connects_processes(void) {
    REQUIRE(mkfifo("f", 0600) == 0);
    struct stat st;
    CHECK_EQ(stat("f", &st), 0);
    CHECK(S_ISFIFO(st.st_mode));
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("f", O_WRONLY);
        _exit(fd >= 0 && write(fd, "via", 3) == 3 ? 0 : 1);
    }
    int fd = open("f", O_RDONLY);
    REQUIRE(fd >= 0);
    char buf[8];
    CHECK_EQ(read(fd, buf, 8), 3);
    CHECK_EQ(read(fd, buf, 8), 0);
    CHECK(child_ok(pid));
}

static void fifo_nonblocking_open(void) {
    REQUIRE(mkfifo("f", 0600) == 0);
    CHECK_ERR(open("f", O_WRONLY | O_NONBLOCK), ENXIO);
    int r = open("f", O_RDONLY | O_NONBLOCK);
    CHECK(r >= 0);
    int w = open("f", O_WRONLY | O_NONBLOCK);
    CHECK(w >= 0);
    char c;
    CHECK_ERR(read(r, &c, 1), EAGAIN);
    close(w);
    CHECK_EQ(read(r, &c, 1), 0);
    int rw = open("f", O_RDWR);
    CHECK(rw >= 0);
    CHECK_EQ(write(rw, "1", 1), 1);
    CHECK_EQ(read(rw, &c, 1), 1);
}

static void splice_between_pipe_and_file(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    int fd = open("data", O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    loff_t off = 2;
    CHECK_EQ(splice(fd, &off, p[1], NULL, 5, 0), 5);
    CHECK_EQ(off, 7);
    char buf[16];
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "23456", 5) == 0);
    CHECK_EQ(write(p[1], "xyz", 3), 3);
    off = 0;
    CHECK_EQ(splice(p[0], NULL, fd, &off, 3, 0), 3);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(memcmp(buf, "xyz3", 4) == 0);
    CHECK_ERR(splice(fd, NULL, fd, NULL, 3, 0), EINVAL);
}

static void tee_copies(void) {
    int a[2], b[2];
    char buf[8];
    REQUIRE(pipe(a) == 0 && pipe(b) == 0);
    CHECK_EQ(write(a[1], "dup", 3), 3);
    CHECK_EQ(tee(a[0], b[1], 3, 0), 3);
    CHECK_EQ(read(a[0], buf, 8), 3);
    CHECK_EQ(read(b[0], buf, 8), 3);
    CHECK(memcmp(buf, "dup", 3) == 0);
    CHECK_ERR(tee(a[0], b[1], 3, SPLICE_F_NONBLOCK), EAGAIN);
}

static void vmsplice_gives_memory(void) {
    int p[2];
    char buf[8];
    struct iovec v = {"mem", 3};
    REQUIRE(pipe(p) == 0);
    CHECK_EQ(vmsplice(p[1], &v, 1, 0), 3);
    CHECK_EQ(read(p[0], buf, 8), 3);
    CHECK(memcmp(buf, "mem", 3) == 0);
}

int main(void) {
    RUN(pipe_moves_bytes);
    RUN(pipe_keeps_order_over_many_writes);
    RUN(pipe_end_of_file_after_last_writer);
    RUN(pipe_write_without_reader);
    RUN(pipe_sigpipe_kills);
    RUN(pipe_nonblock);
    RUN(pipe2_flags);
    RUN(pipe_wrong_direction);
    RUN(pipe_poll);
    RUN(pipe_fionread);
    RUN(pipe_size);
    RUN(pipe_blocking_reader_wakes);
    RUN(pipe_blocking_writer_wakes);
    RUN(pipe_small_writes_are_atomic);
    RUN(pipe_readv_writev);
    RUN(pipe_bad_buffer);
    RUN(fifo_connects_processes);
    RUN(fifo_nonblocking_open);
    RUN(splice_between_pipe_and_file);
    RUN(tee_copies);
    RUN(vmsplice_gives_memory);
    TEST_MAIN_END;
}
