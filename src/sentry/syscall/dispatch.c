/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a number to its handler.  The table is made from arch/x86_64/syscalls.def.
 */
#include "base/atomic.h"
#include "kernel/log.h"
#include "kernel/seccomp.h"
#include "kernel/task.h"
#include "syscall/strace.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>

#define SYSCALL_MAX 512u

struct syscall_entry {
    syscall_fn *fn; /* NULL: not served */
    const char *name;
    const char *format;
};

#define SYSCALL(nr, name, flags, support, format, note) [nr] = {sys_##name, #name, format},
#define SYSCALL_NONE(nr, name)                          [nr] = {NULL, #name, ""},
static const struct syscall_entry g_table[SYSCALL_MAX] = {
#include "arch/x86_64/syscalls.def"
};
#undef SYSCALL
#undef SYSCALL_NONE

static uint64_t g_unknown_logged[SYSCALL_MAX / 64 +
                                 1]; /* atomic; the last word stands for all beyond the table */

const char *syscall_name(uint64_t nr) {
    const char *name = nr < SYSCALL_MAX ? g_table[nr].name : NULL;
    return name != NULL ? name : "unknown";
}

static int64_t syscall_unknown(struct task *t, uint64_t nr) {
    uint64_t index = MIN(nr, (uint64_t)SYSCALL_MAX);
    uint64_t bit = 1ull << (index % 64);
    if ((atomic_fetch_or(&g_unknown_logged[index / 64], bit) & bit) == 0) {
        log_warn("system call %lu (%s) is not served, first made by process %d (%s)", nr,
                 syscall_name(nr), t->process->pid, t->comm);
    }
    return -ENOSYS;
}

/* False: a filter has answered. */
static bool filter_allows(struct task *t, uint64_t nr, const struct sysargs *args,
                          int64_t *out_result) {
    bool allowed = seccomp_enter(t, nr, args, out_result);
    if (!allowed && hal_strace_enabled()) {
        strace_unknown(t, nr, args, *out_result);
    }
    return allowed;
}

int64_t syscall_dispatch(struct task *t, uint64_t nr, const struct sysargs *args) {
    const struct syscall_entry *e = &g_table[nr < SYSCALL_MAX ? nr : 0];
    int64_t result;
    if (unlikely(atomic_load_relaxed(&t->seccomp_mode) != 0) &&
        !filter_allows(t, nr, args, &result)) {
        return result;
    }
    if (unlikely(nr >= SYSCALL_MAX || e->fn == NULL)) {
        result = syscall_unknown(t, nr);
        if (hal_strace_enabled()) {
            strace_unknown(t, nr, args, result);
        }
        return result;
    }
    if (unlikely(hal_strace_enabled())) {
        return strace_call(t, e->fn, e->name, e->format, args);
    }
    return e->fn(t, args);
}
