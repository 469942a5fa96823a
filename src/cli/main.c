/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `moat`: global options, the command table, and how errors are said.
 *
 * Exit status: that of the command (a container's where one ran), 1 when something failed, 2 for
 * wrong usage.
 */
#include "cli/cli.h"
#include "cli/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct cli_option g_global_options[] = {
    {"root", 0, OPT_TEXT, offsetof(struct cli_globals, root), "DIR",
     "folder that keeps the state of containers"},
    {"log", 0, OPT_TEXT, offsetof(struct cli_globals, log), "FILE",
     "write errors and the sandbox's log there"},
    {"log-format", 0, OPT_TEXT, offsetof(struct cli_globals, log_format), "text|json",
     "how log lines look"},
    {"debug", 0, OPT_FLAG, offsetof(struct cli_globals, debug), NULL, "log more"},
    {"systemd-cgroup", 0, OPT_FLAG, offsetof(struct cli_globals, systemd_cgroup), NULL,
     "make control groups through systemd"},
    {"rootless", 0, OPT_TEXT, offsetof(struct cli_globals, rootless), "true|false|auto",
     "whether limits that are out of reach are left out (default auto: not for root)"},
    {"criu", 0, OPT_TEXT, offsetof(struct cli_globals, criu), "PATH",
     "the CRIU of checkpoint and restore (default: criu, on the PATH)"},
    {"version", 'v', OPT_FLAG, offsetof(struct cli_globals, version), NULL, "show the version"},
    {0},
};

/* clang-format off */
const struct cli_command *const g_commands[] = {
    &g_cmd_do,
    &g_cmd_run,
    &g_cmd_create,
    &g_cmd_start,
    &g_cmd_exec,
    &g_cmd_state,
    &g_cmd_list,
    &g_cmd_ps,
    &g_cmd_kill,
    &g_cmd_pause,
    &g_cmd_resume,
    &g_cmd_update,
    &g_cmd_events,
    &g_cmd_checkpoint,
    &g_cmd_restore,
    &g_cmd_wait,
    &g_cmd_delete,
    &g_cmd_spec,
    &g_cmd_features,
    &g_cmd_check,
    &g_cmd_install,
    &g_cmd_guest,
    &g_cmd_completion,
    &g_cmd_help,
    NULL,
};
/* clang-format on */

/* Length of the UTF-8 sequence at p (RFC 3629), 0: none. */
static size_t utf8_len(const unsigned char *p) {
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++) {
        n = (p[i] & 0xc0) == 0x80 ? n : 0; /* ends at the text's end, too */
    }
    return n;
}

/* Messages quote what somebody gave: no control character of it reaches a terminal, and a line of
 * the log is one line of JSON that everybody can read. */
static void clean(const char *from, char *to, size_t size) {
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)from; *p != '\0' && used + 5 < size;) {
        size_t n = utf8_len(p);
        if (n == 0 || *p == 0x7f || *p < ' ') {
            to[used++] = *p == '\n' || *p == '\t' ? ' ' : '?';
            p++;
            continue;
        }
        memcpy(to + used, p, n);
        used += n;
        p += n;
    }
    to[used] = '\0';
}

static void report_json(FILE *out, const char *level, const char *message, const char *when) {
    struct json_object *line = json_object_new_object();
    if (line == NULL) {
        return; /* without memory there is nothing better to say */
    }
    (void)json_object_object_add(line, "level",
                                 json_object_new_string(level)); /* shown as null if it fails */
    (void)json_object_object_add(line, "msg", json_object_new_string(message));
    (void)json_object_object_add(line, "time", json_object_new_string(when));
    fprintf(out, "%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
    json_object_put(line);
}

void cli_report(const struct cli_globals *globals, const char *level, const char *text) {
    char when[40], message[8192];
    clean(text, message, sizeof(message));
    time_t now = time(NULL);
    struct tm tm;
    bool json = globals->log_format != NULL && strcmp(globals->log_format, "json") == 0;
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm)); /* fits */
    FILE *log = globals->log != NULL ? fopen(globals->log, "ae") : NULL;
    if (log != NULL && json) {
        report_json(log, level, message, when);
    } else if (log != NULL) {
        fprintf(log, "%s %s: %s\n", when, level, message);
    }
    if (log != NULL) {
        (void)fclose(log); /* standard error has errors too */
    }
    if (log != NULL && strcmp(level, "warning") == 0) {
        return; /* engines read standard output and error of some commands together */
    }
    if (json && log == NULL) {
        report_json(stderr, level, message, when);
    } else {
        fprintf(stderr, "moat: %s%s\n", strcmp(level, "warning") == 0 ? "warning: " : "", message);
    }
}

