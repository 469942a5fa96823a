/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control task: takes the host side's messages (include/moat/control.h) one after the other,
 * answers each, and tells of ended processes.  It alone touches the lists of containers and control
 * processes.
 *
 * Trust: see control_msg.h.  When the peer goes away, the sandbox ends.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "boot/boot.h"
#include "fs/tty/tty.h"
#include "fs/vfs.h"
#include "kernel/control_process.h"
#include "kernel/control_report.h"
#include "kernel/hostevent.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/oom.h"
#include "kernel/seccomp.h"
#include "kernel/wait.h"
#include "ipc/ipc.h"
#include "mm/shm.h"
#include "moat/boot.h"

#include <linux/errno.h>
#include <linux/signal.h>

static struct waitq g_wait;      /* the control task sleeps here */
static bool g_pending;           /* atomic: there may be something to do */
static struct list g_containers; /* control task's */
static struct list g_processes;  /* control task's: control_process->link */

void control_wake(void) {
    atomic_store(&g_pending, true);
    waitq_wake(&g_wait, UINT32_MAX);
}

void control_event(void) {
    control_wake();
}

/* ---- looking things up ---- */

static struct container *find_container(const char *id) {
    struct container *c;

    list_for_each_entry (c, &g_containers, link) {
        if (strcmp(c->id, id) == 0) {
            return c;
        }
    }
    return NULL;
}

static struct control_process *find_process(struct container *c, const char *exec_id) {
    struct control_process *cp;

    list_for_each_entry (cp, &g_processes, link) {
        if (cp->container == c && strcmp(cp->exec_id, exec_id) == 0) {
            return cp;
        }
    }
    return NULL;
}

/* ---- answers ---- */

struct answer {
    struct moat_ctl_reply reply;
    char data[CTL_DATA_MAX];
};

static void set_message(struct moat_ctl_reply *r, const char *format, const char *what) {
    if (r->message[0] == '\0') {
        (void)fmt_snprintf(r->message, sizeof(r->message), format, what); /* may be cut */
    }
}

static void send_answer(struct answer *a, uint32_t id, int err) {
    struct moat_ctl_reply *r = &a->reply;

    r->error = err;
    r->h.magic = MOAT_CTL_MAGIC;
    r->h.version = MOAT_CTL_VERSION;
    r->h.type = MOAT_CTL_REPLY;
    r->h.id = id;
    r->h.size = (uint32_t)sizeof(*r) + r->data_size;
    if (hal_control_send(a, r->h.size) != 0) {
        log_warn("control: an answer could not be sent");
    }
}

static void send_exit(struct control_process *cp) {
    struct moat_ctl_exit e;

    memset(&e, 0, sizeof(e));
    e.ref.h.magic = MOAT_CTL_MAGIC;
    e.ref.h.version = MOAT_CTL_VERSION;
    e.ref.h.type = MOAT_CTL_EVENT_EXIT;
    e.ref.h.size = sizeof(e);
    (void)strlcpy(e.ref.container, cp->container->id, sizeof(e.ref.container)); /* fits */
    (void)strlcpy(e.ref.exec_id, cp->exec_id, sizeof(e.ref.exec_id));           /* fits */
    e.pid = cp->process->pid;
    e.status = cp->status;
    if (hal_control_send(&e, sizeof(e)) != 0) {
        log_warn("control: an exit could not be told");
    }
}

static void report_kills(void) {
    struct container *c;

    list_for_each_entry (c, &g_containers, link) {
        struct moat_ctl_oom e;
        memset(&e, 0, sizeof(e));
        e.kills = oom_take_kills(c);
        if (e.kills == 0) {
            continue;
        }
        e.ref.h.magic = MOAT_CTL_MAGIC;
        e.ref.h.version = MOAT_CTL_VERSION;
        e.ref.h.type = MOAT_CTL_EVENT_OOM;
        e.ref.h.size = sizeof(e);
        (void)strlcpy(e.ref.container, c->id, sizeof(e.ref.container)); /* fits */
        if (hal_control_send(&e, sizeof(e)) != 0) {
            log_warn("control: a want of memory could not be told");
        }
    }
}

