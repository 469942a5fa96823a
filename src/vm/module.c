/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel modules made small: see module.h.  A module is a relocatable ELF file (elf(5)); the kernel
 * finds its sections by name and does without those below (kernel/module/main.c,
 * arch/x86/kernel/module.c, kernel/bpf/btf.c of Linux 6.1):
 * types for BPF, tables for stack traces, places to patch for tracing and for processors with one
 * core, and places where calls through thunks may be made direct, which work as they are.
 *
 * Trust: the file comes from the distribution's package; it is checked all the same, so that a
 * broken one is taken as it is.
 */
#include "vm/module.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_MAX 256

static const char *const g_dropped[] = {
    ".BTF",       ".orc_unwind",      ".orc_unwind_ip", "__mcount_loc", ".return_sites",
    ".smp_locks", ".retpoline_sites", ".comment",       ".note.Linux",  ".note.gnu.build-id",
};

struct module_file {
    char *data;
    size_t size;
    Elf64_Ehdr head;
    Elf64_Shdr *sections; /* in data */
    const char *names;
    size_t names_size;
};

static bool inside(const struct module_file *m, uint64_t off, uint64_t len) {
    return off <= m->size && len <= m->size - off;
}

static bool open_file(struct module_file *m) {
    if (m->size < sizeof(m->head)) {
        return false;
    }
    memcpy(&m->head, m->data, sizeof(m->head));
    const Elf64_Ehdr *h = &m->head;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_type != ET_REL || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8 != 0 ||
        h->e_shnum == 0 || h->e_shstrndx >= h->e_shnum ||
        !inside(m, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr))) {
        return false;
    }
    m->sections = (Elf64_Shdr *)(void *)(m->data + h->e_shoff);
    for (size_t i = 0; i < h->e_shnum; i++) {
        const Elf64_Shdr *s = &m->sections[i];
        if (s->sh_type != SHT_NOBITS && !inside(m, s->sh_offset, s->sh_size)) {
            return false;
        }
    }
    const Elf64_Shdr *strings = &m->sections[h->e_shstrndx];
    m->names = m->data + strings->sh_offset;
    m->names_size = strings->sh_size;
    return m->names_size > 0 && m->names[m->names_size - 1] == '\0';
}

static bool is_dropped(const struct module_file *m, const Elf64_Shdr *s) {
    const char *name = s->sh_name < m->names_size ? m->names + s->sh_name : "";
    if (s->sh_type == SHT_RELA && s->sh_info < m->head.e_shnum &&
        m->sections[s->sh_info].sh_type == SHT_PROGBITS) {
        return is_dropped(m, &m->sections[s->sh_info]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_dropped); i++) {
        if (strcmp(name, g_dropped[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The section that begins first of those that are still to be copied, or -1. */
static int next_section(const struct module_file *m, const bool *done) {
    int next = -1;
    for (int i = 0; i < m->head.e_shnum; i++) {
        if (!done[i] && (next < 0 || m->sections[i].sh_offset < m->sections[next].sh_offset)) {
            next = i;
        }
    }
    return next;
}

/* Numbers of sections stay, as symbols have them; a dropped one is empty and of no kind. */
static void drop_sections(const struct module_file *m, Elf64_Shdr *table, bool *done) {
    for (size_t i = 0; i < m->head.e_shnum; i++) {
        table[i] = m->sections[i];
        if (is_dropped(m, &m->sections[i])) {
            table[i] = (Elf64_Shdr){.sh_type = SHT_NULL};
        }
        done[i] = table[i].sh_type == SHT_NULL || table[i].sh_type == SHT_NOBITS;
    }
}

/* Into `out`, of the file's size: the size of what came of it, or 0. */
static size_t pack(struct module_file *m, char *out) {
    bool done[SECTIONS_MAX];
    Elf64_Shdr table[SECTIONS_MAX];
    size_t end = sizeof(m->head), table_size = m->head.e_shnum * sizeof(table[0]);
    drop_sections(m, table, done);
    for (int i = next_section(m, done); i >= 0; i = next_section(m, done)) {
        Elf64_Shdr *s = &table[i];
        size_t align = s->sh_addralign > 0 && s->sh_addralign <= 4096 ? s->sh_addralign : 1;
        size_t at = (end + align - 1) / align * align;
        if (at > m->size || s->sh_size > m->size - at) {
            return 0; /* sections that overlap */
        }
        memcpy(out + at, m->data + s->sh_offset, s->sh_size);
        s->sh_offset = at;
        end = at + s->sh_size;
        done[i] = true;
    }
    end = ALIGN_UP(end, (size_t)8);
    if (end > m->size || table_size > m->size - end) {
        return 0;
    }
    m->head.e_shoff = end;
    memcpy(out + end, table, table_size);
    memcpy(out, &m->head, sizeof(m->head));
    return end + table_size;
}

size_t module_slim(char *data, size_t size) {
    struct module_file m = {.data = data, .size = size};
    char *out = calloc(1, size + 1);
    size_t slim = 0;
    if (out != NULL && open_file(&m) && m.head.e_shnum <= SECTIONS_MAX) {
        slim = pack(&m, out);
    }
    if (slim > 0) {
        memcpy(data, out, slim);
    }
    free(out);
    return slim > 0 ? slim : size;
}
