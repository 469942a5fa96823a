/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo-terminal pairs: life, and the motion of bytes between the two sides (pty(7)).  Locks: see
 * pty.h.
 */
#include "fs/tty/pty.h"

#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/poll.h>
#include <asm-generic/signal.h>
#include <linux/capability.h>

#define READ_EVENTS  (POLLIN | POLLRDNORM)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM)
#define GONE_EVENTS  (POLLHUP | POLLERR)

struct tty *tty_alloc(struct devpts *devpts, uint32_t index) {
    struct tty *tty = kzalloc(sizeof(*tty));
    if (tty == NULL || ldisc_init(&tty->ld) != 0) {
        kfree(tty);
        return NULL;
    }
    if (ring_init(&tty->in, PTY_INPUT_MAX) != 0) {
        ldisc_free(&tty->ld);
        kfree(tty);
        return NULL;
    }
    ref_init(&tty->ref);
    spin_init(&tty->lock, RANK_FILE);
    waitq_init(&tty->slave_wait);
    waitq_init(&tty->master_wait);
    waitq_init(&tty->drained);
    tty->index = index;
    tty->locked = true;
    tty->devpts = devpts;
    devpts_get(devpts);
    return tty;
}

void tty_get(struct tty *tty) {
    ref_get(&tty->ref);
}

void tty_put(struct tty *tty) {
    if (tty == NULL || !ref_put(&tty->ref)) {
        return;
    }
    if (tty->fg != NULL) {
        pgrp_put(tty->fg);
    }
    ldisc_free(&tty->ld);
    ring_free(&tty->in);
    devpts_put(tty->devpts);
    kfree(tty);
}

/* A new note takes the place of its opposite. */
static uint32_t notes_merge(uint32_t old, uint32_t add) {
    if ((add & (LDISC_STOP | LDISC_START)) != 0) {
        old &= ~(uint32_t)(LDISC_STOP | LDISC_START);
    }
    if ((add & (LDISC_DO_STOP | LDISC_NO_STOP)) != 0) {
        old &= ~(uint32_t)(LDISC_DO_STOP | LDISC_NO_STOP);
    }
    return old | add;
}

static void wake_side(struct waitq *q, uint32_t in, uint32_t out, uint32_t hangup) {
    uint32_t events = (in != 0 ? READ_EVENTS | POLLPRI : 0) | (out != 0 ? WRITE_EVENTS : 0);
    events |= hangup != 0 ? UINT32_MAX : 0;
    if (events != 0) {
        waitq_wake(q, events);
    }
}

void tty_unlock(struct tty *tty, uint32_t wake) {
    uint64_t signals = tty->ld.signals;
    uint32_t notes = tty->ld.notes;
    tty->ld.signals = 0;
    tty->ld.notes = 0;
    if (notes != 0) {
        wake |= TTY_SLAVE_OUT | TTY_MASTER_IN | TTY_MASTER_OUT;
        if (tty->packet) {
            tty->packet_notes = notes_merge(tty->packet_notes, notes);
        }
    }
    spin_unlock(&tty->lock);
    wake_side(&tty->slave_wait, wake & TTY_SLAVE_IN, wake & TTY_SLAVE_OUT, wake & TTY_HANGUP);
    wake_side(&tty->master_wait, wake & TTY_MASTER_IN, wake & TTY_MASTER_OUT, wake & TTY_HANGUP);
    while (signals != 0) {
        int signo = __builtin_ctzll(signals) + 1;
        signals &= signals - 1;
        tty_signal_foreground(tty, signo);
    }
}

uint32_t tty_input_wakes(const struct tty *tty) {
    uint32_t wake = ldisc_readable(&tty->ld, 1) ? TTY_SLAVE_IN : 0;
    return wake | (ring_len(&tty->ld.out) != 0 ? TTY_MASTER_IN : 0);
}

size_t tty_input(struct tty *tty, const uint8_t *data, size_t len) {
    size_t done = 0;
    if (ring_len(&tty->in) == 0) {
        done = ldisc_receive(&tty->ld, data, len);
    }
    return done + ring_put(&tty->in, data + done, len - done);
}

