/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes made from outside: their credentials, descriptors and terminal as the message says,
 * then, in the new task itself and with its own rights, working directory, program and execve.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/hostfile.h"
#include "fs/tty/tty.h"
#include "fs/vfs.h"
#include "kernel/control_process.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/seccomp.h"
#include "kernel/time.h"
#include "kernel/wait.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void control_process_put(struct control_process *cp) {
    if (!ref_put(&cp->ref)) {
        return;
    }
    if (cp->tty != NULL) {
        tty_put(cp->tty);
    }
    if (cp->process != NULL) {
        process_put(cp->process);
    }
    container_put(cp->container);
    kfree(cp->cwd);
    kfree(cp->argv);
    kfree(cp->strings);
    kfree(cp->home);
    kfree(cp);
}

static void set_state(struct control_process *cp, enum control_state state) {
    atomic_store(&cp->state, (uint32_t)state);
    waitq_wake(&cp->changed, UINT32_MAX);
}

void control_process_ending(struct control_process *cp) {
    if (cp->tty != NULL) {
        tty_console_drain(cp->tty);
    }
}

void control_process_exited(struct control_process *cp, int32_t status) {
    cp->status = status;
    atomic_store(&cp->exited, true);
    control_wake();
    control_process_put(cp);
}

/* ---- in the new task ---- */

static int failed(struct control_process *cp, int err, const char *format, const char *what) {
    cp->error = err;
    (void)fmt_snprintf(cp->message, sizeof(cp->message), format, what); /* a long name is cut */
    return err;
}

static int enter_cwd(struct control_process *cp) {
    struct fs_context *fs = current->fs;
    struct path path;

    int err = path_lookup(AT_FDCWD_MOAT, cp->cwd, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);
    if (err == 0) {
        err = path_permission(&path, MAY_EXEC);
        if (err != 0) {
            path_put(&path);
        }
    }
    switch (err) {
    case 0:
        break;
    case -ENOENT:
        return failed(cp, err, "chdir to cwd ('%s') failed: no such file or directory", cp->cwd);
    case -ENOTDIR:
        return failed(cp, err, "chdir to cwd ('%s') failed: not a directory", cp->cwd);
    case -EACCES:
        return failed(cp, err, "chdir to cwd ('%s') failed: permission denied", cp->cwd);
    default:
        return failed(cp, err, "chdir to cwd ('%s') failed", cp->cwd);
    }
    spin_lock(&fs->lock);
    struct path old = fs->cwd;
    fs->cwd = path;
    spin_unlock(&fs->lock);
    path_put(&old);
    return 0;
}

static const char *env_path(const struct control_process *cp) {
    for (uint32_t i = 0; i < cp->envc; i++) {
        if (strncmp(cp->envp[i], "PATH=", 5) == 0) {
            return cp->envp[i] + 5;
        }
    }
    return DEFAULT_PATH;
}

static int is_program(const char *name) {
    struct path path;
    int err = path_lookup(AT_FDCWD_MOAT, name, LOOKUP_FOLLOW, &path);

    if (err != 0) {
        return err;
    }
    err = S_ISREG(path.dentry->inode->mode) ? path_permission(&path, MAY_EXEC) : -EACCES;
    path_put(&path);
    return err;
}

/* Looks through PATH as execvp(3) does; kfree the result. */
static int find_program(struct control_process *cp, char **out) {
    const char *name = cp->argv[0];
    const char *dirs = env_path(cp);
    int result = -ENOENT;

    if (strchr(name, '/') != NULL) {
        *out = kstrdup(name);
        return *out != NULL ? 0 : -ENOMEM;
    }
    char *buf = kmalloc(PATH_MAX_LEN);
    if (buf == NULL) {
        return -ENOMEM;
    }
    while (name[0] != '\0') {
        const char *end = strchr(dirs, ':');
        int len = (int)(end != NULL ? (size_t)(end - dirs) : strlen(dirs));
        size_t need =
            fmt_snprintf(buf, PATH_MAX_LEN, "%.*s%s%s", len, dirs, len > 0 ? "/" : "", name);
        int err = need < PATH_MAX_LEN ? is_program(buf) : -ENAMETOOLONG;
        if (err == 0) {
            *out = buf;
            return 0;
        }
        result = err == -EACCES ? err : result;
        if (end == NULL) {
            break;
        }
        dirs = end + 1;
    }
    kfree(buf);
    return result;
}

