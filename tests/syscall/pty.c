/* SPDX-License-Identifier: Apache-2.0 */
/* pty(7), termios(3), tty_ioctl(2): pseudo-terminals, line discipline, job control. */
#include "harness.h"

#include <dirent.h>
#include <sys/ioctl.h>
#include <termios.h>

#define GRACE_MS 5000

static int g_master, g_slave;
static char g_name[64];

static void open_pair(void) {
    int unlock = 0, number = -1;
    g_master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (g_master < 0) {
        SKIP("no /dev/ptmx");
    }
    REQUIRE(ioctl(g_master, TIOCGPTN, &number) == 0);
    REQUIRE(ioctl(g_master, TIOCSPTLCK, &unlock) == 0);
    snprintf(g_name, sizeof(g_name), "/dev/pts/%d", number);
    g_slave = open(g_name, O_RDWR | O_NOCTTY);
    REQUIRE(g_slave >= 0);
}

static void set_flags(tcflag_t lset, tcflag_t lclear, int min, int time) {
    struct termios t;
    REQUIRE(tcgetattr(g_slave, &t) == 0);
    t.c_lflag = (t.c_lflag | lset) & ~lclear;
    t.c_cc[VMIN] = (cc_t)min;
    t.c_cc[VTIME] = (cc_t)time;
    REQUIRE(tcsetattr(g_slave, TCSANOW, &t) == 0);
}

/* Reads until the text ends with `want`, or the time is over. */
static bool read_until(int fd, const char *want) {
    char text[4096];
    size_t len = 0;
    while (len < sizeof(text) - 1) {
        if (poll_one(fd, POLLIN, GRACE_MS) <= 0) {
            return false;
        }
        ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        text[len] = 0;
        size_t w = strlen(want);
        if (len >= w && memcmp(text + len - w, want, w) == 0) {
            return true;
        }
    }
    return false;
}

static bool type(const char *text) {
    return write(g_master, text, strlen(text)) == (ssize_t)strlen(text);
}

/* ---- the pair
 * ------------------------------------------------------------------------------------- */

static void pair_locked_slave_does_not_open(void) {
    int number;
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (m < 0) {
        SKIP("no /dev/ptmx");
    }
    REQUIRE(ioctl(m, TIOCGPTN, &number) == 0);
    snprintf(g_name, sizeof(g_name), "/dev/pts/%d", number);
    CHECK_ERR(open(g_name, O_RDWR | O_NOCTTY), EIO);
}

static void pair_node_comes_and_goes(void) {
    struct stat st;
    open_pair();
    CHECK(stat(g_name, &st) == 0 && S_ISCHR(st.st_mode));
    CHECK(isatty(g_slave) && isatty(g_master));
    CHECK(strcmp(ttyname(g_slave), g_name) == 0);
    CHECK(fstat(g_slave, &st) == 0 && st.st_rdev >> 8 == 136);
    CHECK_ERR(lseek(g_slave, 0, SEEK_SET), ESPIPE);
    close(g_slave);
    close(g_master);
    CHECK_ERR(stat(g_name, &st), ENOENT);
}

static void pair_listed_in_directory(void) {
    bool found = false;
    struct dirent *e;
    open_pair();
    DIR *d = opendir("/dev/pts");
    REQUIRE(d != NULL);
    while ((e = readdir(d)) != NULL) {
        found |= strcmp(e->d_name, g_name + strlen("/dev/pts/")) == 0;
    }
    CHECK(found);
    closedir(d);
}

