/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the virtual machine: its loop.  See agent.h. */
#include "agent/agent.h"
#include "host/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static struct agent g_agent; /* too large for a stack */
static struct pollfd g_polls[MUX_POLLS_MAX + 1 + 2 * AGENT_PROCESSES];

static void prepare_signals(struct agent *a) {
    sigset_t set;
    (void)sigfillset(&set); /* cannot fail, as the next */
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)signal(SIGPIPE, SIG_IGN); /* a container that closes its input is no reason to end */
}

static void turn(struct agent *a) {
    size_t muxed = mux_prepare(&a->mux, g_polls);
    size_t count = muxed;
    g_polls[count++] = (struct pollfd){.fd = a->signals, .events = POLLIN};
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        if (a->processes[i].used && a->processes[i].link >= 0) {
            g_polls[count++] = (struct pollfd){.fd = a->processes[i].link, .events = POLLIN};
        }
    }
    size_t links = count;
    for (uint32_t i = 0; i < AGENT_PROCESSES; i++) {
        const struct process *p = &a->processes[i];
        if (p->used && p->box != NULL && p->box->oom >= 0) {
            g_polls[count++] = (struct pollfd){.fd = p->box->oom, .events = POLLIN};
        }
    }
    if (poll(g_polls, count, balloon_wait_ms(a)) < 0) {
        return; /* EINTR */
    }
    balloon_turn(a);
    /* Links before deaths: a process that fails to start says why before it ends. */
    for (size_t k = muxed + 1; k < links; k++) {
        for (uint32_t i = 0; g_polls[k].revents != 0 && i < AGENT_PROCESSES; i++) {
            struct process *p = &a->processes[i];
            if (p->used && p->link == g_polls[k].fd) {
                process_link(a, p);
                break;
            }
        }
    }
    for (size_t k = links; k < count; k++) {
        for (uint32_t i = 0; g_polls[k].revents != 0 && i < AGENT_PROCESSES; i++) {
            struct process *p = &a->processes[i];
            if (p->used && p->box != NULL && p->box->oom == g_polls[k].fd) {
                process_tell_kills(a, p);
                break;
            }
        }
    }
    if (g_polls[muxed].revents != 0) {
        struct signalfd_siginfo si;
        while (read(a->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        }
        process_reap(a);
    }
    int e = mux_handle(&a->mux, g_polls, muxed);
    if (e != 0) {
        boot_off(e == -EPIPE ? "the host is gone" : strerror(-e));
    }
}

int main(void) {
    struct agent *a = &g_agent;
    uint64_t boot_ns = clock_now_ns(CLOCK_BOOTTIME);
    boot_machine();
    prepare_signals(a);
    int fd = boot_connect();
    if (fd < 0 || a->signals < 0 || mux_init(&a->mux, fd) != 0) {
        boot_off("no way to the host");
    }
    a->mux.on_frame = agent_frame;
    a->mux.arg = a;
    if (agent_hello(a, boot_ns) != 0) {
        boot_off("no memory");
    }
    boot_log(LOG_INFO, "ready");
    for (;;) {
        turn(a);
    }
}
