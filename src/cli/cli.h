/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of commands, each with a table of options, from which parsing, help
 * and completion come.
 */
#ifndef MOAT_CLI_CLI_H
#define MOAT_CLI_CLI_H

#include "host/err.h"
#include "host/strlist.h"
#include "runtime/lifecycle.h"

#include <stddef.h>

#define EXIT_USAGE 2

/* What stands before the command. */
struct cli_globals {
    const char *program; /* the name moat was called by */
    const char *root;    /* state folder */
    const char *default_root;
    const char *log;        /* file, or NULL: standard error */
    const char *log_format; /* "text" or "json" */
    bool debug;
    const char *rootless; /* "true", "false", "auto" or NULL */
    const char *criu;     /* program; NULL: on the PATH */
    bool systemd_cgroup;
    bool help, version;
};

enum cli_option_kind {
    OPT_FLAG, /* bool */
    OPT_TEXT, /* const char *: the last one counts */
    OPT_LIST, /* struct strlist: each one is added */
    OPT_U32,  /* uint32_t, decimal */
};

struct cli_option {
    const char *name;
    char letter; /* 0: none */
    enum cli_option_kind kind;
    size_t offset;   /* of the field in the command's option struct */
    const char *arg; /* what --help calls the value; NULL for flags */
    const char *help;
};

struct cli_command {
    const char *name;
    const char *synopsis;             /* behind the name */
    const char *summary;              /* one line */
    const char *description;          /* paragraphs with an empty line between, or NULL */
    bool takes_container;             /* its argument is an existing container's id */
    const struct cli_option *options; /* ends with name NULL */
    size_t options_size;              /* of the struct the offsets point into; it starts zeroed */
    int min_args, max_args;           /* positional; max -1: any number */
    const char *args_help;            /* what to give, said when there are too few */
    /* The exit status; on a failure fills *err and returns the status to exit with. */
    int (*run)(const struct cli_globals *globals, void *options, int argc, char **argv,
               struct err *err);
};

extern const struct cli_command g_cmd_do, g_cmd_create, g_cmd_start, g_cmd_run, g_cmd_state;
extern const struct cli_command g_cmd_kill, g_cmd_delete, g_cmd_list, g_cmd_exec, g_cmd_ps;
extern const struct cli_command g_cmd_pause, g_cmd_resume, g_cmd_update, g_cmd_events;
extern const struct cli_command g_cmd_wait, g_cmd_spec, g_cmd_features, g_cmd_install, g_cmd_help;
extern const struct cli_command g_cmd_checkpoint, g_cmd_restore, g_cmd_completion, g_cmd_check,
    g_cmd_guest;

/* The table, in the order of help; ends with NULL. */
extern const struct cli_command *const g_commands[];
extern const struct cli_option g_global_options[];

/* Parses options at the front of argv into `out` (of a table); stops at the first argument that is
 * none, or behind "--". Sets *out_help when --help was given.  Index of the first positional
 * argument, or -EINVAL with *err. */
must_check int cli_parse(const struct cli_option *table, void *out, int argc, char **argv,
                         const char *command, bool *out_help, struct err *err);
void cli_free_options(const struct cli_option *table, void *options);
void cli_print_help(const struct cli_command *command);
void cli_print_usage(void);
/* The manual page moat(8) in man(7)'s language. */
void cli_print_man(void);
/* The row of that name, or NULL. */
const struct cli_command *cli_find_command(const char *name);
/* One line, as text or JSON, level "error" / "warning": to standard error, and to the log where one
 * is given.  Warnings go to the log alone then: standard error may be the container's. */
void cli_report(const struct cli_globals *globals, const char *level, const char *message);

/* Every isolation there is; ends with NULL. */
extern const struct isolation_ops *const g_isolations[];
/* What the global options mean for the life cycle; no log of a sandbox. */
/* Whether this is no root of the host: an ordinary user, or root of a user namespace, as under
 * rootless Podman. */
bool cli_is_rootless(void);
/* A user's name, or "#UID"; valid until the next call. */
const char *cli_owner_name(uint32_t uid);
struct runtime cli_runtime(const struct cli_globals *globals);
/*
 * The isolation for a new container: by `option` (--isolation, or NULL), c's annotations, the name
 * of the program and /etc/moat/moat.conf (`bundle`: what relative paths of annotations mean); fills
 * what the settings and annotations say in *c, which the command's own options come after.
 */
must_check int cli_apply_settings(const struct cli_globals *globals, const char *option,
                                  const char *bundle, struct container *c,
                                  const struct isolation_ops **out, struct err *err);
/* Opens the log of a sandbox where one is asked for: descriptor, -1 for none, or -errno. */
must_check int cli_open_log(const struct cli_globals *globals, bool wanted, int *out_fd,
                            struct err *err);

#endif
