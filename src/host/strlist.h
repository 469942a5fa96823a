/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of owned strings, NULL-terminated for execve. */
#ifndef MOAT_HOST_STRLIST_H
#define MOAT_HOST_STRLIST_H

#include "base/types.h"

struct strlist {
    char **items; /* items[count] is NULL once anything was added */
    size_t count, cap;
};

/* Appends a copy; 0 or -ENOMEM. */
must_check int strlist_add(struct strlist *list, const char *text);
/* Sets NAME=VALUE, replacing an earlier NAME; `text` has the '='. */
must_check int strlist_set_env(struct strlist *list, const char *text);
void strlist_free(struct strlist *list);

#endif
