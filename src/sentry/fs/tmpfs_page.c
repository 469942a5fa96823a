/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of tmpfs files: a radix of frames under the inode's spinlock.
 *
 * Order when pages go (truncate, hole punch): set the size, take the pages out of the radix, then
 * out of the mappings: a fault in between finds them neither in the file nor, afterwards, mapped.
 */
#include "fs/tmpfs_page.h"

#include "kernel/kmalloc.h"
#include "kernel/oom.h"
#include "kernel/task.h"

/* Frame 0 is a frame: the radix keeps pfn + 1. */
#define VALUE_OF(pfn) ((pfn) + 1)
#define PFN_OF(value) ((value)-1)

static void blocks_update(struct inode *inode) {
    atomic_store_relaxed(&inode->blocks, tmpfs_of(inode)->pages.count * (PAGE_SIZE / 512));
}

uint64_t tmpfs_pages_get(struct inode *inode, uint64_t index, uint64_t max, uint64_t *out_pfn) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    uint64_t count = 0;
    max = MIN(max, TMPFS_RUN_MAX);
    spin_lock(&ti->lock);
    uint64_t value = radix_get(&ti->pages, index);
    if (value != 0) {
        *out_pfn = PFN_OF(value);
        do {
            frame_get(*out_pfn + count);
            count++;
        } while (count < max && radix_get(&ti->pages, index + count) == value + count);
    }
    spin_unlock(&ti->lock);
    return count;
}

void tmpfs_pages_put(uint64_t pfn, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        frame_put(pfn + i);
    }
}

uint64_t tmpfs_pages_missing(struct inode *inode, uint64_t index, uint64_t max) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    uint64_t key = index, value;
    spin_lock(&ti->lock);
    uint64_t count = radix_next(&ti->pages, &key, &value) ? key - index : max;
    spin_unlock(&ti->lock);
    return MIN(MIN(count, max), TMPFS_RUN_MAX);
}

int tmpfs_pages_alloc(struct inode *inode, uint64_t count, bool raw, uint64_t *out_pfn,
                      uint64_t *out_count) {
    int err = tmpfs_charge(inode->sb, count);
    if (err != 0 && count > 1) {
        count = 1;
        err = tmpfs_charge(inode->sb, 1);
    }
    if (err != 0) {
        return err;
    }
    if (count > 1) {
        err = raw ? frame_alloc_run_raw(count, out_pfn) : frame_alloc_run(count, out_pfn);
        if (err != 0) {
            tmpfs_uncharge(inode->sb, count - 1);
            count = 1;
        }
    }
    if (count == 1) {
        do {
            err = raw ? frame_alloc_run_raw(1, out_pfn) : frame_alloc(out_pfn);
        } while (err == -ENOMEM && !signal_fatal_pending(current) && oom_relieve(NULL, false));
        if (err != 0) {
            tmpfs_uncharge(inode->sb, 1);
            return err;
        }
    }
    *out_count = count;
    return 0;
}

int tmpfs_page_insert(struct inode *inode, uint64_t index, uint64_t pfn, uint64_t *out_other) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    int err = 0;
    spin_lock(&ti->lock);
    uint64_t value = radix_get(&ti->pages, index);
    if (value != 0) {
        *out_other = PFN_OF(value);
        frame_get(*out_other);
        err = -EEXIST;
    } else {
        err = radix_set(&ti->pages, &kradix_alloc, index, VALUE_OF(pfn));
        blocks_update(inode);
    }
    spin_unlock(&ti->lock);
    if (err != 0) {
        tmpfs_uncharge(inode->sb, 1);
        frame_put(pfn);
    }
    return err;
}

void tmpfs_drop_pages(struct inode *inode, uint64_t first, uint64_t end) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    uint64_t pfns[32];
    uint64_t key = first;
    bool more = true;
    while (more) {
        uint32_t n = 0;
        uint64_t value;
        spin_lock(&ti->lock);
        while (n < ARRAY_COUNT(pfns)) {
            more = radix_next(&ti->pages, &key, &value) && key < end;
            if (!more) {
                break;
            }
            (void)radix_del(&ti->pages, &kradix_alloc, key); /* the value is known */
            pfns[n++] = PFN_OF(value);
            key++;
        }
        blocks_update(inode);
        spin_unlock(&ti->lock);
        if (n == 0) {
            break;
        }
        tmpfs_uncharge(inode->sb, n);
        for (uint32_t i = 0; i < n; i++) {
            frame_put(pfns[i]);
        }
    }
    if (!list_empty(&inode->mappings)) { /* which hold references of their own until now */
        mm_unmap_inode(inode, first, end == UINT64_MAX ? UINT64_MAX : end - first);
    }
}

int tmpfs_zero_range(struct inode *inode, uint64_t index, size_t off, size_t len) {
    uint64_t pfn;
    if (len == 0 || tmpfs_pages_get(inode, index, 1, &pfn) == 0) {
        return 0;
    }
    int err = hal_zero((char *)frame_ptr(pfn) + off, len);
    frame_put(pfn);
    return err;
}

int64_t tmpfs_next_page(struct inode *inode, uint64_t index, bool present) {
    struct tmpfs_inode *ti = tmpfs_of(inode);
    uint64_t key = index, value;
    int64_t found = -1;
    spin_lock(&ti->lock);
    if (present) {
        found = radix_next(&ti->pages, &key, &value) ? (int64_t)key : -1;
    } else {
        while (radix_get(&ti->pages, key) != 0) {
            key++;
        }
        found = (int64_t)key;
    }
    spin_unlock(&ti->lock);
    return found;
}
