/* SPDX-License-Identifier: Apache-2.0 */
/* What the host asks of the agent: see agent.h. */
#include "agent/agent.h"

#include "agent/inside.h"
#include "host/cleanup.h"
#include "host/clock.h"
#include "host/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PS_MAX 512u

void agent_reply(struct agent *a, uint32_t id, int error, const char *message, int pid,
                 const void *data, size_t size) {
    static char buf[MOAT_CTL_MSG_MAX];
    struct moat_ctl_reply *r = (struct moat_ctl_reply *)(void *)buf;
    memset(r, 0, sizeof(*r));
    size = MIN(size, sizeof(buf) - sizeof(*r));
    r->h = (struct moat_ctl_header){MOAT_CTL_MAGIC, MOAT_CTL_VERSION, MOAT_CTL_REPLY,
                                    (uint32_t)(sizeof(*r) + size), id};
    r->error = error;
    r->pid = pid;
    r->data_size = (uint32_t)size;
    (void)snprintf(r->message, sizeof(r->message), "%s", message); /* cut if need be */
    if (size > 0) {
        memcpy(buf + sizeof(*r), data, size);
    }
    if (mux_send(&a->mux, MOAT_AGENT_RECORD, 0, buf, r->h.size) != 0) {
        boot_off("the host does not read");
    }
}

static void reply_error(struct agent *a, uint32_t id, int error) {
    agent_reply(a, id, error, error == -ESRCH ? "container not running" : "", 0, NULL, 0);
}

/* The container, when its first process lives. */
static struct box *live_box(struct agent *a, const struct moat_ctl_ref *ref) {
    const struct process *p = process_find(a, ref->container, "");
    return p != NULL && p->pid > 0 ? p->box : NULL;
}

struct group_text {
    char text[4096];
};

static void group_read(int dir, const char *file, struct group_text *out) {
    cleanup_fd int fd = dir >= 0 ? openat(dir, file, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, out->text, sizeof(out->text) - 1) : -1;
    out->text[n > 0 ? n : 0] = '\0';
}

/* The number behind `key`, which may be "": 0 without one, UINT64_MAX for "max". */
static uint64_t number_of(const struct group_text *t, const char *key) {
    const char *at = strstr(t->text, key);
    at += at != NULL ? strlen(key) : 0;
    return at == NULL ? 0 : strncmp(at, "max", 3) == 0 ? UINT64_MAX : strtoull(at, NULL, 10);
}

static uint64_t group_number(int dir, const char *file) {
    struct group_text t;
    group_read(dir, file, &t);
    return number_of(&t, "");
}

/* ---- requests about a process ---- */

static int do_signal(struct agent *a, const void *payload, size_t size) {
    struct moat_ctl_signal msg;
    struct err ignored = {0}; /* the code tells enough */
    memcpy(&msg, payload, sizeof(msg));
    const struct process *p = process_find(a, msg.ref.container, msg.ref.exec_id);
    if (p == NULL || p->pid <= 0) {
        return -ESRCH;
    }
    if (msg.signo > 64) {
        return -EINVAL;
    }
    if (g_inside.signal != NULL && p->is_init) {
        const struct isolation_target target = box_target(p->box);
        return g_inside.signal(&target, (int)msg.signo, msg.all != 0);
    }
    if (msg.all == 0) {
        return syscall(SYS_pidfd_send_signal, p->pidfd, (int)msg.signo, NULL, 0) == 0 ? 0 : -errno;
    }
    const struct box *b = live_box(a, &msg.ref);
    return b == NULL ? -ESRCH : cgroup_signal(&b->cgroup, (int)msg.signo, &ignored);
}

static int do_winsize(struct agent *a, const void *payload, size_t size) {
    struct moat_ctl_winsize msg;
    memcpy(&msg, payload, sizeof(msg));
    const struct process *p = process_find(a, msg.ref.container, msg.ref.exec_id);
    const struct winsize ws = {msg.rows, msg.cols, msg.xpixel, msg.ypixel};
    if (p == NULL || p->master < 0) {
        return -ESRCH;
    }
    return ioctl(p->master, TIOCSWINSZ, &ws) == 0 ? 0 : -errno;
}

static struct cgroup_i64 limit_of(const struct moat_ctl_limits *l, uint32_t flag, uint64_t value) {
    return (struct cgroup_i64){.set = (l->set & flag) != 0,
                               .value = value != 0 ? (int64_t)value : -1};
}

