/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of the platform: what this host offers, the stub text, the zygotes.
 *
 * Hand-over.  Plain calls as notifications need a listener that wakes on the same CPU (Linux 6.6)
 * and a wait that signals do not break (5.19).  Without either every call takes the handler; then
 * each vCPU and its stubs are kept on one CPU, where a plain wake-up costs no cross-CPU trip. Where
 * both are to be had a few round trips of each are measured (0.2 ms), and the quicker one is taken.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "platform/systrap/internal.h"

#include <errno.h>
#include <sched.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define HWCAP2_FSGSBASE_BIT (1ul << 1)
#define POST_AFTER          64u /* calls of one site before it is rewritten */

struct systrap g_systrap;
_Static_assert(sizeof(cpu_set_t) == sizeof(g_systrap.affinity), "one kind of CPU mask");

const struct platform_info *platform_info(void) {
    return &g_systrap.info;
}

/* The CPUs that we may use (the host's call fills only as many bytes as it has CPUs). */
static bool affinity(cpu_set_t *set) {
    memset(set, 0, sizeof(*set));
    return sys3(SYS_sched_getaffinity, 0, sizeof(*set), (long)set) > 0;
}

/* Gives each vCPU one of the CPUs that we may use, in turn. */
static void cpus_assign(void) {
    cpu_set_t set;
    if (!affinity(&set)) {
        return;
    }
    memcpy(g_systrap.affinity, &set, sizeof(g_systrap.affinity));
    uint32_t n = 0;
    for (uint32_t i = 0, cpu = 0; i < g_systrap.vcpu_count && n < CPU_SETSIZE;
         cpu = (cpu + 1) % CPU_SETSIZE) {
        n = CPU_ISSET(cpu, &set) ? 0 : n + 1; /* CPUs since the last one that is ours */
        if (n == 0) {
            g_systrap.vcpus[i++]->cpus[cpu / 64] = 1ull << (cpu % 64);
        }
    }
}

static uint32_t host_cpus(void) {
    cpu_set_t set;
    uint32_t n = 0;
    if (affinity(&set)) {
        for (int i = 0; i < CPU_SETSIZE; i++) {
            n += CPU_ISSET(i, &set) ? 1 : 0;
        }
    }
    return n;
}

static uint32_t vcpu_count(const struct moat_boot *boot) {
    uint32_t n = boot->vcpu_count != 0 ? boot->vcpu_count : host_cpus();
    return MIN(MAX(n, boot->vcpu_count == 1 ? 1u : 2u), HOST_VCPU_MAX);
}

static int text_init(void) {
    size_t len = (size_t)(stub_text_end - stub_text_start);
    int fd = (int)sys2(SYS_memfd_create, (long)"moat-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || len > STUB_TEXT_SIZE || sys2(SYS_ftruncate, fd, STUB_TEXT_SIZE) != 0) {
        return -ENOMEM;
    }
    if (sys4(SYS_pwrite64, fd, (long)stub_text_start, (long)len, 0) != (long)len) {
        return -EIO;
    }
    if (sys3(SYS_fcntl, fd, F_ADD_SEALS,
             F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return -EPERM;
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
    cpus_assign();
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

/* Without the flag signals break a wait that was taken; an unknown flag is refused before the
 * program is looked at. */
static bool has_killable_wait(void) {
    long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    return sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, 0) == -EFAULT;
}

/* From the notification hand-over to the other. */
static int trap_instead(void) {
    for (uint32_t i = 0; i < g_systrap.vcpu_count; i++) {
        zygote_discard(g_systrap.vcpus[i]);
    }
    g_systrap.trap_only = true;
    return zygotes_start();
}

/* Starts the zygotes with a hand-over that is allowed and that this host has, and measures: the
 * trap is taken where it is clearly quicker.  A moment of noise must not decide, as notifications
 * leave programs free to run anywhere, and let calls be posted. */
static int handover_start(uint32_t wanted) {
    const char *why = wanted == MOAT_HANDOVER_AUTO ? "quicker here" : "asked for";
    uint64_t notify_ns = 0, trap_ns = 0;
    g_systrap.trap_only = wanted == MOAT_HANDOVER_TRAP;
    if (wanted == MOAT_HANDOVER_AUTO && !has_killable_wait()) {
        g_systrap.trap_only = true;
        why = "this host has no killable wait (Linux 5.19)";
    }
    int err = zygotes_start();
    if (err == -ENOTTY && wanted == MOAT_HANDOVER_AUTO) {
        why = "this host has no same-CPU wake-up (Linux 6.6)";
        err = trap_instead();
    }
    if (err != 0) {
        return err;
    }
    vcpu_pin(g_systrap.vcpus[0]);
    zygote_measure(g_systrap.vcpus[0], &notify_ns, &trap_ns);
    if (wanted == MOAT_HANDOVER_AUTO && !g_systrap.trap_only && 3 * trap_ns < 2 * notify_ns) {
        err = trap_instead();
        vcpu_pin(g_systrap.vcpus[0]);
    }
    (void)fmt_snprintf(g_systrap.handover, sizeof(g_systrap.handover),
                       "%s: %s; a round trip takes %lu ns by notification, %lu ns by trap",
                       g_systrap.trap_only ? "trap" : "notify", why, (unsigned long)notify_ns,
                       (unsigned long)trap_ns);
    return err;
}

/* Posted calls need a second CPU for whoever looks, and gs for the thread's post. */
static void posts_allow(uint32_t wanted) {
    struct platform_info *info = &g_systrap.info;
    bool can =
        !g_systrap.trap_only && g_systrap.fsgsbase && g_systrap.vcpu_count > 1 && host_cpus() > 1;
    if (!can || (wanted != MOAT_HANDOVER_POST && wanted != MOAT_HANDOVER_AUTO)) {
        return;
    }
    post_init();
    g_systrap.posts = true;
    g_systrap.posts_eager = wanted == MOAT_HANDOVER_POST;
    info->post_entry = STUB_ADDR(stub_post);
    info->post_after = g_systrap.posts_eager ? 2 : POST_AFTER;
    size_t len = strlen(g_systrap.handover);
    (void)fmt_snprintf(g_systrap.handover + len, sizeof(g_systrap.handover) - len,
                       "; hot call sites post"); /* it may be cut */
}

int systrap_init(const struct moat_boot *boot) {
    struct platform_info *info = &g_systrap.info;
    g_systrap.fsgsbase = (host_auxv(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) != 0;
    frame_init_cpu();
    info->name = "systrap";
    info->user_start = 64 * KIB;
    info->user_end = STUB_REGION;
    info->handover = g_systrap.handover;
    info->vcpu_count = vcpu_count(boot);
    int err = area_init();
    err = err != 0 ? err : text_init();
    err = err != 0 ? err : vcpus_init(info->vcpu_count);
    err = err != 0 ? err : handover_start(boot->handover);
    if (err == 0) {
        posts_allow(boot->handover);
    }
    return err;
}
