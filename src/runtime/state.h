/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of containers between commands: ROOT/ID/state.json, replaced as a whole by every
 * change, and ROOT/ID/config.json, the copy of the bundle's that create made.
 *
 * A container whose process is gone shows as stopped, whatever was written last: its pid and start
 * time are in the file.
 *
 * Lock order: commands that change a container's status hold the folder's lock, which goes with
 * its holder; the others read whole files.
 */
#ifndef MOAT_RUNTIME_STATE_H
#define MOAT_RUNTIME_STATE_H

#include "base/types.h"
#include "host/cgroup.h"
#include "host/err.h"

#include <json-c/json.h>
#include <sys/types.h>

enum container_status {
    STATUS_CREATING,
    STATUS_CREATED,
    STATUS_RUNNING,
    STATUS_PAUSED,
    STATUS_STOPPED
};

struct container_state {
    char id[128];
    char bundle[4096];
    char rootfs[4096];
    char isolation[32]; /* isolation_ops.name */
    enum container_status status;
    pid_t pid;                       /* as isolation_ops.create gave it, 0: not yet */
    uint64_t pid_start;              /* its start time in clock ticks, proc(5) field 22 */
    uint32_t owner;                  /* who made it */
    char created[48];                /* RFC 3339 */
    struct json_object *annotations; /* an object, or NULL; owned */
    struct cgroup cgroup;            /* path "" when it has none */
};

const char *state_status_text(enum container_status status);
/* 1 to 127 of [A-Za-z0-9_.+-], not beginning with a dot. */
must_check int state_check_id(const char *id, struct err *err);
/* Makes ROOT/ID and locks it: -EEXIST when there is one.  Returns the folder's descriptor,
 * *out_lock the lock's. */
must_check int state_create_dir(const char *root, const char *id, int *out_lock, struct err *err);
/* Opens ROOT/ID; -ENOENT says "container does not exist". */
must_check int state_open_dir(const char *root, const char *id, struct err *err);
/* Waits for the folder's lock: its descriptor.  -ENOENT when the folder was removed meanwhile. */
must_check int state_lock(const char *root, const char *id, struct err *err);
/* Lets it go.  -1 is nothing. */
void state_unlock(int lock);
/* Writes state.json in the container's folder. */
must_check int state_save(int dir, const struct container_state *s, struct err *err);
/* Reads it and corrects the status of a process that is gone.  -ENOENT: create did not come that
 * far.  The caller frees with state_free, also after an error. */
must_check int state_load(int dir, struct container_state *out, struct err *err);
void state_free(struct container_state *s);
/* Opens and reads. */
must_check int state_find(const char *root, const char *id, struct container_state *out,
                          int *out_dir, struct err *err);
/* Removes ROOT/ID and what the runtime put into it.  It may be gone. */
must_check int state_remove(const char *root, const char *id, struct err *err);
/* runtime.md "State", as hooks and `moat state` get it; the caller puts it.  NULL without memory.
 */
struct json_object *state_to_json(const struct container_state *s);
/* It as text, which lives as long as it. */
const char *state_text(struct json_object *state);
/* Writes a pid to the file that an engine asked for, whole or not at all. */
must_check int state_write_pid(const char *path, pid_t pid, struct err *err);
/*
 * The wait status of the container's process, for those who ask later: whoever gets to know it
 * keeps it.  Reading fails with -ENOENT when nobody did.
 */
void state_keep_exit(int dir, int wait_status);
must_check int state_exit(int dir, int *out_wait_status);
/* That of the process itself while it is a zombie: -ENOENT when it runs or is reaped. */
must_check int state_zombie_exit(const struct container_state *s, int *out_wait_status);
/* Start time of a process, 0 when it is gone or a zombie. */
uint64_t state_process_start(pid_t pid);
/* True while the process that create made lives. */
bool state_alive(const struct container_state *s);

#endif
