/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the resource control file system: see resctrl.h. */
#include "host/resctrl.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int resctrl_find(const char *mountinfo, char out[4096], struct err *err) {
    cleanup_free char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *f = fopen(mountinfo, "re");
    while (f != NULL && !found && getline(&line, &size, f) > 0) {
        found =
            strstr(line, " - resctrl ") != NULL && sscanf(line, "%*d %*d %*s %*s %4095s", out) == 1;
    }
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return found ? 0
                 : err_set(err, -ENOTSUP,
                           "linux.intelRdt: this host has no resctrl file system: a processor with "
                           "Intel RDT is needed, and 'mount -t resctrl resctrl /sys/fs/resctrl'");
}

/* In one write, as the kernel takes it whole. */
static int write_file(const char *dir, const char *name, const char *text, struct err *err) {
    char path[4200];
    size_t len = strlen(text);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name); /* fits */
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd >= 0 && write(fd, text, len) == (ssize_t)len
               ? 0
               : err_sys(err, -errno,
                         "linux.intelRdt: cannot write '%.200s' to %s (info/last_cmd_status of "
                         "resctrl tells why)",
                         text, path);
}

/* ---- shares ---- */

/* The value of `domain` in the line of schemata that begins with `resource`. */
static bool share_in(const char *text, const char *resource, unsigned long domain, int base,
                     unsigned long *out) {
    size_t len = strlen(resource);
    for (const char *line = text; line != NULL;) {
        const char *at = line + strspn(line, " \t\n");
        line = strchr(at, '\n');
        if (strncmp(at, resource, len) != 0 || at[len] != ':') {
            continue;
        }
        for (at += len + 1; *at != '\0' && *at != '\n'; at += *at == ';') {
            char *end;
            unsigned long id = strtoul(at, &end, 10);
            *out = *end == '=' ? strtoul(end + 1, &end, base) : 0;
            if (id == domain) {
                return true;
            }
            at = end + strcspn(end, ";\n");
        }
    }
    return false;
}

/* Whether every share that `wished` has is the same in `present`. */
static bool shares_equal(const char *wished, const char *present) {
    for (const char *at = wished; at != NULL && *at != '\0';) {
        char resource[16] = "";
        const char *line = at + strspn(at, " \t\n");
        size_t len = strcspn(line, ":\n");
        at = strchr(line, '\n');
        if (line[len] != ':' || len >= sizeof(resource)) {
            if (*line == '\0') {
                break;
            }
            return false;
        }
        memcpy(resource, line, len);
        int base = strncmp(resource, "MB", 2) == 0 ? 10 : 16;
        for (const char *share = line + len + 1; *share != '\0' && *share != '\n';
             share += *share == ';') {
            char *end;
            unsigned long other = 0, domain = strtoul(share, &end, 10);
            unsigned long value = *end == '=' ? strtoul(end + 1, &end, base) : 0;
            if (!share_in(present, resource, domain, base, &other) || other != value) {
                return false;
            }
            share = end + strcspn(end, ";\n");
        }
    }
    return true;
}

static int compare(const struct resctrl_group *group, const char *wished, struct err *err) {
    char path[4200], present[8192] = "";
    (void)snprintf(path, sizeof(path), "%s/schemata", group->path); /* fits */
    cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || read(fd, present, sizeof(present) - 1) < 0) {
        return err_sys(err, -errno, "linux.intelRdt: cannot read %s", path);
    }
    return shares_equal(wished, present)
               ? 0
               : err_set(err, -EEXIST,
                         "linux.intelRdt: the group %s exists with other shares than '%.200s': "
                         "choose another closID, or leave the schemas out",
                         group->path, wished);
}

/* ---- groups ---- */

static int set_shares(const struct resctrl_group *group, const struct resctrl_wish *wish,
                      struct err *err) {
    cleanup_free char *text = NULL;
    const char *l3 = wish->l3 != NULL ? wish->l3 : "",
               *mb = wish->bandwidth != NULL ? wish->bandwidth : "";
    if (l3[0] == '\0' && mb[0] == '\0') {
        return 0;
    }
    if (asprintf(&text, "%s%s%s%s", l3, l3[0] != '\0' ? "\n" : "", mb, mb[0] != '\0' ? "\n" : "") <
        0) {
        return err_sys(err, -ENOMEM, "linux.intelRdt");
    }
    return group->made ? write_file(group->path, "schemata", text, err) : compare(group, text, err);
}

static int make_monitor(struct resctrl_group *group, const char *id, struct err *err) {
    int n = snprintf(group->monitor, sizeof(group->monitor), "%s/mon_groups/%s", group->path, id);
    int e = n < 0 || (size_t)n >= sizeof(group->monitor) ? -ENAMETOOLONG
            : mkdir(group->monitor, 0755) == 0           ? 0
                                                         : -errno;
    if (e != 0) {
        group->monitor[0] = '\0';
        return err_sys(err, e, "linux.intelRdt: cannot make a monitoring group %s in %s", id,
                       group->path);
    }
    return 0;
}

int resctrl_make(const char *root, const struct resctrl_wish *wish, struct resctrl_group *out,
                 struct err *err) {
    const char *name = wish->clos_id != NULL ? wish->clos_id : wish->id;
    bool shares = wish->l3 != NULL || wish->bandwidth != NULL;
    struct err ignored = {0};
    *out = (struct resctrl_group){.made = false};
    if (strcmp(name, "info") == 0 || strcmp(name, "mon_groups") == 0 ||
        strcmp(name, "mon_data") == 0) {
        return err_set(err, -EINVAL, "linux.intelRdt.closID: '%s' is a name of resctrl's own",
                       name);
    }
    int n = snprintf(out->path, sizeof(out->path), "%s/%s", root, name);
    if (n < 0 || (size_t)n >= sizeof(out->path) - 64) {
        out->path[0] = '\0';
        return err_set(err, -ENAMETOOLONG, "linux.intelRdt.closID: the name is too long");
    }
    bool may_make = wish->clos_id == NULL || shares;
    out->made = may_make && mkdir(out->path, 0755) == 0;
    struct stat st;
    int e = may_make && !out->made && errno != EEXIST ? -errno : 0; /* no classes are left, say */
    e = e == 0 && stat(out->path, &st) != 0 ? -errno : e;
    if (e != 0) {
        e = err_sys(err, e,
                    "linux.intelRdt: cannot use the group %s (without schemas it must have been "
                    "made before)",
                    out->path);
        out->path[0] = '\0';
        return e;
    }
    e = set_shares(out, wish, err);
    e = e == 0 && wish->monitor ? make_monitor(out, wish->id, err) : e;
    if (e != 0) {
        (void)!resctrl_remove(out, &ignored); /* the first failure is what is told */
        out->path[0] = '\0';
    }
    return e;
}

int resctrl_enter(const struct resctrl_group *group, pid_t pid, struct err *err) {
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)pid); /* fits */
    int e = group->path[0] != '\0' ? write_file(group->path, "tasks", text, err) : 0;
    return e == 0 && group->monitor[0] != '\0' ? write_file(group->monitor, "tasks", text, err) : e;
}

int resctrl_remove(const struct resctrl_group *group, struct err *err) {
    if (group->monitor[0] != '\0' && rmdir(group->monitor) != 0 && errno != ENOENT) {
        return err_sys(err, -errno, "cannot remove %s", group->monitor);
    }
    return !group->made || rmdir(group->path) == 0 || errno == ENOENT
               ? 0
               : err_sys(err, -errno, "cannot remove %s", group->path);
}
