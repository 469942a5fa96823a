/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders and files of control groups: see cgroup_internal.h.
 *
 * A folder is opened with openat2(2) and RESOLVE_NO_SYMLINKS, or, where the kernel or a seccomp
 * filter does not let one, part by part with O_NOFOLLOW; files are opened in it by a plain name.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Takes the next part of *rest; false at the end. */
static bool next_part(const char **rest, char part[NAME_MAX + 1]) {
    *rest += strspn(*rest, "/");
    size_t len = strcspn(*rest, "/");
    if (len == 0 || len > NAME_MAX) {
        return false;
    }
    memcpy(part, *rest, len);
    part[len] = '\0';
    *rest += len;
    return true;
}

static int open_by_parts(const char *path) {
    char part[NAME_MAX + 1];
    int dir = open("/", DIR_FLAGS);
    while (dir >= 0 && next_part(&path, part)) {
        int next = strcmp(part, "..") == 0 ? -1 : openat(dir, part, DIR_FLAGS);
        int saved = strcmp(part, "..") == 0 ? EXDEV : errno;
        (void)close(dir); /* only a place */
        dir = next;
        errno = saved;
    }
    return dir >= 0 ? dir : -errno;
}

int cg_open(const char *path) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    if (path[0] != '/') {
        return -EINVAL;
    }
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    if (fd >= 0) {
        return fd;
    }
    return errno == ENOSYS || errno == EPERM ? open_by_parts(path) : -errno;
}

int cg_make(const char *mount, const char *below,
            int (*on_level)(void *arg, int parent, int dir, bool made, struct err *err), void *arg,
            bool *out_made, struct err *err) {
    char part[NAME_MAX + 1];
    const char *rest = below;
    cleanup_fd int dir = cg_open(mount);
    if (dir < 0) {
        return err_sys(err, dir, "cannot open the cgroup hierarchy %s", mount);
    }
    for (unsigned depth = 0; next_part(&rest, part); depth++) {
        bool made = false;
        bool last = rest[strspn(rest, "/")] == '\0';
        int next = last ? -1 : openat(dir, part, DIR_FLAGS); /* those above are there mostly */
        if (next < 0) {
            made = mkdirat(dir, part, 0755) == 0;
            int saved = -errno;
            if (!made && saved != -EEXIST) {
                return err_sys(err, saved, "cannot make the control group %s%.*s", mount,
                               (int)(rest - below), below);
            }
            next = openat(dir, part, DIR_FLAGS);
        }
        if (next < 0 || depth == CG_DEPTH_MAX) {
            int saved = next < 0 ? -errno : -ELOOP;
            cleanup_fd_fn(&next);
            return err_sys(err, saved, "cannot open the control group %s%.*s", mount,
                           (int)(rest - below), below);
        }
        int e = on_level == NULL ? 0 : on_level(arg, dir, next, made, err);
        (void)close(dir); /* only a place */
        dir = next;
        *out_made = made;
        if (e != 0) {
            return e;
        }
    }
    return steal_fd(&dir);
}

static int open_file(int dir, const char *file, int flags) {
    if (file[0] == '\0' || file[0] == '.' || strchr(file, '/') != NULL) {
        return -EINVAL;
    }
    int fd = openat(dir, file, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 ? fd : -errno;
}

int cg_read_all(int dir, const char *file, char **out) {
    cleanup_fd int fd = open_file(dir, file, O_RDONLY);
    size_t size = 4096, len = 0;
    if (fd < 0) {
        return fd;
    }
    cleanup_free char *buf = malloc(size + 1);
    while (buf != NULL) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            buf[len] = '\0';
            *out = steal_ptr(&buf);
            return 0;
        }
        len += n > 0 ? (size_t)n : 0;
        if (len == size) {
            if (size >= CG_FILE_MAX) {
                return -EFBIG;
            }
            size *= 2;
            char *grown = realloc(buf, size + 1);
            if (grown == NULL) {
                break;
            }
            buf = grown;
        }
    }
    return -ENOMEM;
}

