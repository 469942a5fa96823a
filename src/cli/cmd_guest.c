/* SPDX-License-Identifier: Apache-2.0 */
/* moat guest: the kernel and initramfs that isolation vm starts. */
#include "cli/cli.h"
#include "vm/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct guest_options {
    const char *kernel, *modules, *output;
};

#define GUEST_OPT(field, arg, help)                                                                \
    { #field, 0, OPT_TEXT, offsetof(struct guest_options, field), arg, help }

static const struct cli_option g_guest_options[] = {
    GUEST_OPT(kernel, "FILE",
              "kernel to take (default: Debian's linux-image-cloud-amd64, installed or fetched)"),
    GUEST_OPT(modules, "DIR", "its modules, /lib/modules/RELEASE"),
    GUEST_OPT(output, "DIR", "where images are kept (default $MOAT_GUEST or /var/lib/moat/guest)"),
    {0},
};

static int run_guest(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    const struct guest_options *o = options;
    const struct image_build how = {
        .kernel = o->kernel, .modules = o->modules, .output = o->output};
    char path[PATH_MAX];
    if (strcmp(argv[0], "build") != 0) {
        (void)err_set(err, -EINVAL, "guest: '%s' is unknown: 'moat guest build'", argv[0]);
        return 2;
    }
    if (image_build(&how, path, err) != 0) {
        return 1;
    }
    printf("%s\n", path);
    return 0;
}

const struct cli_command g_cmd_guest = {
    .name = "guest",
    .synopsis = "[options] build",
    .summary = "make the guest image (kernel and agent) of isolation vm",
    .options = g_guest_options,
    .options_size = sizeof(struct guest_options),
    .min_args = 1,
    .max_args = 1,
    .args_help = "what to do: build",
    .run = run_guest,
};
