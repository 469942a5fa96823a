/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's clients: commands, monitors of execs, monitors of containers that joined. */
#include "sandbox/monitor.h"

#include "host/cleanup.h"
#include "oci/ctlmsg.h"
#include "sandbox/guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 4096u

/* ---- exports of containers that join ---- */

static bool export_used(const struct monitor *m, uint32_t index) {
    return (m->exports_used[index / 64] >> (index % 64) & 1) != 0;
}

static void mark_exports(struct monitor *m, uint32_t first, uint32_t count, bool used) {
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t bit = 1ull << (i % 64);
        m->exports_used[i / 64] =
            used ? m->exports_used[i / 64] | bit : m->exports_used[i / 64] & ~bit;
    }
}

static int reserve_from(struct monitor *m, uint32_t first, uint32_t count) {
    uint32_t run = 0;
    for (uint32_t i = first; i < MOAT_GOFER_EXPORTS_ALL; i++) {
        run = export_used(m, i) ? 0 : run + 1;
        if (run == count) {
            mark_exports(m, i + 1 - count, count, true);
            m->next_export = i + 1;
            return (int)(i + 1 - count);
        }
    }
    return -ENOSPC;
}

/* `count` free indexes in a row; -ENOSPC.  The first ones are the sandbox's own, and none is used
 * again soon: a guest's kernel may know for a while what was there. */
static int reserve_exports(struct monitor *m, uint32_t count) {
    int first = reserve_from(m, MAX(m->next_export, m->sandbox->export_count), count);
    return first >= 0 ? first : reserve_from(m, m->sandbox->export_count, count);
}

static void release_joined(struct monitor *m, struct monitor_joined *j) {
    struct moat_gofer_change c = {.magic = MOAT_GOFER_MAGIC,
                                  .what = MOAT_GOFER_REMOVE,
                                  .index = j->first_export,
                                  .count = j->export_count};
    /* In order behind what added them; a Gofer that is gone has none. */
    (void)msg_send(m->sandbox->admin_fd, &c, sizeof(c), NULL, 0, false);
    mark_exports(m, j->first_export, j->export_count, false);
    list_del_init(&j->link);
    free(j);
}

/* ---- answers of our own ---- */

static void answer(const struct monitor_client *c, uint32_t id, int error, int32_t value,
                   const char *message) {
    struct moat_ctl_reply r = {.h = {.magic = MOAT_CTL_MAGIC,
                                     .version = MOAT_CTL_VERSION,
                                     .type = MOAT_CTL_REPLY,
                                     .size = sizeof(r),
                                     .id = id},
                               .error = error,
                               .pid = value};
    (void)strncpy(r.message, message, sizeof(r.message) - 1); /* zeroed: always ended */
    (void)msg_send(c->fd, &r, sizeof(r), NULL, 0, true);      /* a gone client shows in poll */
}

static void join(struct monitor *m, struct monitor_client *c, const struct moat_ctl_join *msg) {
    uint32_t id = msg->ref.h.id;
    struct monitor_joined *j = calloc(1, sizeof(*j));
    if (m->sandbox->admin_fd < 0 || c->joined != NULL || msg->export_count == 0 || j == NULL ||
        msg->ref.container[0] == '\0' ||
        memchr(msg->ref.container, '\0', sizeof(msg->ref.container)) == NULL) {
        free(j);
        answer(c, id, -EINVAL, 0,
               m->sandbox->admin_fd < 0 ? "this container is not a pod's sandbox: none can join it"
                                        : "the request to join is not well formed");
        return;
    }
    int first = msg->export_count <= MOAT_GOFER_EXPORTS_ALL ? reserve_exports(m, msg->export_count)
                                                            : -ENOSPC;
    if (first < 0) {
        free(j);
        answer(c, id, first, 0, "the pod's containers have too many volumes");
        return;
    }
    memcpy(j->id, msg->ref.container, sizeof(j->id));
    j->first_export = (uint32_t)first;
    j->export_count = msg->export_count;
    list_push_back(&m->joined, &j->link);
    c->joined = j;
    answer(c, id, 0, first, "");
}

