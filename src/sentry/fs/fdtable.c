/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables.
 *
 * The lock guards the arrays.  A table with one user is changed by its own task alone, which may
 * therefore read it without the lock; others (/proc/pid/fd) read under it.
 */
#include "fs/internal.h"
#include "kernel/kmalloc.h"
#include "base/string.h"

#include <linux/resource.h>

#define FILES_MAX (1u << 20) /* fs.nr_open */
#define WORD_BITS 64u

static inline bool bit_get(const uint64_t *map, uint32_t i) {
    return (map[i / WORD_BITS] >> (i % WORD_BITS) & 1) != 0;
}
static inline void bit_set(uint64_t *map, uint32_t i) {
    map[i / WORD_BITS] |= 1ull << (i % WORD_BITS);
}
static inline void bit_clear(uint64_t *map, uint32_t i) {
    map[i / WORD_BITS] &= ~(1ull << (i % WORD_BITS));
}

static void bit_put(uint64_t *map, uint32_t i, bool on) {
    if (on) {
        bit_set(map, i);
    } else {
        bit_clear(map, i);
    }
}

struct files *files_create(void) {
    struct files *files = kzalloc(sizeof(*files));
    if (files == NULL) {
        return NULL;
    }
    ref_init(&files->ref);
    spin_init(&files->lock, RANK_FILES);
    files->max = FILES_INLINE;
    files->slots = files->inline_slots;
    files->used = &files->inline_bits[0];
    files->cloexec = &files->inline_bits[1];
    return files;
}

static void arrays_free(struct files *files) {
    if (files->slots != files->inline_slots) {
        kfree(files->slots); /* the bitmaps lie behind the slots */
    }
}

/* One block for `max` slots (a multiple of 64) and both bitmaps. */
static struct file **arrays_alloc(uint32_t max, uint64_t **out_used, uint64_t **out_cloexec) {
    size_t words = max / WORD_BITS;
    struct file **slots = kzalloc(max * sizeof(*slots) + 2 * words * sizeof(uint64_t));
    if (slots != NULL) {
        *out_used = (uint64_t *)(slots + max);
        *out_cloexec = *out_used + words;
    }
    return slots;
}

/* Makes room for descriptor `fd`.  0, -EMFILE, -ENOMEM.  Takes the lock itself. */
static int files_grow(struct files *files, uint32_t fd) {
    if (fd >= FILES_MAX) {
        return -EMFILE;
    }
    uint32_t max = FILES_INLINE;
    while (max <= fd) {
        max *= 2;
    }
    uint64_t *used, *cloexec;
    struct file **slots = arrays_alloc(max, &used, &cloexec);
    if (slots == NULL) {
        return -ENOMEM;
    }
    struct file **old = slots;
    spin_lock(&files->lock);
    if (max > files->max) {
        memcpy(slots, files->slots, files->max * sizeof(*slots));
        memcpy(used, files->used, files->max / 8);
        memcpy(cloexec, files->cloexec, files->max / 8);
        old = files->slots != files->inline_slots ? files->slots : NULL;
        files->slots = slots;
        files->used = used;
        files->cloexec = cloexec;
        files->max = max;
    }
    spin_unlock(&files->lock);
    kfree(old);
    return 0;
}

struct files *files_copy(struct files *old) {
    struct files *files = files_create();
    if (files == NULL) {
        return NULL;
    }
    spin_lock(&old->lock);
    while (old->max > files->max) {
        uint32_t want = old->max;
        spin_unlock(&old->lock);
        if (files_grow(files, want - 1) != 0) {
            files_put(files);
            return NULL;
        }
        spin_lock(&old->lock);
    }
    memcpy(files->slots, old->slots, old->max * sizeof(*old->slots));
    memcpy(files->used, old->used, old->max / 8);
    memcpy(files->cloexec, old->cloexec, old->max / 8);
    files->next_free = old->next_free;
    for (uint32_t w = 0; w < old->max / WORD_BITS; w++) {
        for (uint64_t bits = old->used[w]; bits != 0; bits &= bits - 1) {
            file_get(files->slots[w * WORD_BITS + (uint32_t)__builtin_ctzll(bits)]);
        }
    }
    spin_unlock(&old->lock);
    return files;
}

int files_unshare(struct task *t) {
    if (files_private(t->files)) {
        return 0;
    }
    struct files *own = files_copy(t->files);
    if (own == NULL) {
        return -ENOMEM;
    }
    spin_lock(&t->lock);
    struct files *old = t->files;
    t->files = own;
    spin_unlock(&t->lock);
    files_put(old);
    return 0;
}

