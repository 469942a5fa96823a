/* SPDX-License-Identifier: Apache-2.0 */
/* Docker: `runtimes` and `default-runtime` of /etc/docker/daemon.json (dockerd(8)). */
#include "install/engines.h"

#include "host/cleanup.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define FILE_NAME "docker/daemon.json"

static bool entry_is_ours(struct json_object *entry) {
    struct json_object *path = NULL;
    return json_object_is_type(entry, json_type_object) &&
           json_object_object_get_ex(entry, "path", &path) &&
           json_object_is_type(path, json_type_string) &&
           plan_is_ours(json_object_get_string(path));
}

/* What moat put there before goes; the names that stay are others'. */
static void take_ours(struct json_object *config, struct json_object *runtimes) {
    struct json_object *chosen = NULL;
    bool known = json_object_object_get_ex(config, "default-runtime", &chosen);
    const char *name = known ? json_object_get_string(chosen) : NULL;
    struct json_object_iter it;
    bool again = true;
    while (again) { /* an iterator does not outlive a change */
        again = false;
        json_object_object_foreachC(runtimes, it) {
            if (entry_is_ours(it.val)) {
                if (name != NULL && strcmp(name, it.key) == 0) {
                    json_object_object_del(config, "default-runtime");
                    name = NULL;
                }
                json_object_object_del(runtimes, it.key);
                again = true;
                break;
            }
        }
    }
}

static int set_text(struct json_object *o, const char *key, const char *text) {
    struct json_object *value = json_object_new_string(text);
    if (value == NULL || json_object_object_add(o, key, value) != 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static int add_ours(const struct install_plan *p, struct json_object *config,
                    struct json_object *runtimes) {
    for (size_t i = 0; i < p->handler_count; i++) {
        struct json_object *entry = json_object_new_object();
        if (entry == NULL || set_text(entry, "path", p->handlers[i].program) != 0 ||
            json_object_object_add(runtimes, p->handlers[i].name, entry) != 0) {
            json_object_put(entry);
            return -ENOMEM;
        }
    }
    return p->make_default ? set_text(config, "default-runtime", p->handlers[0].name) : 0;
}

/* The member `runtimes`, made when it is missing; NULL when it is no object. */
static struct json_object *get_runtimes(struct json_object *config) {
    struct json_object *runtimes = NULL;
    if (json_object_object_get_ex(config, "runtimes", &runtimes)) {
        return json_object_is_type(runtimes, json_type_object) ? runtimes : NULL;
    }
    runtimes = json_object_new_object();
    if (runtimes != NULL && json_object_object_add(config, "runtimes", runtimes) != 0) {
        json_object_put(runtimes);
        return NULL;
    }
    return runtimes;
}

/* JSON has no room for a remark, so a file that becomes empty goes. */
static char *to_text(struct json_object *config, const struct install_plan *p) {
    struct json_object *runtimes = NULL;
    char *text = NULL;
    if (json_object_object_get_ex(config, "runtimes", &runtimes) &&
        json_object_object_length(runtimes) == 0) {
        json_object_object_del(config, "runtimes");
    }
    if (p->remove && json_object_object_length(config) == 0) {
        return NULL;
    }
    const char *pretty = json_object_to_json_string_ext(
        config, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    return pretty != NULL && asprintf(&text, "%s\n", pretty) >= 0 ? text : NULL;
}

static int merge(struct install_plan *p, const char *path, const char *before, char **out_after,
                 struct err *err) {
    enum json_tokener_error why = json_tokener_success;
    const char *text = before != NULL && before[strspn(before, " \t\r\n")] != '\0' ? before : "{}";
    struct json_object *config = json_tokener_parse_verbose(text, &why);
    if (!json_object_is_type(config, json_type_object)) {
        json_object_put(config);
        return err_set(err, -EINVAL, "%s is no JSON object (%s): mend it first", path,
                       json_tokener_error_desc(why));
    }
    struct json_object *runtimes = get_runtimes(config);
    int e = runtimes != NULL
                ? 0
                : err_set(err, -EINVAL, "%s: \"runtimes\" is no object: mend it first", path);
    if (e == 0) {
        struct json_object *was = NULL;
        bool plain = json_object_deep_copy(config, &was, NULL) == 0;
        take_ours(config, runtimes);
        e = !p->remove && add_ours(p, config, runtimes) != 0
                ? err_sys(err, -ENOMEM, "cannot change %s", path)
                : 0;
        /* A file that says what it should is left as its owner wrote it. */
        bool same = plain && before != NULL && json_object_equal(was, config);
        *out_after = e == 0 ? same ? strdup(before) : to_text(config, p) : NULL;
        json_object_put(was);
    }
    json_object_put(config);
    return e;
}

int install_docker(struct install_plan *p, struct err *err) {
    cleanup_free char *path = NULL;
    cleanup_free char *before = NULL;
    char *after = NULL;
    int e = plan_read(p, FILE_NAME, &path, &before, err);
    if (e != 0 || (before == NULL && p->remove)) {
        return e;
    }
    e = merge(p, path, before, &after, err);
    return e != 0 ? e : plan_add_change(p, steal_ptr(&path), steal_ptr(&before), after, err);
}
