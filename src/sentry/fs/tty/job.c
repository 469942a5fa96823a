/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals and job control (tty_ioctl(2const), setsid(2), "Job control" of the POSIX
 * general terminal interface).  Locks: see pty.h.
 *
 * session->tty holds a reference on the terminal; tty->session is weak, and both are set and
 * cleared together under g_tty_lock.
 */
#include "fs/tty/pty.h"

#include "kernel/cpu.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <asm-generic/signal.h>
#include <linux/capability.h>

#include "fs/dev/dev.h"

struct spinlock g_tty_lock = SPINLOCK_INIT(RANK_TTY);

struct tty *tty_current(void) {
    struct session *s = task_session_get(current);
    if (s == NULL) {
        return NULL;
    }
    spin_lock(&g_tty_lock);
    struct tty *tty = s->tty;
    if (tty != NULL) {
        tty_get(tty);
    }
    spin_unlock(&g_tty_lock);
    session_put(s);
    return tty;
}

/* Is `tty` the controlling terminal of current's session? */
static bool is_controlling(struct tty *tty) {
    struct session *s = task_session_get(current);
    if (s == NULL) {
        return false;
    }
    spin_lock(&g_tty_lock);
    bool is = s->tty == tty;
    spin_unlock(&g_tty_lock);
    session_put(s);
    return is;
}

static bool is_session_leader(const struct session *s) {
    return s->id == current->process->pid;
}

/* The foreground group, referenced, or NULL. */
static struct pgrp *foreground_get(struct tty *tty) {
    spin_lock(&g_tty_lock);
    struct pgrp *g = tty->fg;
    if (g != NULL) {
        pgrp_get(g);
    }
    spin_unlock(&g_tty_lock);
    return g;
}

void tty_signal_foreground(struct tty *tty, int signo) {
    struct pgrp *g = foreground_get(tty);
    if (g != NULL) {
        (void)signal_send_pgrp(g, signo, NULL); /* an empty group has nobody to tell */
        pgrp_put(g);
    }
}

/* ---- the background rule
 * ------------------------------------------------------------------------- */

static int background(struct pgrp *own, int signo) {
    if (signal_ignored_or_blocked(signo)) {
        return signo == SIGTTIN ? -EIO : 0;
    }
    if (pgrp_is_orphaned(own)) {
        return -EIO;
    }
    (void)signal_send_pgrp(own, signo, NULL); /* current is a member */
    return -ERESTARTSYS;
}

int tty_check_change(struct tty *tty, int signo) {
    if (!is_controlling(tty)) {
        return 0;
    }
    struct pgrp *own = task_pgrp_get(current);
    struct pgrp *fg = foreground_get(tty);
    int err = fg == NULL || fg == own ? 0 : background(own, signo);
    if (fg != NULL) {
        pgrp_put(fg);
    }
    pgrp_put(own);
    return err;
}

/* ---- getting and giving up
 * --------------------------------------------------------------------------- */

/* Ties terminal and session; `group` becomes the foreground one.  *out_old_fg is to be put by the
 * caller.  Both must be free; under g_tty_lock. */
static void attach(struct tty *tty, struct session *s, struct pgrp *group,
                   struct pgrp **out_old_fg) {
    tty_get(tty);
    s->tty = tty;
    tty->session = s;
    *out_old_fg = tty->fg;
    pgrp_get(group);
    tty->fg = group;
}

/* Unties; under g_tty_lock.  The caller puts *out_fg (may be NULL) and the terminal's reference. */
static struct tty *detach(struct session *s, struct pgrp **out_fg) {
    struct tty *tty = s->tty;
    *out_fg = NULL;
    if (tty != NULL) {
        *out_fg = tty->fg;
        tty->fg = NULL;
        tty->session = NULL;
        s->tty = NULL;
    }
    return tty;
}

static int try_attach(struct tty *tty, struct session *s, struct pgrp *group) {
    struct pgrp *old_fg = NULL;
    int err = -EPERM;
    spin_lock(&g_tty_lock);
    if (s->tty == NULL && tty->session == NULL) {
        attach(tty, s, group, &old_fg);
        err = 0;
    }
    spin_unlock(&g_tty_lock);
    if (old_fg != NULL) {
        pgrp_put(old_fg);
    }
    return err;
}

