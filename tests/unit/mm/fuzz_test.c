/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random calls on several related processes against a plain model of what each page holds, with the
 * space's table held against the entries after every step.  Orders wait a random time, so frames
 * released too early show.  A second part makes the heap and the order queues fail: then only
 * invariants count, not results.
 *
 * Usage: fuzz_test [seed [steps]]
 */
#include "user.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>

#define BASE    0x20000000ull
#define ARENA   384u /* pages */
#define PROCS   5
#define OBJECTS 4096
#define ANON    (MAP_PRIVATE | MAP_ANONYMOUS)

/* A shared object's contents: one byte a page. */
struct object {
    uint8_t value[64];
};

struct page {
    bool mapped;
    uint32_t prot;
    struct object *object; /* NULL: private */
    uint32_t index;
    uint8_t value;
};

struct model {
    bool alive;
    struct proc proc;
    struct page page[ARENA];
};

static struct model g_model[PROCS];
static struct object g_objects[OBJECTS];
static size_t g_object_count;
static struct fake_file *g_private_file, *g_shared_file;
static struct object g_shared_object;
static bool g_exact; /* nothing is made to fail */

static uint32_t pick(uint32_t n) {
    return (uint32_t)(fakes_random() % n);
}

static uint64_t va_of(uint32_t page) {
    return BASE + page * PAGE_SIZE;
}

static void pick_range(uint32_t *first, uint32_t *count) {
    *first = pick(ARENA);
    uint32_t most = pick(4) == 0 ? 64 : 8;
    *count = 1 + pick(MIN(most, ARENA - *first));
}

static uint32_t pick_prot(void) {
    static const uint32_t prots[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
                                     PROT_NONE};
    return prots[pick(4)];
}

/* ---- steps ---- */

static void step_map(struct model *m) {
    uint32_t first, count, kind = pick(4), prot = pick_prot();
    pick_range(&first, &count);
    count = MIN(count, 60u);
    uint32_t flags = MAP_FIXED | (kind == 0 ? ANON : kind == 1 ? MAP_SHARED | MAP_ANONYMOUS : 0);
    struct fake_file *f = NULL;
    struct object *object = NULL;
    flags |= kind == 0 && pick(3) == 0 ? MAP_STACK : 0;
    if (kind == 1) {
        if (g_object_count == OBJECTS) {
            return;
        }
        object = &g_objects[g_object_count++];
    } else if (kind > 1) {
        f = kind == 2 ? g_private_file : g_shared_file;
        flags |= kind == 2 ? MAP_PRIVATE : MAP_SHARED;
        object = kind == 3 ? &g_shared_object : NULL;
    }
    uint32_t from = kind > 1 ? pick(64 - count) : 0;
    int64_t at = mm_map(m->proc.mm, va_of(first), count * PAGE_SIZE, prot, flags,
                        f != NULL ? &f->file : NULL, from * PAGE_SIZE);
    CHECK(at == (int64_t)va_of(first) || !g_exact);
    for (uint32_t i = 0; i < count; i++) {
        m->page[first + i] =
            (struct page){.mapped = true, .prot = prot, .object = object, .index = from + i};
        m->page[first + i].value = kind == 2 ? (uint8_t)(10 + from + i) : 0;
    }
}

static void step_unmap(struct model *m) {
    uint32_t first, count;
    pick_range(&first, &count);
    CHECK(mm_unmap(m->proc.mm, va_of(first), count * PAGE_SIZE) == 0 || !g_exact);
    memset(&m->page[first], 0, count * sizeof(m->page[0]));
}

static void step_protect(struct model *m) {
    uint32_t first, count, prot = pick_prot();
    pick_range(&first, &count);
    int err = mm_protect(m->proc.mm, va_of(first), count * PAGE_SIZE, prot);
    for (uint32_t i = 0; i < count; i++) {
        if (!m->page[first + i].mapped) {
            CHECK(err == -ENOMEM || !g_exact);
            return;
        }
        m->page[first + i].prot = prot;
    }
    CHECK(err == 0 || !g_exact);
}

static void step_remap(struct model *m) {
    uint32_t first = pick(ARENA), to = pick(ARENA), count = 1 + pick(12), grown = count + pick(4);
    if (first + count > ARENA || to + grown > ARENA || (to < first + count && first < to + grown) ||
        !m->page[first].mapped) {
        return;
    }
    int64_t at = mm_remap(m->proc.mm, va_of(first), count * PAGE_SIZE, grown * PAGE_SIZE,
                          MREMAP_MAYMOVE | MREMAP_FIXED, va_of(to));
    if (at < 0) {
        CHECK(at == -EFAULT || !g_exact); /* not one area */
        return;
    }
    struct page last = m->page[first + count - 1];
    for (uint32_t i = 0; i < grown; i++) {
        if (i < count) {
            m->page[to + i] = m->page[first + i];
            m->page[first + i] = (struct page){0};
            continue;
        }
        last.index++;
        m->page[to + i] = last;
        m->page[to + i].value = 0;
    }
    /* What a file area grew over is not in the model. */
    if (grown > count &&
        mm_unmap(m->proc.mm, va_of(to + count), (grown - count) * PAGE_SIZE) == 0) {
        memset(&m->page[to + count], 0, (grown - count) * sizeof(last));
    }
}

