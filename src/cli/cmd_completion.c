/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moat completion: scripts that complete moat's command line, made from the command table.
 *
 * What an option's value is follows from what the table calls it: DIR, FILE and PATH are paths,
 * words with a bar between them are a choice.
 */
#include "cli/cli.h"
#include "cli/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct cli_option g_no_options[] = {{0}};

enum value_kind { VALUE_NONE, VALUE_ANY, VALUE_DIR, VALUE_FILE, VALUE_CHOICE };

/* "text|json", but not "UID|NAME" (which stand for something). */
static bool is_choice(const char *text) {
    if (text == NULL || strchr(text, '|') == NULL) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '|' && !islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '+') {
            return false;
        }
    }
    return true;
}

static enum value_kind value_kind(const struct cli_option *o) {
    if (o->kind == OPT_FLAG) {
        return VALUE_NONE;
    }
    return is_choice(o->arg)                                            ? VALUE_CHOICE
           : strcmp(o->arg, "DIR") == 0                                 ? VALUE_DIR
           : strcmp(o->arg, "FILE") == 0 || strcmp(o->arg, "PATH") == 0 ? VALUE_FILE
                                                                        : VALUE_ANY;
}

/* The words of a choice with `separator` between them. */
static void print_words(const char *choice, char separator) {
    for (const char *p = choice; *p != '\0'; p++) {
        putchar(*p == '|' ? separator : *p);
    }
}

/* Text inside single quotes of a shell; `more` are characters that get a backslash too. */
static void print_quoted(const char *text, const char *quote, const char *more) {
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            fputs(quote, stdout);
        } else if (strchr(more, *p) != NULL) {
            printf("\\%c", *p);
        } else {
            putchar(*p);
        }
    }
}

/* ---- bash ---- */

static void bash_patterns(const char *command, const struct cli_option *o) {
    printf("\"%s --%s\"", command, o->name);
    if (o->letter != 0) {
        printf(" | \"%s -%c\"", command, o->letter);
    }
}

/* Case branches that set `kind` and `words` for the options of one table that take a value. */
static void bash_values(const char *command, const struct cli_option *table) {
    static const char *const kinds[] = {
        [VALUE_ANY] = "any", [VALUE_DIR] = "dir", [VALUE_FILE] = "file", [VALUE_CHOICE] = "words"};
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        enum value_kind kind = value_kind(o);
        if (kind == VALUE_NONE) {
            continue;
        }
        printf("    ");
        bash_patterns(command, o);
        printf(") kind=%s", kinds[kind]);
        if (kind == VALUE_CHOICE) {
            printf(" words=\"");
            print_words(o->arg, ' ');
            printf("\"");
        }
        printf(" ;;\n");
    }
}

static void bash_options(const char *command, const struct cli_option *table) {
    printf("    \"%s\") words=\"", command);
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        printf("--%s ", o->name);
    }
    printf("--help\" ;;\n");
}

/* What the arguments of a command are. */
static void bash_arguments(const struct cli_command *c) {
    if (c->takes_container && strstr(c->synopsis, "ID...") != NULL) {
        printf("    %s) words=$(_moat_containers) ;;\n", c->name);
    } else if (c->takes_container) {
        printf(
            "    %s) if [[ $count == 0 ]]; then words=$(_moat_containers); else kind=file; fi ;;\n",
            c->name);
    } else if (is_choice(c->synopsis)) {
        printf("    %s) words=\"", c->name);
        print_words(c->synopsis, ' ');
        printf("\" ;;\n");
    } else if (strcmp(c->name, "help") == 0) {
        printf("    help) words=$commands ;;\n");
    } else if (c->max_args == -1) {
        printf("    %s) kind=command ;;\n", c->name);
    }
}

