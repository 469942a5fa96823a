/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of character devices: see dev.h and chrdev_open in vfs.h.
 */
#include "fs/dev/dev.h"

#include "fs/vfs.h"

#include <asm-generic/errno-base.h>

struct chrdev {
    uint32_t major;
    int (*open)(uint32_t minor, struct file *file);
};

static const struct chrdev g_chrdevs[] = {
    {DEV_MAJOR_MEM, dev_mem_open},
    {DEV_MAJOR_TTY, tty_dev_open},
    {DEV_MAJOR_PTS, pts_dev_open},
};

int chrdev_open(uint64_t rdev, struct file *file) {
    for (size_t i = 0; i < ARRAY_COUNT(g_chrdevs); i++) {
        if (g_chrdevs[i].major == DEV_MAJOR(rdev)) {
            return g_chrdevs[i].open(DEV_MINOR(rdev), file);
        }
    }
    return -ENXIO;
}
