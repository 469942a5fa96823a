/* SPDX-License-Identifier: Apache-2.0 */
/* Records and streams between monitor and agent: see bridge.h. */
#include "vm/bridge.h"

#include "vm/console.h"

#include "host/cleanup.h"
#include "host/clock.h"
#include "host/msg.h"
#include "host/mux.h"
#include "moat/agent.h"
#include "vm/pending.h"
#include "vm/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLOTS            (MOAT_AGENT_STREAMS / 3u)
#define MESSAGE_SIZE     sizeof(((struct moat_ctl_reply *)0)->message)
#define FIRST_REQUEST_MS 10000

/* A process: its streams are 3 slot ... 3 slot + 2. */
struct slot {
    bool used, ended; /* ended: `event` waits until its streams are written */
    uint32_t request; /* id of the CREATE or EXEC, 0: answered */
    int input;        /* a terminal's, which is read when the agent has the terminal; or -1 */
    char container[128], exec_id[128];
    struct moat_ctl_exit event;
};

struct bridge {
    struct mux mux;
    int control;
    bool asked; /* the monitor has spoken */
    bool hello, failed, reported;
    const struct bridge_options *options;
    uint64_t hello_ns, agent_ns; /* when the agent spoke first, and for how long it had run */
    uint64_t boot_ns;            /* of the guest's kernel before it */
    uint32_t next_slot;
    struct slot slots[SLOTS];
    struct pending pending; /* for the news that no answer will come */
};

static struct bridge g_bridge; /* too large for a stack; one a process */

static bool send_monitor(struct bridge *b, const void *record, size_t size) {
    b->failed = b->failed || msg_send(b->control, record, size, NULL, 0, false) != 0;
    return !b->failed;
}

static void answer_failure(struct bridge *b, uint32_t id, int error, const char *message) {
    struct moat_ctl_reply r;
    memset(&r, 0, sizeof(r));
    r.h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_REPLY, sizeof(r), id};
    r.error = error;
    (void)snprintf(r.message, sizeof(r.message), "%s", message); /* cut if need be */
    (void)send_monitor(b, &r, sizeof(r));                        /* the loop ends on a failure */
}

/* How long the start took; the guest's figures are its own words. */
static void report_start(struct bridge *b) {
    const struct bridge_options *o = b->options;
    if (!b->reported && o->log >= 0) {
        uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
        char line[256];
        int n = snprintf(
            line, sizeof(line),
            "vm: started in %llu ms: %llu until the agent spoke (guest's kernel %llu, agent "
            "%llu), then %llu for the container\n",
            (unsigned long long)((now - o->start_ns) / NSEC_PER_MSEC),
            (unsigned long long)((b->hello_ns - o->start_ns) / NSEC_PER_MSEC),
            (unsigned long long)(b->boot_ns / NSEC_PER_MSEC),
            (unsigned long long)(b->agent_ns / NSEC_PER_MSEC),
            (unsigned long long)((now - b->hello_ns) / NSEC_PER_MSEC));
        (void)!write(o->log, line, (size_t)MIN(n, (int)sizeof(line) - 1)); /* a log that is full */
    }
    b->reported = true;
}

static void send_welcome(struct bridge *b) {
    struct moat_agent_welcome w = {.version = MOAT_AGENT_VERSION,
                                   .export_count = b->options->export_count,
                                   .disk = b->options->disk,
                                   .plugged = b->options->plugged,
                                   .flags = b->options->restored ? MOAT_AGENT_RESTORED : 0,
                                   .realtime_ns = clock_now_ns(CLOCK_REALTIME)};
    memcpy(w.entropy, b->options->entropy, sizeof(w.entropy));
    b->failed = b->failed || mux_send(&b->mux, MOAT_AGENT_WELCOME, 0, &w, sizeof(w)) != 0;
}

/* ---- from the monitor ---- */

