/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interpreter scripts (execve(2)): "#!interpreter [optional-arg]", of which the kernel looks at the
 * first 255 bytes.
 */
#include "loader/loader.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <linux/errno.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

int script_parse(char *head, size_t len, char **out_interp, char **out_arg) {
    size_t max = MIN(len, (size_t)EXEC_HEAD_SIZE - 1);
    char *end = memchr(head, '\n', max);
    bool cut = end == NULL && len >= EXEC_HEAD_SIZE - 1;
    char *p = head + 2;

    if (len < 3 || head[0] != '#' || head[1] != '!') {
        return -ENOEXEC;
    }
    if (end == NULL) {
        end = head + max;
    }
    *end = '\0';
    while (is_blank(*p)) {
        p++;
    }
    char *interp = p;
    while (*p != '\0' && !is_blank(*p)) {
        p++;
    }
    if (p == interp || (cut && p == end)) {
        return -ENOEXEC; /* no name, or one that goes on beyond what we see */
    }
    char *arg = p;
    while (is_blank(*arg)) {
        arg++;
    }
    char *last = arg + strlen(arg);
    while (last > arg && is_blank(last[-1])) {
        *--last = '\0';
    }
    *p = '\0';
    *out_interp = interp;
    *out_arg = *arg != '\0' ? arg : NULL;
    return 0;
}

int script_load(struct exec_image *img) {
    struct file *file = NULL;
    char *interp;
    char *arg;
    int err = script_parse(img->head, img->head_len, &interp, &arg);

    if (err != 0) {
        return err;
    }
    if (img->path_gone) {
        return -ENOENT; /* the interpreter could not open it */
    }
    exec_args_pop_front(&img->args);
    err = exec_args_push_front(&img->args, img->filename);
    if (err == 0 && arg != NULL) {
        err = exec_args_push_front(&img->args, arg);
    }
    if (err == 0) {
        err = exec_args_push_front(&img->args, interp);
    }
    if (err == 0) {
        err = exec_open(AT_FDCWD_MOAT, interp, LOOKUP_FOLLOW, &file);
    }
    if (err != 0) {
        return err;
    }
    char *name = kstrdup(interp);
    if (name == NULL) {
        file_put(file);
        return -ENOMEM;
    }
    kfree(img->filename);
    img->filename = name;
    file_put(img->file);
    img->file = file;
    return exec_read_head(img);
}
