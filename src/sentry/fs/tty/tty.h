/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals, as the rest of the kernel sees them: pseudo-terminals, controlling terminals, job
 * control (tty_ioctl(4), pty(7), credentials(7)).
 */
#ifndef MOAT_SENTRY_TTY_H
#define MOAT_SENTRY_TTY_H

#include "base/types.h"

struct tty;
struct file;
struct process;
struct session;

/*
 * A pseudo-terminal for a container's standard streams: its master side is pumped from in_hfd and
 * to out_hfd (both owned by the pump from now on, also on error; they may be the same number).
 * *out_slave is the slave opened O_RDWR without becoming anyone's controlling terminal; *out_tty a
 * reference for tty_set_winsize and tty_set_controlling, given back with tty_put.
 */
must_check int tty_container_console(int in_hfd, int out_hfd, uint16_t rows, uint16_t cols,
                                     struct file **out_slave, struct tty **out_tty);
/* Waits until the host has got everything written to a container's console so far, as long as it
 * goes on taking it.  For the exit of the process that a peer waits for.  May sleep. */
void tty_console_drain(struct tty *tty);
/* Sets the window size; SIGWINCH to the foreground group when it changed. */
void tty_set_winsize(struct tty *tty, uint16_t rows, uint16_t cols, uint16_t xpixel,
                     uint16_t ypixel);
/* Makes `tty` the controlling terminal of `leader`'s session and its group the foreground one
 * (before the process runs). -EPERM when the session or the terminal has another. */
must_check int tty_set_controlling(struct tty *tty, struct process *leader);
void tty_get(struct tty *tty);
void tty_put(struct tty *tty);

/* The exit of a session leader: gives the controlling terminal up, SIGHUP to its foreground group.
 * No lock may be held; call it while the process is still in its group and session. */
void tty_session_leader_exit(struct process *p);
/* Last reference to a session gone: drops its terminal.  Any lock below RANK_TTY may be held. */
void tty_session_free(struct session *s);
/* /proc/pid/stat: device number of the session's terminal and its foreground group; 0 and -1 when
 * there is none. */
void tty_session_info(struct session *s, uint32_t *out_dev, int32_t *out_pgrp);

#endif
