/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of hosted code: -errno together with a sentence for people that says what was tried, on
 * what, why it failed and, where there is one, the remedy.
 */
#ifndef MOAT_HOST_ERR_H
#define MOAT_HOST_ERR_H

#include "base/types.h"

struct err {
    int code; /* -errno, 0 while nothing failed */
    char msg[768];
};

/* Records the first failure (a later one does not overwrite it) and returns `code`, which is
 * negative. */
int err_set(struct err *err, int code, const char *format, ...) printf_like(3, 4);
/* Likewise with ": <strerror of code>" appended. */
int err_sys(struct err *err, int code, const char *format, ...) printf_like(3, 4);
/* Appends to the message of a failure. */
void err_append(struct err *err, const char *format, ...) printf_like(2, 3);

#endif
