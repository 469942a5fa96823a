/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc, the part that knows no name: inodes over table rows, lookup, reading of directories, text
 * files, links.
 *
 * Directory positions: 0 and 1 are the dots, then the rows of the table, from DYNAMIC_POS on the
 * names made by proc_dir. Owner: a name about a process belongs to its effective user, or to root
 * when the process may not be looked into; that is set anew on each look-up.
 */
#include "fs/proc/proc.h"

#include "base/fmt.h"
#include "base/hash.h"
#include "base/string.h"
#include "fs/iter.h"
#include "fs/poll.h"
#include "kernel/container.h"
#include "kernel/cpu.h"
#include "kernel/kmalloc.h"

#include <asm-generic/errno.h>
#include <asm-generic/fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/stat.h>

#define TABLE_POS   2u
#define DYNAMIC_POS 256u
#define ROOT_INO    1u

static const struct inode_ops g_proc_inode_ops, g_proc_magic_ops;
static const struct file_ops g_proc_dir_fops, g_proc_unopened_fops;

/* ---- the process behind a node
 * --------------------------------------------------------------------- */

struct task *proc_task_get(const struct proc_node *node) {
    struct task *t = NULL;
    struct process *p = node->pid != 0 ? process_find(node->pid) : NULL;
    if (p == NULL) {
        return NULL;
    }
    if (node->tid != 0) {
        t = task_find(node->tid);
        if (t != NULL && (t->process != p || t->start_time_ns != node->start_ns)) {
            task_put(t);
            t = NULL;
        }
    } else if (p->start_time_ns == node->start_ns) {
        t = process_leader_get(p);
    }
    process_put(p);
    return t;
}

static bool same_ids(const struct cred *own, const struct cred *c) {
    return own->fsuid == c->uid && own->fsuid == c->euid && own->fsuid == c->suid &&
           own->fsgid == c->gid && own->fsgid == c->egid && own->fsgid == c->sgid;
}

int proc_may_access(struct task *t) {
    if (t->process == current->process) {
        return 0;
    }
    const struct cred *own = current->cred;
    const struct cred *c = task_cred_get(t);
    bool ok = same_ids(own, c) && t->process->dumpable == 1 &&
              (c->cap_permitted & ~own->cap_permitted) == 0;
    cred_put(c);
    return ok || capable(CAP_SYS_PTRACE) ? 0 : -EACCES;
}

/* Who owns names about `t` (proc(5), "/proc/pid"). */
static void set_owner(struct inode *inode, struct task *t) {
    const struct cred *c = task_cred_get(t);
    bool own = t->process->dumpable == 1 || inode->mode == (S_IFDIR | 0555);
    spin_lock(&inode->lock);
    inode->uid = own ? c->euid : 0;
    inode->gid = own ? c->egid : 0;
    spin_unlock(&inode->lock);
    cred_put(c);
}

/* ---- inodes
 * ------------------------------------------------------------------------------------------- */

/* The same for the same thing, whenever it is looked up. */
static uint64_t node_ino(const struct proc_node *node) {
    uint64_t id = (uint64_t)(uint32_t)(node->tid != 0 ? node->tid : node->pid) << 32;
    id ^= (uint64_t)(uint32_t)node->number << 8;
    return (hash_u64((uintptr_t)node->entry ^ id) >> 16) | 2;
}

static struct inode *make_inode(struct super_block *sb, const struct proc_node *node) {
    struct proc_node *own = kmemdup(node, sizeof(*node));
    if (own == NULL) {
        return NULL;
    }
    const struct proc_entry *e = node->entry;
    const struct file_ops *fops = S_ISDIR(e->mode) ? &g_proc_dir_fops : &g_proc_unopened_fops;
    const struct inode_ops *ops = e->follow != NULL ? &g_proc_magic_ops : &g_proc_inode_ops;
    struct inode *inode = inode_alloc(sb, e->mode, ops, fops);
    if (inode == NULL) {
        kfree(own);
        return NULL;
    }
    inode->private = own;
    inode->ino = node_ino(node);
    inode->nlink = S_ISDIR(e->mode) ? 2 : 1;
    return inode;
}

