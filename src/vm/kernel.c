/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the kernel out of a bzImage: see image.h.  Sources: the kernel's
 * Documentation/x86/boot.rst (setup header: setup_sects, payload_offset, payload_length) and the
 * LZ4 frame documentation (legacy frame, block format).
 *
 * The file comes from the administrator; all offsets in it are checked all the same.
 */
#include "vm/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNPACKED_MAX (256u * 1024u * 1024u)
#define LZ4_LEGACY   0x184c2102u
#define LZ4_BLOCK    (8u * 1024u * 1024u) /* at most, unpacked */

struct reader {
    const uint8_t *at, *end;
};

static uint32_t read32(const void *from) {
    uint32_t value;
    memcpy(&value, from, sizeof(value)); /* little endian, as this machine */
    return value;
}

/* A length's further bytes: each 255 is followed by another. */
static bool read_length(struct reader *r, size_t *length) {
    uint8_t byte = 255;
    while (byte == 255) {
        if (r->at == r->end) {
            return false;
        }
        byte = *r->at++;
        *length += byte;
    }
    return true;
}

/* One block; matches reach back into this block alone. */
static bool unpack_block(struct reader r, char *out, size_t max, size_t *out_size) {
    size_t done = 0;
    while (r.at < r.end) {
        uint8_t token = *r.at++;
        size_t literals = token >> 4, match = token & 15;
        if ((literals == 15 && !read_length(&r, &literals)) || literals > (size_t)(r.end - r.at) ||
            literals > max - done) {
            return false;
        }
        memcpy(out + done, r.at, literals);
        r.at += literals;
        done += literals;
        if (r.at == r.end) {
            break; /* the last sequence has literals only */
        }
        if (r.end - r.at < 2) {
            return false;
        }
        size_t back = (size_t)r.at[0] | (size_t)r.at[1] << 8;
        r.at += 2;
        if ((match == 15 && !read_length(&r, &match)) || back == 0 || back > done) {
            return false;
        }
        match += 4;
        if (match > max - done) {
            return false;
        }
        for (size_t i = 0; i < match; i++, done++) { /* may overlap itself */
            out[done] = out[done - back];
        }
    }
    *out_size = done;
    return true;
}

static bool unpack_payload(struct reader r, char *out, size_t *out_size) {
    size_t done = 0;
    while (r.end - r.at >= 4) {
        uint32_t size = read32(r.at);
        r.at += 4;
        if (size > (size_t)(r.end - r.at)) {
            break; /* the payload ends with its unpacked size */
        }
        size_t n = 0;
        struct reader block = {r.at, r.at + size};
        if (!unpack_block(block, out + done, MIN(UNPACKED_MAX - done, (size_t)LZ4_BLOCK), &n)) {
            return false;
        }
        r.at += size;
        done += n;
    }
    *out_size = done;
    return done > 4 && memcmp(out, "\177ELF", 4) == 0;
}

/* The payload of a bzImage; false when there is none of the kind that we can unpack. */
static bool find_payload(const char *file, size_t size, struct reader *out) {
    if (size < 0x250 || memcmp(file + 0x202, "HdrS", 4) != 0) {
        return false;
    }
    uint8_t sectors = (uint8_t)file[0x1f1];
    uint64_t start = ((uint64_t)(sectors == 0 ? 4 : sectors) + 1) * 512 + read32(file + 0x248);
    uint64_t length = read32(file + 0x24c);
    if (start > size || length > size - start || length < 8 || read32(file + start) != LZ4_LEGACY) {
        return false;
    }
    const uint8_t *at = (const uint8_t *)file + start;
    *out = (struct reader){at + 4, at + length};
    return true;
}

int kernel_unpack(const char *file, size_t size, char **out, size_t *out_size) {
    struct reader payload;
    if (find_payload(file, size, &payload)) {
        char *kernel = malloc(UNPACKED_MAX); /* touched as far as it is filled */
        if (kernel == NULL) {
            return -ENOMEM;
        }
        if (unpack_payload(payload, kernel, out_size)) {
            *out = kernel;
            return 0;
        }
        free(kernel);
    }
    *out = malloc(size + 1);
    if (*out == NULL) {
        return -ENOMEM;
    }
    memcpy(*out, file, size);
    *out_size = size;
    return 0;
}
