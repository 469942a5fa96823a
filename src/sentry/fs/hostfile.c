/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host files: see hostfile.h.
 *
 * A struct hostfile is the inode's private part and lives as long as the inode, so that a second
 * open through /dev/stdout or /proc/self/fd shares it.  Data goes through a kernel buffer: bytes of
 * a stream are never taken from the host before there is a place to put them. A regular file is
 * read and written at the offset of the host's open file description, because several donated
 * descriptors, and processes outside, may share it; positional calls use their own offset.
 * Boundary: sizes and modes come from the host side, which the Sentry trusts no further than to
 * show them to the guest.
 */
#include "fs/hostfile.h"

#include "base/fmt.h"
#include "fs/iter.h"
#include "fs/vfs.h"
#include "hal.h"
#include "kernel/cpu.h"
#include "kernel/hostevent.h"
#include "kernel/kmalloc.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <asm-generic/ioctls.h>
#include <asm-generic/poll.h>
#include <asm-generic/signal.h>
#include <asm-generic/termbits.h>
#include <asm-generic/termios.h>
#include <linux/stat.h>

#define HOSTFILE_MAGIC  0x686f7374u
#define HOSTFILE_LABEL  40u
#define SMALL_LEN       512u
#define CHUNK_MAX       (64u * 1024u)
#define EVENTS_READABLE (POLLIN | POLLHUP | POLLERR)
#define EVENTS_WRITABLE (POLLOUT | POLLHUP | POLLERR)

struct hostfile {
    struct host_watch watch;
    struct waitq waitq;
    int hfd;
    bool regular;
    bool terminal;
    struct mutex window_lock;
    bool window_open; /* guarded by window_lock, as the next two */
    uint64_t window_pfn;
    uint64_t window_pages;
};

static struct hostfile *hostfile_of(struct file *file) {
    return file->inode->private;
}

static void hostfile_event(struct host_watch *w, uint32_t events) {
    struct hostfile *hf = container_of(w, struct hostfile, watch);
    waitq_wake(&hf->waitq, events | POLLHUP | POLLERR);
}

/* ---- streams ----------------------------------------------------------------------------------
 */

