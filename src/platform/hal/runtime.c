/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libc would do, as far as the Sentry needs it: the auxiliary vector, clocks through the vDSO,
 * threads.  Without libc the Sentry starts 0.6 ms earlier where CPUID traps to a hypervisor (libc
 * asks it some eighty times), touches no vector register, and has no allocator.
 */
#include "platform/hal/host.h"

#include "base/string.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#define SYMBOLS_MAX 64u

typedef int clock_fn(int clock, struct timespec *ts);
typedef long cpu_fn(unsigned int *cpu, unsigned int *node, void *unused);

static const uint64_t *g_auxv;
static clock_fn *g_vdso_clock;
static cpu_fn *g_vdso_cpu;

uint64_t host_auxv(uint64_t type) {
    for (const uint64_t *a = g_auxv; a[0] != AT_NULL; a += 2) {
        if (a[0] == type) {
            return a[1];
        }
    }
    return 0;
}

/* Finds a function in the vDSO: an ELF image whose dynamic symbols are followed by their strings
 * (elf(5), vdso(7)). */
static void *vdso_find(const char *base, const char *name) {
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)base;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(base + eh->e_phoff);
    const Elf64_Dyn *dyn = NULL;
    uint64_t bias = 0;
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD) {
            bias = (uint64_t)(uintptr_t)base + ph[i].p_offset - ph[i].p_vaddr;
        } else if (ph[i].p_type == PT_DYNAMIC) {
            dyn = (const Elf64_Dyn *)(base + ph[i].p_offset);
        }
    }
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    for (; dyn != NULL && dyn->d_tag != DT_NULL; dyn++) {
        if (dyn->d_tag == DT_SYMTAB) {
            symbols = (const Elf64_Sym *)(uintptr_t)(dyn->d_un.d_ptr + bias);
        } else if (dyn->d_tag == DT_STRTAB) {
            strings = (const char *)(uintptr_t)(dyn->d_un.d_ptr + bias);
        }
    }
    if (symbols == NULL || strings == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < SYMBOLS_MAX && (const char *)&symbols[i + 1] <= strings; i++) {
        if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, name) == 0) {
            return (void *)(uintptr_t)(symbols[i].st_value + bias);
        }
    }
    return NULL;
}

void host_runtime_init(const uint64_t *auxv) {
    g_auxv = auxv;
    const char *vdso = (const char *)(uintptr_t)host_auxv(AT_SYSINFO_EHDR);
    if (vdso != NULL) {
        g_vdso_clock = (clock_fn *)vdso_find(vdso, "__vdso_clock_gettime");
        g_vdso_cpu = (cpu_fn *)vdso_find(vdso, "__vdso_getcpu");
    }
}

uint64_t hal_clock_ns(enum hal_clock clock) {
    struct timespec ts = {0, 0};
    if (g_vdso_clock == NULL || g_vdso_clock((int)clock, &ts) != 0) {
        (void)sys2(SYS_clock_gettime, (long)clock, (long)&ts); /* the three clocks always exist */
    }
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint32_t host_cpu(void) {
    unsigned int cpu = UINT32_MAX;
    if (g_vdso_cpu == NULL || g_vdso_cpu(&cpu, NULL, NULL) != 0) {
        return UINT32_MAX;
    }
    return cpu;
}

int host_thread_start(size_t stack_size, void (*fn)(void *arg), void *arg) {
    long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    long guard = (long)PAGE_SIZE;
    long mem = sys_mmap(NULL, stack_size + PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys_failed(mem) || sys3(SYS_mprotect, mem, guard, PROT_NONE) != 0) {
        return -ENOMEM;
    }
    long tid = host_clone(flags, (char *)mem + guard + stack_size, fn, arg);
    return tid < 0 ? (int)tid : 0;
}
