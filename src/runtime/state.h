/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of containers between commands: ROOT/ID/state.json, written by the container's
 * monitor (and by `start`, before it asks the monitor to go), and ROOT/ID/control.sock, where the
 * monitor takes requests.
 *
 * A monitor that died without writing its last state shows as stopped: its pid and start time are
 * in the file.
 */
#ifndef MOAT_RUNTIME_STATE_H
#define MOAT_RUNTIME_STATE_H

#include "base/types.h"
#include "host/err.h"

#include <json-c/json.h>
#include <sys/types.h>

enum container_status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_STOPPED };

struct container_state {
    char id[128];
    char bundle[4096];
    enum container_status status;
    pid_t pid;          /* of the monitor */
    uint64_t pid_start; /* its start time in clock ticks, proc(5) field 22 */
    int exit_status;    /* wait status, valid when stopped and exited */
    bool exited;
    char created[32]; /* RFC 3339 */
};

const char *state_status_text(enum container_status status);
/* 1 to 127 of [A-Za-z0-9_.+-], not beginning with a dot. */
must_check int state_check_id(const char *id, struct err *err);
/* Makes ROOT/ID: -EEXIST when there is one.  Returns its O_PATH descriptor. */
must_check int state_create_dir(const char *root, const char *id, struct err *err);
/* Opens ROOT/ID; -ENOENT says "container does not exist". */
must_check int state_open_dir(const char *root, const char *id, struct err *err);
/* Writes state.json atomically in the container's folder. */
must_check int state_save(int dir, const struct container_state *s, struct err *err);
/* Reads it and corrects the status of a monitor that is gone. */
must_check int state_load(int dir, struct container_state *out, struct err *err);
/* Opens and reads. */
must_check int state_find(const char *root, const char *id, struct container_state *out,
                          int *out_dir, struct err *err);
/* Removes ROOT/ID and what moat put into it. */
must_check int state_remove(const char *root, const char *id, struct err *err);
/* The JSON text of `moat state`; the caller puts it.  NULL without memory. */
struct json_object *state_to_json(const struct container_state *s);
/* Writes a pid to the file that an engine asked for. */
must_check int state_write_pid(const char *path, pid_t pid, struct err *err);
/* Start time of a process, 0 when it is gone or a zombie. */
uint64_t state_process_start(pid_t pid);

#endif
