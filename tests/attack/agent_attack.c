/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent that was taken over, against the bridge of isolation vm: each case starts a bridge
 * between a monitor and an agent that this program plays.  Whatever the agent sends, the bridge
 * goes on, or ends by itself and has told every waiting request so; it never dies of a signal (the
 * sanitizers make bad accesses one), and the monitor never gets a record that is none.
 */
#include "host/msg.h"
#include "moat/agent.h"
#include "vm/bridge.h"
#include "vm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s: line %d: %s (errno %d)\n", g_case, __LINE__, #cond, errno);       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const char *g_case;

/* One bridge with a process under it whose CREATE was not answered yet. */
struct play {
    int monitor, agent; /* our ends */
    int in, out, err;   /* our ends of the process's streams */
    int console, log;   /* our end of the machine's console; where its text goes */
    pid_t bridge;
};

static void nothing(char *text, size_t size) {
    (void)snprintf(text, size, "the machine ended");
}

static noreturn_fn void run_bridge(int control, int agent, int console, int log) {
    const struct bridge_options options = {.control = control,
                                           .agent = agent,
                                           .listener = -1,
                                           .log = log,
                                           .console = console,
                                           .export_count = 1,
                                           .why = nothing};
    bridge_run(&options);
    exit(0);
}

static void send_all(int fd, const void *data, size_t size) {
    const char *from = data;
    while (size > 0) {
        ssize_t n = write(fd, from, size);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return; /* the bridge has had enough */
        }
        CHECK(n > 0);
        from += n;
        size -= (size_t)n;
    }
}

static void frame(const struct play *p, uint32_t kind, uint32_t stream, const void *payload,
                  uint32_t size) {
    const struct moat_agent_frame f = {size, (uint16_t)kind, (uint16_t)stream};
    send_all(p->agent, &f, sizeof(f));
    send_all(p->agent, payload, size);
}

static void read_all(int fd, void *out, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)out + done, size - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
}

static void take_frame(const struct play *p, uint32_t kind, void *out, size_t size) {
    static char payload[MOAT_AGENT_FRAME_MAX];
    struct moat_agent_frame f;
    read_all(p->agent, &f, sizeof(f));
    CHECK(f.kind == kind && f.size <= sizeof(payload));
    read_all(p->agent, payload, f.size);
    memcpy(out, payload, size < f.size ? size : f.size);
}

/* CREATE of container "c", request 7, with pipes. */
static void send_create(struct play *p) {
    struct {
        struct moat_agent_create create;
        char process[8];
    } record = {0};
    int in[2], out[2], err[2];
    CHECK(pipe(in) == 0 && pipe(out) == 0 && pipe(err) == 0);
    record.create.ref.h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION,
                                                   MOAT_CTL_CREATE, sizeof(record), 7};
    memcpy(record.create.ref.container, "c", 2);
    const int fds[3] = {in[0], out[1], err[1]};
    CHECK(msg_send(p->monitor, &record, sizeof(record), fds, 3, false) == 0);
    (void)close(in[0]); /* the bridge's, as the next two */
    (void)close(out[1]);
    (void)close(err[1]);
    p->in = in[1];
    p->out = out[0];
    p->err = err[0];
}

static void hello(const struct play *p) {
    const struct moat_agent_hello h = {.version = MOAT_AGENT_VERSION};
    frame(p, MOAT_AGENT_HELLO, 0, &h, sizeof(h));
}

static void begin(struct play *p) {
    int control[2], agent[2], console[2];
    struct moat_agent_welcome w;
    struct moat_agent_create create;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, agent) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, console) == 0);
    p->log = memfd_create("log", MFD_CLOEXEC);
    CHECK(p->log >= 0);
    p->bridge = fork();
    CHECK(p->bridge >= 0);
    if (p->bridge == 0) {
        (void)close(control[0]);
        (void)close(agent[0]);
        (void)close(console[0]);
        run_bridge(control[1], agent[1], console[1], p->log);
    }
    (void)close(control[1]);
    (void)close(agent[1]);
    (void)close(console[1]);
    p->console = console[0];
    p->monitor = control[0];
    p->agent = agent[0];
    take_frame(p, MOAT_AGENT_WELCOME, &w, sizeof(w));
    CHECK(w.version == MOAT_AGENT_VERSION && w.export_count == 1);
    send_create(p);
    take_frame(p, MOAT_AGENT_RECORD, &create, sizeof(create));
    CHECK(create.ref.h.id == 7);
}

/* The next record for the monitor; its type, 0 at the end. */
static uint16_t monitor_record(const struct play *p, struct moat_ctl_reply *out) {
    static char buf[MOAT_CTL_MSG_MAX];
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    struct pollfd ready = {.fd = p->monitor, .events = POLLIN};
    CHECK(poll(&ready, 1, 20000) == 1);
    ssize_t n = msg_recv(p->monitor, buf, sizeof(buf), fds, &fd_count, false);
    CHECK(fd_count == 0);
    if (n <= 0) {
        return 0;
    }
    struct moat_ctl_header h;
    CHECK(n >= (ssize_t)sizeof(h));
    memcpy(&h, buf, sizeof(h));
    CHECK(h.magic == MOAT_CTL_MAGIC && h.version == MOAT_CTL_VERSION && h.size == n);
    CHECK(h.type == MOAT_CTL_REPLY || h.type == MOAT_CTL_EVENT_EXIT);
    memcpy(out, buf, (size_t)n < sizeof(*out) ? (size_t)n : sizeof(*out));
    return h.type;
}

