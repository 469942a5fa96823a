/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for people, on standard error; so many that a client cannot fill a disk with them. */
#include "gofer.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINES_MAX 200u

void gofer_log(const struct gofer *g, const char *format, ...) {
    char line[512];
    va_list args;
    static uint32_t lines; /* one thread */
    if (g->log_fd < 0 || lines == LINES_MAX) {
        return;
    }
    lines++;
    va_start(args, format);
    int len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    len = MIN(len, (int)sizeof(line) - 2);
    line[len] = '\n';
    (void)!write(g->log_fd, line,
                 (size_t)len + 1); /* a log that cannot be written cannot be complained about */
}
