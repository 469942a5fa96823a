/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of the Sentry, in the one order that works: privileges go first, stubs are forked while
 * there is one thread and no filter, then the Gofer's channel, the threads, the Sentry's own
 * filter, and the kernel.
 */
#include "base/string.h"
#include "platform/hal/host.h"
#include "platform/systrap/internal.h"

#include <errno.h>

#define VCPU_STACK (256u * 1024u)

static struct moat_boot g_boot;
static uint32_t g_go;    /* atomic: the kernel is booted */
static uint32_t g_ready; /* atomic: threads that are set up */

static void check(int err, const char *what) {
    if (err != 0) {
        host_die("start: %s: error %d", what, -err);
    }
}

void host_thread_ready(void) {
    (void)atomic_fetch_add(&g_ready, 1u); /* the old count is of no use */
    hal_unpark(&g_ready, 1);
}

static void vcpu_main(void *arg) {
    struct vcpu *v = arg;
    host_thread_init();
    vcpu_thread_start(v);
    host_thread_ready();
    while (atomic_load(&g_go) == 0) {
        hal_park(&g_go, 0);
    }
    sentry_vcpu_main(v->id);
}

static void threads_start(void) {
    for (uint32_t i = 1; i < g_systrap.vcpu_count; i++) {
        check(host_thread_start(VCPU_STACK, vcpu_main, vcpu_of(i)), "vCPU thread");
    }
    check(host_reactor_start(), "reactor thread");
    vcpu_thread_start(vcpu_of(0));
    /* the others and the reactor: what a thread does first is not on the seccomp list */
    for (uint32_t n = atomic_load(&g_ready); n < g_systrap.vcpu_count; n = atomic_load(&g_ready)) {
        hal_park(&g_ready, n);
    }
}

noreturn_fn void host_run(const struct moat_boot *boot) {
    g_boot = *boot;
    host_log_init(&g_boot);
    if (sys0(SYS_getpid) != 1) {
        host_die("start: the Sentry must be the first process of its pid namespace");
    }
    (void)sys0(SYS_setsid); /* already a leader is fine */
    host_faults_init();
    host_thread_init();
    host_privileges_drop();
    check(host_memory_init(&g_boot), "guest memory");
    check(systrap_init(&g_boot), "platform");
    if ((g_boot.flags & MOAT_BOOT_PROBE) != 0) {
        const char *text = platform_info()->handover;
        (void)sys3(SYS_write, g_boot.log_fd, (long)text,
                   (long)strlen(text)); /* nobody reads: fine */
        hal_exit(0);
    }
    check(host_reactor_init(g_boot.control_fd), "reactor");
    check(host_control_init(g_boot.control_fd), "control channel");
    check(gofer_channel_init(&g_boot), "Gofer channel");
    threads_start();
    check(host_confine(), "seccomp list");
    sentry_boot(&g_boot, sizeof(g_boot));
    atomic_store(&g_go, 1u);
    hal_unpark(&g_go, HOST_VCPU_MAX);
    sentry_vcpu_main(0);
}
