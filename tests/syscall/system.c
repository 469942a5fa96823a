/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling calls and facts of the system: sched(7), getpriority(2), uname(2), sysinfo(2),
 * getrandom(2), membarrier(2). */
#include "harness.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void affinity_is_kept(void) {
    cpu_set_t all, one, got;
    CPU_ZERO(&all);
    REQUIRE(sched_getaffinity(0, sizeof(all), &all) == 0);
    CHECK(CPU_COUNT(&all) >= 1);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof(got), &got), 0);
    CHECK(CPU_EQUAL(&got, &one));
    CPU_ZERO(&one);
    CHECK_ERR(sched_setaffinity(0, sizeof(one), &one), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 3, &got), EINVAL);
    CHECK_ERR(sched_getaffinity(4000000, sizeof(got), &got), ESRCH);
    pid_t pid = fork();
    if (pid == 0) {
        CPU_ZERO(&got);
        _exit(sched_getaffinity(0, sizeof(got), &got) != 0 || CPU_COUNT(&got) != 1);
    }
    CHECK(child_ok(pid));
}

static void policy_is_kept(void) {
    struct sched_param p = {0};
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(sched_setscheduler(0, SCHED_BATCH, &p), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    p.sched_priority = 1;
    CHECK_ERR(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
    p.sched_priority = 100;
    CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
    CHECK_ERR(sched_setscheduler(0, 77, &p), EINVAL);
    CHECK_EQ(sched_get_priority_max(SCHED_RR), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
    CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
    CHECK_ERR(sched_get_priority_max(55), EINVAL);
    CHECK_EQ(sched_getparam(0, &p), 0);
    CHECK_EQ(p.sched_priority, 0);
    CHECK_EQ(sched_yield(), 0);
}

static void nice_values(void) {
    errno = 0;
    int before = getpriority(PRIO_PROCESS, 0);
    CHECK_EQ(errno, 0);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, before + 5 > 19 ? 19 : before + 5), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), before + 5 > 19 ? 19 : before + 5);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 100), 0); /* is cut */
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERR(getpriority(PRIO_PROCESS, 4000000), ESRCH);
    CHECK_ERR(getpriority(9, 0), EINVAL);
    CHECK(getpriority(PRIO_PGRP, 0) <= 19);
    CHECK(getpriority(PRIO_USER, 0) <= 19);
}

static void names_and_facts(void) {
    struct utsname u;
    struct sysinfo s;
    REQUIRE(uname(&u) == 0 && sysinfo(&s) == 0);
    CHECK(strcmp(u.sysname, "Linux") == 0 && strcmp(u.machine, "x86_64") == 0);
    CHECK(u.release[0] >= '4' && u.nodename[0] != '\0');
    CHECK(s.uptime > 0 && s.totalram > s.freeram && s.freeram > 0 && s.mem_unit >= 1 &&
          s.procs >= 1);
    CHECK_ERR(syscall(SYS_uname, BAD), EFAULT);
    CHECK_ERR(syscall(SYS_sysinfo, BAD), EFAULT);
    CHECK_EQ(personality(0xffffffff), 0);
    unsigned int cpu = 9999;
    CHECK_EQ(syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
    CHECK(cpu < 4096);
}

static void random_bytes(void) {
    static unsigned char a[4096], b[4096];
    CHECK_EQ(getrandom(a, sizeof(a), 0), sizeof(a));
    CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    int ones = 0;
    for (size_t i = 0; i < sizeof(a); i++) {
        ones += __builtin_popcount(a[i]);
    }
    CHECK(ones > 15000 && ones < 17800); /* 16384 expected, deviation 90 */
    CHECK_ERR(getrandom(a, 16, 0x100), EINVAL);
    CHECK_ERR(getrandom(BAD, 16, 0), EFAULT);
    CHECK_EQ(getrandom(a, 0, 0), 0);
}

/* ---- membarrier: the asymmetric fence of a store-buffering test ---- */

static int g_x, g_y, g_go, g_done;
static int g_r1;
static bool g_stop;

static void *light_side(void *arg) {
    for (int round = 1; !__atomic_load_n(&g_stop, __ATOMIC_ACQUIRE); round++) {
        while (__atomic_load_n(&g_go, __ATOMIC_ACQUIRE) != round) {
            if (__atomic_load_n(&g_stop, __ATOMIC_ACQUIRE)) {
                return arg;
            }
        }
        __atomic_store_n(&g_x, 1, __ATOMIC_RELAXED);
        __asm__ volatile(
            "" ::
                : "memory"); /* no fence: the other side's membarrier stands in for it */
        g_r1 = __atomic_load_n(&g_y, __ATOMIC_RELAXED);
        __atomic_store_n(&g_done, round, __ATOMIC_RELEASE);
    }
    return arg;
}

static void membarrier_fences_the_other_side(void) {
    pthread_t th;
    long served = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (served < 0 || (served & MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) {
        SKIP("no private expedited membarrier here");
    }
    CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0), 0);
    REQUIRE(pthread_create(&th, NULL, light_side, NULL) == 0);
    for (int round = 1; round <= 300; round++) {
        g_x = g_y = 0;
        __atomic_store_n(&g_go, round, __ATOMIC_RELEASE);
        __atomic_store_n(&g_y, 1, __ATOMIC_RELAXED);
        REQUIRE(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
        int r2 = __atomic_load_n(&g_x, __ATOMIC_RELAXED);
        while (__atomic_load_n(&g_done, __ATOMIC_ACQUIRE) != round) {
        }
        REQUIRE(g_r1 == 1 || r2 == 1);
    }
    __atomic_store_n(&g_stop, true, __ATOMIC_RELEASE);
    pthread_join(th, NULL);
    CHECK_ERR(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}

int main(void) {
    RUN(affinity_is_kept);
    RUN(policy_is_kept);
    RUN(nice_values);
    RUN(names_and_facts);
    RUN(random_bytes);
    RUN(membarrier_fences_the_other_side);
    TEST_MAIN_END;
}