static int do_update(struct agent *a, const void *payload, size_t size) {
    struct moat_ctl_update msg;
    struct err ignored = {0};
    struct cgroup_resources r = {.device_count = 0};
    memcpy(&msg, payload, sizeof(msg));
    const struct moat_ctl_limits *l = &msg.limits;
    const struct box *b = live_box(a, &msg.ref);
    if (b == NULL) {
        return -ESRCH;
    }
    r.pids = limit_of(l, MOAT_LIMIT_PIDS, l->pids);
    r.memory.limit = limit_of(l, MOAT_LIMIT_MEMORY, l->memory);
    r.cpu.quota = limit_of(l, MOAT_LIMIT_CPU, l->cpu_quota_us);
    r.cpu.period.set = r.cpu.quota.set && l->cpu_period_us != 0;
    r.cpu.period.value = l->cpu_period_us;
    const struct isolation_target target = box_target(b);
    int e = g_inside.update != NULL ? g_inside.update(&target, &r) : 0;
    if (g_inside.limits != NULL) {
        g_inside.limits(&r);
    }
    return e != 0 ? e : cgroup_update(&b->cgroup, &r, &ignored);
}

static int do_freeze(struct agent *a, const struct moat_ctl_ref *ref, bool freeze) {
    struct err ignored = {0};
    const struct box *b = live_box(a, ref);
    return b == NULL ? -ESRCH : cgroup_freeze(&b->cgroup, freeze, &ignored);
}

