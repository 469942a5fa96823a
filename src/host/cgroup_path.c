/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container's groups lie: see cgroup_internal.h.  linux.cgroupsPath is hostile. */
#include "host/cgroup_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* One part of a path, not NUL-terminated. */
static int part_check(const char *part, size_t len, const char *path, struct err *err) {
    if (len == 2 && part[0] == '.' && part[1] == '.') {
        return err_set(err, -EINVAL, "linux.cgroupsPath '%s' contains '..'", path);
    }
    if (len > NAME_MAX) {
        return err_set(err, -ENAMETOOLONG,
                       "linux.cgroupsPath '%.100s...' has a part of more than %d bytes", path,
                       NAME_MAX);
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)part[i] < ' ') {
            return err_set(err, -EINVAL, "linux.cgroupsPath contains a control character (%d)",
                           part[i]);
        }
    }
    return 0;
}

int cg_path_clean(const char *path, char *out, size_t size, struct err *err) {
    size_t used = 0;
    const char *p = path;
    bool absolute = *p == '/', empty = true;
    while (*p != '\0') {
        p += strspn(p, "/");
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && *p == '.')) {
            p += len;
            continue;
        }
        int e = part_check(p, len, path, err);
        if (e != 0) {
            return e;
        }
        if (used + len + 2 > size) {
            return err_set(err, -ENAMETOOLONG, "linux.cgroupsPath '%.100s...' is too long", path);
        }
        if (absolute || !empty) {
            out[used++] = '/';
        }
        memcpy(out + used, p, len);
        used += len;
        p += len;
        empty = false;
    }
    if (empty) {
        return err_set(err, -EINVAL,
                       "linux.cgroupsPath '%s' is the root of the hierarchy, which is no "
                       "container's: name a group below it",
                       path);
    }
    out[used] = '\0';
    return 0;
}

int cg_path_below(const struct cg_hierarchy *h, const char *clean, char *out, size_t size,
                  struct err *err) {
    char base[sizeof(h->self)];
    memcpy(base, h->self, sizeof(base));
    if (h->v2) {
        *strrchr(base, '/') = '\0'; /* begins with one */
    }
    if (clean[0] == '/' || strcmp(base, "/") == 0) {
        base[0] = '\0';
    }
    int n = snprintf(out, size, "%s%s%s", base, clean[0] == '/' ? "" : "/", clean);
    if (n >= (int)size || n + strlen(h->mount) >= PATH_MAX) {
        return err_set(err, -ENAMETOOLONG, "the container's group '%.100s...' is too long a path",
                       clean);
    }
    return 0;
}

int cg_slice_expand(const char *slice, char *out, size_t size, struct err *err) {
    size_t len = strlen(slice), used = 0;
    bool good = len > 6 && len < 250 && strcmp(slice + len - 6, ".slice") == 0 &&
                strchr(slice, '/') == NULL;
    len -= good ? 6 : 0;
    if (good && len == 1 && slice[0] == '-') {
        out[0] = '\0';
        return 0;
    }
    good = good && slice[0] != '-' && slice[len - 1] != '-';
    out[0] = '\0';
    for (size_t i = 1; good && i <= len; i++) {
        if (i < len && slice[i] != '-') {
            good = (unsigned char)slice[i] > ' ';
            continue;
        }
        good = slice[i - 1] != '-';
        int n = snprintf(out + used, size - used, "/%.*s.slice", (int)i, slice);
        good = good && n < (int)(size - used);
        used += good ? (size_t)n : 0;
    }
    return good ? 0
                : err_set(err, -EINVAL, "'%.200s' is not the name of a systemd slice (a-b.slice)",
                          slice);
}
