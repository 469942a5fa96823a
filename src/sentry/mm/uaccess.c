/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to user memory: everything the kernel reads from or writes to a guest's memory goes
 * through here.
 *
 * Trust boundary: addresses are the guest's and contents may change while they are read; callers
 * copy once and judge the copy. A page is looked up in the mm's own tables and copied under
 * pt_lock, so it cannot be freed meanwhile; what the entry does not allow is mended like a fault of
 * user code (which may sleep) and tried again.
 */
#include "mm/internal.h"

#include <linux/errno.h>

#include "arch/x86_64/callsite.h"
#include "base/string.h"
#include "kernel/oom.h"
#include "kernel/task.h"

#define MEND_MAX 1000 /* tries of one page before giving up on it */

enum user_op { USER_READ, USER_WRITE, USER_ZERO };

struct user_access {
    struct mm *mm;
    enum user_op op;
    bool force;
};

static bool entry_allows(uint64_t pte, const struct user_access *a) {
    if (a->op == USER_READ) {
        return (pte & (a->force ? PTE_PRESENT : PTE_READ)) != 0;
    }
    if ((pte & PTE_WRITE) != 0) {
        return true;
    }
    return a->force && (pte & (PTE_OWN | PTE_ANON)) == (PTE_OWN | PTE_ANON);
}

/* The entry of addr if it allows the access, or NULL.  Precondition: pt_lock. */
static const uint64_t *entry_for(const struct user_access *a, uint64_t addr) {
    const uint64_t *pte = pt_lookup(a->mm->pt, addr);
    return pte != NULL && entry_allows(*pte, a) ? pte : NULL;
}

static int mend(const struct user_access *a, uint64_t addr) {
    uint32_t access = a->op == USER_READ ? PROT_BIT_READ : PROT_BIT_WRITE;
    return fault_for_kernel(a->mm, addr, access, a->force);
}

static int move(const struct user_access *a, uint64_t pte, uint64_t addr, char *buf, size_t len) {
    char *page = (char *)frame_ptr(pte_pfn(pte)) + (addr & PAGE_MASK);
    if (a->op == USER_READ) {
        return hal_copy(buf, page, len);
    }
    return a->op == USER_WRITE ? hal_copy(page, buf, len) : hal_zero(page, len);
}

/* Whether `at` is guest memory of which the host does not give the page, and gets some back. */
static bool relieve_at(const void *at) {
    const struct hal_memory *m = hal_memory();
    uintptr_t off = (uintptr_t)at - (uintptr_t)m->linear;
    uint32_t *word = (uint32_t *)ALIGN_DOWN((uintptr_t)at, sizeof(uint32_t));
    uint32_t seen;
    if (at == NULL || off >= m->frame_count * PAGE_SIZE || hal_cas_u32(word, 0, 0, &seen) == 0) {
        return false;
    }
    return !signal_fatal_pending(current) && oom_relieve(at, false);
}

/* A copy between user memory and buf failed: true when it is worth another try. */
static bool relieve(struct mm *mm, uint64_t addr, const char *buf, size_t len) {
    return relieve_at(mm_frame_at(mm, addr)) || relieve_at(buf) ||
           relieve_at(buf != NULL ? buf + len - 1 : NULL);
}

/* Likewise when no frame could be had. */
static bool relieve_fault(struct mm *mm, int err) {
    return err == -ENOMEM && !mm_is_broken(mm) && !signal_fatal_pending(current) &&
           oom_relieve(NULL, false);
}

/* `len` bytes within one page. */
static int access_page(const struct user_access *a, uint64_t addr, char *buf, size_t len) {
    for (int i = 0; i < MEND_MAX; i++) {
        spin_lock(&a->mm->pt_lock);
        const uint64_t *pte = entry_for(a, addr);
        int err = pte != NULL ? move(a, *pte, addr, buf, len) : 0;
        spin_unlock(&a->mm->pt_lock);
        if (likely(pte != NULL && err == 0)) {
            return 0;
        }
        if (pte != NULL ? !relieve(a->mm, addr, buf, len)
                        : (err = mend(a, addr)) != 0 && !relieve_fault(a->mm, err)) {
            return -EFAULT;
        }
    }
    return -EFAULT;
}

/* Bytes moved before the first that could not be. */
static size_t access_range(const struct user_access *a, uint64_t addr, char *buf, size_t len) {
    size_t done = 0;
    if (a->mm == NULL || !user_range_ok(addr, len)) {
        return 0;
    }
    while (done < len) {
        uint64_t at = addr + done;
        size_t n = MIN(len - done, PAGE_SIZE - (at & PAGE_MASK));
        if (access_page(a, at, buf != NULL ? buf + done : NULL, n) != 0) {
            break;
        }
        done += n;
    }
    return done;
}

