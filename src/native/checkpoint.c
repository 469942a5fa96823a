/* SPDX-License-Identifier: Apache-2.0 */
/* A native container's state to a folder, by CRIU: see snapshot.h. */
#include "host/cleanup.h"
#include "native/snapshot.h"
#include "native/life.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_NAME "dump.log"

/* Processes of a group that is not the container's alone must not be stopped with it. */
static const char *freezer_of(const struct cgroup *cg) {
    for (size_t i = 0; cg != NULL && i < cg->count; i++) {
        bool unified = cg->mode == CGROUP_V2 && cg->at[i].name[0] == '\0';
        if ((unified || strcmp(cg->at[i].name, "freezer") == 0) && cg->at[i].created) {
            return cg->at[i].dir;
        }
    }
    return NULL;
}

/* A network or pid namespace with a path stays the outside's; the names are runc's. */
static void add_namespaces(const struct isolation_target *target, struct protobuf_out *options) {
    static const struct {
        enum oci_namespace kind;
        const char *file, *name;
    } rows[] = {{NS_NETWORK, "net", "extRootNetNS"}, {NS_PID, "pid", "extRootPidNS"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct oci_namespace_entry *ns = &target->c->linux_.namespaces[rows[i].kind];
        char path[64], external[64];
        struct stat st;
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)target->pid, rows[i].file);
        if (ns->set && ns->path != NULL && stat(path, &st) == 0) {
            (void)snprintf(external, sizeof(external), "%s[%llu]:%s", rows[i].file,
                           (unsigned long long)st.st_ino, rows[i].name); /* both fit */
            protobuf_add_text(options, CRIU_EXTERNAL, external);
        }
    }
}

static int list_options(const struct isolation_target *target, const struct snapshot *image,
                        struct protobuf_out *options, struct err *err) {
    const struct isolation_image *how = image->how;
    const char *freezer = freezer_of(target->cgroup);
    snapshot_add_options(image, target->c, LOG_NAME, options);
    protobuf_add_number(options, CRIU_PID, target->pid);
    if (how->leave_running) {
        protobuf_add_number(options, CRIU_LEAVE_RUNNING, 1);
    }
    if (freezer != NULL) {
        protobuf_add_text(options, CRIU_FREEZE_CGROUP, freezer);
    }
    if (how->parent != NULL) {
        protobuf_add_text(options, CRIU_PARENT_IMAGE, how->parent);
    }
    if (how->parent != NULL || how->pre_dump) {
        protobuf_add_number(options, CRIU_TRACK_MEMORY, 1);
    }
    if (how->page_server != NULL) {
        struct protobuf_out server = {0};
        protobuf_add_text(&server, 1, how->page_server);
        protobuf_add_number(&server, 2, how->page_server_port);
        protobuf_add_message(options, CRIU_PAGE_SERVER, &server);
        protobuf_free(&server);
    }
    if (how->status_fd >= 0) {
        protobuf_add_number(options, CRIU_STATUS_FD, CRIU_STATUS);
    }
    add_namespaces(target, options);
    if (how->pre_dump) {
        return 0; /* memory alone */
    }
    int e = snapshot_add_mounts(target->c, target->pid, options, err);
    return e != 0 ? e : snapshot_add_streams(image, target->pid, options, err);
}

/* Nothing is left to do at the stages of a dump. */
static int on_notify(void *arg, const char *event, pid_t pid, int fd, struct err *err) {
    return 0;
}

static int dump(const struct isolation_target *target, const struct snapshot *image,
                struct err *err) {
    const struct criu_start start = {.program = image->how->criu,
                                     .images = image->how->path,
                                     .work = image->how->work,
                                     .status = image->how->status_fd,
                                     .pass = {-1, -1}};
    struct protobuf_out options = {0};
    struct criu criu;
    pid_t ignored;
    int e = criu_begin(&criu, &start, err);
    e = e != 0 ? e : list_options(target, image, &options, err);
    e = e != 0 ? e
               : criu_request(&criu, image->how->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP, &options,
                              on_notify, NULL, image->log, &ignored, err);
    criu_end(&criu);
    protobuf_free(&options);
    return e;
}

/* A restore has the folder alone; how the container was made to see it is not in its config. */
static int check_root(const struct isolation_target *target, struct err *err) {
    char path[64];
    struct stat inside, outside;
    (void)snprintf(path, sizeof(path), "/proc/%d/root/.", (int)target->pid); /* fits */
    if (stat(path, &inside) != 0 || stat(target->c->rootfs, &outside) != 0) {
        return err_sys(err, -errno, "cannot compare the root of container %s with %s",
                       target->c->id, target->c->rootfs);
    }
    return inside.st_dev == outside.st_dev && inside.st_ino == outside.st_ino
               ? 0
               : err_set(err, -EOPNOTSUPP,
                         "cannot checkpoint container %s: its root is not %s itself but an overlay "
                         "in memory (overlay=memory), and what it wrote there would be lost",
                         target->c->id, target->c->rootfs);
}

int native_checkpoint(const struct isolation_target *target, const struct isolation_image *how,
                      struct err *err) {
    struct snapshot image;
    if (geteuid() != 0) {
        return err_set(err, -EPERM, "cannot checkpoint container %s: CRIU needs root",
                       target->c->id);
    }
    cleanup_fd int pidfd = native_pidfd(target, err); /* its pid stays its own */
    if (pidfd < 0) {
        return pidfd;
    }
    struct err why = {0};
    int e = check_root(target, err);
    if (e != 0) {
        return e;
    }
    e = snapshot_open(how, LOG_NAME, &image, &why);
    e = e != 0 ? e : dump(target, &image, &why);
    snapshot_close(&image);
    return e == 0 ? 0
                  : err_set(err, e, "cannot checkpoint container %s: %s", target->c->id, why.msg);
}
