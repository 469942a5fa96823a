/* SPDX-License-Identifier: Apache-2.0 */
/* Who chooses the isolation: settings.h, docs/configuration.md "Who chooses". */
#include "oci/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int kind_of(const char *name) {
    for (int kind = 0; kind < ISOLATION_KINDS; kind++) {
        if (strcmp(name, isolation_kind_name((enum isolation_kind)kind)) == 0) {
            return kind;
        }
    }
    return -1;
}

/* "moat-native", at the end of a path or not; another name asks for nothing. */
static int kind_of_program(const char *program) {
    const char *slash = program == NULL ? NULL : strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;
    return name != NULL && strncmp(name, "moat-", 5) == 0 ? kind_of(name + 5) : -1;
}

static int unknown(const char *who, const char *name, struct err *err) {
    char shown[64];
    (void)snprintf(shown, sizeof(shown), "%s", name); /* cut */
    for (char *c = shown; *c != '\0'; c++) {
        *c = (char)(iscntrl((unsigned char)*c) ? '?' : *c);
    }
    int e = err_set(err, -EINVAL, "%s: '%s' is no isolation: it can be", who, shown);
    for (int kind = 0; kind < ISOLATION_KINDS; kind++) {
        err_append(err, "%s %s", kind > 0 ? "," : "",
                   isolation_kind_name((enum isolation_kind)kind));
    }
    return e;
}

static int check_allowed(const struct settings *s, enum isolation_kind kind, const char *who,
                         struct err *err) {
    if ((s->allowed >> kind & 1) != 0) {
        return 0;
    }
    int e = err_set(err, -EPERM, "isolation '%s' (%s) is not allowed by %s, which allows",
                    isolation_kind_name(kind), who, s->path);
    const char *comma = "";
    for (int k = 0; k < ISOLATION_KINDS; k++) {
        if ((s->allowed >> k & 1) != 0) {
            err_append(err, "%s %s", comma, isolation_kind_name((enum isolation_kind)k));
            comma = ",";
        }
    }
    return e;
}

/* `given` is what holds without the annotation. */
static int by_annotation(const struct settings *s, const char *name, enum isolation_kind given,
                         enum isolation_kind *out, struct err *err) {
    static const char who[] = "annotation dev.moat.isolation";
    int kind = kind_of(name);
    if (kind < 0) {
        return unknown(who, name, err);
    }
    if (s->annotation == SETTINGS_STRONGER && kind < (int)given) {
        return err_set(err, -EPERM,
                       "isolation '%s' (%s) is weaker than '%s', which holds otherwise: an "
                       "annotation may only strengthen the wall, unless " SETTINGS_PATH
                       " says 'annotation = any'",
                       isolation_kind_name((enum isolation_kind)kind), who,
                       isolation_kind_name(given));
    }
    *out = (enum isolation_kind)kind;
    return check_allowed(s, *out, who, err);
}

int settings_choose(const struct settings *s, const struct settings_request *request,
                    enum isolation_kind *out, struct err *err) {
    if (request->option != NULL) {
        int kind = kind_of(request->option);
        *out = (enum isolation_kind)kind;
        return kind < 0 ? unknown("--isolation", request->option, err)
                        : check_allowed(s, *out, "--isolation", err);
    }
    int program = kind_of_program(request->program);
    *out = program >= 0 ? (enum isolation_kind)program : s->isolation;
    if (request->annotation != NULL && s->annotation != SETTINGS_IGNORED) {
        return by_annotation(s, request->annotation, *out, out, err);
    }
    return check_allowed(s, *out, "the name moat was called by", err);
}