int copyin(void *dst, struct uaddr src, size_t len) {
    const struct user_access a = {.mm = current->mm, .op = USER_READ};
    return access_range(&a, src.v, dst, len) == len ? 0 : -EFAULT;
}

int copyout(struct uaddr dst, const void *src, size_t len) {
    const struct user_access a = {.mm = current->mm, .op = USER_WRITE};
    return access_range(&a, dst.v, (char *)(uintptr_t)src, len) == len ? 0 : -EFAULT;
}

int64_t copyin_str(char *dst, struct uaddr src, size_t size) {
    const struct user_access a = {.mm = current->mm, .op = USER_READ};
    size_t done = 0, step = 64;
    while (done < size) {
        uint64_t at = src.v + done;
        size_t n = MIN(step - (at & (step - 1)), size - done); /* never past a page */
        if (a.mm == NULL || !user_range_ok(at, n) || access_page(&a, at, dst + done, n) != 0) {
            return -EFAULT;
        }
        const char *end = memchr(dst + done, 0, n);
        if (end != NULL) {
            return end - dst;
        }
        done += n;
        step = MIN(step * 2, 512);
    }
    return -ENAMETOOLONG;
}

static int64_t remote(const struct user_access *a, uint64_t addr, char *buf, size_t len) {
    if (addr >= g_user_end) {
        return -EFAULT;
    }
    len = MIN(len, g_user_end - addr);
    size_t done = access_range(a, addr, buf, len);
    return done == 0 && len > 0 ? -EFAULT : (int64_t)done;
}

int64_t mm_read(struct mm *mm, uint64_t addr, void *dst, size_t len, bool force) {
    const struct user_access a = {.mm = mm, .op = USER_READ, .force = force};
    return remote(&a, addr, dst, len);
}

int64_t mm_write(struct mm *mm, uint64_t addr, const void *src, size_t len, bool force) {
    const struct user_access a = {.mm = mm, .op = USER_WRITE, .force = force};
    return remote(&a, addr, (char *)(uintptr_t)src, len);
}

int mm_replace_code(struct mm *mm, uint64_t addr, const uint8_t *old, const uint8_t *fresh,
                    size_t len) {
    const struct user_access a = {.mm = mm, .op = USER_WRITE, .force = true};
    uint64_t off = addr & PAGE_MASK;
    if (!user_range_ok(addr, len) || off + len > PAGE_SIZE) {
        return -EFAULT;
    }
    for (int i = 0; i < MEND_MAX; i++) {
        spin_lock(&mm->pt_lock);
        const uint64_t *pte = entry_for(&a, addr);
        /* Memory, not a file's page, and memory that is there: nothing here survives a bus error.
         */
        bool own = pte != NULL && (*pte & PTE_ANON) != 0 && !mm->reaped;
        bool done = own && arch_code_replace(frame_ptr(pte_pfn(*pte)), off, old, fresh, len,
                                             atomic_load(&mm->users) == 1);
        spin_unlock(&mm->pt_lock);
        if (pte != NULL) {
            return done ? 0 : -EAGAIN;
        }
        if (mend(&a, addr) != 0) {
            return -EFAULT;
        }
    }
    return -EFAULT;
}

size_t user_copy_in(struct uaddr src, void *dst, size_t len) {
    const struct user_access a = {.mm = current->mm, .op = USER_READ};
    return access_range(&a, src.v, dst, len);
}

size_t user_copy_out(struct uaddr dst, const void *src, size_t len) {
    const struct user_access a = {.mm = current->mm, .op = USER_WRITE};
    return access_range(&a, dst.v, (char *)(uintptr_t)src, len);
}

size_t user_zero(struct uaddr dst, size_t len) {
    const struct user_access a = {.mm = current->mm, .op = USER_ZERO};
    return access_range(&a, dst.v, NULL, len);
}

/* ---- pins ---- */

/* References the frame of addr, ready for the access. */
static int pin_page(const struct user_access *a, uint64_t addr, uint64_t *out_pfn) {
    for (int i = 0; i < MEND_MAX; i++) {
        spin_lock(&a->mm->pt_lock);
        const uint64_t *pte = entry_for(a, addr);
        if (pte != NULL) {
            *out_pfn = pte_pfn(*pte);
            frame_get(*out_pfn);
        }
        spin_unlock(&a->mm->pt_lock);
        if (pte == NULL) {
            int err = mend(a, addr);
            if (err != 0 && !relieve_fault(a->mm, err)) {
                return -EFAULT;
            }
        } else if (relieve_at(frame_ptr(*out_pfn))) { /* the host's call would fail */
            frame_put(*out_pfn);
        } else {
            return 0;
        }
    }
    return -EFAULT;
}

