/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp filter of the stubs, from the rows of stub_calls.def.  It allows exactly one thing by
 * itself: rt_sigreturn at its one instruction in the stub text.  The instruction pointer is tested
 * first: then installing costs a tenth (design section 2a).
 *
 * Guest code: numbers of NOTIFY rows are found by bisection over their ranges; all others, and
 * other architectures, are a SIGSYS.  Stub text: the calls of ORDER rows and the stub's own numbers
 * are notifications; anything else is the end.
 */
#include "platform/systrap/internal.h"

#include <linux/audit.h>
#include <linux/filter.h>

#define NR_RT_SIGRETURN 15
#define NR_CLONE        56
#define NR_FUTEX        202
#define FUTEX_OP_MASK   0x7fu
#define CALL_MAX        512u /* above the last number of a NOTIFY row */
#define RANGE_MAX       64u

#define DATA(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define IP_LOW      DATA(instruction_pointer)
#define IP_HIGH     (DATA(instruction_pointer) + 4)

struct program {
    struct sock_filter *out;
    uint32_t n;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint32_t jt, uint32_t jf) {
    p->out[p->n++] =
        (struct sock_filter){.code = code, .jt = (uint8_t)jt, .jf = (uint8_t)jf, .k = k};
}

/* Lets the jump at `at` go to the end of what is there when its condition holds (or when it does
 * not). */
static void land(struct program *p, uint32_t at, bool when_true) {
    uint32_t distance = p->n - at - 1;
    if (distance > UINT8_MAX) {
        host_die("systrap: the stubs' filter grew too long");
    }
    if (when_true) {
        p->out[at].jt = (uint8_t)distance;
    } else {
        p->out[at].jf = (uint8_t)distance;
    }
}

static void load(struct program *p, uint32_t off) {
    emit(p, BPF_LD | BPF_W | BPF_ABS, off, 0, 0);
}

static void jump_equal(struct program *p, uint32_t k, uint32_t jt, uint32_t jf) {
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, k, jt, jf);
}

static void ret(struct program *p, uint32_t action) {
    emit(p, BPF_RET | BPF_K, action, 0, 0);
}

const uint16_t g_notify_calls[] = {
#define NOTIFY(call, reason) SYS_##call,
#define NOTIFY_FUTEX(op, reason)
#define ORDER(call, reason)
#include "platform/systrap/stub_calls.def"
#undef NOTIFY
#undef NOTIFY_FUTEX
#undef ORDER
};
const size_t g_notify_call_count = ARRAY_COUNT(g_notify_calls);

static const uint8_t g_futex_ops[] = {
#define NOTIFY(call, reason)
#define NOTIFY_FUTEX(op, reason) (op),
#define ORDER(call, reason)
#include "platform/systrap/stub_calls.def"
#undef NOTIFY
#undef NOTIFY_FUTEX
#undef ORDER
};

static const uint32_t g_orders[] = {
#define NOTIFY(call, reason)
#define NOTIFY_FUTEX(op, reason)
#define ORDER(call, reason) SYS_##call,
#include "platform/systrap/stub_calls.def"
#undef NOTIFY
#undef NOTIFY_FUTEX
#undef ORDER
    STUB_NR_TRAP,
    STUB_NR_REPORT,
    STUB_NR_BORN,
    STUB_NR_WAIT,
};

/* Numbers at which the answer changes: below bounds[0] it is a trap, from there a notification, and
 * so on. */
static uint32_t find_bounds(uint32_t *bounds) {
    bool notify[CALL_MAX] = {false};
    uint32_t n = 0;
    for (size_t i = 0; i < g_notify_call_count; i++) {
        notify[g_notify_calls[i]] = true;
    }
    for (uint32_t nr = 0; nr < CALL_MAX; nr++) {
        if (notify[nr] != (n % 2 != 0)) {
            bounds[n++] = nr;
        }
    }
    return n;
}

/* Bisects bounds[lo, hi): `below` is the answer under bounds[lo]. */
static void bisect(struct program *p, const uint32_t *bounds, uint32_t lo, uint32_t hi) {
    if (lo == hi) {
        ret(p, lo % 2 != 0 ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_TRAP);
        return;
    }
    uint32_t mid = lo + (hi - lo) / 2, at = p->n;
    emit(p, BPF_JMP | BPF_JGE | BPF_K, bounds[mid], 0, 0);
    bisect(p, bounds, lo, mid);
    land(p, at, true);
    bisect(p, bounds, mid + 1, hi);
}

static void guest_calls(struct program *p) {
    uint32_t bounds[RANGE_MAX * 2];
    uint32_t count = find_bounds(bounds), ops = ARRAY_COUNT(g_futex_ops);
    load(p, DATA(arch));
    jump_equal(p, AUDIT_ARCH_X86_64, 1, 0);
    ret(p, SECCOMP_RET_TRAP);
    load(p, DATA(nr));
    jump_equal(p, NR_FUTEX, 0, ops + 4);
    load(p, DATA(args[1]));
    emit(p, BPF_ALU | BPF_AND | BPF_K, FUTEX_OP_MASK, 0, 0);
    for (uint32_t i = 0; i < ops; i++) {
        jump_equal(p, g_futex_ops[i], ops - i, 0);
    }
    ret(p, SECCOMP_RET_TRAP);
    ret(p, SECCOMP_RET_USER_NOTIF);
    bisect(p, bounds, 0, count);
}

/* Whether the low word of clone's flags is one of the two that orders use. */
static void clone_flags(struct program *p) {
    load(p, DATA(args[0]));
    jump_equal(p, STUB_CLONE_PROCESS, 2, 0);
    jump_equal(p, STUB_CLONE_THREAD, 1, 0);
    ret(p, SECCOMP_RET_KILL_PROCESS);
    ret(p, SECCOMP_RET_USER_NOTIF);
}

static void stub_calls(struct program *p) {
    uint32_t count = ARRAY_COUNT(g_orders);
    load(p, IP_LOW);
    jump_equal(p, (uint32_t)STUB_ADDR(stub_ip_sigreturn), 0, 3);
    load(p, DATA(nr));
    jump_equal(p, NR_RT_SIGRETURN, 0, 1);
    ret(p, SECCOMP_RET_ALLOW);
    load(p, DATA(nr));
    jump_equal(p, NR_CLONE, 0, 5);
    clone_flags(p);
    for (uint32_t i = 0; i < count; i++) {
        jump_equal(p, g_orders[i], count - i, 0);
    }
    ret(p, SECCOMP_RET_KILL_PROCESS);
    ret(p, SECCOMP_RET_USER_NOTIF);
}

uint32_t filter_build(struct sock_filter *out, bool trap_only) {
    struct program p = {out, 0};
    load(&p, IP_HIGH);
    jump_equal(&p, (uint32_t)(STUB_TEXT >> 32), 0, 2);
    load(&p, IP_LOW);
    uint32_t at = p.n;
    emit(&p, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)STUB_TEXT + STUB_TEXT_SIZE, 0,
         0); /* to guest code or stub text */
    if (trap_only) {
        ret(&p, SECCOMP_RET_TRAP);
    } else {
        guest_calls(&p);
    }
    land(&p, at, false);
    stub_calls(&p);
    return p.n;
}