static void report_exits(void) {
    struct control_process *cp;
    struct control_process *tmp;

    list_for_each_entry_safe (cp, tmp, &g_processes, link) {
        if (!atomic_load(&cp->exited) || cp->reported) {
            continue;
        }
        cp->reported = true;
        if (cp->is_init) {
            cp->container->state = CONTAINER_STOPPED;
            dmesg_add("Container %s ended", cp->container->id);
        }
        send_exit(cp);
        if (!cp->is_init) {
            list_del_init(&cp->link);
            control_process_put(cp);
        }
    }
}

/* ---- CREATE, START, EXEC ---- */

static void set_limits(struct container *c, const struct moat_ctl_limits *l) {
    if ((l->set & MOAT_LIMIT_PIDS) != 0) {
        atomic_store(&c->pids_limit, l->pids);
    }
    if ((l->set & MOAT_LIMIT_MEMORY) != 0) {
        atomic_store(&c->memory_limit, l->memory);
    }
    if ((l->set & MOAT_LIMIT_CPU) != 0) {
        atomic_store(&c->cpu_quota_us, l->cpu_quota_us);
        atomic_store(&c->cpu_period_us, l->cpu_period_us);
    }
}

/* Names, what it shares, limits and the seccomp program. */
static int setup_container(struct container *c, const struct ctl_create *msg,
                           struct moat_ctl_reply *r) {
    const struct moat_ctl_create *f = msg->fixed;
    const char *hostname = ctl_string(msg, f->hostname);
    const char *domainname = ctl_string(msg, f->domainname);

    if (f->share.len != 0) {
        struct container *other = find_container(ctl_string(msg, f->share));
        if (other == NULL || other == c) {
            set_message(r, "there is no container '%s' to share with", ctl_string(msg, f->share));
            return -ENOENT;
        }
        container_share(c, other, f->share_flags);
    }
    hostname = hostname[0] != '\0' ? hostname : boot_info()->hostname;
    if (hostname[0] != '\0') {
        (void)strlcpy(c->hostname, hostname, sizeof(c->hostname)); /* a long name is cut */
    }
    if (domainname[0] != '\0') {
        (void)strlcpy(c->domainname, domainname, sizeof(c->domainname)); /* likewise */
    }
    set_limits(c, &f->limits);
    c->personality = (f->flags & MOAT_PROC_PERSONALITY) != 0 ? f->personality : 0;
    if (f->seccomp_count == 0) {
        return 0;
    }
    int err = seccomp_filter_create(msg->seccomp, f->seccomp_count,
                                    (f->seccomp_flags & MOAT_SECCOMP_LOG) != 0, &c->seccomp);
    if (err != 0) {
        set_message(r, "the seccomp program of container '%s' is not a valid one", c->id);
    }
    return err;
}

static int setup_root(struct container *c, const struct ctl_create *msg, struct moat_ctl_reply *r) {
    const struct moat_ctl_create *f = msg->fixed;
    struct container_mount *mounts = kcalloc((size_t)f->mount_count + 1, sizeof(*mounts));

    if (mounts == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < f->mount_count; i++) {
        const struct moat_ctl_mount *m = &msg->mounts[i];
        mounts[i] = (struct container_mount){
            .kind = m->kind,
            .flags = m->flags & (MOAT_MOUNT_RDONLY | MOAT_MOUNT_NOSUID | MOAT_MOUNT_NODEV |
                                 MOAT_MOUNT_NOEXEC | MOAT_MOUNT_NOATIME),
            .copy_up = (m->flags & MOAT_MOUNT_TMPCOPYUP) != 0,
            .export_index = m->export_index,
            .target = ctl_string(msg, m->target),
            .fstype = ctl_string(msg, m->fstype),
            .source = ctl_string(msg, m->source),
            .options = ctl_string(msg, m->options),
        };
    }
    struct container_root root = {
        .overlay = f->overlay,
        .gofer_chan = f->gofer_chan,
        .root_export = f->root_export,
        .read_only = (f->flags & MOAT_PROC_READONLY_ROOT) != 0,
        .mounts = mounts,
        .mount_count = f->mount_count,
    };
    int err = container_root_setup(c, &root, r->message);
    kfree(mounts);
    if (err == 0) {
        err = container_paths_setup(c, msg, r->message);
    }
    return err;
}

