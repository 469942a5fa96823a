/* SPDX-License-Identifier: Apache-2.0 */
/* Reading config.json, its top level: see config.h.  Sections named are those of the OCI runtime
 * specification's config.md. */
#include "oci/config.h"

#include "host/cleanup.h"
#include "oci/config_parts.h"
#include "oci/json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define HOSTNAME_MAX 64 /* sethostname(2) */

/* ---- top level ---- */

/* "Specification version": SemVer; what 1.x adds is compatible. */
static int read_version(const struct oci_reader *r, const struct oci_node *n,
                        const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, 64, &text);
    if (e != 0) {
        return e;
    }
    const char *minor = text + 2;
    size_t digits = strncmp(text, "1.", 2) == 0 ? strspn(minor, "0123456789") : 0;
    if (digits == 0 || minor[digits] != '.' || !isdigit((unsigned char)minor[digits + 1])) {
        return oci_fail(r, n, -EINVAL, "is '%.40s', must be 1.x.y: moat implements 1.2", text);
    }
    return 0;
}

static int read_hostname(const struct oci_reader *r, const struct oci_node *n,
                         const struct oci_field *f, void *out) {
    const char *text = "";
    int e = oci_text(r, n, HOSTNAME_MAX, &text);
    if (e != 0 || text[0] == '\0') {
        return e;
    }
    return oci_copy(r, n, text, (char **)((char *)out + f->offset));
}

/* root.path, relative to the bundle, resolved: the root must exist before a container is made. */
static int read_root_path(const struct oci_reader *r, const struct oci_node *n,
                          const struct oci_field *f, void *out) {
    struct container *c = out;
    const char *path = "", *bundle = r->how->bundle;
    char joined[PATH_MAX], real[PATH_MAX];
    int e = oci_text(r, n, PATH_MAX - 1, &path);
    if (e != 0) {
        return e;
    }
    if (path[0] == '\0') {
        return oci_fail(r, n, -EINVAL, "must name the folder of the root file system");
    }
    int len = snprintf(joined, sizeof(joined), "%s%s%s", path[0] == '/' ? "" : bundle,
                       path[0] == '/' ? "" : "/", path);
    if (len < 0 || (size_t)len >= sizeof(joined)) {
        return oci_fail(r, n, -ENAMETOOLONG, "is too long together with the bundle's path");
    }
    if (!r->how->stored && realpath(joined, real) == NULL) {
        e = -errno;
        return oci_fail(r, n, e, "cannot use %.300s: %s", joined, strerror(-e));
    }
    return oci_copy(r, n, r->how->stored ? joined : real, &c->rootfs);
}

static const struct oci_field g_root_fields[] = {
    {.name = "path", .read = read_root_path, .required = true},
    {.name = "readonly",
     .read = oci_read_bool,
     .offset = offsetof(struct container, root_readonly)},
    {0},
};

