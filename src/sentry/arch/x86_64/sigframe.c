/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames of x86-64.  Layout: asm/sigcontext.h, asm/ucontext.h, asm-generic/siginfo.h; order
 * on the stack: the System V ABI's red zone, the XSAVE image aligned to 64 with FP_XSTATE_MAGIC2
 * behind it, then return address, ucontext and siginfo with rsp + 8 aligned to 16, as at the entry
 * of a function.
 *
 * Trust: on sigreturn the frame is the guest's; it is copied once and every field is validated or
 * harmless.
 */
#include "arch/x86_64/sigframe.h"

#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "syscall/syscall.h"

#include <asm/sigcontext.h>
#include <linux/errno.h>
#include <linux/signal.h>

#define RED_ZONE                 128u
#define UC_FP_XSTATE_BIT         1u
#define UC_SIGCONTEXT_SS_BIT     2u
#define UC_STRICT_RESTORE_SS_BIT 4u
#define SA_RESTORER_BIT          0x04000000u
#define USER_CS                  0x33u
#define USER_SS                  0x2bu
#define RFLAGS_TF                0x100u
#define RFLAGS_DF                0x400u
#define RFLAGS_RF                0x10000u
#define RFLAGS_FIX               0x50dd5u /* what sigreturn may set: CF PF AF ZF SF TF DF OF RF AC */
#define FXSAVE_SIZE              512u
#define XSAVE_HEADER             64u
#define SW_RESERVED_OFF          464u
#define MXCSR_OFF                24u
#define MXCSR_VALID              0xffffu

struct ucontext64 {
    uint64_t flags;
    uint64_t link;
    struct sigaltstack64 stack;
    struct sigcontext_64 mc;
    sigset64 mask;
};

struct rt_sigframe64 {
    uint64_t return_addr;
    struct ucontext64 uc;
    struct ksiginfo info;
};
_Static_assert(sizeof(struct sigcontext_64) == 256, "asm/sigcontext.h");
_Static_assert(offsetof(struct ucontext64, mc) == 40, "asm/ucontext.h");
_Static_assert(offsetof(struct rt_sigframe64, info) == 8 + 304, "as Linux lays it out");

size_t sigframe_max_size(void) {
    /* Frame, image, its trailing magic, and what alignment can cost (64 and 16). */
    size_t size = sizeof(struct rt_sigframe64) + platform_info()->fpstate_size + 4 + 63 + 23;

    return ALIGN_UP(size, (size_t)16);
}

static bool on_altstack(const struct task *t, uint64_t sp) {
    const struct sigaltstack64 *a = &t->altstack;

    if ((a->flags & (int32_t)SS_AUTODISARM) != 0) {
        return false;
    }
    return sp > a->sp && sp - a->sp <= a->size;
}

/* Where the frame grows down from; 0 when it cannot be placed. */
static uint64_t stack_for(struct task *t, const struct sigaction64 *sa) {
    uint64_t sp = t->regs.rsp;

    if (sp < RED_ZONE) {
        return 0;
    }
    sp -= RED_ZONE;
    if ((sa->flags & SA_ONSTACK) != 0 && t->altstack.size != 0 &&
        (t->altstack.flags & SS_DISABLE) == 0 && !on_altstack(t, t->regs.rsp)) {
        return t->altstack.sp + t->altstack.size;
    }
    if (on_altstack(t, t->regs.rsp) && !on_altstack(t, sp - sigframe_max_size())) {
        return 0; /* it would run over the lower end of the alternate stack */
    }
    return sp;
}

/* The XSAVE image with the markers that say how long it is (asm/sigcontext.h, struct
 * _fpx_sw_bytes). */
