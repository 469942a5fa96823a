/* SPDX-License-Identifier: Apache-2.0 */
/* Option parsing and help from the tables of cli.h.  Long options take --name VALUE and
 * --name=VALUE. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option *find_long(const struct cli_option *table, const char *text) {
    size_t len = strcspn(text, "=");
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        if (strlen(o->name) == len && strncmp(o->name, text, len) == 0) {
            return o;
        }
    }
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_option *table, char letter) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        if (o->letter == letter) {
            return o;
        }
    }
    return NULL;
}

static int store_number(const struct cli_option *o, void *field, const char *value,
                        struct err *err) {
    char *end;
    errno = 0;
    unsigned long v = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || v > UINT32_MAX) {
        return err_set(err, -EINVAL, "--%s takes a whole number, not '%s'", o->name, value);
    }
    *(uint32_t *)field = (uint32_t)v;
    return 0;
}

static int store(const struct cli_option *o, void *out, const char *value, struct err *err) {
    void *field = (char *)out + o->offset;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        return 0;
    case OPT_TEXT:
        *(const char **)field = value;
        return 0;
    case OPT_LIST:
        return strlist_add(field, value) == 0 ? 0 : err_sys(err, -ENOMEM, "--%s", o->name);
    case OPT_U32:
        return store_number(o, field, value, err);
    }
    return -EINVAL;
}

/* Handles argv[*at], moving *at to the last word that was used. */
static int parse_one(const struct cli_option *table, void *out, int argc, char **argv, int *at,
                     const char *command, struct err *err) {
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const struct cli_option *o = is_long ? find_long(table, word + 2) : find_letter(table, word[1]);
    const char *where = command[0] != '\0' ? command : "the commands";
    if (o == NULL) {
        return err_set(err, -EINVAL, "unknown option '%s': 'moat %s%s--help' lists those of %s",
                       word, command, command[0] != '\0' ? " " : "", where);
    }
    const char *inline_value = is_long ? strchr(word, '=') : NULL;
    if (o->kind == OPT_FLAG) {
        /* Engines write booleans as --flag=true too. */
        bool off = inline_value != NULL && strcmp(inline_value, "=false") == 0;
        if (inline_value != NULL && !off && strcmp(inline_value, "=true") != 0) {
            return err_set(err, -EINVAL, "option --%s takes no value, or true or false: '%s'",
                           o->name, word);
        }
        return off ? 0
               : is_long || word[2] == '\0'
                   ? store(o, out, NULL, err)
                   : err_set(err, -EINVAL, "give '%s' as separate options", word);
    }
    if (inline_value != NULL) {
        return store(o, out, inline_value + 1, err);
    }
    if (!is_long && word[2] != '\0') {
        return store(o, out, word + 2, err);
    }
    if (*at + 1 >= argc) {
        return err_set(err, -EINVAL, "option '%s' needs a value (%s)", word, o->arg);
    }
    *at += 1;
    return store(o, out, argv[*at], err);
}

int cli_parse(const struct cli_option *table, void *out, int argc, char **argv, const char *command,
              bool *out_help, struct err *err) {
    int i = 0;
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            return i + 1;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *out_help = true;
            return i;
        }
        int e = parse_one(table, out, argc, argv, &i, command, err);
        if (e != 0) {
            return e;
        }
    }
    return i;
}

void cli_free_options(const struct cli_option *table, void *options) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        if (o->kind == OPT_LIST) {
            strlist_free((struct strlist *)((char *)options + o->offset));
        }
    }
}

static void print_options(const struct cli_option *table) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        char left[64];
        char letter[8] = "    ";
        if (o->letter != 0) {
            (void)snprintf(letter, sizeof(letter), "-%c, ", o->letter); /* fits */
        }
        (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg != NULL ? " " : "",
                       o->arg != NULL ? o->arg : ""); /* a cut column is still readable */
        printf("  %-34s %s\n", left, o->help);
    }
    printf("  %-34s %s\n", "-h, --help", "show this help");
}

void cli_print_help(const struct cli_command *command) {
    printf("moat %s - %s\n\nUsage: moat [global options] %s%s%s\n\nOptions:\n", command->name,
           command->summary, command->name, command->synopsis[0] != '\0' ? " " : "",
           command->synopsis);
    print_options(command->options);
    if (command->description != NULL) {
        printf("\n%s\n", command->description);
    }
}

const struct cli_command *cli_find_command(const char *name) {
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) {
            return *c;
        }
    }
    return NULL;
}

void cli_print_usage(void) {
    printf("moat " MOAT_VERSION " - a secure container runtime\n\n"
           "Usage: moat [global options] COMMAND [options] [arguments]\n\nCommands:\n");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    }
    printf("\nGlobal options:\n");
    print_options(g_global_options);
    printf("\n'moat help COMMAND' tells more about a command.\n");
}
