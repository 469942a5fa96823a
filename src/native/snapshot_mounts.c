/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container shows of the host, for CRIU: see snapshot.h.
 *
 * CRIU makes file systems anew (proc, tmpfs with its content, devpts, ...), but a bind of the host
 * is external: a dump gives its mount point a name, a restore gives the name a source.
 */
#include "native/snapshot.h"

#include "host/cleanup.h"
#include "host/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MOUNTS_MAX 100000u
#define MASK       "/dev/null"

/* A line of mountinfo, proc(5). */
struct mount_entry {
    int id;
    unsigned int major, minor;
    char *point, *type; /* owned */
    bool named;
};

struct mount_list {
    struct mount_entry *items;
    size_t count, cap;
};

static void list_free(struct mount_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].point);
        free(list->items[i].type);
    }
    free(list->items);
    *list = (struct mount_list){0};
}

/* "\040" and its kind back to bytes. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        bool octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                     from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        *to = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += octal ? 4 : 1;
    }
    *to = '\0';
}

static int parse_line(char *line, struct mount_entry *out) {
    const char *tail = strstr(line, " - ");
    *out = (struct mount_entry){0};
    if (tail == NULL ||
        sscanf(line, "%d %*d %u:%u %*s %ms", &out->id, &out->major, &out->minor, &out->point) !=
            4 ||
        sscanf(tail + 3, "%ms", &out->type) != 1) {
        free(out->point);
        return -EINVAL;
    }
    unescape(out->point);
    return 0;
}

static int list_add(struct mount_list *list, char *line) {
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
        struct mount_entry *more =
            cap <= MOUNTS_MAX ? realloc(list->items, cap * sizeof(*more)) : NULL;
        if (more == NULL) {
            return -ENOMEM;
        }
        list->items = more;
        list->cap = cap;
    }
    int e = parse_line(line, &list->items[list->count]);
    list->count += e == 0;
    return e;
}

static int list_read(const char *path, struct mount_list *out, struct err *err) {
    char *line = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "re");
    int e = f != NULL ? 0 : -errno;
    while (e == 0 && getline(&line, &size, f) > 0) {
        e = list_add(out, line);
    }
    free(line);
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return e == 0 ? 0 : err_sys(err, e, "cannot read the mounts in %s", path);
}

/* What follows `base` in a path below it ("" for itself), or NULL. */
static const char *path_below(const char *base, const char *path) {
    size_t len = strlen(base);
    if (len == 1) { /* "/" */
        return path[1] == '\0' ? "" : path;
    }
    return strncmp(path, base, len) == 0 && (path[len] == '/' || path[len] == '\0') ? path + len
                                                                                    : NULL;
}

static int join(const char *base, const char *below, char out[4096]) {
    int n =
        snprintf(out, 4096, "%s%s", strcmp(base, "/") == 0 && below[0] != '\0' ? "" : base, below);
    return n >= 0 && n < 4096 ? 0 : -ENAMETOOLONG;
}

/* ---- dump ---- */

struct naming {
    const struct container *c;
    struct mount_list inside, host;
    struct protobuf_out *options;
    int root; /* of the container */
};

static void give_name(struct naming *n, struct mount_entry *m, const char *name) {
    snapshot_add_pair(n->options, CRIU_EXTERNAL_MOUNT, m->point, name);
    m->named = true;
}

/* The mount that a path of the container is on top of now, and what it is. */
static struct mount_entry *mount_at(struct naming *n, const char *path, struct stat *out_stat) {
    struct statx st;
    cleanup_fd int fd = path_open_in_root(n->root, path, O_PATH);
    if (fd < 0 || fstat(fd, out_stat) != 0 ||
        statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0 || (st.stx_mask & STATX_MNT_ID) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < n->inside.count; i++) {
        if ((uint64_t)n->inside.items[i].id == st.stx_mnt_id) {
            return &n->inside.items[i];
        }
    }
    return NULL;
}

/* rbind: what is mounted below the source on the host was copied with it. */
static int name_tree(struct naming *n, const struct container_mount *m,
                     const struct mount_entry *top) {
    char source[PATH_MAX], name[4096], point[4096];
    if (!m->recursive || realpath(m->source, source) == NULL) {
        return 0; /* a source that is gone has nothing below */
    }
    for (size_t i = 0; i < n->host.count; i++) {
        const struct mount_entry *h = &n->host.items[i];
        const char *below = path_below(source, h->point);
        if (below == NULL || below[0] == '\0') {
            continue;
        }
        int e = join(m->target, below, name);
        e = e != 0 ? e : join(top->point, below, point);
        if (e != 0) {
            return e;
        }
        for (size_t j = 0; j < n->inside.count; j++) {
            struct mount_entry *in = &n->inside.items[j];
            if (!in->named && in->major == h->major && in->minor == h->minor &&
                strcmp(in->point, point) == 0) {
                give_name(n, in, name);
            }
        }
    }
    return 0;
}