static int write_fpstate(struct task *t, uint64_t addr) {
    const struct platform_info *pi = platform_info();
    size_t size = pi->fpstate_size;
    struct _fpx_sw_bytes sw;
    char *image = kmalloc(size + FP_XSTATE_MAGIC2_SIZE);

    if (image == NULL) {
        return -ENOMEM;
    }
    int err = platform_fpstate_get(t->pthread, image);
    if (err == 0) {
        memset(&sw, 0, sizeof(sw));
        sw.magic1 = FP_XSTATE_MAGIC1;
        sw.extended_size = (uint32_t)(size + FP_XSTATE_MAGIC2_SIZE);
        sw.xfeatures = pi->xfeatures;
        sw.xstate_size = (uint32_t)size;
        memcpy(image + SW_RESERVED_OFF, &sw, sizeof(sw));
        uint32_t magic2 = FP_XSTATE_MAGIC2;
        memcpy(image + size, &magic2, sizeof(magic2));
        err = copyout(uaddr_of(addr), image, size + FP_XSTATE_MAGIC2_SIZE);
    }
    kfree(image);
    return err;
}

static void fill_context(struct task *t, struct sigcontext_64 *mc, sigset64 mask) {
    const struct user_regs *r = &t->regs;

    mc->r8 = r->r8;
    mc->r9 = r->r9;
    mc->r10 = r->r10;
    mc->r11 = r->r11;
    mc->r12 = r->r12;
    mc->r13 = r->r13;
    mc->r14 = r->r14;
    mc->r15 = r->r15;
    mc->di = r->rdi;
    mc->si = r->rsi;
    mc->bp = r->rbp;
    mc->bx = r->rbx;
    mc->dx = r->rdx;
    mc->ax = r->rax;
    mc->cx = r->rcx;
    mc->sp = r->rsp;
    mc->ip = r->rip;
    mc->flags = r->rflags;
    mc->cs = USER_CS;
    mc->ss = USER_SS;
    mc->err = t->fault_error;
    mc->trapno = t->fault_trapno;
    mc->cr2 = t->fault_addr;
    mc->oldmask = mask;
}

int sigframe_setup(struct task *t, int signo, const struct sigaction64 *sa,
                   const struct ksiginfo *info, sigset64 mask) {
    struct rt_sigframe64 f;
    uint64_t sp = stack_for(t, sa);

    if (sp < sigframe_max_size() || (sa->flags & SA_RESTORER_BIT) == 0) {
        return -EFAULT;
    }
    uint64_t fp = ALIGN_DOWN(sp - platform_info()->fpstate_size - FP_XSTATE_MAGIC2_SIZE, 64ull);
    uint64_t frame = ALIGN_DOWN(fp - sizeof(f), 16ull) - 8;

    memset(&f, 0, sizeof(f));
    f.return_addr = sa->restorer;
    f.uc.flags = UC_FP_XSTATE_BIT | UC_SIGCONTEXT_SS_BIT | UC_STRICT_RESTORE_SS_BIT;
    f.uc.stack = t->altstack;
    f.uc.mask = mask;
    fill_context(t, &f.uc.mc, mask);
    f.uc.mc.fpstate = fp;
    f.info = *info;
    if (write_fpstate(t, fp) != 0 || copyout(uaddr_of(frame), &f, sizeof(f)) != 0) {
        return -EFAULT;
    }
    if ((t->altstack.flags & (int32_t)SS_AUTODISARM) != 0) {
        memset(&t->altstack, 0, sizeof(t->altstack));
        t->altstack.flags = SS_DISABLE;
    }
    t->regs.rdi = (uint64_t)signo;
    t->regs.rsi = frame + offsetof(struct rt_sigframe64, info);
    t->regs.rdx = frame + offsetof(struct rt_sigframe64, uc);
    t->regs.rax = 0;
    t->regs.rip = sa->handler;
    t->regs.rsp = frame;
    t->regs.rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
    t->regs_dirty = true;
    platform_fpstate_reset(t->pthread);
    return 0;
}

/* How much of the guest's image is meant, after checking its markers; the legacy 512 bytes when
 * they are wrong. */
static size_t image_size(char *image, size_t have) {
    struct _fpx_sw_bytes sw;
    uint32_t magic2;

    memcpy(&sw, image + SW_RESERVED_OFF, sizeof(sw));
    if (sw.magic1 != FP_XSTATE_MAGIC1 || sw.xstate_size < FXSAVE_SIZE + XSAVE_HEADER ||
        sw.xstate_size > have || sw.extended_size < sw.xstate_size + FP_XSTATE_MAGIC2_SIZE) {
        return FXSAVE_SIZE;
    }
    memcpy(&magic2, image + sw.xstate_size, sizeof(magic2));
    return magic2 == FP_XSTATE_MAGIC2 ? sw.xstate_size : FXSAVE_SIZE;
}

