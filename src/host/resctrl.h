/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of the resource control file system (kernel documentation, x86/resctrl.rst): shares of
 * cache and memory bandwidth, as config-linux.md "Intel RDT" asks for them.
 */
#ifndef MOAT_HOST_RESCTRL_H
#define MOAT_HOST_RESCTRL_H

#include "host/err.h"

#include <sys/types.h>

struct resctrl_wish {
    const char *clos_id;        /* the group's name, checked to be one component; NULL: `id` */
    const char *id;             /* the container's */
    const char *l3, *bandwidth; /* lines of schemata, or NULL */
    bool monitor;               /* a monitoring group of its own, called `id` */
};

struct resctrl_group {
    char path[4096]; /* "" when there is none */
    char monitor[4096];
    bool made; /* by us: removed by resctrl_remove, as a monitoring group always is */
};

/* Where it is mounted, from a file like /proc/self/mountinfo; -ENOTSUP with what to do. */
must_check int resctrl_find(const char *mountinfo, char out[4096], struct err *err);
/* Finds or makes the group below `root`.  One that was there must have the shares that are asked
 * for; with a closID and no shares it must be there.  On an error nothing is left behind. */
must_check int resctrl_make(const char *root, const struct resctrl_wish *wish,
                            struct resctrl_group *out, struct err *err);
/* A process, and what it clones from then on. */
must_check int resctrl_enter(const struct resctrl_group *group, pid_t pid, struct err *err);
/* Idempotent. */
must_check int resctrl_remove(const struct resctrl_group *group, struct err *err);

#endif
