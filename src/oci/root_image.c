/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which disk image an annotation may name: settings.h.
 *
 * Trust: an annotation's author may be the one that the wall is for.  So the image lies in the
 * bundle, or in a folder that the administrator set aside for images, and no symlink leads out of
 * either (src/vm/disk.c resolves the name inside that folder).
 */
#include "oci/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY "annotations[\"dev.moat.vm.root-image\"]"

int settings_root_image(const struct settings *s, enum isolation_kind kind, const char *value,
                        const char *bundle, struct container *c, struct err *err) {
    const char *base = bundle;
    size_t len = strlen(s->vm_images);
    if (kind < ISOLATION_VM) {
        return err_set(err, -EINVAL, KEY ": a disk image as root needs isolation vm, not %s",
                       isolation_kind_name(kind));
    }
    if (value[0] == '\0' || strlen(value) >= 4096) {
        return err_set(err, -EINVAL, KEY ": must be the path of a disk image");
    }
    if (value[0] == '/') {
        if (len == 0 || strncmp(value, s->vm_images, len) != 0 || value[len] != '/') {
            return err_set(err, -EPERM,
                           KEY ": %.200s lies outside the bundle: only images below the folder "
                               "'vm.images' of " SETTINGS_PATH " may be named so (%s)",
                           value, len == 0 ? "it is not set" : s->vm_images);
        }
        base = s->vm_images;
        value += len + 1;
    }
    c->root_image = strdup(value);
    c->root_image_base = strdup(base);
    return c->root_image != NULL && c->root_image_base != NULL
               ? 0
               : err_sys(err, -ENOMEM, "cannot describe the container");
}