/* Sleeps until the stream has one of `events`: 0 or -ERESTARTSYS. */
static int hostfile_wait(struct hostfile *hf, uint32_t events) {
    struct waiter w;
    int err = 0;
    waiter_init_task(&w, current);
    waitq_add(&hf->waitq, &w);
    while ((hal_stream_poll(hf->hfd) & events) == 0) {
        err = host_watch_arm(&hf->watch, events & (POLLIN | POLLOUT));
        if (err != 0) {
            err = 0; /* a file the host cannot watch is always ready */
            break;
        }
        err = task_block(NO_DEADLINE, BLOCK_INTERRUPTIBLE);
        if (err != 0) {
            err = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&w);
    return err;
}

static int64_t stream_read_chunk(struct file *file, void *buf, size_t len) {
    struct hostfile *hf = hostfile_of(file);
    for (;;) {
        int64_t n = hal_stream_read(hf->hfd, buf, len);
        if (n != -EAGAIN || (atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return n;
        }
        int err = hostfile_wait(hf, EVENTS_READABLE);
        if (err != 0) {
            return err;
        }
    }
}

static int64_t stream_write_chunk(struct file *file, const char *buf, size_t len) {
    struct hostfile *hf = hostfile_of(file);
    size_t done = 0;
    while (done < len) {
        int64_t n = hal_stream_write(hf->hfd, buf + done, len - done);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n == -EAGAIN && (atomic_load_relaxed(&file->flags) & O_NONBLOCK) == 0) {
            n = hostfile_wait(hf, EVENTS_WRITABLE);
        }
        if (n == -EPIPE && done == 0) {
            (void)signal_send_task(current, SIGPIPE, NULL);
        }
        if (n < 0) {
            return done != 0 ? (int64_t)done : n;
        }
    }
    return (int64_t)done;
}

/* ---- read and write ----------------------------------------------------------------------------
 */

/* Read and write hand the file's own position in, pread and the like a position of their own. */
static bool uses_host_offset(const struct file *file, const uint64_t *pos) {
    return !hostfile_of((struct file *)(uintptr_t)file)->regular || pos == NULL ||
           pos == &file->pos;
}

static int64_t read_chunk(struct file *file, void *buf, size_t len, uint64_t *pos) {
    if (uses_host_offset(file, pos)) {
        return stream_read_chunk(file, buf, len);
    }
    struct hal_seg seg = {buf, len};
    int64_t n = hal_file_pread(hostfile_of(file)->hfd, &seg, 1, *pos);
    if (n > 0) {
        *pos += (uint64_t)n;
    }
    return n;
}

static int64_t write_chunk(struct file *file, void *buf, size_t len, uint64_t *pos) {
    if (uses_host_offset(file, pos)) {
        return stream_write_chunk(file, buf, len);
    }
    struct hal_seg seg = {buf, len};
    int64_t n = hal_file_pwrite(hostfile_of(file)->hfd, &seg, 1, *pos);
    if (n > 0) {
        *pos += (uint64_t)n;
    }
    return n;
}

static int64_t read_loop(struct file *file, struct iov_iter *to, uint64_t *pos, void *buf,
                         size_t size) {
    int64_t done = 0;
    while (iter_left(to) != 0) {
        size_t want = MIN(iter_left(to), size);
        int64_t n = read_chunk(file, buf, want, pos);
        if (n <= 0) {
            return done != 0 ? done : n;
        }
        int64_t copied = iter_copy_to(to, buf, (size_t)n);
        if (copied < 0) {
            return done != 0 ? done : copied;
        }
        done += copied;
        if (copied != n || (size_t)n < want || !hostfile_of(file)->regular) {
            break; /* a stream gives what it has */
        }
    }
    return done;
}

static int64_t write_loop(struct file *file, struct iov_iter *from, uint64_t *pos, void *buf,
                          size_t size) {
    int64_t done = 0;
    while (iter_left(from) != 0) {
        int64_t n = iter_copy_from(from, buf, MIN(iter_left(from), size));
        if (n <= 0) {
            return done != 0 ? done : n;
        }
        int64_t written = write_chunk(file, buf, (size_t)n, pos);
        if (written < n) {
            iter_revert(from, (size_t)(n - MAX(written, 0)));
        }
        if (written < 0) {
            return done != 0 ? done : written;
        }
        done += written;
        if (written < n) {
            break;
        }
    }
    return done;
}

typedef int64_t loop_fn(struct file *file, struct iov_iter *it, uint64_t *pos, void *buf,
                        size_t size);

static int64_t with_buffer(struct file *file, struct iov_iter *it, uint64_t *pos, loop_fn *fn) {
    char small[SMALL_LEN];
    size_t want = MIN(iter_left(it), (size_t)CHUNK_MAX);
    void *big = want > sizeof(small) ? kmalloc(want) : NULL;
    if (big == NULL) {
        return fn(file, it, pos, small, sizeof(small));
    }
    int64_t n = fn(file, it, pos, big, want);
    kfree(big);
    return n;
}

static int64_t hostfile_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    return with_buffer(file, to, pos, read_loop);
}

static int64_t hostfile_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    return with_buffer(file, from, pos, write_loop);
}

static int64_t hostfile_llseek(struct file *file, int64_t off, int whence) {
    struct hostfile *hf = hostfile_of(file);
    return hf->regular ? hal_stream_seek(hf->hfd, off, whence) : -ESPIPE;
}

static uint32_t hostfile_poll(struct file *file, struct poll_table *table) {
    struct hostfile *hf = hostfile_of(file);
    if (hf->regular) {
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    }
    poll_wait(table, &hf->waitq);
    uint32_t wanted = table != NULL && table->queue != NULL ? POLLIN | POLLOUT : 0;
    uint32_t events = hal_stream_poll(hf->hfd);
    wanted &= ~events;
    if (wanted != 0 && host_watch_arm(&hf->watch, wanted) != 0) {
        events |= wanted; /* not watchable: always ready */
    }
    events |= (events & POLLIN) != 0 ? POLLRDNORM : 0;
    events |= (events & POLLOUT) != 0 ? POLLWRNORM : 0;
    return events;
}

/* ---- terminals
 * ----------------------------------------------------------------------------------- */

static int64_t hostfile_ioctl(struct file *file, uint32_t request, struct uaddr arg) {
    struct hostfile *hf = hostfile_of(file);
    union {
        struct termios termios;
        struct winsize winsize;
    } u;
    size_t len;
    bool set = false;
    if (!hf->terminal) {
        return -ENOTTY;
    }
    switch (request) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        set = true;
        len = sizeof(u.termios);
        break;
    case TCGETS:
        len = sizeof(u.termios);
        break;
    case TIOCGWINSZ:
        len = sizeof(u.winsize);
        break;
    default:
        return -ENOTTY;
    }
    int err = set ? copyin(&u, arg, len) : 0;
    if (err == 0) {
        err = hal_tty_ioctl(hf->hfd, request, &u, len);
    }
    if (err == 0 && !set) {
        err = copyout(arg, &u, len);
    }
    return err;
}

