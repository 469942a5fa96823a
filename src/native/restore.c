/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A native container from a checkpoint, by CRIU: see snapshot.h.
 *
 * CRIU makes the container's process as a child of the caller.  It works in a mount namespace of
 * its own, where the root is a mount, and from within the container's control groups, which the
 * processes inherit.
 */
#include "host/cleanup.h"
#include "host/terminal.h"
#include "native/snapshot.h"
#include "native/life.h"
#include "native/namespaces.h"
#include "native/rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LOG_NAME "restore.log"

struct restoring {
    const struct container *c;
    const struct isolation_setup *how;
    bool namespaces_told, mounts_done;
};

static int on_notify(void *arg, const char *event, pid_t pid, int fd, struct err *err) {
    struct restoring *r = arg;
    const struct isolation_setup *how = r->how;
    if (strcmp(event, "setup-namespaces") == 0 && pid > 0 && !r->namespaces_told) {
        r->namespaces_told = true;
        return how->on_namespaces != NULL ? how->on_namespaces(how->arg, pid, err) : 0;
    }
    if (strcmp(event, "post-restore") == 0 && pid > 0) { /* all is there, and nothing runs yet */
        r->mounts_done = true;
        return snapshot_set_attributes(r->c, pid, err);
    }
    if (strcmp(event, "orphan-pts-master") == 0 && fd >= 0) {
        return how->console_socket >= 0
                   ? terminal_send_master(how->console_socket, fd, err)
                   : err_set(err, -EINVAL,
                             "the checkpoint has a terminal, and nobody takes it: give "
                             "--console-socket");
    }
    return 0;
}

/* "5:cpu,cpuacct:/a/b" of proc(5): where CRIU is, its own roots are for the image's groups. */
static int add_group_roots(pid_t criu, struct protobuf_out *options, struct err *err) {
    char path[64], line[4200];
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)criu); /* fits */
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return err_sys(err, -errno, "cannot read %s", path);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        char *rest = line;
        (void)strsep(&rest, ":"); /* a number */
        const char *names = strsep(&rest, ":");
        if (rest == NULL) {
            continue;
        }
        rest[strcspn(rest, "\n")] = '\0';
        struct protobuf_out root = {0};
        if (names[0] != '\0') { /* cgroup v2 has no name: the default for all */
            protobuf_add_text(&root, 1, names);
        }
        protobuf_add_text(&root, 2, rest);
        protobuf_add_message(options, CRIU_CGROUP_ROOT, &root);
        protobuf_free(&root);
    }
    (void)fclose(f); /* only read */
    return 0;
}

static void add_namespaces(const struct container *c, const struct criu_start *start,
                           struct protobuf_out *options) {
    static const char *const names[] = {"extRootNetNS", "extRootPidNS"};
    for (int i = 0; i < CRIU_PASSED_MAX; i++) {
        if (start->pass[i] >= 0) {
            struct protobuf_out inherit = {0};
            protobuf_add_text(&inherit, 1, names[i]);
            protobuf_add_number(&inherit, 2, CRIU_PASSED(i));
            protobuf_add_message(options, CRIU_INHERIT_FD, &inherit);
            protobuf_free(&inherit);
        }
    }
}

static int list_options(const struct isolation_target *target, const struct snapshot *image,
                        const struct criu_start *start, const struct criu *criu,
                        struct protobuf_out *options, struct err *err) {
    const struct isolation_image *how = image->how;
    snapshot_add_options(image, target->c, LOG_NAME, options);
    protobuf_add_number(options, CRIU_RESTORE_SIBLING, 1);
    if (how->lsm_profile != NULL) {
        protobuf_add_text(options, CRIU_LSM_PROFILE, how->lsm_profile);
    }
    if (how->lsm_mount_context != NULL) {
        protobuf_add_text(options, CRIU_LSM_MOUNT_CONTEXT, how->lsm_mount_context);
    }
    add_namespaces(target->c, start, options);
    int e = snapshot_find_mounts(target->c, options, err);
    e = e != 0 ? e : snapshot_inherit_streams(image, options, err);
    if (e == 0 && how->cgroups != IMAGE_CGROUPS_IGNORE) {
        e = add_group_roots(criu->pid, options, err);
    }
    return e;
}

