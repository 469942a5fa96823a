/* SPDX-License-Identifier: Apache-2.0 */
/* Containers between commands: see state.h. */
#include "runtime/state.h"

#include "host/cleanup.h"
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const g_status_text[] = {"creating", "created", "running", "stopped"};

const char *state_status_text(enum container_status status) {
    return g_status_text[status];
}

int state_check_id(const char *id, struct err *err) {
    size_t len = strlen(id);
    size_t good = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-");
    if (len == 0 || len > 127 || good != len || id[0] == '.') {
        return err_set(err, -EINVAL,
                       "'%s' is no container id: use 1 to 127 letters, digits, '_', '.', '+' or "
                       "'-', not beginning with '.'",
                       id);
    }
    return 0;
}

int state_create_dir(const char *root, const char *id, struct err *err) {
    if (mkdir(root, 0711) != 0 && errno != EEXIST) {
        return err_sys(err, -errno, "cannot make the state folder %s (--root names another)", root);
    }
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) {
        return err_sys(err, -errno, "cannot open the state folder %s", root);
    }
    if (mkdirat(top, id, 0700) != 0) {
        return errno == EEXIST
                   ? err_set(err, -EEXIST,
                             "container with id exists already: %s ('moat delete %s' removes it)",
                             id, id)
                   : err_sys(err, -errno, "cannot make %s/%s", root, id);
    }
    int dir = openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir >= 0 ? dir : err_sys(err, -errno, "cannot open %s/%s", root, id);
}

int state_open_dir(const char *root, const char *id, struct err *err) {
    int e = state_check_id(id, err);
    if (e != 0) {
        return e;
    }
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int dir = top < 0 ? -1 : openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0) {
        return dir;
    }
    return errno == ENOENT
               ? err_set(err, -ENOENT,
                         "container does not exist: %s ('moat list' shows those of %s)", id, root)
               : err_sys(err, -errno, "cannot open %s/%s", root, id);
}

uint64_t state_process_start(pid_t pid) {
    char path[64], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid); /* fits */
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    char *p = strrchr(text, ')'); /* the name before it may hold anything */
    char state = '?';
    unsigned long long start = 0;
    if (p == NULL ||
        sscanf(p + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &start) != 2) {
        return 0;
    }
    return state == 'Z' || state == 'X' ? 0 : start;
}

int state_write_pid(const char *path, pid_t pid, struct err *err) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd >= 0 && dprintf(fd, "%d", (int)pid) > 0
               ? 0
               : err_sys(err, -errno, "cannot write the pid file %s", path);
}

struct json_object *state_to_json(const struct container_state *s) {
    struct json_object *o = json_object_new_object();
    if (o == NULL) {
        return NULL;
    }
    bool alive = s->status != STATUS_STOPPED;
    /* An add that fails leaves the member out; the reader then reports it. */
    (void)json_object_object_add(o, "ociVersion", json_object_new_string("1.2.0"));
    (void)json_object_object_add(o, "id", json_object_new_string(s->id));
    (void)json_object_object_add(o, "status", json_object_new_string(g_status_text[s->status]));
    (void)json_object_object_add(o, "pid", json_object_new_int(alive ? s->pid : 0));
    (void)json_object_object_add(o, "bundle", json_object_new_string(s->bundle));
    (void)json_object_object_add(o, "created", json_object_new_string(s->created));
    return o;
}

int state_save(int dir, const struct container_state *s, struct err *err) {
    struct json_object *o = state_to_json(s);
    if (o == NULL) {
        return err_sys(err, -ENOMEM, "cannot save the container's state");
    }
    (void)json_object_object_add(o, "monitorStart",
                                 json_object_new_uint64(s->pid_start)); /* see state_to_json */
    if (s->exited) {
        (void)json_object_object_add(o, "exitStatus", json_object_new_int(s->exit_status));
    }
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    size_t len = strlen(text);
    cleanup_fd int fd =
        openat(dir, "state.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len &&
              renameat(dir, "state.json.new", dir, "state.json") == 0;
    json_object_put(o);
    return ok ? 0 : err_sys(err, -errno, "cannot save the container's state");
}

static int parse_state(struct json_object *o, struct container_state *s, struct err *err) {
    const char *id = "", *bundle = "", *status = "", *created = "";
    uint64_t pid = 0, code = UINT64_MAX;
    int e = json_get_text(o, "state", "id", &id, err);
    e = e != 0 ? e : json_get_text(o, "state", "bundle", &bundle, err);
    e = e != 0 ? e : json_get_text(o, "state", "status", &status, err);
    e = e != 0 ? e : json_get_text(o, "state", "created", &created, err);
    e = e != 0 ? e : json_get_u64(o, "state", "pid", INT32_MAX, &pid, err);
    e = e != 0 ? e : json_get_u64(o, "state", "monitorStart", UINT64_MAX, &s->pid_start, err);
    e = e != 0 ? e : json_get_u64(o, "state", "exitStatus", UINT16_MAX, &code, err);
    if (e != 0) {
        return e;
    }
    (void)snprintf(s->id, sizeof(s->id), "%s", id); /* written by us within these sizes */
    (void)snprintf(s->bundle, sizeof(s->bundle), "%s", bundle);
    (void)snprintf(s->created, sizeof(s->created), "%s", created);
    s->pid = (pid_t)pid;
    s->exited = code != UINT64_MAX;
    s->exit_status = s->exited ? (int)code : 0;
    s->status = STATUS_STOPPED;
    for (size_t i = 0; i < ARRAY_COUNT(g_status_text); i++) {
        if (strcmp(status, g_status_text[i]) == 0) {
            s->status = (enum container_status)i;
        }
    }
    return 0;
}

int state_load(int dir, struct container_state *out, struct err *err) {
    char path[64];
    struct json_object *o = NULL;
    *out = (struct container_state){0};
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/state.json", dir); /* fits */
    int e = json_load(path, &o, err);
    e = e != 0 ? e : parse_state(o, out, err);
    json_object_put(o);
    if (e == 0 && out->status != STATUS_STOPPED &&
        (out->pid <= 0 || state_process_start(out->pid) != out->pid_start)) {
        out->status = STATUS_STOPPED;
    }
    return e;
}

int state_find(const char *root, const char *id, struct container_state *out, int *out_dir,
               struct err *err) {
    int dir = state_open_dir(root, id, err);
    if (dir < 0) {
        return dir;
    }
    int e = state_load(dir, out, err);
    if (e != 0) {
        (void)close(dir); /* read-only */
        return e;
    }
    *out_dir = dir;
    return 0;
}

int state_remove(const char *root, const char *id, struct err *err) {
    static const char *const files[] = {"state.json", "state.json.new", "control.sock"};
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int dir = state_open_dir(root, id, err);
    if (dir < 0) {
        return dir;
    }
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (unlinkat(dir, files[i], 0) != 0 && errno != ENOENT) {
            return err_sys(err, -errno, "cannot remove %s/%s/%s", root, id, files[i]);
        }
    }
    return unlinkat(top, id, AT_REMOVEDIR) == 0
               ? 0
               : err_sys(err, -errno, "cannot remove %s/%s", root, id);
}
