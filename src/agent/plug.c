/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What WELCOME changes in a machine: see agent.h.  One that was restored from a template has the
 * memory of all others of that template until then; before any program runs in it the kernel's
 * generator of random numbers gets the host's own seed, and the devices of this machine are found.
 */
#include "agent/agent.h"

#include "host/cleanup.h"

#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* random(4): credited, and used from the next byte on. */
static bool reseed(const uint8_t *entropy) {
    struct {
        int bits, size; /* struct rand_pool_info */
        uint8_t bytes[MOAT_AGENT_ENTROPY];
    } pool = {.bits = 8 * MOAT_AGENT_ENTROPY, .size = MOAT_AGENT_ENTROPY};
    cleanup_fd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    memcpy(pool.bytes, entropy, MOAT_AGENT_ENTROPY);
    bool done = fd >= 0 && ioctl(fd, RNDADDENTROPY, &pool) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
    explicit_bzero(&pool, sizeof(pool));
    return done;
}

/* Drivers have their devices when this returns. */
static bool rescan(const char *path) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "1", 1) == 1;
}

/* Behind the first port is bus 1, and so on: looking at all takes an emulated machine long. */
static bool find_devices(uint32_t plugged) {
    bool ok = plugged != MOAT_AGENT_PLUGGED_ANY || rescan("/sys/bus/pci/rescan");
    for (uint32_t i = 1; i <= plugged && plugged != MOAT_AGENT_PLUGGED_ANY && ok; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/sys/class/pci_bus/0000:%02x/rescan", i); /* fits */
        ok = i < 256 && rescan(path);
    }
    return ok;
}

void plug_welcome(const struct moat_agent_welcome *w, bool first) {
    bool restored = first && (w->flags & MOAT_AGENT_RESTORED) != 0;
    /* Copies that share their random numbers must not run. */
    if (!reseed(w->entropy) && restored) {
        boot_off("cannot seed the random numbers");
    }
    if (restored && !find_devices(w->plugged)) {
        boot_off("cannot look for devices");
    }
}
