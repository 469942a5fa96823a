/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve(2), execveat(2).
 *
 * The new program is put together completely (file, credentials, address space, stack) while the
 * old one still could go on; then the other threads are ended, and in the part that cannot fail the
 * old memory, signal handlers and descriptors go.
 */
#include "loader/loader.h"

#include "base/fmt.h"
#include "base/string.h"
#include "kernel/kmalloc.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/time.h"
#include "syscall/syscall.h"

#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/signal.h>
#include <linux/stat.h>

#define RFLAGS_START 0x202u /* interrupts on, and the bit that is always 1 */

int exec_open(int dirfd, const char *name, uint32_t lookup, struct file **out_file) {
    struct path path;
    int err = path_lookup(dirfd, name, lookup, &path);

    if (err != 0) {
        return err;
    }
    struct inode *inode = path.dentry->inode;
    if (inode == NULL) {
        err = -ENOENT;
    } else if (S_ISLNK(inode->mode)) {
        err = -ELOOP; /* AT_SYMLINK_NOFOLLOW */
    } else if (!S_ISREG(inode->mode) || (path.mount->flags & MS_NOEXEC) != 0) {
        err = -EACCES;
    } else {
        err = path_permission(&path, MAY_EXEC);
    }
    if (err == 0) {
        err = vfs_open_path(&path, O_RDONLY, out_file);
    }
    if (err == 0) {
        err = file_deny_write(*out_file);
        if (err != 0) {
            file_put(*out_file);
            *out_file = NULL;
        }
    }
    path_put(&path);
    return err;
}

int exec_read_head(struct exec_image *img) {
    int64_t n = kernel_read(img->file, img->head, sizeof(img->head), 0);

    if (n < 0) {
        return (int)n;
    }
    memset(img->head + n, 0, sizeof(img->head) - (size_t)n);
    img->head_len = (size_t)n;
    return 0;
}

static void set_comm(struct exec_image *img, const char *name) {
    const char *slash = strrchr(name, '/');

    (void)strlcpy(img->comm, slash != NULL ? slash + 1 : name, sizeof(img->comm)); /* may be cut */
}

static void image_free(struct exec_image *img) {
    if (img->mm != NULL) {
        mm_leave(img->mm);
    }
    if (img->cred != NULL) {
        cred_put(img->cred);
    }
    if (img->file != NULL) {
        file_put(img->file);
    }
    exec_args_free(&img->args);
    kfree(img->filename);
    kfree(img);
}

/* From the opened file to a complete address space. */
static int image_load(struct exec_image *img) {
    int err = exec_read_head(img);

    for (int depth = 0; err == 0 && img->head[0] == '#' && img->head[1] == '!'; depth++) {
        if (depth >= EXEC_DEPTH_MAX) {
            return -ELOOP;
        }
        err = script_load(img);
    }
    if (err == 0) {
        err = exec_cred_prepare(img);
    }
    if (err == 0) {
        err = mm_create(NULL, &img->mm);
    }
    if (err == 0) {
        file_get(img->file);
        img->mm->exe = img->file;
        err = elf_load(img);
    }
    return err == 0 ? stack_build(img) : err;
}

/* ---- the trade ---- */

static void swap_memory(struct task *t, struct mm *mm, struct platform_thread *thread) {
    struct platform_thread *old_thread = t->pthread;
    struct mm *old_mm = t->mm;
    uint64_t ns = old_thread != NULL ? platform_thread_cpu_ns(old_thread) : 0;

    if (old_mm != NULL) {
        futex_exit(t);
        spin_lock(&t->process->sig_lock);
        t->process->max_rss = MAX(t->process->max_rss, atomic_load_relaxed(&old_mm->hiwater_rss));
        spin_unlock(&t->process->sig_lock);
    }
    spin_lock(&t->lock);
    t->pthread = thread;
    t->mm = mm;
    t->exec_user_ns += ns;
    spin_unlock(&t->lock);
    if (old_thread != NULL) {
        platform_thread_destroy(old_thread);
    }
    if (old_mm != NULL) {
        mm_leave(old_mm);
    }
    vfork_done(t);
}

static void unshare_actions(struct task *t) {
    struct process *p = t->process;

    if (atomic_load(&p->actions->ref.n) == 1) {
        return;
    }
    struct sig_actions *fresh = sig_actions_create(p->actions);
    if (fresh == NULL) {
        process_exit_group(SIGKILL);
    }
    spin_lock(&p->sig_lock);
    struct sig_actions *old = p->actions;
    p->actions = fresh;
    spin_unlock(&p->sig_lock);
    sig_actions_put(old);
}

static void unshare_files(struct task *t) {
    if (t->process->files_shared) {
        struct files *fresh = files_copy(t->files);
        if (fresh == NULL) {
            process_exit_group(SIGKILL);
        }
        spin_lock(&t->lock);
        struct files *old = t->files;
        t->files = fresh;
        spin_unlock(&t->lock);
        files_put(old);
        t->process->files_shared = false;
    }
    files_close_on_exec(t->files);
}