static void print_bash(void) {
    printf("# Completion of moat for bash, made by `moat completion bash`.\n"
           "_moat_value() { # sets kind (and words) of what the option $1 takes\n"
           "    case $1 in\n");
    bash_values("", g_global_options);
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        bash_values((*c)->name, (*c)->options);
    }
    printf("    *) kind= ;;\n    esac\n}\n\n"
           "_moat_options() {\n    case $1 in\n");
    bash_options("", g_global_options);
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        bash_options((*c)->name, (*c)->options);
    }
    printf("    esac\n}\n\n"
           "_moat_containers() {\n"
           "    command moat \"${root[@]}\" list --quiet 2>/dev/null\n"
           "}\n\n"
           "_moat() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} command= count=0 kind= words= option= word i\n"
           "    local -a root=()\n"
           "    local commands=\"");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        printf("%s%s", c == g_commands ? "" : " ", (*c)->name);
    }
    printf("\"\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        word=${COMP_WORDS[i]}\n"
           "        if [[ $kind ]]; then\n"
           "            [[ $word == = ]] && continue\n"
           "            [[ $option == --root ]] && root=(--root \"$word\")\n"
           "            kind= words=\n"
           "        elif [[ $word == -* && $count == 0 ]]; then\n"
           "            option=$word\n"
           "            _moat_value \"$command $word\"\n"
           "        elif [[ -z $command ]]; then\n"
           "            command=$word\n"
           "        else\n"
           "            ((count++))\n"
           "        fi\n"
           "    done\n"
           "    [[ $cur == = ]] && cur=\n"
           "    if [[ -z $kind ]]; then\n"
           "        if [[ $cur == -* && $count == 0 ]]; then\n"
           "            _moat_options \"$command\"\n"
           "        elif [[ -z $command ]]; then\n"
           "            words=$commands\n"
           "        else\n"
           "            case $command in\n");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        bash_arguments(*c);
    }
    printf("            esac\n"
           "        fi\n"
           "    fi\n"
           "    case $kind in\n"
           "    dir) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "
           "\"$cur\") ;;\n"
           "    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "
           "\"$cur\") ;;\n"
           "    command) mapfile -t COMPREPLY < <(compgen -c -- \"$cur\") ;;\n"
           "    any) COMPREPLY=() ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
           "    esac\n"
           "}\n"
           "complete -F _moat moat moat-native\n");
}

/* ---- zsh ---- */

static void zsh_action(const struct cli_option *o) {
    switch (value_kind(o)) {
    case VALUE_NONE:
        break;
    case VALUE_ANY:
        printf(":%s: ", o->arg);
        break;
    case VALUE_DIR:
        printf(":%s:_files -/", o->arg);
        break;
    case VALUE_FILE:
        printf(":%s:_files", o->arg);
        break;
    case VALUE_CHOICE:
        printf(":value:(");
        print_words(o->arg, ' ');
        printf(")");
        break;
    }
}

static void zsh_options(const struct cli_option *table, const char *indent) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        for (int form = o->letter != 0 ? 0 : 1; form < 2; form++) {
            if (form == 0) {
                printf("%s'%s-%c", indent, o->kind == OPT_LIST ? "*" : "", o->letter);
            } else {
                printf("%s'%s--%s%s", indent, o->kind == OPT_LIST ? "*" : "", o->name,
                       o->kind == OPT_FLAG ? "" : "=");
            }
            printf("[");
            print_quoted(o->help, "'\\''", "[]:");
            printf("]");
            zsh_action(o);
            printf("' \\\n");
        }
    }
    printf("%s'--help[show help]' \\\n", indent);
}

static void zsh_command(const struct cli_command *c) {
    printf("        (%s) _arguments \\\n", c->name);
    zsh_options(c->options, "            ");
    if (c->takes_container) {
        printf("            '1:container:($(moat list --quiet 2>/dev/null))' '*:argument:_files' "
               ";;\n");
    } else if (is_choice(c->synopsis)) {
        printf("            '1:word:(");
        print_words(c->synopsis, ' ');
        printf(")' ;;\n");
    } else if (strcmp(c->name, "help") == 0) {
        printf("            '1:command:(($commands))' ;;\n");
    } else {
        printf("            '*:argument:_files' ;;\n");
    }
}

