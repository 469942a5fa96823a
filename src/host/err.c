/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of hosted code: see err.h. */
#include "host/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool err_begin(struct err *err, int code, const char *format, va_list args) {
    if (err == NULL || err->code != 0) {
        return false;
    }
    err->code = code;
    (void)vsnprintf(err->msg, sizeof(err->msg), format,
                    args); /* a cut message is still a message */
    return true;
}

int err_set(struct err *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)err_begin(err, code, format, args); /* false: an earlier failure is kept */
    va_end(args);
    return code;
}

int err_sys(struct err *err, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    bool fresh = err_begin(err, code, format, args);
    va_end(args);
    if (fresh) {
        err_append(err, ": %s", strerror(-code));
    }
    return code;
}

void err_append(struct err *err, const char *format, ...) {
    size_t len = strlen(err->msg);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->msg + len, sizeof(err->msg) - len, format,
                    args); /* cut at the end is fine */
    va_end(args);
}
