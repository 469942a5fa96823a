/* SPDX-License-Identifier: Apache-2.0 */
#include "loader/elf_check.h"

#include "base/string.h"

#include <linux/errno.h>

#define PAGE      4096ull
#define ALIGN_MAX (1ull << 30) /* larger wishes of p_align are ignored */

int elf_check_header(const struct elf64_hdr *h, size_t *out_phdr_size) {
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64) {
        return -ENOEXEC;
    }
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN) {
        return -ENOEXEC;
    }
    if (h->e_phentsize != sizeof(struct elf64_phdr) || h->e_phnum == 0 ||
        h->e_phnum > ELF_PHDR_MAX) {
        return -ENOEXEC;
    }
    uint64_t end;
    size_t size = h->e_phnum * sizeof(struct elf64_phdr);
    if (ckd_add(&end, h->e_phoff, size) || end > INT64_MAX) {
        return -ENOEXEC;
    }
    *out_phdr_size = size;
    return 0;
}

static bool power_of_two(uint64_t v) {
    return v != 0 && (v & (v - 1)) == 0;
}

/* One PT_LOAD after those before it. */
static int check_load(const struct elf64_phdr *p, uint64_t after, uint64_t *out_end) {
    uint64_t file_end;

    if (p->p_filesz > p->p_memsz || ckd_add(out_end, p->p_vaddr, p->p_memsz) ||
        *out_end > INT64_MAX - PAGE || ckd_add(&file_end, p->p_offset, p->p_filesz) ||
        file_end > INT64_MAX - PAGE) {
        return -ENOEXEC;
    }
    if (((p->p_vaddr ^ p->p_offset) & (PAGE - 1)) != 0 || p->p_vaddr < after) {
        return -ENOEXEC;
    }
    return 0;
}

static void note_load(const struct elf64_hdr *h, const struct elf64_phdr *p, uint64_t end,
                      struct elf_plan *plan) {
    uint64_t file_end = p->p_vaddr + p->p_filesz;

    if (h->e_phoff >= p->p_offset && h->e_phoff - p->p_offset < p->p_filesz) {
        plan->phdr_addr = h->e_phoff - p->p_offset + p->p_vaddr;
    }
    if (power_of_two(p->p_align) && p->p_align > plan->align && p->p_align <= ALIGN_MAX) {
        plan->align = p->p_align;
    }
    if ((p->p_flags & PF_X) != 0) {
        if (plan->code_end == 0) {
            plan->code_start = p->p_vaddr;
        }
        plan->code_end = file_end;
    }
    if ((p->p_flags & PF_W) != 0) {
        if (plan->data_end == 0) {
            plan->data_start = p->p_vaddr;
        }
        plan->data_end = file_end;
    }
    plan->high = MAX(plan->high, ALIGN_UP(end, PAGE));
}

static int check_interp(const struct elf64_phdr *p, struct elf_plan *plan) {
    uint64_t end;

    if (plan->interp_len != 0 || p->p_filesz < 2 || p->p_filesz > ELF_INTERP_MAX ||
        ckd_add(&end, p->p_offset, p->p_filesz) || end > INT64_MAX) {
        return -ENOEXEC;
    }
    plan->interp_off = p->p_offset;
    plan->interp_len = p->p_filesz;
    return 0;
}

static int check_span(const struct elf_plan *plan, uint64_t limit_low, uint64_t limit_high) {
    if (plan->high <= plan->low || plan->high - plan->low > ELF_SPAN_MAX) {
        return -ENOEXEC;
    }
    if (!plan->is_dyn && (plan->low < limit_low || plan->high > limit_high)) {
        return -ENOMEM;
    }
    return 0;
}

int elf_check_segments(const struct elf64_hdr *h, const struct elf64_phdr *ph, uint64_t limit_low,
                       uint64_t limit_high, struct elf_plan *out_plan) {
    struct elf_plan plan = {.is_dyn = h->e_type == ET_DYN, .exec_stack = true, .align = PAGE};
    uint64_t after = 0;
    bool any = false;

    plan.entry = h->e_entry;
    for (uint32_t i = 0; i < h->e_phnum; i++) {
        int err = 0;
        uint64_t end;
        switch (ph[i].p_type) {
        case PT_LOAD:
            if (ph[i].p_memsz == 0) {
                break;
            }
            err = check_load(&ph[i], after, &end);
            if (err == 0) {
                plan.low = any ? plan.low : ALIGN_DOWN(ph[i].p_vaddr, PAGE);
                any = true;
                after = end;
                note_load(h, &ph[i], end, &plan);
            }
            break;
        case PT_INTERP:
            err = check_interp(&ph[i], &plan);
            break;
        case PT_GNU_STACK:
            plan.exec_stack = (ph[i].p_flags & PF_X) != 0;
            break;
        default:
            break;
        }
        if (err != 0) {
            return err;
        }
    }
    if (!any) {
        return -ENOEXEC;
    }
    *out_plan = plan;
    return check_span(&plan, limit_low, limit_high);
}
