/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and facts of the system: uname(2), sethostname(2), sysinfo(2), syslog(2), getrandom(2),
 * personality(2). Host facts never show: names are the container's, memory is the sandbox's.
 */
#include "fs/proc/proc.h"
#include "base/atomic.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/loadavg.h"
#include "kernel/log.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/uts.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/personality.h>
#include <linux/random.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#define RANDOM_CHUNK       512u
#define SYSLOG_BUFFER_SIZE (16u * 1024u)
#define PERSONALITY_QUERY  0xffffffffu

static uint64_t g_syslog_clear; /* atomic: where SYSLOG_ACTION_READ_CLEAR left off */
static uint64_t g_syslog_read;  /* atomic: likewise SYSLOG_ACTION_READ */

/* ---- names ---- */

int64_t sys_uname(struct task *t, const struct sysargs *args) {
    struct new_utsname uts;
    struct container *c = t->process->member->uts;
    memset(&uts, 0, sizeof(uts));
    (void)strlcpy(uts.sysname, UTS_SYSNAME, sizeof(uts.sysname));
    (void)strlcpy(uts.release, UTS_RELEASE, sizeof(uts.release));
    (void)strlcpy(uts.version, UTS_VERSION, sizeof(uts.version));
    bool persona32 = (t->personality & PER_MASK) == PER_LINUX32; /* personality(2) */
    (void)strlcpy(uts.machine, persona32 ? "i686" : UTS_MACHINE, sizeof(uts.machine));
    spin_lock(&c->lock);
    (void)strlcpy(uts.nodename, c->hostname, sizeof(uts.nodename));
    (void)strlcpy(uts.domainname, c->domainname[0] != '\0' ? c->domainname : "(none)",
                  sizeof(uts.domainname));
    spin_unlock(&c->lock);
    return copyout(uaddr_of(args->a[0]), &uts, sizeof(uts));
}