/* ---- regular files
 * ------------------------------------------------------------------------------- */

static int hostfile_fsync(struct file *file, bool data_only) {
    struct hostfile *hf = hostfile_of(file);
    return hf->regular ? hal_file_sync(hf->hfd, data_only) : -EINVAL;
}

static int hostfile_fallocate(struct file *file, uint32_t mode, uint64_t off, uint64_t len) {
    struct hostfile *hf = hostfile_of(file);
    return hf->regular ? hal_file_allocate(hf->hfd, mode, off, len) : -ESPIPE;
}

static int hostfile_mmap(struct file *file, struct vma *vma) {
    if (!hostfile_of(file)->regular) {
        return -ENODEV;
    }
    if ((vma->flags & VMA_SHARED) != 0) {
        if ((vma->flags & VMA_WRITE) != 0) {
            return -EACCES; /* windows on standard streams are read-only */
        }
        vma->flags &= ~(uint32_t)VMA_MAY_WRITE;
    }
    return 0;
}

/* Makes the window cover page `pgoff`; under window_lock. */
static int window_ready(struct hostfile *hf, uint64_t pgoff) {
    if (hf->window_open) {
        return pgoff < hf->window_pages ? 0 : -EFAULT;
    }
    struct hal_stat st;
    int err = hal_file_stat(hf->hfd, &st);
    if (err != 0) {
        return -EIO;
    }
    if (pgoff >= ALIGN_UP(st.size, PAGE_SIZE) / PAGE_SIZE) {
        return -EFAULT;
    }
    err = hal_window_open(hf->hfd, st.size, false, &hf->window_pfn);
    if (err != 0) {
        return err == -ENOMEM ? err : -EIO;
    }
    hf->window_open = true;
    hf->window_pages = ALIGN_UP(st.size, PAGE_SIZE) / PAGE_SIZE;
    return 0;
}

static int hostfile_map_pages(struct file *file, uint64_t pgoff, uint64_t want, bool write,
                              uint64_t *out_pfn, uint64_t *out_count) {
    struct hostfile *hf = hostfile_of(file);
    if (write) {
        return -EIO;
    }
    mutex_lock(&hf->window_lock);
    int err = window_ready(hf, pgoff);
    if (err == 0) {
        *out_pfn = hf->window_pfn + pgoff;
        *out_count = MIN(want, hf->window_pages - pgoff);
    }
    mutex_unlock(&hf->window_lock);
    return err;
}

static const struct file_ops g_hostfile_ops = {
    .read = hostfile_read,
    .write = hostfile_write,
    .llseek = hostfile_llseek,
    .poll = hostfile_poll,
    .ioctl = hostfile_ioctl,
    .fsync = hostfile_fsync,
    .fallocate = hostfile_fallocate,
    .mmap = hostfile_mmap,
    .map_pages = hostfile_map_pages,
};

/* ---- inodes
 * ---------------------------------------------------------------------------------------- */

static int hostfile_getattr(struct inode *inode, struct kstat *out) {
    struct hostfile *hf = inode->private;
    struct hal_stat st;
    inode_to_kstat(inode, out);
    if (hf->regular && hal_file_stat(hf->hfd, &st) == 0) {
        out->size = st.size;
        out->blocks = (st.size + 511) / 512;
    }
    return 0;
}

static int hostfile_setattr(struct dentry *dentry, struct iattr *attr) {
    struct hostfile *hf = dentry->inode->private;
    if ((attr->valid & ATTR_SET_SIZE) != 0) {
        int err = hf->regular ? hal_file_truncate(hf->hfd, attr->size) : -EINVAL;
        if (err != 0) {
            return err;
        }
    }
    inode_apply_attr(dentry->inode, attr); /* owner and mode of the guest's view alone */
    return 0;
}

static void hostfile_set_mode(struct file *file) {
    if (hostfile_of(file)->regular) {
        file->mode |= FMODE_PREAD;
    } else {
        file->mode |= FMODE_STREAM;
    }
}

