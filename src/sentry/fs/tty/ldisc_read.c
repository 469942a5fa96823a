/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line discipline: what a program reads, and changes of settings.
 */
#include "fs/tty/ldisc.h"

#include "base/string.h"

#define DISABLED 0u

/* The settings a Linux pty starts with. */
static const struct termios2 g_default_termios = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc =
        {
            [VINTR] = 'C' & 0x1f,
            [VQUIT] = '\\' & 0x1f,
            [VERASE] = 0x7f,
            [VKILL] = 'U' & 0x1f,
            [VEOF] = 'D' & 0x1f,
            [VMIN] = 1,
            [VSTART] = 'Q' & 0x1f,
            [VSTOP] = 'S' & 0x1f,
            [VSUSP] = 'Z' & 0x1f,
            [VREPRINT] = 'R' & 0x1f,
            [VDISCARD] = 'O' & 0x1f,
            [VWERASE] = 'W' & 0x1f,
            [VLNEXT] = 'V' & 0x1f,
        },
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

int ldisc_init(struct ldisc *ld) {
    memset(ld, 0, sizeof(*ld));
    ld->t = g_default_termios;
    int err = ring_init(&ld->out, LDISC_OUT_MAX);
    if (err != 0) {
        return err;
    }
    err = ring_init(&ld->echo, LDISC_ECHO_MAX);
    if (err != 0) {
        ring_free(&ld->out);
    }
    return err;
}

void ldisc_free(struct ldisc *ld) {
    ring_free(&ld->out);
    ring_free(&ld->echo);
}

static bool is_eol(const struct ldisc *ld, uint32_t at) {
    return (ld->eol[(at % LDISC_SIZE) / 64] >> (at % 64) & 1) != 0;
}

static bool by_line(const struct ldisc *ld) {
    return ldisc_l(ld, ICANON) && !ldisc_l(ld, EXTPROC);
}

/* One line or the part of it that fits.  The mark of an end of file is taken but not handed on. */
static size_t read_line(struct ldisc *ld, uint8_t *buf, size_t len, bool *out_line_end) {
    size_t done = 0;
    *out_line_end = false;
    while (ld->tail != ld->canon_head) {
        uint8_t c = ld->buf[ld->tail % LDISC_SIZE];
        bool eol = is_eol(ld, ld->tail);
        bool is_mark = eol && c == DISABLED && !ld->push;
        if (!is_mark && done == len) {
            break;
        }
        ld->tail++;
        if (!is_mark) {
            buf[done++] = c;
        }
        if (eol) {
            ld->push = false;
            *out_line_end = true;
            break;
        }
    }
    return done;
}

size_t ldisc_read(struct ldisc *ld, uint8_t *buf, size_t len, bool *out_line_end) {
    if (by_line(ld)) {
        return read_line(ld, buf, len, out_line_end);
    }
    *out_line_end = false;
    uint32_t count = (uint32_t)MIN(len, (size_t)(ld->head - ld->tail));
    uint32_t at = ld->tail % LDISC_SIZE;
    uint32_t first = MIN(count, LDISC_SIZE - at);
    memcpy(buf, ld->buf + at, first);
    memcpy(buf + first, ld->buf, count - first);
    ld->tail += count;
    return count;
}

bool ldisc_readable(const struct ldisc *ld, uint32_t min) {
    if (by_line(ld)) {
        return ld->canon_head != ld->tail;
    }
    return ld->head - ld->tail >= MAX(min, 1u);
}

uint32_t ldisc_input_len(const struct ldisc *ld) {
    if (!by_line(ld)) {
        return ld->head - ld->tail;
    }
    uint32_t count = 0;
    for (uint32_t at = ld->tail; at != ld->canon_head; at++) {
        count += is_eol(ld, at) && ld->buf[at % LDISC_SIZE] == DISABLED ? 0 : 1;
    }
    return count;
}

void ldisc_flush_input(struct ldisc *ld) {
    ld->tail = ld->canon_head = ld->head = 0;
    memset(ld->eol, 0, sizeof(ld->eol));
    ld->push = false;
    ld->lnext = false;
    ld->erasing = false;
    ld->notes |= LDISC_FLUSH_READ;
}

/* What was typed so far stays: as one finished piece in canonical mode, as plain bytes outside it.
 */
static void switch_mode(struct ldisc *ld) {
    memset(ld->eol, 0, sizeof(ld->eol));
    if (ldisc_l(ld, ICANON) && ld->head != ld->tail) {
        uint32_t last = ld->head - 1;
        ld->eol[(last % LDISC_SIZE) / 64] |= 1ull << (last % 64);
        ld->canon_head = ld->head;
        ld->push = true;
    } else {
        ld->canon_head = ld->tail;
        ld->push = false;
    }
    ld->erasing = false;
    ld->lnext = false;
}

/* Does ^S and ^Q in their usual places stop the output?  A packet-mode master is told when that
 * changes. */
static bool usual_flow(const struct termios2 *t) {
    return (t->c_iflag & IXON) != 0 && t->c_cc[VSTOP] == ('S' & 0x1f) &&
           t->c_cc[VSTART] == ('Q' & 0x1f);
}

void ldisc_set_termios(struct ldisc *ld, const struct termios2 *t) {
    struct termios2 old = ld->t;
    ld->t = *t;
    if (((old.c_lflag ^ t->c_lflag) & (ICANON | EXTPROC)) != 0) {
        switch_mode(ld);
    }
    if ((old.c_iflag & IXON) != 0 && (t->c_iflag & IXON) == 0) {
        ldisc_start(ld);
    }
    if (usual_flow(&old) != usual_flow(t)) {
        ld->notes &= ~(uint32_t)(LDISC_DO_STOP | LDISC_NO_STOP);
        ld->notes |= usual_flow(t) ? LDISC_DO_STOP : LDISC_NO_STOP;
    }
}
