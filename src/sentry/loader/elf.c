/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads ELF programs and their interpreters into a new address space.
 *
 * Placement: position-independent programs with an interpreter go to two thirds of the address
 * space plus a random offset, below them nothing, behind them the heap; an interpreter, and a
 * program that needs none, goes where mmap would put it.
 */
#include "loader/elf_check.h"
#include "loader/loader.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <asm/mman.h>
#include <linux/errno.h>
#include <linux/mman.h>

#define PIE_RANDOM_PAGES      (1ull << 28) /* as many bits as Linux gives mmap */
#define BRK_RANDOM_PAGES      (1ull << 13) /* 32 MiB */
#define PERSONALITY_NO_RANDOM 0x0040000u   /* ADDR_NO_RANDOMIZE (personality(2)) */

struct elf_file {
    struct file *file;
    struct elf64_hdr hdr;
    struct elf64_phdr *ph; /* owned */
    struct elf_plan plan;
    uint64_t bias; /* placed address minus address in the file */
};

static int read_exact(struct file *file, void *buf, size_t len, uint64_t off) {
    int64_t n = kernel_read(file, buf, len, off);

    if (n < 0) {
        return (int)n;
    }
    return (size_t)n == len ? 0 : -ENOEXEC;
}

static int elf_open(struct elf_file *e, struct file *file) {
    const struct platform_info *pi = platform_info();
    size_t size;

    memset(e, 0, sizeof(*e));
    e->file = file;
    int err = read_exact(file, &e->hdr, sizeof(e->hdr), 0);
    if (err == 0) {
        err = elf_check_header(&e->hdr, &size);
    }
    if (err != 0) {
        return err;
    }
    e->ph = kmalloc(size);
    if (e->ph == NULL) {
        return -ENOMEM;
    }
    err = read_exact(file, e->ph, size, e->hdr.e_phoff);
    if (err == 0) {
        err = elf_check_segments(&e->hdr, e->ph, pi->user_start, pi->user_end, &e->plan);
    }
    return err;
}

static uint64_t random_pages(struct exec_image *img, uint64_t pages) {
    uint64_t r;

    if ((img->task->personality & PERSONALITY_NO_RANDOM) != 0) {
        return 0;
    }
    hal_random(&r, sizeof(r));
    return r % pages;
}

static uint64_t pie_base(void) {
    return ALIGN_DOWN(platform_info()->user_end / 3 * 2, PAGE_SIZE);
}

/* Where mmap would put an image of this span. */
static int64_t find_room(struct exec_image *img, const struct elf_plan *plan) {
    uint64_t span = plan->high - plan->low;
    uint64_t len;

    if (ckd_add(&len, span, plan->align)) {
        return -ENOMEM;
    }
    int64_t at = mm_map(img->mm, 0, len, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0);
    if (at < 0) {
        return at;
    }
    int err = mm_unmap(img->mm, (uint64_t)at, len);
    if (err != 0) {
        return err;
    }
    /* From the top of the hole, so that what comes later stays below it without a gap. */
    return (int64_t)ALIGN_DOWN((uint64_t)at + len - span, plan->align);
}

static int place(struct exec_image *img, struct elf_file *e, bool below_stack) {
    const struct elf_plan *plan = &e->plan;
    uint64_t end;

    if (!plan->is_dyn) {
        e->bias = 0;
        return 0;
    }
    if (below_stack) {
        int64_t at = find_room(img, plan);
        if (at < 0) {
            return (int)at;
        }
        e->bias = (uint64_t)at - plan->low;
        return 0;
    }
    uint64_t base = pie_base() + (random_pages(img, PIE_RANDOM_PAGES) << PAGE_SHIFT);
    base = ALIGN_DOWN(base, plan->align);
    if (ckd_add(&end, base, plan->high - plan->low) || end > platform_info()->user_end) {
        return -ENOMEM;
    }
    e->bias = base - plan->low;
    return 0;
}

static uint32_t prot_of(const struct elf64_phdr *p) {
    return ((p->p_flags & PF_R) != 0 ? PROT_READ : 0u) |
           ((p->p_flags & PF_W) != 0 ? PROT_WRITE : 0u) |
           ((p->p_flags & PF_X) != 0 ? PROT_EXEC : 0u);
}

/* Zeroes [from, end of its page): what of the file's last page is not the segment's. */
static int clear_tail(struct mm *mm, uint64_t from) {
    static const char zeros[PAGE_SIZE];
    size_t len = (size_t)(ALIGN_UP(from, PAGE_SIZE) - from);

    if (len == 0) {
        return 0;
    }
    return mm_write(mm, from, zeros, len, true) == (int64_t)len ? 0 : -ENOEXEC;
}

/* *inout_end: where what is mapped so far ends; a segment without file contents may begin inside
 * that page. */
