/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory devices (null(4), zero(4), full(4), random(4)) and the kernel's message ring (kmsg).
 *
 * Reads of null and zero are the shortest path through a file there is; keep them so.
 */
#include "fs/dev/dev.h"

#include "base/fmt.h"
#include "base/string.h"
#include "fs/iter.h"
#include "fs/vfs.h"
#include "hal.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/signal.h"
#include "kernel/cpu.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/poll.h>
#include <linux/capability.h>
#include <linux/random.h>

#define ENTROPY_BITS  256
#define RANDOM_CHUNK  256u
#define KMSG_LINE_MAX 1024u

/* ---- null, zero, full ------------------------------------------------------------------------ */

static int64_t null_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    return 0;
}

static int64_t sink_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    size_t len = iter_left(from);
    iter_advance(from, len);
    return (int64_t)len;
}

static int64_t zero_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    return iter_zero(to, iter_left(to));
}

static int64_t full_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    return iter_left(from) == 0 ? 0 : -ENOSPC;
}

static int64_t mem_llseek(struct file *file, int64_t off, int whence) {
    return 0;
}

/* A private mapping is anonymous memory, a shared one a file in memory of its own. */
static int zero_mmap(struct file *file, struct vma *vma) {
    if ((vma->flags & VMA_SHARED) == 0) {
        vma->file = NULL;
        return 0;
    }
    vma->pgoff = 0;
    return mm_shared_file(vma->end - vma->start, "/dev/zero", &vma->file);
}

static const struct file_ops g_null_ops = {
    .read = null_read,
    .write = sink_write,
    .llseek = mem_llseek,
};

static const struct file_ops g_zero_ops = {
    .read = zero_read,
    .write = sink_write,
    .llseek = mem_llseek,
    .mmap = zero_mmap,
};

static const struct file_ops g_full_ops = {
    .read = zero_read,
    .write = full_write,
    .llseek = mem_llseek,
};

/* ---- random, urandom ------------------------------------------------------------------------- */

static int64_t random_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    char buf[RANDOM_CHUNK];
    int64_t done = 0;
    while (iter_left(to) != 0) {
        size_t len = MIN(iter_left(to), sizeof(buf));
        hal_random(buf, len);
        int64_t n = iter_copy_to(to, buf, len);
        if (n < 0) {
            return done != 0 ? done : n;
        }
        done += n;
        if ((size_t)n < len || signal_pending(current)) {
            break;
        }
    }
    memset(buf, 0, sizeof(buf));
    return done;
}

static int64_t random_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    int bits = ENTROPY_BITS;
    switch (request) {
    case RNDGETENTCNT:
        return copyout(arg, &bits, sizeof(bits));
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return capable(CAP_SYS_ADMIN) ? 0
                                      : -EPERM; /* the host's pool is not the guest's to change */
    default:
        return -ENOTTY;
    }
}

static const struct file_ops g_random_ops = {
    .read = random_read,
    .write = sink_write,
    .llseek = mem_llseek,
    .ioctl = random_ioctl,
};

/* ---- kmsg: one record a read ----------------------------------------------------------------- */

struct kmsg_reader {
    struct mutex lock;
    uint64_t off; /* guarded by lock, as seq */
    uint64_t seq;
};

/* Where the text of a line "<6>[    1.000002] text" starts; its time in microseconds. */
static size_t kmsg_prefix(const char *line, size_t len, uint64_t *out_us) {
    const char *close = memchr(line, ']', len);
    uint64_t us = 0;
    *out_us = 0;
    if (close == NULL || line[0] != '<') {
        return 0;
    }
    for (const char *p = memchr(line, '[', len); p != NULL && p < close; p++) {
        us = *p >= '0' && *p <= '9' ? us * 10 + (uint64_t)(*p - '0') : us;
    }
    *out_us = us;
    return MIN((size_t)(close - line) + 2, len);
}

static int64_t kmsg_record(struct kmsg_reader *r, struct iov_iter *to, char *line, char *text) {
    size_t got = dmesg_read(line, KMSG_LINE_MAX, r->off);
    if (got == 0) {
        return -EAGAIN;
    }
    const char *end = memchr(line, '\n', got);
    size_t len = end != NULL ? (size_t)(end - line) : got;
    uint64_t us;
    size_t skip = kmsg_prefix(line, len, &us);
    size_t size =
        fmt_snprintf(text, KMSG_LINE_MAX + 64, "6,%llu,%llu,-;%.*s\n", (unsigned long long)r->seq,
                     (unsigned long long)us, (int)(len - skip), line + skip);
    if (size > iter_left(to)) {
        return -EINVAL;
    }
    int64_t n = iter_copy_to(to, text, size);
    if (n >= 0) {
        r->off += len + (end != NULL ? 1 : 0);
        r->seq++;
    }
    return n;
}

static int64_t kmsg_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct kmsg_reader *r = file->private;
    char *buf = kmalloc(KMSG_LINE_MAX * 2 + 64);
    if (buf == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&r->lock);
    int64_t n = kmsg_record(r, to, buf, buf + KMSG_LINE_MAX);
    mutex_unlock(&r->lock);
    kfree(buf);
    return n; /* -EAGAIN at the end, also for a blocking reader: nothing more is being written */
}

static int64_t kmsg_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    char line[256];
    size_t len = iter_left(from);
    int64_t n = iter_copy_from(from, line, MIN(len, sizeof(line)));
    if (n < 0) {
        return n;
    }
    size_t text = (size_t)n;
    while (text != 0 && line[text - 1] == '\n') {
        text--;
    }
    dmesg_add("%.*s", (int)text, line);
    iter_advance(from, iter_left(from));
    return (int64_t)len;
}

static int64_t kmsg_llseek(struct file *file, int64_t off, int whence) {
    struct kmsg_reader *r = file->private;
    mutex_lock(&r->lock);
    r->off = whence == 2 ? dmesg_end() : 0; /* SEEK_END: what is logged from now on */
    mutex_unlock(&r->lock);
    return 0;
}

static uint32_t kmsg_poll(struct file *file, struct poll_table *table) {
    struct kmsg_reader *r = file->private;
    char byte;
    mutex_lock(&r->lock);
    uint32_t events = dmesg_read(&byte, 1, r->off) != 0 ? POLLIN | POLLRDNORM : 0;
    mutex_unlock(&r->lock);
    return events;
}

static void kmsg_release(struct file *file) {
    kfree(file->private);
}

static const struct file_ops g_kmsg_ops = {
    .read = kmsg_read,
    .write = kmsg_write,
    .llseek = kmsg_llseek,
    .poll = kmsg_poll,
    .release = kmsg_release,
};

static int kmsg_open(struct file *file) {
    struct kmsg_reader *r = kzalloc(sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    mutex_init(&r->lock);
    file->private = r;
    file->ops = &g_kmsg_ops;
    return 0;
}

int dev_mem_open(uint32_t minor, struct file *file) {
    switch (minor) {
    case 3:
        file->ops = &g_null_ops;
        return 0;
    case 5:
        file->ops = &g_zero_ops;
        return 0;
    case 7:
        file->ops = &g_full_ops;
        return 0;
    case 8:
    case 9:
        file->ops = &g_random_ops;
        return 0;
    case 11:
        return kmsg_open(file);
    default:
        return -ENXIO;
    }
}
