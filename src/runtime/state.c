/* SPDX-License-Identifier: Apache-2.0 */
/* Containers between commands: see state.h. */
#include "runtime/state.h"

#include "host/cleanup.h"
#include "host/procfs.h"
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *const g_status_text[] = {"creating", "created", "running", "paused", "stopped"};

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

/*
 * Takes ROOT/ID/lock.  A record lock (fcntl(2), F_SETLKW): children of the holder have no part in
 * it, so a process of the container that was left half-made does not keep it.  -ENOENT when the
 * folder was removed meanwhile.
 */
static int lock_folder(int dir) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    cleanup_fd int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    while (fcntl(fd, F_SETLKW, &whole) != 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return fstat(fd, &st) == 0 && st.st_nlink > 0 ? steal_fd(&fd) : -ENOENT;
}

/* Makes all folders of the path that are missing. */
static int make_root(const char *root, struct err *err) {
    char path[4096];
    if (mkdir(root, 0711) == 0 || errno == EEXIST) {
        return 0;
    }
    if (errno == ENOENT && strlen(root) < sizeof(path)) {
        (void)snprintf(path, sizeof(path), "%s", root); /* fits */
        for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
            *p = '\0';
            (void)!mkdir(path, 0711); /* the last one tells */
            *p = '/';
        }
        if (mkdir(root, 0711) == 0 || errno == EEXIST) {
            return 0;
        }
    }
    return err_sys(err, -errno, "cannot make the state folder %s (--root names another)", root);
}

/*
 * What stands in the folder decides which processes are signalled and which namespaces are entered:
 * it must be the caller's, or root's, and nobody else may write to it.
 */
static int open_root(const char *root, struct err *err) {
    struct stat st;
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 || fstat(top, &st) != 0) {
        return -errno; /* the caller knows what that means */
    }
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022) != 0) {
        return err_set(err, -EPERM,
                       "the state folder %s belongs to user %u with mode %o: nobody but its user "
                       "or root may write to it (--root names another)",
                       root, st.st_uid, st.st_mode & 07777);
    }
    return steal_fd(&top);
}

int state_create_dir(const char *root, const char *id, int *out_lock, struct err *err) {
    int e = make_root(root, err);
    cleanup_fd int top = e != 0 ? e : open_root(root, err);
    if (top < 0) {
        return err_sys(err, top, "cannot open the state folder %s", root);
    }
    for (;;) {
        if (mkdirat(top, id, 0700) != 0) {
            return errno == EEXIST
                       ? err_set(err, -EEXIST,
                                 "container with given ID already exists: %s ('moat delete %s' "
                                 "removes it)",
                                 id, id)
                       : err_sys(err, -errno, "cannot make %s/%s", root, id);
        }
        cleanup_fd int dir = openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int lock = dir < 0 ? -errno : lock_folder(dir);
        if (lock >= 0) {
            *out_lock = lock;
            return steal_fd(&dir);
        }
        if (lock != -ENOENT) { /* else a `delete` came between */
            if (dir >= 0) {
                (void)unlinkat(dir, "lock", 0); /* where it came that far */
            }
            (void)unlinkat(top, id, AT_REMOVEDIR); /* ours, and empty */
            return err_sys(err, lock, "cannot lock %s/%s", root, id);
        }
    }
}

int state_lock(const char *root, const char *id, struct err *err) {
    cleanup_fd int dir = state_open_dir(root, id, err);
    int lock = dir < 0 ? dir : lock_folder(dir);
    if (dir >= 0 && lock < 0) {
        return lock == -ENOENT ? err_set(err, lock, "container does not exist: %s", id)
                               : err_sys(err, lock, "cannot lock %s/%s", root, id);
    }
    return lock;
}

void state_unlock(int lock) {
    if (lock >= 0) {
        (void)close(lock); /* it goes with the descriptor */
    }
}

int state_open_dir(const char *root, const char *id, struct err *err) {
    int e = state_check_id(id, err);
    if (e != 0) {
        return e;
    }
    cleanup_fd int top = open_root(root, err);
    int dir = top < 0 ? top : openat(top, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0) {
        return dir;
    }
    dir = top < 0 ? top : -errno;
    return dir == -ENOENT
               ? err_set(err, -ENOENT,
                         "container does not exist: %s ('moat list' shows those of %s)", id, root)
               : err_sys(err, dir, "cannot open %s/%s", root, id);
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
    const char *state = procfs_stat_field(text, 3), *start = procfs_stat_field(text, 22);
    if (state == NULL || start == NULL) {
        return 0;
    }
    return *state == 'Z' || *state == 'X' ? 0 : strtoull(start, NULL, 10);
}

