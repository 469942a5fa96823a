/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/pid/mounts, mountinfo and mountstats (proc(5), fstab(5)).  Paths are those under the
 * reader's root; mounts that it cannot reach are left out.
 */
#include "fs/proc/proc.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <asm-generic/errno.h>
#include <linux/mount.h>

#define ESCAPED " \t\n\\#"

enum mounts_style { MOUNTS, MOUNTINFO, MOUNTSTATS };

struct mounts_context {
    struct seq *s;
    struct path root;
    char *page; /* PATH_MAX_LEN bytes for a path, as many for options */
    enum mounts_style style;
};

static void show_flags(struct seq *s, const struct mount *m, bool with_super) {
    static const struct {
        uint32_t flag;
        const char *text;
    } names[] = {{MS_NOSUID, ",nosuid"},
                 {MS_NODEV, ",nodev"},
                 {MS_NOEXEC, ",noexec"},
                 {MS_NOATIME, ",noatime"}};
    bool read_only = (m->flags & MS_RDONLY) != 0 || (with_super && m->sb->read_only);
    seq_printf(s, "%s", read_only ? "ro" : "rw");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if ((m->flags & names[i].flag) != 0) {
            seq_printf(s, "%s", names[i].text);
        }
    }
    if ((m->flags & MS_NOATIME) == 0) {
        seq_printf(s, ",relatime");
    }
}

static void show_super_options(struct mounts_context *c, const struct mount *m) {
    char *buf = c->page + PATH_MAX_LEN;
    if (m->sb->ops->show_options == NULL) {
        return;
    }
    buf[0] = '\0';
    int len = m->sb->ops->show_options(m->sb, buf, PATH_MAX_LEN);
    if (len > 0 && len < (int)PATH_MAX_LEN) {
        buf[len] = '\0';
        if (buf[0] != ',') {
            seq_putc(c->s, ',');
        }
        seq_printf(c->s, "%s", buf);
    }
}

static const char *source_of(const struct mount *m) {
    return m->source != NULL && m->source[0] != '\0' ? m->source : "none";
}

/* The path of the mounted subtree inside its own filesystem. */
static void show_subtree(struct mounts_context *c, struct mount *m) {
    char *end = c->page + PATH_MAX_LEN;
    struct dentry *d = m->root;
    *--end = '\0';
    while (d != d->parent && (size_t)(end - c->page) > d->name_len + 1) {
        end -= d->name_len;
        memcpy(end, d->name, d->name_len);
        *--end = '/';
        d = d->parent;
    }
    seq_escape(c->s, *end != '\0' ? end : "/", ESCAPED);
}

static void show_mounts_line(struct mounts_context *c, struct mount *m, const char *where) {
    struct seq *s = c->s;
    seq_escape(s, source_of(m), ESCAPED);
    seq_putc(s, ' ');
    seq_escape(s, where, ESCAPED);
    seq_printf(s, " %s ", m->sb->type->name);
    show_flags(s, m, true);
    show_super_options(c, m);
    seq_printf(s, " 0 0\n");
}

static void show_mountinfo_line(struct mounts_context *c, struct mount *m, const char *where) {
    struct seq *s = c->s;
    char *copy = kstrdup(where);
    if (copy == NULL) {
        s->failed = true;
        return;
    }
    seq_printf(s, "%u %u %u:%u ", m->id, m->parent != NULL ? m->parent->id : m->id,
               DEV_MAJOR(m->sb->dev), DEV_MINOR(m->sb->dev));
    show_subtree(c, m);
    seq_putc(s, ' ');
    seq_escape(s, copy, ESCAPED);
    seq_putc(s, ' ');
    show_flags(s, m, false);
    seq_printf(s, " - %s ", m->sb->type->name);
    seq_escape(s, source_of(m), ESCAPED);
    seq_printf(s, m->sb->read_only ? " ro" : " rw");
    show_super_options(c, m);
    seq_putc(s, '\n');
    kfree(copy);
}

static bool show_mount(struct mount *m, void *arg) {
    struct mounts_context *c = arg;
    struct path top = {m, m->root};
    const char *where = path_text(&top, &c->root, c->page, PATH_MAX_LEN);
    if (where == NULL || where[0] != '/') {
        return true; /* outside the reader's root */
    }
    if (c->style == MOUNTS) {
        show_mounts_line(c, m, where);
    } else if (c->style == MOUNTINFO) {
        show_mountinfo_line(c, m, where);
    } else {
        seq_printf(c->s, "device %s mounted on ", source_of(m));
        seq_escape(c->s, where, ESCAPED);
        seq_printf(c->s, " with fstype %s\n", m->sb->type->name);
    }
    return !c->s->failed;
}

static int show_all(struct seq *s, enum mounts_style style) {
    struct mounts_context c = {.s = s, .style = style};
    c.page = kmalloc(2 * (size_t)PATH_MAX_LEN);
    if (c.page == NULL) {
        return -ENOMEM;
    }
    fs_get_root(&c.root);
    mount_for_each(show_mount, &c);
    path_put(&c.root);
    kfree(c.page);
    return 0;
}

int proc_show_mounts(struct seq *s, struct task *t, const struct proc_node *node) {
    return show_all(s, MOUNTS);
}

int proc_show_mountinfo(struct seq *s, struct task *t, const struct proc_node *node) {
    return show_all(s, MOUNTINFO);
}

int proc_show_mountstats(struct seq *s, struct task *t, const struct proc_node *node) {
    return show_all(s, MOUNTSTATS);
}
