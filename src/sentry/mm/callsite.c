/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewriting call sites: callsite.h says what for.
 *
 * Order of writing, so that a thread that runs through the site at any moment finds something
 * whole: the entry in the account, the trampoline, padding that nobody runs through, and last the
 * site itself, at once (arch_code_replace).  A site that does not allow that is rewritten only
 * where no other thread shares the mm.
 *
 * Trust: the code that is looked at is the guest's, and so is what it does with the pages
 * afterwards; a guest that spoils them spoils only itself.  What is written is compared with what
 * was looked at in the same step.
 *
 * Locks: pages and their entries are written under mm->pt_lock; the one who rewrites holds `busy`.
 * The counts are racy on purpose.
 */
#include "mm/callsite.h"

#include "arch/x86_64/callsite.h"
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "mm/internal.h"

#include <linux/errno.h>
#include <linux/mman.h>

#define HOT_SITES  64u
#define PAGES_MAX  8u
#define PAGE_SITES (PAGE_SIZE / CALLSITE_SLOT) /* the first one is the entry's */
#define SETTLED    (-(1 << 30))                /* a count that never gets there */
#define IMAGE_GAP  (16 * PAGE_SIZE)            /* between an image and its trampolines */

struct callsite_page {
    uint64_t va;    /* 0: dropped */
    uint32_t count; /* slots in use */
    struct callsite sites[PAGE_SITES];
};

struct callsites {
    struct {
        uint64_t ip;
        int32_t count;
    } hot[HOT_SITES];
    uint32_t busy; /* atomic: somebody rewrites */
    uint32_t page_count;
    struct callsite_page *pages[PAGES_MAX];
};

void callsite_free(struct mm *mm) {
    struct callsites *c = mm->callsites;
    for (uint32_t i = 0; c != NULL && i < PAGES_MAX; i++) {
        kfree(c->pages[i]);
    }
    kfree(c);
    mm->callsites = NULL;
}

int callsite_fork_prepare(struct mm *parent, struct mm *child) {
    const struct callsites *from = atomic_load(&parent->callsites);
    uint32_t pages = from == NULL ? 0 : atomic_load(&from->page_count);
    if (pages == 0) {
        return 0;
    }
    child->callsites = kzalloc(sizeof(*child->callsites));
    /* one more, as another thread may be about to add it */
    for (uint32_t i = 0; child->callsites != NULL && i < MIN(pages + 1, PAGES_MAX); i++) {
        child->callsites->pages[i] = kzalloc(sizeof(struct callsite_page));
        if (child->callsites->pages[i] == NULL) {
            return -ENOMEM;
        }
    }
    return child->callsites != NULL ? 0 : -ENOMEM;
}

void callsite_fork(struct mm *parent, struct mm *child) {
    const struct callsites *from = parent->callsites;
    struct callsites *to = child->callsites;
    if (to == NULL) {
        return;
    }
    for (uint32_t i = 0; i < from->page_count; i++) {
        if (to->pages[i] == NULL) {
            break; /* two more while it forked: what is in them is not in the child's account, nor
                      reused */
        }
        *to->pages[i] = *from->pages[i];
        to->page_count++;
    }
}

/* ---- writing code ---- */

static bool read_code(struct mm *mm, uint64_t at, void *buf, size_t len) {
    return mm_read(mm, at, buf, len, true) == (int64_t)len;
}

/* ---- pages of trampolines ---- */

/* Below the image that holds ip, where nothing is. */
static uint64_t choose_place(struct mm *mm, uint64_t ip) {
    rw_read_lock(&mm->lock);
    const struct vma *v = vma_at(mm, ip);
    const struct vma *below = v != NULL ? vma_prev(v) : NULL;
    while (below != NULL && below->end == v->start) {
        v = below;
        below = vma_prev(v);
    }
    uint64_t at = v != NULL && v->start > g_user_start + IMAGE_GAP + PAGE_SIZE
                      ? v->start - IMAGE_GAP - PAGE_SIZE
                      : 0;
    rw_read_unlock(&mm->lock);
    return at;
}

static void name_area(struct mm *mm, uint64_t va) {
    rw_write_lock(&mm->lock);
    struct vma *v = vma_at(mm, va);
    if (v != NULL && v->start == va && v->end == va + PAGE_SIZE) {
        v->name = "[calls]";
    }
    rw_write_unlock(&mm->lock);
}

