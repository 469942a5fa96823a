/* SPDX-License-Identifier: Apache-2.0 */
/* moat guest: the kernel and initramfs that isolation vm starts. */
#include "cli/cli.h"
#include "cli/parse.h"
#include "vm/image.h"
#include "vm/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct guest_options {
    const char *kernel, *modules, *output, *memory;
};

#define GUEST_OPT(field, arg, help)                                                                \
    { #field, 0, OPT_TEXT, offsetof(struct guest_options, field), arg, help }

static const struct cli_option g_guest_options[] = {
    GUEST_OPT(kernel, "FILE",
              "kernel to take (default: Debian's linux-image-cloud-amd64, installed or fetched)"),
    GUEST_OPT(modules, "DIR", "its modules, /lib/modules/RELEASE"),
    GUEST_OPT(output, "DIR", "where images are kept (default $MOAT_GUEST or /var/lib/moat/guest)"),
    GUEST_OPT(memory, "SIZE", "template: of the machines, such as 512m (default: 1 GB)"),
    {0},
};

static int template(const struct guest_options *o, struct err *err) {
    struct container c = {.id = NULL};
    char path[PATH_MAX];
    int e = o->memory != NULL ? parse_size(o->memory, "--memory", &c.memory_limit, err) : 0;
    e = e != 0 ? e : machine_template(&c, path, err);
    if (e == 0) {
        printf("%s\n", path);
    }
    return e;
}

static int build(const struct guest_options *o, struct err *err) {
    const struct image_build how = {
        .kernel = o->kernel, .modules = o->modules, .output = o->output};
    char path[PATH_MAX];
    int e = image_build(&how, path, err);
    if (e == 0) {
        printf("%s\n", path);
    }
    return e;
}

static int print_entry(void *arg, const struct image_entry *e) {
    char when[32];
    struct tm tm;
    (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", gmtime_r(&e->built, &tm)); /* fits */
    printf("%-34s%-21s%6.1f MB  %s\n", e->name, when, (double)e->size / 1e6,
           e->is_current && e->in_use ? "current, in use"
           : e->is_current            ? "current"
           : e->in_use                ? "in use"
                                      : "unused");
    return 0;
}

static int list(const struct guest_options *o, struct err *err) {
    printf("%-34s%-21s%9s  %s\n", "IMAGE", "BUILT (UTC)", "SIZE", "STATE");
    return image_list(o->output, print_entry, NULL, err);
}

static int print_name(void *arg, const struct image_entry *e) {
    printf("%s\n", e->name);
    return 0;
}

static int prune(const struct guest_options *o, struct err *err) {
    return image_prune(o->output, print_name, NULL, err);
}

static int run_guest(const struct cli_globals *globals, void *options, int argc, char **argv,
                     struct err *err) {
    static const struct {
        const char *name;
        int (*run)(const struct guest_options *o, struct err *err);
    } verbs[] = {{"build", build}, {"template", template}, {"list", list}, {"prune", prune}};
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[0], verbs[i].name) == 0) {
            return verbs[i].run(options, err) == 0 ? 0 : 1;
        }
    }
    (void)err_set(err, -EINVAL, "guest: '%s' is unknown: build, template, list or prune", argv[0]);
    return 2;
}

const struct cli_command g_cmd_guest = {
    .name = "guest",
    .synopsis = "[options] build|template|list|prune",
    .summary = "make, list and remove guest images (kernel and agent) of isolation vm",
    .options = g_guest_options,
    .options_size = sizeof(struct guest_options),
    .min_args = 1,
    .max_args = 1,
    .args_help =
        "what to do: build an image and make it current, save a booted machine of it as the "
        "template that vm.template starts from, list all images, prune those that nobody uses",
    .run = run_guest,
};