int cg_read(int dir, const char *file, char *buf, size_t size) {
    cleanup_fd int fd = open_file(dir, file, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    ssize_t n = read(fd, buf, size - 1);
    if (n < 0) {
        return -errno;
    }
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return 0;
}

/* Digits, or "max"; other text is -EINVAL. */
static int parse_u64(const char *text, uint64_t *out) {
    char *end;
    if (strncmp(text, "max", 3) == 0) {
        *out = UINT64_MAX;
        return 0;
    }
    if (*text < '0' || *text > '9') {
        return -EINVAL;
    }
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (errno != 0 || (*end != '\0' && *end != '\n' && *end != ' ')) {
        return -EINVAL;
    }
    *out = v;
    return 0;
}

int cg_read_u64(int dir, const char *file, uint64_t *out) {
    char buf[64];
    int e = cg_read(dir, file, buf, sizeof(buf));
    return e != 0 ? e : parse_u64(buf, out);
}

bool cg_pread_u64(int fd, uint64_t *out) {
    char text[64];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    *out = strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
    return true;
}

int cg_key_u64(const char *text, const char *key, uint64_t *out) {
    size_t len = strlen(key);
    for (const char *p = text; p != NULL && *p != '\0'; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, key, len) == 0 && p[len] == ' ') {
            return parse_u64(p + len + 1, out);
        }
    }
    return -ENOENT;
}

int cg_read_key(int dir, const char *file, const char *key, uint64_t *out) {
    cleanup_free char *text = NULL;
    int e = cg_read_all(dir, file, &text);
    return e != 0 ? e : cg_key_u64(text, key, out);
}

bool cg_has(int dir, const char *file) {
    return faccessat(dir, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int cg_write(int dir, const char *file, const char *value) {
    cleanup_fd int fd = open_file(dir, file, O_WRONLY);
    size_t len = strlen(value);
    if (fd < 0) {
        return fd;
    }
    ssize_t n;
    do {
        n = write(fd, value, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

void cg_explain(const struct cg_dir *d, const char *file, int code, struct err *err) {
    uint64_t usage = 0;
    bool memory = strncmp(file, "memory.", 7) == 0;
    if (code == -EBUSY && memory &&
        (cg_read_u64(d->fd, "memory.usage_in_bytes", &usage) == 0 ||
         cg_read_u64(d->fd, "memory.current", &usage) == 0)) {
        err_append(err, " (%llu bytes are in use: choose a limit above that)",
                   (unsigned long long)usage);
    } else if (code == -EINVAL && strncmp(file, "memory.memsw", 12) == 0) {
        err_append(err, " (memory+swap must not be below the memory limit)");
    } else if (code == -EINVAL && strncmp(file, "cpuset.", 7) == 0) {
        err_append(err, " (the host or the parent group has no such CPU or memory node)");
    } else if (code == -EINVAL) {
        err_append(err, " (the kernel takes no such value here, or the parent group's limit is "
                        "lower)");
    } else if (code == -ENOENT) {
        err_append(err, " (this kernel, or the parent's cgroup.subtree_control, does not offer it: "
                        "leave the limit out or enable the controller)");
    } else if (code == -EACCES || code == -EPERM || code == -EROFS) {
        err_append(err, " (the group is not delegated to this user: run as root, or use a "
                        "delegated group, as with systemd-run --user -p Delegate=yes)");
    } else if (code == -ENODEV) {
        err_append(err, " (the host has no such device, or the group is being removed)");
    }
}

int cg_set(const struct cg_dir *d, const char *file, struct err *err, const char *format, ...) {
    char value[CG_VALUE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof(value)) {
        return err_set(err, -E2BIG, "the value for %s/%s is too long", d->path, file);
    }
    int e = cg_write(d->fd, file, value);
    if (e != 0 && err_sys(err, e, "cannot write '%s' to %s/%s", value, d->path, file) != 0) {
        cg_explain(d, file, e, err);
    }
    return e;
}

void cg_warn(const struct cg_warn *w, const char *format, ...) {
    char text[768];
    va_list args;
    if (w == NULL || w->warn == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* a cut warning is one still */
    va_end(args);
    w->warn(w->arg, text);
}

int cg_find_at(const struct cgroup *cg, const char *name) {
    for (size_t i = 0; i < cg->count; i++) {
        if (strcmp(cg->at[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int cg_open_at(const struct cgroup *cg, const char *name) {
    int i = cg_find_at(cg, name);
    return i < 0 ? -ENOENT : cg_open(cg->at[i].dir);
}

int cg_open_procs(const struct cgroup *cg) {
    /* The hierarchy that others least reshape comes first; any one holds all processes. */
    static const char *const order[] = {"", "freezer", "pids", "devices", "memory"};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        int fd = cg_open_at(cg, order[i]);
        if (fd != -ENOENT) {
            return fd;
        }
    }
    return cg->count > 0 ? cg_open(cg->at[0].dir) : -ENOENT;
}
