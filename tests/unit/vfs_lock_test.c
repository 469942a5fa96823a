/* SPDX-License-Identifier: Apache-2.0 */
/* Record locks, flock, blocking pipes and FIFOs between tasks. */
#include "vfs_harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

static uint32_t g_step; /* atomic */

/* Waits until the step counter has reached `step`. */
static void await(uint32_t step) {
    while (atomic_load(&g_step) < step) {
        task_yield();
    }
}

static void reach(uint32_t step) {
    atomic_store(&g_step, step);
}

static int64_t set_lock(int64_t fd, int cmd, short type, int64_t start, int64_t len) {
    struct flock fl = {.l_type = type, .l_start = start, .l_len = len};
    return CALL3(fcntl, fd, cmd, P(&fl));
}

static struct flock get_lock(int64_t fd, int cmd, short type, int64_t start, int64_t len) {
    struct flock fl = {.l_type = type, .l_start = start, .l_len = len};
    CHECK(CALL3(fcntl, fd, cmd, P(&fl)) == 0);
    return fl;
}

static int64_t open_rw(const char *name) {
    int64_t fd = CALL3(open, P(name), O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    return fd;
}

/* Gives `t` time to fall asleep in a call: nothing observable says so, so its effects are checked
 * afterwards. */
static void let_run(void) {
    for (int i = 0; i < 200; i++) {
        task_yield();
    }
}

/* ---- records of two owners ---- */

static void other_owner(void *arg) {
    vfs_harness_join(NULL);
    int64_t fd = open_rw("/locked");
    CHECK(set_lock(fd, F_SETLK, F_WRLCK, 5, 1) == -EAGAIN);
    CHECK(set_lock(fd, F_SETLK, F_RDLCK, 25, 5) == 0);
    struct flock fl = get_lock(fd, F_GETLK, F_WRLCK, 0, 0);
    CHECK(fl.l_type == F_WRLCK && fl.l_start == 0 && fl.l_len == 10 && fl.l_pid != 0);
    CHECK(get_lock(fd, F_GETLK, F_RDLCK, 10, 5).l_type == F_UNLCK);
    reach(2);
    /* Sleeps until the first owner closes the file. */
    CHECK(set_lock(fd, F_SETLKW, F_WRLCK, 0, 10) == 0);
    CHECK(atomic_load(&g_step) == 3);
    vfs_harness_leave();
}

static void first_owner(void *arg) {
    vfs_harness_join(NULL);
    int64_t fd = open_rw("/locked");
    /* Joined, split, and cut: what is left is [0,10) for writing and [20,30) for reading. */
    CHECK(set_lock(fd, F_SETLK, F_WRLCK, 0, 5) == 0 && set_lock(fd, F_SETLK, F_WRLCK, 5, 15) == 0);
    CHECK(set_lock(fd, F_SETLK, F_UNLCK, 10, 10) == 0 &&
          set_lock(fd, F_SETLK, F_RDLCK, 20, 10) == 0);
    CHECK(set_lock(fd, F_SETLK, F_WRLCK, -1, 5) == -EINVAL);
    harness_thread(other_owner, NULL);
    await(2);
    let_run();
    reach(3);
    int64_t twin = CALL1(dup, fd);
    CHECK(CALL1(close, twin) == 0); /* any close of the file drops the owner's locks */
    vfs_harness_leave();
}

/* ---- a circle of two ---- */

static int64_t g_result[2];

static void circle_peer(void *arg) {
    vfs_harness_join(NULL);
    int64_t fd = open_rw("/circle");
    CHECK(set_lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0);
    reach(1);
    await(2);
    g_result[1] = set_lock(fd, F_SETLKW, F_WRLCK, 0, 1);
    vfs_harness_leave(); /* releases byte 1 */
}

static void circle(void *arg) {
    vfs_harness_join(NULL);
    int64_t fd = open_rw("/circle");
    CHECK(set_lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
    harness_thread(circle_peer, NULL);
    await(1);
    reach(2);
    g_result[0] = set_lock(fd, F_SETLKW, F_WRLCK, 1, 1);
    vfs_harness_leave();
}

/* ---- OFD locks and flock ---- */

static void test_owners_by_file(void) {
    int64_t a = open_rw("/ofd"), b = open_rw("/ofd");
    CHECK(set_lock(a, F_OFD_SETLK, F_WRLCK, 0, 10) == 0 &&
          set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 1) == -EAGAIN);
    CHECK(get_lock(b, F_OFD_GETLK, F_WRLCK, 0, 1).l_pid == -1);
    CHECK(set_lock(a, F_SETLK, F_RDLCK, 20, 1) == 0 && set_lock(b, F_SETLK, F_WRLCK, 20, 1) == 0);
    int64_t twin = CALL1(dup, a);
    CHECK(CALL1(close, a) == 0 && set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 1) == -EAGAIN);
    CHECK(CALL1(close, twin) == 0 && set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 1) == 0);
    int64_t c = open_rw("/ofd");
    CHECK(CALL2(flock, b, LOCK_SH) == 0 && CALL2(flock, c, LOCK_SH) == 0 &&
          CALL2(flock, c, LOCK_EX | LOCK_NB) == -EAGAIN);
    CHECK(CALL2(flock, b, LOCK_UN) == 0 && CALL2(flock, c, LOCK_EX | LOCK_NB) == 0);
    CHECK(CALL2(flock, b, LOCK_SH | LOCK_NB) == -EAGAIN && CALL2(flock, b, 77) == -EINVAL);
    CHECK(CALL1(close, c) == 0 && CALL2(flock, b, LOCK_EX | LOCK_NB) == 0 && CALL1(close, b) == 0);
}

