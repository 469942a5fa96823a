/* SPDX-License-Identifier: Apache-2.0 */
/* Options that checkpoint and restore share. */
#ifndef MOAT_CLI_IMAGE_H
#define MOAT_CLI_IMAGE_H

#include "cli/cli.h"
#include "oci/isolation.h"

struct image_options {
    const char *image;        /* --image-path, or NULL: "checkpoint" in the working directory */
    const char *work;         /* --work-path, or NULL */
    const char *cgroups_mode; /* --manage-cgroups-mode, or NULL */
    struct strlist empty_ns;  /* --empty-ns: "network" is the one that CRIU can leave out */
    bool tcp, unix_sockets, shell_job, file_locks, lazy_pages, auto_dedup;
};

/* Fills in what they say; finds the folders, or makes them, that of the image if `make`. */
must_check int image_read(const struct cli_globals *globals, const struct image_options *o,
                          bool make, struct isolation_image *out, struct err *err);

#endif
