/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Donated host files.  The first open asks the server for one; the inode keeps it, so that opening
 * the file again costs no message, and a window onto it once it is mapped or read in small pieces.
 *
 * An inode that is opened for writing later gets a second, writable one; the first stays until its
 * users and, because guests may still map its window, the inode are gone.
 *
 * Inodes' data that nobody uses is closed, oldest first, beyond FUSE_DATA_PLAIN or, with a window,
 * FUSE_DATA_ALL.
 */
#include "fs/fuse/fuse.h"
#include "kernel/kmalloc.h"

#include <asm/errno.h>
#include <linux/stat.h>

#define WINDOW_SLACK (256ull) /* pages that a file may grow before it needs a new window */

static void windows_close(struct fuse_window *w) {
    while (w != NULL) {
        struct fuse_window *smaller = w->smaller;
        hal_window_close(w->pfn);
        kfree(w);
        w = smaller;
    }
}

void fuse_data_put(struct fuse_data *d) {
    while (d != NULL && ref_put(&d->ref)) {
        struct fuse_data *older = d->older;
        windows_close(d->window);
        if (d->hfd >= 0) {
            hal_file_close(d->hfd);
        }
        kfree(d);
        d = older;
    }
}

/* The inode's present data if it serves, referenced. */
static struct fuse_data *data_present(struct inode *inode, bool write) {
    spin_lock(&inode->lock);
    struct fuse_data *d = fuse_inode_of(inode)->data;
    if (d != NULL && (!write || d->writable)) {
        ref_get(&d->ref);
    } else {
        d = NULL;
    }
    spin_unlock(&inode->lock);
    return d;
}

static void lru_add(struct inode *inode) {
    struct fuse_conn *conn = fuse_conn_of(inode->sb);
    struct fuse_inode *fi = fuse_inode_of(inode);
    spin_lock(&conn->lru_lock);
    if (list_empty(&fi->lru_link)) {
        conn->data_count++;
    } else {
        list_del_init(&fi->lru_link);
    }
    list_push_back(&conn->lru, &fi->lru_link);
    bool many = conn->data_count > FUSE_DATA_PLAIN;
    spin_unlock(&conn->lru_lock);
    if (many) {
        fuse_data_trim(conn, false);
    }
}

/* Makes `d` (consumed) the inode's data. */
static void data_install(struct inode *inode, struct fuse_data *d) {
    struct fuse_inode *fi = fuse_inode_of(inode);
    spin_lock(&inode->lock);
    d->older = fi->data; /* the inode's reference on it is the chain's now */
    fi->data = d;
    spin_unlock(&inode->lock);
}

static struct fuse_data *data_new(int hfd, bool writable) {
    struct fuse_data *d = kzalloc(sizeof(*d));
    if (d == NULL) {
        hal_file_close(hfd);
        return NULL;
    }
    ref_init(&d->ref);
    d->hfd = hfd;
    d->writable = writable;
    return d;
}

void fuse_data_adopt(struct inode *inode, int hfd, bool writable) {
    struct fuse_data *d = data_new(hfd, writable);
    if (d != NULL) { /* else it is asked for again */
        data_install(inode, d);
        lru_add(inode);
    }
}

/* One OPEN with donation.  -EMFILE when no descriptor arrived. */
static int open_remote(struct inode *inode, bool write, int *out_hfd) {
    FUSE_REPLY(struct {
        struct fuse_open_out open;
        struct moat_gofer_donation donation;
    })
    reply;
    struct fuse_open_in in = {.flags = write ? 2 /* O_RDWR */ : 0,
                              .open_flags = MOAT_GOFER_OPEN_DONATE};
    struct fuse_call call = {.opcode = FUSE_OPEN,
                             .nodeid = fuse_inode_of(inode)->nodeid,
                             .in = &in,
                             .in_size = sizeof(in),
                             .reply = &reply,
                             .reply_size = sizeof(reply),
                             .reply_min = sizeof(reply.body),
                             .out_hfd = out_hfd};
    struct hal_stat st;
    int64_t got = fuse_call(fuse_conn_of(inode->sb), &call);
    if (got < 0) {
        return (int)got;
    }
    if (*out_hfd < 0) {
        return -EMFILE;
    }
    int err = hal_file_stat(*out_hfd, &st);
    if (err == 0 && !S_ISREG(st.mode)) {
        err = -EIO; /* a server that hands out something else is not to be trusted with reads */
    }
    if (err != 0) {
        hal_file_close(*out_hfd);
        return err;
    }
    spin_lock(&inode->lock);
    atomic_store_relaxed(&inode->size, MIN(st.size, FUSE_SIZE_MAX));
    spin_unlock(&inode->lock);
    return 0;
}

