/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line discipline, towards the screen: output processing (termios(3), "c_oflag"), echo, stop and
 * start.
 *
 * Echo while output is stopped or full waits in ld->echo, already processed; it is shown before
 * anything written later.
 */
#include "fs/tty/ldisc.h"

#include "base/string.h"

static bool ldisc_o(const struct ldisc *ld, uint32_t flag) {
    return (ld->t.c_oflag & flag) != 0;
}

static uint8_t to_upper(uint8_t c) {
    bool latin = c >= 0xe0 && c != 0xf7; /* y with diaeresis has no capital; Linux has one */
    return (c >= 'a' && c <= 'z') || latin ? (uint8_t)(c - 32) : c;
}

/* Output processing of one byte: fills text[8], its length in *out_len, and moves the cursor. */
static void process(struct ldisc *ld, uint8_t c, char text[8], size_t *out_len) {
    size_t len = 0;
    switch (c) {
    case '\n':
        if (ldisc_o(ld, ONLRET)) {
            ld->column = 0;
        }
        if (ldisc_o(ld, ONLCR)) {
            ld->column = 0;
            text[len++] = '\r';
        }
        ld->canon_column = ld->column;
        text[len++] = '\n';
        break;
    case '\r':
        if (ldisc_o(ld, ONOCR) && ld->column == 0) {
            break;
        }
        if (ldisc_o(ld, OCRNL)) {
            c = '\n';
            if (ldisc_o(ld, ONLRET)) {
                ld->canon_column = ld->column = 0;
            }
        } else {
            ld->canon_column = ld->column = 0;
        }
        text[len++] = (char)c;
        break;
    case '\t':
        len = 8 - (ld->column & 7);
        ld->column += (uint32_t)len;
        if ((ld->t.c_oflag & TABDLY) == XTABS) {
            memset(text, ' ', len);
        } else {
            text[0] = '\t';
            len = 1;
        }
        break;
    case '\b':
        ld->column -= ld->column != 0 ? 1 : 0;
        text[len++] = '\b';
        break;
    default:
        if (!ldisc_is_control(c)) {
            c = ldisc_o(ld, OLCUC) ? to_upper(c) : c;
            ld->column += ldisc_is_continuation(ld, c) ? 0 : 1;
        }
        text[len++] = (char)c;
        break;
    }
    *out_len = len;
}

bool ldisc_out_char(struct ldisc *ld, uint8_t c) {
    char text[8] = {(char)c};
    size_t len = 1;
    if (!ldisc_o(ld, OPOST)) {
        return ring_put_all(&ld->out, text, len);
    }
    uint32_t column = ld->column;
    uint32_t canon_column = ld->canon_column;
    process(ld, c, text, &len);
    if (!ring_put_all(&ld->out, text, len)) {
        ld->column = column;
        ld->canon_column = canon_column;
        return false;
    }
    return true;
}

size_t ldisc_write(struct ldisc *ld, const uint8_t *data, size_t len) {
    ldisc_echo_flush(ld);
    if (ld->stopped) {
        return 0;
    }
    if (!ldisc_o(ld, OPOST)) {
        return ring_put(&ld->out, data, len);
    }
    size_t done = 0;
    while (done < len && ldisc_out_char(ld, data[done])) {
        done++;
    }
    return done;
}

/* ---- echo ---------------------------------------------------------------------------------------
 */

/* Finished bytes: to the screen, or behind what already waits.  What does not fit is lost, as on
 * Linux. */
static void echo_bytes(struct ldisc *ld, const char *text, size_t len) {
    if (ld->stopped || ring_len(&ld->echo) != 0 || !ring_put_all(&ld->out, text, len)) {
        bool kept = ring_put_all(&ld->echo, text, len);
        (void)kept; /* a program that never reads its own echo loses it */
    }
}

void ldisc_echo_flush(struct ldisc *ld) {
    char chunk[128];
    while (!ld->stopped && ring_len(&ld->echo) != 0) {
        size_t len = ring_peek(&ld->echo, chunk, sizeof(chunk));
        size_t put = ring_put(&ld->out, chunk, len);
        ring_drop(&ld->echo, put);
        if (put < len) {
            break;
        }
    }
}

void ldisc_echo_raw(struct ldisc *ld, uint8_t c) {
    char text[8] = {(char)c};
    size_t len = 1;
    if (c == 0xff) {
        ld->column++; /* Linux marks its echo operations with this byte, so it passes unprocessed */
    } else if (ldisc_o(ld, OPOST)) {
        process(ld, c, text, &len);
    }
    echo_bytes(ld, text, len);
}

void ldisc_echo(struct ldisc *ld, uint8_t c) {
    if (!ldisc_l(ld, ECHOCTL) || !ldisc_is_control(c) || c == '\t') {
        ldisc_echo_raw(ld, c);
        return;
    }
    char text[2] = {'^', (char)(c ^ 0100)};
    ld->column += 2;
    echo_bytes(ld, text, 2);
}

void ldisc_echo_back(struct ldisc *ld, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        ld->column -= ld->column != 0 ? 1 : 0;
        echo_bytes(ld, "\b", 1);
    }
}

/* ---- flow
 * ---------------------------------------------------------------------------------------- */

void ldisc_stop(struct ldisc *ld) {
    if (!ld->stopped) {
        ld->stopped = true;
        ld->notes = (ld->notes & ~(uint32_t)LDISC_START) | LDISC_STOP;
    }
}

void ldisc_start(struct ldisc *ld) {
    if (ld->stopped && !ld->tco_stopped) {
        ld->stopped = false;
        ld->notes = (ld->notes & ~(uint32_t)LDISC_STOP) | LDISC_START;
        ldisc_echo_flush(ld);
    }
}

void ldisc_flush_output(struct ldisc *ld) {
    ring_clear(&ld->out);
    ld->notes |= LDISC_FLUSH_WRITE;
}
