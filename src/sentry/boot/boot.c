/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of the kernel: every layer's initialiser, in the order in which they need each other.
 *
 * Contract: runs once, on vCPU 0's thread, before any vCPU loops; there is no current task yet, so
 * nothing here may sleep.  What needs a task (containers, mounts of images) is started by
 * control_init as a kernel thread.
 *
 * Trust: the boot message comes from moat's own host side; size and version are checked all the
 * same.
 */
#include "base/hash.h"
#include "base/string.h"
#include "boot/boot.h"
#include "fs/vfs.h"
#include "hal.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/time.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/oom.h"
#include "kernel/process.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "moat/boot.h"

static struct moat_boot g_boot; /* constant after sentry_boot */

const struct moat_boot *boot_info(void) {
    return &g_boot;
}

static void boot_message_read(const void *boot, size_t len) {
    if (len < sizeof(g_boot)) {
        panic("boot message has %lu bytes, need %lu", len, sizeof(g_boot));
    }
    memcpy(&g_boot, boot, sizeof(g_boot));
    if (g_boot.magic != MOAT_BOOT_MAGIC || g_boot.version != MOAT_BOOT_VERSION) {
        panic("boot message of another version (%u, need %u)", g_boot.version, MOAT_BOOT_VERSION);
    }
    g_boot.hostname[sizeof(g_boot.hostname) - 1] = '\0';
}

static void seed_hashes(void) {
    uint64_t key[2];
    hal_random(key, sizeof(key));
    hash_seed(key[0], key[1]);
}

/* Every filesystem but tmpfs, which the VFS itself needs and registers. */
static void filesystems_register(void) {
    static const struct fs_type *const types[] = {
        &g_proc_type, &g_sysfs_type,   &g_devtmpfs_type, &g_devpts_type,
        &g_fuse_type, &g_overlay_type, &g_mqueue_type,   &g_cgroup2_type,
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        fs_register(types[i]);
    }
}

static void greet(void) {
    const struct hal_memory *mem = hal_memory();
    uint64_t bytes = mem->limit_bytes != 0 ? mem->limit_bytes : mem->frame_count << PAGE_SHIFT;
    dmesg_add("moat Sentry %s: an application kernel in user space", MOAT_VERSION);
    dmesg_add("platform: %s, %u virtual CPUs", platform_info()->name, cpu_count());
    dmesg_add("Memory: %lu KiB of guest frames", bytes >> 10);
    dmesg_add("The drawbridge is up: no system call of this container reaches the host kernel");
    log_info("kernel up: platform %s (%s), %u vCPUs", platform_info()->name,
             platform_info()->handover, cpu_count());
}

void sentry_boot(const void *boot, size_t len) {
    sched_init();
    hal_cpu_set(cpu_get(0));
    boot_message_read(boot, len);
    seed_hashes();
    kmalloc_init();
    frame_init();
    mm_init();
    process_init();
    oom_init();
    futex_init();
    vfs_init();
    filesystems_register();
    greet();
    control_init();
}