static void print_zsh(void) {
    printf("#compdef moat moat-native\n"
           "# Completion of moat for zsh, made by `moat completion zsh`.\n"
           "_moat() {\n"
           "    local curcontext=$curcontext state line\n"
           "    typeset -A opt_args\n"
           "    local -a commands=(\n");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        printf("        '%s:", (*c)->name);
        print_quoted((*c)->summary, "'\\''", "");
        printf("'\n");
    }
    printf("    )\n    _arguments -C \\\n");
    zsh_options(g_global_options, "        ");
    printf("        '1:command:->command' '*::argument:->argument'\n"
           "    case $state in\n"
           "    (command) _describe command commands ;;\n"
           "    (argument)\n        case $words[1] in\n");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        zsh_command(*c);
    }
    printf("        esac ;;\n    esac\n}\n"
           "if [[ $funcstack[1] == _moat ]]; then _moat \"$@\"; else compdef _moat moat "
           "moat-native; fi\n");
}

/* ---- fish ---- */

static void fish_options(const char *condition, const struct cli_option *table) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        printf("complete -c moat -n '%s' -l %s", condition, o->name);
        if (o->letter != 0) {
            printf(" -s %c", o->letter);
        }
        switch (value_kind(o)) {
        case VALUE_NONE:
            break;
        case VALUE_ANY:
            printf(" -x");
            break;
        case VALUE_DIR:
            printf(" -x -a '(__fish_complete_directories)'");
            break;
        case VALUE_FILE:
            printf(" -r -F");
            break;
        case VALUE_CHOICE:
            printf(" -x -a '");
            print_words(o->arg, ' ');
            printf("'");
            break;
        }
        printf(" -d '");
        print_quoted(o->help, "\\'", "\\");
        printf("'\n");
    }
}

static void print_fish(void) {
    printf("# Completion of moat for fish, made by `moat completion fish`.\n"
           "complete -c moat -f\n"
           "complete -c moat-native -w moat\n");
    fish_options("__fish_use_subcommand", g_global_options);
    for (const struct cli_command *const *p = g_commands; *p != NULL; p++) {
        const struct cli_command *c = *p;
        char seen[96];
        (void)snprintf(seen, sizeof(seen), "__fish_seen_subcommand_from %s", c->name); /* fits */
        printf("complete -c moat -n __fish_use_subcommand -a %s -d '", c->name);
        print_quoted(c->summary, "\\'", "\\");
        printf("'\n");
        fish_options(seen, c->options);
        if (c->takes_container) {
            printf("complete -c moat -n '%s' -a '(moat list --quiet 2>/dev/null)'\n", seen);
        } else if (is_choice(c->synopsis)) {
            printf("complete -c moat -n '%s' -a '", seen);
            print_words(c->synopsis, ' ');
            printf("'\n");
        } else if (c->max_args == -1) {
            printf("complete -c moat -n '%s' -F\n", seen);
        }
    }
}

static int run_completion(const struct cli_globals *globals, void *options, int argc, char **argv,
                          struct err *err) {
    static const char *const shells[] = {"bash", "zsh", "fish", NULL};
    static void (*const print[])(void) = {print_bash, print_zsh, print_fish};
    int shell = parse_choice(argv[0], "the shell", shells, err);
    if (shell < 0) {
        return EXIT_USAGE;
    }
    print[shell]();
    return 0;
}

const struct cli_command g_cmd_completion = {
    .name = "completion",
    .synopsis = "bash|zsh|fish",
    .summary = "print a script that completes moat's command line",
    .description =
        "For bash: moat completion bash >/etc/bash_completion.d/moat, or in ~/.bashrc: source "
        "<(moat completion bash).  For zsh: moat completion zsh >DIR/_moat with a DIR of $fpath.  "
        "For fish: moat completion fish >~/.config/fish/completions/moat.fish.  'make install' "
        "puts all three where the shells look.",
    .options = g_no_options,
    .min_args = 1,
    .max_args = 1,
    .args_help = "the shell (bash, zsh or fish)",
    .run = run_completion,
};