static int load_program(struct control_process *cp) {
    char *file = NULL;
    int err = enter_cwd(cp);

    if (err != 0) {
        return err;
    }
    err = control_home(cp);
    err = err != 0 ? err : find_program(cp, &file);
    if (err == -ENOENT) {
        return failed(cp, err, "exec: \"%s\": executable file not found in $PATH", cp->argv[0]);
    }
    if (err != 0) {
        return failed(cp, err, "exec: \"%s\": permission denied", cp->argv[0]);
    }
    err = kernel_execve(current, file, (const char *const *)cp->argv, cp->argc,
                        (const char *const *)cp->envp, cp->envc);
    kfree(file);
    switch (err) {
    case 0:
        return 0;
    case -ENOENT:
        return failed(cp, err, "exec: \"%s\": no such file or directory", cp->argv[0]);
    case -EACCES:
        return failed(cp, err, "exec: \"%s\": permission denied", cp->argv[0]);
    case -ENOEXEC:
        return failed(cp, err, "exec: \"%s\": exec format error", cp->argv[0]);
    case -E2BIG:
        return failed(cp, err, "exec: \"%s\": argument list too long", cp->argv[0]);
    default:
        log_warn("exec of %s: error %d", cp->argv[0], -err);
        return failed(cp, err, "exec: \"%s\": cannot be run", cp->argv[0]);
    }
}

static bool may_go(void *arg) {
    return atomic_load(&((struct control_process *)arg)->go);
}

/* First function of the new task. */
static void process_main(void *arg) {
    struct control_process *cp = arg;
    struct task *t = current;

    t->is_kthread = false;
    process_cpu_limit_apply(t->process);
    int err = load_program(cp);
    if (err != 0) {
        set_state(cp, CONTROL_FAILED);
        control_process_put(cp);
        process_exit_group(127 << 8);
    }
    set_state(cp, CONTROL_READY);
    /* START lets it go; a kill does too, and is met on the way to user mode. */
    (void)!waitq_wait(&cp->changed, may_go, cp, NO_DEADLINE, BLOCK_KILLABLE);
    control_process_put(cp);
    task_user_loop(t);
}

/* ---- what the message says ---- */

/* argv and envp as one block of strings and one of pointers. */
static int copy_strings(struct control_process *cp, const struct ctl_create *msg) {
    uint32_t argc = msg->fixed->argc;
    uint32_t envc = msg->fixed->envc;
    size_t size = 0;

    for (uint32_t i = 0; i < argc + envc; i++) {
        size += (i < argc ? msg->argv[i] : msg->envp[i - argc]).len + 1;
    }
    cp->argv = kcalloc((size_t)argc + envc + 1, sizeof(*cp->argv));
    cp->strings = kmalloc(size + 1);
    cp->cwd = kstrdup(ctl_string(msg, msg->fixed->cwd));
    if (cp->argv == NULL || cp->strings == NULL || cp->cwd == NULL) {
        return -ENOMEM;
    }
    char *at = cp->strings;
    for (uint32_t i = 0; i < argc + envc; i++) {
        struct moat_ctl_str s = i < argc ? msg->argv[i] : msg->envp[i - argc];
        memcpy(at, ctl_string(msg, s), (size_t)s.len + 1);
        cp->argv[i] = at;
        at += (size_t)s.len + 1;
    }
    cp->envp = cp->argv + argc;
    cp->argc = argc;
    cp->envc = envc;
    if (cp->cwd[0] != '/') {
        cp->cwd[0] = '\0';
        kfree(cp->cwd);
        cp->cwd = kstrdup("/");
    }
    return cp->cwd != NULL ? 0 : -ENOMEM;
}

static struct cred *make_cred(struct container *c, const struct ctl_create *msg) {
    const struct moat_ctl_create *f = msg->fixed;
    struct cred *cred = cred_copy(cred_root());

    if (cred == NULL) {
        return NULL;
    }
    cred->uid = cred->euid = cred->suid = cred->fsuid = f->uid;
    cred->gid = cred->egid = cred->sgid = cred->fsgid = f->gid;
    cred->cap_bounding = f->cap_bounding & CAP_FULL_SET;
    cred->cap_permitted = f->cap_permitted & CAP_FULL_SET;
    cred->cap_effective = f->cap_effective & cred->cap_permitted;
    cred->cap_inheritable = f->cap_inheritable & CAP_FULL_SET;
    cred->cap_ambient = f->cap_ambient & cred->cap_permitted & cred->cap_inheritable;
    cred->user = user_counts_get(c, f->uid);
    if (f->group_count != 0) {
        cred->groups = kmemdup(msg->groups, f->group_count * sizeof(uint32_t));
        if (cred->groups == NULL) {
            cred_put(cred);
            return NULL;
        }
        cred->group_count = f->group_count;
        cred_sort_groups(cred->groups, cred->group_count);
    }
    return cred;
}

