/* SPDX-License-Identifier: Apache-2.0 */
/* flock(2), fcntl(2) record locks: POSIX and open file description locks. */
#include "harness.h"

#include <sys/file.h>

static int g_fd;

static int lock(int fd, int cmd, short type, off_t start, off_t len) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &l);
}

static void open_file(void) {
    g_fd = open("f", O_RDWR | O_CREAT, 0600);
    REQUIRE(g_fd >= 0);
}

static void flock_excludes(void) {
    open_file();
    int other = open("f", O_RDWR);
    CHECK_EQ(flock(g_fd, LOCK_EX), 0);
    CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_ERR(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(g_fd, LOCK_SH), 0);
    CHECK_EQ(flock(other, LOCK_SH | LOCK_NB), 0);
    CHECK_ERR(flock(g_fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(other, LOCK_UN), 0);
    CHECK_EQ(flock(g_fd, LOCK_EX | LOCK_NB), 0);
    CHECK_ERR(flock(g_fd, 77), EINVAL);
    CHECK_ERR(flock(900, LOCK_EX), EBADF);
}

static void flock_belongs_to_the_open_file(void) {
    open_file();
    int copy = dup(g_fd), other = open("f", O_RDWR);
    CHECK_EQ(flock(g_fd, LOCK_EX), 0);
    CHECK_EQ(flock(copy, LOCK_EX | LOCK_NB), 0);
    close(g_fd);
    CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(flock(copy, LOCK_UN) == 0 ? 0 : 1);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
}

static void flock_blocks(void) {
    open_file();
    CHECK_EQ(flock(g_fd, LOCK_EX), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("f", O_RDWR);
        _exit(flock(fd, LOCK_EX) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(flock(g_fd, LOCK_UN), 0);
    CHECK(child_ok(pid));
}

static int holder_of(int fd, short type, off_t start, off_t len) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    REQUIRE(fcntl(fd, F_GETLK, &l) == 0);
    return l.l_type == F_UNLCK ? 0 : l.l_pid;
}

static void child_checks_record_locks(void) {
    pid_t parent = getppid();
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
    CHECK_ERR(lock(g_fd, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 10, 10), 0);
    CHECK_EQ(lock(g_fd, F_SETLK, F_RDLCK, 30, 5), 0);
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, 30, 5), EAGAIN);
    CHECK_EQ(holder_of(g_fd, F_WRLCK, 0, 100), parent);
    CHECK_EQ(holder_of(g_fd, F_WRLCK, 10, 5), 0);
}

static void record_locks(void) {
    open_file();
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_EQ(lock(g_fd, F_SETLK, F_RDLCK, 30, 10), 0);
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_EQ(in_child(child_checks_record_locks), 0);
    CHECK_ERR(lock(g_fd, F_SETLK, 9, 0, 1), EINVAL);
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, -5, 1), EINVAL);
    int r = open("f", O_RDONLY);
    CHECK_ERR(lock(r, F_SETLK, F_WRLCK, 0, 1), EBADF);
}

static void child_takes_middle(void) {
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 40, 20), 0);
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, 39, 1), EAGAIN);
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, 60, 1), EAGAIN);
}

static void record_locks_split(void) {
    open_file();
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 100), 0);
    CHECK_EQ(lock(g_fd, F_SETLK, F_UNLCK, 40, 20), 0);
    CHECK_EQ(in_child(child_takes_middle), 0);
}

static void child_locks_all(void) {
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 0), 0);
}

static void child_is_locked_out(void) {
    CHECK_ERR(lock(g_fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
}

static void any_close_drops_record_locks(void) {
    open_file();
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 0), 0);
    CHECK_EQ(in_child(child_is_locked_out), 0);
    close(open("f", O_RDONLY));
    CHECK_EQ(in_child(child_locks_all), 0);
}

static void record_lock_blocks(void) {
    open_file();
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(lock(g_fd, F_SETLKW, F_WRLCK, 5, 1) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(lock(g_fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK(child_ok(pid));
}

static void deadlock_is_found(void) {
    open_file();
    CHECK_EQ(lock(g_fd, F_SETLK, F_WRLCK, 0, 1), 0);
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (lock(g_fd, F_SETLK, F_WRLCK, 1, 1) != 0 || write(p[1], "x", 1) != 1) {
            _exit(1);
        }
        _exit(lock(g_fd, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : 2);
    }
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    wait_asleep(pid);
    CHECK_ERR(lock(g_fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK_EQ(lock(g_fd, F_SETLK, F_UNLCK, 0, 1), 0);
    CHECK(child_ok(pid));
}

static void description_locks(void) {
    open_file();
    int other = open("f", O_RDWR);
    CHECK_EQ(lock(g_fd, F_OFD_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_ERR(lock(other, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
    CHECK_EQ(lock(other, F_OFD_SETLK, F_WRLCK, 10, 10), 0);
    CHECK_EQ(lock(dup(g_fd), F_OFD_SETLK, F_WRLCK, 0, 10), 0);
    struct flock l = {.l_type = F_WRLCK, .l_start = 0, .l_len = 5};
    CHECK_EQ(fcntl(other, F_OFD_GETLK, &l), 0);
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_pid, -1);
}

static void lock_is_interrupted(void) {
    open_file();
    CHECK_EQ(flock(g_fd, LOCK_EX), 0);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);
        int fd = open("f", O_RDWR);
        _exit(flock(fd, LOCK_EX) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    kill(pid, SIGTERM);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
}

int main(void) {
    RUN(flock_excludes);
    RUN(flock_belongs_to_the_open_file);
    RUN(flock_blocks);
    RUN(record_locks);
    RUN(record_locks_split);
    RUN(any_close_drops_record_locks);
    RUN(record_lock_blocks);
    RUN(deadlock_is_found);
    RUN(description_locks);
    RUN(lock_is_interrupted);
    TEST_MAIN_END;
}
