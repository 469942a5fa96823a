/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of a checkpoint, and the parts of a request to CRIU that tell it what of a container
 * belongs to the outside: volumes, devices, namespaces with a path, standard streams.
 *
 * Names of external mounts are those that runc gives them (the destination in config.json, and
 * "/dev/null" for masks), and descriptors.json has runc's shape, so that either can restore what
 * the other wrote.  A volume is found again by the config.json of the restore: its source may be
 * another.
 *
 * Trust boundary: descriptors.json and the mounts of a running container are hostile.
 */
#ifndef MOAT_NATIVE_SNAPSHOT_H
#define MOAT_NATIVE_SNAPSHOT_H

#include "native/criu.h"
#include "oci/isolation.h"

struct snapshot {
    const struct isolation_image *how;
    int dir;
    char log[4096];
};

/* Opens the folder; `log_name` is the log's beside it.  The caller closes it, after an error too.
 */
must_check int snapshot_open(const struct isolation_image *how, const char *log_name,
                             struct snapshot *out, struct err *err);
void snapshot_close(struct snapshot *image);
/* Options that a dump and a restore have in common. */
void snapshot_add_options(const struct snapshot *image, const struct container *c,
                          const char *log_name, struct protobuf_out *options);
/* A message of a text and a text, as of ext_mount_map. */
void snapshot_add_pair(struct protobuf_out *options, enum criu_option field, const char *first,
                       const char *second);

/* Dump: process `pid` is the container's.  Writes descriptors.json. */
must_check int snapshot_add_streams(const struct snapshot *image, pid_t pid,
                                    struct protobuf_out *options, struct err *err);
/* Restore: what is written there becomes the caller's streams. */
must_check int snapshot_inherit_streams(const struct snapshot *image, struct protobuf_out *options,
                                        struct err *err);

/* What a container shows of the host, by the names that both sides give it. */
must_check int snapshot_add_mounts(const struct container *c, pid_t pid,
                                   struct protobuf_out *options, struct err *err);
must_check int snapshot_find_mounts(const struct container *c, struct protobuf_out *options,
                                    struct err *err);
/* The attributes that config.json asks for, on the mounts of the restored process `pid`, which does
 * not run yet. */
must_check int snapshot_set_attributes(const struct container *c, pid_t pid, struct err *err);

#endif