/* Whether the export that was just sent is there now. */
static int admin_answer(const struct monitor *m, const char **out_why) {
    int32_t said = 0;
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(m->sandbox->admin_fd, &said, sizeof(said), fds, &fd_count, false);
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* none are expected */
    }
    if (n != (ssize_t)sizeof(said) || said > 0) {
        cleanup_fd_fn(&m->sandbox->admin_fd); /* a late answer would be taken for the next one's */
        m->sandbox->admin_fd = -1;
        *out_why = "what serves the sandbox's files does not answer";
        return n < 0 ? (int)n : -EPROTO;
    }
    *out_why = said == 0 ? "" : "the files of the container cannot be shared with the sandbox";
    return said;
}

static void add_export(struct monitor *m, struct monitor_client *c,
                       const struct moat_ctl_export *msg, const int *fds, size_t fd_count) {
    const struct monitor_joined *j = c->joined;
    if (j == NULL || fd_count == 0 || fd_count > 2 || msg->index < j->first_export ||
        msg->index - j->first_export >= j->export_count) {
        answer(c, msg->h.id, -EINVAL, 0, "the export is not well formed");
        return;
    }
    struct moat_gofer_change change = {.magic = MOAT_GOFER_MAGIC,
                                       .what = MOAT_GOFER_ADD,
                                       .index = msg->index,
                                       .count = 1,
                                       .flags = msg->flags,
                                       .file_writable = msg->file_writable};
    int e = msg_send(m->sandbox->admin_fd, &change, sizeof(change), fds, fd_count, false);
    const char *why = e == 0 ? "" : "what serves the sandbox's files is gone";
    if (e == 0 && m->sandbox->admin_answers) {
        e = admin_answer(m, &why);
    }
    answer(c, msg->h.id, e, 0, why);
}

/* ---- clients ---- */

void clients_accept(struct monitor *m) {
    int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (m->client_count == m->client_capacity) {
        uint32_t capacity = m->client_capacity == 0 ? 16 : m->client_capacity * 2;
        struct monitor_client *grown =
            capacity <= CLIENTS_MAX ? realloc(m->clients, capacity * sizeof(*grown)) : NULL;
        if (grown == NULL) {
            (void)close(fd); /* the client sees the end of the connection and says so */
            return;
        }
        m->clients = grown;
        m->client_capacity = capacity;
    }
    m->clients[m->client_count++] = (struct monitor_client){.fd = fd};
}

/* The container of a client that is gone ends with it. */
static void destroy_joined(struct monitor *m, struct monitor_joined *j) {
    struct moat_ctl_ref msg;
    j->destroy_id = m->next_id++;
    if (ctlmsg_ref(&msg, MOAT_CTL_DESTROY, sizeof(msg), j->destroy_id, j->id, NULL) == 0) {
        (void)msg_send(m->sandbox->control_fd, &msg, sizeof(msg), NULL, 0,
                       false); /* EPIPE shows in the loop */
    }
}

static void drop_client(struct monitor *m, uint32_t i) {
    struct monitor_joined *j = m->clients[i].joined;
    (void)close(m->clients[i].fd); /* a socket */
    m->clients[i] = m->clients[--m->client_count];
    if (j != NULL) {
        destroy_joined(m, j);
    }
}

/* A record for the monitor itself; false when it is none. */
static bool own_request(struct monitor *m, struct monitor_client *c, const void *buf, size_t len,
                        const int *fds, size_t fd_count) {
    struct moat_ctl_header h;
    memcpy(&h, buf, sizeof(h));
    if (h.type == MOAT_CTL_JOIN && len == sizeof(struct moat_ctl_join)) {
        struct moat_ctl_join msg;
        memcpy(&msg, buf, sizeof(msg));
        join(m, c, &msg);
        return true;
    }
    if (h.type == MOAT_CTL_EXPORT && len == sizeof(struct moat_ctl_export)) {
        struct moat_ctl_export msg;
        memcpy(&msg, buf, sizeof(msg));
        add_export(m, c, &msg, fds, fd_count);
        return true;
    }
    return false;
}

