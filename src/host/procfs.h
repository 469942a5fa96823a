/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a proc file system that is known to be one.
 *
 * What is written below /proc decides about privileges (LSM labels, id mappings, sysctls), so a
 * path there is worth nothing: an image can hold a /proc of its own, and a mount can lie over a
 * file.  A struct procfs is opened before any other namespace is entered, checked to be the root of
 * a real proc, and every file is opened below it without crossing a mount or a magic link.  `self`
 * means the calling process also after it has entered other namespaces.
 */
#ifndef MOAT_HOST_PROCFS_H
#define MOAT_HOST_PROCFS_H

#include "host/err.h"

#include <string.h>

struct procfs {
    int root; /* O_PATH */
};

/* Opens /proc.  0 or -errno with *err. */
must_check int procfs_open(struct procfs *out, struct err *err);
void procfs_close(struct procfs *p);
/* Opens a file below it with O_CLOEXEC; -EXDEV when a mount lies over it or it is of no proc. */
must_check int procfs_open_file(const struct procfs *p, const char *path, int flags);
/* Writes the text in one call, as most files there ask for. */
must_check int procfs_write(const struct procfs *p, const char *path, const char *text);
/* Reads at most size - 1 bytes and ends them with a NUL: length or -errno. */
int procfs_read(const struct procfs *p, const char *path, char *buf, size_t size);

/* Where field `number`, from 3 on, begins in the text of a stat file, proc(5), or NULL.  Fields are
 * counted behind the name, which may hold anything. */
static inline const char *procfs_stat_field(const char *stat, int number) {
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? at + 1 : NULL;
}

#endif
