/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to json-c values: see json.h. */
#include "oci/json.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define JSON_FILE_MAX  (4u << 20)
#define JSON_DEPTH_MAX 32

int json_load(const char *path, struct json_object **out, struct err *err) {
    struct stat st;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open %s", path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > JSON_FILE_MAX) {
        return err_set(err, -EINVAL, "%s is not a regular file of at most %u bytes", path,
                       JSON_FILE_MAX);
    }
    cleanup_free char *text = malloc((size_t)st.st_size + 1);
    ssize_t n = text == NULL ? -1 : read(fd, text, (size_t)st.st_size);
    if (n < 0) {
        return err_sys(err, -errno, "cannot read %s", path);
    }
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (tok == NULL) {
        return err_sys(err, -ENOMEM, "cannot parse %s", path);
    }
    *out = json_tokener_parse_ex(tok, text, (int)n);
    enum json_tokener_error bad = json_tokener_get_error(tok);
    size_t at = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    if (*out == NULL || bad != json_tokener_success) {
        return err_set(err, -EINVAL, "%s is not valid JSON: %s at byte %zu", path,
                       json_tokener_error_desc(bad), at);
    }
    return 0;
}

static int get_typed(struct json_object *o, const char *path, const char *name, enum json_type type,
                     struct json_object **out, struct err *err) {
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, name, &v) || v == NULL) {
        return 0;
    }
    if (json_object_get_type(v) != type) {
        return err_set(err, -EINVAL, "%s.%s must be of type %s, not %s", path, name,
                       json_type_to_name(type), json_type_to_name(json_object_get_type(v)));
    }
    *out = v;
    return 0;
}

int json_get_object(struct json_object *o, const char *path, const char *name,
                    struct json_object **out, struct err *err) {
    return get_typed(o, path, name, json_type_object, out, err);
}

int json_get_array(struct json_object *o, const char *path, const char *name,
                   struct json_object **out, struct err *err) {
    return get_typed(o, path, name, json_type_array, out, err);
}

int json_get_text(struct json_object *o, const char *path, const char *name, const char **out,
                  struct err *err) {
    struct json_object *v = NULL;
    int e = get_typed(o, path, name, json_type_string, &v, err);
    if (e == 0 && v != NULL) {
        *out = json_object_get_string(v);
        if (strlen(*out) != (size_t)json_object_get_string_len(v)) {
            return err_set(err, -EINVAL, "%s.%s holds a NUL byte", path, name);
        }
    }
    return e;
}

int json_get_bool(struct json_object *o, const char *path, const char *name, bool *out,
                  struct err *err) {
    struct json_object *v = NULL;
    int e = get_typed(o, path, name, json_type_boolean, &v, err);
    if (e == 0 && v != NULL) {
        *out = json_object_get_boolean(v) != 0;
    }
    return e;
}

int json_get_u64(struct json_object *o, const char *path, const char *name, uint64_t max,
                 uint64_t *out, struct err *err) {
    struct json_object *v = NULL;
    int e = get_typed(o, path, name, json_type_int, &v, err);
    if (e != 0 || v == NULL) {
        return e;
    }
    uint64_t value = json_object_get_uint64(v);
    if ((json_object_get_int64(v) < 0 && value == 0) || value > max) {
        return err_set(err, -ERANGE, "%s.%s must lie between 0 and %llu", path, name,
                       (unsigned long long)max);
    }
    *out = value;
    return 0;
}

int json_get_texts(struct json_object *o, const char *path, const char *name, struct strlist *out,
                   struct err *err) {
    struct json_object *array = NULL;
    int e = json_get_array(o, path, name, &array, err);
    size_t count = array == NULL ? 0 : json_object_array_length(array);
    for (size_t i = 0; i < count && e == 0; i++) {
        struct json_object *v = json_object_array_get_idx(array, i);
        if (json_object_get_type(v) != json_type_string ||
            strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v)) {
            return err_set(err, -EINVAL, "%s.%s[%zu] must be a string without NUL bytes", path,
                           name, i);
        }
        e = strlist_add(out, json_object_get_string(v));
    }
    return e == 0 ? 0 : err_sys(err, e, "%s.%s", path, name);
}
