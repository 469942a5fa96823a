/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `moat do` under native isolation: one command in namespaces of its own, without a state folder.
 * What the command line leaves open is filled in as a customary config.json has it.
 */
#include "host/attend.h"
#include "host/cleanup.h"
#include "native/life.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct container_mount g_customary[] = {
    {.kind = MOUNT_TYPED,
     .source = "proc",
     .target = "/proc",
     .fstype = "proc",
     .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC},
    {.kind = MOUNT_TYPED,
     .source = "sysfs",
     .target = "/sys",
     .fstype = "sysfs",
     .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY},
    {.kind = MOUNT_TYPED,
     .source = "tmpfs",
     .target = "/dev",
     .fstype = "tmpfs",
     .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
     .options = "mode=755,size=65536k"},
    {.kind = MOUNT_TYPED,
     .source = "devpts",
     .target = "/dev/pts",
     .fstype = "devpts",
     .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
     .options = "newinstance,ptmxmode=0666,mode=0620"},
    {.kind = MOUNT_TYPED,
     .source = "shm",
     .target = "/dev/shm",
     .fstype = "tmpfs",
     .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
     .options = "mode=1777"},
};

/* A view of the caller's container with more in it; only what is listed here is owned. */
struct completed {
    struct container c;
    struct oci_id_mapping uid, gid;
};

static int complete(const struct container *from, struct completed *out) {
    size_t own = ARRAY_COUNT(g_customary);
    struct oci_linux *l = &out->c.linux_;
    out->c = *from;
    out->c.mounts = calloc(own + from->mount_count, sizeof(*out->c.mounts));
    if (out->c.mounts == NULL) {
        return -ENOMEM;
    }
    memcpy(out->c.mounts, g_customary, sizeof(g_customary));
    if (from->mount_count > 0) {
        memcpy(out->c.mounts + own, from->mounts, from->mount_count * sizeof(*from->mounts));
    }
    out->c.mount_count = own + from->mount_count;
    for (size_t i = own; i < out->c.mount_count; i++) {
        out->c.mounts[i].recursive = true; /* --volume means what the caller sees there */
    }
    l->namespaces[NS_PID].set = l->namespaces[NS_MOUNT].set = true;
    l->namespaces[NS_IPC].set = l->namespaces[NS_UTS].set = true;
    l->namespaces[NS_NETWORK].set = from->network == NETWORK_NONE;
    if (geteuid() != 0) { /* an ordinary user is root in a user namespace, and nobody else */
        l->namespaces[NS_USER].set = true;
        out->uid = (struct oci_id_mapping){0, geteuid(), 1};
        out->gid = (struct oci_id_mapping){0, getegid(), 1};
        l->uid_mappings = (struct oci_mapping_list){&out->uid, 1};
        l->gid_mappings = (struct oci_mapping_list){&out->gid, 1};
    }
    return 0;
}

static int run_completed(const struct container *c, const struct isolation_run *run,
                         int *out_wait_status, struct err *err) {
    struct attend attend;
    sigset_t old;
    pid_t pid;
    (void)sigprocmask(SIG_BLOCK, NULL, &old); /* cannot fail: it only asks */
    int e = attend_begin(&attend, c->process.terminal, err);
    const struct isolation_setup how = {.bundle = c->rootfs,
                                        .state_json = "{}",
                                        .log_fd = run->log_fd,
                                        .console_socket = attend.console[1],
                                        .debug = run->debug,
                                        .log_json = run->log_json};
    const struct isolation_target target = {.c = c, .state_dir = -1, .state_path = ""};
    e = e != 0 ? e : native_create(&target, &how, &pid, err);
    e = e != 0 ? e : attend_run(&attend, pid, out_wait_status, err);
    attend_end(&attend);
    (void)sigprocmask(SIG_SETMASK, &old, NULL); /* as it was */
    return e;
}

int native_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
               struct err *err) {
    struct completed completed;
    if (complete(c, &completed) != 0) {
        return err_sys(err, -ENOMEM, "cannot describe the container");
    }
    int e = run_completed(&completed.c, run, out_wait_status, err);
    free(completed.c.mounts);
    return e;
}
