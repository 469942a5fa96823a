/* SPDX-License-Identifier: Apache-2.0 */
/* Reading config.json: see config.h.  Sections named are those of the OCI runtime specification's
 * config.md. */
#include "oci/config.h"

#include "moat/control.h"
#include "oci/json.h"
#include "oci/names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 65536u

/* ---- process ---- */

static int load_caps(struct json_object *process, struct container_caps *caps, struct err *err) {
    struct json_object *o = NULL;
    int e = json_get_object(process, "process", "capabilities", &o, err);
    if (e != 0 || o == NULL) {
        return e;
    }
    const struct {
        const char *name;
        uint64_t *set;
    } sets[] = {{"effective", &caps->effective},
                {"permitted", &caps->permitted},
                {"inheritable", &caps->inheritable},
                {"bounding", &caps->bounding},
                {"ambient", &caps->ambient}};
    for (size_t i = 0; i < ARRAY_COUNT(sets) && e == 0; i++) {
        struct strlist names = {0};
        e = json_get_texts(o, "process.capabilities", sets[i].name, &names, err);
        for (size_t k = 0; k < names.count && e == 0; k++) {
            int cap = oci_capability(names.items[k]);
            if (cap < 0) {
                e = err_set(err, -EINVAL, "process.capabilities.%s[%zu]: unknown capability '%s'",
                            sets[i].name, k, names.items[k]);
            } else {
                *sets[i].set |= 1ull << cap;
            }
        }
        strlist_free(&names);
    }
    return e;
}

static int load_rlimits(struct json_object *process, struct container_process *p, struct err *err) {
    struct json_object *array = NULL;
    int e = json_get_array(process, "process", "rlimits", &array, err);
    size_t count = array == NULL ? 0 : json_object_array_length(array);
    for (size_t i = 0; i < count && e == 0; i++) {
        struct json_object *o = json_object_array_get_idx(array, i);
        const char *type = "";
        uint64_t soft = 0, hard = 0;
        char path[64];
        (void)snprintf(path, sizeof(path), "process.rlimits[%zu]", i); /* fits */
        if (json_object_get_type(o) != json_type_object) {
            return err_set(err, -EINVAL, "%s must be an object", path);
        }
        e = json_get_text(o, path, "type", &type, err);
        e = e != 0 ? e : json_get_u64(o, path, "soft", UINT64_MAX, &soft, err);
        e = e != 0 ? e : json_get_u64(o, path, "hard", UINT64_MAX, &hard, err);
        int resource = oci_rlimit(type);
        if (e == 0 && resource < 0) {
            e = err_set(err, -EINVAL, "%s.type: unknown limit '%s'", path, type);
        }
        if (e == 0 && soft > hard) {
            e = err_set(err, -EINVAL, "%s: soft is larger than hard", path);
        }
        e = e != 0 ? e : container_add_rlimit(p, (uint32_t)resource, soft, hard);
    }
    return e;
}

static int load_user(struct json_object *process, struct container_process *p, struct err *err) {
    struct json_object *user = NULL, *groups = NULL;
    uint64_t uid = 0, gid = 0, mask = 022;
    int e = json_get_object(process, "process", "user", &user, err);
    if (e != 0 || user == NULL) {
        return e;
    }
    e = json_get_u64(user, "process.user", "uid", UINT32_MAX - 1, &uid, err);
    e = e != 0 ? e : json_get_u64(user, "process.user", "gid", UINT32_MAX - 1, &gid, err);
    e = e != 0 ? e : json_get_u64(user, "process.user", "umask", 0777, &mask, err);
    e = e != 0 ? e : json_get_array(user, "process.user", "additionalGids", &groups, err);
    p->uid = (uint32_t)uid;
    p->gid = (uint32_t)gid;
    p->umask = (uint32_t)mask;
    size_t count = groups == NULL ? 0 : json_object_array_length(groups);
    if (e != 0 || count == 0) {
        return e;
    }
    p->groups = calloc(count, sizeof(*p->groups));
    if (count > GROUPS_MAX || p->groups == NULL) {
        return err_set(err, -E2BIG, "process.user.additionalGids has too many groups (%zu)", count);
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *v = json_object_array_get_idx(groups, i);
        int64_t g = json_object_get_int64(v);
        if (json_object_get_type(v) != json_type_int || g < 0 || g >= UINT32_MAX) {
            return err_set(err, -EINVAL, "process.user.additionalGids[%zu] is no group id", i);
        }
        p->groups[p->group_count++] = (uint32_t)g;
    }
    return 0;
}

