/* SPDX-License-Identifier: Apache-2.0 */
/* What `moat check` finds out about this host; nothing here changes it. */
#ifndef MOAT_CLI_CHECKS_H
#define MOAT_CLI_CHECKS_H

#include "base/types.h"

enum check_state {
    CHECK_OK,
    CHECK_LIMITED, /* works, with less: slower, without limits, ... */
    CHECK_MISSING, /* the isolation does not run without */
};

#define CHECKS_MAX 16u

struct check {
    const char *name;
    enum check_state state;
    char detail[320];
    char mend[320]; /* what to do, best a command; "" when there is nothing to do */
};

struct check_list {
    const char *isolation;
    bool offered; /* this moat has it */
    struct check items[CHECKS_MAX];
    size_t count;
};

/* Adds a check; `detail` as in printf. */
struct check *check_add(struct check_list *list, const char *name, enum check_state state,
                        const char *detail, ...) printf_like(4, 5);
/* Sets what mends it. */
void check_mend(struct check *c, const char *format, ...) printf_like(2, 3);
/* False when anything is missing. */
bool check_usable(const struct check_list *list);

/* What /etc/moat/moat.conf says about list->isolation, which is set. */
void checks_settings(struct check_list *list);
void checks_sentry(struct check_list *list);
void checks_native(struct check_list *list);
void checks_vm(struct check_list *list);

#endif