/* Makes a sound XSAVE image of what was copied in: `size` bytes of it are the guest's. */
static void sanitize_image(char *image, size_t size, size_t full) {
    uint64_t header[XSAVE_HEADER / 8] = {0};
    struct _fpx_sw_bytes sw;

    if (size == FXSAVE_SIZE) {
        header[0] = 3; /* x87 and SSE; the rest goes to its initial state */
    } else {
        memcpy(&sw, image + SW_RESERVED_OFF, sizeof(sw));
        memcpy(&header[0], image + FXSAVE_SIZE, sizeof(header[0]));
        header[0] &= sw.xfeatures & platform_info()->xfeatures;
    }
    uint32_t mxcsr;
    memcpy(&mxcsr, image + MXCSR_OFF, sizeof(mxcsr));
    mxcsr &= MXCSR_VALID; /* a reserved bit makes XRSTOR fault */
    memcpy(image + MXCSR_OFF, &mxcsr, sizeof(mxcsr));
    memset(image + size, 0, full - size);
    memcpy(image + FXSAVE_SIZE, header, sizeof(header));
    memset(image + SW_RESERVED_OFF, 0, FXSAVE_SIZE - SW_RESERVED_OFF);
}

static int read_fpstate(struct task *t, uint64_t addr) {
    size_t full = platform_info()->fpstate_size;
    char *image = kzalloc(full + FP_XSTATE_MAGIC2_SIZE);

    if (image == NULL) {
        return -ENOMEM;
    }
    /* A frame made by hand may hold the legacy part alone. */
    size_t have = full;
    int err = copyin(image, uaddr_of(addr), full + FP_XSTATE_MAGIC2_SIZE);
    if (err != 0) {
        have = 0;
        err = copyin(image, uaddr_of(addr), FXSAVE_SIZE);
    }
    if (err == 0) {
        size_t size = image_size(image, have);
        sanitize_image(image, size, full);
        err = platform_fpstate_set(t->pthread, image);
    }
    kfree(image);
    return err;
}

static void take_context(struct task *t, const struct sigcontext_64 *mc) {
    struct user_regs *r = &t->regs;

    r->r8 = mc->r8;
    r->r9 = mc->r9;
    r->r10 = mc->r10;
    r->r11 = mc->r11;
    r->r12 = mc->r12;
    r->r13 = mc->r13;
    r->r14 = mc->r14;
    r->r15 = mc->r15;
    r->rdi = mc->di;
    r->rsi = mc->si;
    r->rbp = mc->bp;
    r->rbx = mc->bx;
    r->rdx = mc->dx;
    r->rax = mc->ax;
    r->rcx = mc->cx;
    r->rsp = mc->sp;
    r->rip = mc->ip;
    r->rflags = (r->rflags & ~(uint64_t)RFLAGS_FIX) | (mc->flags & RFLAGS_FIX);
    r->orig_rax = ORIG_NR_NONE;
    t->regs_dirty = true;
}

static int64_t bad_frame(struct task *t) {
    struct ksiginfo info = {.signo = SIGSEGV, .code = SI_KERNEL};

    signal_force(t, &info);
    return 0;
}

int64_t sys_rt_sigreturn(struct task *t, const struct sysargs *args) {
    struct ucontext64 uc;
    /* `ret` of the handler took the return address off. */
    uint64_t frame = t->regs.rsp - 8;

    t->orig_nr = ORIG_NR_NONE;
    if (copyin(&uc, uaddr_of(frame + offsetof(struct rt_sigframe64, uc)), sizeof(uc)) != 0) {
        return bad_frame(t);
    }
    take_context(t, &uc.mc);
    if (uc.mc.fpstate == 0) {
        platform_fpstate_reset(t->pthread);
    } else if (read_fpstate(t, uc.mc.fpstate) != 0) {
        return bad_frame(t);
    }
    signal_mask_set(uc.mask);
    if (!on_altstack(t, t->regs.rsp)) {
        signal_altstack_restore(t, &uc.stack);
    }
    return (int64_t)t->regs.rax;
}