/* Engines read errors there: without it they would not learn why a command failed. */
static int check_log(struct cli_globals *globals, struct err *err) {
    int fd = globals->log == NULL
                 ? -1
                 : open(globals->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 && globals->log != NULL) {
        int e = err_sys(err, -errno, "cannot open the log %s", globals->log);
        globals->log = NULL;
        return e;
    }
    if (fd >= 0) {
        (void)close(fd); /* nothing was written */
    }
    return 0;
}

static int usage_error(const struct cli_globals *globals, const struct err *err) {
    cli_report(globals, "error", err->msg);
    return EXIT_USAGE;
}

/* The state folder of who names none. */
static const char *default_root(void) {
    static char rootless[4096];
    const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
    bool is_root = geteuid() == 0 && (runtime_dir == NULL || !cli_is_rootless());
    if (runtime_dir != NULL) {
        (void)snprintf(rootless, sizeof(rootless), "%s/moat", runtime_dir); /* fits, as this */
    } else {
        (void)snprintf(rootless, sizeof(rootless), "/tmp/moat-%u", (unsigned)geteuid());
    }
    return is_root ? "/run/moat" : rootless;
}

static int check_globals(struct cli_globals *globals, struct err *err) {
    if (globals->log_format != NULL && strcmp(globals->log_format, "text") != 0 &&
        strcmp(globals->log_format, "json") != 0) {
        int e = err_set(err, -EINVAL, "--log-format is 'text' or 'json', not '%s'",
                        globals->log_format);
        globals->log_format = NULL;
        return e;
    }
    static const char *const rootless_words[] = {"auto", "true", "false", NULL};
    if (globals->rootless != NULL &&
        parse_choice(globals->rootless, "--rootless", rootless_words, err) < 0) {
        return -EINVAL;
    }
    globals->default_root = default_root();
    globals->root = globals->root != NULL ? globals->root : globals->default_root;
    return 0;
}

static int run_command(const struct cli_globals *globals, const struct cli_command *command,
                       int argc, char **argv) {
    struct err err = {0};
    bool help = false;
    void *options = calloc(1, command->options_size + 1);
    if (options == NULL) {
        (void)err_set(&err, -ENOMEM, "out of memory");
        return usage_error(globals, &err);
    }
    int first = cli_parse(command->options, options, argc, argv, command->name, &help, &err);
    int status;
    if (help) {
        cli_print_help(command);
        status = 0;
    } else if (first < 0) {
        status = usage_error(globals, &err);
    } else if (argc - first < command->min_args) {
        (void)err_set(&err, -EINVAL, "%s: %s is missing: see 'moat %s --help'", command->name,
                      command->args_help, command->name);
        status = usage_error(globals, &err);
    } else if (command->max_args >= 0 && argc - first > command->max_args) {
        (void)err_set(&err, -EINVAL, "%s: '%s' is one argument too many: see 'moat %s --help'",
                      command->name, argv[first + command->max_args], command->name);
        status = usage_error(globals, &err);
    } else {
        status = command->run(globals, options, argc - first, argv + first, &err);
        bool lost = fflush(stdout) != 0 || ferror(stdout);
        if (lost && status == 0 && err.code == 0) {
            (void)err_set(&err, -EIO, "cannot write to standard output"); /* reported below */
            status = 1;
        }
        if (err.code != 0) {
            cli_report(globals, "error", err.msg);
        }
    }
    cli_free_options(command->options, options);
    free(options);
    return status;
}

/* Descriptors 0 to 2 must be open, or the next file opened would take their place. */
static void ensure_stdio(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= 2 && fcntl(fd, F_SETFD, 0) == 0);
    if (fd >= 0) {
        (void)close(fd); /* only probed */
    }
}

int main(int argc, char **argv) {
    struct cli_globals globals = {.program = argc > 0 ? argv[0] : NULL};
    struct err err = {0};
    ensure_stdio();
    int first = cli_parse(g_global_options, &globals, argc - 1, argv + 1, "", &globals.help, &err);
    if (first < 0 || check_globals(&globals, &err) != 0) {
        return usage_error(&globals, &err);
    }
    if (globals.version) {
        printf("moat version " MOAT_VERSION "\nspec: 1.2.0\n");
        return 0;
    }
    argc -= first + 1;
    argv += first + 1;
    if (globals.help || argc == 0) {
        cli_print_usage();
        return globals.help ? 0 : EXIT_USAGE;
    }
    if (check_log(&globals, &err) != 0) {
        (void)usage_error(&globals, &err);
        return 1;
    }
    const struct cli_command *command = cli_find_command(argv[0]);
    if (command != NULL) {
        return run_command(&globals, command, argc - 1, argv + 1);
    }
    (void)err_set(&err, -EINVAL, "unknown command '%s': 'moat --help' lists the commands", argv[0]);
    return usage_error(&globals, &err);
}
