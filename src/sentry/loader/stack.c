/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stack of a program (System V ABI, x86-64 supplement 3.4.1; getauxval(3)): from low to
 * high argc, argv, envp, auxv, padding, the random bytes and the platform's name, the strings, the
 * file name.
 */
#include "arch/x86_64/sigframe.h"
#include "loader/loader.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <asm/mman.h>
#include <cpuid.h>
#include <linux/auxvec.h>
#include <linux/errno.h>
#include <linux/mman.h>

#define CLOCK_TICKS       100u
#define STACK_SLACK       (128 * KIB)
#define AUX_MAX           24u
#define RANDOM_LEN        16u
#define AT_MINSIGSTKSZ_NR 51u

static const char g_platform_name[] = "x86_64";

struct aux_list {
    uint64_t v[2 * AUX_MAX];
    uint32_t count; /* words */
};

static void aux_add(struct aux_list *a, uint64_t key, uint64_t value) {
    a->v[a->count++] = key;
    a->v[a->count++] = value;
}

/* What CPUID leaf 1 says in edx is the machine's AT_HWCAP. */
static uint64_t hwcap(void) {
    unsigned int a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 ? d : 0;
}

static void aux_fill(struct aux_list *a, const struct exec_image *img, uint64_t random,
                     uint64_t name, uint64_t filename) {
    const struct cred *c = img->cred;

    a->count = 0;
    if (platform_info()->vdso_base != 0) {
        aux_add(a, AT_SYSINFO_EHDR, platform_info()->vdso_base);
    }
    aux_add(a, AT_HWCAP, hwcap());
    aux_add(a, AT_PAGESZ, PAGE_SIZE);
    aux_add(a, AT_CLKTCK, CLOCK_TICKS);
    aux_add(a, AT_PHDR, img->phdr_addr);
    aux_add(a, AT_PHENT, 56); /* sizeof(Elf64_Phdr) */
    aux_add(a, AT_PHNUM, img->phdr_count);
    aux_add(a, AT_BASE, img->interp_base);
    aux_add(a, AT_FLAGS, 0);
    aux_add(a, AT_ENTRY, img->prog_entry);
    aux_add(a, AT_UID, c->uid);
    aux_add(a, AT_EUID, c->euid);
    aux_add(a, AT_GID, c->gid);
    aux_add(a, AT_EGID, c->egid);
    aux_add(a, AT_SECURE, img->secure);
    aux_add(a, AT_RANDOM, random);
    /* FSGSBASE, the one bit of note, is the platform's: a context's bases change through
     * arch_prctl. */
    aux_add(a, AT_HWCAP2, 0);
    aux_add(a, AT_MINSIGSTKSZ_NR, sigframe_max_size());
    aux_add(a, AT_EXECFN, filename);
    aux_add(a, AT_PLATFORM, name);
    aux_add(a, AT_NULL, 0);
}

static int map_stack(struct exec_image *img, uint64_t used) {
    struct mm *mm = img->mm;
    uint64_t len = ALIGN_UP(used + STACK_SLACK, PAGE_SIZE);
    uint32_t prot = PROT_READ | PROT_WRITE | (img->exec_stack ? PROT_EXEC : 0u);
    int64_t at =
        mm_map(mm, mm->stack_top - len, len, prot,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK, NULL, 0);

    return at < 0 ? (int)at : 0;
}

static int put(struct exec_image *img, uint64_t addr, const void *src, size_t len) {
    return len == 0 || mm_write(img->mm, addr, src, len, true) == (int64_t)len ? 0 : -EFAULT;
}

/* argc, argv[], NULL, envp[], NULL and the auxiliary vector, as words. */
static uint64_t *make_table(const struct exec_args *args, const struct aux_list *aux,
                            uint64_t strings, size_t count) {
    uint64_t *table = kcalloc(count, sizeof(*table));
    const char *s = args->buf;
    size_t n = 0;

    if (table == NULL) {
        return NULL;
    }
    table[n++] = args->argc;
    for (uint32_t i = 0; i < args->argc + args->envc; i++) {
        if (i == args->argc) {
            table[n++] = 0;
        }
        table[n++] = strings + (uint64_t)(s - args->buf);
        s += strlen(s) + 1;
    }
    if (args->envc == 0) {
        table[n++] = 0;
    }
    table[n++] = 0;
    memcpy(&table[n], aux->v, aux->count * sizeof(uint64_t));
    return table;
}

static void note_stack(struct mm *mm, const struct exec_args *args, const struct aux_list *aux,
                       uint64_t strings) {
    mm->arg_start = strings;
    mm->arg_end = strings + args->env_off;
    mm->env_start = mm->arg_end;
    mm->env_end = strings + args->len;
    mm->auxv_len = MIN(aux->count * sizeof(uint64_t), sizeof(mm->auxv));
    memcpy(mm->auxv, aux->v, mm->auxv_len);
}

int stack_build(struct exec_image *img) {
    const struct exec_args *args = &img->args;
    struct mm *mm = img->mm;
    struct aux_list aux;
    char random[RANDOM_LEN];
    size_t name_len = strlen(img->filename) + 1;
    uint64_t filename = mm->stack_top - 8 - name_len;
    uint64_t strings = filename - args->len;
    uint64_t platform_name = strings - sizeof(g_platform_name);
    uint64_t random_at = ALIGN_DOWN(platform_name - RANDOM_LEN, 16ull);

    aux_fill(&aux, img, random_at, platform_name, filename);
    size_t count = 1 + (size_t)args->argc + 1 + args->envc + 1 + aux.count;
    uint64_t sp = ALIGN_DOWN(random_at - count * sizeof(uint64_t), 16ull);

    int err = map_stack(img, mm->stack_top - sp);
    uint64_t *table = err == 0 ? make_table(args, &aux, strings, count) : NULL;
    if (err == 0 && table == NULL) {
        err = -ENOMEM;
    }
    hal_random(random, sizeof(random));
    if (err == 0) {
        err = put(img, filename, img->filename, name_len);
    }
    if (err == 0) {
        err = put(img, strings, args->buf, args->len);
    }
    if (err == 0) {
        err = put(img, platform_name, g_platform_name, sizeof(g_platform_name));
    }
    if (err == 0) {
        err = put(img, random_at, random, sizeof(random));
    }
    if (err == 0) {
        err = put(img, sp, table, count * sizeof(uint64_t));
    }
    kfree(table);
    note_stack(mm, args, &aux, strings);
    img->stack_pointer = sp;
    return err;
}
