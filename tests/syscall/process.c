/* SPDX-License-Identifier: Apache-2.0 */
/* fork, vfork, clone, wait, exit, groups and sessions, orphans, pidfd. */
#include "harness.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static pid_t exits_with(int code) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(code);
    }
    return pid;
}

static void fork_copies_memory(void) {
    volatile int *value = malloc(4096 * 8);
    *value = 1;
    pid_t pid = fork();
    if (pid == 0) {
        *value = 2;
        _exit(*value == 2 && getppid() != getpid() ? 0 : 1);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(*value, 1);
}

static void shared_mapping_stays_shared(void) {
    int *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        *p = 42;
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(*p, 42);
}

static void exit_status_and_signals(void) {
    int status;
    CHECK(waitpid(exits_with(42), &status, 0) > 0 && WIFEXITED(status) &&
          WEXITSTATUS(status) == 42);
    CHECK(waitpid(exits_with(300), &status, 0) > 0 && WEXITSTATUS(status) == (300 & 255));
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    wait_asleep(pid);
    kill(pid, SIGTERM);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void kill_ends_a_busy_loop(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        for (volatile unsigned long i = 0;; i++) {
        }
    }
    sleep_ms(5);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void wait_errors(void) {
    CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
    CHECK_ERR(waitpid(-1, NULL, 0x10000000 >> 8), EINVAL);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_ERR(waitpid(pid + 10000, NULL, 0), ECHILD);
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_ERR(waitpid(pid, NULL, 0), ECHILD);
    siginfo_t info;
    CHECK_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
}

static void waitid_reports(void) {
    siginfo_t info;
    pid_t pid = exits_with(7);
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
    CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 7 &&
          info.si_signo == SIGCHLD);
    memset(&info, 0, sizeof(info));
    CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED), 0); /* still there */
    CHECK_EQ(info.si_pid, pid);
    pid = fork();
    if (pid == 0) {
        pause();
    }
    info.si_pid = 99;
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    kill(pid, SIGKILL);
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED), 0);
    CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL);
}

static void stop_and_continue(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    wait_asleep(pid);
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0); /* told once */
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    kill(pid, SIGSTOP);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED), 0);
    CHECK(info.si_code == CLD_STOPPED && info.si_status == SIGSTOP);
    kill(pid, SIGKILL); /* acts on a stopped process too */
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
}

static void ignored_sigchld_reaps(void) {
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = exits_with(3);
    CHECK(pid > 0);
    CHECK_ERR(waitpid(pid, NULL, 0), ECHILD); /* waits for the end, then says that */
    CHECK_ERR(kill(pid, 0), ESRCH);
}

static void vfork_waits_for_child(void) {
    static volatile int seen;
    seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 1;
        _exit(0);
    }
    CHECK_EQ(seen, 1); /* shared memory, and the child went first */
    CHECK(child_ok(pid));
}

static int clone_child(void *arg) {
    *(int *)arg = 5;
    return 9;
}

static void clone_shares_memory(void) {
    int value = 0, status;
    char *stack = malloc(65536);
    pid_t pid = clone(clone_child, stack + 65536, CLONE_VM | SIGCHLD, &value);
    REQUIRE(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 9);
    CHECK_EQ(value, 5);
    pid = clone(clone_child, stack + 65536, CLONE_VM, &value); /* tells by no signal */
    CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
}

static void clone_arguments(void) {
    CHECK_ERR(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    struct clone_args a = {.exit_signal = 65};
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.exit_signal = SIGCHLD;
    CHECK_ERR(syscall(SYS_clone3, &a, 8), EINVAL);
    a.stack = 4096;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    CHECK_ERR(syscall(SYS_clone3, BAD, sizeof(a)), EFAULT);
}

static void clone3_makes_a_pidfd(void) {
    int fd = -1;
    pid_t parent_tid = 0;
    struct clone_args a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
                           .exit_signal = SIGCHLD,
                           .pidfd = (uintptr_t)&fd,
                           .parent_tid = (uintptr_t)&parent_tid};
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
    if (pid == 0) {
        _exit(4);
    }
    REQUIRE(pid > 0);
    CHECK_EQ(parent_tid, pid);
    CHECK_EQ(poll_one(fd, POLLIN, -1), POLLIN);
    siginfo_t info;
    CHECK_EQ(waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &info, WEXITED), 0);
    CHECK(info.si_pid == pid && info.si_status == 4);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void pidfd_signals(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        pause();
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(poll_one(fd, POLLIN, 0), 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0), 0);
    CHECK_EQ(poll_one(fd, POLLIN, -1), POLLIN);
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGUSR1);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
    CHECK_ERR(syscall(SYS_pidfd_open, -1, 0), EINVAL);
}

/* A child reports its ids through its exit status. */
static void groups_and_sessions(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pid_t self = getpid();
        if (getpgrp() == self || setpgid(0, 0) != 0 || getpgrp() != self) {
            _exit(1);
        }
        if (setsid() != -1 || errno != EPERM) {
            _exit(2); /* leads a group */
        }
        pid_t inner = fork();
        if (inner == 0) {
            if (getpgrp() != self || setsid() != getpid() || getsid(0) != getpid() ||
                getpgrp() != getpid()) {
                _exit(1);
            }
            _exit(setpgid(0, 0) == -1 && errno == EPERM ? 0 : 2);
        }
        _exit(child_ok(inner) ? 0 : 3);
    }
    CHECK(child_ok(pid));
    CHECK_ERR(setpgid(0, -1), EINVAL);
    CHECK_ERR(getpgid(99999999), ESRCH);
}

