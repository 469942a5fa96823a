/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text files made on reading: see seq.h.
 *
 * Lock: seq_file->lock guards the text of one open file and is held while the show function runs,
 * so show may sleep and must not read the same open file.
 */
#include "fs/seq.h"

#include "base/fmt.h"
#include "base/string.h"
#include "fs/iter.h"
#include "kernel/kmalloc.h"

#include <asm-generic/errno.h>

#define SEQ_FIRST 512u
#define SEQ_MAX   (16u * 1024u * 1024u)

struct seq_file {
    struct mutex lock;
    struct seq text; /* guarded by lock, as the next one */
    bool made;
    seq_show_fn *show;
    void *arg;
    void (*release_arg)(void *arg);
    uint64_t seen;
};

/* Makes place for `more` bytes. */
static bool seq_reserve(struct seq *s, size_t more) {
    if (s->failed || more > SEQ_MAX - s->len) {
        s->failed = true;
        return false;
    }
    if (s->len + more <= s->cap) {
        return true;
    }
    size_t cap = MAX(s->cap * 2, (size_t)SEQ_FIRST);
    while (cap < s->len + more) {
        cap *= 2;
    }
    char *buf = krealloc(s->buf, cap);
    if (buf == NULL) {
        s->failed = true;
        return false;
    }
    s->buf = buf;
    s->cap = cap;
    return true;
}

void seq_write(struct seq *s, const void *data, size_t len) {
    if (seq_reserve(s, len)) {
        memcpy(s->buf + s->len, data, len);
        s->len += len;
    }
}

void seq_putc(struct seq *s, char c) {
    seq_write(s, &c, 1);
}

void seq_printf(struct seq *s, const char *format, ...) {
    va_list args;
    if (!seq_reserve(s, 128)) {
        return;
    }
    va_start(args, format);
    size_t len = fmt_vsnprintf(s->buf + s->len, s->cap - s->len, format, args);
    va_end(args);
    if (len >= s->cap - s->len) {
        if (!seq_reserve(s, len + 1)) {
            return;
        }
        va_start(args, format);
        len = fmt_vsnprintf(s->buf + s->len, s->cap - s->len, format, args);
        va_end(args);
    }
    s->len += len;
}

void seq_escape(struct seq *s, const char *text, const char *set) {
    for (; *text != '\0'; text++) {
        if (strchr(set, *text) != NULL) {
            seq_printf(s, "\\%03o", (unsigned int)(uint8_t)*text);
        } else {
            seq_putc(s, *text);
        }
    }
}

/* Makes the text; under sf->lock. */
static int seq_make(struct seq_file *sf) {
    sf->text.len = 0;
    sf->text.failed = false;
    int err = sf->show(&sf->text, sf->arg);
    if (err == 0 && sf->text.failed) {
        err = -ENOMEM;
    }
    sf->made = err == 0;
    return err;
}

int64_t seq_read(struct file *file, struct iov_iter *to, uint64_t *pos) {
    struct seq_file *sf = file->private;
    int64_t n = 0;
    mutex_lock(&sf->lock);
    if (*pos == 0 || !sf->made) {
        n = seq_make(sf);
    }
    if (n == 0 && *pos < sf->text.len) {
        n = iter_copy_to(to, sf->text.buf + *pos, MIN(iter_left(to), sf->text.len - *pos));
        if (n > 0) {
            *pos += (uint64_t)n;
        }
    }
    mutex_unlock(&sf->lock);
    return n;
}

/* There is no end to seek from: the text does not exist before it is read. */
int64_t seq_llseek(struct file *file, int64_t off, int whence) {
    if (whence == 1) {
        off += (int64_t)file->pos;
    } else if (whence != 0) {
        return -EINVAL;
    }
    if (off < 0) {
        return -EINVAL;
    }
    file->pos = (uint64_t)off;
    return off;
}

void seq_release(struct file *file) {
    struct seq_file *sf = file->private;
    if (sf->release_arg != NULL) {
        sf->release_arg(sf->arg);
    }
    kfree(sf->text.buf);
    kfree(sf);
}

uint64_t *seq_seen(struct file *file) {
    return &((struct seq_file *)file->private)->seen;
}

static const struct file_ops g_seq_ops = {
    .read = seq_read,
    .llseek = seq_llseek,
    .release = seq_release,
};

int seq_open_ops(struct file *file, const struct file_ops *ops, seq_show_fn *show, void *arg,
                 void (*release_arg)(void *arg)) {
    struct seq_file *sf = kzalloc(sizeof(*sf));
    if (sf == NULL) {
        return -ENOMEM;
    }
    mutex_init(&sf->lock);
    sf->show = show;
    sf->arg = arg;
    sf->release_arg = release_arg;
    file->private = sf;
    file->ops = ops;
    return 0;
}

int seq_open(struct file *file, seq_show_fn *show, void *arg, void (*release_arg)(void *arg)) {
    return seq_open_ops(file, &g_seq_ops, show, arg, release_arg);
}
