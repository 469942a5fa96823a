/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices: which operations stand behind a device number.  Every entry is made by one
 * open function, which may replace file->ops and set file->private.
 */
#ifndef MOAT_SENTRY_DEV_H
#define MOAT_SENTRY_DEV_H

#include "base/types.h"

struct file;

/* Device numbers of Linux (Documentation/admin-guide/devices.txt of the Linux source). */
#define DEV_MAJOR_MEM  1u
#define DEV_MAJOR_TTY  5u
#define DEV_MAJOR_PTS  136u /* to 143, a million slaves of which we use one major */
#define DEV_MINOR_PTMX 2u

/* Opens of one device; -ENXIO when nothing is behind it. */
must_check int dev_mem_open(uint32_t minor, struct file *file); /* dev/mem.c */
must_check int tty_dev_open(uint32_t minor, struct file *file); /* tty/: tty, console, ptmx */
must_check int
pts_dev_open(uint32_t minor,
             struct file *file); /* tty/: a slave by number, of the file's own devpts */

#endif
