/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of the platform: what this host offers, the stub text, the zygotes.
 *
 * Hand-over.  Plain calls as notifications need a listener that wakes on the same CPU (Linux 6.6)
 * and a wait that signals do not break (5.19).  Without either every call takes the handler; then
 * each vCPU and its stubs are kept on one CPU, where a plain wake-up costs no cross-CPU trip.
 */
#include "platform/systrap/internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE_BIT (1ul << 1)

struct systrap g_systrap;

const struct platform_info *platform_info(void) {
    return &g_systrap.info;
}

static uint32_t vcpu_count(const struct moat_boot *boot) {
    uint32_t n = boot->vcpu_count;
    cpu_set_t set;
    if (n == 0 && sched_getaffinity(0, sizeof(set), &set) == 0) {
        n = (uint32_t)CPU_COUNT(&set);
    }
    return MIN(MAX(n, boot->vcpu_count == 1 ? 1u : 2u), HOST_VCPU_MAX);
}

static int text_init(void) {
    size_t len = (size_t)(stub_text_end - stub_text_start);
    int fd = memfd_create("moat-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || len > STUB_TEXT_SIZE || ftruncate(fd, STUB_TEXT_SIZE) != 0) {
        return -ENOMEM;
    }
    if (pwrite(fd, stub_text_start, len, 0) != (ssize_t)len) {
        return -EIO;
    }
    g_systrap.text_fd = fd;
    return 0;
}

static int vcpus_init(uint32_t count) {
    struct vcpu *all = host_reserve(count * sizeof(struct vcpu));
    if (all == NULL) {
        return -ENOMEM;
    }
    g_systrap.vcpu_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct vcpu *v = &all[i];
        v->id = i;
        list_init(&v->ready);
        list_init(&v->events);
        for (uint32_t k = 0; k < VCPU_HASH; k++) {
            list_init(&v->hash[k]);
        }
        g_systrap.vcpus[i] = v;
    }
    return 0;
}

static int zygotes_start(void) {
    int err = 0;
    for (uint32_t i = 0; i < g_systrap.vcpu_count && err == 0; i++) {
        err = zygote_fork(g_systrap.vcpus[i]);
    }
    for (uint32_t i = 0; i < g_systrap.vcpu_count && err == 0; i++) {
        err = zygote_await(g_systrap.vcpus[i]);
    }
    return err;
}

int systrap_init(const struct moat_boot *boot) {
    struct platform_info *info = &g_systrap.info;
    g_systrap.fsgsbase = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) != 0;
    g_systrap.trap_only = boot->handover == MOAT_HANDOVER_TRAP;
    frame_init_cpu();
    info->name = "systrap";
    info->user_start = 64 * KIB;
    info->user_end = STUB_REGION;
    info->handover = g_systrap.handover;
    info->vcpu_count = vcpu_count(boot);
    (void)snprintf(g_systrap.handover, sizeof(g_systrap.handover), "%s",
                   g_systrap.trap_only ? "trap: forced"
                                       : "notify: same-CPU wake-up and killable wait are there");
    int err = area_init();
    err = err != 0 ? err : text_init();
    err = err != 0 ? err : vcpus_init(info->vcpu_count);
    return err != 0 ? err : zygotes_start();
}