/* flock as a mutex between tasks. */
static int g_inside, g_total;

static void flock_worker(void *arg) {
    vfs_harness_join(NULL);
    int64_t fd = open_rw("/flock");
    for (int i = 0; i < 300; i++) {
        CHECK(CALL2(flock, fd, LOCK_EX) == 0);
        CHECK(g_inside++ == 0);
        g_total++;
        if (i % 16 == 0) {
            task_yield();
        }
        g_inside--;
        CHECK(CALL2(flock, fd, LOCK_UN) == 0);
    }
    vfs_harness_leave();
}

static void flock_workers(void *arg) {
    for (int i = 0; i < 5; i++) {
        harness_thread(flock_worker, NULL);
    }
}

/* ---- pipes ---- */

#define STREAM (3u << 20)

static int32_t g_pipe[2];
static struct task *g_owner;

static void stream_writer(void *arg) {
    static unsigned char buf[9000];
    unsigned long seed = 5;
    vfs_harness_join(g_owner);
    for (size_t done = 0; done < STREAM;) {
        size_t len = MIN(test_random(&seed) % sizeof(buf) + 1, STREAM - done);
        for (size_t i = 0; i < len; i++) {
            buf[i] = (unsigned char)((done + i) * 131 >> 3);
        }
        CHECK(CALL3(write, g_pipe[1], P(buf), len) == (int64_t)len);
        done += len;
    }
    CHECK(CALL1(close, g_pipe[1]) == 0);
    vfs_harness_leave();
}

static void stream_reader(void *arg) {
    static unsigned char buf[20000];
    unsigned long seed = 9;
    size_t done = 0;
    vfs_harness_join(g_owner);
    for (;;) {
        int64_t n = CALL3(read, g_pipe[0], P(buf), test_random(&seed) % sizeof(buf) + 1);
        CHECK(n >= 0);
        if (n == 0) {
            break;
        }
        for (int64_t i = 0; i < n; i++) {
            CHECK(buf[i] == (unsigned char)((done + (size_t)i) * 131 >> 3));
        }
        done += (size_t)n;
    }
    CHECK(done == STREAM);
    vfs_harness_leave();
}

static void stream(void *arg) {
    harness_thread(stream_writer, NULL);
    harness_thread(stream_reader, NULL);
}

/* Writes of at most PIPE_BUF bytes are never mixed. */
static void atomic_writer(void *arg) {
    unsigned char buf[3000];
    vfs_harness_join(g_owner);
    memset(buf, (int)(uintptr_t)arg, sizeof(buf));
    for (int i = 0; i < 200; i++) {
        CHECK(CALL3(write, g_pipe[1], P(buf), sizeof(buf)) == sizeof(buf));
    }
    vfs_harness_leave();
}

static void atomic_reader(void *arg) {
    unsigned char buf[3000];
    vfs_harness_join(g_owner);
    for (int i = 0; i < 600; i++) {
        for (size_t got = 0; got < sizeof(buf);) {
            int64_t n = CALL3(read, g_pipe[0], P(buf + got), sizeof(buf) - got);
            CHECK(n > 0);
            got += (size_t)n;
        }
        for (size_t k = 1; k < sizeof(buf); k++) {
            CHECK(buf[k] == buf[0]);
        }
    }
    vfs_harness_leave();
}

static void atomic_writes(void *arg) {
    harness_thread(atomic_reader, NULL);
    for (uintptr_t i = 1; i <= 3; i++) {
        harness_thread(atomic_writer, (void *)i);
    }
}

/* ---- FIFOs: each end waits for the other ---- */

static void fifo_writer(void *arg) {
    vfs_harness_join(NULL);
    let_run();
    reach(1);
    int64_t fd = CALL3(open, P("/fifo"), O_WRONLY, 0);
    CHECK(fd >= 0 && CALL3(write, fd, P("through"), 7) == 7);
    vfs_harness_leave();
}

static void fifo_reader(void *arg) {
    char buf[16];
    vfs_harness_join(NULL);
    CHECK(CALL3(open, P("/fifo"), O_WRONLY | O_NONBLOCK, 0) == -ENXIO);
    harness_thread(fifo_writer, NULL);
    int64_t fd = CALL3(open, P("/fifo"), O_RDONLY, 0);
    CHECK(fd >= 0 && atomic_load(&g_step) == 1);
    CHECK(CALL3(read, fd, P(buf), 16) == 7 && memcmp(buf, "through", 7) == 0 &&
          CALL3(read, fd, P(buf), 16) == 0);
    vfs_harness_leave();
}

static void run(void (*fn)(void *arg)) {
    reach(0);
    harness_run(fn, NULL);
}

static void tests(void *arg) {
    run(first_owner);
    run(circle);
    CHECK((g_result[0] == -EDEADLK) != (g_result[1] == -EDEADLK));
    CHECK(g_result[0] == 0 || g_result[1] == 0);
    test_owners_by_file();
    run(flock_workers);
    CHECK(g_total == 1500);
    g_owner = current;
    CHECK(CALL2(pipe2, P(g_pipe), 0) == 0);
    run(stream);
    CHECK(CALL1(close, g_pipe[0]) == 0 && CALL2(pipe2, P(g_pipe), 0) == 0);
    run(atomic_writes);
    CHECK(CALL3(mknod, P("/fifo"), S_IFIFO | 0600, 0) == 0);
    run(fifo_reader);
}

int main(void) {
    vfs_harness_main(tests);
}
