/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of isolation `vm`: see inside.h. */
#include "agent/inside.h"

#include "native/life.h"

const struct inside g_inside = {
    .create = native_create, .exec = native_exec, .start = native_start};