static void apply_limits(struct process *p, const struct ctl_create *msg) {
    for (uint32_t i = 0; i < msg->fixed->rlimit_count; i++) {
        const struct moat_ctl_rlimit *r = &msg->rlimits[i];
        if (r->resource < RLIMIT_COUNT && r->cur <= r->max) {
            p->rlimits[r->resource] = (struct rlimit_pair){r->cur, r->max};
        }
    }
}

void close_donated(const int *hfds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        hal_file_close(hfds[i]);
    }
}

/* Donated files become descriptors of the same numbers; takes them over. */
static int give_files(struct files *files, const int *hfds, uint32_t first, uint32_t end) {
    struct file *file;
    int err = 0;

    for (uint32_t fd = first; fd < end; fd++) {
        if (err < 0) {
            hal_file_close(hfds[fd]);
            continue;
        }
        err = hostfile_create(hfds[fd], &file);
        if (err == 0) {
            err = fd_install_in(files, file, (int)fd);
            file_put(file);
        }
    }
    return err < 0 ? err : 0;
}

/* The three standard streams: donated files, or one terminal for all.  Takes three of hfds over. */
static int make_stdio(struct control_process *cp, struct files *files, const struct ctl_create *msg,
                      const int *hfds) {
    const struct moat_ctl_create *f = msg->fixed;
    struct file *file = NULL;
    int err = 0;

    if ((f->flags & MOAT_PROC_TERMINAL) != 0) {
        hal_file_close(hfds[2]);
        struct fs_context *old = container_enter(cp->container->fs); /* its /dev/pts */
        err = tty_container_console(hfds[0], hfds[1], f->rows, f->cols, &file, &cp->tty);
        (void)container_enter(old);
        if (err == 0) {
            struct iattr owner = {.valid = ATTR_SET_UID, .uid = f->uid};
            inode_apply_attr(file->inode, &owner);
        }
        for (int fd = 0; err >= 0 && fd < 3; fd++) {
            err = fd_install_in(files, file, fd);
        }
        if (file != NULL) {
            file_put(file);
        }
        return err < 0 ? err : 0;
    }
    return give_files(files, hfds, 0, 3);
}

/* Takes all of hfds over. */
static int make_files(struct control_process *cp, struct files *files, const struct ctl_create *msg,
                      const int *hfds, uint32_t hfd_count) {
    int err = make_stdio(cp, files, msg, hfds);

    if (err != 0) {
        close_donated(hfds + 3, hfd_count - 3);
        return err;
    }
    return give_files(files, hfds, 3, hfd_count);
}

/* ---- the new task ---- */

static bool may_have_thread(const struct container *c) {
    uint64_t limit = atomic_load(&c->pids_limit);

    return limit == 0 || c->thread_count < limit;
}

/* Number, session, group, and a place in the container's table.  There is no parent: ppid is 0. */
static int publish(struct control_process *cp, struct task *t) {
    struct process *p = t->process;
    struct container *c = p->container;
    struct pgrp *old = NULL;

    spin_lock(&g_tasklist_lock);
    bool ns_init = cp->is_init && p->member == c;
    int32_t pid = c->init_dying || (!ns_init && c->init == NULL) ? -ESRCH
                  : !may_have_thread(p->member)                  ? -EAGAIN
                                                                 : pid_reserve(c);
    if (pid < 0) {
        spin_unlock(&g_tasklist_lock);
        return pid;
    }
    struct pid_slot *slot = pid_slot_get(c, pid);
    t->tid = pid;
    p->pid = pid;
    slot->task = t;
    slot->process = p;
    int err = process_new_group(p, pid, true, &old);
    if (err != 0) {
        slot->task = NULL;
        slot->process = NULL;
        pid_slot_release(c, pid);
        spin_unlock(&g_tasklist_lock);
        return err;
    }
    list_push_back(&g_all_processes, &p->all_link);
    process_get(p);
    task_get(t);
    p->leader = t;
    spin_lock(&p->sig_lock);
    process_add_thread(p, t);
    spin_unlock(&p->sig_lock);
    c->process_count++;
    if (ns_init) {
        c->init = p;
        p->unkillable = true;
    }
    if (t->cred->user != NULL) {
        (void)atomic_fetch_add(&t->cred->user->processes, 1u);
    }
    ref_get(&cp->ref); /* the process's, until control_process_exited */
    p->control = cp;
    spin_unlock(&g_tasklist_lock);
    return 0;
}

