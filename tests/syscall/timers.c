/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeping and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2),
 * timerfd_create(2). */
#include "harness.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#define MS 1000000L

static int64_t clock_ns(clockid_t clock) {
    struct timespec ts;
    REQUIRE(syscall(SYS_clock_gettime, clock, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Uses CPU time until this thread has used `ms` more of it. */
static void burn(int ms) {
    int64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * MS;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until) {
    }
}

static volatile sig_atomic_t g_caught;
static volatile int g_value, g_overrun, g_code;

static void on_signal(int signo, siginfo_t *info, void *context) {
    (void)signo;
    (void)context;
    g_caught++;
    g_code = info->si_code;
    g_value = info->si_value.sival_int;
    g_overrun = info->si_overrun;
}

static void handle(int signo) {
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
    g_caught = 0;
}

/* Blocks a signal, so that sigsuspend can wait for it without a race. */
static sigset_t blocked(int signo) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_BLOCK, &set, &old);
    return old;
}

static void clocks_go_forward(void) {
    static const clockid_t clocks[] = {
        CLOCK_REALTIME, CLOCK_MONOTONIC,          CLOCK_MONOTONIC_RAW,
        CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,    CLOCK_MONOTONIC_COARSE,
        CLOCK_TAI,      CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec res;
        int64_t a = clock_ns(clocks[i]), b = clock_ns(clocks[i]);
        CHECK(a > 0 && b >= a);
        CHECK_EQ(clock_getres(clocks[i], &res), 0);
    }
    struct timespec ts;
    CHECK_ERR(syscall(SYS_clock_gettime, 99, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD), EFAULT);
    struct timeval tv;
    REQUIRE(syscall(SYS_gettimeofday, &tv, NULL) == 0);
    int64_t now = clock_ns(CLOCK_REALTIME) / 1000000000;
    CHECK(now - tv.tv_sec <= 1 && now - syscall(SYS_time, NULL) <= 1);
}

static void cpu_clocks_count_work_only(void) {
    clockid_t mine;
    int64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ms(30);
    int64_t slept = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(slept - before < 25 * MS);
    burn(30);
    CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - slept >= 29 * MS);
    REQUIRE(clock_getcpuclockid(0, &mine) == 0);
    int64_t d = clock_ns(mine) - clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(d <= 0 && d > -50 * MS);
    struct tms t;
    CHECK(times(&t) != (clock_t)-1 && t.tms_utime + t.tms_stime >= 2);
}

static void sleep_lasts(void) {
    struct timespec ts = {0, 20 * MS}, bad = {0, -1}, until;
    int64_t start = now_ms();
    CHECK_EQ(nanosleep(&ts, NULL), 0);
    CHECK(now_ms() - start >= 19);
    CHECK_ERR(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_nanosleep, BAD, NULL), EFAULT);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec -= 1;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
}

static void sleep_interrupted_tells_the_rest(void) {
    struct timespec ts = {60, 0}, rest = {0, 0};
    struct itimerval it = {{0, 0}, {0, 20000}};
    handle(SIGALRM);
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    CHECK_ERR(nanosleep(&ts, &rest), EINTR);
    CHECK(g_caught == 1 && rest.tv_sec == 59);
}

/* A stop and a continue do not end a sleep. */
static void sleep_goes_on_after_a_stop(void) {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct timespec ts = {0, 200 * MS};
        int64_t start = now_ms();
        _exit(nanosleep(&ts, NULL) != 0 || now_ms() - start < 199);
    }
    int status = 0;
    wait_asleep(pid);
    kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    CHECK(child_ok(pid));
}

/* ---- interval timers ---- */

static void alarm_fires_and_can_be_taken_back(void) {
    sigset_t old = blocked(SIGALRM);
    handle(SIGALRM);
    CHECK_EQ(alarm(100), HARNESS_SECONDS); /* the harness's own */
    CHECK_EQ(alarm(50), 100);
    struct itimerval it = {{0, 0}, {0, 10000}}, was;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, &was), 0);
    CHECK(was.it_value.tv_sec >= 49 && was.it_value.tv_sec <= 50);
    CHECK_ERR(sigsuspend(&old), EINTR);
    CHECK_EQ(g_caught, 1);
    CHECK_EQ(getitimer(ITIMER_REAL, &was), 0);
    CHECK(was.it_value.tv_sec == 0 && was.it_value.tv_usec == 0);
    CHECK_ERR(setitimer(9, &it, NULL), EINVAL);
    it.it_value.tv_usec = 1000000;
    CHECK_ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    alarm(HARNESS_SECONDS);
}

