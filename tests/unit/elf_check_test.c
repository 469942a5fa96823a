/* SPDX-License-Identifier: Apache-2.0 */
/* ELF headers: what a sound program asks for, each way to be unsound, and mutations of every byte;
 * `#!` lines. */
#include "check.h"

#include "kernel/kmalloc.h"
#include "loader/elf_check.h"
#include "loader/loader.h"

#include <errno.h>
#include <string.h>

#define LOW  0x10000ull
#define HIGH 0x7ffffffff000ull

struct image {
    struct elf64_hdr h;
    struct elf64_phdr ph[4];
};

static void sound(struct image *im, uint16_t type, uint64_t base) {
    memset(im, 0, sizeof(*im));
    memcpy(im->h.e_ident, ELFMAG, SELFMAG);
    im->h.e_ident[EI_CLASS] = ELFCLASS64;
    im->h.e_ident[EI_DATA] = ELFDATA2LSB;
    im->h.e_type = type;
    im->h.e_machine = EM_X86_64;
    im->h.e_phentsize = sizeof(struct elf64_phdr);
    im->h.e_phnum = 4;
    im->h.e_phoff = sizeof(im->h);
    im->h.e_entry = base + 0x1000;
    im->ph[0] = (struct elf64_phdr){.p_type = PT_LOAD,
                                    .p_flags = PF_R | PF_X,
                                    .p_vaddr = base,
                                    .p_filesz = 0x2000,
                                    .p_memsz = 0x2000,
                                    .p_align = 0x1000};
    im->ph[1] = (struct elf64_phdr){.p_type = PT_LOAD,
                                    .p_flags = PF_R | PF_W,
                                    .p_offset = 0x2010,
                                    .p_vaddr = base + 0x3010,
                                    .p_filesz = 0x100,
                                    .p_memsz = 0x5000,
                                    .p_align = 0x200000};
    im->ph[2] = (struct elf64_phdr){.p_type = PT_INTERP, .p_offset = 0x200, .p_filesz = 28};
    im->ph[3] = (struct elf64_phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
}

static int check(const struct image *im, struct elf_plan *plan) {
    size_t size;
    int err = elf_check_header(&im->h, &size);

    if (err != 0 || im->h.e_phnum > 4) {
        return err != 0 ? err : -ENOEXEC;
    }
    CHECK(size == im->h.e_phnum * sizeof(struct elf64_phdr));
    return elf_check_segments(&im->h, im->ph, LOW, HIGH, plan);
}

static void test_sound(void) {
    struct image im;
    struct elf_plan plan;

    sound(&im, ET_DYN, 0);
    CHECK(check(&im, &plan) == 0);
    CHECK(plan.is_dyn && plan.low == 0 && plan.high == 0x9000 && plan.align == 0x200000);
    CHECK(plan.interp_off == 0x200 && plan.interp_len == 28 && !plan.exec_stack);
    CHECK(plan.phdr_addr == sizeof(im.h) && plan.entry == 0x1000);
    CHECK(plan.code_end == 0x2000 && plan.data_start == 0x3010 && plan.data_end == 0x3110);
    sound(&im, ET_EXEC, 0x400000);
    im.h.e_phnum = 2; /* no PT_GNU_STACK: an old program that may run code on its stack */
    CHECK(check(&im, &plan) == 0);
    CHECK(!plan.is_dyn && plan.low == 0x400000 && plan.exec_stack && plan.interp_len == 0);
}

#define REFUSED(change, error)                                                                     \
    do {                                                                                           \
        struct image im;                                                                           \
        struct elf_plan plan;                                                                      \
        sound(&im, ET_EXEC, 0x400000);                                                             \
        change;                                                                                    \
        CHECK(check(&im, &plan) == (error));                                                       \
    } while (0)

static void test_refused(void) {
    REFUSED(im.h.e_ident[0] = 'X', -ENOEXEC);
    REFUSED(im.h.e_ident[EI_CLASS] = 1, -ENOEXEC);
    REFUSED(im.h.e_machine = 3, -ENOEXEC);
    REFUSED(im.h.e_type = ET_CORE, -ENOEXEC);
    REFUSED(im.h.e_phentsize = 32, -ENOEXEC);
    REFUSED(im.h.e_phnum = 0, -ENOEXEC);
    REFUSED(im.h.e_phnum = 0xffff, -ENOEXEC);
    REFUSED(im.h.e_phoff = UINT64_MAX - 8, -ENOEXEC);
    REFUSED(im.ph[1].p_filesz = 0x6000, -ENOEXEC);    /* more file than memory */
    REFUSED(im.ph[1].p_memsz = UINT64_MAX, -ENOEXEC); /* wraps round */
    REFUSED(im.ph[1].p_vaddr = UINT64_MAX - 0xfef, -ENOEXEC);
    REFUSED(im.ph[1].p_offset = UINT64_MAX - 0xfef, -ENOEXEC);
    REFUSED(im.ph[1].p_offset = 0x2011, -ENOEXEC);  /* not congruent */
    REFUSED(im.ph[1].p_vaddr = 0x401010, -ENOEXEC); /* overlaps the first */
    REFUSED(im.ph[2].p_filesz = 1, -ENOEXEC);
    REFUSED(im.ph[2].p_filesz = 5000, -ENOEXEC);
    REFUSED(im.ph[3] = im.ph[2], -ENOEXEC);            /* two interpreters */
    REFUSED(im.ph[0].p_vaddr = 0, -ENOMEM);            /* the null page */
    REFUSED(im.ph[1].p_vaddr = HIGH + 0x10, -ENOEXEC); /* span too large */
    REFUSED(im.ph[0].p_type = im.ph[1].p_type = PT_NULL, -ENOEXEC);
}

/* Whatever the bytes, an accepted plan keeps its promises. */
static void test_mutations(void) {
    unsigned long seed = 88172645463325252ul;

    for (int round = 0; round < 200000; round++) {
        struct image im;
        struct elf_plan plan;
        sound(&im, (test_random(&seed) & 1) != 0 ? ET_DYN : ET_EXEC, 0x400000);
        for (int n = 0; n < 3; n++) {
            ((unsigned char *)&im)[test_random(&seed) % sizeof(im)] =
                (unsigned char)test_random(&seed);
        }
        if (check(&im, &plan) != 0) {
            continue;
        }
        CHECK(plan.low < plan.high && plan.high - plan.low <= ELF_SPAN_MAX);
        CHECK((plan.low & 4095) == 0 && (plan.high & 4095) == 0);
        CHECK((plan.align & (plan.align - 1)) == 0 && plan.align >= 4096);
        CHECK(plan.is_dyn || (plan.low >= LOW && plan.high <= HIGH));
        CHECK(plan.interp_len <= ELF_INTERP_MAX);
    }
}

static int parse(const char *text, char **interp, char **arg) {
    static char head[EXEC_HEAD_SIZE];

    memset(head, 0, sizeof(head));
    memcpy(head, text, strlen(text) < sizeof(head) ? strlen(text) : sizeof(head));
    return script_parse(head, strlen(text) < sizeof(head) ? strlen(text) : sizeof(head), interp,
                        arg);
}

static void test_scripts(void) {
    char *interp;
    char *arg;
    char longer[400];

    CHECK(parse("#!/bin/sh\necho", &interp, &arg) == 0);
    CHECK(strcmp(interp, "/bin/sh") == 0 && arg == NULL);
    CHECK(parse("#! /usr/bin/env  python3 -u  \n", &interp, &arg) == 0);
    CHECK(strcmp(interp, "/usr/bin/env") == 0 && strcmp(arg, "python3 -u") == 0);
    CHECK(parse("#!/bin/sh", &interp, &arg) == 0 && strcmp(interp, "/bin/sh") == 0);
    CHECK(parse("#!\n", &interp, &arg) == -ENOEXEC);
    CHECK(parse("#!   \n", &interp, &arg) == -ENOEXEC);
    CHECK(parse("#", &interp, &arg) == -ENOEXEC);
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "#!/", 3);
    longer[399] = '\0';
    CHECK(parse(longer, &interp, &arg) == -ENOEXEC); /* a name that goes on beyond the 255 bytes */
    longer[100] = ' ';
    CHECK(parse(longer, &interp, &arg) == 0 && strlen(interp) == 98 && strlen(arg) == 154);
}

/* script.c's other function is not called here. */
int exec_open(int dirfd, const char *name, uint32_t lookup, struct file **out_file) {
    abort();
}
int exec_read_head(struct exec_image *img) {
    abort();
}
int exec_args_push_front(struct exec_args *a, const char *s) {
    abort();
}
void exec_args_pop_front(struct exec_args *a) {
    abort();
}
void kfree(void *ptr) {
    abort();
}
char *kstrdup(const char *s) {
    abort();
}
void file_put(struct file *f) {
    abort();
}

int main(void) {
    test_sound();
    test_refused();
    test_mutations();
    test_scripts();
    return 0;
}
