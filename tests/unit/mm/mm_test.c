/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping, faults, copy-on-write, fork, gathering, user access: one property a test. */
#include "user.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>

#define RW       (PROT_READ | PROT_WRITE)
#define ANON     (MAP_PRIVATE | MAP_ANONYMOUS)
#define BASE     0x10000000ull
#define PAGES(n) ((n)*PAGE_SIZE)

static uint64_t map(struct proc *p, uint64_t addr, uint64_t pages, uint32_t prot, uint32_t flags) {
    int64_t at =
        mm_map(p->mm, addr, PAGES(pages), prot, flags | (addr != 0 ? MAP_FIXED : 0), NULL, 0);
    CHECK(at > 0);
    return (uint64_t)at;
}

static uint64_t map_file(struct proc *p, uint64_t addr, uint64_t pages, uint32_t prot,
                         uint32_t flags, struct fake_file *f, uint64_t page) {
    int64_t at = mm_map(p->mm, addr, PAGES(pages), prot, flags | (addr != 0 ? MAP_FIXED : 0),
                        &f->file, PAGES(page));
    CHECK(at > 0);
    return (uint64_t)at;
}

static uint8_t get(struct proc *p, uint64_t va) {
    uint8_t byte = 0xee;
    CHECK(user_get(p, va, &byte) == 0);
    return byte;
}

static void put(struct proc *p, uint64_t va, uint8_t value) {
    CHECK(user_put(p, va, value) == 0);
    CHECK(get(p, va) == value);
}

/* The design's figure: one map order, one unmap order, the same frames again. */
static void small_area_is_one_order(void) {
    struct proc p;
    proc_new(&p);
    uint64_t before = skeleton_order_total();
    uint64_t at = map(&p, 0, 16, RW, ANON);
    CHECK(skeleton_order_total() - before == 1 && skeleton_queued_at(p.space, 0)->page_count == 16);
    for (uint64_t i = 0; i < 16; i++) {
        put(&p, at + PAGES(i), (uint8_t)(i + 1));
    }
    uint64_t used = frames_used(), pfn, pfn2;
    uint32_t prot;
    CHECK(skeleton_page(p.space, at, &pfn, &prot));
    CHECK(mm_unmap(p.mm, at, PAGES(16)) == 0);
    CHECK(skeleton_order_total() - before == 2);
    CHECK(frames_used() == used); /* still gathered */
    mm_orders_done(p.mm);
    CHECK(frames_used() == used); /* nothing was carried out */
    proc_apply(&p);
    CHECK(frames_used() == used - 16);
    at = map(&p, 0, 16, RW, ANON);
    proc_apply(&p);
    CHECK(skeleton_page(p.space, at, &pfn2, &prot) && pfn2 == pfn);
    CHECK(get(&p, at) == 0);
    proc_exit(&p);
}

static void rights_are_kept(void) {
    struct proc p;
    uint8_t byte;
    proc_new(&p);
    uint64_t at = map(&p, 0, 4, PROT_READ, ANON);
    CHECK(get(&p, at) == 0);
    CHECK(user_put(&p, at, 1) == -EFAULT);
    CHECK(mm_protect(p.mm, at, PAGES(1), RW) == 0);
    put(&p, at, 5);
    CHECK(user_put(&p, at + PAGES(1), 1) == -EFAULT);
    CHECK(mm_protect(p.mm, at, PAGES(4), PROT_NONE) == 0);
    CHECK(user_get(&p, at, &byte) == -EFAULT);
    CHECK(mm_protect(p.mm, at, PAGES(4), RW) == 0);
    CHECK(get(&p, at) == 5);
    CHECK(p.mm->vma_count == 1); /* equal neighbours are joined */
    CHECK(mm_protect(p.mm, at, PAGES(5), PROT_READ) == -ENOMEM);
    CHECK(user_get(&p, at + PAGES(4), &byte) == -EFAULT);
    proc_verify(&p);
    proc_exit(&p);
}