void tty_open_controlling(struct tty *tty) {
    struct session *s = task_session_get(current);
    struct pgrp *g = task_pgrp_get(current);
    if (s != NULL && g != NULL && is_session_leader(s)) {
        int ignored = try_attach(tty, s, g);
        (void)ignored; /* one of them has another: the open is an ordinary one */
    }
    if (g != NULL) {
        pgrp_put(g);
    }
    if (s != NULL) {
        session_put(s);
    }
}

int tty_set_controlling(struct tty *tty, struct process *leader) {
    spin_lock(&g_tasklist_lock);
    struct pgrp *g = leader->pgrp;
    struct session *s = g->session;
    pgrp_get(g);
    session_get(s);
    spin_unlock(&g_tasklist_lock);
    int err = try_attach(tty, s, g);
    session_put(s);
    pgrp_put(g);
    return err;
}

/* Takes the terminal away from whatever session has it. */
static void steal(struct tty *tty) {
    struct pgrp *fg = NULL;
    struct tty *held = NULL;
    spin_lock(&g_tty_lock);
    if (tty->session != NULL) {
        held = detach(tty->session, &fg);
    }
    spin_unlock(&g_tty_lock);
    if (fg != NULL) {
        pgrp_put(fg);
    }
    tty_put(held);
}

int tty_ioctl_sctty(struct tty *tty, const struct file *file, uint64_t steal_it) {
    struct session *s = task_session_get(current);
    struct pgrp *g = task_pgrp_get(current);
    int err = -EPERM;
    spin_lock(&g_tty_lock);
    bool have_it = s->tty == tty;
    bool have_other = s->tty != NULL && !have_it;
    bool taken = tty->session != NULL;
    spin_unlock(&g_tty_lock);
    if (have_it && is_session_leader(s)) {
        err = 0;
    } else if (is_session_leader(s) && !have_other) {
        bool admin = capable(CAP_SYS_ADMIN);
        if (taken && steal_it == 1 && admin) {
            steal(tty);
        }
        if ((file->mode & FMODE_READ) != 0 || admin) {
            err = try_attach(tty, s, g);
        }
    }
    pgrp_put(g);
    session_put(s);
    return err;
}

/* Gives the session's terminal up; the foreground group gets SIGHUP, and SIGCONT too when asked. */
static void give_up(struct session *s, bool cont) {
    struct pgrp *fg;
    spin_lock(&g_tty_lock);
    struct tty *tty = detach(s, &fg);
    spin_unlock(&g_tty_lock);
    if (fg != NULL) {
        (void)signal_send_pgrp(fg, SIGHUP, NULL); /* nobody left is fine */
        if (cont) {
            (void)signal_send_pgrp(fg, SIGCONT, NULL);
        }
        pgrp_put(fg);
    }
    if (tty != NULL) {
        waitq_wake(&tty->master_wait,
                   UINT32_MAX); /* the console pump looks whether it is still needed */
    }
    tty_put(tty);
}

int tty_ioctl_notty(struct tty *tty) {
    if (!is_controlling(tty)) {
        return -ENOTTY;
    }
    struct session *s = task_session_get(current);
    if (is_session_leader(s)) {
        give_up(s, true);
    }
    session_put(s);
    return 0;
}

void tty_session_leader_exit(struct process *p) {
    struct session *s = NULL;
    spin_lock(&g_tasklist_lock);
    if (p->pgrp != NULL && p->pgrp->session->id == p->pid) {
        s = p->pgrp->session;
        session_get(s);
    }
    spin_unlock(&g_tasklist_lock);
    if (s != NULL) {
        give_up(s, false);
        session_put(s);
    }
}

void tty_session_free(struct session *s) {
    spin_lock(&g_tty_lock);
    if (s->tty != NULL) {
        s->tty->session = NULL;
        s->tty = NULL; /* its reference stays: nothing may be freed under the caller's locks */
    }
    spin_unlock(&g_tty_lock);
}

