/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that govern a whole machine: its clocks, swap, accounting, modules, ports, and power.  A
 * sandbox has none of its own to govern, so they are refused as the kernel refuses those who lack
 * the capability, and what only asks is answered.
 */
#include "hal.h"
#include "kernel/task.h"
#include "kernel/time.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <linux/errno.h>
#include <linux/time.h>
#include <linux/timex.h>

#define USER_HZ_TICK 10000

#define REFUSED(name)                                                                              \
    int64_t sys_##name(struct task *t, const struct sysargs *args) {                               \
        return -EPERM;                                                                             \
    }

REFUSED(settimeofday)
REFUSED(clock_settime)
REFUSED(acct)
REFUSED(swapon)
REFUSED(swapoff)
REFUSED(reboot)
REFUSED(iopl)
REFUSED(ioperm)
REFUSED(init_module)
REFUSED(finit_module)
REFUSED(delete_module)
REFUSED(kexec_load)
REFUSED(kexec_file_load)
REFUSED(vhangup)

/* The state of a clock that nobody disciplines from here. */
static int64_t read_clock(struct uaddr addr) {
    struct __kernel_timex tx;
    if (copyin(&tx, addr, sizeof(tx)) != 0) {
        return -EFAULT;
    }
    if (tx.modes != 0 && tx.modes != ADJ_OFFSET_SS_READ) {
        return -EPERM;
    }
    uint64_t now = hal_clock_ns(HAL_CLOCK_REALTIME);
    tx = (struct __kernel_timex){
        .status = STA_UNSYNC,
        .tick = USER_HZ_TICK,
        .maxerror = 16000000, /* microseconds: what an unsynchronised clock says */
        .esterror = 16000000,
        .precision = 1,
        .tolerance = 32768000,
        .time = {.tv_sec = (int64_t)(now / NSEC_PER_SEC),
                 .tv_usec = (int64_t)(now % NSEC_PER_SEC / 1000)},
    };
    int err = copyout(addr, &tx, sizeof(tx));
    return err != 0 ? err : TIME_ERROR;
}

int64_t sys_adjtimex(struct task *t, const struct sysargs *args) {
    return read_clock(uaddr_of(args->a[0]));
}

int64_t sys_clock_adjtime(struct task *t, const struct sysargs *args) {
    return (int32_t)args->a[0] == CLOCK_REALTIME ? read_clock(uaddr_of(args->a[1])) : -EINVAL;
}
