/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosted half of the Sentry: what its pieces (memory, files, reactor, the systrap platform)
 * share with each other. The kernel sees none of this, only hal.h and platform.h.
 */
#ifndef MOAT_PLATFORM_HOST_H
#define MOAT_PLATFORM_HOST_H

#include "base/list.h"
#include "base/types.h"
#include "hal.h"
#include "moat/boot.h"
#include "platform/hal/plock.h"

#define HOST_VCPU_MAX 64u
/* Descriptors above this are not taken from peers. */
#define HOST_FD_MAX 65536

/* Signal that gets a vCPU thread out of a wait (its handler only moves the thread past the call).
 */
#define HOST_KICK_SIGNAL 23 /* SIGURG */

/* ---- start.c ---- */
/* Runs the Sentry in this process, which must be PID 1 of its pid namespace; never returns. */
noreturn_fn void host_run(const struct moat_boot *boot);

/* The calling thread has made all calls that only a starting thread makes. */
void host_thread_ready(void);

/* ---- runtime.c, runtime.S ---- */
/* First of all, with the auxiliary vector that the host's kernel left on the stack (getauxval(3)).
 */
void host_runtime_init(const uint64_t *auxv);
/* The value of an AT_* entry, or 0. */
uint64_t host_auxv(uint64_t type);
/* The CPU that the caller is on, or UINT32_MAX when the host does not tell. */
uint32_t host_cpu(void);
/* A thread that runs fn(arg), which must not return, on a new stack.  0 or -errno. */
must_check int host_thread_start(size_t stack_size, void (*fn)(void *arg), void *arg);
long host_clone(long flags, void *stack_top, void (*fn)(void *arg), void *arg);
void host_sigreturn(void);

/* ---- log.c ---- */
void host_log_init(const struct moat_boot *boot);
/* Says on the log and on stderr what failed, and ends the Sentry with status 125. */
noreturn_fn void host_die(const char *format, ...) printf_like(1, 2);
void host_warn(const char *format, ...) printf_like(1, 2);

/* ---- memory.c, window.c ---- */
int host_memory_init(const struct moat_boot *boot);
/* The file and offset behind `count` frames (memory or one window): 0, -EINVAL when there is none.
 */
must_check int host_frame_locate(uint64_t pfn, uint64_t count, int *out_fd, uint64_t *out_off);
must_check int host_window_locate(uint64_t pfn, uint64_t count, int *out_fd, uint64_t *out_off);
void host_window_init(char *base, uint64_t size);
/* `size` bytes of private zero-filled memory without a reserve, or NULL. */
void *host_reserve(size_t size);

/* ---- faults.c ---- */
/* Signal handlers of the Sentry: bus errors in hal_copy and friends, kicks, crash report. */
void host_faults_init(void);
/* What the host puts in a signal frame for the FPU: size of the XSAVE image and its features; 0 and
 * 0 where the processor has no XSAVE, or the host's kernel does not use it: 512 bytes of FXSAVE. */
void host_fpstate_probe(uint32_t *out_size, uint64_t *out_features);
/* Gives the calling thread an alternate signal stack. */
void host_thread_init(void);

/* fstat by its own number: libc's may be another call, and the seccomp list has this one. */
struct stat;
static inline int host_fstat(int fd, struct stat *out) {
    return (int)sys2(SYS_fstat, fd, (long)out);
}

/* ---- fds.c: which descriptors the kernel may name ---- */
enum host_fd_kind { HOST_FD_NONE /* not donated */, HOST_FD_FILE, HOST_FD_SOCKET, HOST_FD_STREAM };
/* Makes a received descriptor a donated one: its hfd, or -EMFILE. */
must_check int host_fd_donate(int fd);
enum host_fd_kind host_fd_kind(int hfd);
static inline bool host_fd_ok(int hfd) {
    return host_fd_kind(hfd) != HOST_FD_NONE;
}
void host_fd_forget(int hfd);

/* ---- reactor.c ---- */
struct host_event { /* one for each watched descriptor; at most once on a queue */
    struct list link;
    uint64_t cookie;
    uint32_t events; /* 0: cancelled meanwhile */
    bool queued;     /* atomic */
    uint32_t vcpu;   /* on whose list */
};
int host_reactor_init(int control_fd);
/* Starts the thread; before confinement. */
int host_reactor_start(void);
/* The descriptor is about to be closed. */
void host_reactor_forget(int hfd);
/* True when `ev` still is to be delivered: takes its cookie and events. */
bool host_event_take(struct host_event *ev, uint64_t *out_cookie, uint32_t *out_events);
int host_control_init(int fd);
/* Guest code runs: the once-a-second look (host_platform_tick) is wanted. */
void host_tick_wanted(void);
static inline uint64_t host_now_ns(void) {
    return hal_clock_ns(HAL_CLOCK_MONOTONIC);
}

/* ---- vcpu.c (systrap): what the reactor posts to ---- */
void host_vcpu_post(struct host_event *ev);
/* Once a second: contexts that run user code but died, or do not answer a kick.
 * False when no context ran. */
bool host_platform_tick(void);

/* ---- confine.c ---- */
void host_privileges_drop(void);
/* The Sentry's own seccomp list on all its threads. */
int host_confine(void);

/* ---- gofer_channel.c ---- */
int gofer_channel_init(const struct moat_boot *boot);

#endif
