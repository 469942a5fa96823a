/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's serial console says, on its way to the log: the guest writes it, so only its
 * beginning is kept.
 */
#ifndef MOAT_VM_CONSOLE_H
#define MOAT_VM_CONSOLE_H

#include "base/types.h"

#define CONSOLE_MAX MIB

struct console {
    int in;       /* the hypervisor's stream, or -1 */
    int log;      /* stays the caller's */
    uint64_t out; /* bytes passed on */
};

/* Passes on what has come; all of it is read, whatever becomes of it.  Closes `in` at its end. */
void console_pump(struct console *c);
/* What is there and not read yet: a machine that dies says why last. */
void console_drain(struct console *c);

#endif