static const struct oci_field g_config_fields[] = {
    {.name = "ociVersion", .read = read_version, .required = true},
    {.name = "process",
     .read = oci_read_object,
     .offset = offsetof(struct container, process),
     .fields = g_process_fields,
     .init = oci_process_init,
     .check = oci_process_check,
     .required = true},
    {.name = "root", .read = oci_read_object, .fields = g_root_fields, .required = true},
    {.name = "hostname", .read = read_hostname, .offset = offsetof(struct container, hostname)},
    {.name = "domainname", .read = read_hostname, .offset = offsetof(struct container, domainname)},
    {.name = "mounts",
     .read = oci_read_array,
     .offset = offsetof(struct container, mounts),
     .count_offset = offsetof(struct container, mount_count),
     .item_size = sizeof(struct container_mount),
     .fields = g_mount_fields,
     .init = oci_mount_init,
     .check = oci_mount_check,
     .max = 8192},
    {.name = "hooks",
     .read = oci_read_object,
     .offset = offsetof(struct container, hooks),
     .fields = g_hooks_fields},
    {.name = "annotations",
     .read = oci_read_pairs,
     .offset = offsetof(struct container, annotations),
     .max = 4096},
    {.name = "linux",
     .read = oci_read_object,
     .offset = offsetof(struct container, linux_),
     .fields = g_linux_fields},
    {.name = "vm", .read = oci_read_foreign, .note = "has no meaning for this isolation, ignored"},
    {.name = "windows", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {.name = "solaris", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {.name = "zos", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {.name = "freebsd", .read = oci_read_foreign, .note = "is for another platform, ignored"},
    {0},
};

/* ---- parsing ---- */

/* How `how` is read: what was checked when it was stored is not warned about again. */
static struct oci_reading effective(const struct oci_reading *how) {
    struct oci_reading e = *how;
    e.warn = how->stored ? NULL : how->warn;
    return e;
}

int oci_config_parse(const struct oci_reading *how, const char *text, size_t len,
                     struct container *c, struct err *err) {
    uint32_t warnings = 0;
    struct oci_reading reading = effective(how);
    const struct oci_reader r = {&reading, err, &warnings};
    struct oci_node top = {0};
    int e = json_parse(text, len, "config.json", &top.value, err);
    e = e != 0 ? e : oci_read_members(&r, &top, g_config_fields, c);
    e = e != 0 ? e : oci_config_check(&r, &top, c);
    json_object_put(top.value);
    return e;
}

int oci_process_parse(const struct oci_reading *how, const char *text, size_t len,
                      struct container_process *p, struct err *err) {
    uint32_t warnings = 0;
    struct oci_reading reading = effective(how);
    const struct oci_reader r = {&reading, err, &warnings};
    struct oci_node document = {0}, top = {.up = &document, .key = "process"};
    int e = json_parse(text, len, "the process", &top.value, err);
    oci_process_init(p);
    e = e != 0 ? e : oci_read_members(&r, &top, g_process_fields, p);
    e = e != 0 ? e : oci_process_check(&r, &top, p);
    json_object_put(top.value);
    return e;
}

int oci_resources_parse(const struct oci_reading *how, const char *text, size_t len,
                        struct cgroup_resources *resources, struct err *err) {
    uint32_t warnings = 0;
    struct oci_reading reading = effective(how);
    const struct oci_reader r = {&reading, err, &warnings};
    struct oci_node document = {0}, top = {.up = &document, .key = "resources"};
    int e = json_parse(text, len, "the resources", &top.value, err);
    e = e != 0 ? e : oci_read_members(&r, &top, g_resources_fields, resources);
    json_object_put(top.value);
    return e;
}

/* ---- from files ---- */

int oci_text_load(const char *path, char **out_text, size_t *out_len, struct err *err) {
    return json_text_load(path, out_text, out_len, err);
}

int oci_bundle_text(const char *bundle, char **out_text, size_t *out_len, struct err *err) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/config.json", bundle);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return err_set(err, -ENAMETOOLONG, "the bundle's path is too long");
    }
    int e = json_text_load(path, out_text, out_len, err);
    if (e == -ENOENT) {
        err_append(err,
                   " (--bundle names the folder with config.json; 'moat spec' writes a first one)");
    }
    return e;
}

int oci_process_read(const struct oci_reading *how, const char *path, struct container_process *p,
                     struct err *err) {
    cleanup_free char *text = NULL;
    size_t len = 0;
    int e = json_text_load(path, &text, &len, err);
    return e != 0 ? e : oci_process_parse(how, text, len, p, err);
}

int oci_resources_load(const struct oci_reading *how, const char *path,
                       struct cgroup_resources *resources, struct err *err) {
    cleanup_free char *text = NULL;
    size_t len = 0;
    int e = json_text_load(path, &text, &len, err);
    return e != 0 ? e : oci_resources_parse(how, text, len, resources, err);
}

int oci_config_load_saved(const char *path, const char *bundle, struct container *c,
                          struct err *err) {
    const struct oci_reading how = {.bundle = bundle, .stored = true};
    cleanup_free char *text = NULL;
    size_t len = 0;
    int e = json_text_load(path, &text, &len, err);
    return e != 0 ? e : oci_config_parse(&how, text, len, c, err);
}

/* ---- the list of keys ---- */

static void visit_keys(const struct oci_field *fields, const char *prefix,
                       void (*visit)(void *arg, const char *path), void *arg) {
    for (const struct oci_field *f = fields; f->name != NULL; f++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
                       f->name); /* fits: our own names */
        visit(arg, path);
        if (f->fields != NULL) {
            char inner[260];
            (void)snprintf(inner, sizeof(inner), "%s%s", path, f->item_size != 0 ? "[]" : "");
            visit_keys(f->fields, inner, visit, arg);
        }
    }
}

void oci_config_keys(void (*visit)(void *arg, const char *path), void *arg) {
    visit_keys(g_config_fields, "", visit, arg);
}