static void container_discard(struct container *c) {
    list_del_init(&c->link);
    shm_container_gone(c);
    ipc_container_gone(c);
    if (c->fs != NULL) {
        mount_ns_end(&c->fs->root);
        fs_context_put(c->fs);
        c->fs = NULL;
    }
    container_put(c);
}

static int ensure_cwd(struct container *c, const struct ctl_create *msg) {
    const char *cwd = ctl_string(msg, msg->fixed->cwd);

    if (cwd[0] != '/') {
        return 0;
    }
    struct fs_context *old = container_enter(c->fs);
    int err = container_make_path(cwd, 0040755);
    (void)container_enter(old);
    return err;
}

static int do_create(const struct ctl_create *msg, const int *hfds, uint32_t hfd_count,
                     struct moat_ctl_reply *r) {
    const char *id = ctl_string(msg, msg->fixed->container);
    struct control_process *cp = NULL;
    struct container *c = NULL;
    int err = 0;

    if (find_container(id) != NULL) {
        set_message(r, "container '%s' exists already", id);
        err = -EEXIST;
    } else {
        c = container_alloc(id);
        err = c == NULL ? -ENOMEM : 0;
    }
    if (err != 0) {
        close_donated(hfds, hfd_count);
        return err;
    }
    list_push_back(&g_containers, &c->link);
    err = setup_container(c, msg, r);
    if (err == 0) {
        err = setup_root(c, msg, r);
    }
    if (err == 0 && ensure_cwd(c, msg) != 0) {
        log_info("container %s: its working directory could not be made", id);
    }
    if (err == 0) {
        err = control_spawn(c, msg, hfds, hfd_count, true, &cp, r->message);
    } else {
        close_donated(hfds, hfd_count);
    }
    if (err != 0) {
        container_discard(c);
        return err;
    }
    list_push_back(&g_processes, &cp->link);
    c->state = CONTAINER_CREATED;
    r->pid = cp->process->pid;
    dmesg_add("Container %s created", id);
    return 0;
}

static int do_exec(const struct ctl_create *msg, const int *hfds, uint32_t hfd_count,
                   struct moat_ctl_reply *r) {
    const char *id = ctl_string(msg, msg->fixed->container);
    const char *exec_id = ctl_string(msg, msg->fixed->exec_id);
    struct container *c = find_container(id);
    struct control_process *cp = NULL;
    int err = 0;

    if (c == NULL || (c->state != CONTAINER_RUNNING && c->state != CONTAINER_CREATED)) {
        set_message(r, "container '%s' is not running", id);
        err = -ESRCH;
    } else if (atomic_load(&c->paused)) {
        set_message(r, "container '%s' is paused", id);
        err = -EBUSY;
    } else if (exec_id[0] == '\0' || find_process(c, exec_id) != NULL) {
        set_message(r, "exec id '%s' is in use", exec_id);
        err = -EEXIST;
    }
    if (err != 0) {
        close_donated(hfds, hfd_count);
        return err;
    }
    err = control_spawn(c, msg, hfds, hfd_count, false, &cp, r->message);
    if (err != 0) {
        return err;
    }
    list_push_back(&g_processes, &cp->link);
    r->pid = cp->process->pid;
    atomic_store(&cp->go, true);
    waitq_wake(&cp->changed, UINT32_MAX);
    return 0;
}

static int create_or_exec(const void *buf, size_t len, uint32_t type, const int *hfds,
                          uint32_t hfd_count, struct moat_ctl_reply *r) {
    struct ctl_create msg;
    int err = hfd_count >= 3 ? ctl_create_parse(buf, len, &msg) : -EINVAL;

    if (err == 0 &&
        (msg.fixed->container.len == 0 || msg.fixed->container.len >= CONTAINER_ID_MAX ||
         msg.fixed->exec_id.len >= CONTAINER_ID_MAX)) {
        err = -EINVAL;
    }
    if (err != 0) {
        set_message(r, "the request is not well formed%s", "");
        close_donated(hfds, hfd_count);
        return err;
    }
    return type == MOAT_CTL_CREATE ? do_create(&msg, hfds, hfd_count, r)
                                   : do_exec(&msg, hfds, hfd_count, r);
}

