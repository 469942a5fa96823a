/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format of protocol buffers: see protobuf.h. */
#include "host/protobuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "Encoding", wire types. */
enum { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

void protobuf_free(struct protobuf_out *out) {
    free(out->data);
    *out = (struct protobuf_out){0};
}

static void add_raw(struct protobuf_out *out, const void *data, size_t len) {
    if (out->failed || len > PROTOBUF_MAX - out->len) {
        out->failed = true;
        return;
    }
    if (out->len + len > out->cap) {
        size_t cap = 2 * (out->len + len) + 64;
        uint8_t *more = realloc(out->data, cap);
        if (more == NULL) {
            out->failed = true;
            return;
        }
        out->data = more;
        out->cap = cap;
    }
    if (len > 0) {
        memcpy(out->data + out->len, data, len);
        out->len += len;
    }
}

static void add_varint(struct protobuf_out *out, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    add_raw(out, bytes, n);
}

void protobuf_add_number(struct protobuf_out *out, uint32_t field, int64_t value) {
    add_varint(out, (uint64_t)field << 3 | WIRE_VARINT);
    add_varint(out, (uint64_t)value);
}

void protobuf_add_bytes(struct protobuf_out *out, uint32_t field, const void *data, size_t len) {
    add_varint(out, (uint64_t)field << 3 | WIRE_LEN);
    add_varint(out, len);
    add_raw(out, data, len);
}

void protobuf_add_text(struct protobuf_out *out, uint32_t field, const char *text) {
    protobuf_add_bytes(out, field, text, strlen(text));
}

void protobuf_add_message(struct protobuf_out *out, uint32_t field,
                          const struct protobuf_out *inner) {
    out->failed = out->failed || inner->failed;
    protobuf_add_bytes(out, field, inner->data, inner->len);
}

/* ---- reading ---- */

static void skip(struct protobuf_in *in, size_t len) {
    in->data += len;
    in->len -= len;
}

static int take_varint(struct protobuf_in *in, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned int shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t byte = in->data[0];
        skip(in, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return 0;
        }
    }
    return -EINVAL;
}

static int take_fixed(struct protobuf_in *in, size_t len, uint64_t *out) {
    if (in->len < len) {
        return -EINVAL;
    }
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        *out |= (uint64_t)in->data[i] << (8 * i);
    }
    skip(in, len);
    return 0;
}

static int take_bytes(struct protobuf_in *in, struct protobuf_in *out) {
    uint64_t len = 0;
    if (take_varint(in, &len) != 0 || len > in->len) {
        return -EINVAL;
    }
    *out = (struct protobuf_in){in->data, (size_t)len};
    skip(in, (size_t)len);
    return 0;
}

int protobuf_next(struct protobuf_in *in, struct protobuf_field *out) {
    uint64_t tag = 0;
    int e;
    *out = (struct protobuf_field){0};
    if (in->len == 0) {
        return 0;
    }
    if (take_varint(in, &tag) != 0 || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) {
        return -EINVAL;
    }
    out->number = (uint32_t)(tag >> 3);
    out->is_bytes = (tag & 7) == WIRE_LEN;
    switch (tag & 7) {
    case WIRE_VARINT:
        e = take_varint(in, &out->value);
        break;
    case WIRE_I64:
        e = take_fixed(in, 8, &out->value);
        break;
    case WIRE_I32:
        e = take_fixed(in, 4, &out->value);
        break;
    case WIRE_LEN:
        e = take_bytes(in, &out->bytes);
        break;
    default: /* groups are no part of any schema here */
        e = -EINVAL;
    }
    return e == 0 ? 1 : e;
}

void protobuf_copy_text(const struct protobuf_in *bytes, char *out, size_t size) {
    size_t len = bytes->len < size - 1 ? bytes->len : size - 1;
    for (size_t i = 0; i < len; i++) {
        out[i] = bytes->data[i] >= ' ' && bytes->data[i] != 0x7f ? (char)bytes->data[i] : '?';
    }
    out[len] = '\0';
}
