/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline of a terminal: what lies between the bytes of a keyboard and of a program
 * (termios(3)).
 *
 * Pure logic: no task, no lock, no sleep; the caller serialises the calls of one struct ldisc.
 * Bytes from the keyboard go in through ldisc_receive, a program takes them with ldisc_read; what a
 * program writes goes in through ldisc_write; what the screen shows, echo included, collects in
 * `out`.  Signals to send and things a packet-mode master wants to hear of collect in `signals` and
 * `notes`, which the caller takes.
 */
#ifndef MOAT_SENTRY_TTY_LDISC_H
#define MOAT_SENTRY_TTY_LDISC_H

#include "base/types.h"
#include "fs/tty/ring.h"

#include <asm-generic/termbits.h>

#define LDISC_SIZE     4096u /* input bytes kept, as Linux's N_TTY; one of them stays free */
#define LDISC_OUT_MAX  65536u
#define LDISC_ECHO_MAX 4096u

enum { /* ldisc.notes: what happened; the bits of TIOCPKT (tty_ioctl(2const)) */
       LDISC_FLUSH_READ = 1,
       LDISC_FLUSH_WRITE = 2,
       LDISC_STOP = 4,
       LDISC_START = 8,
       LDISC_NO_STOP = 16,
       LDISC_DO_STOP = 32,
};

struct ldisc {
    struct termios2 t;
    /* Input.  Positions are free-running counts; bytes [tail, canon_head) are finished lines,
     * [canon_head, head) is the line being edited.  Outside canonical mode canon_head means
     * nothing. */
    uint8_t buf[LDISC_SIZE];
    uint64_t eol[LDISC_SIZE / 64]; /* bit: this byte ends a line */
    uint32_t tail, canon_head, head;
    bool lnext;            /* next byte is taken literally */
    bool erasing;          /* inside the \.../ of ECHOPRT */
    bool push;             /* a line without an end, finished by a switch to canonical mode */
    bool stopped;          /* output is held (^S or TCOOFF) */
    bool tco_stopped;      /* by TCOOFF: only TCOON ends it */
    uint32_t column;       /* of the cursor */
    uint32_t canon_column; /* where the line being edited began */
    struct ring out;       /* to the screen */
    struct ring echo;      /* echo that waits for the output to go on */
    uint64_t signals;      /* bit N-1: signal N to the foreground group */
    uint32_t notes;
};

/* Linux's default settings for a pty.  0 or -ENOMEM. */
must_check int ldisc_init(struct ldisc *ld);
void ldisc_free(struct ldisc *ld);

/* Bytes from the keyboard: how many were taken (all, unless there is no room for finished lines).
 */
size_t ldisc_receive(struct ldisc *ld, const uint8_t *data, size_t len);
/* Would ldisc_receive take a byte? */
bool ldisc_has_room(const struct ldisc *ld);
/* Bytes of a program: how many were taken.  Fewer when output is stopped or `out` is full. */
size_t ldisc_write(struct ldisc *ld, const uint8_t *data, size_t len);
/* Bytes for a program: in canonical mode up to the end of one line, *out_line_end then tells that
 * the end was reached (with no bytes: end of file). */
size_t ldisc_read(struct ldisc *ld, uint8_t *buf, size_t len, bool *out_line_end);
/* Could a read that wants `min` bytes (outside canonical mode) go on? */
bool ldisc_readable(const struct ldisc *ld, uint32_t min);
/* FIONREAD. */
uint32_t ldisc_input_len(const struct ldisc *ld);

/* Shows echo that could not be shown before: after `out` was drained. */
void ldisc_echo_flush(struct ldisc *ld);
void ldisc_set_termios(struct ldisc *ld, const struct termios2 *t);
void ldisc_flush_input(struct ldisc *ld);
void ldisc_flush_output(struct ldisc *ld);
/* ^S and ^Q, or TCOOFF and TCOON. */
void ldisc_stop(struct ldisc *ld);
void ldisc_start(struct ldisc *ld);

/* ---- between the files of the line discipline ---- */
/* One byte to the screen with output processing if it is on: false when it does not fit. */
must_check bool ldisc_out_char(struct ldisc *ld, uint8_t c);
/* Echo: the byte as it is through output processing, in ^X form, or raw in two bytes. */
void ldisc_echo_raw(struct ldisc *ld, uint8_t c);
void ldisc_echo(struct ldisc *ld, uint8_t c);
void ldisc_echo_back(struct ldisc *ld, uint32_t count);

static inline bool ldisc_l(const struct ldisc *ld, uint32_t flag) {
    return (ld->t.c_lflag & flag) != 0;
}
static inline bool ldisc_i(const struct ldisc *ld, uint32_t flag) {
    return (ld->t.c_iflag & flag) != 0;
}
static inline bool ldisc_is_continuation(const struct ldisc *ld, uint8_t c) {
    return ldisc_i(ld, IUTF8) && (c & 0xc0) == 0x80;
}
static inline bool ldisc_is_control(uint8_t c) {
    return c < 0x20 || c == 0x7f;
}

#endif