static struct slot *new_slot(struct bridge *b, uint32_t *out_index) {
    for (uint32_t n = 0; n < SLOTS; n++) {
        uint32_t i = (b->next_slot + n) % SLOTS;
        bool open = mux_is_open(&b->mux, 3 * i) || mux_is_open(&b->mux, 3 * i + 1) ||
                    mux_is_open(&b->mux, 3 * i + 2);
        if (!b->slots[i].used && !open) {
            b->next_slot = i + 1; /* not the same again soon: frames of the last may be under way */
            b->slots[i] = (struct slot){.used = true, .input = -1};
            *out_index = i;
            return &b->slots[i];
        }
    }
    return NULL;
}

static int open_streams(struct bridge *b, struct slot *s, uint32_t first, int *fds, bool terminal) {
    if (!terminal) {
        int e = mux_open(&b->mux, first, steal_fd(&fds[0]), false);
        e = e != 0 ? e : mux_open(&b->mux, first + 1, steal_fd(&fds[1]), true);
        return e != 0 ? e : mux_open(&b->mux, first + 2, steal_fd(&fds[2]), true);
    }
    s->input = steal_fd(&fds[0]); /* and a terminal has one output */
    return mux_open(&b->mux, first + 1, steal_fd(&fds[1]), true);
}

/* False when it is answered already. */
static bool begin_request(struct bridge *b, const struct moat_ctl_header *h) {
    bool ok = pending_add(&b->pending, h->id, h->type, clock_now_ns(CLOCK_MONOTONIC));
    if (!ok) {
        answer_failure(b, h->id, -EAGAIN, "too many requests to the virtual machine at once");
    }
    return ok;
}

static void take_create(struct bridge *b, const char *record, size_t size, int *fds,
                        size_t fd_count) {
    struct moat_agent_create fixed;
    uint32_t index = 0;
    memcpy(&fixed, record, sizeof(fixed));
    struct slot *s = fd_count >= 3 ? new_slot(b, &index) : NULL;
    if (s == NULL) {
        answer_failure(b, fixed.ref.h.id, -EAGAIN, "too many processes in the virtual machine");
        return;
    }
    if (!begin_request(b, &fixed.ref.h)) {
        s->used = false;
        return;
    }
    s->request = fixed.ref.h.id;
    fixed.ref.container[sizeof(fixed.ref.container) - 1] = '\0';
    fixed.ref.exec_id[sizeof(fixed.ref.exec_id) - 1] = '\0';
    memcpy(s->container, fixed.ref.container, sizeof(s->container));
    memcpy(s->exec_id, fixed.ref.exec_id, sizeof(s->exec_id));
    int e = open_streams(b, s, 3 * index, fds, (fixed.flags & MOAT_PROC_TERMINAL) != 0);
    e = e != 0 ? e : mux_send(&b->mux, MOAT_AGENT_RECORD, (uint16_t)(3 * index), record, size);
    b->failed = b->failed || e != 0;
}

static void take_record(struct bridge *b) {
    static char record[MOAT_CTL_MSG_MAX];
    struct moat_ctl_header h;
    int fds[MSG_FDS_MAX];
    size_t fd_count = 0;
    ssize_t n = msg_recv(b->control, record, sizeof(record), fds, &fd_count, true);
    if (n == -EAGAIN) {
        return;
    }
    b->asked = true;
    if (n < (ssize_t)sizeof(h)) {
        b->failed = true; /* the monitor is gone */
    } else {
        memcpy(&h, record, sizeof(h));
        bool creates = h.type == MOAT_CTL_CREATE || h.type == MOAT_CTL_EXEC;
        if (creates && (size_t)n >= sizeof(struct moat_agent_create)) {
            take_create(b, record, (size_t)n, fds, fd_count);
        } else if (!creates && begin_request(b, &h)) {
            if (h.type == MOAT_CTL_RESUME) {
                send_welcome(b); /* its clock may have stood still */
            }
            b->failed =
                b->failed || mux_send(&b->mux, MOAT_AGENT_RECORD, 0, record, (size_t)n) != 0;
        }
    }
    for (size_t i = 0; i < fd_count; i++) {
        cleanup_fd_fn(&fds[i]);
    }
}

/* ---- from the agent ---- */

static void close_slot(struct bridge *b, uint32_t index) {
    for (uint32_t k = 0; k < 3; k++) {
        mux_end(&b->mux, 3 * index + k);
    }
    cleanup_fd_fn(&b->slots[index].input);
    b->slots[index].used = false;
}