static int load_console(struct json_object *process, struct container_process *p, struct err *err) {
    struct json_object *size = NULL;
    uint64_t rows = 0, cols = 0;
    int e = json_get_bool(process, "process", "terminal", &p->terminal, err);
    e = e != 0 ? e : json_get_object(process, "process", "consoleSize", &size, err);
    if (e == 0 && size != NULL) {
        e = json_get_u64(size, "process.consoleSize", "height", UINT16_MAX, &rows, err);
        e = e != 0 ? e : json_get_u64(size, "process.consoleSize", "width", UINT16_MAX, &cols, err);
    }
    p->rows = (uint16_t)rows;
    p->cols = (uint16_t)cols;
    return e;
}

static int load_process(struct json_object *process, struct container_process *p, struct err *err) {
    const char *cwd = NULL;
    int e = json_get_texts(process, "process", "args", &p->args, err);
    e = e != 0 ? e : json_get_texts(process, "process", "env", &p->env, err);
    e = e != 0 ? e : json_get_text(process, "process", "cwd", &cwd, err);
    p->umask = 022;
    e = e != 0 ? e : load_user(process, p, err);
    e = e != 0 ? e : load_caps(process, &p->caps, err);
    e = e != 0 ? e : load_rlimits(process, p, err);
    e = e != 0 ? e : load_console(process, p, err);
    e = e != 0 ? e : json_get_bool(process, "process", "noNewPrivileges", &p->no_new_privs, err);
    if (e != 0) {
        return e;
    }
    if (p->args.count == 0) {
        return err_set(err, -EINVAL,
                       "process.args is missing or empty: it names the program to run");
    }
    if (cwd == NULL || cwd[0] != '/') {
        return err_set(err, -EINVAL, "process.cwd must be an absolute path");
    }
    p->cwd = strdup(cwd);
    return p->cwd != NULL ? 0 : err_sys(err, -ENOMEM, "process.cwd");
}

int oci_process_load(const char *path, struct container_process *p, struct err *err) {
    struct json_object *o = NULL;
    int e = json_load(path, &o, err);
    if (e == 0 && json_object_get_type(o) != json_type_object) {
        e = err_set(err, -EINVAL, "%s does not hold an object", path);
    }
    e = e != 0 ? e : load_process(o, p, err);
    json_object_put(o);
    return e;
}

/* ---- root and mounts ---- */

static int load_root(struct json_object *config, const char *bundle, bool saved,
                     struct container *c, struct err *err) {
    struct json_object *root = NULL;
    const char *path = NULL;
    char joined[PATH_MAX], real[PATH_MAX];
    int e = json_get_object(config, "config", "root", &root, err);
    if (e == 0 && root != NULL) {
        e = json_get_text(root, "root", "path", &path, err);
        e = e != 0 ? e : json_get_bool(root, "root", "readonly", &c->root_readonly, err);
    }
    if (e != 0) {
        return e;
    }
    if (path == NULL || path[0] == '\0') {
        return err_set(err, -EINVAL,
                       "root.path is missing: it names the folder of the root file system");
    }
    int n = snprintf(joined, sizeof(joined), "%s%s%s", path[0] == '/' ? "" : bundle,
                     path[0] == '/' ? "" : "/", path);
    if (n < 0 || (size_t)n >= sizeof(joined)) {
        return err_set(err, -ENAMETOOLONG, "root.path is too long");
    }
    if (!saved && realpath(joined, real) == NULL) {
        return err_sys(err, -errno, "root.path: cannot use %s", joined);
    }
    c->rootfs = strdup(saved ? joined : real);
    return c->rootfs != NULL ? 0 : err_sys(err, -ENOMEM, "root.path");
}

/* Splits options into the flags a mount has and the rest, which goes to the file system. */
static int mount_options(const struct strlist *options, uint32_t *flags, char *rest, size_t size,
                         bool *bind) {
    size_t used = 0;
    rest[0] = '\0';
    for (size_t i = 0; i < options->count; i++) {
        const char *o = options->items[i];
        uint32_t set = 0, clear = 0;
        if (strcmp(o, "bind") == 0 || strcmp(o, "rbind") == 0) {
            *bind = true;
        } else if (oci_mount_flag(o, &set, &clear)) {
            *flags = (*flags & ~clear) | set;
        } else {
            int n = snprintf(rest + used, size - used, "%s%s", used > 0 ? "," : "", o);
            if (n < 0 || (size_t)n >= size - used) {
                return -E2BIG;
            }
            used += (size_t)n;
        }
    }
    return 0;
}

