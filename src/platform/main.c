/* SPDX-License-Identifier: Apache-2.0 */
/* moat-sentry FD: runs the application kernel with the boot message in the memfd FD
 * (include/moat/boot.h). */
#include "base/types.h"
#include "moat/boot.h"
#include "platform/hal/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct moat_boot boot;
    char *end = NULL;
    long fd = argc == 2 ? strtol(argv[1], &end, 10) : -1;
    if (fd < 0 || fd > INT32_MAX || end == argv[1] || *end != '\0') {
        fprintf(stderr, "moat-sentry: started by moat, not by hand\n");
        return 2;
    }
    ssize_t n = pread((int)fd, &boot, sizeof(boot), 0);
    if (n != (ssize_t)sizeof(boot) || boot.magic != MOAT_BOOT_MAGIC ||
        boot.version != MOAT_BOOT_VERSION || boot.size != sizeof(boot)) {
        fprintf(stderr, "moat-sentry: the boot message does not match this version\n");
        return 2;
    }
    (void)close((int)fd); /* read-only use, nothing to lose */
    boot.hostname[sizeof(boot.hostname) - 1] = '\0';
    host_run(&boot);
}