static void fork_separates_memory(void) {
    struct proc p, c;
    proc_new(&p);
    /* A place of our own choice: pages are taken back by leaf tables of 2 MiB. */
    uint64_t at = map(&p, BASE, 64, RW, ANON);
    uint64_t shared = map(&p, 0, 4, RW, MAP_SHARED | MAP_ANONYMOUS);
    for (uint64_t i = 0; i < 64; i++) {
        put(&p, at + PAGES(i), (uint8_t)i);
    }
    put(&p, shared, 1);
    CHECK(proc_fork(&p, &c) == 0);
    proc_verify(&p);
    proc_verify(&c);
    put(&c, at, 100);
    put(&p, at + PAGES(1), 101);
    CHECK(get(&p, at) == 0 && get(&c, at + PAGES(1)) == 1);
    put(&c, shared, 9);
    CHECK(get(&p, shared) == 9);
    for (uint64_t i = 2; i < 64; i++) {
        CHECK(get(&c, at + PAGES(i)) == i && get(&p, at + PAGES(i)) == i);
    }
    proc_verify(&p);
    proc_verify(&c);
    proc_exit(&c);
    /* The last one keeps its frames: no copy, one order for what is left. */
    uint64_t used = frames_used(), orders = skeleton_order_total();
    put(&p, at + PAGES(40), 7);
    CHECK(frames_used() == used && skeleton_order_total() - orders == 1);
    put(&p, at + PAGES(63), 8);
    CHECK(skeleton_order_total() - orders == 1);
    proc_exit(&p);
}

static void fork_protects_once_a_stretch(void) {
    struct proc p, c;
    proc_new(&p);
    for (uint64_t i = 0; i < 3; i++) {
        (void)map(&p, BASE + PAGES(i * 100), 40, RW, ANON); /* the address is known */
    }
    proc_apply(&p);
    uint64_t orders = skeleton_order_total();
    CHECK(proc_fork(&p, &c) == 0);
    CHECK(skeleton_order_total() - orders == 4); /* three protects, the fork */
    orders = skeleton_order_total();
    struct proc d;
    CHECK(proc_fork(&p, &d) == 0);
    CHECK(skeleton_order_total() - orders == 1); /* nothing is writable any more */
    proc_exit(&d);
    proc_exit(&c);
    proc_exit(&p);
}

static void fork_honours_advice(void) {
    struct proc p, c;
    uint8_t byte;
    proc_new(&p);
    uint64_t gone = map(&p, BASE, 4, RW, ANON), wiped = map(&p, BASE + PAGES(10), 4, RW, ANON);
    put(&p, gone, 1);
    put(&p, wiped, 2);
    CHECK(mm_change_flags(p.mm, gone, gone + PAGES(4), VMA_DONTFORK, 0) == 0);
    CHECK(mm_change_flags(p.mm, wiped, wiped + PAGES(4), VMA_WIPEONFORK, 0) == 0);
    CHECK(proc_fork(&p, &c) == 0);
    CHECK(user_get(&c, gone, &byte) == -EFAULT);
    CHECK(get(&c, wiped) == 0);
    CHECK(get(&p, gone) == 1 && get(&p, wiped) == 2);
    proc_verify(&c);
    proc_exit(&c);
    proc_exit(&p);
}

static void kernel_access_breaks_copies(void) {
    struct proc p, c;
    uint8_t buf[3 * PAGE_SIZE];
    proc_new(&p);
    uint64_t at = map(&p, 0, 8, RW, ANON);
    fakes_set_mm(p.mm);
    memset(buf, 0x11, sizeof(buf));
    CHECK(copyout(uaddr_of(at + 100), buf, sizeof(buf)) == 0);
    CHECK(get(&p, at + 99) == 0 && get(&p, at + 100) == 0x11);
    CHECK(proc_fork(&p, &c) == 0);
    fakes_set_mm(c.mm);
    memset(buf, 0x22, sizeof(buf));
    CHECK(copyout(uaddr_of(at), buf, PAGE_SIZE) == 0);
    CHECK(get(&c, at + 5) == 0x22 && get(&p, at + 500) == 0x11);
    CHECK(copyin(buf, uaddr_of(at + PAGES(7)), PAGE_SIZE) == 0 && buf[17] == 0);
    CHECK(copyin(buf, uaddr_of(at + PAGES(7) + 1), PAGE_SIZE) == -EFAULT);
    CHECK(copyout(uaddr_of(0x1000), buf, 1) == -EFAULT &&
          copyout(uaddr_of(UINT64_MAX - 3), buf, 8) == -EFAULT);
    CHECK(user_copy_in(uaddr_of(at + PAGES(7)), buf, 2 * PAGE_SIZE) == PAGE_SIZE);
    uint32_t seen;
    CHECK(user_cas_u32(uaddr_of(at + PAGES(6)), 0, 77, &seen) == 0 && seen == 0);
    CHECK(user_load_u32(uaddr_of(at + PAGES(6)), &seen) == 0 && seen == 77);
    CHECK(user_load_u32(uaddr_of(at + 2), &seen) == -EINVAL);
    CHECK(get(&p, at + PAGES(6)) == 0);
    proc_verify(&c);
    proc_exit(&c);
    proc_exit(&p);
}