static void end(struct play *p) {
    int status = 0;
    const int fds[] = {p->agent, p->monitor, p->in, p->out, p->err, p->console, p->log};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        (void)close(fds[i]);
    }
    CHECK(waitpid(p->bridge, &status, 0) == p->bridge);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The bridge must have ended, and said so to the request that waits. */
static void expect_end(struct play *p) {
    struct moat_ctl_reply r;
    CHECK(monitor_record(p, &r) == MOAT_CTL_REPLY);
    CHECK(r.h.id == 7 && r.error == -EIO && strstr(r.message, "protocol") != NULL);
    CHECK(monitor_record(p, &r) == 0);
    end(p);
}

/* The bridge must still serve. */
static void expect_service(struct play *p) {
    char text[8];
    struct moat_ctl_reply r = {
        .h = {MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_REPLY, sizeof(r), 7}};
    frame(p, MOAT_AGENT_RECORD, 0, &r, sizeof(r));
    CHECK(monitor_record(p, &r) == MOAT_CTL_REPLY && r.h.id == 7 && r.error == 0);
    frame(p, MOAT_AGENT_DATA, 1, "out", 3);
    read_all(p->out, text, 3);
    CHECK(memcmp(text, "out", 3) == 0);
    end(p);
}

static struct moat_ctl_header header(uint16_t type, uint32_t size) {
    return (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, type, size, 7};
}

/* ---- cases: the bridge ends ---- */

static void huge_frame(struct play *p) {
    hello(p);
    const struct moat_agent_frame f = {0xffffffff, MOAT_AGENT_RECORD, 0};
    send_all(p->agent, &f, sizeof(f));
}

static void record_before_hello(struct play *p) {
    struct moat_ctl_reply r = {.h = header(MOAT_CTL_REPLY, sizeof(r))};
    frame(p, MOAT_AGENT_RECORD, 0, &r, sizeof(r));
}

static void second_hello(struct play *p) {
    hello(p);
    hello(p);
}

static void other_version(struct play *p) {
    const struct moat_agent_hello h = {.version = 77};
    frame(p, MOAT_AGENT_HELLO, 0, &h, sizeof(h));
}

static void unknown_kind(struct play *p) {
    hello(p);
    frame(p, 99, 0, "x", 1);
}

static void stream_out_of_range(struct play *p) {
    hello(p);
    frame(p, MOAT_AGENT_DATA, 65535, "x", 1);
}

static void data_into_an_input(struct play *p) {
    hello(p);
    frame(p, MOAT_AGENT_DATA, 0, "x", 1);
}

static void more_than_the_window(struct play *p) {
    static char data[MOAT_AGENT_DATA_MAX];
    hello(p);
    for (size_t sent = 0; sent <= MOAT_AGENT_WINDOW + 65536; sent += sizeof(data)) {
        frame(p, MOAT_AGENT_DATA, 1, data, sizeof(data)); /* nobody reads p->out */
    }
}

static void data_too_large(struct play *p) {
    static char data[MOAT_AGENT_DATA_MAX + 1];
    hello(p);
    frame(p, MOAT_AGENT_DATA, 1, data, sizeof(data));
}

static void endless_credit(struct play *p) {
    uint32_t grant = 0xffffffff;
    hello(p);
    frame(p, MOAT_AGENT_CREDIT, 0, &grant, sizeof(grant));
}

static void record_with_other_size(struct play *p) {
    struct moat_ctl_reply r = {.h = header(MOAT_CTL_REPLY, sizeof(r) + 8)};
    hello(p);
    frame(p, MOAT_AGENT_RECORD, 0, &r, sizeof(r));
}

static void reply_with_other_data(struct play *p) {
    struct moat_ctl_reply r = {.h = header(MOAT_CTL_REPLY, sizeof(r)), .data_size = 1u << 31};
    hello(p);
    frame(p, MOAT_AGENT_RECORD, 0, &r, sizeof(r));
}

static void a_request_to_the_host(struct play *p) {
    struct moat_ctl_ref r = {.h = header(MOAT_CTL_EXPORT, sizeof(r))};
    hello(p);
    frame(p, MOAT_AGENT_RECORD, 0, &r, sizeof(r));
}

/* ---- cases: the bridge goes on ---- */

static void end_of_a_stranger(struct play *p) {
    struct moat_ctl_exit e = {.ref.h = header(MOAT_CTL_EVENT_EXIT, sizeof(e))};
    hello(p);
    memset(e.ref.container, 'x', sizeof(e.ref.container)); /* and without an end */
    for (int i = 0; i < 1000; i++) {
        frame(p, MOAT_AGENT_RECORD, 0, &e, sizeof(e));
    }
}