bool tty_input_move(struct tty *tty) {
    uint8_t chunk[256];
    bool moved = false;
    while (ring_len(&tty->in) != 0 && ldisc_has_room(&tty->ld)) {
        size_t len = ring_peek(&tty->in, chunk, sizeof(chunk));
        size_t taken = ldisc_receive(&tty->ld, chunk, len);
        if (taken == 0) {
            break;
        }
        ring_drop(&tty->in, taken);
        moved = true;
    }
    return moved;
}

void tty_hangup(struct tty *tty) {
    tty_lock(tty);
    tty->hung_up = true;
    ring_clear(&tty->in);
    ring_clear(&tty->ld.out);
    tty_unlock(tty, TTY_HANGUP);
    waitq_wake(&tty->drained, UINT32_MAX);
    tty_hangup_session(tty);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

int pty_slave_open(struct tty *tty, struct file *file) {
    int err = 0;
    tty_lock(tty);
    if (tty->hung_up || tty->locked) {
        err = -EIO;
    } else if (tty->exclusive && tty->slave_count != 0 && !capable(CAP_SYS_ADMIN)) {
        err = -EBUSY;
    } else {
        tty->slave_count++;
        tty->slave_seen = true;
    }
    tty_unlock(tty, 0);
    if (err != 0) {
        return err;
    }
    tty_get(tty);
    file->private = tty;
    file->ops = &g_pty_slave_ops;
    file->mode |= FMODE_STREAM;
    if ((file->flags & O_NOCTTY) == 0 && (file->mode & FMODE_READ) != 0) {
        tty_open_controlling(tty);
    }
    return 0;
}

int pty_master_open(struct devpts *devpts, struct file *file) {
    struct tty *tty;
    int err = devpts_new_pair(devpts, &tty);
    if (err == 0) {
        file->private = tty; /* the reference */
        file->ops = &g_pty_master_ops;
        file->mode |= FMODE_STREAM;
    }
    return err;
}

static void slave_release(struct file *file) {
    struct tty *tty = file->private;
    tty_lock(tty);
    tty->slave_count--;
    if (tty->slave_count == 0) {
        tty->exclusive = false;
    }
    tty_unlock(tty, tty->slave_count == 0 ? TTY_HANGUP : 0);
    tty_put(tty);
}

static void master_release(struct file *file) {
    struct tty *tty = file->private;
    devpts_remove(tty);
    tty_hangup(tty);
    tty_put(tty);
}

/* ---- the slave side
 * ------------------------------------------------------------------------------- */

/* Sleeps on one of the pair's queues, to which `w` was added: 0, -ETIMEDOUT or -ERESTARTSYS. */
static int pty_sleep(uint64_t deadline_ns) {
    int err = task_block(deadline_ns, BLOCK_INTERRUPTIBLE);
    return err == -EINTR ? -ERESTARTSYS : err;
}

static bool nonblocking(const struct file *file) {
    return (atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0;
}

/* What a read outside canonical mode waits for (termios(3), MIN and TIME). */
struct read_rule {
    uint32_t min;         /* bytes to collect before it returns */
    uint64_t time_ns;     /* between bytes, or for the first one; 0: no limit */
    uint64_t deadline_ns; /* for the next byte */
    bool no_wait;         /* MIN 0, TIME 0 */
};

static struct read_rule read_rule_of(struct tty *tty) {
    struct read_rule r = {.min = 1, .deadline_ns = NO_DEADLINE};
    const struct termios2 *t = &tty->ld.t;
    if ((t->c_lflag & ICANON) == 0) {
        r.min = t->c_cc[VMIN];
        r.time_ns = t->c_cc[VTIME] * 100 * NSEC_PER_MSEC;
        r.no_wait = r.min == 0 && r.time_ns == 0;
        if (r.min == 0 && r.time_ns != 0) {
            r.deadline_ns = hal_clock_ns(HAL_CLOCK_MONOTONIC) + r.time_ns;
        }
    }
    return r;
}

enum read_step { READ_GOT, READ_EMPTY, READ_HUNG_UP };

/* Takes what is there into buf. */
static enum read_step slave_take(struct tty *tty, uint8_t *buf, size_t len, size_t *out_len,
                                 bool *out_line) {
    enum read_step step = READ_EMPTY;
    uint32_t wake = 0;
    tty_lock(tty);
    *out_len = 0;
    *out_line = (tty->ld.t.c_lflag & ICANON) != 0;
    if (tty->hung_up) {
        step = READ_HUNG_UP;
    } else if (ldisc_readable(&tty->ld, 1)) {
        bool line_end;
        *out_len = ldisc_read(&tty->ld, buf, len, &line_end);
        wake = tty_input_move(tty) ? tty_input_wakes(tty) | TTY_MASTER_OUT : 0;
        step = READ_GOT;
    }
    tty_unlock(tty, wake);
    return step;
}

static int64_t slave_read_loop(struct file *file, struct iov_iter *to, struct read_rule *rule,
                               uint8_t *buf, size_t size) {
    struct tty *tty = file->private;
    int64_t done = 0;
    for (;;) {
        size_t len;
        bool line;
        enum read_step step = slave_take(tty, buf, MIN(size, iter_left(to)), &len, &line);
        if (step == READ_GOT) {
            int64_t n = iter_copy_to(to, buf, len);
            if (n < 0) {
                return done != 0 ? done : n;
            }
            done += n;
            if (line || (size_t)n < len || iter_left(to) == 0 || done >= (int64_t)rule->min) {
                return done;
            }
            if (rule->time_ns != 0) {
                rule->deadline_ns = hal_clock_ns(HAL_CLOCK_MONOTONIC) + rule->time_ns;
            }
            continue;
        }
        if (step == READ_HUNG_UP || rule->no_wait) {
            return done;
        }
        if (nonblocking(file)) {
            return done != 0 ? done : -EAGAIN;
        }
        int err = pty_sleep(rule->deadline_ns);
        if (err != 0) {
            return done != 0 || err == -ETIMEDOUT ? done : err;
        }
    }
}

static int64_t slave_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct tty *tty = file->private;
    uint8_t small[256];
    int err = tty_check_change(tty, SIGTTIN);
    if (err != 0 || iter_left(to) == 0) {
        return err;
    }
    /* A line is taken in one piece: two readers never share one. */
    size_t size = MIN(iter_left(to), (size_t)PTY_CHUNK);
    uint8_t *buf = size <= sizeof(small) ? small : kmalloc(size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    struct waiter w;
    waiter_init_task(&w, current);
    w.mask = READ_EVENTS | GONE_EVENTS;
    waitq_add(&tty->slave_wait, &w);
    tty_lock(tty);
    struct read_rule rule = read_rule_of(tty);
    tty_unlock(tty, 0);
    int64_t n = slave_read_loop(file, to, &rule, buf, size);
    waitq_remove(&w);
    if (buf != small) {
        kfree(buf);
    }
    return n;
}

typedef int64_t put_fn(struct tty *tty, const uint8_t *data, size_t len);

/* Hands everything in the iterator to `put`, sleeping on `q` when it takes nothing. */
static int64_t write_loop(struct file *file, struct waitq *q, struct iov_iter *from, put_fn *put) {
    struct tty *tty = file->private;
    uint8_t small[256];
    size_t size = MIN(iter_left(from), (size_t)PTY_CHUNK);
    uint8_t *big = size > sizeof(small) ? kmalloc(size) : NULL;
    uint8_t *buf = big != NULL ? big : small;
    size = big != NULL ? size : sizeof(small);
    int64_t done = 0, err = 0;
    struct waiter w;
    waiter_init_task(&w, current);
    w.mask = WRITE_EVENTS | GONE_EVENTS;
    waitq_add(q, &w);
    while (err == 0 && iter_left(from) != 0) {
        int64_t len = iter_copy_from(from, buf, MIN(iter_left(from), size));
        if (len <= 0) {
            err = len;
            break;
        }
        int64_t n = put(tty, buf, (size_t)len);
        if (n < len) {
            iter_revert(from, (size_t)(len - MAX(n, 0)));
        }
        if (n < 0) {
            err = n;
        } else {
            done += n;
        }
        if (n >= 0 && n < len) {
            err = nonblocking(file) ? -EAGAIN : pty_sleep(NO_DEADLINE);
        }
    }
    waitq_remove(&w);
    kfree(big);
    return done != 0 ? done : err;
}

static int64_t slave_put(struct tty *tty, const uint8_t *data, size_t len) {
    int64_t n = -EIO;
    tty_lock(tty);
    if (!tty->hung_up) {
        n = (int64_t)ldisc_write(&tty->ld, data, len);
    }
    tty_unlock(tty, n > 0 ? TTY_MASTER_IN : 0);
    return n;
}

static int64_t slave_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct tty *tty = file->private;
    tty_lock(tty);
    bool check = (tty->ld.t.c_lflag & TOSTOP) != 0;
    tty_unlock(tty, 0);
    int err = check ? tty_check_change(tty, SIGTTOU) : 0;
    return err != 0 ? err : write_loop(file, &tty->slave_wait, from, slave_put);
}

static uint32_t slave_poll(struct file *file, struct poll_table *table) {
    struct tty *tty = file->private;
    uint32_t events = 0;
    poll_wait(table, &tty->slave_wait);
    tty_lock(tty);
    if (tty->hung_up) {
        events = READ_EVENTS | WRITE_EVENTS | POLLERR | POLLHUP;
    } else {
        const struct termios2 *t = &tty->ld.t;
        uint32_t min = t->c_cc[VTIME] == 0 ? t->c_cc[VMIN] : 1;
        events |= ldisc_readable(&tty->ld, min) ? READ_EVENTS : 0;
        events |= !tty->ld.stopped && ring_room(&tty->ld.out) != 0 ? WRITE_EVENTS : 0;
    }
    tty_unlock(tty, 0);
    return events;
}

const struct file_ops g_pty_slave_ops = {
    .sends_sigio = true,
    .release = slave_release,
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = pty_slave_ioctl,
};

/* ---- the master side
 * -------------------------------------------------------------------------------- */

static int64_t master_take(struct tty *tty, uint8_t *buf, size_t len) {
    int64_t n = 0;
    tty_lock(tty);
    if (tty->packet && tty->packet_notes != 0) {
        buf[0] = (uint8_t)tty->packet_notes;
        tty->packet_notes = 0;
        n = 1;
    } else {
        size_t prefix = tty->packet ? 1 : 0; /* TIOCPKT_DATA */
        buf[0] = 0;
        if (len > prefix) {
            n = (int64_t)ring_take(&tty->ld.out, buf + prefix, len - prefix);
        }
        ldisc_echo_flush(&tty->ld);
        if (n == 0) {
            n = tty->slave_seen && tty->slave_count == 0 ? -EIO : -EAGAIN;
        } else {
            n += (int64_t)prefix;
        }
    }
    tty_unlock(tty, n > 0 ? TTY_SLAVE_OUT : 0);
    return n;
}

static int64_t master_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct tty *tty = file->private;
    size_t size = MIN(iter_left(to), (size_t)PTY_CHUNK);
    if (size == 0) {
        return 0;
    }
    uint8_t *buf = kmalloc(size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    int64_t n;
    struct waiter w;
    waiter_init_task(&w, current);
    w.mask = READ_EVENTS | POLLPRI | GONE_EVENTS;
    waitq_add(&tty->master_wait, &w);
    for (;;) {
        n = master_take(tty, buf, size);
        if (n != -EAGAIN || nonblocking(file)) {
            break;
        }
        n = pty_sleep(NO_DEADLINE);
        if (n != 0) {
            break;
        }
    }
    waitq_remove(&w);
    if (n > 0) {
        n = iter_copy_to(to, buf, (size_t)n);
    }
    kfree(buf);
    return n;
}

static int64_t master_put(struct tty *tty, const uint8_t *data, size_t len) {
    tty_lock(tty);
    size_t n = tty_input(tty, data, len);
    tty_unlock(tty, tty_input_wakes(tty));
    return (int64_t)n;
}

static int64_t master_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    struct tty *tty = file->private;
    return write_loop(file, &tty->master_wait, from, master_put);
}

static uint32_t master_poll(struct file *file, struct poll_table *table) {
    struct tty *tty = file->private;
    uint32_t events = 0;
    poll_wait(table, &tty->master_wait);
    tty_lock(tty);
    if (ring_len(&tty->ld.out) != 0) {
        events |= READ_EVENTS;
    }
    if (tty->packet && tty->packet_notes != 0) {
        events |= READ_EVENTS | POLLPRI;
    }
    if (ring_room(&tty->in) != 0) {
        events |= WRITE_EVENTS;
    }
    if (tty->slave_seen && tty->slave_count == 0) {
        events |= READ_EVENTS | POLLHUP;
    }
    tty_unlock(tty, 0);
    return events;
}

const struct file_ops g_pty_master_ops = {
    .sends_sigio = true,
    .release = master_release,
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = pty_master_ioctl,
};
