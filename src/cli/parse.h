/* SPDX-License-Identifier: Apache-2.0 */
/* Values that several commands take. */
#ifndef MOAT_CLI_PARSE_H
#define MOAT_CLI_PARSE_H

#include "host/err.h"
#include "oci/container.h"

/* "512m", "1g", "1048576": bytes.  Suffixes k, m, g (powers of 1024), optionally followed by b. */
must_check int parse_size(const char *text, const char *option, uint64_t *out_bytes,
                          struct err *err);
/* "UID" or "UID:GID", numbers. */
must_check int parse_user(const char *text, uint32_t *out_uid, uint32_t *out_gid, struct err *err);
/* "SRC:DST" or "SRC:DST:ro|rw": adds a bind mount.  SRC must exist; DST must be absolute. */
must_check int parse_volume(const char *text, struct container *c, struct err *err);
/* Which of NULL-terminated `words` the value is: its index; words[0] when text is NULL. */
must_check int parse_choice(const char *text, const char *option, const char *const *words,
                            struct err *err);
/* A decimal number below 2^32-1. */
must_check int parse_number(const char *text, const char *option, uint32_t *out, struct err *err);
/* A signal's number from "9", "KILL" or "SIGKILL". */
must_check int parse_signal(const char *text, struct err *err);
/* Exit status of the shell for a wait status: code, or 128 + signal. */
int exit_status_of(int wait_status);

#endif
