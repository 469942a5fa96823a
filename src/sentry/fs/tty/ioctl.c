/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ioctls of terminals (tty_ioctl(2const) and the pages it names).  Settings and window size
 * belong to the pair, so both sides reach them; TIOCSTI, with which one program types into
 * another's terminal, is refused.
 */
#include "fs/tty/pty.h"

#include "base/string.h"
#include "kernel/cpu.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/ioctls.h>
#include <asm-generic/signal.h>
#include <asm-generic/termios.h>
#include <linux/capability.h>

#define NOT_MINE 515 /* not a setting: never reaches user space */

/* ---- settings
 * -------------------------------------------------------------------------------------- */

/* Line speeds of the CBAUD codes (termios(3)); a pty moves bytes at any of them. */
static uint32_t speed_of(uint32_t cflag) {
    static const uint32_t low[] = {0,   50,   75,   110,  134,  150,  200,   300,
                                   600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    static const uint32_t high[] = {0,       57600,   115200,  230400,  460800,  500000,
                                    576000,  921600,  1000000, 1152000, 1500000, 2000000,
                                    2500000, 3000000, 3500000, 4000000};
    uint32_t code = cflag & CBAUD;
    return (code & CBAUDEX) != 0 ? high[code & 15] : low[code & 15];
}

static void get_termios(struct tty *tty, struct termios2 *out) {
    tty_lock(tty);
    *out = tty->ld.t;
    tty_unlock(tty, 0);
}

/* Reads one of the three user layouts over the settings there are now. */
static int copyin_termios(uint32_t request, struct uaddr arg, struct termios2 *t) {
    struct termio old;
    int err;
    switch (request) {
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
        err = copyin(&old, arg, sizeof(old));
        if (err == 0) {
            t->c_iflag = (t->c_iflag & 0xffff0000u) | old.c_iflag;
            t->c_oflag = (t->c_oflag & 0xffff0000u) | old.c_oflag;
            t->c_cflag = (t->c_cflag & 0xffff0000u) | old.c_cflag;
            t->c_lflag = (t->c_lflag & 0xffff0000u) | old.c_lflag;
            t->c_line = old.c_line;
            memcpy(t->c_cc, old.c_cc, NCC);
        }
        break;
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        err = copyin(t, arg, sizeof(struct termios)); /* a prefix of termios2 */
        break;
    default:
        return copyin(t, arg, sizeof(*t));
    }
    t->c_ispeed = t->c_ospeed = speed_of(t->c_cflag);
    return err;
}

static int set_termios(struct tty *tty, uint32_t request, struct uaddr arg, bool flush) {
    struct termios2 t;
    int err = tty_check_change(tty, SIGTTOU);
    if (err != 0) {
        return err;
    }
    get_termios(tty, &t);
    err = copyin_termios(request, arg, &t);
    if (err != 0) {
        return err;
    }
    t.c_cflag = (t.c_cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD; /* all a pty can do */
    tty_lock(tty);
    if (flush) {
        ring_clear(&tty->in);
        ldisc_flush_input(&tty->ld);
    }
    ldisc_set_termios(&tty->ld, &t);
    (void)tty_input_move(tty);
    tty_unlock(tty, TTY_SLAVE_IN | TTY_SLAVE_OUT | TTY_MASTER_IN);
    return 0;
}

static int copyout_termio(struct tty *tty, struct uaddr arg) {
    struct termios2 t;
    struct termio old = {0};
    get_termios(tty, &t);
    old.c_iflag = (unsigned short)t.c_iflag;
    old.c_oflag = (unsigned short)t.c_oflag;
    old.c_cflag = (unsigned short)t.c_cflag;
    old.c_lflag = (unsigned short)t.c_lflag;
    old.c_line = t.c_line;
    memcpy(old.c_cc, t.c_cc, NCC);
    return copyout(arg, &old, sizeof(old));
}

/* ---- window size
 * ------------------------------------------------------------------------------------- */

void tty_set_winsize(struct tty *tty, uint16_t rows, uint16_t cols, uint16_t xpixel,
                     uint16_t ypixel) {
    struct pty_winsize w = {rows, cols, xpixel, ypixel};
    tty_lock(tty);
    bool changed = memcmp(&tty->winsize, &w, sizeof(w)) != 0;
    tty->winsize = w;
    tty_unlock(tty, 0);
    if (changed) {
        tty_signal_foreground(tty, SIGWINCH);
    }
}

static int ioctl_get_winsize(struct tty *tty, struct uaddr arg) {
    tty_lock(tty);
    struct pty_winsize w = tty->winsize;
    tty_unlock(tty, 0);
    return copyout(arg, &w, sizeof(w));
}

static int ioctl_set_winsize(struct tty *tty, struct uaddr arg) {
    struct pty_winsize w;
    int err = copyin(&w, arg, sizeof(w));
    if (err == 0) {
        tty_set_winsize(tty, w.rows, w.cols, w.xpixel, w.ypixel);
    }
    return err;
}

/* ---- flow and flushing
 * --------------------------------------------------------------------------------- */

/* What the slave has not read, or has written and the master has not read. */
static void flush(struct tty *tty, bool to_slave, bool to_master) {
    tty_lock(tty);
    if (to_slave) {
        ring_clear(&tty->in);
        ldisc_flush_input(&tty->ld);
    }
    if (to_master) {
        ldisc_flush_output(&tty->ld);
    }
    tty_unlock(tty, TTY_SLAVE_OUT | TTY_MASTER_OUT);
}

static int ioctl_flush(struct tty *tty, bool from_master, uint64_t queue) {
    int err = from_master ? 0 : tty_check_change(tty, SIGTTOU);
    if (err != 0) {
        return err;
    }
    if (queue > TCIOFLUSH) {
        return -EINVAL;
    }
    bool input = queue != TCOFLUSH;
    bool output = queue != TCIFLUSH;
    flush(tty, from_master ? output : input, from_master ? input : output);
    return 0;
}

static int ioctl_flow(struct tty *tty, uint64_t what) {
    int err = tty_check_change(tty, SIGTTOU);
    if (err != 0) {
        return err;
    }
    if (what > TCION) {
        return -EINVAL;
    }
    tty_lock(tty);
    struct ldisc *ld = &tty->ld;
    if (what == TCOOFF && !ld->tco_stopped) {
        ldisc_stop(ld);
        ld->tco_stopped = true;
    } else if (what == TCOON && ld->tco_stopped) {
        ld->tco_stopped = false;
        ldisc_start(ld);
    } else if (what == TCIOFF || what == TCION) {
        uint8_t c = ld->t.c_cc[what == TCIOFF ? VSTOP : VSTART];
        size_t put = c != 0 ? ring_put(&ld->out, &c, 1) : 0;
        (void)put; /* a full screen does not need to be told */
    }
    tty_unlock(tty, TTY_SLAVE_OUT | TTY_MASTER_IN);
    return 0;
}

static int ioctl_input_len(struct tty *tty, bool from_master, struct uaddr arg) {
    tty_lock(tty);
    int len = (int)(from_master ? ring_len(&tty->ld.out) : ldisc_input_len(&tty->ld));
    tty_unlock(tty, 0);
    return copyout(arg, &len, sizeof(len));
}

static int ioctl_set_exclusive(struct tty *tty, bool on) {
    tty_lock(tty);
    tty->exclusive = on;
    tty_unlock(tty, 0);
    return 0;
}

static int copyout_int(struct uaddr arg, int value) {
    return copyout(arg, &value, sizeof(value));
}

static int set_line_discipline(struct uaddr arg) {
    int number;
    int err = copyin(&number, arg, sizeof(number));
    return err != 0 ? err : number == 0 /* N_TTY */ ? 0 : -EINVAL;
}

/* ---- both sides
 * ------------------------------------------------------------------------------------------ */

static int64_t settings_ioctl(struct tty *tty, uint32_t request, struct uaddr arg) {
    struct termios2 t;
    switch (request) {
    case TCGETS:
        get_termios(tty, &t);
        return copyout(arg, &t, sizeof(struct termios));
    case TCGETS2:
        get_termios(tty, &t);
        return copyout(arg, &t, sizeof(t));
    case TCGETA:
        return copyout_termio(tty, arg);
    case TCSETS:
    case TCSETSW:
    case TCSETS2:
    case TCSETSW2:
    case TCSETA:
    case TCSETAW:
        return set_termios(tty, request, arg, false);
    case TCSETSF:
    case TCSETSF2:
    case TCSETAF:
        return set_termios(tty, request, arg, true);
    case TIOCGWINSZ:
        return ioctl_get_winsize(tty, arg);
    case TIOCSWINSZ:
        return ioctl_set_winsize(tty, arg);
    default:
        return -NOT_MINE;
    }
}

static int64_t common_ioctl(struct file *file, struct tty *tty, bool master, uint32_t request,
                            struct uaddr arg) {
    int64_t n = settings_ioctl(tty, request, arg);
    if (n != -NOT_MINE) {
        return n;
    }
    switch (request) {
    case TIOCGPGRP:
        return tty_ioctl_gpgrp(tty, master, arg);
    case TIOCSPGRP:
        return tty_ioctl_spgrp(tty, arg);
    case TIOCGSID:
        return tty_ioctl_gsid(tty, master, arg);
    case TIOCNOTTY:
        return tty_ioctl_notty(tty);
    case FIONREAD:
        return ioctl_input_len(tty, master, arg);
    case TIOCOUTQ:
        return copyout_int(arg, 0); /* a pty has no wire on which bytes could wait */
    case TCFLSH:
        return ioctl_flush(tty, master, arg.v);
    case TCXONC:
        return ioctl_flow(tty, arg.v);
    case TCSBRK:
    case TCSBRKP:
        return master ? 0 : tty_check_change(tty, SIGTTOU);
    case TIOCSBRK:
    case TIOCCBRK:
        return 0;
    case TIOCGETD:
        return copyout_int(arg, 0); /* N_TTY */
    case TIOCSETD:
        return set_line_discipline(arg);
    case TIOCEXCL:
    case TIOCNXCL:
        return ioctl_set_exclusive(tty, request == TIOCEXCL);
    case TIOCGEXCL:
        return copyout_int(arg, tty->exclusive ? 1 : 0);
    case TIOCSTI:
        return -EIO; /* as Linux with dev.tty.legacy_tiocsti off */
    default:
        return -ENOTTY;
    }
}

int64_t pty_slave_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct tty *tty = file->private;
    tty_lock(tty);
    bool hung_up = tty->hung_up;
    tty_unlock(tty, 0);
    if (hung_up) {
        return request == TIOCSPGRP ? -ENOTTY : -EIO;
    }
    if (request == TIOCSCTTY) {
        return tty_ioctl_sctty(tty, file, arg.v);
    }
    return common_ioctl(file, tty, false, request, arg);
}

/* ---- the master alone
 * -------------------------------------------------------------------------------------- */

static int ioctl_lock(struct tty *tty, struct uaddr arg) {
    int on;
    int err = copyin(&on, arg, sizeof(on));
    if (err == 0) {
        tty_lock(tty);
        tty->locked = on != 0;
        tty_unlock(tty, 0);
    }
    return err;
}

static int ioctl_packet(struct tty *tty, struct uaddr arg) {
    int on;
    int err = copyin(&on, arg, sizeof(on));
    if (err == 0) {
        tty_lock(tty);
        if (on != 0 && !tty->packet) {
            tty->packet_notes = 0;
        }
        tty->packet = on != 0;
        tty_unlock(tty, 0);
    }
    return err;
}

/* TIOCGPTPEER: opens the slave without its name. */
static int64_t ioctl_peer(struct tty *tty, struct file *master, uint64_t flags) {
    struct file *slave;
    int err = devpts_open_slave(tty, &master->path, (uint32_t)flags, &slave);
    if (err != 0) {
        return err;
    }
    return fd_give(slave, (flags & O_CLOEXEC) != 0);
}

/* TIOCSIG: a signal typed by the emulator. */
static int ioctl_signal(struct tty *tty, uint64_t signo) {
    if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP) {
        return -EINVAL;
    }
    tty_signal_foreground(tty, (int)signo);
    return 0;
}

int64_t pty_master_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct tty *tty = file->private;
    switch (request) {
    case TIOCGPTN:
        return copyout_int(arg, (int)tty->index);
    case TIOCSPTLCK:
        return ioctl_lock(tty, arg);
    case TIOCGPTLCK:
        return copyout_int(arg, tty->locked ? 1 : 0);
    case TIOCPKT:
        return ioctl_packet(tty, arg);
    case TIOCGPKT:
        return copyout_int(arg, tty->packet ? 1 : 0);
    case TIOCGPTPEER:
        return ioctl_peer(tty, file, arg.v);
    case TIOCSIG:
        return ioctl_signal(tty, arg.v);
    default:
        return common_ioctl(file, tty, true, request, arg);
    }
}
