/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ELF file asks for, checked (elf(5), System V ABI).  Pure: no memory is mapped here.
 *
 * Trust: headers come from files that anyone may have written.  Every sum is checked; what passes
 * satisfies: each segment lies inside [limit_low, limit_high) once the image is placed there,
 * segments ascend without overlap, file and memory agree modulo a page.
 */
#ifndef MOAT_SENTRY_ELF_CHECK_H
#define MOAT_SENTRY_ELF_CHECK_H

#include "base/types.h"

#include <linux/elf.h>

#define ELF_PHDR_MAX   512u /* program headers we read */
#define ELF_INTERP_MAX 4096u
#define ELF_SPAN_MAX   (1ull << 40) /* address range one image may take */

struct elf_plan {
    bool is_dyn;        /* ET_DYN: to be placed */
    bool exec_stack;    /* PT_GNU_STACK asks for it, or is missing */
    uint64_t low, high; /* of all segments, page-aligned, unplaced */
    uint64_t align;     /* of the placement: a power of two, at least a page */
    uint64_t entry;     /* unplaced */
    uint64_t phdr_addr; /* of the program headers in memory, unplaced; 0: not mapped */
    uint64_t interp_off;
    uint64_t interp_len; /* 0: none; else 2 to ELF_INTERP_MAX, with the final NUL */
    uint64_t code_start, code_end, data_start, data_end;
};

/* The file header.  0 with *out_phdr_size bytes to read at e_phoff, or -ENOEXEC. */
must_check int elf_check_header(const struct elf64_hdr *h, size_t *out_phdr_size);
/* The program headers.  limit_low/high bound a file that is not placed (ET_EXEC).  0 or -ENOEXEC /
 * -ENOMEM. */
must_check int elf_check_segments(const struct elf64_hdr *h, const struct elf64_phdr *ph,
                                  uint64_t limit_low, uint64_t limit_high,
                                  struct elf_plan *out_plan);

#endif