static int load_mount(struct json_object *m, size_t index, const char *bundle, struct container *c,
                      struct err *err) {
    const char *type = "", *source = "", *target = NULL;
    struct strlist options = {0};
    char path[48], rest[1024], joined[PATH_MAX];
    uint32_t flags = 0;
    bool bind = false;
    (void)snprintf(path, sizeof(path), "mounts[%zu]", index); /* fits */
    if (json_object_get_type(m) != json_type_object) {
        return err_set(err, -EINVAL, "%s must be an object", path);
    }
    int e = json_get_text(m, path, "destination", &target, err);
    e = e != 0 ? e : json_get_text(m, path, "type", &type, err);
    e = e != 0 ? e : json_get_text(m, path, "source", &source, err);
    e = e != 0 ? e : json_get_texts(m, path, "options", &options, err);
    if (e == 0 && (target == NULL || target[0] != '/')) {
        e = err_set(err, -EINVAL, "%s.destination must be an absolute path", path);
    }
    if (e == 0 && mount_options(&options, &flags, rest, sizeof(rest), &bind) != 0) {
        e = err_set(err, -E2BIG, "%s.options are too long", path);
    }
    strlist_free(&options);
    if (e != 0) {
        return e;
    }
    if (!bind && strcmp(type, "bind") != 0) {
        return container_add_mount(c, MOUNT_TYPED, flags, source, target, type, rest);
    }
    int n = snprintf(joined, sizeof(joined), "%s%s%s", source[0] == '/' ? "" : bundle,
                     source[0] == '/' ? "" : "/", source);
    if (n < 0 || (size_t)n >= sizeof(joined)) {
        return err_set(err, -ENAMETOOLONG, "%s.source is too long", path);
    }
    return container_add_mount(c, MOUNT_BIND, flags, joined, target, NULL, NULL);
}

static int load_mounts(struct json_object *config, const char *bundle, struct container *c,
                       struct err *err) {
    struct json_object *mounts = NULL;
    int e = json_get_array(config, "config", "mounts", &mounts, err);
    size_t count = mounts == NULL ? 0 : json_object_array_length(mounts);
    for (size_t i = 0; i < count && e == 0; i++) {
        e = load_mount(json_object_array_get_idx(mounts, i), i, bundle, c, err);
    }
    return e;
}

static int load_all(struct json_object *config, const char *bundle, bool saved, struct container *c,
                    struct err *err) {
    const char *version = NULL, *hostname = "moat";
    struct json_object *process = NULL;
    if (json_object_get_type(config) != json_type_object) {
        return err_set(err, -EINVAL, "config.json does not hold an object");
    }
    int e = json_get_text(config, "config", "ociVersion", &version, err);
    if (e == 0 && (version == NULL || strncmp(version, "1.", 2) != 0)) {
        e = err_set(err, -EINVAL, "ociVersion must be 1.x, not '%s'",
                    version == NULL ? "" : version);
    }
    e = e != 0 ? e : json_get_object(config, "config", "process", &process, err);
    if (e == 0 && process == NULL) {
        e = err_set(err, -EINVAL, "process is missing");
    }
    e = e != 0 ? e : load_process(process, &c->process, err);
    e = e != 0 ? e : json_get_text(config, "config", "hostname", &hostname, err);
    if (e == 0 && strlen(hostname) > 63) {
        e = err_set(err, -EINVAL, "hostname is longer than 63 characters");
    }
    e = e != 0 ? e : load_root(config, bundle, saved, c, err);
    e = e != 0 ? e : load_mounts(config, bundle, c, err);
    if (e == 0) {
        c->hostname = strdup(hostname);
        e = c->hostname != NULL ? 0 : err_sys(err, -ENOMEM, "hostname");
    }
    return e;
}

int oci_config_load(const char *bundle, struct container *c, struct err *err) {
    char path[PATH_MAX];
    struct json_object *config = NULL;
    int n = snprintf(path, sizeof(path), "%s/config.json", bundle);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return err_set(err, -ENAMETOOLONG, "the bundle's path is too long");
    }
    int e = json_load(path, &config, err);
    if (e == -ENOENT) {
        err_append(err,
                   " (--bundle names the folder with config.json; 'moat spec' writes a first one)");
    }
    e = e != 0 ? e : load_all(config, bundle, false, c, err);
    json_object_put(config);
    return e;
}

int oci_config_load_saved(const char *path, const char *bundle, struct container *c,
                          struct err *err) {
    struct json_object *config = NULL;
    int e = json_load(path, &config, err);
    e = e != 0 ? e : load_all(config, bundle, true, c, err);
    json_object_put(config);
    return e;
}