void files_get(struct files *files) {
    ref_get(&files->ref);
}

/* What a close does to the file besides freeing the number: flush, POSIX locks, the reference. */
int file_close(struct file *file, struct files *owner) {
    int err = 0;
    if ((file->mode & FMODE_PATH) == 0) {
        if (file->ops->flush != NULL) {
            err = file->ops->flush(file);
        }
        if (unlikely(file->inode->locks != NULL)) {
            locks_release_posix(file, owner);
        }
    }
    file_put(file);
    return err;
}

void files_put(struct files *files) {
    if (files == NULL || !ref_put(&files->ref)) {
        return;
    }
    for (uint32_t w = 0; w < files->max / WORD_BITS; w++) {
        for (uint64_t bits = files->used[w]; bits != 0; bits &= bits - 1) {
            /* Nobody is left to hear of an error. */
            (void)file_close(files->slots[w * WORD_BITS + (uint32_t)__builtin_ctzll(bits)], files);
        }
    }
    arrays_free(files);
    kfree(files);
}

/* ---- single descriptors ---- */

struct file *fd_get(int fd, bool allow_path) {
    struct files *files = current->files;
    struct file *f = NULL;
    bool locked = !files_private(files);
    if (locked) {
        spin_lock(&files->lock);
    }
    if (likely((uint32_t)fd < files->max)) {
        f = files->slots[fd];
        if (f != NULL) {
            file_get(f);
        }
    }
    if (locked) {
        spin_unlock(&files->lock);
    }
    if (unlikely(f != NULL && (f->mode & FMODE_PATH) != 0 && !allow_path)) {
        file_put(f);
        return NULL;
    }
    return f;
}

/* Lowest clear bit of `used` at or above `from`, or max.  Lock held. */
static uint32_t find_free(const struct files *files, uint32_t from) {
    if (from >= files->max) {
        return from;
    }
    uint32_t w = from / WORD_BITS;
    uint64_t busy = files->used[w] | ((1ull << (from % WORD_BITS)) - 1);
    while (busy == UINT64_MAX) {
        w++;
        if (w >= files->max / WORD_BITS) {
            return files->max;
        }
        busy = files->used[w];
    }
    return w * WORD_BITS + (uint32_t)__builtin_ctzll(~busy);
}

static void slot_fill(struct files *files, uint32_t fd, struct file *file, bool cloexec) {
    files->slots[fd] = file;
    bit_set(files->used, fd);
    bit_put(files->cloexec, fd, cloexec);
}

int fd_install(struct file *file, bool cloexec, int min) {
    struct files *files = current->files;
    uint64_t limit = MIN(rlimit_get(RLIMIT_NOFILE), FILES_MAX);
    if (min < 0 || (uint64_t)min >= limit) {
        return min < 0 ? -EINVAL : -EMFILE;
    }
    spin_lock(&files->lock);
    for (;;) {
        uint32_t from = MAX((uint32_t)min, files->next_free);
        uint32_t fd = find_free(files, from);
        if (fd >= limit) {
            spin_unlock(&files->lock);
            return -EMFILE;
        }
        if (fd < files->max) {
            file_get(file);
            slot_fill(files, fd, file, cloexec);
            if ((uint32_t)min <= files->next_free) {
                files->next_free = fd + 1;
            }
            spin_unlock(&files->lock);
            return (int)fd;
        }
        spin_unlock(&files->lock);
        int err = files_grow(files, fd);
        if (err != 0) {
            return err;
        }
        spin_lock(&files->lock);
    }
}

int fd_give(struct file *file, bool cloexec) {
    int fd = fd_install(file, cloexec, 0);
    file_put(file);
    return fd;
}

int fd_install_dup(struct file *file, bool cloexec, int min) {
    return (uint64_t)min >= rlimit_get(RLIMIT_NOFILE) ? -EINVAL : fd_install(file, cloexec, min);
}

/* Puts `file` (takes a reference) at exactly `fd`; *out_old is what was there, now the caller's. */
static int slot_replace(struct files *files, struct file *file, uint32_t fd, bool cloexec,
                        struct file **out_old) {
    if (fd >= atomic_load_relaxed(&files->max)) {
        int err = files_grow(files, fd);
        if (err != 0) {
            return err == -EMFILE ? -EBADF : err;
        }
    }
    file_get(file);
    spin_lock(&files->lock);
    *out_old = files->slots[fd];
    slot_fill(files, fd, file, cloexec);
    spin_unlock(&files->lock);
    return 0;
}

