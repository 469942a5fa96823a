/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), for names by content. */
#ifndef MOAT_HOST_SHA256_H
#define MOAT_HOST_SHA256_H

#include "base/types.h"

#define SHA256_TEXT 65u /* 64 hexadecimal digits and the end */

struct sha256 {
    uint32_t state[8];
    uint64_t len; /* bytes so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_text(struct sha256 *s, char out[SHA256_TEXT]);

#endif
