/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container's first process and the runtime's commands tell each other while it is set up:
 * records over a SOCK_SEQPACKET socket.  The end of the connection on the runtime's side means that
 * the program runs (the socket is close-on-exec); for the process it means that the runtime died.
 *
 * The records come from a process of moat that no code of the container has run in; their texts
 * are bounded and ended here all the same.
 */
#ifndef MOAT_NATIVE_SYNC_H
#define MOAT_NATIVE_SYNC_H

#include "host/err.h"

enum sync_type {
    SYNC_GO,       /* to the process: value is enum sync_stage */
    SYNC_CHILD,    /* from the helper: value is the process's pid */
    SYNC_WARNING,  /* err.msg is the text */
    SYNC_HOOKS,    /* mounts are made, the runtime's hooks may run */
    SYNC_READY,    /* create: waits for start */
    SYNC_LISTENER, /* value is the number that the seccomp listener will have */
    SYNC_FAILED,   /* err says why */
};

enum sync_stage {
    STAGE_MAPPED, /* ids are mapped */
    STAGE_GROUPS, /* in its control groups */
    STAGE_HOOKS,  /* the runtime's hooks have run */
};

struct sync_record {
    uint32_t type;
    int32_t value;
    struct err err;
};

must_check int sync_send(int sock, enum sync_type type, int value, const struct err *err);
/* 1 with a record, 0 at the end of the connection, -errno. */
must_check int sync_recv(int sock, struct sync_record *out);

#endif
