/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the HAL door.  What the seccomp list of a running Sentry refuses (making pipes, sending
 * descriptors) is done by seam_hal_prepare before it starts.
 */
#include "platform/systrap/internal.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

extern const char guest_load[];

static int g_pipe[2], g_pair[2], g_control[2], g_file;

/* Sends `text` with a descriptor. */
static void send_fd(int sock, const char *text, int fd) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    memset(control, 0, sizeof(control));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    CHECK(sendmsg(sock, &msg, 0) == (ssize_t)strlen(text));
}

int seam_hal_prepare(void) {
    CHECK(pipe2(g_pipe, O_CLOEXEC) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, g_pair) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, g_control) == 0);
    g_file = memfd_create("seam", MFD_CLOEXEC);
    CHECK(g_file >= 0 && ftruncate(g_file, 3 * 4096 + 100) == 0 &&
          pwrite(g_file, "window!!", 8, 4096) == 8);
    send_fd(g_control[1], "first", g_pipe[0]);
    return g_control[0];
}

/* Waits on vCPU 0 for an event with this cookie. */
static void await_event(uint64_t cookie) {
    uint64_t limit = hal_clock_ns(HAL_CLOCK_MONOTONIC) + 5 * NSEC_PER_SEC;
    struct trap trap;
    uint32_t before = g_event_count;
    while (g_event_count == before || g_event_cookie != cookie) {
        platform_wait(0, NULL, limit, &trap);
        CHECK(trap.kind == TRAP_NONE && hal_clock_ns(HAL_CLOCK_MONOTONIC) < limit);
    }
}

