/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of the OCI runtime specification 1.2: reading it into a struct container, and writing
 * a first one.  The file is hostile input: sizes are bounded, every field's type and range is
 * checked, and errors name the JSON path.  What a value asks and moat does not do is an error or a
 * warning; docs/oci.md has the table.
 */
#ifndef MOAT_OCI_CONFIG_H
#define MOAT_OCI_CONFIG_H

#include "host/err.h"
#include "oci/container.h"

/* How to read. */
struct oci_reading {
    const char *bundle; /* absolute; what relative paths mean */
    /* The text was read before and stands in the state folder: no warnings, and the root file
     * system need not exist any more. */
    bool stored;
    void (*warn)(void *arg, const char *message); /* one line each; may be NULL */
    void *arg;
};

/*
 * The text of a JSON file of at most 4 MiB ("-": standard input), to be parsed and kept: what is
 * stored then is what was checked.  *out_text is the caller's to free and ends with a NUL.
 */
must_check int oci_text_load(const char *path, char **out_text, size_t *out_len, struct err *err);
/* The same of BUNDLE/config.json, with advice when there is none. */
must_check int oci_bundle_text(const char *bundle, char **out_text, size_t *out_len,
                               struct err *err);

/*
 * Parse a whole configuration, "process" alone (exec --process), and "resources" alone (update
 * --resources).  c->id is the caller's to set.  0, or -errno with *err; what was filled may be
 * freed either way.
 */
must_check int oci_config_parse(const struct oci_reading *how, const char *text, size_t len,
                                struct container *c, struct err *err);
must_check int oci_process_parse(const struct oci_reading *how, const char *text, size_t len,
                                 struct container_process *p, struct err *err);
must_check int oci_resources_parse(const struct oci_reading *how, const char *text, size_t len,
                                   struct cgroup_resources *resources, struct err *err);

/* From files: `path` or "-". */
must_check int oci_process_read(const struct oci_reading *how, const char *path,
                                struct container_process *p, struct err *err);
must_check int oci_resources_load(const struct oci_reading *how, const char *path,
                                  struct cgroup_resources *resources, struct err *err);

/* A stored copy of bundle's config.json at `path`. */
must_check int oci_config_load_saved(const char *path, const char *bundle, struct container *c,
                                     struct err *err);

/* Every key the parser knows, as "linux.devices[].path", in the parser's order. */
void oci_config_keys(void (*visit)(void *arg, const char *path), void *arg);

/* Writes a default config.json to BUNDLE; refuses to overwrite.  `rootless`: for a user who has no
 * privileges, mapped to root of a user namespace. */
must_check int oci_config_write_default(const char *bundle, bool rootless, struct err *err);

#endif
