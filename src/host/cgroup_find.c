/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the host's hierarchies: /proc/self/cgroup names those of v1 and the caller's group in
 * each, /proc/self/mountinfo where they are mounted (proc(5), cgroups(7)).
 *
 * Both files may come from a container's kernel or a fixture: lines, counts and lengths are
 * bounded.
 */
#include "host/cgroup_internal.h"

#include "host/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100000u

/* One line of mountinfo that is a cgroup's, cut in place. */
struct mount_line {
    char *root, *point, *type, *super;
};

/* "\040" and its kind, as mountinfo writes them, back to bytes. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD ...] - TYPE SOURCE SUPER */
static bool mount_line_parse(char *line, struct mount_line *out) {
    char *rest = line, *field = NULL;
    char *tail = strstr(line, " - ");
    if (tail == NULL) {
        return false;
    }
    *tail = '\0';
    tail += 3;
    for (int i = 0; i < 5; i++) {
        field = strsep(&rest, " ");
        if (field == NULL) {
            return false;
        }
        out->root = i == 3 ? field : i < 3 ? NULL : out->root;
    }
    out->point = field;
    out->type = strsep(&tail, " ");
    (void)strsep(&tail, " "); /* the source says nothing */
    out->super = tail;
    if (out->super == NULL || strncmp(out->type, "cgroup", 6) != 0) {
        return false;
    }
    out->super[strcspn(out->super, "\n")] = '\0';
    unescape(out->root);
    unescape(out->point);
    return out->root[0] == '/' && out->point[0] == '/';
}

/* Whether `word` is one of the comma-separated words of list. */
static bool list_has(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *p = list; p != NULL; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, word, len) == 0 && (p[len] == '\0' || p[len] == ',')) {
            return true;
        }
    }
    return false;
}

static int copy(char *to, size_t size, const char *from, struct err *err) {
    if (snprintf(to, size, "%s", from) >= (int)size) {
        return err_set(err, -ENAMETOOLONG, "a path of the control groups is too long: %.200s...",
                       from);
    }
    return 0;
}

/* ID:CONTROLLERS:PATH; controllers are empty for v2. */
static int self_line(char *line, struct cg_host *out, struct err *err) {
    char *rest = line;
    line[strcspn(line, "\n")] = '\0';
    const char *id = strsep(&rest, ":");
    char *names = rest == NULL ? NULL : strsep(&rest, ":");
    if (names == NULL || rest == NULL || rest[0] != '/' || id[0] == '\0') {
        return 0; /* not a line that we know */
    }
    if (out->count == ARRAY_COUNT(out->items)) {
        return err_set(err, -E2BIG, "this host has more than %zu cgroup hierarchies",
                       ARRAY_COUNT(out->items));
    }
    struct cg_hierarchy *h = &out->items[out->count++];
    *h = (struct cg_hierarchy){.v2 = names[0] == '\0'};
    char *name;
    while (!h->v2 && (name = strsep(&names, ",")) != NULL && h->name_count < CG_NAMES_MAX) {
        if (strlen(name) < sizeof(h->names[0]) && strchr(name, '/') == NULL) {
            strcpy(h->names[h->name_count++], name);
        }
    }
    return copy(h->self, sizeof(h->self), rest, err);
}

/* What of the caller's group lies below the mount, whose root may be a group itself. */
static void self_below_root(struct cg_hierarchy *h, const char *root) {
    size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(h->self, root, len) == 0 && (h->self[len] == '/' || h->self[len] == '\0')) {
        memmove(h->self, h->self + len, strlen(h->self + len) + 1);
    } else {
        h->self[0] = '\0';
    }
    if (h->self[0] == '\0' || strstr(h->self, "/..") != NULL) {
        strcpy(h->self, "/"); /* outside of what is mounted */
    }
}

static int mount_take(const struct mount_line *m, struct cg_host *out, struct err *err) {
    bool v2 = strcmp(m->type, "cgroup2") == 0;
    for (size_t i = 0; i < out->count; i++) {
        struct cg_hierarchy *h = &out->items[i];
        if (h->v2 != v2 || h->mount[0] != '\0' ||
            (!v2 && (h->name_count == 0 || !list_has(m->super, h->names[0])))) {
            continue;
        }
        int e = copy(h->mount, sizeof(h->mount), m->point, err);
        if (e == 0) {
            self_below_root(h, m->root);
        }
        return e;
    }
    return 0; /* a second mount of a hierarchy, or one that the caller is not in */
}

static int each_line(const char *path, struct cg_host *out,
                     int (*take)(char *line, struct cg_host *out, struct err *err),
                     struct err *err) {
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return err_sys(err, -errno, "cannot read %s, which names the control groups", path);
    }
    char *line = NULL;
    size_t size = 0;
    int e = 0;
    for (unsigned n = 0; e == 0 && n < LINES_MAX && getline(&line, &size, f) > 0; n++) {
        e = take(line, out, err);
    }
    free(line);
    (void)fclose(f); /* only read */
    return e;
}

static int mountinfo_line(char *line, struct cg_host *out, struct err *err) {
    struct mount_line m = {0};
    return strstr(line, " - cgroup") != NULL && mount_line_parse(line, &m)
               ? mount_take(&m, out, err)
               : 0;
}

int cg_host_read(const char *mountinfo, const char *self, struct cg_host *out, struct err *err) {
    bool v1 = false, v2 = false;
    *out = (struct cg_host){0};
    int e = each_line(self, out, self_line, err);
    e = e != 0 ? e : each_line(mountinfo, out, mountinfo_line, err);
    size_t kept = 0;
    for (size_t i = 0; e == 0 && i < out->count; i++) {
        if (out->items[i].mount[0] == '\0') {
            continue; /* not mounted here: out of reach */
        }
        v2 = v2 || out->items[i].v2;
        v1 = v1 || !out->items[i].v2;
        if (kept != i) {
            out->items[kept] = out->items[i];
        }
        kept++;
    }
    out->count = kept;
    out->mode = v1 && v2 ? CGROUP_HYBRID : v2 ? CGROUP_V2 : v1 ? CGROUP_V1 : CGROUP_NONE;
    return e;
}
