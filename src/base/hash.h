/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash functions for tables whose keys a guest chooses: keyed, so that collisions cannot be
 * planned.
 */
#ifndef MOAT_BASE_HASH_H
#define MOAT_BASE_HASH_H

#include "base/types.h"

/* Sets the key once, before the first hash (128 random bits). */
void hash_seed(uint64_t k0, uint64_t k1);
/* Keyed hash of bytes (SipHash-1-3 class). */
uint64_t hash_bytes(const void *data, size_t len);
/* Keyed mix of one word. */
uint64_t hash_u64(uint64_t value);

#endif
