/* SPDX-License-Identifier: Apache-2.0 */
/* Containers in the machine: see box.h.  Nothing here looks at a file of a container's. */
#include "agent/box.h"

#include "agent/inside.h"
#include "host/cleanup.h"
#include "moat/control.h"
#include "native/life.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOXES "/run/moat"

static bool name_ok(const char *id) {
    return id[0] != '\0' && id[0] != '.' && strchr(id, '/') == NULL;
}

static int make_folder(struct box *b, const char *id, struct err *err) {
    (void)mkdir(BOXES, 0700);                                      /* the first container's work */
    (void)snprintf(b->path, sizeof(b->path), BOXES "/%.128s", id); /* fits */
    if (mkdir(b->path, 0700) != 0) {
        b->path[0] = '\0';
        return err_sys(err, -errno, "cannot make the container's folder in the guest");
    }
    b->dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return b->dir >= 0 ? 0 : err_sys(err, -errno, "cannot open the container's folder");
}

/* A guest's kernel may have AppArmor and none of the host's profiles. */
static bool has_profile(const char *name) {
    char line[512];
    bool found = false;
    (void)mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL); /* once */
    FILE *f = fopen("/sys/kernel/security/apparmor/profiles", "re");
    size_t len = strlen(name);
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        found = strncmp(line, name, len) == 0 && line[len] == ' '; /* "name (mode)" */
    }
    if (f != NULL) {
        (void)fclose(f); /* only read */
    }
    return found;
}

void box_drop_labels(struct container_process *p) {
    if (p->apparmor_profile != NULL && !has_profile(p->apparmor_profile)) {
        free(p->apparmor_profile);
        p->apparmor_profile = NULL;
    }
}

/* One machine, one pod: the first container's application kernel takes the others in (the
 * annotations of containerd's CRI plug-in, which sandbox/pod.h reads). */
static int annotate(struct box *b, const char *type, const char *sandbox, struct err *err) {
    struct oci_key_values *all = &b->carried.c.annotations;
    oci_key_values_free(all);
    all->items = calloc(2, sizeof(*all->items));
    if (all->items != NULL) {
        all->count = 2;
        all->items[0].key = strdup("io.kubernetes.cri.container-type");
        all->items[0].value = strdup(type);
        all->items[1].key = strdup("io.kubernetes.cri.sandbox-id");
        all->items[1].value = strdup(sandbox);
    }
    for (size_t i = 0; i < all->count; i++) {
        if (all->items[i].key == NULL || all->items[i].value == NULL) {
            return err_sys(err, -ENOMEM, "cannot take the container");
        }
    }
    return all->items != NULL ? 0 : err_sys(err, -ENOMEM, "cannot take the container");
}

static int fill(struct box *b, const char *id, const void *bytes, size_t size, struct err *err) {
    int e = name_ok(id) ? carry_container_read(bytes, size, &b->carried) : -EINVAL;
    if (e != 0 || strcmp(b->carried.c.id, id) != 0) {
        return err_set(err, -EINVAL, "a request that makes no sense");
    }
    box_drop_labels(&b->carried.c.process);
    e = g_inside.own_kernel ? annotate(b, "sandbox", id, err) : 0;
    e = e != 0 ? e : make_folder(b, id, err);
    if (e != 0) {
        return e;
    }
    const struct cgroup_options options = {.path = id, .id = id};
    struct cgroup_resources limits = b->carried.c.linux_.resources; /* its parts stay there */
    if (g_inside.limits != NULL) {
        g_inside.limits(&limits);
    }
    e = cgroup_create(&options, &limits, 0, &b->cgroup, err);
    if (e == 0) {
        struct err blind = {0};
        b->oom = cgroup_oom_watch(&b->cgroup, &blind); /* else nobody is told */
    }
    return e;
}