static void reset_task(struct task *t, struct exec_image *img) {
    (void)strlcpy(t->comm, img->comm, sizeof(t->comm)); /* the same size */
    t->clear_child_tid = uaddr_of(0);
    t->robust_list = uaddr_of(0);
    t->robust_list_len = 0;
    t->restart.fn = NULL;
    memset(&t->regs, 0, sizeof(t->regs));
    t->regs.rip = img->entry;
    t->regs.rsp = img->stack_pointer;
    t->regs.rflags = RFLAGS_START;
    t->regs.orig_rax = ORIG_NR_NONE;
    t->regs_dirty = true;
    t->orig_nr = ORIG_NR_NONE;
    memset(&t->trap, 0, sizeof(t->trap));
    t->trap.kind = TRAP_NONE;
    t->trap.thread = t->pthread;
    t->trap.task = t;
    t->trap.full_context = true;
}

static void take_credentials(struct task *t, struct exec_image *img) {
    struct process *p = t->process;

    cred_commit(img->cred);
    img->cred = NULL;
    if (img->secure) {
        t->pdeath_signal = 0;
    }
    atomic_store(&p->dumpable, img->secure || img->unreadable ? 0u : 1u);
    p->did_exec = true;
    p->exit_signal = SIGCHLD;
}

/* No way back from here: an error kills the process. */
static int commit(struct exec_image *img) {
    struct task *t = img->task;
    struct platform_space *space;
    struct platform_thread *thread;
    int err = platform_space_create(this_cpu()->id, t, &space, &thread);

    if (err != 0) {
        return err;
    }
    err = exec_take_process(t);
    if (err != 0) {
        platform_thread_destroy(thread);
        platform_space_destroy(space);
        return err;
    }
    struct mm *mm = img->mm;
    img->mm = NULL;
    mm_bind_space(mm, space);
    swap_memory(t, mm, thread);
    unshare_actions(t);
    signal_exec(t);
    process_timers_exec(t->process);
    unshare_files(t);
    take_credentials(t, img);
    reset_task(t, img);
    return 0;
}

static int run_image(struct exec_image *img) {
    int err = image_load(img);

    if (err == 0) {
        err = commit(img);
    }
    image_free(img);
    return err;
}

/* ---- the doors ---- */

static struct exec_image *image_alloc(struct task *t, const char *filename) {
    struct exec_image *img = kzalloc(sizeof(*img));

    if (img == NULL) {
        return NULL;
    }
    img->task = t;
    img->filename = kstrdup(filename);
    if (img->filename == NULL) {
        kfree(img);
        return NULL;
    }
    set_comm(img, filename);
    return img;
}

int kernel_execve(struct task *t, const char *filename, const char *const *argv, uint32_t argc,
                  const char *const *envp, uint32_t envc) {
    struct exec_image *img = image_alloc(t, filename);

    if (img == NULL) {
        return -ENOMEM;
    }
    int err = exec_args_from_kernel(&img->args, argv, argc, envp, envc);
    if (err == 0) {
        err = exec_open(AT_FDCWD_MOAT, filename, LOOKUP_FOLLOW, &img->file);
    }
    if (err != 0) {
        image_free(img);
        return err;
    }
    return run_image(img);
}

static bool fd_is_cloexec(struct task *t, int fd) {
    struct file *file = NULL;
    bool cloexec = false;
    int found = files_next(t->files, fd, &file, &cloexec);

    if (found >= 0) {
        file_put(file);
    }
    return found == fd && cloexec;
}

static int64_t do_execve(struct task *t, int dirfd, const char *path, uint32_t lookup,
                         struct uaddr argv, struct uaddr envp) {
    char shown[32];
    struct exec_image *img = image_alloc(t, path);

    if (img == NULL) {
        return -ENOMEM;
    }
    int err = exec_open(dirfd, path, lookup, &img->file);
    if (err == 0 && path[0] != '/' && dirfd != AT_FDCWD) {
        /* Interpreters reach the file through the descriptor (execveat(2)). */
        size_t len = fmt_snprintf(shown, sizeof(shown), "/dev/fd/%d", dirfd);
        char *name = kmalloc(len + strlen(path) + 2);
        err = name == NULL ? -ENOMEM : 0;
        if (name != NULL) {
            (void)fmt_snprintf(name, len + strlen(path) + 2, "%s%s%s", shown,
                               path[0] != '\0' ? "/" : "", path); /* fits */
            kfree(img->filename);
            img->filename = name;
            if (path[0] == '\0') {
                set_comm(img, name);
            }
            img->path_gone = fd_is_cloexec(t, dirfd);
        }
    }
    if (err == 0) {
        err = exec_args_from_user(&img->args, argv, envp);
    }
    if (err != 0) {
        image_free(img);
        return err;
    }
    return run_image(img);
}

int64_t sys_execve(struct task *t, const struct sysargs *args) {
    char *path;
    int err = user_path_copy(uaddr_of(args->a[0]), false, &path);

    if (err != 0) {
        return err;
    }
    int64_t result =
        do_execve(t, AT_FDCWD, path, LOOKUP_FOLLOW, uaddr_of(args->a[1]), uaddr_of(args->a[2]));
    kfree(path);
    return result;
}

int64_t sys_execveat(struct task *t, const struct sysargs *args) {
    uint32_t flags = (uint32_t)args->a[4];
    uint32_t lookup = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW;
    char *path;

    if ((flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    bool empty = (flags & AT_EMPTY_PATH) != 0;
    int err = user_path_copy(uaddr_of(args->a[1]), empty, &path);
    if (err != 0) {
        return err;
    }
    int64_t result = do_execve(t, (int32_t)args->a[0], path, lookup | (empty ? LOOKUP_EMPTY : 0),
                               uaddr_of(args->a[2]), uaddr_of(args->a[3]));
    kfree(path);
    return result;
}
