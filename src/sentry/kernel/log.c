/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to the host, the dmesg ring of the guest, and panic.
 * Lock: g_dmesg_lock (RANK_LOG) guards the ring.
 */
#include "kernel/log.h"

#include "base/fmt.h"
#include "base/string.h"
#include "hal.h"
#include "kernel/lock.h"

#define LINE_MAX   512u
#define DMESG_SIZE (16u * 1024u)

static struct spinlock g_dmesg_lock = SPINLOCK_INIT(RANK_LOG);
static char g_dmesg[DMESG_SIZE];  /* ring; guarded by g_dmesg_lock */
static uint64_t g_dmesg_total;    /* bytes ever written; guarded by g_dmesg_lock */
static uint64_t g_dmesg_start_ns; /* time of the first line; guarded by g_dmesg_lock */

static void log_line(enum hal_log_level level, const char *format, va_list args) {
    char line[LINE_MAX];
    size_t len = fmt_vsnprintf(line, sizeof(line), format, args);
    hal_log(level, line, MIN(len, sizeof(line) - 1));
}

void klog(enum hal_log_level level, const char *format, ...) {
    if (level > hal_log_level() && !(level == HAL_LOG_STRACE && hal_strace_enabled())) {
        return;
    }
    va_list args;
    va_start(args, format);
    log_line(level, format, args);
    va_end(args);
}

void panic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    hal_log(HAL_LOG_ERROR, "kernel panic:", 13);
    log_line(HAL_LOG_ERROR, format, args);
    va_end(args);
    hal_exit(125);
}

void dmesg_add(const char *format, ...) {
    char text[LINE_MAX / 2], line[LINE_MAX];
    va_list args;
    va_start(args, format);
    (void)fmt_vsnprintf(text, sizeof(text), format, args); /* cut if longer */
    va_end(args);
    uint64_t now = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    spin_lock(&g_dmesg_lock);
    if (g_dmesg_start_ns == 0) {
        g_dmesg_start_ns = now;
    }
    uint64_t us = (now - g_dmesg_start_ns) / NSEC_PER_USEC;
    size_t len =
        fmt_snprintf(line, sizeof(line), "<6>[%5lu.%06lu] %s\n", us / 1000000, us % 1000000, text);
    for (size_t i = 0; i < len; i++) {
        g_dmesg[g_dmesg_total++ % DMESG_SIZE] = line[i];
    }
    spin_unlock(&g_dmesg_lock);
}

/* `off` counts from the first byte ever written; what the ring has lost is skipped, up to the next
 * whole line. */
size_t dmesg_read(char *buf, size_t size, uint64_t off) {
    size_t len = 0;
    spin_lock(&g_dmesg_lock);
    uint64_t oldest = g_dmesg_total > DMESG_SIZE ? g_dmesg_total - DMESG_SIZE : 0;
    if (off < oldest) {
        off = oldest;
        while (off < g_dmesg_total && g_dmesg[off++ % DMESG_SIZE] != '\n') {
        }
    }
    while (len < size && off < g_dmesg_total) {
        buf[len++] = g_dmesg[off++ % DMESG_SIZE];
    }
    spin_unlock(&g_dmesg_lock);
    return len;
}

uint64_t dmesg_end(void) {
    spin_lock(&g_dmesg_lock);
    uint64_t total = g_dmesg_total;
    spin_unlock(&g_dmesg_lock);
    return total;
}
