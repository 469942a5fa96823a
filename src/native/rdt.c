/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt: see rdt.h. */
#include "native/rdt.h"

#include "host/cleanup.h"
#include "host/resctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RDT_FILE "resctrl" /* three lines: made or found, the group, the monitoring group */

static int save(const struct isolation_target *target, const struct resctrl_group *group,
                struct err *err) {
    cleanup_fd int fd =
        openat(target->state_dir, RDT_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && dprintf(fd, "%d\n%s\n%s\n", group->made, group->path, group->monitor) > 0
               ? 0
               : err_sys(err, -errno, "cannot note the group of linux.intelRdt");
}

/* False when there is none. */
static bool load(const struct isolation_target *target, struct resctrl_group *out) {
    char made[8] = "";
    int fd = openat(target->state_dir, RDT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    *out = (struct resctrl_group){.made = false};
    bool good = f != NULL && fgets(made, sizeof(made), f) != NULL &&
                fgets(out->path, sizeof(out->path), f) != NULL &&
                fgets(out->monitor, sizeof(out->monitor), f) != NULL;
    out->made = made[0] == '1';
    out->path[strcspn(out->path, "\n")] = out->monitor[strcspn(out->monitor, "\n")] = '\0';
    if (f != NULL) {
        (void)fclose(f); /* only read */
    } else {
        cleanup_fd_fn(&fd);
    }
    return good;
}

int rdt_make(const struct isolation_target *target, struct err *err) {
    const struct oci_intel_rdt *rdt = &target->c->linux_.intel_rdt;
    const struct resctrl_wish wish = {.clos_id = rdt->clos_id,
                                      .id = target->c->id,
                                      .l3 = rdt->l3_cache_schema,
                                      .bandwidth = rdt->mem_bw_schema,
                                      .monitor = rdt->enable_cmt || rdt->enable_mbm};
    char root[4096];
    struct err ignored = {0};
    struct resctrl_group group;
    if (!rdt->set || target->state_dir < 0) {
        return 0;
    }
    int e = resctrl_find("/proc/self/mountinfo", root, err);
    e = e != 0 ? e : resctrl_make(root, &wish, &group, err);
    if (e == 0 && (e = save(target, &group, err)) != 0) {
        (void)!resctrl_remove(&group, &ignored); /* the failure to note it is told */
    }
    return e;
}

int rdt_enter(const struct isolation_target *target, pid_t pid, struct err *err) {
    struct resctrl_group group;
    return target->c->linux_.intel_rdt.set && target->state_dir >= 0 && load(target, &group)
               ? resctrl_enter(&group, pid, err)
               : 0;
}

int rdt_remove(const struct isolation_target *target, struct err *err) {
    struct resctrl_group group;
    int e = target->state_dir >= 0 && load(target, &group) ? resctrl_remove(&group, err) : 0;
    if (e == 0 && target->state_dir >= 0 && unlinkat(target->state_dir, RDT_FILE, 0) != 0 &&
        errno != ENOENT) {
        e = err_sys(err, -errno, "cannot remove %s/" RDT_FILE, target->state_path);
    }
    return e;
}
