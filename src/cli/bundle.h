/* SPDX-License-Identifier: Apache-2.0 */
/* What create, run and restore share: reading a bundle, and staying with the container. */
#ifndef MOAT_CLI_BUNDLE_H
#define MOAT_CLI_BUNDLE_H

#include "cli/cli.h"

/*
 * Reads the bundle (NULL: the working directory) for container how->id, which is checked, and
 * applies settings and annotations: fills *c, and bundle, config and isolation of *how.  *out_text,
 * the caller's to free, stays in use by *how.
 */
must_check int bundle_read(const struct cli_globals *globals, const struct runtime *rt,
                           const char *bundle, const char *isolation, struct container *c,
                           struct lifecycle_create *how, char **out_text, struct err *err);
/* A terminal in the background needs somebody who takes its master. */
must_check int bundle_check_console(const struct container *c, const char *console_socket,
                                    bool background, struct err *err);

struct bundle_foreground {
    bool subreaper; /* adopt what the container leaves behind */
    bool keep;      /* do not delete it when it has ended */
};

/* Makes the container, starts it unless it was restored, and waits for its end. */
must_check int bundle_run(const struct runtime *rt, const struct bundle_foreground *foreground,
                          struct container *c, struct lifecycle_create *how, int *out_wait_status,
                          struct err *err);

#endif
