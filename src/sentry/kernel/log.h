/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, the dmesg ring that the guest reads, and panic. */
#ifndef MOAT_SENTRY_LOG_H
#define MOAT_SENTRY_LOG_H

#include "base/types.h"
#include "hal.h"

void klog(enum hal_log_level level, const char *format, ...) printf_like(2, 3);
#define log_error(...) klog(HAL_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  klog(HAL_LOG_WARN, __VA_ARGS__)
#define log_info(...)  klog(HAL_LOG_INFO, __VA_ARGS__)
#define log_debug(...) klog(HAL_LOG_DEBUG, __VA_ARGS__)

/* Text the guest sees in dmesg; never carries host facts. */
void dmesg_add(const char *format, ...) printf_like(1, 2);
/* Copies from byte `off` of the stream on (0: its start; what the ring has lost is skipped); bytes
 * copied. */
size_t dmesg_read(char *buf, size_t size, uint64_t off);
/* Length of the stream so far. */
uint64_t dmesg_end(void);

/* A broken invariant of the kernel itself (never what a guest did): logs, ends the Sentry with
 * status 125. */
noreturn_fn void panic(const char *format, ...) printf_like(1, 2);
#define kassert(cond)                                                                              \
    do {                                                                                           \
        if (unlikely(!(cond))) {                                                                   \
            panic("%s:%d: %s", __FILE__, __LINE__, #cond);                                         \
        }                                                                                          \
    } while (0)

#endif