static bool read_text(pid_t pid, const char *file, char *text, size_t size) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file); /* fits */
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    for (ssize_t i = 0; i + 1 < n; i++) {
        text[i] = text[i] == '\0' ? ' ' : text[i]; /* of cmdline */
    }
    text[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

/* The last number of a line such as "NSpid: 812 1" of status: as seen inside. */
static int inner_number(const char *status, const char *key) {
    const char *line = strstr(status, key);
    const char *end = line != NULL ? strchr(line + 1, '\n') : NULL;
    while (end != NULL && end > line && end[-1] != '\t' && end[-1] != ' ') {
        end--;
    }
    return end != NULL ? atoi(end) : 0;
}

static unsigned long long stat_number(const char *stat, int number) {
    const char *at = procfs_stat_field(stat, number);
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static bool ps_entry(pid_t pid, struct moat_ctl_ps_entry *e) {
    char status[4096], stat[1024];
    char parent[4096];
    memset(e, 0, sizeof(*e));
    if (!read_text(pid, "status", status, sizeof(status)) ||
        !read_text(pid, "stat", stat, sizeof(stat))) {
        return false; /* it has gone */
    }
    e->pid = inner_number(status, "\nNSpid:");
    const char *uid = strstr(status, "\nUid:");
    if (uid != NULL) {
        e->uid = (uint32_t)strtoul(uid + 5, NULL, 10);
    }
    int ppid = (int)stat_number(stat, 4);
    if (e->pid != 1 && ppid > 1 && read_text(ppid, "status", parent, sizeof(parent))) {
        e->ppid = inner_number(parent, "\nNSpid:");
    }
    e->cpu_ns = (stat_number(stat, 14) + stat_number(stat, 15)) *
                (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
    (void)read_text(pid, "comm", e->comm, sizeof(e->comm)); /* else empty */
    e->comm[strcspn(e->comm, "\n")] = '\0';
    (void)read_text(pid, "cmdline", e->cmdline, sizeof(e->cmdline)); /* else empty */
    return true;
}

static int do_ps(struct agent *a, const struct moat_ctl_ref *ref) {
    static struct moat_ctl_ps_entry entries[PS_MAX];
    cleanup_free pid_t *pids = NULL;
    size_t count = 0, found = 0;
    struct err ignored = {0};
    const struct box *b = live_box(a, ref);
    if (b != NULL && g_inside.processes != NULL) {
        const struct isolation_target target = box_target(b);
        int n = g_inside.processes(&target, entries, PS_MAX);
        if (n >= 0) {
            agent_reply(a, ref->h.id, 0, "", 0, entries, (size_t)n * sizeof(entries[0]));
        }
        return n >= 0 ? 1 : n;
    }
    int e = b == NULL ? -ESRCH : cgroup_pids(&b->cgroup, &pids, &count, &ignored);
    if (e != 0) {
        return e;
    }
    for (size_t i = 0; i < count && found < PS_MAX; i++) {
        found += ps_entry(pids[i], &entries[found]);
    }
    agent_reply(a, ref->h.id, 0, "", 0, entries, found * sizeof(entries[0]));
    return 1;
}

static int do_stats(struct agent *a, const struct moat_ctl_ref *ref) {
    cleanup_free pid_t *pids = NULL;
    size_t count = 0;
    struct err ignored = {0};
    const struct box *b = live_box(a, ref);
    int e = b == NULL ? -ESRCH : cgroup_pids(&b->cgroup, &pids, &count, &ignored);
    if (e != 0) {
        return e;
    }
    struct group_text cpu, events, memory;
    cleanup_fd int dir = cgroup_open(&b->cgroup, &ignored);
    group_read(dir, "cpu.stat", &cpu);
    group_read(dir, "memory.events", &events);
    group_read(dir, "memory.stat", &memory);
    uint64_t limit = group_number(dir, "pids.max");
    struct moat_agent_stats s = {
        .base = {.memory_used = group_number(dir, "memory.current"),
                 .cpu_ns = number_of(&cpu, "usage_usec ") * NSEC_PER_USEC,
                 .process_count = (uint32_t)count,
                 .thread_count = (uint32_t)group_number(dir, "pids.current"),
                 .pids_limit = limit == UINT64_MAX ? 0 : limit},
        .cpu_user_ns = number_of(&cpu, "user_usec ") * NSEC_PER_USEC,
        .cpu_system_ns = number_of(&cpu, "system_usec ") * NSEC_PER_USEC,
        .cpu_periods = number_of(&cpu, "nr_periods "),
        .cpu_throttled = number_of(&cpu, "nr_throttled "),
        .cpu_throttled_ns = number_of(&cpu, "throttled_usec ") * NSEC_PER_USEC,
        .memory_limit = group_number(dir, "memory.max"),
        .memory_peak = group_number(dir, "memory.peak"),
        .memory_limit_hits = number_of(&events, "\nmax "),
        .oom_kills = number_of(&events, "\noom_kill "),
        .anon = number_of(&memory, "anon "),
        .file = number_of(&memory, "\nfile "),
        .kernel = number_of(&memory, "\nkernel "),
        .swap = group_number(dir, "memory.swap.current"),
        .page_faults = number_of(&memory, "\npgfault "),
        .major_faults = number_of(&memory, "\npgmajfault ")};
    const struct isolation_target target = box_target(b);
    if (g_inside.stats != NULL && g_inside.stats(&target, &s.base) != 0) {
        s.base.process_count = s.base.thread_count = 0; /* it ends just now */
    }
    agent_reply(a, ref->h.id, 0, "", 0, &s, sizeof(s));
    return 1;
}

static int do_start(struct agent *a, const struct moat_ctl_ref *ref) {
    struct process *p = process_find(a, ref->container, ref->exec_id);
    int e = p == NULL ? -ESRCH : process_start(a, p, ref->h.id);
    return e != 0 ? e : 1; /* the reply comes with the outcome */
}

static int do_delete(struct agent *a, const struct moat_ctl_ref *ref) {
    struct process *p = process_find(a, ref->container, "");
    if (p == NULL) {
        return 0;
    }
    if (p->pid > 0) {
        return -EBUSY;
    }
    process_forget(a, p);
    return 0;
}

static int do_destroy(struct agent *a, const struct moat_ctl_ref *ref) {
    struct process *p = process_find(a, ref->container, "");
    if (p == NULL || p->pid <= 0) {
        return do_delete(a, ref);
    }
    p->destroy = ref->h.id;
    struct err ignored = {0};
    int e = cgroup_signal(&p->box->cgroup, SIGKILL, &ignored);
    return e != 0 ? e : 1; /* the reply comes with the end */
}

static int do_create(struct agent *a, const void *payload, size_t size, uint32_t stream) {
    struct err err = {0};
    struct moat_ctl_header h;
    memcpy(&h, payload, sizeof(h));
    int e = process_create(a, payload, size, stream, &err);
    if (e != 0) {
        agent_reply(a, h.id, e, err.msg, 0, NULL, 0);
    }
    return 1;
}

static int do_network(struct agent *a, const struct moat_ctl_header *h, const void *payload) {
    struct err err = {0};
    int e = agent_network(payload, h->size, &err);
    agent_reply(a, h->id, e, err.msg, 0, NULL, 0);
    return 1;
}

/* 0: answered with success, 1: answered or to be answered later, or -errno to be told. */
static int do_request(struct agent *a, const struct moat_ctl_header *h, const void *payload,
                      uint32_t stream) {
    struct moat_ctl_ref ref;
    size_t want = h->type == MOAT_CTL_SIGNAL    ? sizeof(struct moat_ctl_signal)
                  : h->type == MOAT_CTL_WINSIZE ? sizeof(struct moat_ctl_winsize)
                  : h->type == MOAT_CTL_UPDATE  ? sizeof(struct moat_ctl_update)
                                                : sizeof(ref);
    if (h->type == MOAT_CTL_CREATE || h->type == MOAT_CTL_EXEC) {
        return do_create(a, payload, h->size, stream);
    }
    if (h->type == MOAT_CTL_NETWORK) {
        return do_network(a, h, payload);
    }
    if (h->size < sizeof(ref)) {
        return -EINVAL;
    }
    memcpy(&ref, payload, sizeof(ref));
    int e = ctl_ref_check(&ref, h->size, want);
    if (e != 0) {
        return e;
    }
    switch (h->type) {
    case MOAT_CTL_START:
        return do_start(a, &ref);
    case MOAT_CTL_SIGNAL:
        return do_signal(a, payload, h->size);
    case MOAT_CTL_WINSIZE:
        return do_winsize(a, payload, h->size);
    case MOAT_CTL_UPDATE:
        return do_update(a, payload, h->size);
    case MOAT_CTL_PS:
        return do_ps(a, &ref);
    case MOAT_CTL_STATS:
        return do_stats(a, &ref);
    case MOAT_CTL_PAUSE:
    case MOAT_CTL_RESUME:
        return do_freeze(a, &ref, h->type == MOAT_CTL_PAUSE);
    case MOAT_CTL_DELETE:
        return do_delete(a, &ref);
    case MOAT_CTL_DESTROY:
        return do_destroy(a, &ref);
    case MOAT_CTL_SHUTDOWN:
        boot_off("asked to");
    default:
        return -EOPNOTSUPP;
    }
}

int agent_hello(struct agent *a, uint64_t begun_ns) {
    const struct moat_agent_hello hello = {.version = MOAT_AGENT_VERSION,
                                           .boot_ns = begun_ns,
                                           .ready_ns = clock_now_ns(CLOCK_BOOTTIME)};
    return mux_send(&a->mux, MOAT_AGENT_HELLO, 0, &hello, sizeof(hello));
}

static int take_welcome(struct agent *a, const struct moat_agent_frame *f, const void *payload) {
    struct moat_agent_welcome w;
    if (f->size != sizeof(w)) {
        return -EPROTO;
    }
    memcpy(&w, payload, sizeof(w));
    if (w.version != MOAT_AGENT_VERSION || w.export_count > MOAT_AGENT_EXPORTS ||
        w.disk > MOAT_AGENT_DISK_EXT4) {
        return -EPROTO;
    }
    const struct timespec ts = {(time_t)(w.realtime_ns / NSEC_PER_SEC),
                                (long)(w.realtime_ns % NSEC_PER_SEC)};
    (void)clock_settime(CLOCK_REALTIME, &ts); /* cannot fail for root with a valid time */
    if (!a->welcomed) {                       /* an export or a disk is mounted once */
        a->export_count = w.export_count;
        a->disk = w.disk;
    }
    bool first = !a->welcomed, anew = first && (w.flags & MOAT_AGENT_RESTORED) != 0;
    uint64_t begun_ns = clock_now_ns(CLOCK_BOOTTIME);
    plug_welcome(&w, first);
    if (anew && agent_hello(a, begun_ns) != 0) {
        return -ENOMEM;
    }
    a->welcomed = true;
    return 0;
}

int agent_frame(void *arg, const struct moat_agent_frame *f, const void *payload) {
    struct agent *a = arg;
    struct moat_ctl_header h;
    if (f->kind == MOAT_AGENT_WELCOME) {
        return take_welcome(a, f, payload);
    }
    if (f->kind != MOAT_AGENT_RECORD || !a->welcomed ||
        ctl_header_check(payload, f->size, &h) != 0) {
        return -EPROTO;
    }
    int e = do_request(a, &h, payload, f->stream);
    if (e <= 0) {
        reply_error(a, h.id, e);
    }
    return 0;
}