static int name_volumes(struct naming *n) {
    int e = 0;
    struct stat st;
    for (size_t i = 0; i < n->c->mount_count && e == 0; i++) {
        const struct container_mount *m = &n->c->mounts[i];
        struct mount_entry *top = m->kind == MOUNT_BIND ? mount_at(n, m->target, &st) : NULL;
        if (top != NULL && !top->named && strcmp(top->point, "/") != 0) {
            give_name(n, top, m->target);
            e = name_tree(n, m, top);
        }
    }
    return e;
}

/* Masks, and in a user namespace devices: nodes of the host, bound one by one.  A terminal on
 * /dev/console is the container's own. */
static void name_devices(struct naming *n) {
    for (size_t i = 0; i < n->inside.count; i++) {
        struct mount_entry *m = &n->inside.items[i];
        struct stat st;
        if (m->named || strcmp(m->type, "devpts") == 0 || mount_at(n, m->point, &st) != m ||
            (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))) {
            continue;
        }
        bool mask = S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
        give_name(n, m, mask ? MASK : m->point);
    }
}

int snapshot_add_mounts(const struct container *c, pid_t pid, struct protobuf_out *options,
                        struct err *err) {
    struct naming n = {.c = c, .options = options};
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid); /* fits, as the next */
    cleanup_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return err_sys(err, -errno, "cannot open the container's root");
    }
    n.root = root;
    (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
    int e = list_read(path, &n.inside, err);
    e = e != 0 ? e : list_read("/proc/self/mountinfo", &n.host, err);
    if (e == 0 && (e = name_volumes(&n)) != 0) {
        e = err_sys(err, e, "cannot name the container's volumes");
    }
    if (e == 0) {
        name_devices(&n);
    }
    list_free(&n.inside);
    list_free(&n.host);
    return e;
}

/* ---- restore ---- */

static int find_tree(const struct container_mount *m, const struct mount_list *host,
                     struct protobuf_out *options) {
    char source[PATH_MAX], name[4096];
    if (!m->recursive || realpath(m->source, source) == NULL) {
        return 0; /* CRIU tells what it misses */
    }
    for (size_t i = 0; i < host->count; i++) {
        const char *below = path_below(source, host->items[i].point);
        int e = below == NULL || below[0] == '\0' ? 0 : join(m->target, below, name);
        if (e != 0) {
            return e;
        }
        if (below != NULL && below[0] != '\0') {
            snapshot_add_pair(options, CRIU_EXTERNAL_MOUNT, name, host->items[i].point);
        }
    }
    return 0;
}

/* Names that the image lacks do no harm. */
int snapshot_find_mounts(const struct container *c, struct protobuf_out *options, struct err *err) {
    static const char *const devices[] = {"/dev/zero",    "/dev/full", "/dev/random",
                                          "/dev/urandom", "/dev/tty",  MASK};
    const struct oci_linux *l = &c->linux_;
    struct mount_list host = {0};
    int e = list_read("/proc/self/mountinfo", &host, err);
    for (size_t i = 0; i < c->mount_count && e == 0; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->kind == MOUNT_BIND) {
            snapshot_add_pair(options, CRIU_EXTERNAL_MOUNT, m->target, m->source);
            e = find_tree(m, &host, options);
            e = e == 0 ? 0 : err_sys(err, e, "cannot name the container's volumes");
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(devices) && e == 0; i++) {
        snapshot_add_pair(options, CRIU_EXTERNAL_MOUNT, devices[i], devices[i]);
    }
    for (size_t i = 0; i < l->device_count && e == 0; i++) {
        snapshot_add_pair(options, CRIU_EXTERNAL_MOUNT, l->devices[i].path, l->devices[i].path);
    }
    for (size_t i = 0; i < l->masked_paths.count && e == 0; i++) { /* runc's names for them */
        snapshot_add_pair(options, CRIU_EXTERNAL_MOUNT, l->masked_paths.items[i], MASK);
    }
    list_free(&host);
    return e;
}
