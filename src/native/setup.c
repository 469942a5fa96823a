/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of set-up steps: see setup.h. */
#include "native/setup.h"

#include "host/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *words;
    setup_fn *run;
} g_steps[SETUP_KINDS] = {
#define SETUP_OP(kind, words, function) [SETUP_##kind] = {words, function},
#include "native/setup_ops.def"
#undef SETUP_OP
};

int setup_plan_add(struct setup_plan *plan, struct setup_op op) {
    if (plan->count == plan->cap) {
        size_t cap = plan->cap == 0 ? 64 : plan->cap * 2;
        struct setup_op *grown = reallocarray(plan->ops, cap, sizeof(*grown));
        if (grown == NULL) {
            cleanup_fd_fn(&op.fd);
            return -ENOMEM;
        }
        plan->ops = grown;
        plan->cap = cap;
    }
    plan->ops[plan->count++] = op;
    return 0;
}

void setup_plan_free(struct setup_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        cleanup_fd_fn(&plan->ops[i].fd);
    }
    free(plan->ops);
    *plan = (struct setup_plan){0};
}

int setup_run(struct setup *s, const struct setup_plan *plan, struct err *err) {
    for (size_t i = 0; i < plan->count; i++) {
        const struct setup_op *op = &plan->ops[i];
        struct err cause = {0};
        int e = g_steps[op->kind].run(s, op, &cause);
        if (e != 0) {
            if (cause.code == 0) {
                (void)err_sys(&cause, e, "%s", "the system call failed"); /* told below */
            }
            return err_set(err, e, "%s%s%s: %s", g_steps[op->kind].words,
                           op->subject[0] != '\0' ? " " : "", op->subject, cause.msg);
        }
    }
    return err_set(err, -EINVAL, "the set-up ended without a program");
}
