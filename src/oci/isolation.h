/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an isolation offers to those who run containers; they know it through this table alone.
 */
#ifndef MOAT_OCI_ISOLATION_H
#define MOAT_OCI_ISOLATION_H

#include "host/err.h"
#include "oci/container.h"

struct isolation_run {
    const int *stdio; /* three descriptors; with a terminal the first is one, and raw meanwhile */
    int log_fd;       /* -1: no log of the sandbox */
    bool debug, log_json;
    bool wait_start; /* create only: the process starts when a client of listen_fd says so */
    int listen_fd;   /* listening control socket (moat/control.h) to serve, or -1; consumed */
    /* The process exists (wait_start: not yet started); may be NULL.  A failure ends the run. */
    int (*on_created)(void *arg, struct err *err);
    /* The process is gone; may be NULL. */
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

struct isolation_ops {
    const char *name;
    /* Runs c's process and waits for its end, the calling process being its monitor.  0 with
     * *out_wait_status, or -errno with *err and nothing left behind. */
    int (*run)(const struct container *c, const struct isolation_run *run, int *out_wait_status,
               struct err *err);
};

#endif
