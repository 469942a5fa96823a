/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments and environment of a new program: copied once, into one buffer, bounded as execve(2)
 * says: 128 KiB a string, and a quarter of the stack limit for all of it, between 128 KiB and 2
 * MiB.
 */
#include "loader/loader.h"

#include "base/string.h"
#include "kernel/kmalloc.h"

#include <linux/errno.h>
#include <linux/resource.h>

#define ARGS_MAX         (2 * MIB)
#define ARGS_MIN         (128 * KIB)
#define FIRST_CAP        4096u
#define POINTERS_AT_ONCE 64u

static void args_init(struct exec_args *a) {
    uint64_t quarter = rlimit_get(RLIMIT_STACK) / 4;

    memset(a, 0, sizeof(*a));
    a->limit = (size_t)MAX(MIN(quarter, ARGS_MAX), ARGS_MIN);
}

void exec_args_free(struct exec_args *a) {
    kfree(a->buf);
    a->buf = NULL;
}

/* Room for `more` bytes behind the strings. */
static int reserve(struct exec_args *a, size_t more) {
    size_t want = a->len + more;
    size_t cap = a->cap != 0 ? a->cap : FIRST_CAP;

    if (want <= a->cap) {
        return 0;
    }
    while (cap < want) {
        cap *= 2;
    }
    char *buf = krealloc(a->buf, cap);
    if (buf == NULL) {
        return -ENOMEM;
    }
    a->buf = buf;
    a->cap = cap;
    return 0;
}

/* Strings and their pointers count. */
static int check_limit(const struct exec_args *a) {
    size_t pointers = ((size_t)a->argc + a->envc) * sizeof(uint64_t);

    return a->len + pointers > a->limit ? -E2BIG : 0;
}

static int append_user(struct exec_args *a, struct uaddr src) {
    size_t room = 256;

    for (;;) {
        int err = reserve(a, room);
        if (err != 0) {
            return err;
        }
        room = MIN(a->cap - a->len, (size_t)EXEC_STRING_MAX);
        int64_t len = copyin_str(a->buf + a->len, src, room);
        if (len >= 0) {
            a->len += (size_t)len + 1;
            return 0;
        }
        if (len != -ENAMETOOLONG) {
            return (int)len;
        }
        if (room >= EXEC_STRING_MAX || a->len + room > a->limit) {
            return -E2BIG;
        }
        room *= 2; /* only the copy of the last try is used */
    }
}

static int append_array(struct exec_args *a, struct uaddr array, uint32_t *count) {
    uint64_t pointers[POINTERS_AT_ONCE];
    uint32_t have = 0;
    uint32_t next = 0;

    if (array.v == 0) {
        return 0; /* Linux takes NULL for an empty list */
    }
    for (;;) {
        if (next == have) {
            /* As many as lie on this page: the terminator may be the last word before an unmapped
             * one. */
            uint64_t left = (PAGE_SIZE - (array.v & PAGE_MASK)) / sizeof(uint64_t);
            have = (uint32_t)MIN(MAX(left, 1ull), (uint64_t)POINTERS_AT_ONCE);
            next = 0;
            if (copyin(pointers, array, have * sizeof(uint64_t)) != 0) {
                return -EFAULT;
            }
            array = uaddr_add(array, have * sizeof(uint64_t));
        }
        uint64_t p = pointers[next++];
        if (p == 0) {
            return 0;
        }
        int err = append_user(a, uaddr_of(p));
        if (err != 0) {
            return err;
        }
        (*count)++;
        err = check_limit(a);
        if (err != 0) {
            return err;
        }
    }
}

static int append_kernel(struct exec_args *a, const char *s) {
    size_t len = strlen(s) + 1;

    if (len > EXEC_STRING_MAX || a->len + len > a->limit) {
        return -E2BIG;
    }
    int err = reserve(a, len);
    if (err == 0) {
        memcpy(a->buf + a->len, s, len);
        a->len += len;
    }
    return err;
}

/* A program always has an argv[0] (Linux since 5.18). */
static int ensure_argv0(struct exec_args *a) {
    if (a->argc != 0) {
        return 0;
    }
    a->argc = 1;
    return append_kernel(a, "");
}

int exec_args_from_user(struct exec_args *a, struct uaddr argv, struct uaddr envp) {
    args_init(a);
    int err = append_array(a, argv, &a->argc);
    if (err == 0) {
        err = ensure_argv0(a);
    }
    a->env_off = a->len;
    return err == 0 ? append_array(a, envp, &a->envc) : err;
}

int exec_args_from_kernel(struct exec_args *a, const char *const *argv, uint32_t argc,
                          const char *const *envp, uint32_t envc) {
    int err = 0;

    args_init(a);
    for (; err == 0 && a->argc < argc; a->argc++) {
        err = append_kernel(a, argv[a->argc]);
    }
    if (err == 0) {
        err = ensure_argv0(a);
    }
    a->env_off = a->len;
    for (; err == 0 && a->envc < envc; a->envc++) {
        err = append_kernel(a, envp[a->envc]);
    }
    return err == 0 ? check_limit(a) : err;
}

int exec_args_push_front(struct exec_args *a, const char *s) {
    size_t len = strlen(s) + 1;
    int err = reserve(a, len);

    if (err != 0) {
        return err;
    }
    memmove(a->buf + len, a->buf, a->len);
    memcpy(a->buf, s, len);
    a->len += len;
    a->env_off += len;
    a->argc++;
    return check_limit(a);
}

void exec_args_pop_front(struct exec_args *a) {
    size_t len = strlen(a->buf) + 1;

    a->len -= len;
    a->env_off -= len;
    a->argc--;
    memmove(a->buf, a->buf + len, a->len);
}