static int64_t set_name(struct task *t, const struct sysargs *args, size_t offset) {
    char name[UTS_LEN + 1];
    struct container *c = t->process->member->uts;
    if (!capable(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (args->a[1] > UTS_LEN) {
        return -EINVAL;
    }
    memset(name, 0, sizeof(name));
    if (copyin(name, uaddr_of(args->a[0]), args->a[1]) != 0) {
        return -EFAULT;
    }
    spin_lock(&c->lock);
    memcpy((char *)c + offset, name, sizeof(name));
    spin_unlock(&c->lock);
    return 0;
}

int64_t sys_sethostname(struct task *t, const struct sysargs *args) {
    return set_name(t, args, offsetof(struct container, hostname));
}

int64_t sys_setdomainname(struct task *t, const struct sysargs *args) {
    return set_name(t, args, offsetof(struct container, domainname));
}

/* ---- facts ---- */

int64_t sys_sysinfo(struct task *t, const struct sysargs *args) {
    struct sysinfo info;
    uint64_t total = proc_memory_total();
    uint64_t used = frames_used() << PAGE_SHIFT;
    struct container *c = t->process->member;
    uint64_t loads[3];
    memset(&info, 0, sizeof(info));
    info.uptime = (long)(hal_clock_ns(HAL_CLOCK_BOOTTIME) / NSEC_PER_SEC);
    info.totalram = total;
    loadavg_get(loads);
    for (int i = 0; i < 3; i++) {
        info.loads[i] = loads[i] << (SI_LOAD_SHIFT - LOADAVG_SHIFT);
    }
    info.freeram = total > used ? total - used : 0;
    info.mem_unit = 1;
    spin_lock(&g_tasklist_lock);
    info.procs = (uint16_t)MIN(c->thread_count, (uint32_t)UINT16_MAX);
    spin_unlock(&g_tasklist_lock);
    return copyout(uaddr_of(args->a[0]), &info, sizeof(info));
}

int64_t sys_personality(struct task *t, const struct sysargs *args) {
    uint32_t old = t->personality, wanted = (uint32_t)args->a[0];
    if (wanted != PERSONALITY_QUERY) {
        t->personality = wanted;
    }
    return old;
}

int64_t sys_getrandom(struct task *t, const struct sysargs *args) {
    uint8_t chunk[RANDOM_CHUNK];
    uint32_t flags = (uint32_t)args->a[2];
    size_t len = MIN(args->a[1], (uint64_t)INT32_MAX), done = 0;
    if ((flags & ~(uint32_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) != 0 ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE)) {
        return -EINVAL;
    }
    while (done < len) {
        size_t n = MIN(len - done, sizeof(chunk));
        hal_random(chunk, n);
        if (copyout(uaddr_of(args->a[0] + done), chunk, n) != 0) {
            return done != 0 ? (int64_t)done : -EFAULT;
        }
        done += n;
        if (done % PAGE_SIZE == 0 && signal_pending(t)) {
            break;
        }
    }
    return (int64_t)done;
}

/* ---- the kernel's log ---- */

enum {
    SYSLOG_CLOSE,
    SYSLOG_OPEN,
    SYSLOG_READ,
    SYSLOG_READ_ALL,
    SYSLOG_READ_CLEAR,
    SYSLOG_CLEAR,
    SYSLOG_CONSOLE_OFF,
    SYSLOG_CONSOLE_ON,
    SYSLOG_CONSOLE_LEVEL,
    SYSLOG_SIZE_UNREAD,
    SYSLOG_SIZE_BUFFER,
};

/* Copies log text from `off` on; bytes, or -errno. */
static int64_t log_copy(struct uaddr dst, size_t size, uint64_t off) {
    char *text = kmalloc(SYSLOG_BUFFER_SIZE);
    if (text == NULL) {
        return -ENOMEM;
    }
    size_t len = dmesg_read(text, MIN(size, (size_t)SYSLOG_BUFFER_SIZE), off);
    int err = copyout(dst, text, len);
    kfree(text);
    return err != 0 ? err : (int64_t)len;
}

static int64_t log_read_all(struct uaddr dst, size_t size, bool clear) {
    uint64_t end = dmesg_end(), off = atomic_load(&g_syslog_clear);
    if (end - off > size) {
        off = end - size; /* the last of it */
    }
    int64_t ret = log_copy(dst, size, off);
    if (ret >= 0 && clear) {
        atomic_store(&g_syslog_clear, end);
    }
    return ret;
}

static int64_t log_read(struct uaddr dst, size_t size) {
    uint64_t off = atomic_load(&g_syslog_read);
    int64_t ret = log_copy(dst, size, off);
    if (ret > 0) {
        atomic_store(&g_syslog_read, off + (uint64_t)ret);
    }
    return ret;
}

int64_t sys_syslog(struct task *t, const struct sysargs *args) {
    int32_t len = (int32_t)args->a[2];
    int32_t type = (int32_t)args->a[0];
    bool reads = type == SYSLOG_READ || type == SYSLOG_READ_ALL || type == SYSLOG_READ_CLEAR;
    /* Reading all and asking for the size are free, as with dmesg_restrict=0: the text holds no
     * secrets. */
    if (type != SYSLOG_READ_ALL && type != SYSLOG_SIZE_BUFFER && !capable(CAP_SYSLOG) &&
        !capable(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (reads && (args->a[1] == 0 || len < 0)) {
        return -EINVAL;
    }
    switch (type) {
    case SYSLOG_READ:
        return log_read(uaddr_of(args->a[1]), (size_t)len);
    case SYSLOG_READ_ALL:
    case SYSLOG_READ_CLEAR:
        return log_read_all(uaddr_of(args->a[1]), (size_t)len, type == SYSLOG_READ_CLEAR);
    case SYSLOG_CLEAR:
        atomic_store(&g_syslog_clear, dmesg_end());
        return 0;
    case SYSLOG_CLOSE:
    case SYSLOG_OPEN:
    case SYSLOG_CONSOLE_OFF:
    case SYSLOG_CONSOLE_ON:
        return 0;
    case SYSLOG_CONSOLE_LEVEL:
        return len < 1 || len > 8 ? -EINVAL : 0;
    case SYSLOG_SIZE_UNREAD:
        return (int64_t)MIN(dmesg_end() - atomic_load(&g_syslog_read),
                            (uint64_t)SYSLOG_BUFFER_SIZE);
    case SYSLOG_SIZE_BUFFER:
        return SYSLOG_BUFFER_SIZE;
    default:
        return -EINVAL;
    }
}
