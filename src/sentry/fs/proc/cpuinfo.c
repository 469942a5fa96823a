/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/cpuinfo: one entry a virtual CPU, from what the CPUID instruction says (Intel SDM volume 2,
 * "CPUID"; AMD APM volume 3, appendix E).  Names of the features are those of Linux, as programs
 * look for them.
 */
#include "fs/proc/proc.h"

#include "base/string.h"
#include "kernel/cpu.h"

struct cpuid {
    uint32_t a, b, c, d;
};

static struct cpuid cpuid_read(uint32_t leaf, uint32_t sub) {
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
    return r;
}

/* Names by bit; NULL where Linux has none. */
typedef const char *const feature_names[32];

static feature_names g_1_edx = {"fpu",  "vme",   "de",   "pse",     "tsc",  "msr", "pae",  "mce",
                                "cx8",  "apic",  NULL,   "sep",     "mtrr", "pge", "mca",  "cmov",
                                "pat",  "pse36", "pn",   "clflush", NULL,   "dts", "acpi", "mmx",
                                "fxsr", "sse",   "sse2", "ss",      "ht",   "tm",  "ia64", "pbe"};
static feature_names g_1_ecx = {"pni",    "pclmulqdq", "dtes64", "monitor", "ds_cpl",
                                "vmx",    "smx",       "est",    "tm2",     "ssse3",
                                "cid",    "sdbg",      "fma",    "cx16",    "xtpr",
                                "pdcm",   NULL,        "pcid",   "dca",     "sse4_1",
                                "sse4_2", "x2apic",    "movbe",  "popcnt",  "tsc_deadline_timer",
                                "aes",    "xsave",     NULL,     "avx",     "f16c",
                                "rdrand", "hypervisor"};
static feature_names g_7_ebx = {
    "fsgsbase",   "tsc_adjust", "sgx",        "bmi1",     "hle",      "avx2",     NULL,
    "smep",       "bmi2",       "erms",       "invpcid",  "rtm",      "cqm",      NULL,
    "mpx",        "rdt_a",      "avx512f",    "avx512dq", "rdseed",   "adx",      "smap",
    "avx512ifma", NULL,         "clflushopt", "clwb",     "intel_pt", "avx512pf", "avx512er",
    "avx512cd",   "sha_ni",     "avx512bw",   "avx512vl"};
static feature_names g_7_ecx = {NULL,
                                "avx512vbmi",
                                "umip",
                                "pku",
                                "ospke",
                                "waitpkg",
                                "avx512_vbmi2",
                                NULL,
                                "gfni",
                                "vaes",
                                "vpclmulqdq",
                                "avx512_vnni",
                                "avx512_bitalg",
                                "tme",
                                "avx512_vpopcntdq",
                                NULL,
                                "la57",
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                NULL,
                                "rdpid",
                                NULL,
                                "bus_lock_detect",
                                "cldemote",
                                NULL,
                                "movdiri",
                                "movdir64b",
                                "enqcmd",
                                NULL,
                                NULL};
static feature_names g_7_edx = {NULL,
                                NULL,
                                "avx512_4vnniw",
                                "avx512_4fmaps",
                                "fsrm",
                                NULL,
                                NULL,
                                NULL,
                                "avx512_vp2intersect",
                                NULL,
                                "md_clear",
                                NULL,
                                NULL,
                                NULL,
                                "serialize",
                                NULL,
                                "tsxldtrk",
                                NULL,
                                "pconfig",
                                "arch_lbr",
                                "ibt",
                                NULL,
                                "amx_bf16",
                                "avx512_fp16",
                                "amx_tile",
                                "amx_int8",
                                NULL,
                                NULL,
                                "flush_l1d",
                                "arch_capabilities",
                                NULL,
                                NULL};
static feature_names g_7_1_eax = {NULL, NULL, NULL, NULL, "avx_vnni", "avx512_bf16"};
static feature_names g_d_1_eax = {"xsaveopt", "xsavec", "xgetbv1", "xsaves"};
static feature_names g_ext_edx = {
    NULL,      NULL, NULL, NULL,       NULL,      NULL,     NULL, NULL, NULL,       NULL,   NULL,
    "syscall", NULL, NULL, NULL,       NULL,      NULL,     NULL, NULL, "mp",       "nx",   NULL,
    "mmxext",  NULL, NULL, "fxsr_opt", "pdpe1gb", "rdtscp", NULL, "lm", "3dnowext", "3dnow"};
static feature_names g_ext_ecx = {"lahf_lm",    "cmp_legacy",  "svm",
                                  "extapic",    "cr8_legacy",  "abm",
                                  "sse4a",      "misalignsse", "3dnowprefetch",
                                  "osvw",       "ibs",         "xop",
                                  "skinit",     "wdt",         NULL,
                                  "lwp",        "fma4",        "tce",
                                  NULL,         "nodeid_msr",  NULL,
                                  "tbm",        "topoext",     "perfctr_core",
                                  "perfctr_nb", NULL,          "bpext",
                                  "ptsc",       "perfctr_llc", "mwaitx"};
static feature_names g_ext_8_ebx = {"clzero", "irperf", "xsaveerptr", NULL, "rdpru",
                                    NULL,     NULL,     NULL,         NULL, "wbnoinvd"};