static int map_segment(struct exec_image *img, const struct elf_file *e, const struct elf64_phdr *p,
                       uint64_t *inout_end) {
    const uint32_t flags = MAP_PRIVATE | MAP_FIXED;
    uint64_t addr = p->p_vaddr + e->bias;
    uint64_t in_page = addr & PAGE_MASK;
    uint64_t file_end = addr + p->p_filesz;
    uint64_t mem_end = ALIGN_UP(addr + p->p_memsz, PAGE_SIZE);
    uint64_t mapped = addr - in_page;
    int64_t result;

    if (p->p_filesz != 0) {
        mapped = ALIGN_UP(file_end, PAGE_SIZE);
        result = mm_map(img->mm, addr - in_page, mapped - (addr - in_page), prot_of(p), flags,
                        e->file, p->p_offset - in_page);
        if (result < 0) {
            return (int)result;
        }
        if (p->p_memsz > p->p_filesz && (p->p_flags & PF_W) != 0) {
            int err = clear_tail(img->mm, file_end);
            if (err != 0) {
                return err;
            }
        }
    }
    if (p->p_filesz == 0 && mapped < *inout_end) {
        mapped = *inout_end;
        int err = (p->p_flags & PF_W) != 0 ? clear_tail(img->mm, addr) : 0;
        if (err != 0) {
            return err;
        }
    }
    *inout_end = MAX(mem_end, mapped);
    if (mem_end > mapped) {
        result =
            mm_map(img->mm, mapped, mem_end - mapped, prot_of(p), flags | MAP_ANONYMOUS, NULL, 0);
        if (result < 0) {
            return (int)result;
        }
    }
    return 0;
}

static int map_image(struct exec_image *img, const struct elf_file *e) {
    uint64_t end = 0;

    for (uint32_t i = 0; i < e->hdr.e_phnum; i++) {
        if (e->ph[i].p_type != PT_LOAD || e->ph[i].p_memsz == 0) {
            continue;
        }
        int err = map_segment(img, e, &e->ph[i], &end);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int load_interpreter(struct exec_image *img, const struct elf_file *prog) {
    struct file *file = NULL;
    struct elf_file e;
    char *name = kmalloc((size_t)prog->plan.interp_len);

    if (name == NULL) {
        return -ENOMEM;
    }
    int err = read_exact(prog->file, name, (size_t)prog->plan.interp_len, prog->plan.interp_off);
    if (err == 0 && name[prog->plan.interp_len - 1] != '\0') {
        err = -ENOEXEC;
    }
    if (err == 0) {
        err = exec_open(AT_FDCWD_MOAT, name, LOOKUP_FOLLOW, &file);
    }
    kfree(name);
    if (err != 0) {
        return err;
    }
    err = elf_open(&e, file);
    if (err == -ENOEXEC) {
        err = -ELIBBAD;
    }
    if (err == 0) {
        err = place(img, &e, true);
    }
    if (err == 0) {
        err = map_image(img, &e);
    }
    if (err == 0) {
        img->entry = e.plan.entry + e.bias;
        img->interp_base = e.bias + e.plan.low;
    }
    kfree(e.ph);
    file_allow_write(file); /* its mappings outlive the loading */
    file_put(file);
    return err;
}

static int set_heap(struct exec_image *img, const struct elf_file *e, bool with_mmaps) {
    uint64_t start = e->plan.high + e->bias;

    if (with_mmaps) {
        start = pie_base(); /* an image among the mmaps would leave a heap no room */
    }
    start += random_pages(img, BRK_RANDOM_PAGES) << PAGE_SHIFT;
    return mm_set_brk_start(img->mm, start);
}

static void note_layout(struct exec_image *img, const struct elf_file *e) {
    struct mm *mm = img->mm;
    const struct elf_plan *plan = &e->plan;

    mm->code_start = plan->code_start + e->bias;
    mm->code_end = plan->code_end + e->bias;
    mm->data_start = plan->data_start + e->bias;
    mm->data_end = plan->data_end + e->bias;
    img->prog_entry = plan->entry + e->bias;
    img->entry = img->prog_entry;
    img->phdr_addr = plan->phdr_addr != 0 ? plan->phdr_addr + e->bias : 0;
    img->phdr_count = e->hdr.e_phnum;
    img->exec_stack = plan->exec_stack;
}

int elf_load(struct exec_image *img) {
    struct elf_file e;
    int err = elf_open(&e, img->file);

    bool with_mmaps = err == 0 && e.plan.is_dyn && e.plan.interp_len == 0;
    if (err == 0) {
        err = place(img, &e, with_mmaps);
    }
    if (err == 0) {
        err = map_image(img, &e);
    }
    if (err == 0) {
        note_layout(img, &e);
        err = set_heap(img, &e, with_mmaps);
    }
    if (err == 0 && e.plan.interp_len != 0) {
        err = load_interpreter(img, &e);
    }
    kfree(e.ph);
    return err;
}