static void pair_peer_without_name(void) {
    char c;
    open_pair();
    int s = ioctl(g_master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(s >= 0);
    CHECK(fcntl(s, F_GETFD) == FD_CLOEXEC);
    set_flags(0, ECHO | ICANON, 1, 0);
    CHECK(type("x"));
    CHECK_EQ(read(s, &c, 1), 1);
    CHECK_EQ(c, 'x');
}

static void pair_default_settings(void) {
    struct termios t;
    open_pair();
    REQUIRE(tcgetattr(g_slave, &t) == 0);
    CHECK_EQ(t.c_iflag, ICRNL | IXON);
    CHECK_EQ(t.c_oflag, OPOST | ONLCR);
    CHECK_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    CHECK_EQ(cfgetospeed(&t), B38400);
    CHECK_EQ(t.c_cc[VINTR], 3);
    CHECK_EQ(t.c_cc[VMIN], 1);
    struct winsize w = {1, 1, 1, 1};
    CHECK(ioctl(g_slave, TIOCGWINSZ, &w) == 0 && w.ws_row == 0 && w.ws_col == 0);
}

static void pair_settings_seen_on_both_sides(void) {
    struct termios t;
    struct winsize w = {24, 80, 1, 2}, got;
    open_pair();
    set_flags(0, ECHO, 1, 0);
    REQUIRE(tcgetattr(g_master, &t) == 0);
    CHECK((t.c_lflag & ECHO) == 0);
    CHECK(ioctl(g_master, TIOCSWINSZ, &w) == 0);
    CHECK(ioctl(g_slave, TIOCGWINSZ, &got) == 0);
    CHECK(memcmp(&w, &got, sizeof(w)) == 0);
}

static void master_reads_after_slave_closed(void) {
    char buf[16];
    open_pair();
    CHECK_EQ(write(g_slave, "left", 4), 4);
    close(g_slave);
    CHECK(poll_one(g_master, POLLIN, GRACE_MS) & POLLHUP);
    CHECK_EQ(read(g_master, buf, sizeof(buf)), 4);
    CHECK_ERR(read(g_master, buf, sizeof(buf)), EIO);
    g_slave = open(g_name, O_RDWR | O_NOCTTY);
    REQUIRE(g_slave >= 0);
    CHECK_EQ(poll_one(g_master, POLLIN, 0) & (POLLHUP | POLLIN), 0);
}

static void slave_after_master_closed(void) {
    char c;
    struct termios t;
    open_pair();
    close(g_master);
    CHECK_EQ(read(g_slave, &c, 1), 0);
    CHECK_ERR(write(g_slave, "x", 1), EIO);
    CHECK_ERR(tcgetattr(g_slave, &t), EIO);
    CHECK(poll_one(g_slave, POLLIN | POLLOUT, 0) & POLLHUP);
}

static void master_write_before_open_is_kept(void) {
    int unlock = 0, number;
    char buf[8];
    g_master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (g_master < 0) {
        SKIP("no /dev/ptmx");
    }
    CHECK(type("hi\n"));
    REQUIRE(ioctl(g_master, TIOCGPTN, &number) == 0 && ioctl(g_master, TIOCSPTLCK, &unlock) == 0);
    snprintf(g_name, sizeof(g_name), "/dev/pts/%d", number);
    g_slave = open(g_name, O_RDWR | O_NOCTTY);
    REQUIRE(g_slave >= 0);
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 3);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------ */

static void read_lines_one_at_a_time(void) {
    char buf[64];
    open_pair();
    CHECK(type("one\ntwo\n"));
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 4);
    CHECK_EQ(read(g_slave, buf, 2), 2);
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 2);
    CHECK(read_until(g_master, "one\r\ntwo\r\n"));
    CHECK(type("\004"));
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 0);
}

static void read_without_blocking(void) {
    char c;
    open_pair();
    fcntl(g_slave, F_SETFL, O_NONBLOCK);
    fcntl(g_master, F_SETFL, O_NONBLOCK);
    CHECK_ERR(read(g_slave, &c, 1), EAGAIN);
    CHECK_ERR(read(g_master, &c, 1), EAGAIN);
    CHECK(type("x"));
    CHECK_ERR(read(g_slave, &c, 1), EAGAIN);
}

static void read_min_zero(void) {
    char buf[8];
    open_pair();
    set_flags(0, ICANON | ECHO, 0, 0);
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 0);
    CHECK(type("ab"));
    CHECK(poll_one(g_slave, POLLIN, GRACE_MS) & POLLIN);
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 2);
}

static void read_time_limits_the_first_byte(void) {
    char buf[8];
    open_pair();
    set_flags(0, ICANON | ECHO, 0, 2);
    int64_t start = now_ms();
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 0);
    CHECK(now_ms() - start >= 190);
}

