/* SPDX-License-Identifier: Apache-2.0 */
#include "user.h"

#include <errno.h>
#include <linux/mman.h>

void proc_new(struct proc *p) {
    CHECK(platform_space_create(0, NULL, &p->space, &p->thread) == 0);
    CHECK(mm_create(p->space, &p->mm) == 0);
}

void proc_apply(struct proc *p) {
    CHECK(skeleton_apply(p->space) == 0 || p->mm->broken);
    mm_orders_done(p->mm);
}

int proc_fork(struct proc *p, struct proc *child) {
    mm_fork_begin(p->mm);
    int err = mm_fork(p->mm, &child->mm);
    if (err == 0) {
        err = platform_space_fork(p->thread, NULL, &child->space, &child->thread);
        if (err != 0) {
            mm_leave(child->mm);
        }
    }
    if (err == 0) {
        CHECK(skeleton_apply(p->space) == 0 || p->mm->broken);
        mm_bind_space(child->mm, child->space);
    }
    mm_fork_end(p->mm);
    fakes_check_locks();
    return err;
}

void proc_exit(struct proc *p) {
    platform_thread_destroy(p->thread);
    mm_leave(p->mm);
    p->mm = NULL;
    fakes_check_locks();
}

static int access_byte(struct proc *p, uint64_t va, bool write, uint8_t *value) {
    uint32_t need = write ? PROT_BIT_WRITE : PROT_BIT_READ;
    for (int i = 0; i < 20; i++) {
        uint64_t pfn;
        uint32_t prot;
        proc_apply(p);
        if (skeleton_page(p->space, va, &pfn, &prot) && (prot & need) != 0) {
            CHECK(frame_refs(pfn) > 0);
            uint8_t *byte = (uint8_t *)frame_ptr(pfn) + (va & PAGE_MASK);
            if (write) {
                *byte = *value;
            } else {
                *value = *byte;
            }
            return 0;
        }
        int code;
        int err = mm_fault(p->mm, va, need, &code);
        fakes_check_locks();
        if (err != 0) {
            return err;
        }
    }
    fprintf(stderr, "page %llx is never mended\n", (unsigned long long)va);
    abort();
}

int user_get(struct proc *p, uint64_t va, uint8_t *out) {
    return access_byte(p, va, false, out);
}

int user_put(struct proc *p, uint64_t va, uint8_t value) {
    return access_byte(p, va, true, &value);
}

static void verify_host_page(uint64_t va, uint64_t pfn, uint32_t prot, void *arg) {
    struct proc *p = arg;
    CHECK(frame_refs(pfn) > 0);
    if (skeleton_queued(p->space) != 0 || p->mm->broken) {
        return;
    }
    const uint64_t *pte = pt_lookup(p->mm->pt, va);
    CHECK(pte != NULL && (*pte & PTE_HOST) != 0);
    CHECK(pte_pfn(*pte) == pfn && pte_prot(*pte) == prot);
}

static int visit_verify(struct pt_span *span, void *arg) {
    struct proc *p = arg;
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t pte = span->pte[i], pfn, va = span->va + i * PAGE_SIZE;
        uint32_t prot;
        if (pte == 0) {
            continue;
        }
        const struct vma *v = vma_at(p->mm, va);
        CHECK(v != NULL && frame_refs(pte_pfn(pte)) > 0);
        CHECK((pte & PTE_RIGHTS) == (vma_pte(v, pte_pfn(pte), pte & PTE_OWN) & PTE_RIGHTS));
        if ((pte & (PTE_OWN | PTE_ANON)) == (PTE_OWN | PTE_ANON) && vma_is_private(v)) {
            CHECK(frame_refs(pte_pfn(pte)) == 1);
        }
        if ((pte & PTE_HOST) != 0 && skeleton_queued(p->space) == 0 && !p->mm->broken) {
            CHECK(skeleton_page(p->space, va, &pfn, &prot));
        }
    }
    return 0;
}

void proc_verify(struct proc *p) {
    CHECK(pt_walk(p->mm->pt, g_user_start, g_user_end, false, visit_verify, p) == 0);
    skeleton_for_each(p->space, verify_host_page, p);
    uint64_t pages = 0, end = 0, locked = 0;
    uint32_t count = 0;
    for (struct vma *v = vma_find(p->mm, 0); v != NULL; v = vma_next(v)) {
        CHECK(v->start >= end && v->end > v->start && v->mm == p->mm);
        end = v->end;
        pages += vma_len(v) >> PAGE_SHIFT;
        locked += (v->flags & VMA_LOCKED) != 0 ? vma_len(v) >> PAGE_SHIFT : 0;
        count++;
    }
    CHECK(pages == p->mm->total_pages && count == p->mm->vma_count &&
          locked == p->mm->locked_pages);
    CHECK(mm_resident(p->mm, 0, g_user_end) == p->mm->rss_pages);
}
