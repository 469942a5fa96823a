/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the guest does not use goes back to the host: the kernel's balloon driver reports
 * free pages in pieces of 2 MB.  It is loaded when the first container is on its way, as loading it
 * takes an emulated machine some 10 ms.
 */
#include "agent/agent.h"

#include "host/clock.h"

#include <linux/virtio_ids.h>

#define AFTER_NS NSEC_PER_SEC

static uint64_t g_due_ns; /* CLOCK_MONOTONIC; 0: not known yet */
static bool g_loaded;

int balloon_wait_ms(const struct agent *a) {
    uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
    if (g_loaded || !a->welcomed) {
        return -1;
    }
    if (g_due_ns == 0) {
        g_due_ns = now + AFTER_NS;
    }
    return now < g_due_ns ? (int)((g_due_ns - now) / NSEC_PER_MSEC) + 1 : 0;
}

void balloon_turn(const struct agent *a) {
    if (balloon_wait_ms(a) == 0) {
        boot_load_driver(VIRTIO_ID_BALLOON);
        g_loaded = true;
    }
}