/* New limits are for the Sentry, which counts threads; the size of its memory is kept here. */
static void see_update(const struct monitor *m, const void *buf, size_t len) {
    struct moat_ctl_update msg;
    if (len != sizeof(msg)) {
        return;
    }
    memcpy(&msg, buf, sizeof(msg));
    if (msg.ref.h.type == MOAT_CTL_UPDATE && (msg.limits.set & MOAT_LIMIT_MEMORY) != 0 &&
        strncmp(msg.ref.container, m->container_id, sizeof(msg.ref.container)) == 0) {
        guest_memory_resize(m->sandbox->memory_fs, msg.limits.memory);
    }
}

static bool pass_on(struct monitor *m, struct monitor_client *c, char *buf, size_t len,
                    const int *fds, size_t fd_count) {
    struct moat_ctl_header h;
    memcpy(&h, buf, sizeof(h));
    if (h.type == MOAT_CTL_START && m->sandbox->network != NULL) {
        m->sandbox->network->refresh(m->sandbox); /* engines may join networks after create */
    }
    c->own_id = h.id;
    c->pending_id = m->next_id++;
    h.id = c->pending_id;
    memcpy(buf, &h, sizeof(h));
    return msg_send(m->sandbox->control_fd, buf, len, fds, fd_count, false) == 0;
}

/* False when the client must go. */
static bool client_record(struct monitor *m, struct monitor_client *c) {
    static char buf[MOAT_CTL_MSG_MAX];
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    struct moat_ctl_header h;
    ssize_t n = msg_recv(c->fd, buf, sizeof(buf), fds, &fd_count, true);
    if (n == -EAGAIN) {
        return true;
    }
    bool ok = n >= (ssize_t)sizeof(h) && c->pending_id == 0;
    if (ok) {
        memcpy(&h, buf, sizeof(h));
        ok = h.magic == MOAT_CTL_MAGIC && h.size == (uint32_t)n;
    }
    if (ok && !own_request(m, c, buf, (size_t)n, fds, fd_count)) {
        see_update(m, buf, (size_t)n);
        ok = pass_on(m, c, buf, (size_t)n, fds, fd_count);
    }
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* passed on */
    }
    return ok;
}

void clients_serve(struct monitor *m, uint32_t index) {
    if (!client_record(m, &m->clients[index])) {
        drop_client(m, index);
    }
}

void clients_close(struct monitor *m) {
    struct monitor_joined *j, *tmp;
    for (uint32_t i = 0; i < m->client_count; i++) {
        cleanup_fd_fn(&m->clients[i].fd);
    }
    list_for_each_entry_safe (j, tmp, &m->joined, link) {
        list_del_init(&j->link);
        free(j);
    }
    free(m->clients);
    m->clients = NULL;
    m->client_count = m->client_capacity = 0;
}

/* ---- what comes from the Sentry ---- */

void clients_reply(struct monitor *m, struct moat_ctl_reply *reply, size_t len) {
    struct monitor_joined *j;
    for (uint32_t i = 0; i < m->client_count; i++) {
        struct monitor_client *c = &m->clients[i];
        if (c->pending_id != 0 && c->pending_id == reply->h.id) {
            reply->h.id = c->own_id;
            c->pending_id = 0;
            (void)msg_send(c->fd, reply, len, NULL, 0, true); /* a gone client shows in poll */
            return;
        }
    }
    list_for_each_entry (j, &m->joined, link) {
        if (j->destroy_id != 0 && j->destroy_id == reply->h.id) {
            release_joined(m, j);
            return;
        }
    }
}

void clients_tell_exit(struct monitor *m, const struct moat_ctl_exit *event) {
    for (uint32_t i = 0; i < m->client_count; i++) {
        /* A client that does not read loses the event, and its connection tells it so. */
        if (msg_send(m->clients[i].fd, event, sizeof(*event), NULL, 0, true) == -EAGAIN) {
            (void)shutdown(m->clients[i].fd, SHUT_RDWR);
        }
    }
}
