/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline against the host's: the same settings and bytes go through ours and through a
 * real pty of the host kernel, and everything a program reads and a screen shows must be equal.
 * Hand-picked cases first, then generated ones. Exit 77 (skip) where the host has no ptys.
 */
#include "fs/tty/ldisc.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int ioctl(int fd, unsigned long request,
                 ...); /* <sys/ioctl.h> clashes with the kernel's termbits.h */
void *kmalloc(size_t size);
void kfree(void *ptr);

#define WAIT_MS  3000
#define DATA_MAX 16384u

void *kmalloc(size_t size) {
    return malloc(size);
}

void kfree(void *ptr) {
    free(ptr);
}

struct pair { /* one case running on both sides */
    struct ldisc ours;
    int master, slave;
    const char *name;
    unsigned int failures;
};

static void show(const char *label, const uint8_t *data, size_t len) {
    fprintf(stderr, "  %s (%zu): \"", label, len);
    for (size_t i = 0; i < len && i < 400; i++) {
        if (data[i] >= 0x20 && data[i] < 0x7f && data[i] != '\\') {
            fputc(data[i], stderr);
        } else {
            fprintf(stderr, "\\x%02x", data[i]);
        }
    }
    fprintf(stderr, "\"\n");
}

static void expect(struct pair *p, const char *what, const uint8_t *ours, size_t ours_len,
                   const uint8_t *host, size_t host_len) {
    if (ours_len != host_len || memcmp(ours, host, ours_len) != 0) {
        fprintf(stderr, "FAIL %s: %s\n", p->name, what);
        show("ours", ours, ours_len);
        show("host", host, host_len);
        p->failures++;
    }
}

/* Reads from the host until `want` bytes came, then whatever is there besides. */
static size_t host_take(int fd, uint8_t *buf, size_t want) {
    size_t len = 0;
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (poll(&pfd, 1, len < want ? WAIT_MS : 0) <= 0) {
            return len;
        }
        ssize_t n = read(fd, buf + len, DATA_MAX - len);
        if (n <= 0) {
            return len;
        }
        len += (size_t)n;
    }
}

static void check_screen(struct pair *p) {
    static uint8_t ours[DATA_MAX], host[DATA_MAX];
    size_t len = 0, n;
    do {
        n = ring_take(&p->ours.out, ours + len, sizeof(ours) - len);
        len += n;
        ldisc_echo_flush(&p->ours);
    } while (n != 0 && len < sizeof(ours));
    size_t host_len = host_take(p->master, host, len);
    expect(p, "screen", ours, len, host, host_len);
}

/* Line by line in canonical mode, all at once outside it. */
static void check_reads(struct pair *p, size_t size) {
    static uint8_t ours[DATA_MAX], host[DATA_MAX];
    bool lines = (p->ours.t.c_lflag & (ICANON | EXTPROC)) == ICANON;
    if (!lines) {
        bool end;
        size_t len = ldisc_read(&p->ours, ours, DATA_MAX, &end);
        expect(p, "bytes", ours, len, host, host_take(p->slave, host, len));
        return;
    }
    while (ldisc_readable(&p->ours, 1)) {
        bool end;
        size_t len = ldisc_read(&p->ours, ours, size, &end);
        struct pollfd pfd = {.fd = p->slave, .events = POLLIN};
        if (poll(&pfd, 1, WAIT_MS) != 1) {
            expect(p, "line that the host does not have", ours, len, host, 0);
            return;
        }
        ssize_t n = read(p->slave, host, size);
        expect(p, "line", ours, len, host, n < 0 ? 0 : (size_t)n);
    }
    ssize_t n = read(p->slave, host, size);
    if (n >= 0) {
        expect(p, "line too many on the host", ours, 0, host, (size_t)n);
        p->failures++;
    }
}

static void input(struct pair *p, const void *data, size_t len) {
    size_t taken = ldisc_receive(&p->ours, data, len);
    ssize_t n = write(p->master, data, len);
    if (taken != len || n != (ssize_t)len) {
        fprintf(stderr, "FAIL %s: input taken %zu, host %zd of %zu\n", p->name, taken, n, len);
        p->failures++;
    }
}

static void output(struct pair *p, const void *data, size_t len) {
    size_t taken = ldisc_write(&p->ours, data, len);
    ssize_t n = write(p->slave, data, len);
    if (taken != (n < 0 ? 0 : (size_t)n)) {
        fprintf(stderr, "FAIL %s: output taken %zu, host %zd of %zu\n", p->name, taken, n, len);
        p->failures++;
    }
}

static void settings(struct pair *p, const struct termios2 *t) {
    ldisc_set_termios(&p->ours, t);
    if (ioctl(p->slave, TCSETS2, t) != 0) {
        perror("TCSETS2");
        exit(1);
    }
}

