/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stub text (stub_text.S) and the Sentry agree on: the layout of the stub region at the
 * top of every guest address space, the context page, the numbers the stub notifies with, and the
 * signal frame of x86-64 Linux.
 *
 * Trust: a guest can write every byte of a thread area and can jump anywhere into the stub text
 * with registers of its choice.  What holds all the same: the text itself is not writable; an
 * ordered host call runs only when number, arguments and instruction pointer are those of the
 * order; between an order and the report that follows it the stub keeps its state in registers, and
 * a signal in between (the only way to change them) shows up as a trap where none may be, which
 * ends the address space.
 *
 * Posts.  A call site that the kernel rewrote (mm/callsite.c) jumps to stub_post instead of making
 * its call.  That posts the call in the thread's context page, where a virtual CPU that has nothing
 * else to do looks for it (post.c), and spins for the answer for a short while; where nobody looks
 * or the answer takes longer, the thread goes to sleep in a notification.  All of it is guest
 * memory: the Sentry keeps its own account of which call it took, and copies what was posted once.
 */
#ifndef MOAT_SYSTRAP_STUB_ABI_H
#define MOAT_SYSTRAP_STUB_ABI_H

/* The region: text, vDSO, then one slot for each thread. */
#define STUB_REGION    0x7fff00000000
#define STUB_TEXT      STUB_REGION
#define STUB_TEXT_SIZE 0x1000
#define STUB_VDSO      0x7fff00200000 /* ELF header of the moved vDSO; its data pages lie below */
#define STUB_SLOTS     0x7fff10000000
#define STUB_SLOT_MAX  16384
/* A slot: the context page, then the alternate stack. */
#define STUB_AREA_SIZE 0x8000
#define STUB_CTX_SIZE  0x1000
#define STUB_HOST_END  0x7ffffffff000 /* end of the host's address space for programs */

/* Call numbers no kernel implements; only the filter sees them. */
#define STUB_NR_TRAP   0x0ff00001 /* signal, siginfo, ucontext, fs base, gs base */
#define STUB_NR_REPORT 0x0ff00002 /* result of the last order, orders left */
#define STUB_NR_BORN   0x0ff00003 /* slot address, -, -, -, -, area offset: a new thread */
#define STUB_NR_WAIT   0x0ff00004 /* sleeps until the posted call is answered */

/* Command word: what a stub does when its notification is answered. */
#define STUB_CMD_BASES  0x100 /* load fs and gs base from the context page */
#define STUB_CMD_REPORT 0x200 /* STUB_NR_REPORT after the last order */
#define STUB_CMD_EXIT   0x400 /* leave: exit(0) */

/* Flags of the two clones that are ordered (linux/sched.h): FILES | PARENT, and VM | FS | FILES |
 * SIGHAND | THREAD | SYSVSEM. */
#define STUB_CLONE_PROCESS 0x8400
#define STUB_CLONE_THREAD  0x50f00

#define STUB_CTX_COMMAND 0
#define STUB_CTX_FS_BASE 8
#define STUB_CTX_GS_BASE 16
#define STUB_CTX_ORDERS  64
#define STUB_ORDER_SIZE  64
#define STUB_ORDER_MAX   61

/* The post lies at the end of the context page; gs points at it while the guest's own base is 0. */
#define STUB_POST       3968
#define STUB_POST_STATE 0
#define STUB_POST_OPEN  4
#define STUB_POST_NR    8 /* then the result */
#define STUB_POST_ARGS  16
#define STUB_POST_RET   64
#define STUB_POST_SEQ   72
#define STUB_POST_PID   80
#define STUB_POST_CPU   84
#define STUB_POST_SPINS 88

#define STUB_POST_CPU_MASK 0xfffu

/* State of a post: the guest's words, then the Sentry's. */
#define POST_IDLE    0
#define POST_POSTED  1
#define POST_SLEEP   2 /* gave up spinning */
#define POST_TAKEN   3
#define POST_DONE    4 /* the result is there */
#define POST_WAIT    5 /* taken, and the answer will take long: sleep */
#define POST_REFUSED 6 /* make the call yourself */

#ifndef __ASSEMBLER__

#include "base/types.h"

