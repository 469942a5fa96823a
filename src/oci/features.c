/* SPDX-License-Identifier: Apache-2.0 */
/* The features structure: see features.h. */
#include "oci/features.h"

#include "oci/annotations.h"
#include "oci/hooks.h"
#include "oci/names.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Adding fails without memory alone; `ok` remembers it for the whole structure. */
struct building {
    bool ok;
};

static void add(struct building *b, struct json_object *to, const char *name,
                struct json_object *value) {
    if (value == NULL || json_object_object_add(to, name, value) != 0) {
        json_object_put(value);
        b->ok = false;
    }
}

static void append(struct building *b, struct json_object *to, const char *text) {
    struct json_object *value = json_object_new_string(text);
    if (value == NULL || json_object_array_add(to, value) != 0) {
        json_object_put(value);
        b->ok = false;
    }
}

static struct json_object *new_object(struct building *b, struct json_object *in,
                                      const char *name) {
    struct json_object *o = json_object_new_object();
    add(b, in, name, o);
    return o;
}

static struct json_object *new_array(struct building *b, struct json_object *in, const char *name) {
    struct json_object *o = json_object_new_array();
    add(b, in, name, o);
    return o;
}

static void add_names(struct building *b, struct json_object *in, const char *name,
                      const struct oci_name *names) {
    struct json_object *list = new_array(b, in, name);
    for (; names->name != NULL; names++) {
        append(b, list, names->name);
    }
}

static void add_enabled(struct building *b, struct json_object *in, const char *name,
                        bool enabled) {
    add(b, new_object(b, in, name), "enabled", json_object_new_boolean(enabled));
}

static void add_cgroup(struct building *b, struct json_object *in) {
    static const char *const kinds[] = {"v1", "v2", "systemd", "rdma"};
    struct json_object *cgroup = new_object(b, in, "cgroup");
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        add(b, cgroup, kinds[i], json_object_new_boolean(true));
    }
    add(b, cgroup, "systemdUser", json_object_new_boolean(false));
}

/* seccomp(2): a flag that the kernel knows gets as far as the program's address. */
static bool kernel_knows(uint64_t flag) {
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) < 0 && errno == EFAULT;
}

static void add_seccomp(struct building *b, struct json_object *in) {
    struct json_object *seccomp = new_object(b, in, "seccomp");
    add(b, seccomp, "enabled", json_object_new_boolean(true));
    add_names(b, seccomp, "actions", g_oci_seccomp_actions);
    add_names(b, seccomp, "operators", g_oci_seccomp_operators);
    add_names(b, seccomp, "archs", g_oci_seccomp_archs);
    add_names(b, seccomp, "knownFlags", g_oci_seccomp_flags);
    struct json_object *supported = new_array(b, seccomp, "supportedFlags");
    for (const struct oci_name *f = g_oci_seccomp_flags; f->name != NULL; f++) {
        if (kernel_knows(f->value)) {
            append(b, supported, f->name);
        }
    }
}

static void add_linux(struct building *b, struct json_object *top) {
    struct json_object *linux_ = new_object(b, top, "linux");
    add_names(b, linux_, "namespaces", g_oci_namespaces);
    add_names(b, linux_, "capabilities", g_oci_capabilities);
    add_cgroup(b, linux_);
    add_seccomp(b, linux_);
    add_enabled(b, linux_, "apparmor", true);
    add_enabled(b, linux_, "selinux", true);
    add_enabled(b, linux_, "intelRdt", true);
    add_enabled(b, new_object(b, linux_, "mountExtensions"), "idmap", true);
    add_enabled(b, linux_, "netDevices", true);
}

static void add_annotations(struct building *b, struct json_object *top, const char *isolations) {
    struct json_object *annotations = new_object(b, top, "annotations");
    add(b, annotations, "dev.moat.version", json_object_new_string(MOAT_VERSION));
    add(b, annotations, "dev.moat.isolations", json_object_new_string(isolations));
    struct json_object *unsafe = new_array(b, top, "potentiallyUnsafeConfigAnnotations");
    for (const struct oci_annotation *a = g_oci_annotations; a->key != NULL; a++) {
        if (a->effect == ANNOTATION_HONOURED) {
            append(b, unsafe, a->key);
        }
    }
}

struct json_object *oci_features(const char *isolations) {
    struct building b = {.ok = true};
    struct json_object *top = json_object_new_object();
    if (top == NULL) {
        return NULL;
    }
    add(&b, top, "ociVersionMin", json_object_new_string("1.0.0"));
    add(&b, top, "ociVersionMax", json_object_new_string("1.2.1"));
    struct json_object *hooks = new_array(&b, top, "hooks");
    for (int stage = 0; stage < HOOK_STAGES; stage++) {
        append(&b, hooks, hook_stage_name((enum hook_stage)stage));
    }
    struct json_object *options = new_array(&b, top, "mountOptions");
    for (const struct oci_mount_option *o = g_oci_mount_options; o->name != NULL; o++) {
        append(&b, options, o->name);
    }
    add_linux(&b, top);
    add_annotations(&b, top, isolations);
    if (!b.ok) {
        json_object_put(top);
        return NULL;
    }
    return top;
}