static int do_start(struct container *c, struct moat_ctl_reply *r) {
    struct control_process *cp = find_process(c, "");

    if (c->state != CONTAINER_CREATED || cp == NULL) {
        set_message(r, "container '%s' cannot be started: it is not in the state created", c->id);
        return -EBUSY;
    }
    c->state = CONTAINER_RUNNING;
    r->pid = cp->process->pid;
    atomic_store(&cp->go, true);
    waitq_wake(&cp->changed, UINT32_MAX);
    return 0;
}

/* ---- the small requests ---- */

static int do_signal(struct container *c, const struct moat_ctl_signal *m,
                     struct moat_ctl_reply *r) {
    if (m->signo == 0 || m->signo > NSIG_MAX) {
        set_message(r, "no such signal%s", "");
        return -EINVAL;
    }
    if (m->all != 0) {
        container_signal(c, (int)m->signo);
        return 0;
    }
    struct control_process *cp = find_process(c, m->ref.exec_id);
    if (cp == NULL || atomic_load(&cp->exited)) {
        set_message(r, "the process of container '%s' has ended", c->id);
        return -ESRCH;
    }
    return signal_send_outside(cp->process, (int)m->signo);
}

static int do_winsize(struct container *c, const struct moat_ctl_winsize *m) {
    struct control_process *cp = find_process(c, m->ref.exec_id);

    if (cp == NULL || cp->tty == NULL) {
        return -ENOTTY;
    }
    tty_set_winsize(cp->tty, m->rows, m->cols, m->xpixel, m->ypixel);
    return 0;
}

static bool shared_by_others(const struct container *c) {
    struct container *o;

    list_for_each_entry (o, &g_containers, link) {
        if (o != c && (o->pidns == c || o->uts == c || o->ipc == c)) {
            return true;
        }
    }
    return false;
}

static bool has_no_members(void *arg) {
    struct container *c = arg;

    spin_lock(&g_tasklist_lock);
    bool none = c->thread_count == 0;
    spin_unlock(&g_tasklist_lock);
    return none;
}

/* All its processes, whoever made them. */
static void end_members(struct container *c) {
    container_resume(c);
    container_signal(c, SIGKILL);
    (void)!waitq_wait(&c->gone, has_no_members, c, NO_DEADLINE,
                      BLOCK_UNINTERRUPTIBLE); /* never fails */
}

static bool has_reported(void *arg) {
    struct control_process *cp;

    list_for_each_entry (cp, &g_processes, link) {
        if (cp->container == arg && !atomic_load(&cp->exited)) {
            return false;
        }
    }
    return true;
}

static int do_delete(struct container *c, struct moat_ctl_reply *r) {
    struct control_process *cp;
    struct control_process *tmp;

    if (c->state != CONTAINER_STOPPED) {
        set_message(r, "container '%s' is not stopped", c->id);
        return -EBUSY;
    }
    if (shared_by_others(c)) {
        set_message(r, "other containers share the name spaces of '%s': delete them first", c->id);
        return -EBUSY;
    }
    end_members(c); /* in a shared pid name space they outlive the first one */
    list_for_each_entry_safe (cp, tmp, &g_processes, link) {
        if (cp->container == c) {
            list_del_init(&cp->link);
            control_process_put(cp);
        }
    }
    container_discard(c);
    return 0;
}

static int do_destroy(struct container *c, struct moat_ctl_reply *r) {
    end_members(c);
    (void)!waitq_wait(&g_wait, has_reported, c, NO_DEADLINE,
                      BLOCK_UNINTERRUPTIBLE); /* never fails */
    report_exits();
    return do_delete(c, r);
}

static int do_update(struct container *c, const struct moat_ctl_update *m) {
    set_limits(c, &m->limits);
    return 0;
}

static size_t ref_size(uint32_t type) {
    switch (type) {
    case MOAT_CTL_SIGNAL:
        return sizeof(struct moat_ctl_signal);
    case MOAT_CTL_WINSIZE:
        return sizeof(struct moat_ctl_winsize);
    case MOAT_CTL_UPDATE:
        return sizeof(struct moat_ctl_update);
    default:
        return sizeof(struct moat_ctl_ref);
    }
}

