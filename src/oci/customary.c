/* SPDX-License-Identifier: Apache-2.0 */
/* See customary.h: the mounts are those of runtime-spec, config-linux "Default Filesystems". */
#include "oci/customary.h"

#include <errno.h>
#include <linux/mount.h>
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

int customary_complete(const struct container *from, struct customary *out, struct err *err) {
    size_t own = ARRAY_COUNT(g_customary);
    struct oci_linux *l = &out->c.linux_;
    out->c = *from;
    out->c.mounts = calloc(own + from->mount_count, sizeof(*out->c.mounts));
    if (out->c.mounts == NULL) {
        return err_sys(err, -ENOMEM, "cannot describe the container");
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

void customary_free(struct customary *k) {
    free(k->c.mounts);
    k->c.mounts = NULL;
}