static void wait_by_group(void) {
    pid_t a = exits_with(1);
    pid_t b = fork();
    if (b == 0) {
        pause();
    }
    setpgid(b, b);
    int status;
    CHECK_EQ(waitpid(0, &status, 0), a);
    kill(-b, SIGKILL);
    CHECK_EQ(waitpid(-b, &status, 0), b);
}

static void orphans_go_to_the_subreaper(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t parent = getpid();
        pid_t inner = fork();
        if (inner == 0) {
            while (getppid() == parent) {
                sleep_ms(1);
            }
            pid_t now = getppid();
            _exit(write(p[1], &now, sizeof(now)) != sizeof(now));
        }
        _exit(0);
    }
    CHECK(child_ok(pid));
    pid_t seen = 0;
    CHECK_EQ(read(p[0], &seen, sizeof(seen)), sizeof(seen));
    CHECK_EQ(seen, getpid());
    int status = -1;
    CHECK(wait(&status) > 0 && status == 0);
}

static void parent_death_signal(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t inner = fork();
        if (inner == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            char c = 'x';
            if (write(p[1], &c, 1) != 1) {
                _exit(1);
            }
            close(p[0]);
            for (;;) {
                pause();
            }
        }
        char c;
        _exit(read(p[0], &c, 1) == 1 ? 0 : 1); /* armed */
    }
    CHECK(child_ok(pid));
    close(p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 0); /* end of file: the grandchild is gone */
}

/* The middle process of three: its group loses its last tie to the session when it ends. */
static void leave_a_stopped_child(int *p) {
    setpgid(0, 0);
    pid_t inner = fork();
    if (inner == 0) {
        close(p[0]);
        kill(getpid(), SIGSTOP);
        _exit(0); /* not reached: SIGHUP comes first */
    }
    int status;
    waitpid(inner, &status, WUNTRACED);
    _exit(WIFSTOPPED(status) ? 0 : 1);
}

static void stopped_orphans_get_sighup(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        setsid(); /* not the session of an init that takes orphans in */
        pid_t middle = fork();
        if (middle == 0) {
            leave_a_stopped_child(p);
        }
        _exit(child_ok(middle) ? 0 : 1);
    }
    CHECK(child_ok(pid));
    close(p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 0);
}

static void *sleeper(void *arg) {
    pause();
    return NULL;
}

static void threads_end_with_exit_group(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        for (int i = 0; i < 4; i++) {
            pthread_create(&t, NULL, sleeper, NULL);
        }
        exit(0);
    }
    CHECK(child_ok(pid));
}

static void *exit_leader_later(void *arg) {
    pthread_t leader = *(pthread_t *)arg;
    pthread_join(leader, NULL);
    _exit(21);
}

static void leader_may_end_first(void) {
    pid_t pid = fork();
    if (pid == 0) {
        static pthread_t self;
        pthread_t t;
        self = pthread_self();
        pthread_create(&t, NULL, exit_leader_later, &self);
        pthread_exit(NULL);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 21);
}

static void *add_one(void *arg) {
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_SEQ_CST);
    return (void *)(intptr_t)syscall(SYS_gettid);
}

static void threads_join(void) {
    int sum = 0;
    for (int round = 0; round < 50; round++) {
        pthread_t t[4];
        void *tid;
        for (int i = 0; i < 4; i++) {
            REQUIRE(pthread_create(&t[i], NULL, add_one, &sum) == 0);
        }
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(pthread_join(t[i], &tid), 0);
            CHECK((intptr_t)tid != getpid());
        }
    }
    CHECK_EQ(sum, 200);
}

static void rusage_of_children(void) {
    struct rusage ru;
    pid_t pid = fork();
    if (pid == 0) {
        clock_t end = clock() + CLOCKS_PER_SEC / 20;
        while (clock() < end) {
        }
        _exit(0);
    }
    CHECK_EQ(wait4(pid, NULL, 0, &ru), pid);
    CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec > 20000);
    struct rusage all;
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &all), 0);
    CHECK(all.ru_utime.tv_usec >= ru.ru_utime.tv_usec);
    CHECK_ERR(getrusage(99, &ru), EINVAL);
}

static void limits(void) {
    struct rlimit r, got;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    CHECK_EQ(prlimit(0, RLIMIT_NOFILE, NULL, &got), 0);
    CHECK_EQ(got.rlim_cur, 64);
    CHECK_ERR(dup2(0, 64), EBADF);
    r.rlim_cur = r.rlim_max;
    r.rlim_max = r.rlim_cur - 1;
    CHECK_ERR(setrlimit(RLIMIT_NOFILE, &r), EINVAL);
    CHECK_ERR(getrlimit(99, &r), EINVAL);
}

int main(void) {
    RUN(fork_copies_memory);
    RUN(shared_mapping_stays_shared);
    RUN(exit_status_and_signals);
    RUN(kill_ends_a_busy_loop);
    RUN(wait_errors);
    RUN(waitid_reports);
    RUN(stop_and_continue);
    RUN(ignored_sigchld_reaps);
    RUN(vfork_waits_for_child);
    RUN(clone_shares_memory);
    RUN(clone_arguments);
    RUN(clone3_makes_a_pidfd);
    RUN(pidfd_signals);
    RUN(groups_and_sessions);
    RUN(wait_by_group);
    RUN(orphans_go_to_the_subreaper);
    RUN(parent_death_signal);
    RUN(stopped_orphans_get_sighup);
    RUN(threads_end_with_exit_group);
    RUN(leader_may_end_first);
    RUN(threads_join);
    RUN(rusage_of_children);
    RUN(limits);
    TEST_MAIN_END;
}