static int container_request(const void *buf, uint32_t type, struct container *c,
                             struct answer *a) {
    struct moat_ctl_reply *r = &a->reply;

    switch (type) {
    case MOAT_CTL_START:
        return do_start(c, r);
    case MOAT_CTL_SIGNAL:
        return do_signal(c, buf, r);
    case MOAT_CTL_WINSIZE:
        return do_winsize(c, buf);
    case MOAT_CTL_PS:
        r->data_size = control_ps(c, a->data, sizeof(a->data));
        return 0;
    case MOAT_CTL_STATS:
        r->data_size = control_stats(c, a->data, sizeof(a->data));
        return 0;
    case MOAT_CTL_DELETE:
        return do_delete(c, r);
    case MOAT_CTL_UPDATE:
        return do_update(c, buf);
    case MOAT_CTL_DESTROY:
        return do_destroy(c, r);
    case MOAT_CTL_PAUSE:
        container_pause(c);
        return 0;
    case MOAT_CTL_RESUME:
        container_resume(c);
        return 0;
    default:
        set_message(r, "unknown request%s", "");
        return -ENOSYS;
    }
}

static int ref_request(const void *buf, size_t len, uint32_t type, struct answer *a) {
    const struct moat_ctl_ref *ref = buf;

    if (ctl_ref_check(ref, len, ref_size(type)) != 0) {
        set_message(&a->reply, "the request is not well formed%s", "");
        return -EINVAL;
    }
    struct container *c = find_container(ref->container);
    if (c == NULL) {
        set_message(&a->reply, "no container '%s' in this sandbox", ref->container);
        return -ENOENT;
    }
    return container_request(buf, type, c, a);
}

/* ---- the task ---- */

static void handle_message(const void *buf, size_t len, const int *hfds, uint32_t hfd_count,
                           struct answer *a) {
    struct moat_ctl_header h;
    int err;

    memset(&a->reply, 0, sizeof(a->reply));
    if (ctl_header_check(buf, len, &h) != 0) {
        /* Of another version, perhaps.  The host side waits for an answer: that tells it as much.
         */
        log_error("control: a record of %lu bytes is no message of this version",
                  (unsigned long)len);
        close_donated(hfds, hfd_count);
        set_message(&a->reply, "not of this version of the control protocol%s", "");
        send_answer(a, len >= sizeof(h) ? h.id : 0, -EPROTO);
        return;
    }
    if (h.type == MOAT_CTL_CREATE || h.type == MOAT_CTL_EXEC) {
        err = create_or_exec(buf, len, h.type, hfds, hfd_count, &a->reply);
    } else {
        close_donated(hfds, hfd_count);
        if (h.type == MOAT_CTL_SHUTDOWN) {
            send_answer(a, h.id, 0);
            hal_exit(0);
        }
        err = ref_request(buf, len, h.type, a);
    }
    send_answer(a, h.id, err);
}

static bool something_pending(void *arg) {
    return atomic_load(&g_pending);
}

static void control_main(void *arg) {
    char *buf = kmalloc(MOAT_CTL_MSG_MAX);
    struct answer *answer = kmalloc(sizeof(*answer));

    if (buf == NULL || answer == NULL) {
        panic("no memory for the control task");
    }
    for (;;) {
        int hfds[MOAT_CTL_FDS_MAX];
        uint32_t hfd_count = MOAT_CTL_FDS_MAX;
        atomic_store(&g_pending, false);
        int64_t len = hal_control_recv(buf, MOAT_CTL_MSG_MAX, hfds, &hfd_count);
        if (len == -EPIPE) {
            log_info("control: the host side is gone, the sandbox ends");
            hal_exit(0);
        }
        if (len > 0) {
            handle_message(buf, (size_t)len, hfds, hfd_count, answer);
            atomic_store(&g_pending, true); /* there may be another */
        }
        report_kills(); /* before the ends that they are the reason of */
        report_exits();
        (void)!waitq_wait(&g_wait, something_pending, NULL, NO_DEADLINE,
                          BLOCK_UNINTERRUPTIBLE); /* cannot fail */
    }
}

void control_init(void) {
    waitq_init(&g_wait);
    list_init(&g_containers);
    list_init(&g_processes);
    if (kthread_start("control", control_main, NULL) != 0) {
        panic("cannot start the control task");
    }
}