static void interval_timer_repeats(void) {
    sigset_t old = blocked(SIGALRM);
    struct itimerval it = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
    handle(SIGALRM);
    int64_t start = now_ms();
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    for (int i = 0; i < 5; i++) {
        sigsuspend(&old);
    }
    CHECK(g_caught >= 5 && now_ms() - start >= 24);
    setitimer(ITIMER_REAL, &off, NULL);
}

static void interval_timer_of_cpu_time(int which, int signo) {
    struct itimerval it = {{0, 0}, {0, 20000}};
    handle(signo);
    REQUIRE(setitimer(which, &it, NULL) == 0);
    sleep_ms(50); /* sleeping does not count */
    CHECK_EQ(g_caught, 0);
    int64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int64_t now = start; g_caught == 0 && now - start < 2000 * MS;) {
        for (volatile int i = 0; i < 2000000 && g_caught == 0; i++) {
        }
        now = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    }
    CHECK_EQ(g_caught, 1);
    CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start >= 10 * MS);
}

static void virtual_timer_counts_user_time(void) {
    interval_timer_of_cpu_time(ITIMER_VIRTUAL, SIGVTALRM);
}

static void prof_timer_counts_cpu_time(void) {
    interval_timer_of_cpu_time(ITIMER_PROF, SIGPROF);
}

/* The timer survives execve (setitimer(2)): the new program dies of its signal. */
static void interval_timer_survives_exec(void) {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct itimerval it = {{0, 0}, {0, 50000}};
        signal(SIGALRM, SIG_DFL);
        setitimer(ITIMER_REAL, &it, NULL);
        execl("/bin/sleep", "sleep", "30", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

/* ---- POSIX timers ---- */

static timer_t make_timer(clockid_t clock, int notify, int signo, int value) {
    struct sigevent ev = {.sigev_notify = notify, .sigev_signo = signo};
    timer_t id;
    ev.sigev_value.sival_int = value;
    REQUIRE(timer_create(clock, &ev, &id) == 0);
    return id;
}

static void posix_timer_sends_its_signal(void) {
    sigset_t old = blocked(SIGUSR1);
    struct itimerspec its = {{0, 0}, {0, 10 * MS}}, now;
    handle(SIGUSR1);
    timer_t id = make_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 42);
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    CHECK_EQ(timer_gettime(id, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 10 * MS);
    sigsuspend(&old);
    CHECK(g_caught == 1 && g_code == SI_TIMER && g_value == 42 && g_overrun == 0);
    CHECK_EQ(timer_gettime(id, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
    CHECK_EQ(timer_delete(id), 0);
    CHECK_ERR(syscall(SYS_timer_delete, 12345), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, 12345, 0, &its, NULL), EINVAL);
}

static void posix_timer_counts_overruns(void) {
    sigset_t old = blocked(SIGUSR1);
    struct itimerspec its = {{0, 2 * MS}, {0, 2 * MS}};
    handle(SIGUSR1);
    timer_t id = make_timer(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 1);
    REQUIRE(timer_settime(id, 0, &its, NULL) == 0);
    sleep_ms(50); /* the signal is pending all the while and is queued once */
    sigsuspend(&old);
    CHECK(g_caught == 1 && g_overrun >= 15);
    CHECK(timer_getoverrun(id) >= 15);
    CHECK_EQ(timer_delete(id), 0);
}

static void posix_timer_absolute_in_the_past(void) {
    sigset_t old = blocked(SIGUSR1);
    struct itimerspec its = {{0, 0}, {1, 0}};
    handle(SIGUSR1);
    timer_t id = make_timer(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 1);
    REQUIRE(timer_settime(id, TIMER_ABSTIME, &its, NULL) == 0);
    sigsuspend(&old);
    CHECK_EQ(g_caught, 1);
    timer_delete(id);
}

static void posix_timer_of_cpu_time(void) {
    struct itimerspec its = {{0, 0}, {0, 20 * MS}};
    handle(SIGUSR2);
    timer_t id = make_timer(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR2, 7);
    REQUIRE(timer_settime(id, 0, &its, NULL) == 0);
    burn(15);
    int64_t start = now_ms();
    while (g_caught == 0 && now_ms() - start < 2000) {
        burn(1);
    }
    CHECK(g_caught == 1 && g_value == 7);
    timer_delete(id);
}

static void posix_timer_checks_its_arguments(void) {
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
    int id;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, 77, NULL, &id), EINVAL);
    ev.sigev_signo = SIGUSR1;
    ev.sigev_notify = 55;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, BAD), EFAULT);
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), 0);
    struct itimerspec bad = {{0, 0}, {0, 1000000000}};
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, &bad, NULL), EINVAL);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
}