int state_zombie_exit(const struct container_state *s, int *out_wait_status) {
    enum { STATE = 3, START = 22, EXIT_CODE = 52 }; /* fields of proc(5), /proc/PID/stat */
    char path[64], text[2048];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->pid); /* fits */
    cleanup_fd int fd = s->pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        return -ENOENT;
    }
    text[n] = '\0';
    const char *state = procfs_stat_field(text, STATE), *start = procfs_stat_field(text, START),
               *code = procfs_stat_field(text, EXIT_CODE);
    if (code == NULL || *state != 'Z' || strtoull(start, NULL, 10) != s->pid_start) {
        return -ENOENT;
    }
    *out_wait_status = atoi(code);
    return 0;
}

void state_keep_exit(int dir, int wait_status) {
    cleanup_fd int fd =
        openat(dir, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && dprintf(fd, "%d\n", wait_status) > 0) {
        (void)renameat(dir, "exit.new", dir, "exit"); /* else `wait` says that it is lost */
    }
}

int state_exit(int dir, int *out_wait_status) {
    char text[32] = "";
    cleanup_fd int fd = openat(dir, "exit", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    return n > 0 && sscanf(text, "%d", out_wait_status) == 1 ? 0 : -ENOENT;
}

bool state_alive(const struct container_state *s) {
    return s->pid > 0 && s->pid_start != 0 && state_process_start(s->pid) == s->pid_start;
}

int state_write_pid(const char *path, pid_t pid, struct err *err) {
    char next[4200];
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    int n =
        snprintf(next, sizeof(next), "%.*s.%s.%d", (int)(name - path), path, name, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(next)) {
        return err_set(err, -ENAMETOOLONG, "the path of the pid file is too long");
    }
    cleanup_fd int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0 && dprintf(fd, "%d", (int)pid) > 0 && rename(next, path) == 0) {
        return 0;
    }
    int e = -errno;
    if (fd >= 0) {
        (void)unlink(next); /* our own */
    }
    return err_sys(err, e, "cannot write the pid file %s", path);
}

/* An add that fails leaves the member out; the reader then reports it. */
static void add(struct json_object *o, const char *name, struct json_object *value) {
    (void)json_object_object_add(o, name, value);
}

struct json_object *state_to_json(const struct container_state *s) {
    struct json_object *o = json_object_new_object();
    if (o == NULL) {
        return NULL;
    }
    add(o, "ociVersion", json_object_new_string("1.2.0"));
    add(o, "id", json_object_new_string(s->id));
    add(o, "pid", json_object_new_int(s->status == STATUS_STOPPED ? 0 : s->pid));
    add(o, "status", json_object_new_string(g_status_text[s->status]));
    add(o, "bundle", json_object_new_string(s->bundle));
    add(o, "rootfs", json_object_new_string(s->rootfs));
    add(o, "created", json_object_new_string(s->created));
    if (s->annotations != NULL && json_object_object_length(s->annotations) > 0) {
        add(o, "annotations", json_object_get(s->annotations));
    }
    return o;
}