static void show_features(struct seq *s, feature_names names, uint32_t bits) {
    for (uint32_t i = 0; i < 32; i++) {
        if ((bits >> i & 1) != 0 && names[i] != NULL) {
            seq_printf(s, " %s", names[i]);
        }
    }
}

static void show_flags(struct seq *s, uint32_t max_leaf, uint32_t max_ext) {
    struct cpuid one = cpuid_read(1, 0);
    seq_printf(s, "flags\t\t:");
    show_features(s, g_1_edx, one.d);
    if (max_ext >= 0x80000001u) {
        struct cpuid ext = cpuid_read(0x80000001u, 0);
        show_features(s, g_ext_edx, ext.d);
        seq_printf(s, " constant_tsc nonstop_tsc rep_good nopl cpuid");
        show_features(s, g_1_ecx, one.c);
        show_features(s, g_ext_ecx, ext.c);
    }
    if (max_leaf >= 7) {
        struct cpuid seven = cpuid_read(7, 0);
        show_features(s, g_7_ebx, seven.b);
        if (max_leaf >= 13) {
            show_features(s, g_d_1_eax, cpuid_read(13, 1).a);
        }
        if (seven.a >= 1) {
            show_features(s, g_7_1_eax, cpuid_read(7, 1).a);
        }
        if (max_ext >= 0x80000008u) {
            show_features(s, g_ext_8_ebx, cpuid_read(0x80000008u, 0).b);
        }
        show_features(s, g_7_ecx, seven.c);
        show_features(s, g_7_edx, seven.d);
    }
    seq_putc(s, '\n');
}

/* The marketing name, without the spaces some makers put in front. */
static void brand(uint32_t max_ext, char text[49]) {
    memset(text, 0, 49);
    for (uint32_t i = 0; i < 3 && max_ext >= 0x80000004u; i++) {
        struct cpuid r = cpuid_read(0x80000002u + i, 0);
        memcpy(text + 16 * i, &r, sizeof(r));
    }
    size_t skip = 0;
    while (text[skip] == ' ') {
        skip++;
    }
    memmove(text, text + skip, 49 - skip);
}

/* Base frequency in MHz, as far as the processor tells. */
static uint32_t base_mhz(uint32_t max_leaf, const char *name) {
    uint32_t mhz = max_leaf >= 0x16 ? cpuid_read(0x16, 0).a & 0xffff : 0;
    const char *at = strstr(name, "@ ");
    if (mhz == 0 && at != NULL && at[2] >= '0' && at[2] <= '9' && at[3] == '.') {
        mhz = (uint32_t)(at[2] - '0') * 1000;
        mhz += at[4] >= '0' && at[4] <= '9' ? (uint32_t)(at[4] - '0') * 100 : 0;
        mhz += at[5] >= '0' && at[5] <= '9' ? (uint32_t)(at[5] - '0') * 10 : 0;
    }
    return mhz != 0 ? mhz : 2000;
}

static void show_cpu(struct seq *s, uint32_t index, uint32_t count) {
    struct cpuid zero = cpuid_read(0, 0);
    struct cpuid one = cpuid_read(1, 0);
    uint32_t max_ext = cpuid_read(0x80000000u, 0).a;
    struct cpuid sizes =
        max_ext >= 0x80000008u ? cpuid_read(0x80000008u, 0) : (struct cpuid){48 << 8 | 40, 0, 0, 0};
    struct cpuid cache = max_ext >= 0x80000006u ? cpuid_read(0x80000006u, 0) : (struct cpuid){0};
    uint32_t family = one.a >> 8 & 15;
    uint32_t model = one.a >> 4 & 15;
    char vendor[13] = {0}, name[49];
    memcpy(vendor, &zero.b, 4);
    memcpy(vendor + 4, &zero.d, 4);
    memcpy(vendor + 8, &zero.c, 4);
    if (family == 6 || family == 15) {
        model |= (one.a >> 16 & 15) << 4;
    }
    family += family == 15 ? one.a >> 20 & 255 : 0;
    brand(max_ext, name);
    uint32_t mhz = base_mhz(zero.a, name);
    seq_printf(s, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", index,
               vendor, family, model);
    seq_printf(s, "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %u.000\n", name, one.a & 15, mhz);
    seq_printf(s, "cache size\t: %u KB\nphysical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\n",
               cache.c >> 16, count, index);
    seq_printf(s, "cpu cores\t: %u\napicid\t\t: %u\ninitial apicid\t: %u\n", count, index, index);
    seq_printf(s, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", zero.a);
    show_flags(s, zero.a, max_ext);
    seq_printf(s, "bugs\t\t:\nbogomips\t: %u.00\nclflush size\t: %u\ncache_alignment\t: 64\n",
               2 * mhz, (one.b >> 8 & 255) * 8);
    seq_printf(s, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
               sizes.a & 255, sizes.a >> 8 & 255);
}

int proc_show_cpuinfo(struct seq *s, const struct proc_node *node) {
    uint32_t count = cpu_count();
    for (uint32_t i = 0; i < count; i++) {
        show_cpu(s, i, count);
    }
    return 0;
}
