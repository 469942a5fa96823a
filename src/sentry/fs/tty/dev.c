/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal devices with fixed numbers: /dev/tty, /dev/console and /dev/ptmx (tty(4),
 * console(4), pts(4)).
 */
#include "fs/tty/pty.h"

#include "fs/dev/dev.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>

/* The caller's own terminal; it is its controlling one already. */
static int open_current(struct file *file) {
    struct tty *tty = tty_current();
    if (tty == NULL) {
        return -ENXIO;
    }
    file->flags |= O_NOCTTY;
    int err = pty_slave_open(tty, file);
    tty_put(tty);
    return err;
}

static int open_ptmx(struct file *file) {
    struct devpts *devpts = devpts_find(file->inode);
    if (devpts == NULL) {
        return -ENODEV;
    }
    int err = pty_master_open(devpts, file);
    devpts_put(devpts);
    return err;
}

int tty_dev_open(uint32_t minor, struct file *file) {
    switch (minor) {
    case 0: /* tty */
    case 1: /* console: the container's, as far as the caller sits at it */
        return open_current(file);
    case DEV_MINOR_PTMX:
        return open_ptmx(file);
    default:
        return -ENXIO;
    }
}

int pts_dev_open(uint32_t minor, struct file *file) {
    return -ENXIO; /* slaves are opened through devpts alone; its inodes know how */
}
