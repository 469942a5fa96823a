/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules made small (src/vm/module.c): what is dropped, what stays, and broken files. */
#include "check.h"
#include "vm/module.h"

#include <elf.h>
#include <string.h>

enum { TEXT = 1, RELA_TEXT, BTF, ORC_IP, RELA_ORC_IP, BSS, NAMES, SECTIONS };

static const char g_names[] =
    "\0.text\0.rela.text\0.BTF\0.orc_unwind_ip\0.rela.orc_unwind_ip\0.bss\0"
    ".shstrtab";

static uint32_t name_of(const char *name) {
    for (size_t i = 1; i < sizeof(g_names); i += strlen(g_names + i) + 1) {
        if (strcmp(g_names + i, name) == 0) {
            return (uint32_t)i;
        }
    }
    CHECK(!"a name");
    return 0;
}

/* A module with 100 bytes in each section, filled with its number. */
static size_t make(char *out) {
    static const struct {
        const char *name;
        uint32_t type, info;
    } all[SECTIONS] = {[TEXT] = {".text", SHT_PROGBITS, 0},
                       [RELA_TEXT] = {".rela.text", SHT_RELA, TEXT},
                       [BTF] = {".BTF", SHT_PROGBITS, 0},
                       [ORC_IP] = {".orc_unwind_ip", SHT_PROGBITS, 0},
                       [RELA_ORC_IP] = {".rela.orc_unwind_ip", SHT_RELA, ORC_IP},
                       [BSS] = {".bss", SHT_NOBITS, 0},
                       [NAMES] = {".shstrtab", SHT_STRTAB, 0}};
    Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
                       .e_type = ET_REL,
                       .e_shentsize = sizeof(Elf64_Shdr),
                       .e_shnum = SECTIONS,
                       .e_shstrndx = NAMES};
    Elf64_Shdr sections[SECTIONS] = {{0}};
    size_t at = sizeof(head);
    for (int i = TEXT; i < SECTIONS; i++) {
        sections[i] = (Elf64_Shdr){.sh_name = name_of(all[i].name),
                                   .sh_type = all[i].type,
                                   .sh_info = all[i].info,
                                   .sh_addralign = 16,
                                   .sh_offset = at = (at + 15) / 16 * 16,
                                   .sh_size = i == NAMES ? sizeof(g_names) : 100};
        if (i == NAMES) {
            memcpy(out + at, g_names, sizeof(g_names));
        } else {
            memset(out + at, i, 100);
        }
        at += i == BSS ? 0 : sections[i].sh_size;
    }
    head.e_shoff = at = (at + 7) / 8 * 8;
    memcpy(out, &head, sizeof(head));
    memcpy(out + at, sections, sizeof(sections));
    return at + sizeof(sections);
}

static void what_stays(void) {
    static char file[8192] __attribute__((aligned(16)));
    size_t size = make(file), slim = module_slim(file, size);
    CHECK(slim < size);
    Elf64_Ehdr head;
    Elf64_Shdr s[SECTIONS];
    memcpy(&head, file, sizeof(head));
    CHECK(head.e_shnum == SECTIONS && head.e_shoff + sizeof(s) == slim);
    memcpy(s, file + head.e_shoff, sizeof(s));
    static const int kept[] = {TEXT, RELA_TEXT}, dropped[] = {BTF, ORC_IP, RELA_ORC_IP};
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        const Elf64_Shdr *k = &s[kept[i]];
        CHECK(k->sh_size == 100 && k->sh_offset % 16 == 0 && k->sh_offset + 100 <= slim);
        CHECK(file[k->sh_offset] == kept[i] && file[k->sh_offset + 99] == kept[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(dropped); i++) {
        CHECK(s[dropped[i]].sh_type == SHT_NULL && s[dropped[i]].sh_size == 0);
    }
    CHECK(s[BSS].sh_type == SHT_NOBITS && s[BSS].sh_size == 100);
    CHECK(memcmp(file + s[NAMES].sh_offset, g_names, sizeof(g_names)) == 0);
}

static void broken(void) {
    static char good[8192];
    unsigned long seed = 7;
    size_t size = make(good);
    for (int i = 0; i < 20000; i++) {
        size_t len = i < (int)size ? (size_t)i : size;
        char *copy = malloc(len + 1);
        memcpy(copy, good, len);
        for (int k = 0; k < 3 && len > 0; k++) {
            copy[test_random(&seed) % len] = (char)test_random(&seed);
        }
        CHECK(module_slim(copy, len) <= len);
        free(copy);
    }
}

int main(void) {
    what_stays();
    broken();
    return 0;
}
