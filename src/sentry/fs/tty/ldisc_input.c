/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line discipline, from the keyboard: input translation, signals, flow control, line editing
 * (termios(3), "c_iflag", "c_lflag", "Canonical and noncanonical mode").
 */
#include "fs/tty/ldisc.h"

#include "base/string.h"

#include <asm-generic/signal.h>

#define DISABLED                                                                                   \
    0u /* _POSIX_VDISABLE: no key has this function; also marks an end of file in the buffer */

static bool is_key(const struct ldisc *ld, uint8_t c, int which) {
    return c != DISABLED && c == ld->t.c_cc[which];
}

static uint8_t *slot(struct ldisc *ld, uint32_t at) {
    return &ld->buf[at % LDISC_SIZE];
}

static bool is_word(uint8_t c) {
    bool ascii =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return ascii || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

static void put_byte(struct ldisc *ld, uint8_t c) {
    *slot(ld, ld->head) = c;
    ld->eol[(ld->head % LDISC_SIZE) / 64] &= ~(1ull << (ld->head % 64));
    ld->head++;
}

/* A byte of data; 0xff is doubled under PARMRK so that a reader can tell it from a mark. */
static void put_data(struct ldisc *ld, uint8_t c) {
    if (c == 0xff && ldisc_i(ld, PARMRK)) {
        put_byte(ld, c);
    }
    put_byte(ld, c);
}

static void finish_erasing(struct ldisc *ld) {
    if (ld->erasing) {
        ldisc_echo_raw(ld, '/');
        ld->erasing = false;
    }
}

static void echo_input(struct ldisc *ld, uint8_t c) {
    if (ld->canon_head == ld->head) {
        ld->canon_column = ld->column;
    }
    ldisc_echo(ld, c);
}

/* ---- erasing
 * -------------------------------------------------------------------------------------- */

/* Takes a tab off the screen: how far the cursor goes back depends on the columns before it in its
 * stop. */
static void erase_tab(struct ldisc *ld) {
    uint32_t columns = 0;
    bool after_tab = false;
    for (uint32_t at = ld->head; at != ld->canon_head;) {
        uint8_t c = *slot(ld, --at);
        if (c == '\t') {
            after_tab = true;
            break;
        }
        if (ldisc_is_control(c)) {
            columns += ldisc_l(ld, ECHOCTL) ? 2 : 0;
        } else if (!ldisc_is_continuation(ld, c)) {
            columns++;
        }
    }
    if (!after_tab) {
        columns += ld->canon_column;
    }
    ldisc_echo_back(ld, 8 - (columns & 7));
}

static void erase_on_screen(struct ldisc *ld, uint8_t c, uint32_t count, int key) {
    if (ldisc_l(ld, ECHOPRT)) {
        if (!ld->erasing) {
            ldisc_echo_raw(ld, '\\');
            ld->erasing = true;
        }
        ldisc_echo(ld, c);
        for (uint32_t i = 1; i < count; i++) {
            ldisc_echo_raw(ld, *slot(ld, ld->head + i));
            ld->column -= ld->column != 0 ? 1 : 0; /* Linux's count, one too low in UTF-8 */
        }
        return;
    }
    if (key == VERASE && !ldisc_l(ld, ECHOE)) {
        ldisc_echo(ld, ld->t.c_cc[VERASE]);
        return;
    }
    if (c == '\t') {
        erase_tab(ld);
        return;
    }
    uint32_t width = ldisc_is_control(c) ? (ldisc_l(ld, ECHOCTL) ? 2 : 0) : 1;
    for (uint32_t i = 0; i < width; i++) {
        ldisc_echo_raw(ld, '\b');
        ldisc_echo_raw(ld, ' ');
        ldisc_echo_raw(ld, '\b');
    }
}

/* Finds the last character before head: its first byte's position, or false when only a part of one
 * is left. */
static bool last_char(struct ldisc *ld, uint32_t *out_at) {
    uint32_t at = ld->head;
    do {
        at--;
    } while (ldisc_is_continuation(ld, *slot(ld, at)) && at != ld->canon_head);
    *out_at = at;
    return !ldisc_is_continuation(ld, *slot(ld, at));
}

/* VKILL without visual erasing: true when it was dealt with. */
static bool kill_line_plain(struct ldisc *ld) {
    bool echo = ldisc_l(ld, ECHO);
    if (echo && ldisc_l(ld, ECHOK) && ldisc_l(ld, ECHOKE) && ldisc_l(ld, ECHOE)) {
        return false;
    }
    ld->head = ld->canon_head;
    if (echo) {
        finish_erasing(ld);
        ldisc_echo(ld, ld->t.c_cc[VKILL]);
        if (ldisc_l(ld, ECHOK)) {
            ldisc_echo_raw(ld, '\n');
        }
    }
    return true;
}

static void erase(struct ldisc *ld, int key) {
    bool seen_word = false;
    uint32_t at;
    if (ld->head == ld->canon_head || (key == VKILL && kill_line_plain(ld))) {
        return;
    }
    while (ld->head != ld->canon_head && last_char(ld, &at)) {
        uint8_t c = *slot(ld, at);
        if (key == VWERASE) {
            if (is_word(c)) {
                seen_word = true;
            } else if (seen_word) {
                break;
            }
        }
        uint32_t count = ld->head - at;
        ld->head = at;
        if (ldisc_l(ld, ECHO)) {
            erase_on_screen(ld, c, count, key);
        }
        if (key == VERASE) {
            break;
        }
    }
    if (ld->head == ld->canon_head && ldisc_l(ld, ECHO)) {
        finish_erasing(ld);
    }
}

/* ---- keys
 * -------------------------------------------------------------------------------------------- */

static void signal_key(struct ldisc *ld, uint8_t c, int signo) {
    ld->signals |= 1ull << (signo - 1);
    if (!ldisc_l(ld, NOFLSH)) {
        ring_clear(&ld->echo);
        ldisc_flush_output(ld);
        ldisc_flush_input(ld);
    }
    if (ldisc_i(ld, IXON)) {
        ldisc_start(ld);
    }
    if (ldisc_l(ld, ECHO)) {
        ldisc_echo(ld, c);
    }
}

static void end_line(struct ldisc *ld, uint8_t c) {
    uint32_t at = ld->head;
    put_byte(ld, c);
    ld->eol[(at % LDISC_SIZE) / 64] |= 1ull << (at % 64);
    ld->canon_head = ld->head;
}

static void reprint(struct ldisc *ld, uint8_t c) {
    finish_erasing(ld);
    ldisc_echo(ld, c);
    ldisc_echo_raw(ld, '\n');
    for (uint32_t at = ld->canon_head; at != ld->head; at++) {
        ldisc_echo(ld, *slot(ld, at));
    }
}

static void literal_next(struct ldisc *ld) {
    ld->lnext = true;
    if (ldisc_l(ld, ECHO)) {
        finish_erasing(ld);
        if (ldisc_l(ld, ECHOCTL)) {
            ldisc_echo_raw(ld, '^');
            ldisc_echo_raw(ld, '\b');
        }
    }
}

/* The keys of canonical mode: true when `c` was one. */
static bool canonical_key(struct ldisc *ld, uint8_t c) {
    bool extended = ldisc_l(ld, IEXTEN);
    if (is_key(ld, c, VERASE)) {
        erase(ld, VERASE);
    } else if (is_key(ld, c, VKILL)) {
        erase(ld, VKILL);
    } else if (extended && is_key(ld, c, VWERASE)) {
        erase(ld, VWERASE);
    } else if (extended && is_key(ld, c, VLNEXT)) {
        literal_next(ld);
    } else if (extended && ldisc_l(ld, ECHO) && is_key(ld, c, VREPRINT)) {
        reprint(ld, c);
    } else if (c == '\n') {
        if (ldisc_l(ld, ECHO) || ldisc_l(ld, ECHONL)) {
            ldisc_echo_raw(ld, '\n');
        }
        end_line(ld, c);
    } else if (is_key(ld, c, VEOF)) {
        end_line(ld, DISABLED);
    } else if (is_key(ld, c, VEOL) || (extended && is_key(ld, c, VEOL2))) {
        if (ldisc_l(ld, ECHO)) {
            echo_input(ld, c);
        }
        if (c == 0xff && ldisc_i(ld, PARMRK)) {
            put_byte(ld, c);
        }
        end_line(ld, c);
    } else {
        return false;
    }
    return true;
}

/* Flow control and signal keys: true when `c` was one. */
static bool control_key(struct ldisc *ld, uint8_t c) {
    static const struct {
        int key;
        int signo;
    } keys[] = {{VINTR, SIGINT}, {VQUIT, SIGQUIT}, {VSUSP, SIGTSTP}};
    if (ldisc_i(ld, IXON)) {
        if (is_key(ld, c, VSTART)) {
            ldisc_start(ld);
            return true;
        }
        if (is_key(ld, c, VSTOP)) {
            ldisc_stop(ld);
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(keys) && ldisc_l(ld, ISIG); i++) {
        if (is_key(ld, c, keys[i].key)) {
            signal_key(ld, c, keys[i].signo);
            return true;
        }
    }
    return false;
}

static bool is_capital(uint8_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
}

static uint8_t translate(const struct ldisc *ld, uint8_t c) {
    if (ldisc_i(ld, ISTRIP)) {
        c &= 0x7f;
    }
    if (ldisc_i(ld, IUCLC) && ldisc_l(ld, IEXTEN) && is_capital(c)) {
        c = (uint8_t)(c + 32);
    }
    return c;
}

/* A byte without a function.  A newline shows as one only when it was made from a carriage return.
 */
static void receive_data(struct ldisc *ld, uint8_t c, bool made_newline) {
    if (ldisc_l(ld, ECHO)) {
        finish_erasing(ld);
        if (made_newline) {
            ldisc_echo_raw(ld, '\n');
        } else {
            echo_input(ld, c);
        }
    }
    put_data(ld, c);
}

static void receive_literal(struct ldisc *ld, uint8_t c) {
    ld->lnext = false;
    receive_data(ld, translate(ld, c), false);
}

static void receive(struct ldisc *ld, uint8_t c) {
    if (ld->lnext) {
        receive_literal(ld, c);
        return;
    }
    c = translate(ld, c);
    if (ldisc_l(ld, EXTPROC)) {
        put_byte(ld, c);
        return;
    }
    if (control_key(ld, c)) {
        return;
    }
    if (ld->stopped && !ld->tco_stopped && ldisc_i(ld, IXON) && ldisc_i(ld, IXANY)) {
        ldisc_start(ld);
    }
    bool made_newline = false;
    if (c == '\r') {
        if (ldisc_i(ld, IGNCR)) {
            return;
        }
        made_newline = ldisc_i(ld, ICRNL);
        c = made_newline ? '\n' : c;
    } else if (c == '\n' && ldisc_i(ld, INLCR)) {
        c = '\r';
    }
    if (!ldisc_l(ld, ICANON) || !canonical_key(ld, c)) {
        receive_data(ld, c, made_newline);
    }
}

/* ---- room
 * ---------------------------------------------------------------------------------------------- */

static uint32_t free_bytes(const struct ldisc *ld) {
    uint32_t room = LDISC_SIZE - (ld->head - ld->tail);
    if (ldisc_i(ld, PARMRK)) {
        room = (room + 2) / 3;
    }
    return room == 0 ? 0 : room - 1;
}

/* Without a finished line nobody can make room: then the line is full, and each further byte
 * replaces the last. */
static bool line_overflows(const struct ldisc *ld) {
    return ldisc_l(ld, ICANON) && ld->canon_head == ld->tail;
}

bool ldisc_has_room(const struct ldisc *ld) {
    return free_bytes(ld) != 0 || line_overflows(ld);
}

size_t ldisc_receive(struct ldisc *ld, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (free_bytes(ld) == 0) {
            if (!line_overflows(ld)) {
                return i;
            }
            if (ld->head - ld->tail == LDISC_SIZE) {
                ld->head--;
            }
        }
        receive(ld, data[i]);
    }
    return len;
}