static void strings_end(void) {
    struct proc p;
    char text[5000], out[5000];
    proc_new(&p);
    fakes_set_mm(p.mm);
    uint64_t at = map(&p, 0, 2, RW, ANON);
    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len < 4500; len += 61) {
        text[len] = 0;
        uint64_t where = at + PAGES(2) - len - 1; /* up to the last mapped byte */
        CHECK(copyout(uaddr_of(where), text, len + 1) == 0);
        CHECK(copyin_str(out, uaddr_of(where), sizeof(out)) == (int64_t)len &&
              strcmp(out, text) == 0);
        CHECK(copyin_str(out, uaddr_of(where), len) == -ENAMETOOLONG);
        text[len] = 'x';
    }
    CHECK(copyout(uaddr_of(at + PAGES(2) - 10), text, 10) == 0);
    CHECK(copyin_str(out, uaddr_of(at + PAGES(2) - 10), sizeof(out)) == -EFAULT);
    proc_exit(&p);
}

static void file_pages(void) {
    struct proc p, c;
    uint8_t byte;
    struct fake_file *f = fake_file_new(40, 1);
    proc_new(&p);
    uint64_t text = map_file(&p, 0, 40, PROT_READ | PROT_EXEC, MAP_PRIVATE, f, 0);
    uint64_t data = map_file(&p, 0, 38, RW, MAP_PRIVATE, f, 2);
    uint64_t both = map_file(&p, 0, 42, RW, MAP_SHARED, f, 0);
    for (uint64_t i = 0; i < 38; i++) {
        CHECK(get(&p, text + PAGES(i)) == i + 1 && get(&p, data + PAGES(i)) == i + 3 &&
              get(&p, both + PAGES(i)) == i + 1);
    }
    CHECK(user_get(&p, both + PAGES(40), &byte) == -EIO);
    CHECK(f->asked_write == 0);
    put(&p, both + PAGES(3), 0x99);
    CHECK(f->asked_write > 0 && get(&p, text + PAGES(3)) == 0x99);
    put(&p, data + PAGES(5), 0x55);
    CHECK(get(&p, text + PAGES(7)) == 8);
    CHECK(proc_fork(&p, &c) == 0);
    put(&c, data + PAGES(5), 0x66);
    CHECK(get(&p, data + PAGES(5)) == 0x55);
    proc_verify(&p);
    proc_verify(&c);
    fake_file_truncate(f, 4);
    proc_apply(&p);
    proc_apply(&c);
    CHECK(user_get(&p, text + PAGES(4), &byte) == -EIO &&
          user_get(&c, both + PAGES(5), &byte) == -EIO);
    CHECK(get(&p, both + PAGES(3)) == 0x99);
    CHECK(get(&c, data + PAGES(5)) == 0x66); /* its own copy */
    proc_verify(&p);
    proc_exit(&c);
    proc_exit(&p);
    fake_file_put(f);
}

/* A truncate between fork and the birth of the child's space must reach the child. */
static void truncate_meets_fork(void) {
    struct proc p, c;
    uint8_t byte;
    struct fake_file *f = fake_file_new(8, 1);
    proc_new(&p);
    uint64_t at = map_file(&p, 0, 8, PROT_READ, MAP_SHARED, f, 0);
    CHECK(get(&p, at) == 1);
    mm_fork_begin(p.mm);
    CHECK(mm_fork(p.mm, &c.mm) == 0);
    CHECK(platform_space_fork(p.thread, NULL, &c.space, &c.thread) == 0);
    uint64_t used = frames_used();
    fake_file_truncate(f, 0);
    CHECK(frames_used() == used); /* both spaces may still map the frames */
    CHECK(skeleton_apply(p.space) == 0);
    mm_bind_space(c.mm, c.space);
    mm_fork_end(p.mm);
    mm_orders_done(p.mm);
    mm_orders_done(c.mm);
    CHECK(frames_used() == used);
    proc_apply(&c);
    CHECK(frames_used() == used - 8);
    CHECK(user_get(&c, at, &byte) == -EIO && user_get(&p, at, &byte) == -EIO);
    proc_verify(&c);
    proc_exit(&c);
    proc_exit(&p);
    fake_file_put(f);
}