static void test_memory(void) {
    const struct hal_memory *m = hal_memory();
    char *p = m->linear + PFN_FREE * PAGE_SIZE;
    uint32_t seen;
    CHECK(m->frame_count > 1000 && m->window_base >= m->frame_count && m->heap_size >= GIB);
    for (size_t len = 0; len < 40; len++) {
        memset(p, 0, 64);
        CHECK(hal_copy(p, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", len) == 0);
        CHECK(memcmp(p, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", len) == 0 && p[len] == 0);
    }
    CHECK(hal_zero(p, 64) == 0 && p[0] == 0 && p[39] == 0);
    CHECK(hal_cas_u32((uint32_t *)p, 0, 5, &seen) == 0 && seen == 0);
    CHECK(hal_cas_u32((uint32_t *)p, 0, 6, &seen) == 0 && seen == 5);
    CHECK(hal_load_u32((uint32_t *)p, &seen) == 0 && seen == 5);
    CHECK(hal_copy(p, NULL, 8) == -EFAULT && hal_copy(p, NULL, 100) == -EFAULT &&
          hal_zero(NULL, 8) == -EFAULT);
    CHECK(hal_load_u32(NULL, &seen) == -EFAULT && hal_cas_u32(NULL, 0, 0, &seen) == -EFAULT);
    CHECK(hal_memory_used() != 0);
    hal_memory_punch(PFN_FREE, 1);
    CHECK(p[0] == 0);
    char *heap = m->heap + 4096;
    heap[5] = 1;
    hal_heap_punch(heap, 4096);
    CHECK(heap[5] == 0);
}

static int pfn_fd(uint64_t pfn) {
    int fd;
    uint64_t off;
    CHECK(host_frame_locate(pfn, 1, &fd, &off) == 0);
    return fd;
}

static void test_window(void) {
    uint64_t pfn, again;
    struct task t;
    char text[8];
    int hfd = host_fd_donate(g_file);
    CHECK(hfd >= 0 && hal_window_open(hfd, 3 * 4096 + 100, true, &pfn) == 0);
    char *base = hal_memory()->linear + pfn * PAGE_SIZE;
    CHECK(pfn >= hal_memory()->window_base && memcmp(base + 4096, "window!!", 8) == 0);
    seam_start(&t, GUEST(guest_load));
    CHECK(platform_map(t.space, 0x10000000, pfn + 1, 1, PROT_BIT_READ) == 0);
    CHECK(platform_map(t.space, 0x20000000, pfn + 4, 1, PROT_BIT_READ) < 0); /* past its end */
    hal_file_close(hfd);                                                     /* the window stays */
    t.regs.r12 = 0x10000000;
    platform_regs_set(t.thread, &t.regs);
    struct trap *trap = seam_run(&t, RESUME_USER);
    CHECK(trap->kind == TRAP_SYSCALL && memcmp(&trap->u.syscall.args[0], "window!!", 8) == 0);
    /* the host takes the file away: an error for us, a signal for the guest */
    CHECK(sys2(SYS_ftruncate, pfn_fd(pfn), 0) == 0);
    CHECK(hal_copy(text, base + 4096, 8) == -EFAULT);
    platform_result_set(t.thread, 0);
    (void)seam_run(&t, RESUME_KICK);
    t.regs.rip = GUEST(guest_load);
    platform_regs_set(t.thread, &t.regs);
    trap = seam_run(&t, RESUME_USER);
    CHECK(trap->kind == TRAP_EXCEPTION && trap->u.exception.signo == 7);
    seam_destroy(&t);
    hal_window_close(pfn);
    CHECK(hal_copy(text, base, 8) == -EFAULT);
    CHECK(hal_window_open(hfd, 4096, false, &again) == -EACCES);
}

static void test_files(void) {
    char buf[16] = "";
    struct hal_seg two[2] = {{buf, 4}, {buf + 8, 4}};
    struct hal_stat st;
    int hfd = host_fd_donate(g_file);
    CHECK(hal_file_pread(hfd, two, 2, 4096) == 8 && memcmp(buf, "wind", 4) == 0 &&
          memcmp(buf + 8, "ow!!", 4) == 0);
    CHECK(hal_file_pwrite(hfd, two, 2, 5000) == 8 && hal_file_truncate(hfd, 5004) == 0);
    CHECK(hal_file_stat(hfd, &st) == 0 && st.size == 5004 && S_ISREG(st.mode));
    CHECK(hal_file_allocate(hfd, 0, 0, 8192) == 0 && hal_file_sync(hfd, true) == 0);
    CHECK(hal_stream_seek(hfd, 5000, SEEK_SET) == 5000 && hal_stream_read(hfd, buf, 4) == 4);
    CHECK(hal_file_pread(g_pipe[0], two, 1, 0) == -EBADF); /* not donated */
    CHECK(hal_file_truncate(-1, 0) == -EBADF && hal_file_sync(1 << 20, true) == -EBADF);
    hal_file_close(hfd);
    CHECK(hal_file_stat(hfd, &st) == -EBADF);
}

static void test_streams(void) {
    static char block[65536];
    int in = host_fd_donate(g_pipe[0]), out = host_fd_donate(g_pipe[1]),
        sock = host_fd_donate(g_pair[0]);
    CHECK(hal_stream_read(in, block, 10) == -EAGAIN && (hal_stream_poll(in) & POLLIN) == 0);
    int64_t total = 0, n;
    while ((n = hal_stream_write(out, block, sizeof(block))) >
           0) { /* blocks for ever if it may block */
        total += n;
    }
    CHECK(n == -EAGAIN && total >= 65536 && (hal_stream_poll(in) & POLLIN) != 0);
    while ((n = hal_stream_read(in, block, sizeof(block))) > 0) {
        total -= n;
    }
    CHECK(n == -EAGAIN && total == 0);
    CHECK(hal_stream_read(sock, block, 10) == -EAGAIN && hal_stream_write(sock, "ping", 4) == 4);
    CHECK(sys3(SYS_read, g_pair[1], (long)block, 10) == 4);
    CHECK(hal_tty_ioctl(in, TIOCSTI, block, 1) == -ENOTTY &&
          hal_tty_ioctl(in, TCGETS, block, 36) == -ENOTTY);
    CHECK(hal_tty_ioctl(in, TCGETS, block, 4) == -EINVAL);
    hal_file_close(out);
    CHECK(hal_stream_read(in, block, 10) == 0); /* end of file */
}

static void test_watch(void) {
    struct trap trap;
    int in = host_fd_donate(g_pipe[0]), file = host_fd_donate(g_file);
    CHECK(hal_stream_watch(in, POLLIN, 100) == 0);
    CHECK(sys3(SYS_write, g_pipe[1], (long)"x", 1) == 1);
    await_event(100);
    /* one shot */
    uint32_t before = g_event_count;
    CHECK(sys3(SYS_write, g_pipe[1], (long)"x", 1) == 1);
    platform_wait(0, NULL, hal_clock_ns(HAL_CLOCK_MONOTONIC) + 3 * NSEC_PER_MSEC, &trap);
    CHECK(g_event_count == before);
    CHECK(hal_stream_watch(in, POLLIN, 101) == 0); /* ready already */
    await_event(101);
    CHECK(hal_stream_watch(file, POLLIN, 102) == 0); /* regular files always are */
    await_event(102);
    CHECK(hal_stream_watch(g_pair[0], POLLIN, 103) == -EBADF);
}

static void test_control(void) {
    char buf[64];
    int hfds[4];
    uint32_t count = 4;
    await_event(HAL_COOKIE_CONTROL);
    CHECK(hal_control_recv(buf, sizeof(buf), hfds, &count) == 5 && memcmp(buf, "first", 5) == 0);
    CHECK(count == 1 && hal_stream_poll(hfds[0]) == 0);
    count = 4;
    CHECK(hal_control_recv(buf, sizeof(buf), hfds, &count) == 0 && count == 0);
    CHECK(sys6(SYS_sendto, g_control[1], (long)"second", 6, 0, 0, 0) == 6);
    await_event(HAL_COOKIE_CONTROL);
    count = 4;
    CHECK(hal_control_recv(buf, 3, hfds, &count) == -EMSGSIZE);
    CHECK(hal_control_send("reply", 5) == 0);
    CHECK(sys6(SYS_recvfrom, g_control[1], (long)buf, sizeof(buf), 0, 0, 0) == 5);
    int err = 0;
    for (int i = 0; i < 100000 && err == 0; i++) { /* a peer that does not read */
        err = hal_control_send(buf, sizeof(buf));
    }
    CHECK(err == -EAGAIN);
    count = 4;
    CHECK(hal_control_recv(buf, sizeof(buf), hfds, &count) == -EPIPE);
}

static void test_time(void) {
    uint8_t a[32] = {0}, b[32] = {0};
    uint64_t t = hal_clock_ns(HAL_CLOCK_MONOTONIC);
    CHECK(hal_clock_ns(HAL_CLOCK_MONOTONIC) >= t &&
          hal_clock_ns(HAL_CLOCK_REALTIME) > 1600000000ull * NSEC_PER_SEC);
    hal_random(a, sizeof(a));
    hal_random(b, sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
}

const struct seam_test g_seam_hal_tests[] = {
    {"memory", test_memory},   {"window", test_window}, {"files", test_files},
    {"streams", test_streams}, {"watch", test_watch},   {"control", test_control, true},
    {"time", test_time},
};
const size_t g_seam_hal_test_count = ARRAY_COUNT(g_seam_hal_tests);