static int take_reply(struct bridge *b, const void *record, size_t size) {
    struct moat_ctl_reply r;
    if (size < sizeof(r)) {
        return -EPROTO;
    }
    memcpy(&r, record, sizeof(r));
    if (r.data_size != size - sizeof(r) || r.error > 0) {
        return -EPROTO;
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *s = &b->slots[i];
        if (s->used && s->request == r.h.id && r.h.id != 0) {
            s->request = 0;
            report_start(b);
            if (r.error != 0) {
                close_slot(b, i);
            } else if (s->input >= 0 && mux_open(&b->mux, 3 * i, steal_fd(&s->input), false) != 0) {
                return -EPROTO; /* the stream cannot be open */
            }
        }
    }
    if (!pending_take(&b->pending, r.h.id)) {
        return 0; /* too late: it was answered */
    }
    return send_monitor(b, record, size) ? 0 : -EPIPE;
}

static int take_exit(struct bridge *b, const void *record, size_t size) {
    struct moat_ctl_exit event;
    if (size != sizeof(event)) {
        return -EPROTO;
    }
    memcpy(&event, record, sizeof(event));
    event.ref.container[sizeof(event.ref.container) - 1] = '\0';
    event.ref.exec_id[sizeof(event.ref.exec_id) - 1] = '\0';
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *s = &b->slots[i];
        if (s->used && !s->ended && strcmp(s->container, event.ref.container) == 0 &&
            strcmp(s->exec_id, event.ref.exec_id) == 0) {
            s->ended = true;
            s->event = event;
            return 0;
        }
    }
    return 0; /* of a process that we never asked for: nobody's business */
}

static int take_oom(struct bridge *b, const void *record, size_t size) {
    struct moat_ctl_oom event;
    if (size != sizeof(event)) {
        return -EPROTO;
    }
    memcpy(&event, record, sizeof(event));
    event.ref.container[sizeof(event.ref.container) - 1] = '\0';
    event.ref.exec_id[0] = '\0';
    return send_monitor(b, &event, sizeof(event)) ? 0 : -EPIPE;
}

static int take_frame(void *arg, const struct moat_agent_frame *f, const void *payload) {
    struct bridge *b = arg;
    struct moat_agent_hello hello;
    struct moat_ctl_header h;
    if (f->kind == MOAT_AGENT_HELLO && f->size == sizeof(hello) && !b->hello) {
        memcpy(&hello, payload, sizeof(hello));
        b->hello = true;
        b->hello_ns = clock_now_ns(CLOCK_MONOTONIC);
        pending_up(&b->pending, b->hello_ns);
        b->boot_ns = hello.boot_ns;
        b->agent_ns = hello.ready_ns - hello.boot_ns;
        return hello.version == MOAT_AGENT_VERSION ? 0 : -EPROTO;
    }
    if (f->kind != MOAT_AGENT_RECORD || !b->hello || f->size < sizeof(h)) {
        return -EPROTO;
    }
    memcpy(&h, payload, sizeof(h));
    if (h.magic != MOAT_CTL_MAGIC || h.version != MOAT_CTL_VERSION || h.size != f->size) {
        return -EPROTO;
    }
    return h.type == MOAT_CTL_REPLY        ? take_reply(b, payload, f->size)
           : h.type == MOAT_CTL_EVENT_EXIT ? take_exit(b, payload, f->size)
           : h.type == MOAT_CTL_EVENT_OOM  ? take_oom(b, payload, f->size)
                                           : -EPROTO;
}

/* An end is told when all that the process said has been written. */
static void tell_ends(struct bridge *b) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *s = &b->slots[i];
        if (s->used && s->ended && mux_is_flushed(&b->mux, 3 * i + 1) &&
            mux_is_flushed(&b->mux, 3 * i + 2)) {
            (void)send_monitor(b, &s->event, sizeof(s->event)); /* the loop ends on a failure */
            mux_end(&b->mux, 3 * i); /* nobody reads its input; its output may go on */
            cleanup_fd_fn(&s->input);
            s->used = false;
        }
    }
}