static void exec_binds_what_is_filled(void) {
    struct proc p;
    struct mm *mm;
    CHECK(mm_create(NULL, &mm) == 0);
    int64_t at = mm_map(mm, BASE, PAGES(20), RW, ANON | MAP_FIXED, NULL, 0);
    CHECK(at == BASE && mm_write(mm, BASE + 10, "hello", 6, false) == 6);
    CHECK(platform_space_create(0, NULL, &p.space, &p.thread) == 0);
    mm_bind_space(mm, p.space);
    p.mm = mm;
    CHECK(skeleton_queued(p.space) == 1);
    proc_apply(&p);
    CHECK(get(&p, BASE + 10) == 'h');
    proc_verify(&p);
    proc_exit(&p);
}

static void stacks_grow(void) {
    struct proc p;
    uint8_t byte;
    proc_new(&p);
    uint64_t top = 0x40000000;
    int64_t at =
        mm_map(p.mm, top - PAGES(4), PAGES(4), RW, ANON | MAP_FIXED | MAP_GROWSDOWN, NULL, 0);
    CHECK(at > 0);
    put(&p, top - 1, 3);
    put(&p, top - PAGES(100), 4);
    CHECK(vma_at(p.mm, top - PAGES(100)) == vma_at(p.mm, top - 1));
    CHECK(user_get(&p, top - 8 * MIB - 1, &byte) == -EFAULT);
    put(&p, top - 8 * MIB, 5);
    uint64_t below = map(&p, top - 16 * MIB, 16, RW, ANON);
    g_fake_rlimits[3] = UINT64_MAX;
    CHECK(user_get(&p, below + PAGES(20), &byte) == -EFAULT); /* the guard gap */
    put(&p, below + PAGES(16) + STACK_GUARD, 6);
    proc_verify(&p);
    proc_exit(&p);
    g_fake_rlimits[3] = 8 * MIB;
}

static void huge_reservations_are_cheap(void) {
    struct proc p;
    proc_new(&p);
    uint64_t used = frames_used();
    int64_t at = mm_map(p.mm, 0, 1ull << 46, PROT_NONE, ANON | MAP_NORESERVE, NULL, 0);
    CHECK(at > 0 && frames_used() == used);
    uint64_t va = (uint64_t)at + (1ull << 45);
    CHECK(mm_protect(p.mm, va, 1ull << 40, RW) == 0);
    put(&p, va + 12345, 1);
    CHECK(frames_used() - used <= FILL_SMALL);
    for (uint64_t i = 0; i < 512; i++) {
        put(&p, va + 4 * MIB + PAGES(i), 2); /* dense: few faults */
    }
    proc_verify(&p);
    CHECK(mm_unmap(p.mm, (uint64_t)at, 1ull << 46) == 0);
    proc_apply(&p);
    CHECK(frames_used() == used && skeleton_page_count(p.space) == 0);
    proc_exit(&p);
}

static void areas_are_limited(void) {
    struct proc p;
    proc_new(&p);
    uint64_t n = 0;
    while (mm_map(p.mm, BASE + PAGES(2 * n), PAGE_SIZE, PROT_READ, ANON | MAP_FIXED, NULL, 0) > 0) {
        n++;
    }
    CHECK(n == MM_AREAS_MAX);
    CHECK(mm_map(p.mm, 0, PAGE_SIZE, PROT_READ, ANON, NULL, 0) == -ENOMEM);
    CHECK(mm_unmap(p.mm, BASE, PAGES(2 * n)) == 0 && p.mm->vma_count == 0);
    uint64_t at = map(&p, BASE, 3, RW, ANON);
    CHECK(mm_unmap(p.mm, at + PAGES(1), PAGE_SIZE) == 0 && p.mm->vma_count == 2);
    proc_exit(&p);
}

