/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format of protocol buffers (protobuf.dev, "Encoding"): writing and reading single
 * messages of known, small schemas, for peers that speak nothing else.
 *
 * Trust boundary: what is read may be anything; every length is checked against what is left, and
 * nothing is copied or allocated.
 */
#ifndef MOAT_HOST_PROTOBUF_H
#define MOAT_HOST_PROTOBUF_H

#include "base/types.h"

/* A message that is being written.  Zeroed to begin with, freed by protobuf_free. */
struct protobuf_out {
    uint8_t *data;
    size_t len, cap;
    bool failed; /* no memory, or longer than PROTOBUF_MAX: nothing is added any more */
};

#define PROTOBUF_MAX (1u << 20)

void protobuf_free(struct protobuf_out *out);
/* Fields of the types int32, uint32, int64, bool and enum; a negative number has ten bytes. */
void protobuf_add_number(struct protobuf_out *out, uint32_t field, int64_t value);
void protobuf_add_bytes(struct protobuf_out *out, uint32_t field, const void *data, size_t len);
void protobuf_add_text(struct protobuf_out *out, uint32_t field, const char *text);
/* `inner` as an embedded message; a failure of it is one of `out`. */
void protobuf_add_message(struct protobuf_out *out, uint32_t field,
                          const struct protobuf_out *inner);

/* What is left of a message that is being read. */
struct protobuf_in {
    const uint8_t *data;
    size_t len;
};

struct protobuf_field {
    uint32_t number;
    bool is_bytes;            /* text, bytes, an embedded message; else a number */
    uint64_t value;           /* a number; negative ones as two's complement of 64 bits */
    struct protobuf_in bytes; /* points into the message */
};

/* The next field: 1, 0 at the end, -EINVAL for what is no message. */
must_check int protobuf_next(struct protobuf_in *in, struct protobuf_field *out);
/* Copies text, ended with a NUL and cut to `size`; control characters become '?'. */
void protobuf_copy_text(const struct protobuf_in *bytes, char *out, size_t size);

#endif
