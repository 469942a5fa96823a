/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a pod's sandbox: see join.h and monitor.h. */
#include "sandbox/join.h"

#include "host/cleanup.h"
#include "host/msg.h"
#include "host/terminal.h"
#include "moat/gofer.h"
#include "oci/ctlmsg.h"
#include "sandbox/client.h"
#include "sandbox/exports.h"
#include "sandbox/follow.h"
#include "sandbox/foreground.h"
#include "sandbox/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

enum { ID_JOIN = 1, ID_EXPORT, ID_CREATE, ID_NEXT };

/* Asks for numbers of exports; the connection owns the container from here on. */
static int ask_to_join(const struct join *j, int sock, uint32_t *out_first, struct err *err) {
    struct moat_ctl_join msg;
    struct moat_ctl_reply reply;
    memset(&msg, 0, sizeof(msg));
    int e = ctlmsg_ref(&msg.ref, MOAT_CTL_JOIN, sizeof(msg), ID_JOIN, j->c->id, NULL);
    if (e != 0) {
        return err_sys(err, e, "container id '%s'", j->c->id);
    }
    msg.export_count = exports_count(j->c);
    e = client_request(sock, &msg, sizeof(msg), NULL, 0, &reply, sizeof(reply), NULL, err);
    if (e == 0 && (reply.pid < 0 || reply.pid >= (int32_t)MOAT_GOFER_EXPORTS_ALL)) {
        return err_set(err, -EPROTO, "the sandbox's monitor sent a wrong number");
    }
    *out_first = e == 0 ? (uint32_t)reply.pid : 0;
    return e;
}

/* A regular file cannot be opened below itself: it goes along opened. */
static int open_file(int fd, uint32_t flags, bool *out_writable) {
    char link[64];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return -1;
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* fits */
    int file = (flags & MOAT_GOFER_EXPORT_RO) == 0 ? open(link, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    *out_writable = file >= 0;
    return file >= 0 ? file : open(link, O_RDONLY | O_NOCTTY | O_CLOEXEC);
}

static int hand_over(int sock, uint32_t index, struct export_source source, struct err *err) {
    struct moat_ctl_reply reply;
    bool writable = false;
    cleanup_fd int fd = exports_open_own(&source, err);
    if (fd < 0) {
        return fd;
    }
    cleanup_fd int file = open_file(fd, source.flags, &writable);
    struct moat_ctl_export msg = {
        .h = {MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_EXPORT, sizeof(msg), ID_EXPORT},
        .index = index,
        .flags = source.flags,
        .file_writable = writable};
    const int fds[2] = {fd, file};
    return client_request(sock, &msg, sizeof(msg), fds, file >= 0 ? 2 : 1, &reply, sizeof(reply),
                          NULL, err);
}

static uint32_t share_flags(const struct container *c) {
    const struct oci_namespace_entry *n = c->linux_.namespaces;
    return (n[NS_PID].path != NULL ? MOAT_SHARE_PID : 0) |
           (n[NS_IPC].path != NULL ? MOAT_SHARE_IPC : 0) |
           (n[NS_UTS].path != NULL ? MOAT_SHARE_UTS : 0);
}

static int create(const struct join *j, int sock, uint32_t first_export,
                  struct moat_ctl_exit *event, struct err *err) {
    static const int fds[MSG_FDS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
    const struct ctlmsg_create in = {.c = j->c,
                                     .p = &j->c->process,
                                     .request_id = ID_CREATE,
                                     .first_export = first_export,
                                     .share = j->host_id,
                                     .share_flags = share_flags(j->c),
                                     .state_json = j->state_json,
                                     .no_new_keyring = j->no_new_keyring};
    uint32_t preserve = MIN(j->preserve_fds, (uint32_t)MSG_FDS_MAX - 3);
    struct moat_ctl_reply reply;
    cleanup_free void *record = NULL;
    size_t len = 0;
    int e = j->kind->record(&in, &record, &len, err);
    return e != 0 ? e
                  : client_request(sock, record, len, fds, 3 + preserve, &reply, sizeof(reply),
                                   event, err);
}

static int begin(const struct join *j, int sock, struct moat_ctl_exit *event, struct err *err) {
    uint32_t first = 0;
    int e = j->on_sandbox(j->arg, err);
    e = e != 0 ? e : ask_to_join(j, sock, &first, err);
    for (uint32_t i = 0; e == 0 && i < exports_count(j->c); i++) {
        struct export_source source = exports_get(j->c, i);
        source.flags |= i == 0 && j->kind->root_alone ? MOAT_GOFER_EXPORT_ONE_FS : 0;
        e = hand_over(sock, first + i, source, err);
    }
    e = e != 0 ? e : create(j, sock, first, event, err);
    return e != 0 ? e : j->on_created(j->arg, err);
}

int join_run(const struct join *j, int *out_wait_status, struct err *err) {
    struct moat_ctl_exit event = {.status = 0};
    struct termios ignored; /* the terminal is our own and goes with us */
    bool terminal = j->c->process.terminal;
    cleanup_fd int sock = client_connect(j->host_dir, j->host_id, err);
    cleanup_fd int signals = sock < 0 ? -1 : monitor_signals(true, err);
    struct follow f = {.container = j->c->id,
                       .exec_id = "",
                       .sock = sock,
                       .signals = signals,
                       .terminal = terminal,
                       .next_id = ID_NEXT};
    int e = sock < 0 ? sock : signals < 0 ? signals : 0;
    e = e == 0 && terminal ? terminal_raw(0, &ignored, err) : e;
    e = e != 0 ? e : begin(j, sock, &event, err);
    e = e == 0 && !follow_is_end(&f, &event) ? follow_to_end(&f, &event, err) : e;
    if (e == 0) {
        *out_wait_status = event.status;
        j->on_exit(j->arg, event.status);
    }
    return e;
}