/* What the kernel keeps and reports (schedsys.c). */
static void apply_scheduling(struct task *t, const struct moat_ctl_create *f) {
    if ((f->flags & MOAT_PROC_SCHEDULER) != 0) {
        t->sched_policy = f->sched_policy;
        t->rt_priority = f->sched_priority;
        t->nice = f->nice < -20 ? -20 : MIN(f->nice, 19);
    }
    if ((f->flags & MOAT_PROC_IOPRIO) != 0) {
        t->ioprio = f->ioprio;
    }
    if ((f->flags & MOAT_PROC_OOM_SCORE) != 0) {
        t->process->oom_score_adj = f->oom_score_adj;
    }
}

static int fill_task(struct control_process *cp, struct task *t, const struct ctl_create *msg,
                     const int *hfds, uint32_t hfd_count) {
    struct container *c = cp->container;
    struct process *p = process_alloc(c);

    t->files = files_create();
    t->process = p;
    t->fs = fs_context_copy(c->fs);
    t->cred = make_cred(c, msg);
    if (p != NULL) {
        p->actions = sig_actions_create(NULL);
    }
    if (t->files == NULL || p == NULL || t->fs == NULL || t->cred == NULL || p->actions == NULL) {
        close_donated(hfds, hfd_count);
        return -ENOMEM;
    }
    process_timers_init(p);
    apply_limits(p, msg);
    t->fs->umask = msg->fixed->umask_ & 0777;
    t->no_new_privs = (msg->fixed->flags & MOAT_PROC_NO_NEW_PRIVS) != 0;
    seccomp_set(t, c->seccomp);
    t->personality = c->personality;
    apply_scheduling(t, msg->fixed);
    (void)strlcpy(t->comm, "init", sizeof(t->comm)); /* fits */
    t->is_kthread = true;                            /* begins in process_main */
    t->kthread_fn = process_main;
    t->kthread_arg = cp;
    return make_files(cp, t->files, msg, hfds, hfd_count);
}

static void discard_task(struct task *t) {
    if (t->files != NULL) {
        files_put(t->files);
    }
    if (t->fs != NULL) {
        fs_context_put(t->fs);
    }
    task_put(t);
}

static bool has_loaded(void *arg) {
    return atomic_load(&((struct control_process *)arg)->state) != CONTROL_STARTING;
}

static int start_and_wait(struct control_process *cp, struct task *t, char *message) {
    process_get(t->process);
    cp->process = t->process;
    if (cp->tty != NULL) {
        int err = tty_set_controlling(cp->tty, t->process);
        if (err != 0) {
            log_warn("the terminal of container %s controls another session (%d)",
                     cp->container->id, err);
        }
    }
    ref_get(&cp->ref); /* process_main's */
    sched_start(t);
    (void)!waitq_wait(&cp->changed, has_loaded, cp, NO_DEADLINE,
                      BLOCK_UNINTERRUPTIBLE); /* cannot fail */
    if (atomic_load(&cp->state) == CONTROL_FAILED) {
        (void)strlcpy(message, cp->message, CTL_MESSAGE_SIZE); /* the same size */
        return cp->error;
    }
    return 0;
}

int control_spawn(struct container *c, const struct ctl_create *msg, const int *hfds,
                  uint32_t hfd_count, bool is_init, struct control_process **out,
                  char message[CTL_MESSAGE_SIZE]) {
    struct control_process *cp = kzalloc(sizeof(*cp));
    struct task *t = task_alloc();

    if (cp == NULL || t == NULL) {
        kfree(cp);
        if (t != NULL) {
            task_put(t);
        }
        close_donated(hfds, hfd_count);
        return -ENOMEM;
    }
    ref_init(&cp->ref);
    list_init(&cp->link);
    waitq_init(&cp->changed);
    container_get(c);
    cp->container = c;
    cp->is_init = is_init;
    (void)strlcpy(cp->exec_id, ctl_string(msg, msg->fixed->exec_id),
                  sizeof(cp->exec_id)); /* checked */
    int err = fill_task(cp, t, msg, hfds, hfd_count);
    if (err == 0) {
        err = copy_strings(cp, msg);
    }
    if (err == 0) {
        err = publish(cp, t);
    }
    if (err != 0) {
        (void)fmt_snprintf(message, CTL_MESSAGE_SIZE, "cannot make the process (error %d)", -err);
        discard_task(t);
        control_process_put(cp);
        return err;
    }
    err = start_and_wait(cp, t, message);
    if (err != 0) {
        cp->reported = true;
        control_process_put(cp);
        return err;
    }
    *out = cp;
    return 0;
}
