/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between the application kernel and the host machine: memory, time, entropy, log, the
 * Gofer channel, donated host files, the control channel.  The kernel makes no host call by itself.
 *
 * Errors are -errno.  `hfd` is a small number that names a donated host file; the kernel treats it
 * as a token.
 */
#ifndef MOAT_SENTRY_HAL_H
#define MOAT_SENTRY_HAL_H

#include "base/types.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (PAGE_SIZE - 1)

/* ---- memory --------------------------------------------------------------------------------
 * Frames [0, frame_count) are the guest's memory: a sparse file that the host fills with zero pages
 * on first touch, mapped linearly at `linear`.  Page frame numbers at and above window_base are
 * *windows*: host files that hal_window_open mapped.  linear + pfn * PAGE_SIZE is valid for both.
 * The heap is private memory of the kernel, zero-filled on first touch, never mapped in a user
 * context.
 */
struct hal_memory {
    char *linear;
    uint64_t frame_count;
    uint64_t window_base;
    uint64_t window_count; /* frames of window space */
    char *heap;
    size_t heap_size;
    uint64_t limit_bytes; /* what the guest may use: the user's limit, else the machine's memory; 0:
                             no limit */
};

const struct hal_memory *hal_memory(void);
/* Gives whole frames back to the host; they read as zero afterwards.  Best on 2 MiB multiples. */
void hal_memory_punch(uint64_t pfn, uint64_t count);
/* Gives heap pages back to the host (they read as zero afterwards). */
void hal_heap_punch(void *start, size_t len);
/* Bytes of guest memory the host really holds now. */
uint64_t hal_memory_used(void);
/* memcpy that survives a host bus error (truncated host file, memory limit): 0 or -EFAULT. */
must_check int hal_copy(void *dst, const void *src, size_t len);
/* Zeroes memory, likewise. */
must_check int hal_zero(void *dst, size_t len);
/* Atomic compare-and-swap / load on a guest word through the linear map, likewise. */
must_check int hal_cas_u32(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *out_seen);
must_check int hal_load_u32(const uint32_t *word, uint32_t *out_value);

/* ---- vCPUs and waiting --------------------------------------------------------------------- */

/* The pointer that hal keeps for each vCPU thread (in a segment register): see kernel/cpu.h. */
void hal_cpu_set(void *cpu);
/* Sleeps while *word == value (spurious returns allowed): the slow path of contended spinlocks
 * only. */
void hal_park(uint32_t *word, uint32_t value);
/* Wakes up to `count` sleepers of hal_park on `word`. */
void hal_unpark(uint32_t *word, uint32_t count);
/* Ends the Sentry (all vCPUs) with this exit status. */
noreturn_fn void hal_exit(int status);

/* ---- time and entropy ---------------------------------------------------------------------- */

enum hal_clock { HAL_CLOCK_REALTIME = 0, HAL_CLOCK_MONOTONIC = 1, HAL_CLOCK_BOOTTIME = 7 };
uint64_t hal_clock_ns(enum hal_clock clock);
void hal_random(void *buf, size_t len);

/* ---- log ----------------------------------------------------------------------------------- */

enum hal_log_level { HAL_LOG_ERROR, HAL_LOG_WARN, HAL_LOG_INFO, HAL_LOG_DEBUG, HAL_LOG_STRACE };
/* One line without its newline; the host side adds time and writes it as text or JSON. */
void hal_log(enum hal_log_level level, const char *line, size_t len);
/* Lines above this level are dropped by the kernel before formatting. */
enum hal_log_level hal_log_level(void);
bool hal_strace_enabled(void);

/* ---- donated host files --------------------------------------------------------------------- */

struct hal_seg {
    void *base;
    size_t len;
};

struct hal_stat {
    uint32_t mode; /* st_mode of the host file (type and permissions) */
    uint64_t size;
    uint64_t rdev;
    uint64_t dev;
    uint64_t ino;
};

