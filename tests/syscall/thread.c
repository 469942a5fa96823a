/* SPDX-License-Identifier: Apache-2.0 */
/* pthreads(7) as programs use them: TLS, mutexes, conditions, signals to threads, robust mutexes.
 */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define THREADS 8

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_counter;
static __thread long g_local = 5;

static void *count(void *arg) {
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&g_mutex);
        g_counter++;
        pthread_mutex_unlock(&g_mutex);
        g_local++;
    }
    return (void *)g_local;
}

static void mutexes_exclude(void) {
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&t[i], NULL, count, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *local;
        CHECK_EQ(pthread_join(t[i], &local), 0);
        CHECK_EQ((long)local, 20005);
    }
    CHECK_EQ(g_counter, 20000L * THREADS);
    CHECK_EQ(g_local, 5);
}

static int g_turn;

static void *take_turns(void *arg) {
    int me = *(int *)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&g_mutex);
        while (g_turn % 2 != me) {
            pthread_cond_wait(&g_cond, &g_mutex);
        }
        g_turn++;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_mutex);
    }
    return NULL;
}

static void conditions_hand_over(void) {
    pthread_t t[2];
    int id[2] = {0, 1};
    for (int i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&t[i], NULL, take_turns, &id[i]) == 0);
    }
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    CHECK_EQ(g_turn, 1000);
}

static void condition_timeout(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 30000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    int64_t start = now_ms();
    pthread_mutex_lock(&g_mutex);
    CHECK_EQ(pthread_cond_timedwait(&g_cond, &g_mutex, &ts), ETIMEDOUT);
    CHECK(now_ms() - start >= 28);
}

static pthread_barrier_t g_barrier;

static void *meet(void *arg) {
    long serial = 0;
    for (int i = 0; i < 200; i++) {
        serial += pthread_barrier_wait(&g_barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
    }
    return (void *)serial;
}

static void barriers_meet(void) {
    pthread_t t[4];
    long total = 0;
    REQUIRE(pthread_barrier_init(&g_barrier, NULL, 4) == 0);
    for (int i = 0; i < 4; i++) {
        REQUIRE(pthread_create(&t[i], NULL, meet, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        void *serial;
        pthread_join(t[i], &serial);
        total += (long)serial;
    }
    CHECK_EQ(total, 200);
}

static void *tell_ids(void *arg) {
    pid_t *ids = arg;
    ids[0] = getpid();
    ids[1] = (pid_t)syscall(SYS_gettid);
    return NULL;
}

static void ids_of_threads(void) {
    pthread_t t;
    pid_t ids[2];
    CHECK_EQ(getpid(), syscall(SYS_gettid));
    REQUIRE(pthread_create(&t, NULL, tell_ids, ids) == 0);
    pthread_join(t, NULL);
    CHECK_EQ(ids[0], getpid());
    CHECK(ids[1] != getpid() && ids[1] > 0);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), ids[1], 0), ESRCH);
}

static volatile pid_t g_signal_tid;
static sem_t g_ready;

static void on_signal(int signo) {
    g_signal_tid = (pid_t)syscall(SYS_gettid);
}

static void *wait_for_signal(void *arg) {
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
    sem_post(&g_ready);
    while (g_signal_tid == 0) {
        sleep_ms(1);
    }
    return NULL;
}

static void signals_to_one_thread(void) {
    struct sigaction sa = {.sa_handler = on_signal};
    pthread_t t;
    pid_t tid = 0;
    REQUIRE(sigaction(SIGUSR1, &sa, NULL) == 0 && sem_init(&g_ready, 0, 0) == 0);
    REQUIRE(pthread_create(&t, NULL, wait_for_signal, &tid) == 0);
    sem_wait(&g_ready);
    CHECK_EQ(pthread_kill(t, SIGUSR1), 0);
    pthread_join(t, NULL);
    CHECK_EQ(g_signal_tid, tid);
}

static void process_signals_find_a_thread(void) {
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t set;
    pthread_t t;
    pid_t tid = 0;
    REQUIRE(sigaction(SIGUSR1, &sa, NULL) == 0 && sem_init(&g_ready, 0, 0) == 0);
    REQUIRE(pthread_create(&t, NULL, wait_for_signal, &tid) == 0);
    sem_wait(&g_ready);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    pthread_join(t, NULL);
    CHECK_EQ(g_signal_tid, tid);
}

static pthread_mutex_t *g_shared;

static void *die_with_lock(void *arg) {
    pthread_mutex_lock(g_shared);
    return NULL;
}

static void robust_mutexes(void) {
    pthread_mutexattr_t attr;
    g_shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(g_shared != MAP_FAILED);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    REQUIRE(pthread_mutex_init(g_shared, &attr) == 0);
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, die_with_lock, NULL) == 0);
    pthread_join(t, NULL);
    CHECK_EQ(pthread_mutex_lock(g_shared), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(g_shared), 0);
    CHECK_EQ(pthread_mutex_unlock(g_shared), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(g_shared);
        _exit(0);
    }
    CHECK(child_ok(pid));
    CHECK_EQ(pthread_mutex_lock(g_shared), EOWNERDEAD);
}

static void shared_semaphore(void) {
    sem_t *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(s != MAP_FAILED && sem_init(s, 1, 0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(sem_wait(s) == 0 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(sem_post(s), 0);
    CHECK(child_ok(pid));
}

static void *nothing(void *arg) {
    return arg;
}

static void many_short_threads(void) {
    for (int i = 0; i < 300; i++) {
        pthread_t t;
        void *back;
        REQUIRE(pthread_create(&t, NULL, nothing, (void *)(long)i) == 0);
        REQUIRE(pthread_join(t, &back) == 0 && (long)back == i);
    }
}

static void many_at_once(void) {
    pthread_t t[100];
    REQUIRE(sem_init(&g_ready, 0, 0) == 0);
    for (long i = 0; i < 100; i++) {
        REQUIRE(pthread_create(&t[i], NULL, nothing, (void *)i) == 0);
    }
    for (long i = 0; i < 100; i++) {
        void *back;
        REQUIRE(pthread_join(t[i], &back) == 0 && (long)back == i);
    }
}

static void *cancel_me(void *arg) {
    sem_post(&g_ready);
    for (;;) {
        pause();
    }
    return NULL;
}

static void cancellation(void) {
    pthread_t t;
    void *back;
    REQUIRE(sem_init(&g_ready, 0, 0) == 0 && pthread_create(&t, NULL, cancel_me, NULL) == 0);
    sem_wait(&g_ready);
    CHECK_EQ(pthread_cancel(t), 0);
    CHECK_EQ(pthread_join(t, &back), 0);
    CHECK(back == PTHREAD_CANCELED);
}

static void *close_later(void *arg) {
    int *p = arg;
    char c;
    return (void *)(long)read(p[0], &c, 1);
}

static void descriptors_are_shared(void) {
    int p[2];
    REQUIRE(pipe(p) == 0);
    pthread_t t;
    void *back;
    REQUIRE(pthread_create(&t, NULL, close_later, p) == 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    pthread_join(t, &back);
    CHECK_EQ((long)back, 1);
}

int main(void) {
    RUN(mutexes_exclude);
    RUN(conditions_hand_over);
    RUN(condition_timeout);
    RUN(barriers_meet);
    RUN(ids_of_threads);
    RUN(signals_to_one_thread);
    RUN(process_signals_find_a_thread);
    RUN(robust_mutexes);
    RUN(shared_semaphore);
    RUN(many_short_threads);
    RUN(many_at_once);
    RUN(cancellation);
    RUN(descriptors_are_shared);
    TEST_MAIN_END;
}
