/* SPDX-License-Identifier: Apache-2.0 */
/* A container's groups in its state file: see cgroup.h. */
#include "host/cgroup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const g_modes[] = {"none", "v1", "hybrid", "v2"};

static int add(struct json_object *o, const char *key, struct json_object *value) {
    if (value == NULL || json_object_object_add(o, key, value) != 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static struct json_object *at_to_json(const struct cgroup *cg, size_t i) {
    struct json_object *o = json_object_new_object();
    if (o == NULL || add(o, "controller", json_object_new_string(cg->at[i].name)) != 0 ||
        add(o, "dir", json_object_new_string(cg->at[i].dir)) != 0 ||
        add(o, "created", json_object_new_boolean(cg->at[i].created)) != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

struct json_object *cgroup_to_json(const struct cgroup *cg) {
    struct json_object *o = json_object_new_object(), *at = json_object_new_array();
    int e = o == NULL || at == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < cg->count && e == 0; i++) {
        struct json_object *one = at_to_json(cg, i);
        if (one == NULL || json_object_array_add(at, one) != 0) {
            json_object_put(one);
            e = -ENOMEM;
        }
    }
    e = e != 0 ? e : add(o, "mode", json_object_new_string(g_modes[cg->mode]));
    e = e != 0 ? e : add(o, "systemd", json_object_new_boolean(cg->systemd));
    e = e != 0 ? e : add(o, "rootless", json_object_new_boolean(cg->rootless));
    e = e != 0 ? e : add(o, "unit", json_object_new_string(cg->unit));
    e = e != 0 ? e : add(o, "path", json_object_new_string(cg->path));
    if (e != 0) {
        json_object_put(at);
        json_object_put(o);
        return NULL;
    }
    if (add(o, "groups", at) != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

/* A member of type string that fits, or -EINVAL. */
static int get_text(struct json_object *o, const char *key, char *out, size_t size) {
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string)) {
        return -EINVAL;
    }
    const char *text = json_object_get_string(v);
    return strlen(text) == (size_t)json_object_get_string_len(v) &&
                   snprintf(out, size, "%s", text) < (int)size
               ? 0
               : -EINVAL;
}

static int get_bool(struct json_object *o, const char *key, bool *out) {
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_boolean)) {
        return -EINVAL;
    }
    *out = json_object_get_boolean(v);
    return 0;
}

static int at_from_json(struct json_object *o, struct cgroup *out) {
    size_t i = out->count;
    if (i == CGROUP_CONTROLLERS_MAX || !json_object_is_type(o, json_type_object)) {
        return -EINVAL;
    }
    int e = get_text(o, "controller", out->at[i].name, sizeof(out->at[i].name));
    e = e != 0 ? e : get_text(o, "dir", out->at[i].dir, sizeof(out->at[i].dir));
    e = e != 0 ? e : get_bool(o, "created", &out->at[i].created);
    if (e == 0 && (out->at[i].dir[0] != '/' || strstr(out->at[i].dir, "/../") != NULL)) {
        e = -EINVAL;
    }
    out->count += e == 0;
    return e;
}

static int from_json(struct json_object *o, struct cgroup *out) {
    struct json_object *at = NULL;
    char mode[16];
    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "groups", &at) ||
        !json_object_is_type(at, json_type_array)) {
        return -EINVAL;
    }
    int e = get_text(o, "mode", mode, sizeof(mode));
    e = e != 0 ? e : get_text(o, "unit", out->unit, sizeof(out->unit));
    e = e != 0 ? e : get_text(o, "path", out->path, sizeof(out->path));
    e = e != 0 ? e : get_bool(o, "systemd", &out->systemd);
    e = e != 0 ? e : get_bool(o, "rootless", &out->rootless);
    size_t m = 0;
    while (e == 0 && m < ARRAY_COUNT(g_modes) && strcmp(mode, g_modes[m]) != 0) {
        m++;
    }
    if (e != 0 || m == ARRAY_COUNT(g_modes)) {
        return -EINVAL;
    }
    out->mode = (enum cgroup_mode)m;
    for (size_t i = 0; i < json_object_array_length(at) && e == 0; i++) {
        e = at_from_json(json_object_array_get_idx(at, i), out);
    }
    return e;
}

int cgroup_from_json(struct json_object *o, struct cgroup *out, struct err *err) {
    memset(out, 0, sizeof(*out));
    int e = from_json(o, out);
    if (e != 0) {
        memset(out, 0, sizeof(*out));
        return err_set(err, e,
                       "the control groups in the container's state are not in moat's form");
    }
    return 0;
}
