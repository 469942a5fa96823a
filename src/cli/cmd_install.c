/* SPDX-License-Identifier: Apache-2.0 */
/* moat install: registers moat with container engines; shows what it would do unless --apply. */
#include "cli/cli.h"
#include "host/cleanup.h"
#include "install/install.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct install_options {
    bool docker, containerd, podman, crio, apply, remove, make_default;
    const char *etc, *path;
    struct strlist handlers;
};

#define INSTALL_OPT(field, name, kind, arg, help)                                                  \
    { name, 0, kind, offsetof(struct install_options, field), arg, help }

static const struct cli_option g_install_options[] = {
    INSTALL_OPT(docker, "docker", OPT_FLAG, NULL, "Docker Engine (/etc/docker/daemon.json)"),
    INSTALL_OPT(containerd, "containerd", OPT_FLAG, NULL,
                "containerd, also below Kubernetes (/etc/containerd/config.toml)"),
    INSTALL_OPT(podman, "podman", OPT_FLAG, NULL, "Podman (/etc/containers/containers.conf.d)"),
    INSTALL_OPT(crio, "crio", OPT_FLAG, NULL, "CRI-O (/etc/crio/crio.conf.d)"),
    INSTALL_OPT(handlers, "handler", OPT_LIST, "NAME[=sentry|native|vm]",
                "register under this name too; runsc is the sentry's, kata-runtime the vm's"),
    INSTALL_OPT(make_default, "default", OPT_FLAG, NULL,
                "make moat the runtime of containers that name none"),
    INSTALL_OPT(apply, "apply", OPT_FLAG, NULL,
                "write the changes; without it they are only shown"),
    INSTALL_OPT(remove, "remove", OPT_FLAG, NULL, "take away what moat install wrote"),
    INSTALL_OPT(etc, "etc", OPT_TEXT, "DIR", "the folder that stands for /etc"),
    INSTALL_OPT(path, "path", OPT_TEXT, "DIR",
                "folder of moat's programs (default: where this one lies)"),
    {0},
};

/* The folder of the running program. */
static int own_folder(char *out, size_t size, struct err *err) {
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n < 0) {
        return err_sys(err, -errno, "cannot read /proc/self/exe");
    }
    out[n] = '\0';
    *strrchr(out, '/') = '\0';
    return 0;
}

/* The wall behind a name: given, or that which the name's first owner had. */
static int add_named(struct install_plan *p, char *text, struct err *err) {
    static const char *const walls[][2] = {
        {"sentry", "moat"}, {"native", "moat-native"}, {"vm", "moat-vm"}};
    static const char *const known[][2] = {
        {"runsc", "sentry"}, {"gvisor", "sentry"}, {"kata-runtime", "vm"}, {"kata", "vm"}};
    char *wall = strchr(text, '=');
    const char *wanted = wall != NULL ? wall + 1 : NULL;
    if (wall != NULL) {
        *wall = '\0';
    }
    for (size_t i = 0; i < ARRAY_COUNT(known) && wanted == NULL; i++) {
        wanted = strcmp(known[i][0], text) == 0 ? known[i][1] : NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(walls) && wanted != NULL; i++) {
        if (strcmp(walls[i][0], wanted) == 0) {
            return plan_add_handler(p, text, walls[i][1], err);
        }
    }
    return err_set(err, -EINVAL,
                   "--handler %s: say which wall it stands for: %s=sentry, %s=native or %s=vm",
                   text, text, text, text);
}

static int begin(struct install_plan *p, struct install_options *o, struct err *err) {
    int e = plan_add_handler(p, "moat", "moat", err);
    e = e != 0 ? e : plan_add_handler(p, "moat-native", "moat-native", err);
    for (size_t i = 0; i < o->handlers.count && e == 0; i++) {
        e = add_named(p, o->handlers.items[i], err);
    }
    return e;
}

static bool is_installed(const struct install_engine *engine) {
    static const char *const places[] = {"/usr/sbin", "/usr/bin", "/usr/local/sbin",
                                         "/usr/local/bin"};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", places[i], engine->programs[0]); /* fits */
        if (access(path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct install_options *o, size_t i) {
    const bool named[] = {o->docker, o->containerd, o->podman, o->crio};
    bool any = o->docker || o->containerd || o->podman || o->crio;
    return any ? named[i] : is_installed(&g_install_engines[i]);
}

/* The names that choose an isolation are links to the one program. */
static int make_links(const struct install_plan *p, bool apply, struct err *err) {
    for (size_t i = 0; i < p->handler_count && !p->remove; i++) {
        const char *program = p->handlers[i].program;
        if (access(program, F_OK) == 0) {
            continue;
        }
        if (strcmp(strrchr(program, '/'), "/moat") == 0) {
            return err_set(err, -ENOENT, "there is no %s: install moat there, or give --path",
                           program);
        }
        printf("link %s -> moat\n", program);
        if (apply && symlink("moat", program) != 0 && errno != EEXIST) {
            return err_sys(err, -errno, "cannot make the link %s", program);
        }
    }
    return 0;
}

static int do_engine(struct install_plan *p, const struct install_engine *engine, bool apply,
                     struct err *err) {
    size_t first = p->change_count;
    int e = engine->plan(p, err);
    for (size_t i = first; i < p->change_count && e == 0; i++) {
        plan_show(&p->changes[i]);
        e = apply ? plan_write(&p->changes[i], err) : 0;
    }
    if (e == 0 && p->change_count == first) {
        printf("%s: nothing to change\n", engine->name);
    } else if (e == 0 && apply) {
        printf("\n%s: written.  Then:\n%s\n\n", engine->name,
               p->remove ? "restart it as above" : engine->next);
    }
    return e;
}

static int run_install(const struct cli_globals *globals, void *options, int argc, char **argv,
                       struct err *err) {
    struct install_options *o = options;
    static char folder[4096];
    static struct install_plan plan; /* large */
    struct runtime rt = cli_runtime(globals);
    size_t engines = 0;
    plan = (struct install_plan){.etc = o->etc != NULL ? o->etc : "/etc",
                                 .folder = o->path != NULL ? o->path : folder,
                                 .remove = o->remove,
                                 .make_default = o->make_default,
                                 .warn = rt.warn,
                                 .arg = rt.arg};
    int e = o->path == NULL ? own_folder(folder, sizeof(folder), err) : 0;
    if (e == 0 && plan.folder[0] != '/') {
        e = err_set(err, -EINVAL, "--path is an absolute path, not '%s'", plan.folder);
    }
    e = e != 0 ? e : begin(&plan, o, err);
    e = e != 0 ? e : make_links(&plan, o->apply, err);
    for (size_t i = 0; g_install_engines[i].name != NULL && e == 0; i++) {
        if (is_wanted(o, i)) {
            e = do_engine(&plan, &g_install_engines[i], o->apply, err);
            engines++;
        }
    }
    if (e == 0 && engines == 0) {
        e = err_set(err, -ENOENT, "no engine was found: name one, as with --docker");
    }
    if (e == 0 && plan.change_count > 0 && !o->apply) {
        printf("\nNothing was written: --apply does it.\n");
    }
    plan_free(&plan);
    return e == 0 ? 0 : 1;
}

const struct cli_command g_cmd_install = {
    .name = "install",
    .synopsis = "[options]",
    .summary = "register moat with Docker, containerd, Podman or CRI-O",
    .options = g_install_options,
    .options_size = sizeof(struct install_options),
    .min_args = 0,
    .max_args = 0,
    .args_help = "",
    .run = run_install,
};
