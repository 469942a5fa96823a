/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target defines LLVMFuzzerTestOneInput.  It is built twice: with replay.c, for a short run
 * that is the same every time, as part of the tests; and with clang's libFuzzer where there is one
 * (`ninja tests/fuzz/oci_config`), for long runs by hand.
 */
#ifndef MOAT_TEST_FUZZ_H
#define MOAT_TEST_FUZZ_H

#include "base/types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
