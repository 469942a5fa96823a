/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target on the files given, then on `ROUNDS` mutations of them: bytes changed, taken
 * out and doubled, pieces of one file put into another.  The generator has a fixed seed.
 * usage: replay ROUNDS FILE...
 */
#include "check.h"
#include "fuzz.h"

#include <string.h>

#define INPUT_MAX 65536u
#define FILES_MAX 64

struct input {
    uint8_t bytes[INPUT_MAX];
    size_t len;
};

static struct input g_files[FILES_MAX];
static size_t g_file_count;

static void load(const char *path) {
    FILE *f = fopen(path, "re");
    CHECK(f != NULL && g_file_count < FILES_MAX);
    struct input *in = &g_files[g_file_count++];
    in->len = fread(in->bytes, 1, INPUT_MAX, f);
    CHECK(in->len > 0);
    (void)fclose(f); /* only read */
}

static void mutate(struct input *in, unsigned long *seed) {
    static const char tokens[] = "{}[]\",:0-9tfn\\\x00\xff\x7f ";
    unsigned long r = test_random(seed);
    size_t at = (r >> 8) % in->len, len = 1 + (r >> 40) % 16;
    if (at + len >= in->len) {
        return;
    }
    switch (r % 5) {
    case 0:
        in->bytes[at] = (uint8_t)(r >> 48);
        break;
    case 1:
        in->bytes[at] = (uint8_t)tokens[(r >> 48) % (sizeof(tokens) - 1)];
        break;
    case 2:
        memmove(in->bytes + at, in->bytes + at + len, in->len - at - len);
        in->len -= len;
        break;
    case 3:
        if (in->len + len <= INPUT_MAX) {
            memmove(in->bytes + at + len, in->bytes + at, in->len - at);
            in->len += len;
        }
        break;
    default: {
        const struct input *other = &g_files[(r >> 20) % g_file_count];
        size_t from = (r >> 24) % other->len;
        len = MIN(len, other->len - from);
        memcpy(in->bytes + at, other->bytes + from, MIN(len, in->len - at));
        break;
    }
    }
}

int main(int argc, char **argv) {
    static struct input in;
    unsigned long seed = 88172645463325252ul;
    CHECK(argc >= 3);
    for (int i = 2; i < argc; i++) {
        load(argv[i]);
        CHECK(LLVMFuzzerTestOneInput(g_files[i - 2].bytes, g_files[i - 2].len) == 0);
    }
    for (long round = strtol(argv[1], NULL, 10); round > 0; round--) {
        in = g_files[test_random(&seed) % g_file_count];
        for (unsigned long n = 1 + test_random(&seed) % 4; n > 0; n--) {
            mutate(&in, &seed);
        }
        /* Exactly as long as it is, so that reading beyond it is seen. */
        uint8_t *copy = malloc(in.len);
        CHECK(copy != NULL);
        memcpy(copy, in.bytes, in.len);
        CHECK(LLVMFuzzerTestOneInput(copy, in.len) == 0);
        free(copy);
    }
    return 0;
}
