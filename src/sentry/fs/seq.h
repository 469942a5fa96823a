/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text files made on reading (proc, sysfs): a show function writes the whole text into a growing
 * buffer at the first read of an open file, later reads serve from it, a seek to 0 makes it anew.
 */
#ifndef MOAT_SENTRY_SEQ_H
#define MOAT_SENTRY_SEQ_H

#include "base/types.h"
#include "fs/vfs.h"

struct seq {
    char *buf;
    size_t len, cap;
    bool failed; /* out of memory */
};

void seq_printf(struct seq *s, const char *format, ...) printf_like(2, 3);
void seq_write(struct seq *s, const void *data, size_t len);
void seq_putc(struct seq *s, char c);
/* Text with \n, \t, space and backslash in octal, as /proc/mounts has them. */
void seq_escape(struct seq *s, const char *text, const char *set);

typedef int seq_show_fn(struct seq *s, void *arg);
/* Turns an opening file into one: `arg` is handed to show; release_arg (may be NULL) runs at the
 * last close. */
must_check int seq_open(struct file *file, seq_show_fn *show, void *arg,
                        void (*release_arg)(void *arg));
/* Likewise for a file that has operations of its own besides (write, poll): `ops` names seq_read,
 * seq_llseek and seq_release among them. */
must_check int seq_open_ops(struct file *file, const struct file_ops *ops, seq_show_fn *show,
                            void *arg, void (*release_arg)(void *arg));
int64_t seq_read(struct file *file, struct iov_iter *to, uint64_t *pos);
int64_t seq_llseek(struct file *file, int64_t off, int whence);
void seq_release(struct file *file);
/* A number of the opener's own, 0 at first; atomic. */
uint64_t *seq_seen(struct file *file);

#endif
