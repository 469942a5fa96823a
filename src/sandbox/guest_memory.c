/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_memory.h.  Sources: tmpfs(5) size, fsconfig(2) FSCONFIG_CMD_RECONFIGURE. */
#include "sandbox/guest_memory.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>

/*
 * What a sandbox needs for itself, measured: 2 MiB when idle, 8 with forty processes or 400 MiB in
 * use, of which a two hundred and fiftieth are page tables, 10 after a walk over a whole Debian.
 */
#define OWN_MIN    (8 * MIB)
#define OWN_SHARE  32u
#define OWN_MAX    (64 * MIB)
#define GUEST_PART 3u /* a small limit is divided: a third at most is the sandbox's */

static uint64_t guest_part(uint64_t limit) {
    struct sysinfo si = {0};
    uint64_t own = MIN(MIN(OWN_MIN + limit / OWN_SHARE, OWN_MAX), limit / GUEST_PART);
    (void)sysinfo(&si); /* cannot fail */
    /* What may be swapped out may be used besides; how much of that the group grants it sees to. */
    uint64_t size = limit - own + (uint64_t)si.totalswap * si.mem_unit;
    return MIN(size, (uint64_t)si.totalram * si.mem_unit);
}

uint64_t guest_memory_size(const struct container *c) {
    const struct cgroup_i64 *limit = &c->linux_.resources.memory.limit;
    if (c->memory_limit != 0) {
        return c->memory_limit;
    }
    return limit->set && limit->value > 0 ? guest_part((uint64_t)limit->value) : 0;
}

static bool set_size(int fs, const char *size) {
    return fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
           fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0;
}

void guest_memory_resize(int fs, uint64_t limit) {
    char size[32] = "100%";
    uint64_t want = limit == 0 ? 0 : guest_part(limit);
    if (fs < 0) {
        return;
    }
    if (want != 0) {
        (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)want); /* fits */
    }
    /* A size below what is in use is refused, and how much that is nobody tells: by halves. */
    uint64_t room = 0;
    while (!set_size(fs, size) && want != 0 && want + room < UINT64_MAX / 4) {
        room = room == 0 ? MIB : room * 2;
        (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)(want + room)); /* fits */
    }
}
