/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to QEMU's monitor: QMP, JSON a line (docs/interop/qmp-spec.txt of QEMU).  Its socket is
 * one of a pair and has no name: only the process that holds the other end can.
 *
 * Trust: before the guest runs QEMU is ours; afterwards its answers are read and counted, no more.
 */
#ifndef MOAT_VM_QMP_H
#define MOAT_VM_QMP_H

#include "host/err.h"

#define QMP_LINE_MAX 65536u

struct qmp {
    int fd;
    bool migrated, migration_failed; /* events that came */
    size_t len;
    char line[QMP_LINE_MAX];
};

/* Takes the greeting and enters command mode. */
must_check int qmp_open(struct qmp *q, int fd, struct err *err);
/* Runs a command, JSON in one line without its end; -EIO with QEMU's own words. */
must_check int qmp_run(struct qmp *q, const char *command, struct err *err);
/* Hands a descriptor over, which commands then know by `name`. */
must_check int qmp_give(struct qmp *q, const char *name, int fd, struct err *err);
/* Waits for the end of a migration, out or in. */
must_check int qmp_await_migration(struct qmp *q, struct err *err);

#endif
