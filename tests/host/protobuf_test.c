/* SPDX-License-Identifier: Apache-2.0 */
/* host/protobuf.h: bytes of the format's own description ("Encoding"), a message there and back,
 * and every cut and every flipped bit of one. */
#include "host/protobuf.h"

#include "../unit/check.h"

#include <errno.h>
#include <string.h>

static void known_bytes(void) {
    static const uint8_t expected[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's', 't',
                                       'i',  'n',  'g',  0x1a, 0x03, 0x08, 0x96, 0x01};
    struct protobuf_out out = {0}, inner = {0};
    protobuf_add_number(&out, 1, 150);
    protobuf_add_text(&out, 2, "testing");
    protobuf_add_number(&inner, 1, 150);
    protobuf_add_message(&out, 3, &inner);
    CHECK(!out.failed && out.len == sizeof(expected) && memcmp(out.data, expected, out.len) == 0);
    protobuf_free(&out);
    protobuf_free(&inner);
}

static void there_and_back(void) {
    static const int64_t numbers[] = {0, 1, 127, 128, 300, INT32_MAX, INT64_MAX, -1, INT64_MIN};
    struct protobuf_out out = {0};
    struct protobuf_field f;
    for (uint32_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        protobuf_add_number(&out, i + 1, numbers[i]);
    }
    struct protobuf_in in = {out.data, out.len};
    for (uint32_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        CHECK(protobuf_next(&in, &f) == 1 && f.number == i + 1 && !f.is_bytes &&
              f.value == (uint64_t)numbers[i]);
    }
    CHECK(protobuf_next(&in, &f) == 0);
    protobuf_free(&out);
}

static void fixed_numbers(void) {
    static const uint8_t data[] = {0x0d, 1, 2, 3, 4, 0x11, 1, 0, 0, 0, 0, 0, 0, 0x80};
    struct protobuf_in in = {data, sizeof(data)};
    struct protobuf_field f;
    CHECK(protobuf_next(&in, &f) == 1 && f.number == 1 && f.value == 0x04030201);
    CHECK(protobuf_next(&in, &f) == 1 && f.number == 2 && f.value == UINT64_C(0x8000000000000001));
    CHECK(protobuf_next(&in, &f) == 0);
}

static void refused(void) {
    static const struct {
        uint8_t data[12];
        size_t len;
    } rows[] = {{{0x08}, 1},            /* a number that is missing */
                {{0x08, 0x80}, 2},      /* cut within */
                {{0x12, 0x05, 'a'}, 3}, /* longer than the message */
                {{0x0b}, 1},            /* a group */
                {{0x00, 0x00}, 2},      /* field 0 */
                {{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
                 12}, /* eleven bytes */
                {{0x0d, 1, 2, 3}, 4}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct protobuf_in in = {rows[i].data, rows[i].len};
        struct protobuf_field f;
        CHECK(protobuf_next(&in, &f) == -EINVAL);
    }
}

static void hostile(void) {
    struct protobuf_out out = {0};
    protobuf_add_number(&out, 1, 6);
    protobuf_add_text(&out, 5, "some text of a notification");
    protobuf_add_number(&out, 200, -7);
    for (size_t cut = 0; cut <= out.len; cut++) {
        for (size_t bit = 0; bit < 8 * cut; bit++) {
            uint8_t *copy = malloc(cut); /* its end is watched by the sanitizer */
            struct protobuf_field f;
            struct protobuf_in in = {copy, cut};
            char text[8];
            memcpy(copy, out.data, cut);
            copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            while (protobuf_next(&in, &f) > 0) {
                protobuf_copy_text(&f.bytes, text, sizeof(text));
                CHECK(strlen(text) < sizeof(text) && (f.is_bytes || f.bytes.len == 0));
            }
            free(copy);
        }
    }
    protobuf_free(&out);
}

static void too_long(void) {
    struct protobuf_out out = {0};
    static char block[70000];
    for (int i = 0; i < 20; i++) {
        protobuf_add_bytes(&out, 1, block, sizeof(block));
    }
    CHECK(out.failed && out.len <= PROTOBUF_MAX);
    protobuf_free(&out);
}

int main(void) {
    known_bytes();
    there_and_back();
    fixed_numbers();
    refused();
    hostile();
    too_long();
    return 0;
}
