/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See title.h.  Sources: prctl(2) PR_SET_NAME; proc(5), /proc/PID/stat fields 48 to 51 and
 * /proc/PID/cmdline, which shows the memory between arg_start and arg_end.
 */
#include "sandbox/title.h"

#include "host/cleanup.h"
#include "host/procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where this process's arguments and, behind them, its environment lie. */
static bool find_area(char **out_start, size_t *out_args, size_t *out_all) {
    char text[2048];
    unsigned long arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
    cleanup_fd int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    const char *p = procfs_stat_field(text, 48);
    if (p == NULL ||
        sscanf(p, "%lu %lu %lu %lu", &arg_start, &arg_end, &env_start, &env_end) != 4 ||
        arg_start == 0 || arg_end <= arg_start || env_start != arg_end || env_end < env_start) {
        return false;
    }
    *out_start = (char *)arg_start;
    *out_args = arg_end - arg_start;
    *out_all = env_end - arg_start;
    return true;
}

/*
 * The kernel shows exactly the area of the arguments while that ends with a NUL, and otherwise one
 * string that may reach into the environment (proc(5)): arguments that fit keep their borders,
 * longer ones are joined with blanks.
 */
void title_set(const struct strlist *args) {
    char *area;
    size_t room, all, used = 0;
    if (args->count == 0) {
        return;
    }
    const char *slash = strrchr(args->items[0], '/');
    (void)prctl(PR_SET_NAME, slash != NULL ? slash + 1 : args->items[0], 0, 0, 0); /* is cut */
    if (!find_area(&area, &room, &all)) {
        return;
    }
    size_t need = 0;
    for (size_t i = 0; i < args->count; i++) {
        need += strlen(args->items[i]) + 1;
    }
    bool fits = need <= room;
    memset(area, 0, all);
    for (size_t i = 0; i < args->count; i++) {
        size_t len = strlen(args->items[i]);
        if (i > 0) {
            area[used++] = fits ? '\0' : ' ';
        }
        if (len > all - 2 - used) {
            len = all - 2 - used; /* two NULs stay at the end */
        }
        memcpy(area + used, args->items[i], len);
        used += len;
        if (used >= all - 2) {
            break;
        }
    }
    if (!fits && used < room) {
        memset(area + used, ' ', room - used);
    }
}
