/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's console: a pty whose master side is a kernel thread that pumps bytes from and to
 * donated host descriptors.
 *
 * The thread sleeps until the host has input or room, or the pair has output or room; host events
 * wake it through `event`.  It ends when the slave side is closed for good (all its output is
 * written first), or hangs the terminal up when the host's side is gone.
 */
#include "fs/tty/pty.h"

#include "base/string.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/hostevent.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/poll.h>
#include <linux/stat.h>

#define DRAIN_PATIENCE_NS (2 * NSEC_PER_SEC) /* without a byte taken, before output is given up */

struct console {
    struct tty *tty; /* referenced */
    struct host_watch in, out;
    struct waitq event; /* woken by host events */
    int in_hfd, out_hfd;
    bool in_is_terminal;
    bool in_ended;           /* nothing more to read */
    bool out_broken;         /* nobody sees the output: it is thrown away */
    size_t in_len, in_off;   /* input read from the host, not yet taken by the pair */
    size_t out_len, out_off; /* output taken from the pair, not yet written to the host */
    uint8_t in_buf[PTY_CHUNK];
    uint8_t out_buf[PTY_CHUNK];
};

static void console_in_event(struct host_watch *w, uint32_t events) {
    waitq_wake(&container_of(w, struct console, in)->event, UINT32_MAX);
}

static void console_out_event(struct host_watch *w, uint32_t events) {
    waitq_wake(&container_of(w, struct console, out)->event, UINT32_MAX);
}

/* The keyboard's side ended: a lost terminal hangs up, the end of a pipe is an end of file typed
 * once. */
static void input_ended(struct console *c) {
    c->in_ended = true;
    if (c->in_is_terminal) {
        tty_hangup(c->tty);
        return;
    }
    tty_lock(c->tty);
    uint8_t eof = c->tty->ld.t.c_cc[VEOF];
    size_t taken = eof != 0 ? tty_input(c->tty, &eof, 1) : 0;
    (void)taken; /* a reader that is 64 KiB behind gets no end of file */
    tty_unlock(c->tty, tty_input_wakes(c->tty));
}

/* Host to pair: true when bytes moved. */
static bool pump_in(struct console *c) {
    if (c->in_ended) {
        return false;
    }
    if (c->in_off == c->in_len) {
        int64_t n = hal_stream_read(c->in_hfd, c->in_buf, sizeof(c->in_buf));
        if (n == -EAGAIN) {
            return false;
        }
        if (n <= 0) {
            input_ended(c);
            return true;
        }
        c->in_off = 0;
        c->in_len = (size_t)n;
    }
    tty_lock(c->tty);
    size_t n = tty_input(c->tty, c->in_buf + c->in_off, c->in_len - c->in_off);
    tty_unlock(c->tty, tty_input_wakes(c->tty));
    c->in_off += n;
    return n != 0;
}

/* Pair to host: true when bytes moved. */
static bool pump_out(struct console *c) {
    if (c->out_off == c->out_len) {
        tty_lock(c->tty);
        c->out_off = 0;
        c->out_len = ring_take(&c->tty->ld.out, c->out_buf, sizeof(c->out_buf));
        ldisc_echo_flush(&c->tty->ld);
        c->tty->pump_holds = c->out_len != 0;
        tty_unlock(c->tty, c->out_len != 0 ? TTY_SLAVE_OUT : 0);
        if (c->out_len == 0) {
            waitq_wake(&c->tty->drained, UINT32_MAX);
        }
    }
    if (c->out_off == c->out_len) {
        return false;
    }
    if (!c->out_broken) {
        int64_t n = hal_stream_write(c->out_hfd, c->out_buf + c->out_off, c->out_len - c->out_off);
        if (n == -EAGAIN) {
            return false;
        }
        if (n >= 0) {
            c->out_off += (size_t)n;
            (void)atomic_fetch_add(&c->tty->pumped, (uint64_t)n);
            return n != 0;
        }
        c->out_broken = true;
    }
    c->out_off = c->out_len;
    return true;
}

/* Nobody has the slave open any more, and no session could open it again through /dev/tty. */
static bool slave_gone(struct console *c) {
    spin_lock(&g_tty_lock);
    bool has_session = c->tty->session != NULL;
    spin_unlock(&g_tty_lock);
    tty_lock(c->tty);
    bool gone = c->tty->slave_seen && c->tty->slave_count == 0 && ring_len(&c->tty->ld.out) == 0;
    tty_unlock(c->tty, 0);
    return gone && !has_session && c->out_off == c->out_len;
}

/* Asks the host for the events without which nothing moves. */
static void arm(struct console *c) {
    int err = 0;
    if (!c->in_ended && c->in_off == c->in_len) {
        err = host_watch_arm(&c->in, POLLIN);
    }
    if (err == 0 && c->out_off != c->out_len && !c->out_broken) {
        err = host_watch_arm(c->in_hfd == c->out_hfd ? &c->in : &c->out, POLLOUT);
    }
    (void)err; /* a file the host cannot watch never says -EAGAIN */
}