int fd_install_at(struct file *file, int fd, bool cloexec) {
    struct files *files = current->files;
    struct file *old;
    if (fd < 0 || (uint64_t)fd >= rlimit_get(RLIMIT_NOFILE)) {
        return -EBADF;
    }
    int err = slot_replace(files, file, (uint32_t)fd, cloexec, &old);
    if (err == 0 && old != NULL) {
        (void)file_close(old, files); /* dup2(2): errors of the silent close are lost */
    }
    return err != 0 ? err : fd;
}

int fd_install_in(struct files *files, struct file *file, int fd) {
    struct file *old;
    if (fd < 0) {
        return -EBADF;
    }
    int err = slot_replace(files, file, (uint32_t)fd, false, &old);
    if (err == 0 && old != NULL) {
        (void)file_close(old, files); /* as dup2 */
    }
    return err != 0 ? err : fd;
}

/* Empties slot `fd`; lock held. */
static struct file *slot_take(struct files *files, uint32_t fd) {
    struct file *f = files->slots[fd];
    if (f != NULL) {
        files->slots[fd] = NULL;
        bit_clear(files->used, fd);
        bit_clear(files->cloexec, fd);
        files->next_free = MIN(files->next_free, fd);
    }
    return f;
}

struct file *fd_take(int fd) {
    struct files *files = current->files;
    struct file *f = NULL;
    spin_lock(&files->lock);
    if ((uint32_t)fd < files->max) {
        f = slot_take(files, (uint32_t)fd);
    }
    spin_unlock(&files->lock);
    return f;
}

int fd_close(int fd) {
    struct file *f = fd_take(fd);
    return f == NULL ? -EBADF : file_close(f, current->files);
}

void files_close_on_exec(struct files *files) {
    spin_lock(&files->lock);
    for (uint32_t w = 0; w < files->max / WORD_BITS; w++) {
        uint64_t bits;
        while ((bits = files->cloexec[w] & files->used[w]) != 0) {
            struct file *f = slot_take(files, w * WORD_BITS + (uint32_t)__builtin_ctzll(bits));
            spin_unlock(&files->lock);
            (void)file_close(f, files); /* nobody to tell */
            spin_lock(&files->lock);
        }
    }
    spin_unlock(&files->lock);
}

int files_next(struct files *files, int fd, struct file **out_file, bool *out_cloexec) {
    int found = -1;
    spin_lock(&files->lock);
    for (uint32_t i = fd < 0 ? 0 : (uint32_t)fd; i < files->max; i++) {
        if (files->slots[i] != NULL) {
            file_get(files->slots[i]);
            *out_file = files->slots[i];
            if (out_cloexec != NULL) {
                *out_cloexec = bit_get(files->cloexec, i);
            }
            found = (int)i;
            break;
        }
    }
    spin_unlock(&files->lock);
    return found;
}

int fd_cloexec_get(int fd) {
    struct files *files = current->files;
    int r = -EBADF;
    spin_lock(&files->lock);
    if ((uint32_t)fd < files->max && files->slots[fd] != NULL) {
        r = bit_get(files->cloexec, (uint32_t)fd);
    }
    spin_unlock(&files->lock);
    return r;
}

int fd_cloexec_set(int fd, bool on) {
    struct files *files = current->files;
    int r = -EBADF;
    spin_lock(&files->lock);
    if ((uint32_t)fd < files->max && files->slots[fd] != NULL) {
        bit_put(files->cloexec, (uint32_t)fd, on);
        r = 0;
    }
    spin_unlock(&files->lock);
    return r;
}

/* close_range(2) over current's table: [first, last], or only marks them close-on-exec. */
void files_close_range(uint32_t first, uint32_t last, bool cloexec_only) {
    struct files *files = current->files;
    spin_lock(&files->lock);
    for (uint32_t i = first; i <= last && i < files->max; i++) {
        if (files->slots[i] == NULL) {
            continue;
        }
        if (cloexec_only) {
            bit_set(files->cloexec, i);
            continue;
        }
        struct file *f = slot_take(files, i);
        spin_unlock(&files->lock);
        (void)file_close(f, files); /* close_range(2): errors are not reported */
        spin_lock(&files->lock);
    }
    spin_unlock(&files->lock);
}
