/* SPDX-License-Identifier: Apache-2.0 */
/* Options that checkpoint and restore share. */
#ifndef MOAT_CLI_IMAGE_H
#define MOAT_CLI_IMAGE_H

#include "oci/isolation.h"

struct image_folders {
    const char *image; /* --image-path, or NULL: "checkpoint" in the working directory */
    const char *work;  /* --work-path, or NULL */
    bool make;         /* the image's folder, where it is missing */
};

/* Finds or makes the folders: path and work of *out, absolute. */
must_check int image_folders_open(const struct image_folders *folders, struct isolation_image *out,
                                  struct err *err);
/* --manage-cgroups-mode, or NULL. */
must_check int image_cgroups_read(const char *mode, struct isolation_image *out, struct err *err);
/* --empty-ns: "network" is the one that CRIU can leave out. */
must_check int image_empty_read(const struct strlist *names, struct isolation_image *out,
                                struct err *err);

#endif
