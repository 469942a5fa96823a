/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve in steps (execve(2)): find the file, follow `#!` lines, build a whole new address space
 * beside the old one, and only then trade them.  Everything before loader_commit can fail and
 * leaves the caller as it was.
 */
#ifndef MOAT_SENTRY_LOADER_H
#define MOAT_SENTRY_LOADER_H

#include "base/types.h"
#include "fs/vfs.h"
#include "kernel/task.h"
#include "mm/mm.h"

#define EXEC_HEAD_SIZE  256u          /* bytes of a file that decide what it is */
#define EXEC_STRING_MAX (128u * 1024) /* one argument, with its NUL (MAX_ARG_STRLEN) */
#define EXEC_DEPTH_MAX  5             /* scripts that interpret scripts */

/* Argument and environment strings, back to back, in the order they have on the new stack. */
struct exec_args {
    char *buf;
    size_t len, cap;
    size_t limit;   /* bytes of strings and pointers together */
    size_t env_off; /* where the environment begins in buf */
    uint32_t argc, envc;
};

struct exec_image {
    struct task *task;
    struct file
        *file; /* what is to be loaded now: first the named file, then interpreters of scripts */
    char head[EXEC_HEAD_SIZE];
    size_t head_len;
    char *filename; /* as the program is told (AT_EXECFN); owned */
    char comm[TASK_COMM_LEN];
    struct exec_args args;
    bool
        path_gone; /* a script could not be opened by its name again: descriptor is close-on-exec */
    struct cred *cred; /* the new credentials; owned until commit */
    bool secure;       /* AT_SECURE */
    bool unreadable;   /* the file may be executed but not read: not dumpable */
    struct mm *mm;     /* the new address space; owned until commit */
    bool exec_stack;
    uint64_t entry;      /* where to start: interpreter's or program's */
    uint64_t prog_entry; /* AT_ENTRY */
    uint64_t interp_base, phdr_addr;
    uint32_t phdr_count;
    uint64_t stack_pointer;
};

/* ---- args.c ---- */
/* From user space: NULL-terminated arrays of string pointers; each string is copied once.  0,
 * -EFAULT, -E2BIG, -ENOMEM. */
must_check int exec_args_from_user(struct exec_args *a, struct uaddr argv, struct uaddr envp);
must_check int exec_args_from_kernel(struct exec_args *a, const char *const *argv, uint32_t argc,
                                     const char *const *envp, uint32_t envc);
/* Puts a string before all others. */
must_check int exec_args_push_front(struct exec_args *a, const char *s);
/* Takes the first string off. */
void exec_args_pop_front(struct exec_args *a);
void exec_args_free(struct exec_args *a);

/* ---- script.c ---- */
/* The parts of a `#!` line in `head` (changed in place): *out_arg NULL when there is none.  0 or
 * -ENOEXEC. */
must_check int script_parse(char *head, size_t len, char **out_interp, char **out_arg);
/* Replaces file and arguments by those of the interpreter. */
must_check int script_load(struct exec_image *img);

/* ---- elf.c, stack.c ---- */
must_check int elf_load(struct exec_image *img);
must_check int stack_build(struct exec_image *img);

/* ---- execcred.c ---- */
/* Credentials after executing img->file, per set-id bits and file capabilities. */
must_check int exec_cred_prepare(struct exec_image *img);

/* ---- exec.c ---- */
/* Opens a file for execution: regular, executable by current, not on a noexec mount. */
must_check int exec_open(int dirfd, const char *name, uint32_t lookup, struct file **out_file);
must_check int exec_read_head(struct exec_image *img);

#endif
