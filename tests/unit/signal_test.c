/* SPDX-License-Identifier: Apache-2.0 */
/* Signal queues and who gets a signal, over stand-ins for locks, heap and scheduler. */
#include "check.h"

#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/process.h"
#include "kernel/task.h"

#include <asm/prctl.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIG_INT  2
#define SIG_KILL 9
#define SIG_SEGV 11
#define SIG_TERM 15
#define SIG_CHLD 17
#define SIG_CONT 18
#define SIG_TSTP 20
#define SIG_RT   40
#define HANDLER  0x1000u

struct spinlock g_tasklist_lock;
static struct cpu g_cpu;
static struct task g_task[2];
static struct process g_process;
static struct sig_actions *g_actions;
static struct cred g_cred;
static struct user_counts g_user;
static int g_interrupts, g_fatal;

void spin_lock(struct spinlock *l) {
    CHECK(l->word == 0);
    l->word = 1;
}
void spin_unlock(struct spinlock *l) {
    CHECK(l->word == 1);
    l->word = 0;
}
void spin_init(struct spinlock *l, enum lock_rank rank) {
    l->word = 0;
}
void *kzalloc(size_t size) {
    return calloc(1, size);
}
void kfree(void *p) {
    free(p);
}
void waitq_wake(struct waitq *q, uint32_t events) {
}
void task_interrupt(struct task *t, bool fatal) {
    g_interrupts++;
    g_fatal += fatal;
}
const struct cred *task_cred_get(struct task *t) {
    return &g_cred;
}
void cred_put(const struct cred *c) {
}
void user_counts_put(struct user_counts *u) {
    CHECK(u == &g_user && atomic_fetch_sub(&u->ref.n, 1u) > 1);
}

static void begin(void) {
    memset(g_task, 0, sizeof(g_task));
    memset(&g_process, 0, sizeof(g_process));
    memset(&g_user, 0, sizeof(g_user));
    g_user.ref.n = 1;
    g_cred.user = &g_user;
    list_init(&g_process.threads);
    sig_queue_init(&g_process.pending);
    g_actions = sig_actions_create(NULL);
    g_process.actions = g_actions;
    g_process.rlimits[11].cur = 10; /* RLIMIT_SIGPENDING */
    for (int i = 0; i < 2; i++) {
        sig_queue_init(&g_task[i].pending);
        g_task[i].process = &g_process;
        g_task[i].tid = 10 + i;
        list_push_back(&g_process.threads, &g_task[i].thread_link);
    }
    g_process.leader = &g_task[0];
    g_process.thread_count = 2;
    g_interrupts = g_fatal = 0;
    g_cpu.self = &g_cpu;
    g_cpu.running = &g_task[0];
}

static void end(void) {
    sig_queue_flush(&g_process.pending, ~0ull);
    sig_queue_flush(&g_task[0].pending, ~0ull);
    sig_queue_flush(&g_task[1].pending, ~0ull);
    CHECK(g_user.signals == 0 && g_user.ref.n == 1); /* every entry gave its charge back */
    sig_actions_put(g_actions);
}

static void catch_signal(int signo) {
    g_actions->sa[signo - 1].handler = HANDLER;
}

static struct ksiginfo queued(int signo, uint64_t value) {
    struct ksiginfo info = {.signo = signo, .code = -1 /* SI_QUEUE */};

    info.u.rt.value = value;
    return info;
}

static void test_queueing(void) {
    struct ksiginfo info;

    begin();
    catch_signal(SIG_RT);
    catch_signal(SIG_TERM);
    g_task[0].blocked = g_task[1].blocked = ~0ull;
    for (uint64_t i = 0; i < 3; i++) {
        struct ksiginfo rt = queued(SIG_RT, i);
        struct ksiginfo term = queued(SIG_TERM, i);
        CHECK(signal_send_process(&g_process, SIG_RT, &rt) == 0);
        CHECK(signal_send_process(&g_process, SIG_TERM, &term) == 0);
    }
    CHECK(g_user.signals == 4); /* three real-time, one classic */
    CHECK(!signal_pending(&g_task[0]) && g_interrupts == 0);
    CHECK(signal_dequeue(~0ull, &info) && info.signo == SIG_TERM && info.u.rt.value == 0);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK(signal_dequeue(~0ull, &info) && info.signo == SIG_RT && info.u.rt.value == i);
    }
    CHECK(!signal_dequeue(~0ull, &info));
    end();
}

static void test_limit(void) {
    struct ksiginfo rt = queued(SIG_RT, 1);
    struct ksiginfo info;
    int sent = 0;

    begin();
    catch_signal(SIG_RT);
    catch_signal(SIG_TERM);
    g_task[0].blocked = g_task[1].blocked = ~0ull;
    while (signal_send_process(&g_process, SIG_RT, &rt) == 0) {
        sent++;
    }
    CHECK(sent == 10 && signal_send_process(&g_process, SIG_RT, &rt) == -EAGAIN);
    /* A classic signal is never lost for want of a queue entry. */
    struct ksiginfo term = {.signo = SIG_TERM, .code = 0};
    CHECK(signal_send_process(&g_process, SIG_TERM, &term) == 0);
    CHECK(signal_dequeue(SIG_BIT(SIG_TERM), &info) && info.signo == SIG_TERM);
    end();
}