int64_t mm_pin(struct mm *mm, struct uaddr addr, size_t len, bool write, struct hal_seg *segs,
               size_t seg_max, size_t *out_len) {
    const struct user_access a = {.mm = mm, .op = write ? USER_WRITE : USER_READ};
    size_t count = 0, done = 0;
    *out_len = 0;
    if (mm == NULL || !user_range_ok(addr.v, len)) {
        return -EFAULT;
    }
    while (done < len) {
        uint64_t at = addr.v + done, pfn;
        size_t n = MIN(len - done, PAGE_SIZE - (at & PAGE_MASK));
        if (pin_page(&a, at, &pfn) != 0) {
            break;
        }
        char *base = (char *)frame_ptr(pfn) + (at & PAGE_MASK);
        if (count > 0 && (char *)segs[count - 1].base + segs[count - 1].len == base) {
            segs[count - 1].len += n;
        } else if (count < seg_max) {
            segs[count++] = (struct hal_seg){base, n};
        } else {
            frame_put(pfn);
            break;
        }
        done += n;
    }
    *out_len = done;
    return done == 0 && len > 0 ? -EFAULT : (int64_t)count;
}

void mm_unpin(struct mm *mm, const struct hal_seg *segs, size_t seg_count) {
    const char *linear = hal_memory()->linear;
    for (size_t i = 0; i < seg_count; i++) {
        uint64_t first = (uint64_t)((const char *)segs[i].base - linear);
        uint64_t last = first + segs[i].len - 1;
        frame_put_run(first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - (first >> PAGE_SHIFT) + 1);
    }
}

/* ---- futex words ---- */

int mm_futex_key(struct uaddr addr, bool shared, struct futex_key *out_key) {
    struct mm *mm = current->mm;
    if (mm == NULL || !user_range_ok(addr.v, 4)) {
        return -EFAULT;
    }
    *out_key = (struct futex_key){.a = (uint64_t)(uintptr_t)mm, .b = addr.v};
    if (!shared) {
        return 0;
    }
    rw_read_lock(&mm->lock);
    const struct vma *v = vma_at(mm, addr.v);
    int err = v == NULL ? -EFAULT : 0;
    if (v != NULL && !vma_is_private(v) && v->file != NULL) {
        out_key->a = (uint64_t)(uintptr_t)v->file->inode | 1;
        out_key->b = (vma_page(v, addr.v) << PAGE_SHIFT) | (addr.v & PAGE_MASK);
    }
    rw_read_unlock(&mm->lock);
    return err;
}

/* Runs one atomic access on the word at addr. */
static int word_access(uint64_t addr, const uint32_t *expected_desired, uint32_t *out_seen) {
    const struct user_access a = {.mm = current->mm,
                                  .op = expected_desired != NULL ? USER_WRITE : USER_READ};
    if (!IS_ALIGNED(addr, 4)) {
        return -EINVAL;
    }
    if (a.mm == NULL || !user_range_ok(addr, 4)) {
        return -EFAULT;
    }
    for (int i = 0; i < MEND_MAX; i++) {
        int err = 0;
        spin_lock(&a.mm->pt_lock);
        const uint64_t *pte = entry_for(&a, addr);
        if (pte != NULL) {
            char *page = frame_ptr(pte_pfn(*pte));
            uint32_t *word = (uint32_t *)(void *)(page + (addr & PAGE_MASK));
            err = expected_desired != NULL
                      ? hal_cas_u32(word, expected_desired[0], expected_desired[1], out_seen)
                      : hal_load_u32(word, out_seen);
        }
        spin_unlock(&a.mm->pt_lock);
        if (pte != NULL && err == 0) {
            return 0;
        }
        if (pte != NULL ? !relieve(a.mm, addr, NULL, 0)
                        : (err = mend(&a, addr)) != 0 && !relieve_fault(a.mm, err)) {
            return -EFAULT;
        }
    }
    return -EFAULT;
}

int user_load_u32(struct uaddr addr, uint32_t *out_value) {
    return word_access(addr.v, NULL, out_value);
}

int user_cas_u32(struct uaddr addr, uint32_t expected, uint32_t desired, uint32_t *out_seen) {
    const uint32_t pair[2] = {expected, desired};
    return word_access(addr.v, pair, out_seen);
}
