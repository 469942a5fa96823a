/* SPDX-License-Identifier: Apache-2.0 */
/* futex(2), set_robust_list(2). */
#include "harness.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static long futex(uint32_t *word, int op, uint32_t val, const void *timeout, uint32_t *word2,
                  uint32_t val3) {
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

/* For the operations whose fourth argument is a number. */
static long futex2(uint32_t *word, int op, uint32_t val, unsigned long val2, uint32_t *word2,
                   uint32_t val3) {
    return syscall(SYS_futex, word, op, val, val2, word2, val3);
}

/* A page that children share. */
static uint32_t *shared_words(void) {
    uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

/* A child that waits on `word` while it is `val` and leaves with 0 once woken. */
static pid_t waiter(uint32_t *word, uint32_t val, uint32_t bitset) {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        long r;
        do {
            r = futex(word, FUTEX_WAIT_BITSET, val, NULL, NULL, bitset);
        } while (r != 0 && errno == EINTR);
        _exit(r == 0 ? 0 : errno);
    }
    wait_asleep(pid);
    return pid;
}

static bool still_there(pid_t pid) {
    int status;
    return waitpid(pid, &status, WNOHANG) == 0;
}

static void wait_refuses_another_value(void) {
    uint32_t word = 5;
    CHECK_ERR(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERR(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0), EAGAIN);
}

static void wait_checks_its_arguments(void) {
    uint32_t words[2] = {0, 0};
    struct timespec bad = {0, 1000000000};
    CHECK_ERR(futex((uint32_t *)(void *)((char *)words + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(BAD, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERR(futex(words, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    CHECK_ERR(futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(words, 99, 0, NULL, NULL, 0), ENOSYS);
}

static void wait_times_out(void) {
    uint32_t word = 0;
    struct timespec ts = {0, 30000000}, until;
    int64_t start = now_ms();
    CHECK_ERR(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0), ETIMEDOUT);
    CHECK(now_ms() - start >= 29);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec--;
    CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &until);
    start = now_ms();
    until.tv_nsec += 30000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, NULL,
                    FUTEX_BITSET_MATCH_ANY),
              ETIMEDOUT);
    CHECK(now_ms() - start >= 28);
}

static void wake_without_waiters(void) {
    uint32_t word = 0;
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
}

static void wake_counts(void) {
    uint32_t *w = shared_words();
    pid_t a = waiter(w, 0, ~0u), b = waiter(w, 0, ~0u), c = waiter(w, 0, ~0u);
    CHECK_EQ(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK(child_ok(a)); /* first come, first served */
    CHECK(still_there(b));
    CHECK_EQ(futex(w, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 2);
    CHECK(child_ok(b));
    CHECK(child_ok(c));
}

static void wake_by_bitset(void) {
    uint32_t *w = shared_words();
    pid_t a = waiter(w, 0, 1), b = waiter(w, 0, 2);
    CHECK_EQ(futex(w, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 4), 0);
    CHECK_EQ(futex(w, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 2), 1);
    CHECK(child_ok(b));
    CHECK(still_there(a));
    CHECK_EQ(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK(child_ok(a));
}

/* The same file page at two addresses is the same futex. */
static void shared_by_mapping(void) {
    int fd = open("page", O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0 && ftruncate(fd, 4096) == 0);
    uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(a != MAP_FAILED && b != MAP_FAILED && a != b);
    pid_t pid = waiter(&a[7], 0, ~0u);
    CHECK_EQ(futex(&b[6], FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&b[7], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK(child_ok(pid));
}

static void requeue_moves(void) {
    uint32_t *w = shared_words();
    pid_t a = waiter(&w[0], 0, ~0u), b = waiter(&w[0], 0, ~0u), c = waiter(&w[0], 0, ~0u);
    CHECK_ERR(futex2(&w[0], FUTEX_CMP_REQUEUE, 1, 1, &w[64], 9), EAGAIN);
    CHECK_EQ(futex2(&w[0], FUTEX_CMP_REQUEUE, 1, 1, &w[64], 0), 2);
    CHECK(child_ok(a));
    CHECK_EQ(futex(&w[64], FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 1);
    CHECK(child_ok(b));
    CHECK_EQ(futex2(&w[0], FUTEX_REQUEUE, 0, INT_MAX, &w[64], 0), 1);
    CHECK_EQ(futex(&w[0], FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&w[64], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK(child_ok(c));
}

static void wake_op_changes_and_tests(void) {
    uint32_t *w = shared_words();
    pid_t a = waiter(&w[0], 0, ~0u), b = waiter(&w[64], 0, ~0u);
    /* w[64] += 5; its old value was 0, so "old > 3" does not wake there. */
    CHECK_EQ(
        futex2(&w[0], FUTEX_WAKE_OP, 1, 1, &w[64], FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_GT, 3)),
        1);
    CHECK(child_ok(a));
    CHECK_EQ(w[64], 5);
    CHECK_EQ(
        futex2(&w[0], FUTEX_WAKE_OP, 1, 1, &w[64], FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_EQ, 5)),
        1);
    CHECK_EQ(w[64], 1);
    CHECK(child_ok(b));
}

static void on_signal(int signo) {
    (void)signo;
}

static void handle(int signo, int flags) {
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static pid_t plain_waiter(uint32_t *word, const struct timespec *timeout) {
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        long r = futex(word, FUTEX_WAIT, 0, timeout, NULL, 0);
        _exit(r == 0 ? 0 : errno);
    }
    wait_asleep(pid);
    return pid;
}

static int exit_code(pid_t pid) {
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void signal_interrupts_or_restarts(void) {
    uint32_t *w = shared_words();
    struct timespec minute = {60, 0};
    handle(SIGUSR1, 0);
    handle(SIGUSR2, SA_RESTART);
    pid_t pid = plain_waiter(w, NULL);
    kill(pid, SIGUSR1);
    CHECK_EQ(exit_code(pid), EINTR);
    pid = plain_waiter(w, NULL);
    kill(pid, SIGUSR2);
    wait_asleep(pid);
    CHECK_EQ(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK_EQ(exit_code(pid), 0);
    /* With a timeout a handler ends it in any case; a stop and continue does not. */
    pid = plain_waiter(w, &minute);
    kill(pid, SIGUSR2);
    CHECK_EQ(exit_code(pid), EINTR);
    pid = plain_waiter(w, &minute);
    kill(pid, SIGSTOP);
    int status = 0;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    wait_asleep(pid);
    CHECK_EQ(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK_EQ(exit_code(pid), 0);
}

/* ---- threads ---- */

#define THREADS 4
#define ADDS    20000

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_count, g_turn;

static void *adder(void *arg) {
    for (int i = 0; i < ADDS; i++) {
        pthread_mutex_lock(&g_lock);
        g_count++;
        pthread_mutex_unlock(&g_lock);
    }
    return arg;
}

static void mutex_excludes(void) {
    pthread_t th[THREADS];
    g_count = 0;
    for (long i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&th[i], NULL, adder, (void *)i) == 0);
    }
    for (long i = 0; i < THREADS; i++) {
        void *ret;
        REQUIRE(pthread_join(th[i], &ret) == 0 && ret == (void *)i);
    }
    CHECK_EQ(g_count, THREADS * ADDS);
}

static void *turn_taker(void *arg) {
    long me = (long)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&g_lock);
        while (g_turn != me) {
            pthread_cond_wait(&g_cond, &g_lock);
        }
        g_turn = (me + 1) % THREADS;
        g_count++;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_lock);
    }
    return NULL;
}

static void condition_variable_hands_on(void) {
    pthread_t th[THREADS];
    g_count = g_turn = 0;
    for (long i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&th[i], NULL, turn_taker, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(th[i], NULL) == 0);
    }
    CHECK_EQ(g_count, THREADS * 500);
}

/* ---- robust and priority-inheriting mutexes between processes ---- */

static pthread_mutex_t *shared_mutex(bool robust, int protocol) {
    pthread_mutexattr_t attr;
    pthread_mutex_t *m = (pthread_mutex_t *)(void *)shared_words();
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
    REQUIRE(pthread_mutexattr_setprotocol(&attr, protocol) == 0);
    REQUIRE(pthread_mutex_init(m, &attr) == 0);
    return m;
}

/* A child that takes the lock and, when told over the pipe, dies with it. */
static void owner_dies(int protocol) {
    pthread_mutex_t *m = shared_mutex(true, protocol);
    int tell[2], told[2];
    char c = 'x';
    REQUIRE(pipe(tell) == 0 && pipe(told) == 0);
    pid_t owner = fork();
    REQUIRE(owner >= 0);
    if (owner == 0) {
        _exit(pthread_mutex_lock(m) != 0 || write(told[1], &c, 1) != 1 ||
              read(tell[0], &c, 1) != 1);
    }
    CHECK_EQ(read(told[0], &c, 1), 1);
    pid_t next = fork();
    REQUIRE(next >= 0);
    if (next == 0) {
        int err = pthread_mutex_lock(m);
        if (err == EOWNERDEAD) {
            err = pthread_mutex_consistent(m) != 0 || pthread_mutex_unlock(m) != 0;
        }
        _exit(err);
    }
    wait_asleep(next);
    CHECK_EQ(write(tell[1], &c, 1), 1);
    CHECK(child_ok(owner));
    CHECK(child_ok(next));
    CHECK_EQ(pthread_mutex_lock(m), 0);
    CHECK_EQ(pthread_mutex_unlock(m), 0);
}

static void robust_owner_dies(void) {
    owner_dies(PTHREAD_PRIO_NONE);
}

static void robust_pi_owner_dies(void) {
    owner_dies(PTHREAD_PRIO_INHERIT);
}

static void robust_list_is_remembered(void) {
    void *head = NULL, *mine[3] = {mine, NULL, NULL};
    size_t len = 0;
    CHECK_EQ(syscall(SYS_set_robust_list, mine, 24), 0);
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &head, &len), 0);
    CHECK(head == mine && len == 24);
    CHECK_ERR(syscall(SYS_set_robust_list, mine, 23), EINVAL);
    CHECK_EQ(syscall(SYS_set_robust_list, NULL, 24), 0);
}

static void pi_lock_reports_misuse(void) {
    uint32_t word = (uint32_t)getpid();
    CHECK_ERR(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word, 0);
    CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word & FUTEX_TID_MASK, getpid());
    CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    word = 1; /* somebody else's: init lives as long as we do */
    CHECK_ERR(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    CHECK_ERR(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
}

static void *pi_adder(void *arg) {
    pthread_mutex_t *m = arg;
    for (int i = 0; i < ADDS / 4; i++) {
        if (pthread_mutex_lock(m) != 0) {
            return arg;
        }
        g_count++;
        if (pthread_mutex_unlock(m) != 0) {
            return arg;
        }
    }
    return NULL;
}

static void pi_mutex_excludes(void) {
    pthread_mutex_t *m = shared_mutex(false, PTHREAD_PRIO_INHERIT);
    pthread_t th[THREADS];
    g_count = 0;
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&th[i], NULL, pi_adder, m) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *ret;
        REQUIRE(pthread_join(th[i], &ret) == 0 && ret == NULL);
    }
    CHECK_EQ(g_count, THREADS * (ADDS / 4));
}

int main(void) {
    RUN(wait_refuses_another_value);
    RUN(wait_checks_its_arguments);
    RUN(wait_times_out);
    RUN(wake_without_waiters);
    RUN(wake_counts);
    RUN(wake_by_bitset);
    RUN(shared_by_mapping);
    RUN(requeue_moves);
    RUN(wake_op_changes_and_tests);
    RUN(signal_interrupts_or_restarts);
    RUN(mutex_excludes);
    RUN(condition_variable_hands_on);
    RUN(robust_owner_dies);
    RUN(robust_pi_owner_dies);
    RUN(robust_list_is_remembered);
    RUN(pi_lock_reports_misuse);
    RUN(pi_mutex_excludes);
    TEST_MAIN_END;
}