static void test_fatal(void) {
    begin();
    CHECK(signal_send_process(&g_process, SIG_TERM, NULL) == 0);
    CHECK(g_process.group_exit && g_process.exit_code == SIG_TERM && g_fatal == 2);
    CHECK(signal_fatal_pending(&g_task[0]) && signal_fatal_pending(&g_task[1]));
    end();
    begin();
    g_process.unkillable = true;
    struct ksiginfo inside = {.signo = SIG_KILL, .code = 0};
    inside.u.rt.pid = 7;
    CHECK(signal_send_process(&g_process, SIG_KILL, &inside) == 0);
    CHECK(signal_send_process(&g_process, SIG_TERM, &inside) == 0);
    CHECK(!g_process.group_exit && g_process.pending.set == 0);
    CHECK(signal_send_outside(&g_process, SIG_TERM) == 0 && g_process.group_exit);
    end();
}

static void test_ignored(void) {
    begin();
    CHECK(signal_send_process(&g_process, SIG_CHLD, NULL) == 0 && g_process.pending.set == 0);
    g_actions->sa[SIG_INT - 1].handler = 1; /* SIG_IGN */
    CHECK(signal_send_process(&g_process, SIG_INT, NULL) == 0 && g_process.pending.set == 0);
    g_task[1].blocked = SIG_BIT(SIG_INT); /* somebody may wait for it */
    CHECK(signal_send_process(&g_process, SIG_INT, NULL) == 0);
    CHECK(g_process.pending.set == SIG_BIT(SIG_INT));
    end();
}

static void test_choice(void) {
    begin();
    catch_signal(SIG_INT);
    g_task[0].blocked = SIG_BIT(SIG_INT);
    CHECK(signal_send_process(&g_process, SIG_INT, NULL) == 0);
    CHECK(!signal_pending(&g_task[0]) && signal_pending(&g_task[1]) && g_interrupts == 1);
    end();
    begin();
    catch_signal(SIG_INT);
    CHECK(signal_send_task(&g_task[1], SIG_INT, NULL) == 0);
    CHECK(g_task[1].pending.set == SIG_BIT(SIG_INT) && !signal_pending(&g_task[0]));
    end();
}

static void test_job_control(void) {
    begin();
    g_task[0].blocked = g_task[1].blocked = SIG_BIT(SIG_TSTP) | SIG_BIT(SIG_CONT);
    CHECK(signal_send_process(&g_process, SIG_TSTP, NULL) == 0);
    CHECK(g_process.pending.set == SIG_BIT(SIG_TSTP));
    CHECK(signal_send_process(&g_process, SIG_CONT, NULL) == 0);
    CHECK(g_process.pending.set == SIG_BIT(SIG_CONT)); /* each takes the other back */
    CHECK(signal_send_process(&g_process, SIG_TSTP, NULL) == 0);
    CHECK(g_process.pending.set == SIG_BIT(SIG_TSTP));
    g_process.stopped = true;
    g_process.stop_signal = SIG_TSTP;
    g_task[0].parked = g_task[1].parked = true;
    CHECK(signal_send_process(&g_process, SIG_CONT, NULL) == 0);
    CHECK(!g_process.stopped && !g_task[0].parked && g_process.cld_notify != 0);
    CHECK(g_process.wait_flags == WAIT_EVENT_CONTINUED);
    end();
}

static void test_faults_first(void) {
    struct ksiginfo info;

    begin();
    catch_signal(SIG_INT);
    catch_signal(SIG_SEGV);
    g_task[0].blocked = ~0ull;
    CHECK(signal_send_task(&g_task[0], SIG_INT, NULL) == 0);
    struct ksiginfo segv = {.signo = SIG_SEGV, .code = 1};
    signal_force(&g_task[0], &segv);
    /* It was blocked, so its handler is gone and it ends the process. */
    CHECK(g_actions->sa[SIG_SEGV - 1].handler == 0 && g_process.group_exit);
    CHECK(signal_dequeue(~0ull, &info) && info.signo == SIG_SEGV);
    end();
}

static void test_timer_overrun(void) {
    struct ksiginfo info = {.signo = SIG_RT, .code = -2 /* SI_TIMER */};
    struct ksiginfo out;

    begin();
    catch_signal(SIG_RT);
    g_task[0].blocked = g_task[1].blocked = ~0ull;
    info.u.timer.timerid = 3;
    CHECK(signal_send_process(&g_process, SIG_RT, &info) == 0);
    CHECK(signal_send_process(&g_process, SIG_RT, &info) == 0);
    CHECK(signal_send_process(&g_process, SIG_RT, &info) == 0);
    CHECK(signal_dequeue(~0ull, &out) && out.u.timer.overrun == 2);
    CHECK(!signal_dequeue(~0ull, &out));
    end();
}

int main(void) {
    /* `current` is read through gs. */
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &g_cpu) == 0);
    test_queueing();
    test_limit();
    test_fatal();
    test_ignored();
    test_choice();
    test_job_control();
    test_faults_first();
    test_timer_overrun();
    return 0;
}
