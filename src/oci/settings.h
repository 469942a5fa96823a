/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's settings, /etc/moat/moat.conf, and who chooses the isolation of a container
 * (docs/configuration.md).
 *
 * Trust: an annotation comes from whoever wrote the pod or the image, which may be the one that the
 * wall is for; it can make the wall stronger, not weaker, unless the administrator says otherwise.
 * What the administrator locked binds every way to ask.
 */
#ifndef MOAT_OCI_SETTINGS_H
#define MOAT_OCI_SETTINGS_H

#include "host/err.h"
#include "oci/container.h"

#define SETTINGS_PATH "/etc/moat/moat.conf"

/* From the weakest wall to the strongest. */
enum isolation_kind {
    ISOLATION_NATIVE,
    ISOLATION_SENTRY,
    ISOLATION_VM,
    ISOLATION_VM_SENTRY,
    ISOLATION_KINDS
};

enum settings_annotation {
    SETTINGS_STRONGER, /* may ask for a stronger wall */
    SETTINGS_ANY,      /* may ask for any */
    SETTINGS_IGNORED,
};

struct settings {
    enum isolation_kind isolation; /* where nobody asks */
    uint32_t allowed;              /* 1 << enum isolation_kind */
    bool lock;                     /* `isolation` and no other */
    enum settings_annotation annotation;
    enum overlay_mode overlay; /* of bundles; `moat do` has its own */
    enum platform_choice platform;
    uint32_t handover;   /* MOAT_HANDOVER_* */
    bool vm_template;    /* machines start from templates */
    bool vm_vsock;       /* agents are reached by vsock where the host has it */
    char vm_images[256]; /* folder of root images that annotations may name by absolute path; "" */
    enum vm_files vm_files;
    uint32_t vm_start_timeout_s, vm_answer_timeout_s;
    char path[256]; /* where they come from; "" when there is no file */
};

/* Who asks for an isolation; NULL: nobody. */
struct settings_request {
    const char *option;     /* --isolation */
    const char *annotation; /* dev.moat.isolation */
    const char *program;    /* the name moat was called by, a path or not */
};

/* "sentry", ...; NULL for no such kind. */
const char *isolation_kind_name(enum isolation_kind kind);

/*
 * Reads the file at `path`; without one the built-in settings.  As root, a file that somebody else
 * could have written is refused.  -EINVAL names file and line.
 */
must_check int settings_load(const char *path, struct settings *out, struct err *err);
/* The same of a text; `path` is for messages. */
must_check int settings_parse(const char *path, const char *text, size_t len, struct settings *out,
                              struct err *err);
/* "dev.moat.vm.root-image": fills c->root_image.  -EPERM for an image outside `bundle` and of the
 * folder for images. */
must_check int settings_root_image(const struct settings *s, enum isolation_kind kind,
                                   const char *value, const char *bundle, struct container *c,
                                   struct err *err);
/* -EINVAL for a name that is none, -EPERM for a choice that the settings do not allow. */
must_check int settings_choose(const struct settings *s, const struct settings_request *request,
                               enum isolation_kind *out, struct err *err);

#endif