/* ---- the loop ---- */

/* The machine is gone, or talks nonsense: whoever waits for it is told. */
static void tell_failure(struct bridge *b, const char *text) {
    uint32_t id = 0;
    while (pending_any(&b->pending, &id)) {
        answer_failure(b, id, -EIO, text);
    }
}

/* Whoever has waited long enough is told; what comes later is nobody's. */
static void tell_late(struct bridge *b) {
    char text[MESSAGE_SIZE];
    uint32_t id = 0;
    while (pending_expired(&b->pending, clock_now_ns(CLOCK_MONOTONIC), &id, text, sizeof(text))) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (b->slots[i].used && b->slots[i].request == id) {
                close_slot(b, i);
            }
        }
        answer_failure(b, id, -ETIMEDOUT, text);
    }
}

/* A machine that failed at once has nobody to tell yet: the first request is about to come. */
static void await_request(struct bridge *b) {
    struct pollfd control = {.fd = b->control, .events = POLLIN};
    if (!b->asked && poll(&control, 1, FIRST_REQUEST_MS) == 1) {
        take_record(b);
    }
}

/* What is waited for beside the multiplexer's descriptors, in the order of the array. */
enum other { CONTROL, CONSOLE, MACHINE, LISTENER, OTHERS };

static void prepare_others(const struct bridge *b, int console, struct pollfd *others) {
    const struct bridge_options *o = b->options;
    const int fds[OTHERS] = {[CONTROL] = o->control,
                             [CONSOLE] = console,
                             [MACHINE] = o->listener >= 0 ? o->agent : -1,
                             [LISTENER] = b->mux.fd < 0 ? o->listener : -1};
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = (struct pollfd){.fd = fds[i], .events = i == MACHINE ? 0 : POLLIN};
    }
}

/* One turn: 0, or the -errno that ends the machine. */
static int turn(struct bridge *b, struct console *console) {
    static struct pollfd polls[MUX_POLLS_MAX + OTHERS];
    size_t count = mux_prepare(&b->mux, polls);
    const struct pollfd *others = polls + count;
    prepare_others(b, console->in, polls + count);
    int wait = pending_wait_ms(&b->pending, clock_now_ns(CLOCK_MONOTONIC));
    if (poll(polls, count + OTHERS, wait) < 0) {
        return 0; /* EINTR */
    }
    if (others[CONSOLE].revents != 0) {
        console_pump(console);
    }
    if (others[CONTROL].revents != 0) {
        take_record(b);
    }
    int e = mux_handle(&b->mux, polls, count);
    if (others[LISTENER].revents != 0) {
        int agent = vsock_accept(b->options->listener, b->options->cid);
        b->mux.fd = agent >= 0 ? agent : -1;
    }
    e = e == 0 && others[MACHINE].revents != 0 ? -EPIPE : e;
    tell_ends(b);
    tell_late(b);
    return e;
}

void bridge_run(const struct bridge_options *o) {
    struct console console = {.in = o->console, .log = o->log};
    struct bridge *b = &g_bridge;
    char text[MESSAGE_SIZE] = "";
    b->control = o->control;
    b->options = o;
    b->pending = (struct pending){
        .start_ns = o->start_ns, .start_s = o->start_timeout_s, .answer_s = o->answer_timeout_s};
    (void)signal(SIGPIPE, SIG_IGN);             /* a reader that is gone shows as EPIPE */
    (void)fcntl(o->agent, F_SETFL, O_NONBLOCK); /* our own socket: cannot fail */
    if (mux_init(&b->mux, o->listener < 0 ? o->agent : -1) != 0) {
        return;
    }
    b->mux.on_frame = take_frame;
    b->mux.arg = b;
    send_welcome(b);
    int e = 0;
    while (!b->failed && e == 0) {
        e = turn(b, &console);
    }
    console_drain(&console);
    if (e == -EPROTO) {
        (void)snprintf(text, sizeof(text), "the virtual machine broke the agent's protocol");
    } else if (e != 0) {
        o->why(text, sizeof(text));
    }
    if (e != 0) {
        await_request(b);
        tell_failure(b, text);
    }
    mux_close(&b->mux);
}
