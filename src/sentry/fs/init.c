/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of the VFS: caches, mounts, the internal superblocks, tmpfs.
 */
#include "fs/internal.h"
#include "fs/tmpfs.h"

void vfs_init(void) {
    dcache_init();
    mount_init();
    anon_init();
    tmpfs_init();
}
