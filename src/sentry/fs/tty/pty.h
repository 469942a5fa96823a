/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pseudo-terminal pair, shared by the files of the terminal layer.
 *
 * Every terminal here is a pty: programs sit on its slave side, behind the line discipline; a
 * terminal emulator (or the console pump) holds the master side.
 *
 * Locks, in this order: g_tasklist_lock > g_tty_lock (RANK_TTY: sessions and foreground groups of
 * all terminals) > devpts->lock (RANK_FS) > tty->lock (RANK_FILE: the pair's data and state) > wait
 * queues.  Signals are sent with no lock held: tty_unlock does it for those the line discipline
 * asked for. Life: open files, the inode, the session whose controlling terminal it is and the
 * console pump hold references.
 */
#ifndef MOAT_SENTRY_TTY_PTY_H
#define MOAT_SENTRY_TTY_PTY_H

#include "base/atomic.h"
#include "fs/tty/ldisc.h"
#include "fs/tty/ring.h"
#include "fs/tty/tty.h"
#include "fs/vfs.h"
#include "kernel/lock.h"
#include "kernel/wait.h"

struct pgrp;
struct session;
struct devpts;

#define PTY_INPUT_MAX 65536u /* bytes from the master that the line discipline has no room for */
#define PTY_CHUNK     4096u

struct pty_winsize { /* struct winsize of user space */
    uint16_t rows, cols, xpixel, ypixel;
};

struct tty {
    struct refcount ref;
    struct devpts *devpts; /* instance, referenced through its superblock; constant */
    uint32_t index;        /* number in it; constant */
    struct inode *inode;   /* node /dev/pts/N while the master is open; guarded by devpts->lock */

    struct spinlock lock; /* RANK_FILE; guards what follows */
    struct ldisc ld;
    struct ring in; /* input the line discipline had no room for */
    struct pty_winsize winsize;
    uint32_t slave_count;  /* open files on the slave side */
    bool slave_seen;       /* it was open once */
    bool hung_up;          /* the master is gone: slaves read end of file for ever */
    bool locked;           /* TIOCSPTLCK */
    bool exclusive;        /* TIOCEXCL */
    bool packet;           /* TIOCPKT */
    uint32_t packet_notes; /* LDISC_* not yet read by a packet-mode master */
    struct waitq slave_wait, master_wait;
    bool pump_holds;      /* the console pump took output that the host has not got yet */
    uint64_t pumped;      /* bytes the host got */
    struct waitq drained; /* tty_console_drain sleeps here */

    struct session *session; /* weak: cleared when the session gives it up; guarded by g_tty_lock */
    struct pgrp *fg;         /* referenced; guarded by g_tty_lock */
};

extern struct spinlock g_tty_lock;
extern const struct file_ops g_pty_slave_ops, g_pty_master_ops;

/* ---- pty.c: the pair ---- */
must_check struct tty *tty_alloc(struct devpts *devpts, uint32_t index);
static inline void tty_lock(struct tty *tty) {
    spin_lock(&tty->lock);
}
/* Whom to wake: readers and writers of the two sides. */
enum {
    TTY_SLAVE_IN = 1,
    TTY_SLAVE_OUT = 2,
    TTY_MASTER_IN = 4,
    TTY_MASTER_OUT = 8,
    TTY_HANGUP = 16, /* everybody */
};
/* Unlocks; hands on the notes and sends the signals that the line discipline left, and wakes as
 * asked. */
void tty_unlock(struct tty *tty, uint32_t wake);
/* Bytes from the master's side: how many were taken.  Under tty->lock. */
size_t tty_input(struct tty *tty, const uint8_t *data, size_t len);
/* Moves waiting input on after room was made; true when some moved.  Under tty->lock. */
bool tty_input_move(struct tty *tty);
/* Whom input that was taken concerns. */
uint32_t tty_input_wakes(const struct tty *tty);
/* The master is closed. */
void tty_hangup(struct tty *tty);
/* Opens of either side into `file`, which gets a reference. */
must_check int pty_slave_open(struct tty *tty, struct file *file);
must_check int pty_master_open(struct devpts *devpts, struct file *file);

/* ---- job.c: sessions and groups ---- */
/* Current's controlling terminal, referenced, or NULL. */
struct tty *tty_current(void);
/* The job-control rule for background use: 0, -EIO, or -ERESTARTSYS after `signo` (SIGTTIN,
 * SIGTTOU) was sent to current's group. */
must_check int tty_check_change(struct tty *tty, int signo);
/* An open without O_NOCTTY: becomes the controlling terminal if that may be. */
void tty_open_controlling(struct tty *tty);
void tty_signal_foreground(struct tty *tty, int signo);
/* Takes the terminal from its session: the leader gets SIGHUP and SIGCONT. */
void tty_hangup_session(struct tty *tty);
must_check int tty_ioctl_sctty(struct tty *tty, const struct file *file, uint64_t steal);
must_check int tty_ioctl_notty(struct tty *tty);
must_check int tty_ioctl_gpgrp(struct tty *tty, bool from_master, struct uaddr arg);
must_check int tty_ioctl_spgrp(struct tty *tty, struct uaddr arg);
must_check int tty_ioctl_gsid(struct tty *tty, bool from_master, struct uaddr arg);

/* ---- ioctl.c ---- */
int64_t pty_slave_ioctl(struct file *file, uint32_t request, struct uaddr arg);
int64_t pty_master_ioctl(struct file *file, uint32_t request, struct uaddr arg);

/* ---- devpts.c ---- */
extern const struct fs_type g_devpts_type;
/* The instance an inode belongs to, or that is mounted at /dev/pts of current; referenced
 * (devpts_put).  NULL: none. */
struct devpts *devpts_find(const struct inode *inode);
void devpts_put(struct devpts *devpts);
void devpts_get(struct devpts *devpts);
/* A new pair with its node. */
must_check int devpts_new_pair(struct devpts *devpts, struct tty **out_tty);
/* The master is closed: the node and the number go. */
void devpts_remove(struct tty *tty);
/* Opens the slave by its path below the devpts mount that `near` lies in. */
must_check int devpts_open_slave(struct tty *tty, const struct path *near, uint32_t flags,
                                 struct file **out_file);

#endif