static void console_free(struct console *c) {
    tty_lock(c->tty);
    c->tty->pump_holds = false;
    tty_unlock(c->tty, 0);
    waitq_wake(&c->tty->drained, UINT32_MAX);
    host_watch_remove(&c->in);
    host_watch_remove(&c->out);
    hal_file_close(c->in_hfd);
    if (c->out_hfd != c->in_hfd) {
        hal_file_close(c->out_hfd);
    }
    devpts_remove(c->tty);
    tty_hangup(c->tty);
    tty_put(c->tty);
    kfree(c);
}

static bool is_drained(void *arg) {
    struct tty *tty = arg;
    tty_lock(tty);
    bool drained = tty->hung_up || (!tty->pump_holds && ring_len(&tty->ld.out) == 0);
    tty_unlock(tty, 0);
    return drained;
}

void tty_console_drain(struct tty *tty) {
    uint64_t before;
    int err;
    do {
        uint64_t deadline = hal_clock_ns(HAL_CLOCK_MONOTONIC) + DRAIN_PATIENCE_NS;
        before = atomic_load(&tty->pumped);
        err = waitq_wait(&tty->drained, is_drained, tty, deadline, BLOCK_UNINTERRUPTIBLE);
    } while (err == -ETIMEDOUT && atomic_load(&tty->pumped) != before);
}

static void console_main(void *arg) {
    struct console *c = arg;
    struct waiter host, pair;
    waiter_init_task(&host, current);
    waiter_init_task(&pair, current);
    waitq_add(&c->event, &host);
    waitq_add(&c->tty->master_wait, &pair);
    while (!slave_gone(c)) {
        bool moved = pump_out(c);
        moved = pump_in(c) || moved;
        if (!moved) {
            arm(c);
            int ignored = task_block(NO_DEADLINE, BLOCK_UNINTERRUPTIBLE);
            (void)ignored; /* woken, or a spurious look */
        }
    }
    waitq_remove(&pair);
    waitq_remove(&host);
    console_free(c);
}

static struct console *console_alloc(struct tty *tty, int in_hfd, int out_hfd) {
    struct console *c = kzalloc(sizeof(*c));
    struct hal_stat st;
    if (c == NULL) {
        return NULL;
    }
    c->tty = tty;
    c->in_hfd = in_hfd;
    c->out_hfd = out_hfd;
    c->in_is_terminal = hal_file_stat(in_hfd, &st) == 0 && (S_ISCHR(st.mode) || S_ISSOCK(st.mode));
    waitq_init(&c->event);
    host_watch_add(&c->in, in_hfd, console_in_event);
    host_watch_add(&c->out, out_hfd, console_out_event);
    return c;
}

/* The pair and its opened slave. */
static int make_pair(uint16_t rows, uint16_t cols, struct tty **out_tty, struct file **out_slave) {
    struct path pts;
    struct devpts *devpts = devpts_find(NULL);
    if (devpts == NULL) {
        return -ENODEV;
    }
    struct tty *tty;
    int err = devpts_new_pair(devpts, &tty);
    devpts_put(devpts);
    if (err != 0) {
        return err;
    }
    tty->locked = false;
    tty->ld.t.c_iflag |= IUTF8;
    tty->winsize.rows = rows;
    tty->winsize.cols = cols;
    err = path_lookup(AT_FDCWD_MOAT, "/dev/pts", LOOKUP_FOLLOW, &pts);
    if (err == 0) {
        err = devpts_open_slave(tty, &pts, O_RDWR | O_NOCTTY, out_slave);
        path_put(&pts);
    }
    if (err != 0) {
        devpts_remove(tty);
        tty_put(tty);
        return err;
    }
    *out_tty = tty;
    return 0;
}

int tty_container_console(int in_hfd, int out_hfd, uint16_t rows, uint16_t cols,
                          struct file **out_slave, struct tty **out_tty) {
    struct tty *tty;
    struct file *slave;
    int err = make_pair(rows, cols, &tty, &slave);
    struct console *c = err == 0 ? console_alloc(tty, in_hfd, out_hfd) : NULL;
    if (c == NULL) {
        hal_file_close(in_hfd);
        if (out_hfd != in_hfd) {
            hal_file_close(out_hfd);
        }
    }
    if (err == 0 && c == NULL) {
        err = -ENOMEM;
        devpts_remove(tty);
        file_put(slave);
        tty_put(tty);
    }
    if (err != 0) {
        return err;
    }
    tty_get(tty); /* the caller's; the other one is the pump's */
    err = kthread_start("console", console_main, c);
    if (err != 0) {
        file_put(slave);
        console_free(c);
        tty_put(tty);
        return err;
    }
    *out_slave = slave;
    *out_tty = tty;
    return 0;
}
