/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk as the container's root: see agent.h.  The disk is an image that the container's owner
 * chose, hostile as the container is; only the guest's kernel reads it.
 */
#include "agent/agent.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define ROOT AGENT_EXPORTS "/0" /* export 0 is the root */

int disk_mount(uint32_t kind, struct err *err) {
    const char *type = kind == MOAT_AGENT_DISK_EXT4 ? "ext4" : "erofs";
    (void)mkdir(AGENT_EXPORTS, 0700); /* the folder of the host's files is there already */
    (void)mkdir(ROOT, 0755);          /* likewise */
    if (mount(MOAT_AGENT_DISK, ROOT, type, MS_RDONLY | MS_NODEV, NULL) == 0) {
        return 0;
    }
    if (errno == EROFS) { /* the kernel's fs/ext4/super.c: a journal that must be replayed */
        return err_set(err, -EROFS,
                       "the root image was not unmounted cleanly: 'e2fsck -f IMAGE' mends it");
    }
    return err_sys(err, -errno, "the guest cannot mount the root image as %s, it may be damaged",
                   type);
}