static void end_half_made(pid_t pid) {
    if (pid > 0) { /* a child that nobody waited for: the number is its own */
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

static int run_criu(const struct isolation_target *target, const struct isolation_setup *how,
                    const struct snapshot *image, const struct criu_start *start, pid_t *out_pid,
                    struct err *err) {
    struct restoring restoring = {.c = target->c, .how = how};
    struct protobuf_out options = {0};
    struct criu criu;
    int e = criu_begin(&criu, start, err);
    if (e == 0 && target->cgroup->count > 0) {
        e = cgroup_enter(target->cgroup, criu.pid, err);
    }
    e = e != 0 ? e : rdt_make(target, err);
    e = e != 0 ? e : rdt_enter(target, criu.pid, err);
    e = e != 0 ? e : list_options(target, image, start, &criu, &options, err);
    e = e != 0 ? e
               : criu_request(&criu, CRIU_RESTORE, &options, on_notify, &restoring, image->log,
                              out_pid, err);
    if (e == 0 && (*out_pid <= 0 || !restoring.mounts_done)) {
        e = err_set(err, -EPROTO, "CRIU restored a process and did not say which");
    }
    if (e == 0 && !restoring.namespaces_told && how->on_namespaces != NULL) {
        e = how->on_namespaces(how->arg, *out_pid, err);
    }
    criu_end(&criu);
    protobuf_free(&options);
    if (e != 0) {
        struct err ignored = {0};
        end_half_made(*out_pid);
        (void)!rdt_remove(target, &ignored); /* the first failure is what is told */
        *out_pid = 0;
    }
    return e;
}

static int open_namespaces(const struct container *c, struct criu_start *start, struct err *err) {
    static const enum oci_namespace kinds[CRIU_PASSED_MAX] = {NS_NETWORK, NS_PID};
    for (int i = 0; i < CRIU_PASSED_MAX; i++) {
        const struct oci_namespace_entry *ns = &c->linux_.namespaces[kinds[i]];
        if (ns->set && ns->path != NULL) {
            start->pass[i] = namespace_open(ns->path, kinds[i], err);
            if (start->pass[i] < 0) {
                return start->pass[i];
            }
        }
    }
    return 0;
}

/*
 * In a user namespace the processes read the image as root of it: a folder that is closed to others
 * is opened to its group, which nobody else has.
 */
static int open_to_namespace(const struct container *c, const struct snapshot *image,
                             struct err *err) {
    const struct oci_mapping_list *map = &c->linux_.gid_mappings;
    struct stat st;
    if (!c->linux_.namespaces[NS_USER].set) {
        return 0;
    }
    if (fstat(image->dir, &st) != 0) {
        return err_sys(err, -errno, "--image-path");
    }
    for (size_t i = 0; i < map->count && (st.st_mode & 05) != 05; i++) {
        const struct oci_id_mapping *one = &map->items[i];
        if (one->container_id != 0) {
            continue;
        }
        if (fchown(image->dir, (uid_t)-1, one->host_id) != 0 ||
            fchmod(image->dir, (st.st_mode & 0707) | 050) != 0) {
            return err_sys(err, -errno, "--image-path: cannot open the folder to group %u",
                           one->host_id);
        }
    }
    return 0;
}

/* As create does (setup_stdio), and in a user namespace CRIU could not open them again else. */
static void give_streams(const struct container *c) {
    const struct oci_mapping_list *map = &c->linux_.uid_mappings;
    uid_t owner = c->process.uid;
    struct stat st;
    for (size_t i = 0; c->linux_.namespaces[NS_USER].set && i < map->count; i++) {
        const struct oci_id_mapping *one = &map->items[i];
        if (c->process.uid >= one->container_id && c->process.uid - one->container_id < one->size) {
            owner = one->host_id + (c->process.uid - one->container_id);
        }
    }
    for (int fd = 0; fd < 3; fd++) {
        if (fstat(fd, &st) == 0 && !S_ISCHR(st.st_mode) && st.st_uid != owner) {
            (void)fchown(fd, owner, (gid_t)-1); /* what cannot be given away stays as it is */
        }
    }
}

static int check(const struct container *c, struct err *err) {
    if (geteuid() != 0) {
        return err_set(err, -EPERM, "cannot restore container %s: CRIU needs root", c->id);
    }
    return c->overlay == OVERLAY_NONE
               ? 0
               : err_set(err, -EOPNOTSUPP,
                         "cannot restore container %s over a root in memory (overlay=memory)",
                         c->id);
}

int native_restore(const struct isolation_target *target, const struct isolation_setup *how,
                   const struct isolation_image *from, pid_t *out_pid, struct err *err) {
    struct criu_start start = {.program = from->criu,
                               .root = target->c->rootfs,
                               .images = from->path,
                               .work = from->work,
                               /* CRIU 3.17 does not know of it and would lose it */
                               .no_new_privs = target->c->process.no_new_privs,
                               .status = -1,
                               .pass = {-1, -1}};
    struct snapshot image;
    struct err why = {0};
    *out_pid = 0;
    int e = check(target->c, err);
    if (e != 0) {
        return e;
    }
    e = snapshot_open(from, LOG_NAME, &image, &why);
    e = e != 0 ? e : open_to_namespace(target->c, &image, &why);
    e = e != 0 ? e : open_namespaces(target->c, &start, &why);
    if (e == 0) {
        give_streams(target->c);
    }
    e = e != 0 ? e : run_criu(target, how, &image, &start, out_pid, &why);
    cleanup_fd_fn(&start.pass[0]);
    cleanup_fd_fn(&start.pass[1]);
    snapshot_close(&image);
    return e == 0 ? 0 : err_set(err, e, "cannot restore container %s: %s", target->c->id, why.msg);
}