static void limits_hold(void) {
    struct proc p;
    proc_new(&p);
    g_fake_rlimits[9] = PAGES(10); /* RLIMIT_AS */
    CHECK(mm_map(p.mm, 0, PAGES(11), RW, ANON, NULL, 0) == -ENOMEM);
    uint64_t at = map(&p, 0, 10, RW, ANON);
    CHECK(mm_map(p.mm, 0, PAGES(1), RW, ANON, NULL, 0) == -ENOMEM);
    CHECK(mm_unmap(p.mm, at, PAGES(10)) == 0);
    g_fake_rlimits[9] = UINT64_MAX;
    g_fake_rlimits[8] = PAGES(4); /* RLIMIT_MEMLOCK */
    CHECK(mm_map(p.mm, 0, PAGES(5), RW, ANON | MAP_LOCKED, NULL, 0) == -EAGAIN);
    CHECK(mm_map(p.mm, 0, PAGES(4), RW, ANON | MAP_LOCKED, NULL, 0) > 0);
    g_fake_rlimits[8] = UINT64_MAX;
    CHECK(mm_map(p.mm, 0, 0, RW, ANON, NULL, 0) == -EINVAL);
    CHECK(mm_map(p.mm, 1, PAGES(1), RW, ANON | MAP_FIXED, NULL, 0) == -EINVAL);
    CHECK(mm_map(p.mm, 0, UINT64_MAX - 5, RW, ANON, NULL, 0) == -ENOMEM);
    CHECK(mm_map(p.mm, 0, PAGES(1), RW, MAP_ANONYMOUS, NULL, 0) == -EINVAL);
    CHECK(mm_map(p.mm, g_user_end - PAGES(1), PAGES(2), RW, ANON | MAP_FIXED, NULL, 0) == -ENOMEM);
    proc_verify(&p);
    proc_exit(&p);
}

static void brk_moves(void) {
    struct proc p;
    proc_new(&p);
    CHECK(mm_set_brk_start(p.mm, BASE) == 0);
    CHECK(mm_brk(p.mm, 0) == BASE);
    CHECK(mm_brk(p.mm, BASE + 100) == BASE + 100);
    put(&p, BASE + 4000, 1);
    CHECK(mm_brk(p.mm, BASE + PAGES(33)) == BASE + PAGES(33));
    CHECK(p.mm->vma_count == 1);
    put(&p, BASE + PAGES(33) - 1, 2);
    CHECK(mm_brk(p.mm, BASE + 1) == BASE + 1 && get(&p, BASE + 4000) == 1);
    uint64_t wall = map(&p, BASE + PAGES(10), 1, RW, ANON);
    CHECK(mm_brk(p.mm, wall) == BASE + 1);
    CHECK(mm_brk(p.mm, wall - PAGES(1)) == wall - PAGES(1));
    proc_verify(&p);
    proc_exit(&p);
}

static void mremap_carries_pages(void) {
    struct proc p;
    proc_new(&p);
    uint64_t at = map(&p, BASE, 8, RW, ANON);
    (void)map(&p, BASE + PAGES(8), 1, PROT_READ, ANON); /* in the way */
    for (uint64_t i = 0; i < 8; i++) {
        put(&p, at + PAGES(i), (uint8_t)(i + 1));
    }
    CHECK(mm_remap(p.mm, at, PAGES(8), PAGES(16), 0, 0) == -ENOMEM);
    int64_t moved = mm_remap(p.mm, at, PAGES(8), PAGES(16), MREMAP_MAYMOVE, 0);
    CHECK(moved > 0 && (uint64_t)moved != at);
    uint8_t byte;
    CHECK(user_get(&p, at, &byte) == -EFAULT);
    for (uint64_t i = 0; i < 16; i++) {
        CHECK(get(&p, (uint64_t)moved + PAGES(i)) == (i < 8 ? i + 1 : 0));
    }
    put(&p, (uint64_t)moved + PAGES(15), 9);
    CHECK(mm_remap(p.mm, (uint64_t)moved, PAGES(16), PAGES(2), 0, 0) == moved);
    CHECK(user_get(&p, (uint64_t)moved + PAGES(2), &byte) == -EFAULT);
    CHECK(mm_remap(p.mm, (uint64_t)moved, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
                   BASE) == BASE);
    CHECK(get(&p, BASE + PAGES(1)) == 2);
    CHECK(mm_remap(p.mm, BASE, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) > 0);
    CHECK(get(&p, BASE) == 0);
    CHECK(mm_remap(p.mm, BASE, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
                   BASE + PAGES(1)) == -EINVAL);
    proc_verify(&p);
    proc_exit(&p);
}

