/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules made small and quick to load. */
#ifndef MOAT_VM_MODULE_H
#define MOAT_VM_MODULE_H

#include "base/types.h"

/*
 * Leaves out of a module, in place, what a kernel only uses to trace, unwind or patch it: sections
 * that nothing else refers to.  Loading takes half the time then.  The new size; the old one with
 * nothing changed when the file is no module as known.
 */
size_t module_slim(char *data, size_t size);

#endif
