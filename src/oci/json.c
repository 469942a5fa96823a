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

/* Standard input, or a regular file: something else could keep us waiting. */
static int open_text(const char *path, struct err *err) {
    struct stat st;
    if (strcmp(path, "-") == 0) {
        int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
        return fd >= 0 ? fd : err_sys(err, -errno, "cannot read standard input");
    }
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return err_sys(err, -errno, "cannot open %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, -EINVAL, "%s is not a regular file", path);
    }
    return steal_fd(&fd);
}

int json_text_load(const char *path, char **out_text, size_t *out_len, struct err *err) {
    cleanup_fd int fd = open_text(path, err);
    if (fd < 0) {
        return fd;
    }
    size_t len = 0, cap = 0;
    cleanup_free char *text = NULL;
    for (;;) {
        if (len + 1 >= cap) {
            char *grown = realloc(text, cap = cap == 0 ? 65536 : cap * 2);
            if (grown == NULL) {
                return err_sys(err, -ENOMEM, "cannot read %s", path);
            }
            text = grown;
        }
        ssize_t n = read(fd, text + len, cap - len - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_sys(err, -errno, "cannot read %s", path);
        }
        len += (size_t)n;
        if (len > JSON_FILE_MAX) {
            return err_set(err, -EFBIG, "%s is larger than %u bytes", path, JSON_FILE_MAX);
        }
        if (n == 0) {
            break;
        }
    }
    text[len] = '\0';
    *out_text = steal_ptr(&text);
    *out_len = len;
    return 0;
}

/*
 * What json-c lets pass in a text that it takes for JSON, or NULL.  It silently cuts numbers beyond
 * 64 bits to the largest there is, which could turn a mistake into "unlimited".
 */
static const char *lax_part(const char *text, size_t len) {
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted) {
            if (text[i] == '\\') {
                i++;
            } else if (text[i] == '"') {
                quoted = false;
            }
            continue;
        }
        if (text[i] == '\'') {
            return "names in single quotes are not JSON";
        }
        quoted = text[i] == '"';
        if (text[i] < '0' || text[i] > '9') {
            continue;
        }
        bool negative = i > 0 && text[i - 1] == '-', fits = true;
        uint64_t value = 0;
        for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
            fits = fits && !ckd_mul(&value, value, 10ull) &&
                   !ckd_add(&value, value, (uint64_t)(text[i] - '0'));
        }
        if (i < len && (text[i] == '.' || (text[i] | 0x20) == 'e')) {
            while (i < len && strchr("0123456789.eE+-", text[i]) != NULL) {
                i++;
            }
        } else if (!fits || (negative && value > 1ull << 63)) {
            return "a number does not fit into 64 bits";
        }
        i--;
    }
    return NULL;
}

int json_parse(const char *text, size_t len, const char *what, struct json_object **out,
               struct err *err) {
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (tok == NULL) {
        return err_sys(err, -ENOMEM, "cannot parse %s", what);
    }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tok, text, (int)len);
    enum json_tokener_error bad = json_tokener_get_error(tok);
    size_t at = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    const char *lax = bad == json_tokener_success && o != NULL ? lax_part(text, len) : NULL;
    if (lax != NULL) {
        json_object_put(o);
        return err_set(err, -EINVAL, "%s is not usable: %s", what, lax);
    }
    if (bad == json_tokener_continue) {
        json_object_put(o);
        return err_set(err, -EINVAL, "%s is not valid JSON: it ends too early, at byte %zu", what,
                       len);
    }
    if (bad != json_tokener_success || o == NULL) {
        json_object_put(o);
        return err_set(err, -EINVAL, "%s is not valid JSON: %s at byte %zu", what,
                       bad == json_tokener_success ? "it is null" : json_tokener_error_desc(bad),
                       at);
    }
    *out = o;
    return 0;
}

int json_load(const char *path, struct json_object **out, struct err *err) {
    cleanup_free char *text = NULL;
    size_t len = 0;
    int e = json_text_load(path, &text, &len, err);
    return e != 0 ? e : json_parse(text, len, path, out, err);
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
