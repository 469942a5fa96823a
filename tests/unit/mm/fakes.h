/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stand-ins for the kernel around mm/, for one host thread: the heap is the host's (so that
 * sanitizers see it) and can be made to fail; locks check their order and that nothing is taken
 * twice.
 */
#ifndef MOAT_TESTS_MM_FAKES_H
#define MOAT_TESTS_MM_FAKES_H

#include <stdio.h>
#include <stdlib.h>

#include "fs/vfs.h"
#include "kernel/task.h"
#include "mm/internal.h"
#include "platform/skeleton/skeleton.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Skeleton, current task, frames; then what boot does for mm.  Once a program: the records of
 * frames live for ever. */
void fakes_init(uint64_t frame_count);
/* current->mm */
void fakes_set_mm(struct mm *mm);
extern uint64_t g_fake_rlimits[RLIMIT_COUNT];
/* The heap fails one call in `one_in` (0: never). */
void fakes_fail_heap(uint32_t one_in);
/* Heap blocks handed out now. */
int64_t fakes_heap_blocks(void);
/* No lock is held. */
void fakes_check_locks(void);
/* Reproducible random numbers. */
uint64_t fakes_random(void);
void fakes_seed(uint64_t seed);

/* A file whose pages are frames of a cache, as a file system has them; page i is filled with byte
 * `fill + i` at birth. */
struct fake_file {
    struct file file;
    struct inode inode;
    uint64_t page_count, pages[64];
    uint64_t asked, asked_write;
    uint64_t contiguous_max; /* most pages one answer covers */
};
struct fake_file *fake_file_new(uint64_t page_count, uint8_t fill);
/* Takes pages out of the cache and of all mappings, from `first` on. */
void fake_file_truncate(struct fake_file *f, uint64_t first);
void fake_file_put(struct fake_file *f);

#endif
