/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a pod's sandbox: see pod.h. */
#include "sandbox/pod.h"

#include "host/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ID_SIZE   128
#define NOTE_SIZE 160 /* an isolation and an id */

static const char *first_of(const struct container *c, const char *a, const char *b) {
    const char *value = oci_key_values_get(&c->annotations, a);
    return value != NULL ? value : oci_key_values_get(&c->annotations, b);
}

const char *pod_id(const struct container *c) {
    const char *type =
        first_of(c, "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType");
    const char *id = first_of(c, "io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID");
    if (id != NULL && id[0] != '\0' && strlen(id) < ID_SIZE && strchr(id, '/') == NULL) {
        return id;
    }
    /* A sandbox may leave its own id out, and Podman does not say of a pod's first container that
     * it is one: any container of its may be. */
    const char *manager = oci_key_values_get(&c->annotations, "io.container.manager");
    bool may_be = (type != NULL && strcmp(type, "sandbox") == 0) ||
                  (manager != NULL && strcmp(manager, "libpod") == 0);
    return may_be ? c->id : NULL;
}

/* A short text file; false when it is not there. */
static bool read_note(int dir, const char *name, char *out) {
    cleanup_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, NOTE_SIZE - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

static int write_note(const struct isolation_target *target, const char *name, const char *text,
                      struct err *err) {
    cleanup_fd int fd = openat(target->state_dir, name,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && dprintf(fd, "%s", text) > 0
               ? 0
               : err_sys(err, -errno, "cannot write %s/%s", target->state_path, name);
}

/* Is it the sandbox that annotations say, not just the first container of a pod? */
static bool is_declared(const struct container *c) {
    const char *type =
        first_of(c, "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType");
    return type != NULL && strcmp(type, "sandbox") == 0;
}

static bool shares_by_path(const struct container *c) {
    const struct oci_namespace_entry *n = c->linux_.namespaces;
    return n[NS_NETWORK].path != NULL || n[NS_IPC].path != NULL || n[NS_UTS].path != NULL ||
           n[NS_PID].path != NULL;
}

/* A declared sandbox is joined by all of its pod.  The first container of a pod that has none is,
 * by those alone that share name spaces with it: in a pod of independent containers, as Podman
 * makes them with --infra=false, the end of one must not be the end of others. */
static bool is_sandbox_of(int dir, const char *note, const struct container *joining) {
    char text[NOTE_SIZE];
    struct stat st;
    bool declared = read_note(dir, "pod", text);
    return (declared || (shares_by_path(joining) && read_note(dir, "pod-first", text))) &&
           strcmp(text, note) == 0 && fstatat(dir, "control.sock", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_state(int root, const char *id) {
    return openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* CRI names the sandbox by its container's id; Podman by the pod's, which is no container's. */
static int search(int root, const struct container *c, const char *pod, const char *note,
                  char *host_id) {
    const char *self = c->id;
    int dir = open_state(root, pod);
    if (dir >= 0 && strcmp(pod, self) != 0 && is_sandbox_of(dir, note, c)) {
        (void)snprintf(host_id, ID_SIZE, "%s", pod); /* fits: pod_id */
        return dir;
    }
    cleanup_fd_fn(&dir);
    int copy = fcntl(root, F_DUPFD_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    int found = -1;
    if (list == NULL) {
        cleanup_fd_fn(&copy);
        return -1;
    }
    for (struct dirent *d; found < 0 && (d = readdir(list)) != NULL;) {
        if (d->d_name[0] == '.' || strcmp(d->d_name, self) == 0 || strlen(d->d_name) >= ID_SIZE) {
            continue;
        }
        int one = open_state(root, d->d_name);
        if (one >= 0 && is_sandbox_of(one, note, c)) {
            (void)snprintf(host_id, ID_SIZE, "%.127s", d->d_name); /* fits */
            found = one;
        } else {
            cleanup_fd_fn(&one);
        }
    }
    (void)closedir(list);
    return found;
}

static void note_text(const struct sandbox_kind *kind, const char *pod, char out[NOTE_SIZE]) {
    (void)snprintf(out, NOTE_SIZE, "%s %s", kind->isolation, pod); /* fits: pod_id */
}

int pod_find(const struct isolation_target *target, const struct sandbox_kind *kind, int *out_dir,
             char *host_id, struct err *err) {
    char note[NOTE_SIZE];
    const char *pod = pod_id(target->c);
    if (pod == NULL) {
        return 0;
    }
    cleanup_fd int root = openat(target->state_dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return err_sys(err, -errno, "cannot open the folder above %s", target->state_path);
    }
    note_text(kind, pod, note);
    *out_dir = search(root, target->c, pod, note, host_id);
    return *out_dir >= 0;
}

int pod_note_sandbox(const struct isolation_target *target, const struct sandbox_kind *kind,
                     struct err *err) {
    char note[NOTE_SIZE];
    note_text(kind, pod_id(target->c), note);
    return write_note(target, is_declared(target->c) ? "pod" : "pod-first", note, err);
}

int pod_note_joined(const struct isolation_target *target, int host_dir, const char *host_id,
                    struct err *err) {
    int e = write_note(target, "joined", host_id, err);
    if (e == 0 && linkat(host_dir, "control.sock", target->state_dir, "control.sock", 0) != 0) {
        e = err_sys(err, -errno, "cannot link the control socket of %s into %s", host_id,
                    target->state_path);
    }
    return e;
}
