/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of moat and of other runtimes (annotations.def): honoured, or named in a warning. */
#ifndef MOAT_OCI_ANNOTATIONS_H
#define MOAT_OCI_ANNOTATIONS_H

#include "oci/config.h"

enum oci_annotation_effect { ANNOTATION_HONOURED, ANNOTATION_OTHER, ANNOTATION_SILENT };

struct oci_annotation {
    const char *key; /* ends with '.': a prefix */
    enum oci_annotation_effect effect;
    const char *note;
};

extern const struct oci_annotation g_oci_annotations[]; /* ends with a NULL key */

/* The row that a key falls under, or NULL. */
const struct oci_annotation *oci_annotation_find(const char *key);
/*
 * Acts on c->annotations: fills what they set in *c, and warns about those that ask another runtime
 * for something.  The isolation is not chosen here (settings.h).  -EINVAL for a value that is not
 * known.
 */
must_check int oci_annotations_apply(const struct oci_reading *how, struct container *c,
                                     struct err *err);

#endif
