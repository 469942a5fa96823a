/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a machine's file server: see files.h. */
#include "vm/files.h"

#include "host/cleanup.h"
#include "host/memfd.h"
#include "host/userns.h"
#include "moat/gofer.h"
#include "sandbox/sandbox.h"
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VIRTIOFSD "/usr/lib/qemu/virtiofsd"

int files_open(const struct container *c, struct files *out, struct err *err) {
    *out = (struct files){.kind = c->vm_files, .program = -1, .socket = -1};
    if (!userns_is_first()) { /* virtiofsd gives up groups, which an ordinary user cannot */
        out->kind = VM_FILES_GOFER;
    }
    if (out->kind == VM_FILES_VIRTIOFSD) {
        return 0;
    }
    out->program = sandbox_open_program("moat-gofer", err);
    return out->program < 0 ? out->program : 0;
}

/* virtiofsd accepts one connection: a listening socket without a name in any file system, and a
 * connection to it. */
static int make_listener(int *out_listener, int *out_connected, struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(addr.sun_family); /* unix(7): the kernel chooses an abstract name */
    *out_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *out_connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*out_listener < 0 || *out_connected < 0 ||
        bind(*out_listener, (struct sockaddr *)&addr, len) != 0 || listen(*out_listener, 1) != 0) {
        return err_sys(err, -errno, "cannot make the file server's socket");
    }
    len = sizeof(addr);
    if (getsockname(*out_listener, (struct sockaddr *)&addr, &len) != 0 ||
        connect(*out_connected, (struct sockaddr *)&addr, len) != 0) {
        return err_sys(err, -errno, "cannot connect to the file server's socket");
    }
    return 0;
}

int files_prepare(struct files *f, struct share *s, int *out_front, struct err *err) {
    if (f->kind == VM_FILES_VIRTIOFSD) {
        int e = share_attach(s, FILES_PLACE, err);
        return e != 0 ? e : make_listener(&f->socket, out_front, err);
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return err_sys(err, -errno, "cannot make the file server's socket");
    }
    f->socket = pair[0];
    *out_front = pair[1];
    return 0;
}

static void exec_virtiofsd(const struct files *f, struct err *err) {
    char fd_text[24];
    (void)snprintf(fd_text, sizeof(fd_text), "--fd=%d", f->socket); /* fits */
    const char *const args[] = {VIRTIOFSD,
                                fd_text,
                                "-o",
                                "source=" FILES_PLACE,
                                "-o",
                                "sandbox=namespace",
                                "-o",
                                "announce_submounts",
                                "-o",
                                "xattr",
                                "-o",
                                "modcaps=-mknod",
                                "-o",
                                "cache=auto",
                                "--thread-pool-size=0",
                                NULL};
    jail_keep_only(&f->socket, 1);
    (void)execv(VIRTIOFSD, (char *const *)(uintptr_t)args);
    (void)err_sys(err, -errno, "cannot run " VIRTIOFSD " (Debian's package qemu-system-common)");
}

/* The exports' mounts are its own: it need not see where they are. */
static void exec_gofer(const struct files *f, const struct share *s, int admin, struct err *err) {
    int keep[MOAT_AGENT_EXPORTS + 3];
    char fd_text[16];
    struct moat_gofer_config config = {.magic = MOAT_GOFER_MAGIC,
                                       .version = MOAT_GOFER_VERSION,
                                       .size = sizeof(config),
                                       .client = MOAT_GOFER_VHOST,
                                       .socket_fd = f->socket,
                                       .shm_fd = -1,
                                       .admin_fd = admin,
                                       .export_count = s->count};
    _Static_assert(MOAT_AGENT_EXPORTS <= MOAT_GOFER_EXPORTS_MAX, "all can be told");
    for (uint32_t i = 0; i < s->count; i++) {
        config.exports[i] = (struct moat_gofer_export){
            .dir_fd = s->trees[i],
            .flags = MOAT_GOFER_EXPORT_OWN | (s->read_only[i] ? MOAT_GOFER_EXPORT_RO : 0) |
                     (i == 0 ? MOAT_GOFER_EXPORT_ONE_FS : 0)};
        keep[i] = s->trees[i];
    }
    cleanup_fd int config_fd = memfd_make("moat-gofer-config", &config, sizeof(config));
    if (config_fd < 0) {
        (void)err_sys(err, config_fd, "cannot write the file server's configuration");
        return;
    }
    keep[s->count] = f->socket;
    keep[s->count + 1] = config_fd;
    keep[s->count + 2] = admin;
    jail_keep_only(keep, s->count + 3);
    (void)snprintf(fd_text, sizeof(fd_text), "%d", config_fd); /* fits */
    char name[] = "moat-gofer";
    char *const args[] = {name, fd_text, NULL}, *const environment[] = {NULL};
    (void)execveat(f->program, "", args, environment, AT_EMPTY_PATH);
    (void)err_sys(err, -errno, "cannot run moat-gofer");
}

bool files_need_keeper(const struct files *f, bool pod) {
    return pod && f->kind == VM_FILES_VIRTIOFSD;
}

void files_exec(const struct files *f, const struct share *s, int admin, struct err *err) {
    if (f->kind == VM_FILES_VIRTIOFSD) {
        exec_virtiofsd(f, err);
    } else {
        exec_gofer(f, s, admin, err);
    }
}