static void read_min_collects(void) {
    char buf[8];
    open_pair();
    set_flags(0, ICANON | ECHO, 3, 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(read(g_slave, buf, sizeof(buf)) == 4 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK(type("ab"));
    wait_asleep(pid);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK(type("cd"));
    CHECK(child_ok(pid));
}

static void read_time_between_bytes(void) {
    char buf[8];
    open_pair();
    set_flags(0, ICANON | ECHO, 5, 1);
    CHECK(type("ab"));
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 2);
}

static void input_length_and_flush(void) {
    int len = -1;
    char buf[8];
    open_pair();
    CHECK(type("abc\nde"));
    CHECK(poll_one(g_slave, POLLIN, GRACE_MS) & POLLIN);
    CHECK(read_until(g_master, "abc\r\nde"));
    CHECK(ioctl(g_slave, FIONREAD, &len) == 0);
    CHECK_EQ(len, 4);
    CHECK(tcflush(g_slave, TCIFLUSH) == 0);
    CHECK_EQ(poll_one(g_slave, POLLIN, 0), 0);
    CHECK(type("x\n"));
    CHECK_EQ(read(g_slave, buf, sizeof(buf)), 2);
}

static void stopped_output_waits(void) {
    open_pair();
    CHECK(tcflow(g_slave, TCOOFF) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(write(g_slave, "late", 4) == 4 ? 0 : 1);
    }
    wait_asleep(pid);
    CHECK_EQ(poll_one(g_master, POLLIN, 0), 0);
    CHECK(tcflow(g_slave, TCOON) == 0);
    CHECK(read_until(g_master, "late"));
    CHECK(child_ok(pid));
}

static void packet_mode(void) {
    int on = 1;
    char buf[16];
    open_pair();
    REQUIRE(ioctl(g_master, TIOCPKT, &on) == 0);
    CHECK_EQ(write(g_slave, "abc", 3), 3);
    CHECK(poll_one(g_master, POLLIN, GRACE_MS) & POLLIN);
    CHECK_EQ(read(g_master, buf, sizeof(buf)), 4);
    CHECK_EQ(buf[0], TIOCPKT_DATA);
    CHECK(memcmp(buf + 1, "abc", 3) == 0);
    CHECK(tcflush(g_slave, TCIOFLUSH) == 0);
    CHECK(poll_one(g_master, POLLIN | POLLPRI, GRACE_MS) & POLLPRI);
    CHECK_EQ(read(g_master, buf, sizeof(buf)), 1);
    CHECK_EQ(buf[0], TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
}

static void many_bytes_through_both_sides(void) {
    enum { TOTAL = 300000 };
    char buf[1000];
    open_pair();
    set_flags(0, ICANON | ECHO, 1, 0);
    pid_t pid = fork();
    if (pid == 0) { /* echoes */
        size_t done = 0;
        while (done < TOTAL) {
            ssize_t n = read(g_slave, buf, sizeof(buf));
            if (n <= 0 || write(g_slave, buf, (size_t)n) != n) {
                _exit(1);
            }
            done += (size_t)n;
        }
        _exit(0);
    }
    pid_t writer = fork();
    if (writer == 0) {
        for (size_t i = 0; i < TOTAL; i += 500) {
            memset(buf, 'a' + (int)(i / 500 % 26), 500);
            if (write(g_master, buf, 500) != 500) {
                _exit(1);
            }
        }
        _exit(0);
    }
    size_t got = 0;
    bool right = true;
    while (got < TOTAL) {
        ssize_t n = read(g_master, buf, sizeof(buf));
        REQUIRE(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            right &= buf[i] == 'a' + (int)((got + (size_t)i) / 500 % 26);
        }
        got += (size_t)n;
    }
    CHECK(right);
    CHECK(child_ok(pid));
    CHECK(child_ok(writer));
}

/* ---- job control
 * ------------------------------------------------------------------------------------------ */

/* Runs fn in a new session whose controlling terminal is the slave; its status as of in_child. */
static int in_session(void (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        int fd =
            open(g_name,
                 O_RDWR); /* before the other is closed: the slave is never without an open file */
        close(g_slave);
        g_slave = fd;
        fn();
        fflush(stdout);
        _exit(g_test_failed != 0);
    }
    int status = 0;
    close(g_slave);
    if (waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void session_body(void) {
    int id = -1;
    CHECK(ioctl(g_slave, TIOCGSID, &id) == 0);
    CHECK_EQ(id, getpid());
    CHECK_EQ(tcgetpgrp(g_slave), getpid());
    CHECK_EQ(tcgetsid(g_slave), getpid());
    int fd = open("/dev/tty", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(tcgetpgrp(fd), getpid());
    CHECK_ERR(tcsetpgrp(g_slave, 1 << 21), ESRCH);
    signal(SIGHUP, SIG_IGN); /* giving the terminal up sends it */
    CHECK(ioctl(fd, TIOCNOTTY) == 0);
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERR(tcgetpgrp(g_slave), ENOTTY);
    CHECK(ioctl(g_slave, TIOCSCTTY, 0) == 0);
    CHECK_EQ(tcgetpgrp(g_slave), getpid());
}

static void session_gets_terminal(void) {
    open_pair();
    CHECK_EQ(in_session(session_body), 0);
}

static void session_of_another_is_refused(void) {
    open_pair();
    CHECK_ERR(tcgetpgrp(g_slave), ENOTTY);
    CHECK_ERR(ioctl(g_slave, TIOCSCTTY, 0), EPERM);
}

static void wait_for_key(void) {
    CHECK(write(g_slave, "ready", 5) == 5);
    pause();
}

static void key_interrupts(void) {
    open_pair();
    pid_t pid = fork();
    if (pid == 0) { /* the keyboard */
        close(g_slave);
        bool ok = read_until(g_master, "ready") && type("\003") && read_until(g_master, "^C");
        _exit(ok ? 0 : 1);
    }
    CHECK_EQ(in_session(wait_for_key), 256 + SIGINT);
    CHECK(child_ok(pid));
}

static void key_quits(void) {
    open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        close(g_slave);
        _exit(read_until(g_master, "ready") && type("\034") ? 0 : 1);
    }
    CHECK_EQ(in_session(wait_for_key) & ~0x80, 256 + SIGQUIT);
    CHECK(child_ok(pid));
}

/* A child in a group of its own, in the background or foreground. */
static pid_t start_job(bool foreground, void (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        if (foreground) {
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(g_slave, getpid());
            signal(SIGTTOU, SIG_DFL);
        }
        fn();
        fflush(stdout);
        _exit(g_test_failed != 0);
    }
    setpgid(pid, pid);
    return pid;
}

static void read_a_byte(void) {
    char c;
    CHECK_EQ(read(g_slave, &c, 1), 1);
}

static void background_read_body(void) {
    int status;
    pid_t job = start_job(false, read_a_byte);
    REQUIRE(waitpid(job, &status, WUNTRACED) == job);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    CHECK(tcsetpgrp(g_slave, job) == 0);
    CHECK(write(g_slave, "ready", 5) == 5);
    CHECK(kill(job, SIGCONT) == 0);
    CHECK(child_ok(job));
}

static void background_read_stops(void) {
    open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        close(g_slave);
        _exit(read_until(g_master, "ready") && type("x\n") ? 0 : 1);
    }
    CHECK_EQ(in_session(background_read_body), 0);
    CHECK(child_ok(pid));
}

static void read_ignoring(void) {
    char c;
    signal(SIGTTIN, SIG_IGN);
    CHECK_ERR(read(g_slave, &c, 1), EIO);
}

static void background_read_ignored_body(void) {
    CHECK(child_ok(start_job(false, read_ignoring)));
}

static void background_read_ignoring_fails(void) {
    open_pair();
    CHECK_EQ(in_session(background_read_ignored_body), 0);
}

static void write_a_byte(void) {
    CHECK_EQ(write(g_slave, "x", 1), 1);
}

static void background_write_body(void) {
    int status;
    CHECK(child_ok(start_job(false, write_a_byte)));
    set_flags(TOSTOP, 0, 1, 0);
    pid_t job = start_job(false, write_a_byte);
    REQUIRE(waitpid(job, &status, WUNTRACED) == job);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    kill(job, SIGKILL);
    CHECK(waitpid(job, &status, 0) == job);
}

static void background_write_stops_with_tostop(void) {
    open_pair();
    CHECK_EQ(in_session(background_write_body), 0);
}

static void change_settings(void) {
    struct termios t;
    CHECK(tcgetattr(g_slave, &t) == 0);
    CHECK(tcsetattr(g_slave, TCSANOW, &t) == 0);
}

static void background_settings_body(void) {
    int status;
    pid_t job = start_job(false, change_settings);
    REQUIRE(waitpid(job, &status, WUNTRACED) == job);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    kill(job, SIGKILL);
    CHECK(waitpid(job, &status, 0) == job);
}

static void background_settings_stop(void) {
    open_pair();
    CHECK_EQ(in_session(background_settings_body), 0);
}

static void suspend_body(void) {
    int status;
    pid_t job = start_job(true, wait_for_key);
    REQUIRE(waitpid(job, &status, WUNTRACED) == job);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    CHECK(kill(job, SIGCONT) == 0);
    CHECK(waitpid(job, &status, WCONTINUED) == job && WIFCONTINUED(status));
    kill(job, SIGKILL);
    CHECK(waitpid(job, &status, 0) == job);
}

static void key_suspends_foreground_group(void) {
    open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        close(g_slave);
        _exit(read_until(g_master, "ready") && type("\032") ? 0 : 1);
    }
    CHECK_EQ(in_session(suspend_body), 0);
    CHECK(child_ok(pid));
}

static volatile sig_atomic_t g_winch;

static void on_winch(int sig) {
    g_winch = sig;
}

static void winch_body(void) {
    struct winsize w = {10, 20, 0, 0};
    struct sigaction sa = {.sa_handler = on_winch};
    sigaction(SIGWINCH, &sa, NULL);
    CHECK(ioctl(g_slave, TIOCSWINSZ, &w) == 0);
    CHECK_EQ(g_winch, SIGWINCH);
    g_winch = 0;
    CHECK(ioctl(g_slave, TIOCSWINSZ, &w) == 0);
    CHECK_EQ(g_winch, 0);
}

static void window_size_signals(void) {
    open_pair();
    CHECK_EQ(in_session(winch_body), 0);
}

static void master_close_hangs_up(void) {
    open_pair();
    pid_t pid = fork();
    if (pid == 0) {
        close(g_slave);
        _exit(read_until(g_master, "ready") ? 0 : 1); /* its exit closes the last master */
    }
    close(g_master);
    CHECK_EQ(in_session(wait_for_key), 256 + SIGHUP);
    CHECK(child_ok(pid));
}

static void leave_body(void) {
    pid_t job = start_job(false, wait_for_key);
    CHECK(tcsetpgrp(g_slave, job) == 0);
}

static void leader_exit_hangs_up_foreground(void) {
    int p[2];
    char c;
    open_pair();
    REQUIRE(pipe(p) == 0); /* held open by the job alone once the leader is gone */
    CHECK_EQ(in_session(leave_body), 0);
    close(p[1]);
    CHECK(poll_one(p[0], POLLIN, GRACE_MS) & POLLHUP);
    CHECK_EQ(read(p[0], &c, 1), 0);
}

static void typing_for_others_is_refused(void) {
    char c = 'x';
    open_pair();
    errno = 0;
    if (ioctl(g_slave, TIOCSTI, &c) == 0) {
        SKIP("the host allows TIOCSTI to its administrator");
    }
    CHECK(errno == EIO || errno == EPERM);
}

static void exclusive_use(void) {
    open_pair();
    CHECK(ioctl(g_slave, TIOCEXCL) == 0);
    if (geteuid() != 0) {
        CHECK_ERR(open(g_name, O_RDWR | O_NOCTTY), EBUSY);
    }
    CHECK(ioctl(g_slave, TIOCNXCL) == 0);
    CHECK(open(g_name, O_RDWR | O_NOCTTY) >= 0);
}

int main(void) {
    RUN(pair_locked_slave_does_not_open);
    RUN(pair_node_comes_and_goes);
    RUN(pair_listed_in_directory);
    RUN(pair_peer_without_name);
    RUN(pair_default_settings);
    RUN(pair_settings_seen_on_both_sides);
    RUN(master_reads_after_slave_closed);
    RUN(slave_after_master_closed);
    RUN(master_write_before_open_is_kept);
    RUN(read_lines_one_at_a_time);
    RUN(read_without_blocking);
    RUN(read_min_zero);
    RUN(read_time_limits_the_first_byte);
    RUN(read_min_collects);
    RUN(read_time_between_bytes);
    RUN(input_length_and_flush);
    RUN(stopped_output_waits);
    RUN(packet_mode);
    RUN(many_bytes_through_both_sides);
    RUN(session_gets_terminal);
    RUN(session_of_another_is_refused);
    RUN(key_interrupts);
    RUN(key_quits);
    RUN(background_read_stops);
    RUN(background_read_ignoring_fails);
    RUN(background_write_stops_with_tostop);
    RUN(background_settings_stop);
    RUN(key_suspends_foreground_group);
    RUN(window_size_signals);
    RUN(master_close_hangs_up);
    RUN(leader_exit_hangs_up_foreground);
    RUN(typing_for_others_is_refused);
    RUN(exclusive_use);
    TEST_MAIN_END;
}
