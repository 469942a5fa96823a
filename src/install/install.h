/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registering moat with container engines: plans changes of their configuration files, shows them,
 * and writes them.
 *
 * An engine's planner reads its files and adds what should stand in them to the plan; nothing is
 * written before plan_apply.  Where the engine reads drop-in files, moat has one of its own; else
 * the file is merged, and what others wrote in it stays.
 */
#ifndef MOAT_INSTALL_INSTALL_H
#define MOAT_INSTALL_INSTALL_H

#include "base/types.h"
#include "host/err.h"

#define INSTALL_HANDLERS_MAX 16u
#define INSTALL_CHANGES_MAX  16u
#define INSTALL_FILE_MAX     (1u << 20) /* bytes of a configuration file */

/* A runtime as an engine shall know it. */
struct install_handler {
    const char *name; /* [A-Za-z0-9][A-Za-z0-9_.-]* */
    char program[4096];
};

struct install_change {
    char *path;
    char *before; /* NULL: the file is not there */
    char *after;  /* NULL: it goes */
};

struct install_plan {
    const char *etc;    /* the folder that stands for /etc */
    const char *folder; /* of moat's programs, absolute */
    bool remove, make_default;
    struct install_handler handlers[INSTALL_HANDLERS_MAX];
    size_t handler_count;
    struct install_change changes[INSTALL_CHANGES_MAX];
    size_t change_count;
    void (*warn)(void *arg, const char *message);
    void *arg;
};

struct install_engine {
    const char *name;
    const char *programs[4]; /* one of them shows that the engine is on this machine; NULL ends */
    int (*plan)(struct install_plan *p, struct err *err);
    const char *next; /* what is to be done when the files are written */
};

/* Ends with name NULL. */
extern const struct install_engine g_install_engines[];

/* Adds a runtime: `program` is one of moat's names, in the plan's folder. */
must_check int plan_add_handler(struct install_plan *p, const char *name, const char *program,
                                struct err *err);
/* Is it one of moat's programs, wherever it lies? */
bool plan_is_ours(const char *program);
/* The text of a file below `etc`, NUL-terminated, or NULL when there is none; free *out_path too.
 */
must_check int plan_read(const struct install_plan *p, const char *name, char **out_path,
                         char **out_text, struct err *err);
/* Takes path, before and after over.  A change that changes nothing is dropped. */
must_check int plan_add_change(struct install_plan *p, char *path, char *before, char *after,
                               struct err *err);
/* Shows a change as a diff of whole lines. */
void plan_show(const struct install_change *change);
/* Writes one change: a new file beside the old one that takes its place, mode and owner. */
must_check int plan_write(const struct install_change *change, struct err *err);
void plan_free(struct install_plan *p);

#endif
