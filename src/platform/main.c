/* SPDX-License-Identifier: Apache-2.0 */
/* moat-sentry FD: runs the application kernel with the boot message in the memfd FD
 * (include/moat/boot.h). */
#include "base/fmt.h"
#include "base/string.h"
#include "moat/boot.h"
#include "platform/hal/host.h"

#define STDERR 2

/* From start.S, with the stack as execve left it: argc, argv, NULL, environment, NULL, auxiliary
 * vector. */
noreturn_fn void sentry_main(uint64_t *stack);

static noreturn_fn void refuse(const char *why) {
    (void)sys3(SYS_write, STDERR, (long)why, (long)strlen(why)); /* nothing more can be done */
    hal_exit(2);
}

noreturn_fn void sentry_main(uint64_t *stack) {
    uint64_t argc = stack[0], fd = 0;
    char **argv = (char **)&stack[1];
    uint64_t *at = &stack[argc + 2];
    struct moat_boot boot;
    while (*at != 0) {
        at++;
    }
    host_runtime_init(at + 1);
    if (argc != 2 || fmt_parse_u64(argv[1], 10, &fd) != 0 || fd > INT32_MAX) {
        refuse("moat-sentry: started by moat, not by hand\n");
    }
    long n = sys4(SYS_pread64, (long)fd, (long)&boot, sizeof(boot), 0);
    if (n != (long)sizeof(boot) || boot.magic != MOAT_BOOT_MAGIC ||
        boot.version != MOAT_BOOT_VERSION || boot.size != sizeof(boot)) {
        refuse("moat-sentry: the boot message does not match this version\n");
    }
    (void)sys_close((int)fd); /* read-only use, nothing to lose */
    boot.hostname[sizeof(boot.hostname) - 1] = '\0';
    host_run(&boot);
}
