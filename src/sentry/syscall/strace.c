/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of system calls, driven by the format column of arch/x86_64/syscalls.def.
 * Trust: strings come from guest memory; they are copied once, bounded, and shown with everything
 * unprintable escaped.
 */
#include "syscall/strace.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/log.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <asm-generic/unistd.h>
#include <asm/signal.h>

#define STRING_SHOWN 96u
#define TEXT_MAX     448u
#define AT_CWD       (-100)

struct text {
    char buf[TEXT_MAX];
    size_t len;
};

static void add(struct text *x, const char *format, ...) printf_like(2, 3);

static void add(struct text *x, const char *format, ...) {
    va_list args;
    va_start(args, format);
    size_t room = sizeof(x->buf) - x->len;
    size_t len = fmt_vsnprintf(x->buf + x->len, room, format, args);
    va_end(args);
    x->len += MIN(len, room - 1);
}

static void add_string(struct text *x, uint64_t addr) {
    char s[STRING_SHOWN + 1];
    int64_t len = addr == 0 ? -EFAULT : copyin_str(s, uaddr_of(addr), sizeof(s));
    bool cut = len == -ENAMETOOLONG;
    if (len < 0 && !cut) {
        add(x, addr == 0 ? "NULL" : "0x%lx", addr);
        return;
    }
    add(x, "\"");
    for (size_t i = 0; i < (cut ? STRING_SHOWN : (size_t)len); i++) {
        char c = s[i];
        if (c == '"' || c == '\\') {
            add(x, "\\%c", c);
        } else if (c >= ' ' && c < 0x7f) {
            add(x, "%c", c);
        } else {
            add(x, "\\x%02x", (uint8_t)c);
        }
    }
    add(x, cut ? "\"..." : "\"");
}

static const char *const g_signal_names[] = {
    NULL,   "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};

static void add_signal(struct text *x, uint64_t signo) {
    if (signo > 0 && signo < ARRAY_COUNT(g_signal_names)) {
        add(x, "SIG%s", g_signal_names[signo]);
    } else {
        add(x, "%d", (int)signo);
    }
}

static void add_argument(struct text *x, char kind, uint64_t v) {
    switch (kind) {
    case 'd':
        add(x, "%ld", (int64_t)v == (int32_t)v || v > UINT32_MAX ? (int64_t)v : (int32_t)v);
        break;
    case 'u':
    case 'S':
        add(x, "%lu", v);
        break;
    case 'o':
        add(x, "0%lo", v & 0xffffffff);
        break;
    case 's':
        add_string(x, v);
        break;
    case 'f':
        add(x, "%d", (int)v);
        break;
    case 'a':
        if ((int)v == AT_CWD) {
            add(x, "AT_FDCWD");
        } else {
            add(x, "%d", (int)v);
        }
        break;
    case 'n':
        add_signal(x, v);
        break;
    case 'p':
        add(x, v == 0 ? "NULL" : "0x%lx", v);
        break;
    default:
        add(x, "0x%lx", v);
        break;
    }
}

static void add_call(struct text *x, const char *name, const char *format,
                     const struct sysargs *args) {
    add(x, "%s(", name);
    for (size_t i = 0; format[i] != '\0' && i < 6; i++) {
        if (i > 0) {
            add(x, ", ");
        }
        add_argument(x, format[i], args->a[i]);
    }
    add(x, ")");
}

#define NAME(e) [e] = #e
static const char *const g_error_names[] = {
    NAME(EPERM),
    NAME(ENOENT),
    NAME(ESRCH),
    NAME(EINTR),
    NAME(EIO),
    NAME(ENXIO),
    NAME(E2BIG),
    NAME(ENOEXEC),
    NAME(EBADF),
    NAME(ECHILD),
    NAME(EAGAIN),
    NAME(ENOMEM),
    NAME(EACCES),
    NAME(EFAULT),
    NAME(EBUSY),
    NAME(EEXIST),
    NAME(EXDEV),
    NAME(ENODEV),
    NAME(ENOTDIR),
    NAME(EISDIR),
    NAME(EINVAL),
    NAME(ENFILE),
    NAME(EMFILE),
    NAME(ENOTTY),
    NAME(EFBIG),
    NAME(ENOSPC),
    NAME(ESPIPE),
    NAME(EROFS),
    NAME(EMLINK),
    NAME(EPIPE),
    NAME(ERANGE),
    NAME(ENAMETOOLONG),
    NAME(ENOSYS),
    NAME(ENOTEMPTY),
    NAME(ELOOP),
    NAME(ENODATA),
    NAME(EOVERFLOW),
    NAME(ENOTSOCK),
    NAME(EOPNOTSUPP),
    NAME(EAFNOSUPPORT),
    NAME(EADDRINUSE),
    NAME(EISCONN),
    NAME(ECONNREFUSED),
    NAME(ENOTCONN),
    NAME(ETIMEDOUT),
    NAME(EINPROGRESS),
    NAME(EALREADY),
    NAME(ERESTARTSYS),
    NAME(ERESTARTNOINTR),
    NAME(ERESTARTNOHAND),
    NAME(ERESTART_RESTARTBLOCK),
};
#undef NAME

static const char *error_name(int64_t error) {
    return error < (int64_t)ARRAY_COUNT(g_error_names) ? g_error_names[error] : NULL;
}

static void add_result(struct text *x, const char *name, int64_t result) {
    if (result < 0 && result >= -4095) {
        const char *error = error_name(-result);
        if (error != NULL) {
            add(x, " = -1 %s", error);
        } else {
            add(x, " = -1 errno %d", (int)-result);
        }
    } else if (result > 0x100000000ll || strcmp(name, "mmap") == 0 || strcmp(name, "brk") == 0) {
        add(x, " = 0x%lx", (uint64_t)result);
    } else {
        add(x, " = %ld", result);
    }
}

static void emit(struct task *t, const struct text *x) {
    klog(HAL_LOG_STRACE, "[%5d] %s", t->tid, x->buf);
}

int64_t strace_call(struct task *t, syscall_fn *fn, const char *name, const char *format,
                    const struct sysargs *args) {
    struct text x = {.len = 0};
    add_call(&x, name, format, args);
    if (fn == sys_exit || fn == sys_exit_group) {
        emit(t, &x); /* does not return */
    }
    int64_t result = fn(t, args);
    add_result(&x, name, result);
    emit(t, &x);
    return result;
}

void strace_unknown(struct task *t, uint64_t nr, const struct sysargs *args, int64_t result) {
    struct text x = {.len = 0};
    add(&x, "%s/%lu(0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx)", syscall_name(nr), nr, args->a[0],
        args->a[1], args->a[2], args->a[3], args->a[4], args->a[5]);
    add_result(&x, "", result);
    emit(t, &x);
}