uint32_t box_new_kills(struct box *b) {
    uint64_t kills = b->oom_kills, before = b->oom_kills;
    bool gone = false;
    struct err ignored = {0};
    if (b->oom < 0) {
        return 0;
    }
    if (cgroup_oom_take(&b->cgroup, b->oom, &kills, &gone, &ignored) != 0) {
        cleanup_fd_fn(&b->oom);
        b->oom = -1;
    }
    b->oom_kills = MAX(kills, before);
    return (uint32_t)(b->oom_kills - before);
}

struct box *box_make(const char *id, const void *bytes, size_t size, struct err *err) {
    struct box *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        (void)err_sys(err, -ENOMEM, "cannot take the container"); /* NULL is returned */
        return NULL;
    }
    b->dir = b->oom = -1;
    for (int kind = 0; kind < NS_KINDS; kind++) {
        b->joined[kind] = -1;
    }
    if (fill(b, id, bytes, size, err) != 0) {
        box_free(b);
        return NULL;
    }
    return b;
}

/* Held by a descriptor, so that it is the other's whatever ends meanwhile. */
static int join_one(struct box *b, const struct box *other, enum oci_namespace kind,
                    const char *file, struct err *err) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)other->pid, file); /* fits */
    b->joined[kind] = open(path, O_RDONLY | O_CLOEXEC);
    return b->joined[kind] >= 0
               ? 0
               : err_sys(err, -errno, "cannot share the %s namespace of container %s", file,
                         other->carried.c.id);
}

int box_join(struct box *b, const struct box *other, uint32_t share_flags, struct err *err) {
    static const struct {
        uint32_t flag;
        enum oci_namespace kind;
        const char *file;
    } all[] = {{MOAT_SHARE_PID, NS_PID, "pid"},
               {MOAT_SHARE_IPC, NS_IPC, "ipc"},
               {MOAT_SHARE_UTS, NS_UTS, "uts"}};
    int e = other->pid > 0 ? 0 : err_set(err, -ESRCH, "the container to share with has ended");
    if (e == 0 && g_inside.own_kernel) {
        e = annotate(b, "container", other->carried.c.id, err);
    }
    for (size_t i = 0; i < ARRAY_COUNT(all) && e == 0; i++) {
        if ((share_flags & all[i].flag) != 0) {
            e = join_one(b, other, all[i].kind, all[i].file, err);
        }
    }
    return e;
}

struct isolation_target box_target(const struct box *b) {
    return (struct isolation_target){.c = &b->carried.c,
                                     .state_dir = b->dir,
                                     .state_path = b->path,
                                     .pid = b->pid,
                                     .pid_start = b->pid_start,
                                     .cgroup = &b->cgroup};
}

void box_note_process(struct box *b, pid_t pid) {
    struct procfs proc;
    struct err ignored = {0};
    b->pid = pid;
    if (procfs_open(&proc, &ignored) == 0) {
        if (native_start_time(&proc, pid, &b->pid_start) != 0) {
            b->pid_start = 0; /* it is not looked at then */
        }
        procfs_close(&proc);
    }
}

/* Files that the isolation keeps there: control sockets, notes. */
static void empty_folder(int dir) {
    int copy = dir >= 0 ? fcntl(dir, F_DUPFD_CLOEXEC, 0) : -1;
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    for (struct dirent *d; list != NULL && (d = readdir(list)) != NULL;) {
        (void)unlinkat(dir, d->d_name, 0); /* "." and "..": refused */
    }
    if (list != NULL) {
        (void)closedir(list); /* only read */
    }
}

void box_free(struct box *b) {
    struct err ignored = {0};
    if (b->cgroup.count > 0 && cgroup_destroy(&b->cgroup, &ignored) != 0) {
        /* What a container left in it stays with the machine. */
    }
    for (int kind = 0; kind < NS_KINDS; kind++) {
        cleanup_fd_fn(&b->joined[kind]);
    }
    empty_folder(b->dir);
    cleanup_fd_fn(&b->dir);
    cleanup_fd_fn(&b->oom);
    if (b->path[0] != '\0') {
        (void)rmdir(b->path); /* else it stays with the machine */
    }
    carried_free(&b->carried);
    free(b);
}
