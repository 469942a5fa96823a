/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real moat-gofer over directories of a test's choice, reached through the Sentry's real channel
 * code. One Gofer a process: the channel's filter stays with the thread.
 */
#ifndef MOAT_TESTS_GOFER_FIXTURE_H
#define MOAT_TESTS_GOFER_FIXTURE_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../lib/counted_check.h"
#include "moat/gofer.h"

struct fixture_export {
    const char *path;
    uint32_t flags; /* MOAT_GOFER_EXPORT_* */
};

/* Starts `program` and connects; by_socket forces the plain hand-over.  Ends the test on failure.
 */
void fixture_start(const char *program, const struct fixture_export *exports, uint32_t count,
                   bool by_socket);
/* Ends the Gofer and returns its wait status. */
int fixture_stop(void);
pid_t fixture_pid(void);
/* The shared slots, for hostile writes. */
uint8_t *fixture_slots(void);
bool fixture_alive(void);

/*
 * One request: `body` and then up to two strings with their NULs.  The reply's body goes to `out`
 * (at most out_max bytes, the rest of `out` is zeroed); its length, or the reply's -errno.  A
 * donated descriptor goes to *out_fd (else -1).
 */
int64_t fuse_request(uint32_t opcode, uint64_t nodeid, const void *body, size_t body_len,
                     const char *name, const char *name2, void *out, size_t out_max, int *out_fd);
/* Node id of a child, or -errno. */
int64_t fuse_look(uint64_t dir, const char *name, struct fuse_entry_out *out);
/* Descriptor of an opened node, or -errno. */
int fuse_open_node(uint64_t node, int flags);

/* A fresh directory below $TMPDIR or /tmp, and its removal with all that is in it. */
const char *temp_dir_make(void);
void temp_dir_remove(const char *path);
/* A file with this text at dir/name; ends the test when it cannot. */
void temp_file_put(const char *dir, const char *name, const char *text);

#endif