static bool entry_shown(const struct proc_entry *e, const struct proc_node *dir) {
    if ((e->flags & PROC_PROCESS) != 0 && dir->tid != 0) {
        return false;
    }
    return (e->flags & PROC_THREAD) == 0 || dir->tid != 0;
}

static int find_node(const struct proc_node *dir, const char *name, struct proc_node *out) {
    *out = *dir;
    for (const struct proc_entry *e = dir->entry->children; e != NULL && e->name != NULL; e++) {
        if (strcmp(e->name, name) == 0 && entry_shown(e, dir)) {
            out->entry = e;
            return 0;
        }
    }
    return dir->entry->dir != NULL ? dir->entry->dir->lookup(dir, name, out) : -ENOENT;
}

/* Is the process (or what else the node is about) still there?  Sets the owner on the way. */
static bool node_valid(struct inode *inode) {
    const struct proc_node *node = proc_node_of(inode);
    if (node->pid == 0) {
        return true;
    }
    struct task *t = proc_task_get(node);
    if (t == NULL) {
        return false;
    }
    set_owner(inode, t);
    task_put(t);
    const struct proc_dir *dir = node->entry->dir;
    return dir == NULL || dir->valid == NULL || dir->valid(node);
}

static int proc_lookup(struct inode *dir, struct dentry *dentry) {
    struct proc_node node;
    int err = find_node(proc_node_of(dir), dentry->name, &node);
    if (err != 0) {
        return err; /* -ENOENT and no negative dentry: nothing can be made here, whatever is tried
                     */
    }
    struct inode *inode = make_inode(dir->sb, &node);
    if (inode == NULL) {
        return -ENOMEM;
    }
    if (!node_valid(inode)) {
        inode_put(inode);
        return proc_node_of(dir)->pid != 0 ? -ESRCH : -ENOENT;
    }
    dentry_set_inode(dentry, inode);
    return 0;
}

static bool proc_revalidate(struct dentry *dentry) {
    return dentry->inode != NULL && node_valid(dentry->inode);
}

static int proc_setattr(struct dentry *dentry, struct iattr *attr) {
    /* Truncation comes with every "> /proc/sys/..."; modes and owners are not the guest's to
     * change. */
    uint32_t fixed = ATTR_SET_MODE | ATTR_SET_UID | ATTR_SET_GID;
    return (attr->valid & fixed) != 0 ? -EPERM : 0;
}

/* ---- links
 * -------------------------------------------------------------------------------------------- */

/* The path text of a magic link, as the reader's root shows it. */
static int64_t link_text(const struct proc_node *node, char *buf, size_t size) {
    struct path path, root;
    int err = node->entry->follow(node, &path);
    if (err != 0) {
        return err;
    }
    char *page = kmalloc(PATH_MAX_LEN);
    if (page == NULL) {
        path_put(&path);
        return -ENOMEM;
    }
    fs_get_root(&root);
    char *text = path_text(&path, &root, page, PATH_MAX_LEN);
    int64_t len = -ENAMETOOLONG;
    if (text != NULL) {
        len = (int64_t)MIN(strlen(text), size);
        memcpy(buf, text, (size_t)len);
    }
    path_put(&root);
    path_put(&path);
    kfree(page);
    return len;
}

static int64_t proc_readlink(struct inode *inode, char *buf, size_t size) {
    const struct proc_node *node = proc_node_of(inode);
    if (node->entry->readlink != NULL) {
        return node->entry->readlink(node, buf, size);
    }
    return node->entry->follow != NULL ? link_text(node, buf, size) : -EINVAL;
}

static int proc_follow(struct dentry *dentry, struct path *out) {
    const struct proc_node *node = proc_node_of(dentry->inode);
    return node->entry->follow(node, out);
}

/* ---- files
 * ---------------------------------------------------------------------------------------------- */

static int proc_show(struct seq *s, void *arg) {
    const struct proc_node *node = arg;
    if (node->entry->show != NULL) {
        return node->entry->show(s, node);
    }
    struct task *t = proc_task_get(node);
    if (t == NULL) {
        return -ESRCH;
    }
    int err = node->entry->show_task(s, t, node);
    task_put(t);
    return err;
}

static int proc_store(const struct proc_node *node, char *text, size_t len) {
    struct task *t = NULL;
    if (node->pid != 0) {
        t = proc_task_get(node);
        if (t == NULL) {
            return -ESRCH;
        }
    }
    int err = node->entry->store(node, t, text, len);
    if (t != NULL) {
        task_put(t);
    }
    return err;
}