/* Positional I/O on a regular file.  Bytes moved or -errno.  May block for the disk. */
int64_t hal_file_pread(int hfd, const struct hal_seg *segs, size_t count, uint64_t off);
int64_t hal_file_pwrite(int hfd, const struct hal_seg *segs, size_t count, uint64_t off);
must_check int hal_file_truncate(int hfd, uint64_t size);
must_check int hal_file_allocate(int hfd, uint32_t mode, uint64_t off, uint64_t len);
must_check int hal_file_sync(int hfd, bool data_only);
must_check int hal_file_stat(int hfd, struct hal_stat *out_stat);
void hal_file_close(int hfd);
/* Stream I/O (pipes, sockets, terminals), never blocks: -EAGAIN when not ready. */
int64_t hal_stream_read(int hfd, void *buf, size_t len);
int64_t hal_stream_write(int hfd, const void *buf, size_t len);
/* The two above also serve a regular file: plain read and write at the offset of the host's open
 * file description, which other host processes may share (stdout sent to a file).  This moves that
 * offset as lseek(2) does: it or -errno. */
int64_t hal_stream_seek(int hfd, int64_t off, int whence);
/* POLLIN, POLLOUT, POLLHUP, POLLERR as they are now. */
uint32_t hal_stream_poll(int hfd);
/* Asks for sentry_host_event(cookie, events) on a vCPU once `hfd` has one of `events` (one shot; 0
 * cancels). */
must_check int hal_stream_watch(int hfd, uint32_t events, uint64_t cookie);
/* Terminal queries on a donated terminal: TCGETS, TCSETS*, TIOCGWINSZ only; buf is the ioctl's
 * struct. */
must_check int hal_tty_ioctl(int hfd, uint32_t request, void *buf, size_t len);

/*
 * Maps a regular host file as window frames: *out_pfn .. + size/PAGE_SIZE rounded up.  The file's
 * later truncation shows as -EFAULT in hal_copy and as SIGBUS in a user context.  -ENOMEM, -EACCES.
 */
must_check int hal_window_open(int hfd, uint64_t size, bool writable, uint64_t *out_pfn);
void hal_window_close(uint64_t pfn);

/* ---- Gofer: FUSE messages ------------------------------------------------------------------- */

#define HAL_GOFER_MSG_MAX (132u * 1024u)

/*
 * Sends one FUSE request (struct fuse_in_header and body, `req_len` bytes of `req`, which the
 * kernel built) over channel `chan` and waits for the reply.  The reply (fuse_out_header and body)
 * is copied into `reply`; returns its length, or -EIO when the Gofer is gone.  *out_hfd is a
 * donated file that came with it, or -1.
 */
int64_t hal_gofer_call(uint32_t chan, const struct hal_seg *req, size_t req_count, void *reply,
                       size_t reply_max, int *out_hfd);

/* ---- control channel: messages of include/moat/control.h ------------------------------------- */

/* Takes the next control message (after sentry_host_event with cookie HAL_COOKIE_CONTROL).  Length,
 * 0 when none, -EPIPE when the peer is gone.  Donated files that came with it are in hfds (up to
 * *inout_hfd_count). */
int64_t hal_control_recv(void *buf, size_t max, int *hfds, uint32_t *inout_hfd_count);
/* Sends a message; never blocks (drops the peer when it does not read). */
must_check int hal_control_send(const void *buf, size_t len);

#define HAL_COOKIE_CONTROL    1ull
#define HAL_COOKIE_FIRST_FREE 16ull

/* ---- called by the HAL, implemented by the kernel ---------------------------------------------
 */

/* Once, on vCPU 0, before any vCPU runs.  `boot` is the host's boot message (include/moat/boot.h),
 * already copied. */
void sentry_boot(const void *boot, size_t len);
/* On each vCPU thread; never returns. */
noreturn_fn void sentry_vcpu_main(uint32_t vcpu);
/* A watched descriptor became ready; called on a vCPU thread from platform_wait. */
void sentry_host_event(uint64_t cookie, uint32_t events);

#endif