int fuse_data_get(struct inode *inode, bool write, struct fuse_data **out_data) {
    *out_data = data_present(inode, write);
    if (*out_data != NULL) {
        return 0;
    }
    int hfd = -1;
    mutex_lock(&inode->map_lock);
    *out_data = data_present(inode, write);
    int err = *out_data != NULL ? 0 : open_remote(inode, write, &hfd);
    if (err == -EMFILE) {
        fuse_data_trim(fuse_conn_of(inode->sb), true);
        err = open_remote(inode, write, &hfd);
    }
    if (err == 0 && *out_data == NULL) {
        struct fuse_data *d = data_new(hfd, write);
        if (d == NULL) {
            err = -ENOMEM;
        } else {
            ref_get(&d->ref);
            data_install(inode, d);
            *out_data = d;
        }
    }
    mutex_unlock(&inode->map_lock);
    if (err == 0 && hfd >= 0) {
        lru_add(inode);
    }
    return err;
}

/* Lock: inode->map_lock. */
static int window_make(struct inode *inode, struct fuse_data *d, uint64_t size) {
    uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    if (!fuse_conn_of(inode->sb)->exclusive || d->writable) {
        pages = MAX(pages * 2, pages + WINDOW_SLACK);
    }
    struct fuse_window *w = kzalloc(sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    int err = hal_window_open(d->hfd, pages << PAGE_SHIFT, d->writable, &w->pfn);
    if (err != 0) {
        kfree(w);
        return err;
    }
    w->pages = pages;
    w->smaller = d->window;
    atomic_store(&d->window, w);
    return 0;
}

int fuse_data_window(struct inode *inode, struct fuse_data *d, uint64_t pgoff, uint64_t size,
                     const struct fuse_window **out_window) {
    const struct fuse_window *w = atomic_load(&d->window);
    int err = 0;
    if (w == NULL || pgoff >= w->pages) {
        mutex_lock(&inode->map_lock);
        w = d->window;
        if (w == NULL || pgoff >= w->pages) {
            err = window_make(inode, d, size);
            w = d->window;
        }
        mutex_unlock(&inode->map_lock);
    }
    *out_window = w;
    return err != 0 ? err : pgoff < w->pages ? 0 : -ENOMEM;
}

bool fuse_data_truncate(struct inode *inode, uint64_t size, int *out_err) {
    struct fuse_data *d = data_present(inode, true);
    if (d == NULL) {
        return false;
    }
    *out_err = hal_file_truncate(d->hfd, size);
    fuse_data_put(d);
    if (*out_err == 0) {
        spin_lock(&inode->lock);
        atomic_store_relaxed(&inode->size, size);
        spin_unlock(&inode->lock);
        fuse_attr_stale(inode);
    }
    return true;
}

/* ---- closing ---- */

/* May the data be taken from its inode?  Only the inode holds it then.  Lock: inode->lock. */
static bool data_idle(struct inode *inode, const struct fuse_data *d, bool windows) {
    if (d == NULL || d->older != NULL || atomic_load(&d->ref.n) != 1) {
        return false;
    }
    return d->window == NULL || (windows && list_empty(&inode->mappings));
}

/* Takes one idle inode off the list: its data, or NULL when there is none.  Looks at some only. */
static struct fuse_data *trim_one(struct fuse_conn *conn, bool windows, uint32_t *inout_scan) {
    struct fuse_data *d = NULL;
    spin_lock(&conn->lru_lock);
    while (d == NULL && *inout_scan > 0 && !list_empty(&conn->lru)) {
        struct fuse_inode *fi = list_first(&conn->lru, struct fuse_inode, lru_link);
        (*inout_scan)--;
        list_del_init(&fi->lru_link);
        spin_lock(&fi->inode->lock);
        if (data_idle(fi->inode, fi->data, windows)) {
            d = fi->data;
            fi->data = NULL;
        }
        spin_unlock(&fi->inode->lock);
        if (d == NULL) {
            list_push_back(&conn->lru, &fi->lru_link);
        } else {
            conn->data_count--;
        }
    }
    spin_unlock(&conn->lru_lock);
    return d;
}

void fuse_data_trim(struct fuse_conn *conn, bool all) {
    uint32_t scan = all ? FUSE_DATA_ALL : 64;
    bool windows = all || atomic_load_relaxed(&conn->data_count) > FUSE_DATA_ALL;
    struct fuse_data *d;
    while ((d = trim_one(conn, windows, &scan)) != NULL) {
        fuse_data_put(d);
    }
}

void fuse_data_evict(struct inode *inode) {
    struct fuse_conn *conn = fuse_conn_of(inode->sb);
    struct fuse_inode *fi = fuse_inode_of(inode);
    spin_lock(&conn->lru_lock);
    if (!list_empty(&fi->lru_link)) {
        list_del_init(&fi->lru_link);
        conn->data_count--;
    }
    spin_unlock(&conn->lru_lock);
    fuse_data_put(fi->data);
    fi->data = NULL;
}
