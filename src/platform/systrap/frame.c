/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames in thread areas: where the full context of a trapped thread lies (layout:
 * stub_abi.h; rt_sigreturn(2), the SDM's chapter on XSAVE for the image).
 *
 * Boundary: other threads of the guest can write a frame at any time.  Everything is copied once;
 * offsets are bounded to the area of the thread; what is written back is only values, which the
 * host kernel validates in rt_sigreturn.
 */
#include "base/string.h"
#include "platform/systrap/internal.h"

#include <errno.h>
#include <linux/audit.h>

#define FP_LEGACY_SIZE 512u
#define FP_HEADER      512u
#define FP_HEADER_SIZE 64u
#define FP_SW_OFF      464u
#define FP_MAGIC1      0x46505853u
#define FP_MAGIC2      0x46505845u
#define FP_MXCSR_OFF   24u
#define XFEATURE_FPSSE 3ull

/* CF PF AF ZF SF TF DF OF RF AC: what rt_sigreturn takes; IF and bit 1 are always set. */
#define RFLAGS_USER  0x50dd5ull
#define RFLAGS_FIXED 0x202ull
#define SEG_CS       0x33
#define SEG_SS       0x2b

struct fp_sw {
    uint32_t magic1;
    uint32_t extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size;
    uint32_t pad[7];
};

/* Size of the image that a signal frame holds, and the features that a guest can have. */
void frame_init_cpu(void) {
    uint32_t size = 0;
    host_fpstate_probe(&size, &g_systrap.info.xfeatures);
    g_systrap.fp_legacy = size == 0;
    if (g_systrap.fp_legacy) { /* the kernel is given an XSAVE image all the same */
        size = FP_HEADER + FP_HEADER_SIZE;
        g_systrap.info.xfeatures = XFEATURE_FPSSE;
    }
    struct {
        uint8_t bytes[512];
    } __attribute__((aligned(16))) fx;
    memset(&fx, 0, sizeof(fx));
    __asm__ volatile("fxsave %0" : "=m"(fx));
    uint32_t mask;
    memcpy(&mask, fx.bytes + 28, sizeof(mask));
    g_systrap.mxcsr_mask = mask == 0 ? 0xffbfu : mask;
    g_systrap.info.fpstate_size = size;
    g_systrap.fp_room =
        g_systrap.fp_legacy ? FP_LEGACY_SIZE : (uint32_t)ALIGN_UP(size + sizeof(uint32_t), 64u);
}

/* Frames of threads that were not interrupted yet lie as the kernel would put them: below the
 * image, rsp = 8 mod 16. */
uint32_t frame_default_off(void) {
    uint64_t off = STUB_AREA_SIZE - g_systrap.fp_room - sizeof(struct stub_frame);
    return (uint32_t)(ALIGN_DOWN(off, 16ul) - 8);
}

static void frame_fixed_words(struct stub_frame *f, uint32_t slot) {
    f->uc_flags |= STUB_UC_SIGCONTEXT_SS | STUB_UC_STRICT_RESTORE_SS;
    f->ss_sp = slot_va(slot) + STUB_CTX_SIZE;
    f->ss_flags = 0;
    f->ss_size = STUB_AREA_SIZE - STUB_CTX_SIZE;
    f->sigmask = 0;
}

void frame_make(struct platform_thread *t) {
    t->frame_off = frame_default_off();
    struct stub_frame *f = frame_of(t);
    memset(f, 0, sizeof(*f));
    frame_fixed_words(f, t->slot);
    f->mc.cs = SEG_CS;
    f->mc.ss = SEG_SS;
    f->mc.eflags = RFLAGS_FIXED;
    memset(&t->regs, 0, sizeof(t->regs));
    t->regs.rflags = RFLAGS_FIXED;
    t->regs.orig_rax = UINT64_MAX;
    t->regs_dirty = true;
    t->bases_dirty = true;
}

/* Offset in the area of the XSAVE image that `fp` names, with room for `size` bytes; 0 when it is
 * outside. */
static uint32_t fp_off(const struct platform_thread *t, uint64_t fp, uint64_t size) {
    uint64_t base = slot_va(t->slot);
    if (fp < base + STUB_CTX_SIZE || fp > base + STUB_AREA_SIZE - size || (fp & 63) != 0) {
        return 0;
    }
    return (uint32_t)(fp - base);
}

must_check int frame_copy(struct platform_thread *child, const struct platform_thread *parent) {
    const char *from = (const char *)parent->ctx;
    char *to = (char *)child->ctx;
    child->frame_off = parent->frame_off;
    memcpy(to + parent->frame_off, from + parent->frame_off, STUB_AREA_SIZE - parent->frame_off);
    struct stub_frame *f = frame_of(child);
    uint64_t fp = f->mc.fpstate;
    if (fp != 0) {
        uint32_t off = fp_off(parent, fp, FP_HEADER);
        if (off == 0) {
            return -EFAULT;
        }
        f->mc.fpstate = slot_va(child->slot) + off;
    }
    frame_fixed_words(f, child->slot);
    child->regs = parent->regs;
    child->regs_dirty = true;
    child->bases_dirty = true;
    return 0;
}

static void regs_from(struct user_regs *r, const struct stub_sigcontext *m) {
    *r = (struct user_regs){
        .r15 = m->r15,
        .r14 = m->r14,
        .r13 = m->r13,
        .r12 = m->r12,
        .rbp = m->rbp,
        .rbx = m->rbx,
        .r11 = m->r11,
        .r10 = m->r10,
        .r9 = m->r9,
        .r8 = m->r8,
        .rax = m->rax,
        .rcx = m->rcx,
        .rdx = m->rdx,
        .rsi = m->rsi,
        .rdi = m->rdi,
        .rip = m->rip,
        .rflags = m->eflags,
        .rsp = m->rsp,
        .orig_rax = UINT64_MAX,
    };
}

must_check int frame_load(struct platform_thread *t, uint64_t uc, uint64_t fs, uint64_t gs) {
    uint64_t base = slot_va(t->slot);
    uint64_t frame = uc - offsetof(struct stub_frame, uc_flags);
    if (frame < base + STUB_CTX_SIZE || frame > base + STUB_AREA_SIZE - sizeof(struct stub_frame) ||
        (frame & 7) != 0) {
        return -EFAULT;
    }
    if (!g_systrap.fsgsbase) { /* the guest cannot have changed them by itself */
        fs = t->regs.fs_base;
        gs = t->regs.gs_base;
    }
    if (g_systrap.posts && gs == post_va(t)) {
        gs = 0; /* what the guest has there as long as it does not set it */
    }
    t->frame_off = (uint32_t)(frame - base);
    regs_from(&t->regs, &frame_of(t)->mc);
    t->regs.fs_base = fs;
    t->regs.gs_base = gs;
    t->regs_dirty = false;
    t->bases_dirty = false;
    return 0;
}

void frame_store(struct platform_thread *t) {
    struct stub_sigcontext *m = &frame_of(t)->mc;
    const struct user_regs *r = &t->regs;
    if (t->bases_dirty) {
        t->ctx->fs_base = r->fs_base;
        t->ctx->gs_base = r->gs_base == 0 && g_systrap.posts ? post_va(t) : r->gs_base;
    }
    if (!t->regs_dirty) {
        return;
    }
    m->r15 = r->r15, m->r14 = r->r14, m->r13 = r->r13, m->r12 = r->r12;
    m->rbp = r->rbp, m->rbx = r->rbx, m->r11 = r->r11, m->r10 = r->r10;
    m->r9 = r->r9, m->r8 = r->r8, m->rax = r->rax, m->rcx = r->rcx;
    m->rdx = r->rdx, m->rsi = r->rsi, m->rdi = r->rdi, m->rip = r->rip;
    m->eflags = r->rflags, m->rsp = r->rsp;
    m->cs = SEG_CS, m->ss = SEG_SS;
    t->regs_dirty = false;
}

void platform_regs_get(struct platform_thread *t, struct user_regs *out_regs) {
    *out_regs = t->regs;
}

static uint64_t base_clean(uint64_t base) {
    return base < (uint64_t)STUB_HOST_END ? base : 0;
}

void platform_regs_set(struct platform_thread *t, const struct user_regs *regs) {
    struct user_regs old = t->regs;
    t->regs = *regs;
    t->regs.rflags = (regs->rflags & RFLAGS_USER) | RFLAGS_FIXED;
    t->regs.fs_base = base_clean(regs->fs_base);
    t->regs.gs_base = base_clean(regs->gs_base);
    t->regs_dirty = true;
    t->bases_dirty =
        t->bases_dirty || old.fs_base != t->regs.fs_base || old.gs_base != t->regs.gs_base;
}

/* Initial state: x87 control word and MXCSR as after FNINIT and reset, nothing else in use. */
static void fp_initial(char *image) {
    uint16_t fcw = 0x37f;
    uint32_t mxcsr = 0x1f80;
    memset(image, 0, g_systrap.info.fpstate_size);
    memcpy(image, &fcw, sizeof(fcw));
    memcpy(image + FP_MXCSR_OFF, &mxcsr, sizeof(mxcsr));
}

must_check int platform_fpstate_get(struct platform_thread *t, void *buf) {
    size_t size = g_systrap.info.fpstate_size;
    char *image = buf;
    uint64_t fp = atomic_load_relaxed(&frame_of(t)->mc.fpstate);
    if (fp == 0) {
        fp_initial(image);
        return 0;
    }
    uint32_t off = fp_off(t, fp, FP_HEADER);
    if (off == 0) {
        return -EINVAL;
    }
    struct fp_sw sw;
    const char *from = (const char *)t->ctx + off;
    memcpy(&sw, from + FP_SW_OFF, sizeof(sw));
    size_t have = FP_LEGACY_SIZE;
    uint64_t bv = XFEATURE_FPSSE;
    if (sw.magic1 == FP_MAGIC1 && !g_systrap.fp_legacy) {
        have = MIN((size_t)sw.xstate_size, size);
        if (have < FP_HEADER + FP_HEADER_SIZE || off + have > STUB_AREA_SIZE) {
            return -EINVAL;
        }
    }
    memcpy(image, from, have);
    memset(image + have, 0, size - have);
    if (have > FP_HEADER) {
        memcpy(&bv, image + FP_HEADER, sizeof(bv));
    }
    bv &= g_systrap.info.xfeatures;
    memset(image + FP_HEADER, 0, FP_HEADER_SIZE);
    memcpy(image + FP_HEADER, &bv, sizeof(bv));
    memset(image + FP_SW_OFF, 0, sizeof(sw));
    return 0;
}

static bool fp_image_ok(const char *image) {
    uint64_t header[FP_HEADER_SIZE / 8];
    uint32_t mxcsr;
    memcpy(header, image + FP_HEADER, sizeof(header));
    memcpy(&mxcsr, image + FP_MXCSR_OFF, sizeof(mxcsr));
    for (size_t i = 1; i < ARRAY_COUNT(header); i++) {
        if (header[i] != 0) {
            return false;
        }
    }
    return (header[0] & ~g_systrap.info.xfeatures) == 0 && (mxcsr & ~g_systrap.mxcsr_mask) == 0;
}

must_check int platform_fpstate_set(struct platform_thread *t, const void *buf) {
    size_t size = g_systrap.info.fpstate_size;
    if (!fp_image_ok(buf)) {
        return -EINVAL;
    }
    uint32_t off = (uint32_t)ALIGN_DOWN(STUB_AREA_SIZE - g_systrap.fp_room, 64u);
    if (t->frame_off + sizeof(struct stub_frame) > off) {
        return -EINVAL;
    }
    struct fp_sw sw = {
        .magic1 = FP_MAGIC1,
        .extended_size = (uint32_t)size + (uint32_t)sizeof(uint32_t),
        .xfeatures = g_systrap.info.xfeatures,
        .xstate_size = (uint32_t)size,
    };
    uint32_t magic2 = FP_MAGIC2;
    char *to = (char *)t->ctx + off;
    frame_of(t)->mc.fpstate = slot_va(t->slot) + off;
    if (g_systrap.fp_legacy) {
        memcpy(to, buf, FP_LEGACY_SIZE);
        return 0;
    }
    memcpy(to, buf, size);
    memcpy(to + FP_SW_OFF, &sw, sizeof(sw));
    memcpy(to + size, &magic2, sizeof(magic2));
    frame_of(t)->uc_flags |= STUB_UC_FP_XSTATE;
    return 0;
}

void platform_fpstate_reset(struct platform_thread *t) {
    frame_of(t)->mc.fpstate = 0;
}