static bool pair_open(struct pair *p, const char *name) {
    int unlock = 0;
    p->name = name;
    p->failures = 0;
    p->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (p->master < 0 || ioctl(p->master, TIOCSPTLCK, &unlock) != 0) {
        return false;
    }
    p->slave = ioctl(p->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
    return p->slave >= 0 && ldisc_init(&p->ours) == 0;
}

static unsigned int pair_close(struct pair *p) {
    close(p->slave);
    close(p->master);
    ldisc_free(&p->ours);
    return p->failures;
}

/* ---- hand-picked cases
 * --------------------------------------------------------------------------- */

struct flags {
    unsigned int i_set, i_clear, o_set, o_clear, l_set, l_clear;
};

struct step {
    char op; /* i: keyboard, o: program writes, r: program reads, R: reads 4 bytes at a time, s:
                screen, c: canonical, n: not */
    const char *data;
};

struct test_case {
    const char *name;
    struct flags flags;
    struct step steps[12];
};

static const struct test_case g_cases[] = {
    {"line", {0}, {{'i', "hello\n"}, {'s', NULL}, {'r', NULL}}},
    {"two lines", {0}, {{'i', "a\nbc\nd"}, {'s', NULL}, {'r', NULL}}},
    {"small reads", {0}, {{'i', "abcdefghij\nxy\nabcd\n"}, {'s', NULL}, {'R', NULL}}},
    {"end of file", {0}, {{'i', "ab\004\004cd\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase", {0}, {{'i', "abc\177\177x\177\177\177\177\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase control", {0}, {{'i', "a\001\033\177\177\177b\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase tab", {0}, {{'i', "ab\tc\td\177\177\177\177\tx\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase tab after prompt",
     {0},
     {{'o', "$ "}, {'s', NULL}, {'i', "ab\t\177c\001\t\177\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase word", {0}, {{'i', "one two, three  \027\027x\n"}, {'s', NULL}, {'r', NULL}}},
    {"kill", {0}, {{'i', "one two\025three\n"}, {'s', NULL}, {'r', NULL}}},
    {"kill without ECHOKE",
     {.l_clear = ECHOKE},
     {{'i', "one two\025three\n"}, {'s', NULL}, {'r', NULL}}},
    {"kill without ECHOK",
     {.l_clear = ECHOK | ECHOKE},
     {{'i', "one\025two\n"}, {'s', NULL}, {'r', NULL}}},
    {"erase without ECHOE",
     {.l_clear = ECHOE},
     {{'i', "one\177\177x\025y\n"}, {'s', NULL}, {'r', NULL}}},
    {"ECHOPRT",
     {.l_set = ECHOPRT},
     {{'i', "hello\177\177p\177\027x\025\n"}, {'s', NULL}, {'r', NULL}}},
    {"utf8",
     {.i_set = IUTF8},
     {{'i', "a\xc3\xa9\xe2\x82\xac\177\177b\xc3\xa9\t\177\n"}, {'s', NULL}, {'r', NULL}}},
    {"utf8 without IUTF8", {0}, {{'i', "\xc3\xa9\177x\n"}, {'s', NULL}, {'r', NULL}}},
    {"reprint", {0}, {{'i', "ab\001c\022d\n"}, {'s', NULL}, {'r', NULL}}},
    {"literal next", {0}, {{'i', "a\026\003\026\177\026\n\026\004b\n"}, {'s', NULL}, {'r', NULL}}},
    {"no echo", {.l_clear = ECHO}, {{'i', "pass\177word\n"}, {'s', NULL}, {'r', NULL}}},
    {"echo newline alone",
     {.l_set = ECHONL, .l_clear = ECHO},
     {{'i', "pass\n"}, {'s', NULL}, {'r', NULL}}},
    {"no ECHOCTL", {.l_clear = ECHOCTL}, {{'i', "a\001b\177\177\177\n"}, {'s', NULL}, {'r', NULL}}},
    {"no IEXTEN", {.l_clear = IEXTEN}, {{'i', "a\026b\027\022\n"}, {'s', NULL}, {'r', NULL}}},
    {"carriage return", {0}, {{'i', "a\rb\n"}, {'s', NULL}, {'r', NULL}}},
    {"IGNCR", {.i_set = IGNCR}, {{'i', "a\rb\n"}, {'s', NULL}, {'r', NULL}}},
    {"INLCR", {.i_set = INLCR, .i_clear = ICRNL}, {{'i', "a\rb\nc\004"}, {'s', NULL}, {'r', NULL}}},
    {"ISTRIP", {.i_set = ISTRIP}, {{'i', "\xe1\xe2\x8a"}, {'s', NULL}, {'r', NULL}}},
    {"PARMRK", {.i_set = PARMRK}, {{'i', "a\xff\xff\n"}, {'s', NULL}, {'r', NULL}}},
    {"stop and start", {0}, {{'i', "a\023bc\021d\n"}, {'s', NULL}, {'r', NULL}}},
    {"stopped output",
     {0},
     {{'i', "\023x"},
      {'i', "y\n"},
      {'r', NULL},
      {'o', "out"},
      {'s', NULL},
      {'i', "\021"},
      {'s', NULL},
      {'o', "out"},
      {'s', NULL}}},
    {"any key starts", {.i_set = IXANY}, {{'i', "\023ab\n"}, {'s', NULL}, {'r', NULL}}},
    {"interrupt",
     {0},
     {{'i', "abc"},
      {'s', NULL},
      {'i', "\003"},
      {'s', NULL},
      {'i', "d\n"},
      {'s', NULL},
      {'r', NULL}}},
    {"interrupt NOFLSH", {.l_set = NOFLSH}, {{'i', "abc\003d\n"}, {'s', NULL}, {'r', NULL}}},
    {"quit and suspend", {.l_set = NOFLSH}, {{'i', "a\034b\032c\n"}, {'s', NULL}, {'r', NULL}}},
    {"no ISIG", {.l_clear = ISIG}, {{'i', "a\003\032\n"}, {'s', NULL}, {'r', NULL}}},
    {"raw",
     {.l_clear = ICANON | ECHO | ISIG | IEXTEN, .i_clear = ICRNL | IXON, .o_clear = OPOST},
     {{'i', "a\r\n\003\004\177"}, {'s', NULL}, {'r', NULL}, {'o', "x\ny"}, {'s', NULL}}},
    {"echo without lines",
     {.l_clear = ICANON},
     {{'i', "a\r\177\004\tb"}, {'s', NULL}, {'r', NULL}}},
    {"to lines with input",
     {.l_clear = ICANON},
     {{'i', "abc"}, {'s', NULL}, {'c', NULL}, {'i', "de\n"}, {'s', NULL}, {'r', NULL}}},
    {"from lines with input", {0}, {{'i', "ab\ncd"}, {'s', NULL}, {'n', NULL}, {'r', NULL}}},
    {"output", {0}, {{'o', "a\nb\tc\r\nd\b"}, {'s', NULL}}},
    {"OCRNL", {.o_set = OCRNL}, {{'o', "a\rb\n"}, {'s', NULL}}},
    {"ONOCR", {.o_set = ONOCR}, {{'o', "\ra\r\rb\n\r"}, {'s', NULL}}},
    {"ONLRET", {.o_set = ONLRET | OCRNL, .o_clear = ONLCR}, {{'o', "ab\n\tc\r\td"}, {'s', NULL}}},
    {"XTABS", {.o_set = XTABS}, {{'o', "a\tbcd\t\t1234567\t8\n\tx\b\ty"}, {'s', NULL}}},
    {"XTABS echo",
     {.o_set = XTABS},
     {{'o', "> "}, {'s', NULL}, {'i', "a\tb\177\177\n"}, {'s', NULL}, {'r', NULL}}},
    {"OLCUC", {.o_set = OLCUC}, {{'o', "aBc\xe9\n"}, {'s', NULL}}},
    {"EXTPROC", {.l_set = EXTPROC}, {{'i', "ab\177\n\003"}, {'s', NULL}, {'r', NULL}}},
};

static struct termios2 with_flags(const struct termios2 *base, const struct flags *f) {
    struct termios2 t = *base;
    t.c_iflag = (t.c_iflag | f->i_set) & ~f->i_clear;
    t.c_oflag = (t.c_oflag | f->o_set) & ~f->o_clear;
    t.c_lflag = (t.c_lflag | f->l_set) & ~f->l_clear;
    return t;
}

static void run_step(struct pair *p, const struct step *s) {
    struct termios2 t = p->ours.t;
    switch (s->op) {
    case 'i':
        input(p, s->data, strlen(s->data));
        break;
    case 'o':
        output(p, s->data, strlen(s->data));
        break;
    case 's':
        check_screen(p);
        break;
    case 'r':
        check_reads(p, 4096);
        break;
    case 'R':
        check_reads(p, 4);
        break;
    default:
        t.c_lflag = s->op == 'c' ? t.c_lflag | ICANON : t.c_lflag & ~(unsigned int)ICANON;
        settings(p, &t);
        break;
    }
}

static unsigned int run_cases(void) {
    static struct pair p;
    unsigned int failures = 0;
    for (size_t i = 0; i < ARRAY_COUNT(g_cases); i++) {
        if (!pair_open(&p, g_cases[i].name)) {
            return failures + 1;
        }
        struct termios2 t = with_flags(&p.ours.t, &g_cases[i].flags);
        settings(&p, &t);
        for (const struct step *s = g_cases[i].steps; s->op != 0; s++) {
            run_step(&p, s);
        }
        failures += pair_close(&p);
    }
    return failures;
}

/* ---- generated cases
 * ------------------------------------------------------------------------------- */

static uint64_t g_random = 0x9e3779b97f4a7c15ull;

static uint32_t rnd(uint32_t below) {
    g_random ^= g_random << 13;
    g_random ^= g_random >> 7;
    g_random ^= g_random << 17;
    return (uint32_t)(g_random >> 33) % below;
}

static unsigned int random_bits(unsigned int mask) {
    return ((unsigned int)rnd(1u << 16) << 16 | rnd(1u << 16)) & mask;
}

/* Signal keys only with NOFLSH: what a flush catches depends on how far the host's workers are. */
static struct termios2 random_termios(const struct termios2 *base) {
    struct termios2 t = *base;
    t.c_iflag = random_bits(ICRNL | INLCR | IGNCR | IXON | IXANY | IUTF8 | ISTRIP | IUCLC | PARMRK);
    t.c_oflag = random_bits(OPOST | ONLCR | OCRNL | ONOCR | ONLRET | XTABS | OLCUC);
    t.c_lflag =
        random_bits(ECHO | ECHOE | ECHOK | ECHOKE | ECHOCTL | ECHOPRT | ECHONL | IEXTEN | ISIG) |
        NOFLSH;
    t.c_lflag |= rnd(4) != 0 ? ICANON : 0;
    t.c_cc[VEOL] = rnd(3) == 0 ? ';' : 0;
    t.c_cc[VEOL2] = rnd(3) == 0 ? '!' : 0;
    return t;
}

static size_t random_input(uint8_t *buf, size_t max) {
    static const uint8_t keys[] =
        "abcXYZ01 "
        "_,;!\t\n\r\x7f\x7f\x7f\x15\x17\x16\x12\x04\x01\x1b\b\xc3\xa9\xe2\x82\xac\xff\x80\x03\x11";
    size_t len = 1 + rnd((uint32_t)max);
    for (size_t i = 0; i < len; i++) {
        buf[i] = keys[rnd(sizeof(keys) - 1)];
    }
    return len;
}

static unsigned int run_random(unsigned int count) {
    static struct pair p;
    uint8_t data[48];
    unsigned int failures = 0;
    for (unsigned int i = 0; i < count && failures < 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "generated %u", i);
        if (!pair_open(&p, name)) {
            return failures + 1;
        }
        struct termios2 t = random_termios(&p.ours.t);
        settings(&p, &t);
        for (unsigned int round = 0; round < 4 && p.failures == 0; round++) {
            size_t len = random_input(data, sizeof(data));
            if (rnd(3) == 0) {
                output(&p, data, len);
            } else {
                input(&p, data, len);
            }
            check_screen(&p);
            check_reads(&p, rnd(2) == 0 ? 4096 : 1 + rnd(8));
        }
        if (p.failures != 0) {
            fprintf(stderr, "  iflag %#x oflag %#x lflag %#x\n", t.c_iflag, t.c_oflag, t.c_lflag);
            show("last bytes", data, sizeof(data));
        }
        failures += pair_close(&p);
    }
    return failures;
}

/* A line longer than the buffer: the last byte is replaced again and again, and the newline still
 * gets in. */
static unsigned int run_overflow(void) {
    static struct pair p;
    static char line[6000];
    if (!pair_open(&p, "overflow")) {
        return 1;
    }
    struct termios2 t = p.ours.t;
    t.c_lflag &= ~(unsigned int)ECHO;
    settings(&p, &t);
    for (size_t i = 0; i < sizeof(line) - 1; i++) {
        line[i] = (char)('a' + i % 26);
    }
    line[sizeof(line) - 1] = '\n';
    input(&p, line, sizeof(line));
    check_reads(&p, 5000);
    return pair_close(&p);
}

int main(void) {
    struct pair probe;
    if (!pair_open(&probe, "probe")) {
        fprintf(stderr, "ldisc: no ptys on this host: %s\n", strerror(errno));
        return 77;
    }
    (void)pair_close(&probe);
    unsigned int failures = run_cases() + run_overflow() + run_random(2000);
    if (failures != 0) {
        fprintf(stderr, "ldisc: %u differences\n", failures);
        return 1;
    }
    return 0;
}
