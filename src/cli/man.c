/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page moat(8) from the command table, in the macros of man(7). */
#include "cli/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Text as roff shows it literally; an empty line becomes a new paragraph. */
static void print_text(const char *text) {
    bool line_start = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (p[0] == '\n' && p[1] == '\n') {
            printf("\n.PP\n");
            p++;
            line_start = true;
            continue;
        }
        if (line_start && (*p == '.' || *p == '\'')) {
            printf("\\&");
        }
        if (*p == '-') {
            printf("\\-");
        } else if (*p == '\\') {
            printf("\\e");
        } else {
            putchar(*p);
        }
        line_start = *p == '\n';
    }
}

static void print_options(const struct cli_option *table) {
    for (const struct cli_option *o = table; o->name != NULL; o++) {
        printf(".TP\n\\fB");
        if (o->letter != 0) {
            printf("\\-%c\\fR, \\fB", o->letter);
        }
        printf("\\-\\-");
        print_text(o->name);
        printf("\\fR");
        if (o->arg != NULL) {
            printf(" \\fI");
            print_text(o->arg);
            printf("\\fR");
        }
        printf("\n");
        print_text(o->help);
        printf("\n");
    }
}

static void print_command(const struct cli_command *c) {
    printf(".SS \"moat %s", c->name);
    if (c->synopsis[0] != '\0') {
        putchar(' ');
        print_text(c->synopsis);
    }
    printf("\"\n%c", toupper((unsigned char)c->summary[0]));
    print_text(c->summary + 1);
    printf(".\n");
    if (c->description != NULL) {
        printf(".PP\n");
        print_text(c->description);
        printf("\n");
    }
    print_options(c->options);
}

void cli_print_man(void) {
    printf(".TH MOAT 8 \"\" \"moat " MOAT_VERSION "\" \"System Administration\"\n"
           ".SH NAME\nmoat \\- a secure container runtime\n"
           ".SH SYNOPSIS\n\\fBmoat\\fR [\\fIglobal options\\fR] \\fICOMMAND\\fR [\\fIoptions\\fR] "
           "[\\fIarguments\\fR]\n"
           ".SH DESCRIPTION\n");
    print_text(
        "moat runs containers behind walls of different kinds: sentry, an application kernel "
        "that answers the container's system calls itself, and native, namespaces and "
        "capabilities for trusted programs.\n\nIt has the command line of an OCI runtime, "
        "so Docker, Podman and containerd can call it in the place of another; 'moat do' "
        "runs one command in a sandbox without any of them.\n");
    printf(".SH \"GLOBAL OPTIONS\"\n");
    print_options(g_global_options);
    printf(".SH COMMANDS\n");
    for (const struct cli_command *const *c = g_commands; *c != NULL; c++) {
        print_command(*c);
    }
    printf(".SH \"EXIT STATUS\"\n");
    print_text("That of the container's process where the command waits for one (128 and the "
               "signal's number when a signal killed it), 0 on success, 1 when something failed, 2 "
               "for wrong usage; exec ends with 255 when the process could not be run, and do with "
               "127 or 126 when the program was not found or not executable.\n");
    printf(".SH ENVIRONMENT\n");
    printf(".TP\n\\fBXDG_RUNTIME_DIR\\fR\n");
    print_text("An ordinary user's state folder is moat in it.\n");
    printf(".TP\n\\fBNOTIFY_SOCKET\\fR, \\fBLISTEN_FDS\\fR\n");
    print_text("Passed on to the container by create and run, as a service manager sets them; the "
               "notification socket under isolation native alone.\n");
    printf(".SH FILES\n.TP\n\\fI/run/moat\\fR\n");
    print_text("The state of containers, a folder each (--root names another place).\n");
    printf(".SH \"SEE ALSO\"\n\\fBrunc\\fR(8), \\fBcrun\\fR(1), \\fBnamespaces\\fR(7), "
           "\\fBcgroups\\fR(7)\n");
}