struct stub_order {
    uint64_t nr;
    uint64_t args[6];
    uint64_t pad;
};

struct stub_post {
    uint32_t state; /* POST_*; atomic */
    uint32_t open;  /* atomic: somebody looks */
    uint64_t nr;    /* the result when it is done */
    uint64_t args[6];
    uint64_t ret; /* address behind the call's syscall instruction */
    uint64_t seq; /* counts posts */
    uint32_t pid; /* atomic: what getpid answers, 0: ask */
    uint32_t cpu; /* atomic: where it ran when it gave up, lower 12 bits */
    uint32_t
        spins; /* how often it looks for somebody who takes its call, and then for the answer */
    uint32_t pad[9];
};

struct stub_ctx {
    uint64_t command; /* the first command of a newborn process */
    uint64_t fs_base;
    uint64_t gs_base;
    uint64_t listener; /* a zygote's listener descriptor plus one */
    uint64_t pad[4];
    struct stub_order orders[STUB_ORDER_MAX];
    struct stub_post post;
};
_Static_assert(sizeof(struct stub_ctx) == STUB_CTX_SIZE, "the context is one page");
_Static_assert(offsetof(struct stub_ctx, orders) == STUB_CTX_ORDERS, "known to the stub text");
_Static_assert(sizeof(struct stub_order) == STUB_ORDER_SIZE, "known to the stub text");
_Static_assert(offsetof(struct stub_ctx, post) == STUB_POST && STUB_POST % 64 == 0 &&
                   offsetof(struct stub_post, open) == STUB_POST_OPEN &&
                   offsetof(struct stub_post, nr) == STUB_POST_NR &&
                   offsetof(struct stub_post, args) == STUB_POST_ARGS &&
                   offsetof(struct stub_post, ret) == STUB_POST_RET &&
                   offsetof(struct stub_post, seq) == STUB_POST_SEQ &&
                   offsetof(struct stub_post, pid) == STUB_POST_PID,
               "known to the stub text");

/* The x86-64 signal frame (asm/sigcontext.h, asm/ucontext.h and the kernel's rt_sigframe). */
struct stub_sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate; /* address of the XSAVE image, 0: initial state */
    uint64_t reserved[8];
};

struct stub_frame {
    uint64_t pretcode;
    uint64_t uc_flags;
    uint64_t uc_link;
    uint64_t ss_sp;
    int32_t ss_flags;
    int32_t ss_pad;
    uint64_t ss_size;
    struct stub_sigcontext mc;
    uint64_t sigmask;
    /* siginfo_t: the words in use here */
    int32_t info_signo, info_errno, info_code, info_pad;
    uint64_t info_addr;
    int32_t info_syscall; /* SIGSYS */
    uint32_t info_arch;
    uint8_t info_rest[96];
};
_Static_assert(sizeof(struct stub_sigcontext) == 256, "struct sigcontext");
_Static_assert(offsetof(struct stub_frame, mc) == 48, "struct ucontext");
_Static_assert(sizeof(struct stub_frame) == 440, "struct rt_sigframe");

#define STUB_UC_FP_XSTATE         1u
#define STUB_UC_SIGCONTEXT_SS     2u
#define STUB_UC_STRICT_RESTORE_SS 4u

/* The text blob, and instruction pointers (after the syscall instruction) as offsets in it. */
extern const char stub_text_start[], stub_text_end[];
extern const char stub_entry_handler[], stub_entry_handler_nofsgs[], stub_entry_zygote[];
extern const char stub_ip_trap[], stub_ip_order[], stub_ip_report[], stub_ip_birth[],
    stub_ip_born[];
extern const char stub_probe[];
extern const char stub_ip_exit[], stub_ip_sigreturn[], stub_ip_wait[];
/* The jump back of a getpid that was answered from the page.  Entry of rewritten call sites, where
 * the code around it begins and ends, and the point from which a call counts as posted. */
extern const char stub_post_pid[];
extern const char stub_post[], stub_post_plain[], stub_post_end[], stub_post_committed[];

/* Where a label of the blob lies in the region. */
#define STUB_ADDR(label) (STUB_TEXT + (uint64_t)((label)-stub_text_start))

#endif
#endif