/* The session's leader, referenced, or NULL; and the session no longer has the terminal. */
static struct process *detach_from_leader(struct tty *tty, struct pgrp **out_fg,
                                          struct tty **out_held) {
    struct process *leader = NULL;
    *out_fg = NULL;
    *out_held = NULL;
    spin_lock(&g_tasklist_lock);
    spin_lock(&g_tty_lock);
    if (tty->session != NULL) {
        leader = tty->session->leader;
        if (leader != NULL) {
            process_get(leader);
        }
        *out_held = detach(tty->session, out_fg);
    }
    spin_unlock(&g_tty_lock);
    spin_unlock(&g_tasklist_lock);
    return leader;
}

void tty_hangup_session(struct tty *tty) {
    struct pgrp *fg;
    struct tty *held;
    struct process *leader = detach_from_leader(tty, &fg, &held);
    if (leader != NULL) {
        (void)signal_send_process(leader, SIGHUP, NULL); /* SIGHUP is never refused */
        (void)signal_send_process(leader, SIGCONT, NULL);
        process_put(leader);
    }
    if (fg != NULL) {
        pgrp_put(fg);
    }
    tty_put(held);
}

/* ---- groups
 * ------------------------------------------------------------------------------------------ */

int tty_ioctl_gpgrp(struct tty *tty, bool from_master, struct uaddr arg) {
    if (!from_master && !is_controlling(tty)) {
        return -ENOTTY;
    }
    struct pgrp *fg = foreground_get(tty);
    int32_t id = 0;
    if (fg != NULL) {
        id = fg->id;
        pgrp_put(fg);
    }
    return copyout(arg, &id, sizeof(id));
}

/* Makes `g` the foreground group of current's session's terminal. */
static int set_foreground(struct tty *tty, struct pgrp *g) {
    struct session *s = task_session_get(current);
    struct pgrp *old = NULL;
    int err = 0;
    spin_lock(&g_tty_lock);
    if (s->tty != tty || tty->session != s) {
        err = -ENOTTY;
    } else if (g->session != s) {
        err = -EPERM;
    } else {
        old = tty->fg;
        pgrp_get(g);
        tty->fg = g;
    }
    spin_unlock(&g_tty_lock);
    if (old != NULL) {
        pgrp_put(old);
    }
    session_put(s);
    return err;
}

int tty_ioctl_spgrp(struct tty *tty, struct uaddr arg) {
    int32_t id;
    int err = tty_check_change(tty, SIGTTOU);
    if (err == -EIO) {
        return -ENOTTY;
    }
    if (err == 0 && !is_controlling(tty)) {
        err = -ENOTTY;
    }
    if (err == 0) {
        err = copyin(&id, arg, sizeof(id));
    }
    if (err != 0) {
        return err;
    }
    if (id < 0) {
        return -EINVAL;
    }
    struct pgrp *g = pgrp_find(id);
    if (g == NULL) {
        return -ESRCH;
    }
    err = set_foreground(tty, g);
    pgrp_put(g);
    return err;
}

int tty_ioctl_gsid(struct tty *tty, bool from_master, struct uaddr arg) {
    if (!from_master && !is_controlling(tty)) {
        return -ENOTTY;
    }
    int32_t id = 0;
    spin_lock(&g_tty_lock);
    bool have = tty->session != NULL;
    if (have) {
        id = tty->session->id;
    }
    spin_unlock(&g_tty_lock);
    return have ? copyout(arg, &id, sizeof(id)) : -ENOTTY;
}

void tty_session_info(struct session *s, uint32_t *out_dev, int32_t *out_pgrp) {
    *out_dev = 0;
    *out_pgrp = -1;
    spin_lock(&g_tty_lock);
    if (s->tty != NULL) {
        *out_dev = (uint32_t)MKDEV(DEV_MAJOR_PTS, s->tty->index);
        *out_pgrp = s->tty->fg != NULL ? s->tty->fg->id : -1;
    }
    spin_unlock(&g_tty_lock);
}