static bool page_near(uint64_t va, uint64_t ip) {
    uint8_t unused[5];
    return va != 0 && arch_callsite_jump(ip, va, unused) && arch_callsite_jump(va, ip, unused);
}

/* A new page near ip; NULL when there is no room. */
static struct callsite_page *page_new(struct mm *mm, uint64_t ip) {
    struct callsites *c = mm->callsites;
    const uint64_t entry = platform_info()->post_entry;
    struct callsite_page *p = c->page_count < PAGES_MAX ? kzalloc(sizeof(*p)) : NULL;
    if (p == NULL) {
        return NULL;
    }
    int64_t va = mm_map(mm, choose_place(mm, ip), PAGE_SIZE, PROT_READ | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    if (va < 0) {
        kfree(p);
        return NULL;
    }
    if (!page_near((uint64_t)va, ip) ||
        mm_write(mm, (uint64_t)va, &entry, sizeof(entry), true) != (int64_t)sizeof(entry)) {
        (void)mm_unmap(mm, (uint64_t)va, PAGE_SIZE); /* an unused page is left otherwise */
        kfree(p);
        return NULL;
    }
    name_area(mm, (uint64_t)va);
    p->va = (uint64_t)va;
    p->count = 1;
    spin_lock(&mm->pt_lock);
    c->pages[c->page_count] = p;
    atomic_store(&c->page_count, c->page_count + 1);
    spin_unlock(&mm->pt_lock);
    return p;
}

static struct callsite_page *page_for(struct mm *mm, uint64_t ip) {
    struct callsites *c = mm->callsites;
    for (uint32_t i = 0; i < c->page_count; i++) {
        struct callsite_page *p = c->pages[i];
        if (p->count < PAGE_SITES && page_near(p->va, ip)) {
            return p;
        }
    }
    return page_new(mm, ip);
}

static bool is_rewritten(const struct callsites *c, uint64_t ip) {
    uint32_t pages = atomic_load(&c->page_count);
    for (uint32_t i = 0; i < pages; i++) {
        const struct callsite_page *p = c->pages[i];
        uint32_t count = p->va != 0 ? atomic_load(&p->count) : 0;
        for (uint32_t k = 1; k < count; k++) {
            if (p->sites[k].ip == ip) {
                return true;
            }
        }
    }
    return false;
}

bool callsite_known(struct mm *mm, uint64_t ip) {
    const struct callsites *c = atomic_load(&mm->callsites);
    return c != NULL && is_rewritten(c, ip);
}

/* ---- rewriting a site ---- */

/* What is written at the site: the jump itself, or a short one to the padding that holds it. */
static size_t site_code(const struct callsite *s, uint64_t trampoline, uint8_t out[5],
                        uint8_t pad[5]) {
    if (s->pad == 0) {
        return arch_callsite_jump(callsite_start(s), trampoline, out) ? 5 : 0;
    }
    out[0] = 0xeb;
    out[1] = (uint8_t)(s->pad - callsite_start(s) - 2);
    return arch_callsite_jump(s->pad, trampoline, pad) ? 2 : 0;
}

static bool link_site(struct mm *mm, const struct callsite *s, uint64_t trampoline) {
    uint8_t code[5], pad[5];
    size_t len = site_code(s, trampoline, code, pad);
    if (len == 0) {
        return false;
    }
    if (s->pad != 0 && mm_replace_code(mm, s->pad, s->pad_old, pad, sizeof(pad)) != 0) {
        return false;
    }
    return mm_replace_code(mm, callsite_start(s), s->old, code, len) == 0;
}

static bool rewrite(struct mm *mm, uint64_t ip, uint64_t nr) {
    uint8_t code[CALLSITE_BEFORE + CALLSITE_AFTER], trampoline[CALLSITE_SLOT];
    struct callsite s;
    if (ip < g_user_start + CALLSITE_BEFORE || is_rewritten(mm->callsites, ip) ||
        !read_code(mm, ip - CALLSITE_BEFORE, code, sizeof(code)) ||
        !arch_callsite_match(code, ip, nr, &s)) {
        return false;
    }
    struct callsite_page *p = page_for(mm, ip);
    if (p == NULL) {
        return false;
    }
    uint64_t at = p->va + p->count * CALLSITE_SLOT;
    if (!arch_callsite_trampoline(&s, at, p->va, trampoline)) {
        return false;
    }
    spin_lock(&mm->pt_lock);
    p->sites[p->count] = s;
    atomic_store(&p->count, p->count + 1);
    spin_unlock(&mm->pt_lock);
    return mm_write(mm, at, trampoline, sizeof(trampoline), true) == (int64_t)sizeof(trampoline) &&
           link_site(mm, &s, at);
}

static struct callsites *account(struct mm *mm) {
    struct callsites *c = atomic_load(&mm->callsites), *none = NULL;
    if (likely(c != NULL)) {
        return c;
    }
    c = kzalloc(sizeof(*c));
    if (c != NULL && !atomic_cas(&mm->callsites, &none, c)) {
        kfree(c);
        c = none;
    }
    return c;
}

/* Where ip is counted: one of two places, the less used one if it is new. */
static uint32_t hot_slot(struct callsites *c, uint64_t ip) {
    uint32_t at = (uint32_t)(ip ^ ip >> 6) % HOT_SITES, other = at ^ 1;
    if (c->hot[at].ip == ip) {
        return at;
    }
    if (c->hot[other].ip == ip) {
        return other;
    }
    at = c->hot[other].count < c->hot[at].count ? other : at;
    c->hot[at].ip = ip;
    c->hot[at].count = 0;
    return at;
}

void callsite_count(struct mm *mm, uint64_t ip, uint64_t nr) {
    struct callsites *c = account(mm);
    if (c == NULL) {
        return;
    }
    uint32_t at = hot_slot(c, ip);
    if (likely(++c->hot[at].count < (int32_t)platform_info()->post_after)) {
        return;
    }
    c->hot[at].count = SETTLED;
    if (atomic_exchange(&c->busy, 1u) != 0) {
        c->hot[at].count = 0; /* another thread rewrites: at the next occasion */
        return;
    }
    if (platform_call_posts(nr) && rewrite(mm, ip, nr)) {
        platform_space_posts(mm->space);
    }
    atomic_store(&c->busy, 0u);
}

/* ---- and back ---- */

bool callsite_unwind(struct mm *mm, struct user_regs *regs) {
    const struct callsites *c = atomic_load(&mm->callsites);
    uint32_t pages = c == NULL ? 0 : atomic_load(&c->page_count);
    for (uint32_t i = 0; i < pages; i++) {
        const struct callsite_page *p = c->pages[i];
        uint64_t off = regs->rip - p->va;
        if (p->va == 0 || off >= PAGE_SIZE) {
            continue;
        }
        uint64_t slot = off / CALLSITE_SLOT;
        if (slot == 0 || slot >= atomic_load(&p->count)) {
            return false;
        }
        const struct callsite *s = &p->sites[slot];
        regs->rip = off % CALLSITE_SLOT == 0 ? callsite_start(s) : s->ip - 2;
        return true;
    }
    return false;
}

static void restore_site(struct mm *mm, const struct callsite *s, uint64_t trampoline) {
    uint8_t code[5], pad[5];
    size_t len = site_code(s, trampoline, code, pad);
    /* a site that is no longer ours stays as it is */
    if (len != 0 && mm_replace_code(mm, callsite_start(s), code, s->old, len) == 0 && s->pad != 0) {
        (void)mm_replace_code(mm, s->pad, pad, s->pad_old, sizeof(pad)); /* dead code by now */
    }
}

void callsite_drop(struct mm *mm, uint64_t start, uint64_t len) {
    struct callsites *c = atomic_load(&mm->callsites);
    uint32_t pages = c == NULL ? 0 : atomic_load(&c->page_count);
    for (uint32_t i = 0; i < pages; i++) {
        struct callsite_page *p = c->pages[i];
        if (p->va == 0 || p->va + PAGE_SIZE <= start || (p->va >= start && p->va - start >= len)) {
            continue;
        }
        for (uint32_t k = 1; k < p->count; k++) {
            restore_site(mm, &p->sites[k], p->va + k * CALLSITE_SLOT);
        }
        spin_lock(&mm->pt_lock);
        p->va = 0;
        spin_unlock(&mm->pt_lock);
    }
}