/* ---- timerfd ---- */

static void timerfd_counts(void) {
    struct itimerspec its = {{0, 5 * MS}, {0, 5 * MS}}, now;
    uint64_t ticks = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(read(fd, &ticks, 8), EAGAIN);
    CHECK_EQ(poll_one(fd, POLLIN, 0), 0);
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_interval.tv_nsec == 5 * MS && now.it_value.tv_nsec <= 5 * MS);
    CHECK_EQ(poll_one(fd, POLLIN, 5000), POLLIN);
    CHECK_ERR(read(fd, &ticks, 7), EINVAL);
    sleep_ms(30);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK(ticks >= 6 && ticks < 1000);
    its = (struct itimerspec){{0, 0}, {0, 0}};
    CHECK_EQ(timerfd_settime(fd, 0, &its, &now), 0);
    CHECK(now.it_interval.tv_nsec == 5 * MS);
    CHECK_ERR(read(fd, &ticks, 8), EAGAIN);
}

static void timerfd_blocks_until_due(void) {
    struct itimerspec its = {{0, 0}, {0, 20 * MS}};
    uint64_t ticks = 0;
    int fd = timerfd_create(CLOCK_BOOTTIME, 0);
    REQUIRE(fd >= 0);
    int64_t start = now_ms();
    REQUIRE(timerfd_settime(fd, 0, &its, NULL) == 0);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK(ticks == 1 && now_ms() - start >= 19);
    its = (struct itimerspec){{0, 0}, {1, 0}};
    REQUIRE(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0); /* long past */
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
}

static void timerfd_checks_its_arguments(void) {
    struct itimerspec its = {{0, 0}, {0, 1}};
    CHECK_ERR(timerfd_create(99, 0), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 0x1234), EINVAL);
    CHECK_ERR(timerfd_settime(-1, 0, &its, NULL), EBADF);
    CHECK_ERR(timerfd_settime(0, 0, &its, NULL), EINVAL);
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    its.it_value.tv_nsec = -1;
    CHECK_ERR(timerfd_settime(fd, 0, &its, NULL), EINVAL);
    CHECK_ERR(timerfd_settime(fd, 0, BAD, NULL), EFAULT);
}

int main(void) {
    RUN(clocks_go_forward);
    RUN(cpu_clocks_count_work_only);
    RUN(sleep_lasts);
    RUN(sleep_interrupted_tells_the_rest);
    RUN(sleep_goes_on_after_a_stop);
    RUN(alarm_fires_and_can_be_taken_back);
    RUN(interval_timer_repeats);
    RUN(virtual_timer_counts_user_time);
    RUN(prof_timer_counts_cpu_time);
    RUN(interval_timer_survives_exec);
    RUN(posix_timer_sends_its_signal);
    RUN(posix_timer_counts_overruns);
    RUN(posix_timer_absolute_in_the_past);
    RUN(posix_timer_of_cpu_time);
    RUN(posix_timer_checks_its_arguments);
    RUN(timerfd_counts);
    RUN(timerfd_blocks_until_due);
    RUN(timerfd_checks_its_arguments);
    TEST_MAIN_END;
}
