/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Sentry that was taken over, against the monitor: every record it can send, broken and mutated,
 * with descriptors it has no business to send.  The monitor serves on, believes only what names its
 * container, keeps no descriptor, and ends with an error when the Sentry is gone.  Run with
 * sanitizers.
 */
#include "sandbox/monitor.h"

#include "oci/ctlmsg.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20000

static unsigned long g_seed = 424243;

static uint32_t rnd(uint32_t below) {
    return (uint32_t)(test_random(&g_seed) >> 16) % below;
}

static int count_fds(void) {
    DIR *d = opendir("/proc/self/fd");
    int count = 0;
    CHECK(d != NULL);
    while (readdir(d) != NULL) {
        count++;
    }
    (void)closedir(d);
    return count;
}

/* ---- the Sentry ---- */

static size_t sound_record(char *buf) {
    struct moat_ctl_header h = {.magic = MOAT_CTL_MAGIC, .version = MOAT_CTL_VERSION};
    if (rnd(2) == 0) {
        struct moat_ctl_exit e;
        memset(&e, 0, sizeof(e));
        h.type = MOAT_CTL_EVENT_EXIT;
        h.size = sizeof(e);
        e.ref.h = h;
        e.status = (int32_t)rnd(65536);
        memset(e.ref.container, 'x', rnd(sizeof(e.ref.container) + 1));
        memset(e.ref.exec_id, 'y', rnd(sizeof(e.ref.exec_id) + 1));
        memcpy(buf, &e, sizeof(e));
        return sizeof(e);
    }
    struct moat_ctl_reply r;
    memset(&r, 'z', sizeof(r));
    h.type = MOAT_CTL_REPLY;
    h.id = rnd(2) == 0 ? 1000 + rnd(8) : rnd(UINT32_MAX);
    size_t size = sizeof(r) + rnd(200);
    h.size = (uint32_t)size;
    r.h = h;
    r.data_size = rnd(UINT32_MAX);
    memset(buf, 'd', size);
    memcpy(buf, &r, sizeof(r));
    return size;
}

static noreturn_fn void sentry_main(int sock) {
    static char buf[MOAT_CTL_MSG_MAX];
    const int extra[3] = {0, 1, 2};
    int i = 0;
    for (; i < ROUNDS; i++) {
        size_t len = sound_record(buf);
        struct moat_ctl_header h;
        if (rnd(3) == 0) { /* below the header, which the monitor takes as the end of a sane peer */
            buf[sizeof(h) + rnd((uint32_t)(len - sizeof(h)))] = (char)rnd(256);
        }
        if (rnd(8) == 0) { /* another length that the header agrees with */
            len = sizeof(h) + rnd(400);
            memcpy(&h, buf, sizeof(h));
            h.size = (uint32_t)len;
            memcpy(buf, &h, sizeof(h));
        }
        if (rnd(16) == 0) {
            memcpy(&h, buf, sizeof(h));
            h.type = (uint16_t)rnd(65536);
            memcpy(buf, &h, sizeof(h));
        }
        if (msg_send(sock, buf, len, extra, rnd(4), false) != 0) {
            break;
        }
    }
    _exit(i == ROUNDS ? 0 : 1);
}

/* One record that must end the monitor. */
static noreturn_fn void bad_header_main(int sock, int kind) {
    char buf[64] = {0};
    struct moat_ctl_header h = {MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_REPLY, sizeof(buf), 7};
    size_t len = sizeof(buf);
    h.magic += kind == 0;
    h.version = (uint16_t)(h.version + (kind == 1));
    h.size += kind == 2;
    len = kind == 3 ? 5 : len;
    memcpy(buf, &h, sizeof(h));
    (void)msg_send(sock, buf, len, NULL, 0, false); /* the test sees what comes of it */
    (void)pause();
    _exit(0);
}

/* ---- the monitor ---- */

static int g_exits;

static void on_exit_told(void *arg, int wait_status) {
    (void)arg;
    (void)wait_status;
    g_exits++;
}

static void start(struct monitor *m, struct sandbox *s, int pair[2], struct err *err) {
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    *s = (struct sandbox){.sentry_pid = -1, .gofer_pid = -1, .control_fd = pair[0], .admin_fd = -1};
    static const struct sandbox_kind kind = {.isolation = "test", .noun = "the sandbox"};
    CHECK(monitor_init(m, &kind, s, "box", false, err) == 0);
    m->on_exit = on_exit_told;
}

static void stop(struct monitor *m, int control) {
    monitor_close(m);
    (void)close(control);
}

static void test_flood(void) {
    struct sandbox s;
    struct monitor m;
    struct err err = {0};
    int pair[2], client[2];
    int before = count_fds();
    start(&m, &s, pair, &err);
    /* Clients of which one reads nothing, with requests that are never answered truly. */
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, client) == 0);
    m.clients = calloc(2, sizeof(*m.clients));
    CHECK(m.clients != NULL);
    m.client_capacity = 2;
    m.client_count = 1;
    m.clients[0] = (struct monitor_client){.fd = client[0], .pending_id = 1003, .own_id = 5};
    pid_t pid = fork();
    if (pid == 0) {
        sentry_main(pair[1]);
    }
    (void)close(pair[1]);
    int e = monitor_run(&m, &err);
    CHECK(e < 0 && err.msg[0] != '\0'); /* the Sentry is gone */
    CHECK(g_exits == 0 && !m.exited);   /* nothing named the container "box" */
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0); /* it was heard to the end */
    stop(&m, pair[0]);
    (void)close(client[1]);
    CHECK(count_fds() == before);
}

static void test_bad_headers(void) {
    for (int kind = 0; kind < 4; kind++) {
        struct sandbox s;
        struct monitor m;
        struct err err = {0};
        int pair[2];
        start(&m, &s, pair, &err);
        pid_t pid = fork();
        if (pid == 0) {
            bad_header_main(pair[1], kind);
        }
        (void)close(pair[1]);
        CHECK(monitor_run(&m, &err) < 0);
        (void)kill(pid, SIGKILL);
        CHECK(waitpid(pid, NULL, 0) == pid);
        stop(&m, pair[0]);
    }
}

/* An exit of the container ends it with the status that was told, whatever that is. */
static void test_exit(void) {
    struct sandbox s;
    struct monitor m;
    struct err err = {0};
    struct moat_ctl_exit event;
    int pair[2];
    start(&m, &s, pair, &err);
    memset(&event, 0, sizeof(event));
    CHECK(ctlmsg_ref(&event.ref, MOAT_CTL_EVENT_EXIT, sizeof(event), 0, "box", NULL) == 0);
    event.status = 3 << 8;
    CHECK(msg_send(pair[1], &event, sizeof(event), NULL, 0, false) == 0);
    CHECK(monitor_run(&m, &err) == 0);
    CHECK(m.exited && m.exit_status == 3 << 8 && g_exits == 1);
    (void)close(pair[1]);
    stop(&m, pair[0]);
}

int main(void) {
    (void)signal(SIGPIPE, SIG_IGN);
    test_flood();
    test_bad_headers();
    test_exit();
    return 0;
}
