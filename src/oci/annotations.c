/* SPDX-License-Identifier: Apache-2.0 */
/* See annotations.h. */
#include "oci/annotations.h"

#include "oci/read.h"

#include <errno.h>
#include <string.h>

#define ANNOTATION(key, effect, note) {key, ANNOTATION_##effect, note},
const struct oci_annotation g_oci_annotations[] = {
#include "oci/annotations.def"
    {NULL, ANNOTATION_SILENT, NULL},
};
#undef ANNOTATION

const struct oci_annotation *oci_annotation_find(const char *key) {
    for (const struct oci_annotation *a = g_oci_annotations; a->key != NULL; a++) {
        size_t len = strlen(a->key);
        bool prefix = a->key[len - 1] == '.';
        if (prefix ? strncmp(key, a->key, len) == 0 : strcmp(key, a->key) == 0) {
            return a;
        }
    }
    return NULL;
}

static int apply_overlay(struct container *c, const char *key, struct err *err) {
    const char *value = oci_key_values_get(&c->annotations, key);
    if (value == NULL) {
        return 0;
    }
    if (strcmp(value, "memory") != 0 && strcmp(value, "none") != 0) {
        return err_set(err, -EINVAL, "annotations[\"%s\"]: must be memory or none", key);
    }
    c->overlay = strcmp(value, "none") == 0 ? OVERLAY_NONE : OVERLAY_MEMORY;
    return 0;
}

int oci_annotations_apply(const struct oci_reading *how, struct container *c, struct err *err) {
    uint32_t warnings = 0;
    const struct oci_reader r = {how, err, &warnings};
    const struct oci_node top = {0}, list = {.up = &top, .key = "annotations"};
    for (size_t i = 0; i < c->annotations.count && !how->stored; i++) {
        const struct oci_node at = {.up = &list, .key = c->annotations.items[i].key};
        const struct oci_annotation *a = oci_annotation_find(at.key);
        if (a != NULL && a->effect == ANNOTATION_OTHER) {
            oci_warn(&r, &at, "%s", a->note);
        }
    }
    int e = apply_overlay(c, "dev.gvisor.spec.rootfs.overlay", err);
    return e != 0 ? e : apply_overlay(c, "dev.moat.overlay", err);
}