static bool is_anon(const struct model *m, uint32_t page) {
    const struct vma *v = vma_at(m->proc.mm, va_of(page));
    return v != NULL && vma_is_anon(v);
}

static void step_drop(struct model *m) {
    uint32_t first, count;
    pick_range(&first, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_anon(m, first + i)) {
            mm_zap(m->proc.mm, va_of(first + i), va_of(first + i + 1), 0);
            m->page[first + i].value = 0;
        }
    }
}

static void step_access(struct model *m) {
    uint32_t n = pick(ARENA);
    struct page *page = &m->page[n];
    bool write = pick(2) == 0;
    uint8_t value = (uint8_t)fakes_random(), seen = 0;
    uint64_t va = va_of(n) + 8;
    uint32_t need = write ? PROT_WRITE : PROT_READ;
    bool may = page->mapped && (page->prot & need) != 0;
    uint8_t *real = page->object != NULL ? &page->object->value[page->index] : &page->value;
    int err;
    if (pick(3) == 0) {
        fakes_set_mm(m->proc.mm);
        err = write ? copyout(uaddr_of(va), &value, 1) : copyin(&seen, uaddr_of(va), 1);
    } else {
        err = write ? user_put(&m->proc, va, value) : user_get(&m->proc, va, &seen);
    }
    if (!g_exact) {
        return;
    }
    CHECK(err == (may ? 0 : -EFAULT));
    if (may && write) {
        *real = value;
    } else if (may) {
        CHECK(seen == *real);
    }
}

static void step_fork(struct model *m) {
    struct model *c = NULL;
    for (int i = 0; i < PROCS; i++) {
        c = g_model[i].alive ? c : &g_model[i];
    }
    if (c == NULL) {
        return;
    }
    struct proc child;
    int err = proc_fork(&m->proc, &child);
    CHECK(err == 0 || !g_exact);
    if (err == 0) {
        memcpy(c->page, m->page, sizeof(c->page));
        c->proc = child;
        c->alive = true;
    }
}

static void step_exit(struct model *m) {
    int alive = 0;
    for (int i = 0; i < PROCS; i++) {
        alive += g_model[i].alive ? 1 : 0;
    }
    if (alive > 1) {
        proc_exit(&m->proc);
        m->alive = false;
    }
}

/* A hole in the shared file: new frames, zero. */
static void step_punch(void) {
    uint32_t first = pick(64), count = 1 + pick(64 - first);
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t pfn;
        if (frame_alloc(&pfn) != 0) {
            return;
        }
        frame_put(g_shared_file->pages[i]);
        g_shared_file->pages[i] = pfn;
        g_shared_object.value[i] = 0;
    }
    mm_unmap_inode(&g_shared_file->inode, first, count);
}

static void step(void) {
    struct model *m;
    do {
        m = &g_model[pick(PROCS)];
    } while (!m->alive);
    uint32_t kind = pick(40);
    switch (kind) {
    case 0:
    case 1:
    case 2:
        step_map(m);
        break;
    case 3:
        step_unmap(m);
        break;
    case 4:
    case 5:
        step_protect(m);
        break;
    case 6:
        step_remap(m);
        break;
    case 7:
        step_drop(m);
        break;
    case 8:
        step_fork(m);
        break;
    case 9:
        step_exit(m);
        break;
    case 10:
        step_punch();
        break;
    case 11:
    case 12:
        proc_apply(&m->proc);
        break;
    default:
        step_access(m);
        break;
    }
    fakes_check_locks();
}

static void run(uint64_t seed, uint32_t steps, bool exact) {
    fakes_seed(seed);
    g_exact = exact;
    g_object_count = 0;
    memset(g_model, 0, sizeof(g_model));
    memset(g_objects, 0, sizeof(g_objects));
    memset(&g_shared_object, 0, sizeof(g_shared_object));
    g_private_file = fake_file_new(64, 10);
    g_shared_file = fake_file_new(64, 0);
    for (uint32_t i = 0; i < 64; i++) {
        g_shared_object.value[i] = (uint8_t)i;
        g_shared_file->contiguous_max = 1 + seed % 20;
    }
    proc_new(&g_model[0].proc);
    g_model[0].alive = true;
    if (!exact) {
        fakes_fail_heap(20);
    }
    for (uint32_t i = 0; i < steps; i++) {
        skeleton_fail_orders_after(!exact && pick(100) == 0 ? 1 + pick(3) : 0);
        step();
        for (int k = 0; i % 8 == 0 && k < PROCS; k++) {
            if (g_model[k].alive) {
                proc_verify(&g_model[k].proc);
            }
        }
    }
    fakes_fail_heap(0);
    skeleton_fail_orders_after(0);
    for (int k = 0; k < PROCS; k++) {
        if (g_model[k].alive) {
            proc_verify(&g_model[k].proc);
            proc_exit(&g_model[k].proc);
        }
    }
    fake_file_put(g_private_file);
    fake_file_put(g_shared_file);
    CHECK(!exact || frames_used() == 0);
    CHECK(skeleton_space_count() == 0);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint32_t steps = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 3000;
    fakes_init(32768);
    for (uint64_t i = 0; i < (argc > 1 ? 1 : 12); i++) {
        run(seed + i, steps, true);
    }
    for (uint64_t i = 0; i < 4; i++) {
        run(seed + i, steps, false);
    }
    skeleton_fini();
    return 0;
}