static int64_t proc_write(struct file *file, struct iov_iter *from, uint64_t *pos) {
    const struct proc_node *node = proc_node_of(file->inode);
    size_t len = MIN(iter_left(from), (size_t)PROC_WRITE_MAX - 1);
    if (node->entry->store == NULL) {
        return -EIO;
    }
    char *text = kmalloc(len + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    int64_t n = iter_copy_from(from, text, len);
    if (n >= 0) {
        text[n] = '\0';
        int err = proc_store(node, text, (size_t)n);
        n = err != 0 ? err : n;
    }
    if (n > 0) {
        *pos += (uint64_t)n;
    }
    kfree(text);
    return n;
}

static const struct file_ops g_proc_text_fops = {
    .read = seq_read,
    .write = proc_write,
    .llseek = seq_llseek,
    .release = seq_release,
};

static uint32_t proc_mounts_poll(struct file *file, struct poll_table *table) {
    uint32_t always = POLLIN | POLLRDNORM;
    poll_wait(table, mount_changes());
    uint64_t now = mount_change_count();
    return atomic_exchange(seq_seen(file), now) != now ? always | POLLERR | POLLPRI : always;
}

static const struct file_ops g_proc_mounts_fops = {
    .read = seq_read,
    .llseek = seq_llseek,
    .poll = proc_mounts_poll,
    .release = seq_release,
};

static int proc_mounts_open(struct file *file, void *arg) {
    int err = seq_open_ops(file, &g_proc_mounts_fops, proc_show, arg, NULL);
    if (err == 0) {
        atomic_store(seq_seen(file), mount_change_count());
    }
    return err;
}

static int proc_write_only_show(struct seq *s, void *arg) {
    return -EINVAL;
}

static int proc_open(struct inode *inode, struct file *file) {
    struct proc_node *node = inode->private; /* lives as long as the file's inode */
    const struct proc_entry *e = node->entry;
    if (S_ISDIR(e->mode)) {
        return 0;
    }
    if ((e->flags & PROC_PTRACE) != 0) {
        struct task *t = proc_task_get(node);
        int err = t != NULL ? proc_may_access(t) : -ESRCH;
        if (t != NULL) {
            task_put(t);
        }
        if (err != 0) {
            return err;
        }
    }
    if (e->fops != NULL) {
        file->ops = e->fops;
    }
    if (e->open != NULL) {
        return e->open(node, file);
    }
    if ((e->flags & PROC_MOUNTS) != 0) {
        return proc_mounts_open(file, node);
    }
    bool readable = e->show != NULL || e->show_task != NULL;
    return e->fops != NULL ? 0
                           : seq_open_ops(file, &g_proc_text_fops,
                                          readable ? proc_show : proc_write_only_show, node, NULL);
}

/* ---- directories
 * ---------------------------------------------------------------------------------------- */

static uint32_t dtype_of(uint32_t mode) {
    return (mode & S_IFMT) >> 12;
}

static bool emit_node(struct dir_context *ctx, const struct proc_node *node, const char *name,
                      uint32_t mode, uint64_t next) {
    return dir_emit(ctx, name, strlen(name), node_ino(node), dtype_of(mode), next);
}

/* The rows of the table; false when the buffer is full. */
static bool iterate_table(const struct proc_node *dir, struct dir_context *ctx) {
    const struct proc_entry *e = dir->entry->children;
    struct proc_node node = *dir;
    for (uint64_t i = 0; e != NULL && e[i].name != NULL; i++) {
        if (ctx->pos > TABLE_POS + i || !entry_shown(&e[i], dir)) {
            continue;
        }
        node.entry = &e[i];
        if (!emit_node(ctx, &node, e[i].name, e[i].mode, TABLE_POS + i + 1)) {
            return false;
        }
    }
    return true;
}

static void iterate_dynamic(const struct proc_node *dir, struct dir_context *ctx) {
    char name[PROC_NAME_MAX];
    uint32_t mode;
    struct proc_node node;
    uint64_t index = ctx->pos < DYNAMIC_POS ? 0 : ctx->pos - DYNAMIC_POS;
    while (dir->entry->dir->next(dir, &index, name, &mode)) {
        if (find_node(dir, name, &node) == 0 &&
            !emit_node(ctx, &node, name, mode, DYNAMIC_POS + index + 1)) {
            return;
        }
        index++;
        ctx->pos = DYNAMIC_POS + index;
    }
}

static int proc_iterate(struct file *file, struct dir_context *ctx) {
    const struct proc_node *dir = proc_node_of(file->inode);
    if (dir->pid != 0 && !node_valid(file->inode)) {
        return -ENOENT;
    }
    if (!dir_emit_dots(file, ctx)) {
        return 0;
    }
    if (ctx->pos < DYNAMIC_POS && !iterate_table(dir, ctx)) {
        return 0;
    }
    if (dir->entry->dir != NULL) {
        iterate_dynamic(dir, ctx);
    }
    return 0;
}

static const struct file_ops g_proc_dir_fops = {.iterate = proc_iterate};

static const struct inode_ops g_proc_inode_ops = {
    .lookup = proc_lookup,
    .readlink = proc_readlink,
    .setattr = proc_setattr,
    .open = proc_open,
    .revalidate = proc_revalidate,
};
/* Links that lead where no path does. */
static const struct inode_ops g_proc_magic_ops = {
    .readlink = proc_readlink,
    .follow = proc_follow,
    .setattr = proc_setattr,
    .revalidate = proc_revalidate,
};

/* ---- small helpers of the tables
 * -------------------------------------------------------------------------- */

static uint64_t g_start_ns; /* atomic: CLOCK_BOOTTIME when proc was first mounted */

uint64_t proc_since_start(uint64_t boottime_ns) {
    uint64_t start = atomic_load_relaxed(&g_start_ns);
    return boottime_ns > start ? boottime_ns - start : 0;
}

uint64_t proc_uptime_ns(void) {
    return proc_since_start(hal_clock_ns(HAL_CLOCK_BOOTTIME));
}

bool proc_parse_number(const char *name, int32_t *out_number) {
    uint64_t value;
    if ((name[0] == '0' && name[1] != '\0') || fmt_parse_u64(name, 10, &value) != 0 ||
        value > INT32_MAX) {
        return false;
    }
    *out_number = (int32_t)value;
    return true;
}

int proc_parse_value(const char *text, uint64_t *out_value) {
    char digits[24];
    size_t len = 0;
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    while (text[len] >= '0' && text[len] <= '9' && len < sizeof(digits) - 1) {
        digits[len] = text[len];
        len++;
    }
    digits[len] = '\0';
    for (const char *end = text + len; *end != '\0'; end++) {
        if (*end != ' ' && *end != '\n' && *end != '\t') {
            return -EINVAL;
        }
    }
    return fmt_parse_u64(digits, 10, out_value) == 0 ? 0 : -EINVAL;
}

/* ---- mounting
 * -----------------------------------------------------------------------------------------------
 */

static void proc_evict(struct inode *inode) {
    kfree(inode->private);
}

static const struct super_ops g_proc_super_ops = {.evict = proc_evict};

int proc_tree_mount(const struct fs_type *type, uint32_t magic, const struct proc_entry *top,
                    struct super_block **out_sb) {
    struct super_block *sb = super_alloc(type, &g_proc_super_ops, magic);
    if (sb == NULL) {
        return -ENOMEM;
    }
    struct proc_node node = {.entry = top};
    struct inode *root = make_inode(sb, &node);
    int err = root != NULL ? 0 : -ENOMEM;
    if (err == 0) {
        root->ino = ROOT_INO;
        err = super_set_root(sb, root);
    }
    if (err != 0) {
        super_put(sb);
        return err;
    }
    *out_sb = sb;
    return 0;
}

static int proc_mount(const struct fs_type *type, const char *source, uint32_t flags,
                      const char *data, struct super_block **out_sb) {
    uint64_t unset = 0;
    (void)atomic_cas(&g_start_ns, &unset, hal_clock_ns(HAL_CLOCK_BOOTTIME));
    return proc_tree_mount(type, PROC_SUPER_MAGIC, &g_proc_root_entry, out_sb);
}

const struct fs_type g_proc_type = {.name = "proc", .flags = FS_NODEV, .mount = proc_mount};
