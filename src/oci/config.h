/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of the OCI runtime specification 1.2: reading it into a struct container, and writing
 * a first one. The file is hostile input: sizes are bounded, every field's type is checked, and
 * errors name the JSON path.
 */
#ifndef MOAT_OCI_CONFIG_H
#define MOAT_OCI_CONFIG_H

#include "host/err.h"
#include "oci/container.h"

/* Reads BUNDLE/config.json; c->id is the caller's to set.  0 or -errno with *err; *c may be freed
 * either way. */
must_check int oci_config_load(const char *bundle, struct container *c, struct err *err);
/* Reads the copy of BUNDLE/config.json at `path` for a container that was made from it: what it
 * names on the host may be gone by now, and is not looked at. */
must_check int oci_config_load_saved(const char *path, const char *bundle, struct container *c,
                                     struct err *err);
/* Reads a process object ("process" of a config.json, as exec --process takes it). */
must_check int oci_process_load(const char *path, struct container_process *p, struct err *err);
/* Writes a default config.json to BUNDLE; refuses to overwrite. */
must_check int oci_config_write_default(const char *bundle, struct err *err);

#endif