static int hostfile_open(struct inode *inode, struct file *file) {
    file->ops = &g_hostfile_ops;
    hostfile_set_mode(file);
    return 0;
}

static const struct inode_ops g_hostfile_inode_ops = {
    .getattr = hostfile_getattr,
    .setattr = hostfile_setattr,
    .open = hostfile_open,
};

static void hostfile_free(struct hostfile *hf) {
    host_watch_remove(&hf->watch);
    if (hf->window_open) {
        hal_window_close(hf->window_pfn);
    }
    hal_file_close(hf->hfd);
    kfree(hf);
}

static void hostfile_evict(struct inode *inode) {
    if (inode->private != NULL) {
        hostfile_free(inode->private);
        inode->private = NULL;
    }
}

static const struct super_ops g_hostfile_super_ops = {.evict = hostfile_evict};
static const struct fs_type g_hostfile_type = {.name = "hostfile", .flags = FS_NODEV};

static struct super_block *hostfile_super(void) {
    static struct super_block *super; /* made once, kept for ever; atomic */
    struct super_block *sb = atomic_load(&super);
    if (sb != NULL) {
        return sb;
    }
    sb = super_alloc(&g_hostfile_type, &g_hostfile_super_ops, HOSTFILE_MAGIC);
    struct super_block *seen = NULL;
    if (sb != NULL && !atomic_cas(&super, &seen, sb)) {
        super_put(sb);
        sb = seen;
    }
    return sb;
}

static struct hostfile *hostfile_alloc(int hfd, const struct hal_stat *st) {
    struct hostfile *hf = kzalloc(sizeof(*hf));
    if (hf == NULL) {
        return NULL;
    }
    struct termios termios;
    hf->hfd = hfd;
    hf->regular = S_ISREG(st->mode);
    hf->terminal = S_ISCHR(st->mode) && hal_tty_ioctl(hfd, TCGETS, &termios, sizeof(termios)) == 0;
    waitq_init(&hf->waitq);
    mutex_init(&hf->window_lock);
    host_watch_add(&hf->watch, hfd, hostfile_event);
    return hf;
}

/* The guest's device number of a host character device: the null device keeps its own, everything
 * else is a console. */
static uint64_t guest_rdev(const struct hal_stat *st) {
    if (!S_ISCHR(st->mode)) {
        return 0;
    }
    return DEV_MAJOR(st->rdev) == 1 ? st->rdev : MKDEV(5, 1);
}

/* What /proc/pid/fd shows: the form Linux has for pipes and sockets, a device's name where there is
 * one. */
static void hostfile_label(const struct inode *inode, char label[HOSTFILE_LABEL]) {
    unsigned long long ino = inode->ino;
    if (S_ISFIFO(inode->mode)) {
        (void)fmt_snprintf(label, HOSTFILE_LABEL, "pipe:[%llu]", ino);
    } else if (S_ISSOCK(inode->mode)) {
        (void)fmt_snprintf(label, HOSTFILE_LABEL, "socket:[%llu]", ino);
    } else if (S_ISCHR(inode->mode)) {
        bool null = inode->rdev == MKDEV(1, 3);
        (void)fmt_snprintf(label, HOSTFILE_LABEL, null ? "/dev/null" : "/dev/console");
    } else {
        (void)fmt_snprintf(label, HOSTFILE_LABEL, "host:[%llu]", ino);
    }
}

int hostfile_create(int hfd, struct file **out) {
    struct hal_stat st;
    int err = hal_file_stat(hfd, &st);
    struct super_block *sb = hostfile_super();
    struct hostfile *hf = err == 0 && sb != NULL ? hostfile_alloc(hfd, &st) : NULL;
    if (hf == NULL) {
        hal_file_close(hfd);
        return err != 0 ? err : -ENOMEM;
    }
    uint32_t mode = (st.mode & S_IFMT) | 0666;
    struct inode *inode = inode_alloc(sb, mode, &g_hostfile_inode_ops, &g_hostfile_ops);
    if (inode == NULL) {
        hostfile_free(hf);
        return -ENOMEM;
    }
    inode->private = hf;
    inode->rdev = guest_rdev(&st);
    char label[HOSTFILE_LABEL];
    hostfile_label(inode, label);
    err = file_from_inode(inode, label, &g_hostfile_ops, O_RDWR, out);
    inode_put(inode);
    if (err == 0) {
        hostfile_set_mode(*out);
    }
    return err;
}