static void closed_streams(struct play *p) {
    uint32_t grant = 0xffffffff;
    hello(p);
    for (uint32_t s = 3; s < MOAT_AGENT_STREAMS; s++) {
        frame(p, MOAT_AGENT_DATA, s, "x", 1);
        frame(p, MOAT_AGENT_CREDIT, s, &grant, sizeof(grant));
        frame(p, MOAT_AGENT_END, s, NULL, 0);
    }
}

static void byte_by_byte(struct play *p) {
    const struct moat_agent_hello h = {.version = MOAT_AGENT_VERSION};
    const struct moat_agent_frame f = {sizeof(h), MOAT_AGENT_HELLO, 0};
    for (size_t i = 0; i < sizeof(f); i++) {
        send_all(p->agent, (const char *)&f + i, 1);
    }
    for (size_t i = 0; i < sizeof(h); i++) {
        send_all(p->agent, (const char *)&h + i, 1);
    }
}

/* ---- chance ---- */

/* Frames that are nearly right, in any order; the end is anything but a crash. */
static void chance(unsigned int seed) {
    struct play p;
    struct moat_ctl_reply r;
    static char payload[MOAT_AGENT_DATA_MAX];
    srandom(seed);
    begin(&p);
    hello(&p);
    for (int i = 0; i < 200; i++) {
        uint32_t size =
            (uint32_t)random() % 3 == 0 ? sizeof(struct moat_ctl_exit) : (uint32_t)random() % 600;
        struct moat_ctl_header h = header((uint16_t)(random() % 70), size);
        for (uint32_t k = 0; k < size; k++) {
            payload[k] = (char)(random() % 4 == 0 ? random() : 0);
        }
        memcpy(payload, &h, size < sizeof(h) ? size : sizeof(h));
        frame(&p, (uint32_t)random() % 8 == 0 ? (uint32_t)random() % 9 : MOAT_AGENT_DATA,
              (uint32_t)random() % 6 == 0 ? (uint32_t)random() : 1 + (uint32_t)random() % 2,
              payload, size);
    }
    (void)shutdown(p.agent, SHUT_RDWR);
    while (monitor_record(&p, &r) != 0) {
    }
    end(&p);
}

/* All of it is read, so that the hypervisor never waits, and little of it is kept. */
static void console_flood(struct play *p) {
    static char text[65536];
    struct stat st;
    memset(text, 'x', sizeof(text));
    hello(p);
    for (int i = 0; i < 320; i++) {
        send_all(p->console, text, sizeof(text));
    }
    CHECK(fstat(p->log, &st) == 0 && st.st_size >= (off_t)CONSOLE_MAX);
    CHECK(st.st_size < (off_t)CONSOLE_MAX + 8192);
}

static void console_closes(struct play *p) {
    send_all(p->console, "text", 4);
    (void)shutdown(p->console, SHUT_RDWR);
    hello(p);
}

/* What a machine said before it died is there to read. */
static void last_words(void) {
    static char text[100000];
    struct play p;
    struct moat_ctl_reply r;
    struct stat st;
    begin(&p);
    hello(&p);
    memset(text, 'x', sizeof(text));
    CHECK(kill(p.bridge, SIGSTOP) == 0); /* all of it is there when the end is seen */
    send_all(p.console, text, sizeof(text));
    (void)shutdown(p.agent, SHUT_RDWR);
    CHECK(kill(p.bridge, SIGCONT) == 0);
    while (monitor_record(&p, &r) != 0) {
    }
    CHECK(fstat(p.log, &st) == 0 && st.st_size >= (off_t)sizeof(text));
    end(&p);
}

int main(void) {
    static const struct {
        const char *name;
        void (*run)(struct play *p);
        bool goes_on;
    } cases[] = {
        {"huge frame", huge_frame, false},
        {"record before hello", record_before_hello, false},
        {"second hello", second_hello, false},
        {"other version", other_version, false},
        {"unknown kind", unknown_kind, false},
        {"stream out of range", stream_out_of_range, false},
        {"data into an input", data_into_an_input, false},
        {"more than the window", more_than_the_window, false},
        {"data too large", data_too_large, false},
        {"endless credit", endless_credit, false},
        {"record with another size", record_with_other_size, false},
        {"reply with other data", reply_with_other_data, false},
        {"a request to the host", a_request_to_the_host, false},
        {"end of a stranger", end_of_a_stranger, true},
        {"closed streams", closed_streams, true},
        {"byte by byte", byte_by_byte, true},
        {"a console that never ends", console_flood, true},
        {"a console that closes", console_closes, true},
    };
    (void)signal(SIGPIPE, SIG_IGN); /* a bridge that ended shows as EPIPE */
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct play p;
        g_case = cases[i].name;
        begin(&p);
        cases[i].run(&p);
        if (cases[i].goes_on) {
            expect_service(&p);
        } else {
            expect_end(&p);
        }
    }
    g_case = "last words";
    last_words();
    g_case = "chance";
    for (unsigned int seed = 1; seed <= 100; seed++) {
        chance(seed);
    }
    return 0;
}