const char *state_text(struct json_object *state) {
    return json_object_to_json_string_ext(state,
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static int write_file(int dir, const char *text, struct err *err) {
    size_t len = strlen(text);
    cleanup_fd int fd =
        openat(dir, "state.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write(fd, text, len) == (ssize_t)len &&
                   renameat(dir, "state.json.new", dir, "state.json") == 0
               ? 0
               : err_sys(err, -errno, "cannot save the container's state");
}

int state_save(int dir, const struct container_state *s, struct err *err) {
    struct json_object *o = state_to_json(s);
    if (o == NULL) {
        return err_sys(err, -ENOMEM, "cannot save the container's state");
    }
    add(o, "pid", json_object_new_int(s->pid)); /* for `delete`, whatever the status */
    add(o, "pidStart", json_object_new_uint64(s->pid_start));
    add(o, "owner", json_object_new_int64(s->owner));
    add(o, "isolation", json_object_new_string(s->isolation));
    if (s->cgroup.count > 0) {
        add(o, "cgroup", cgroup_to_json(&s->cgroup));
    }
    int e = write_file(dir, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), err);
    json_object_put(o);
    return e;
}

static void copy_text(char *to, size_t size, const char *from) {
    (void)snprintf(to, size, "%s", from); /* written by us within these sizes */
}

static int parse_state(struct json_object *o, struct container_state *s, struct err *err) {
    const char *id = "", *bundle = "", *rootfs = "", *status = "", *created = "", *isolation = "";
    uint64_t pid = 0, owner = 0;
    struct json_object *annotations = NULL, *cgroup = NULL;
    int e = json_get_text(o, "state", "id", &id, err);
    e = e != 0 ? e : json_get_text(o, "state", "bundle", &bundle, err);
    e = e != 0 ? e : json_get_text(o, "state", "rootfs", &rootfs, err);
    e = e != 0 ? e : json_get_text(o, "state", "status", &status, err);
    e = e != 0 ? e : json_get_text(o, "state", "created", &created, err);
    e = e != 0 ? e : json_get_text(o, "state", "isolation", &isolation, err);
    e = e != 0 ? e : json_get_u64(o, "state", "pid", INT32_MAX, &pid, err);
    e = e != 0 ? e : json_get_u64(o, "state", "pidStart", UINT64_MAX, &s->pid_start, err);
    e = e != 0 ? e : json_get_u64(o, "state", "owner", UINT32_MAX, &owner, err);
    e = e != 0 ? e : json_get_object(o, "state", "annotations", &annotations, err);
    e = e != 0 ? e : json_get_object(o, "state", "cgroup", &cgroup, err);
    e = e != 0 || cgroup == NULL ? e : cgroup_from_json(cgroup, &s->cgroup, err);
    if (e != 0) {
        return e;
    }
    copy_text(s->id, sizeof(s->id), id);
    copy_text(s->bundle, sizeof(s->bundle), bundle);
    copy_text(s->rootfs, sizeof(s->rootfs), rootfs);
    copy_text(s->created, sizeof(s->created), created);
    copy_text(s->isolation, sizeof(s->isolation), isolation);
    s->pid = (pid_t)pid;
    s->owner = (uint32_t)owner;
    s->annotations = json_object_get(annotations);
    s->status = STATUS_STOPPED;
    for (size_t i = 0; i < ARRAY_COUNT(g_status_text); i++) {
        if (strcmp(status, g_status_text[i]) == 0) {
            s->status = (enum container_status)i;
        }
    }
    return 0;
}

static void look_for_freeze(struct container_state *s) {
    struct err ignored = {0};
    bool frozen = false;
    if (s->cgroup.count > 0 && cgroup_is_frozen(&s->cgroup, &frozen, &ignored) == 0 && frozen) {
        s->status = STATUS_PAUSED;
    }
}

int state_load(int dir, struct container_state *out, struct err *err) {
    char path[64];
    struct json_object *o = NULL;
    memset(out, 0, sizeof(*out));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/state.json", dir); /* fits */
    struct err why = {0};
    int e = json_load(path, &o, &why);
    if (e == -ENOENT) {
        return err_set(err, e, "container does not exist: it is half made, or being deleted");
    }
    e = e != 0 ? err_set(err, e, "%s", why.msg) : parse_state(o, out, err);
    json_object_put(o);
    if (e == 0 && out->pid > 0 && !state_alive(out)) {
        out->status = STATUS_STOPPED;
    }
    if (e == 0 && (out->status == STATUS_RUNNING || out->status == STATUS_CREATED)) {
        look_for_freeze(out);
    }
    return e;
}

void state_free(struct container_state *s) {
    json_object_put(s->annotations); /* NULL is nothing */
    s->annotations = NULL;
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
        state_free(out);
        return e;
    }
    *out_dir = dir;
    return 0;
}

/* The folder itself goes last, with the lock; somebody who waits for the lock may make it anew. */
static int remove_folder(int top, int dir, const char *id) {
    for (int tries = 0; tries < 100; tries++) {
        if (unlinkat(dir, "lock", 0) != 0 && errno != ENOENT) {
            return -errno;
        }
        if (unlinkat(top, id, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            break;
        }
    }
    return -errno;
}

int state_remove(const char *root, const char *id, struct err *err) {
    static const char *const files[] = {"state.json", "state.json.new", "config.json", "exit",
                                        "exit.new"};
    struct err gone = {0};
    cleanup_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int dir = state_open_dir(root, id, &gone);
    if (dir < 0) {
        return dir == -ENOENT ? 0 : err_set(err, dir, "%s", gone.msg);
    }
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        if (unlinkat(dir, files[i], 0) != 0 && errno != ENOENT) {
            return err_sys(err, -errno, "cannot remove %s/%s/%s", root, id, files[i]);
        }
    }
    int e = remove_folder(top, dir, id);
    return e == 0 ? 0 : err_sys(err, e, "cannot remove %s/%s", root, id);
}