static void pins_hold_frames(void) {
    struct proc p;
    struct hal_seg segs[4];
    size_t len;
    proc_new(&p);
    fakes_set_mm(p.mm);
    uint64_t used = frames_used(), at = map(&p, 0, 8, RW, ANON);
    CHECK(mm_pin(p.mm, uaddr_of(at + 100), PAGES(3), true, segs, 4, &len) == 1 && len == PAGES(3));
    memset(segs[0].base, 0x42, segs[0].len);
    CHECK(get(&p, at + 100) == 0x42 && get(&p, at + PAGES(3) + 99) == 0x42 &&
          get(&p, at + PAGES(3) + 100) == 0);
    CHECK(mm_unmap(p.mm, at, PAGES(8)) == 0);
    proc_apply(&p);
    CHECK(frames_used() == used + 4);
    mm_unpin(p.mm, segs, 1);
    CHECK(frames_used() == used);
    CHECK(mm_pin(p.mm, uaddr_of(at), 1, false, segs, 4, &len) == -EFAULT);
    proc_exit(&p);
}

static void shared_memory_is_one(void) {
    struct proc p, c;
    struct futex_key a, b;
    proc_new(&p);
    uint64_t at =
        map(&p, 0, 5000, RW, MAP_SHARED | MAP_ANONYMOUS); /* more than is filled at once */
    CHECK(proc_fork(&p, &c) == 0);
    put(&c, at + PAGES(4999), 1);
    CHECK(get(&p, at + PAGES(4999)) == 1);
    fakes_set_mm(p.mm);
    CHECK(mm_futex_key(uaddr_of(at + 64), true, &a) == 0);
    fakes_set_mm(c.mm);
    CHECK(mm_futex_key(uaddr_of(at + 64), true, &b) == 0);
    CHECK(a.a == b.a && a.b == b.b);
    CHECK(mm_futex_key(uaddr_of(at + 64), false, &a) == 0 && a.a != b.a);
    proc_exit(&p);
    put(&c, at, 4);
    proc_verify(&c);
    proc_exit(&c);
}

static void memory_runs_out(void) {
    struct proc p;
    proc_new(&p);
    int64_t at = mm_map(p.mm, 0, 1 * GIB, RW, ANON, NULL, 0);
    CHECK(at > 0);
    int err = 0;
    uint64_t n = 0;
    for (; n < 262144 && err == 0; n += 16) {
        err = user_put(&p, (uint64_t)at + PAGES(n), 1);
    }
    CHECK(err == -ENOMEM && n > 1024);
    proc_verify(&p);
    proc_exit(&p);
}

static void lost_revoke_breaks_the_mm(void) {
    struct proc p;
    uint8_t byte;
    proc_new(&p);
    uint64_t at = map(&p, 0, 8, RW, ANON), used = frames_used();
    proc_apply(&p);
    skeleton_fail_orders_after(1);
    CHECK(mm_unmap(p.mm, at, PAGES(8)) == 0);
    skeleton_fail_orders_after(0);
    proc_apply(&p);
    CHECK(frames_used() == used);        /* the space still maps them */
    CHECK(user_get(&p, at, &byte) == 0); /* the old mapping */
    int code;
    CHECK(mm_fault(p.mm, at, PROT_BIT_READ, &code) == -ENOMEM);
    proc_exit(&p);
    CHECK(frames_used() == 0);
}

int main(void) {
    static void (*const tests[])(void) = {
        small_area_is_one_order,
        rights_are_kept,
        fork_separates_memory,
        fork_protects_once_a_stretch,
        fork_honours_advice,
        kernel_access_breaks_copies,
        strings_end,
        file_pages,
        truncate_meets_fork,
        exec_binds_what_is_filled,
        stacks_grow,
        huge_reservations_are_cheap,
        areas_are_limited,
        limits_hold,
        brk_moves,
        mremap_carries_pages,
        pins_hold_frames,
        shared_memory_is_one,
        memory_runs_out,
        lost_revoke_breaks_the_mm,
    };
    fakes_init(16384);
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        tests[i]();
        fakes_check_locks();
        CHECK(frames_used() == 0 && skeleton_space_count() == 0);
    }
    skeleton_fini();
    return 0;
}
