/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the monitor, which speaks moat/control.h over a socket as it does to a Sentry, and the
 * agent, which speaks moat/agent.h over a byte stream: passes records on, and pumps the processes'
 * standard streams.
 *
 * Trust: the agent's side is the guest's and hostile.  What it sends is checked here (mux.h, and
 * types, sizes and names below) and by the monitor again.  The process that runs this holds nothing
 * but its two connections and the streams, has no privileges and an empty root.
 */
#ifndef MOAT_VM_BRIDGE_H
#define MOAT_VM_BRIDGE_H

#include "base/types.h"
#include "moat/agent.h"

struct bridge_options {
    int control, agent; /* the two connections; taken over */
    /* -1, or where the agent's connection comes by vsock, from `cid`: `agent` then ends with the
     * machine, and says nothing. */
    int listener;
    uint32_t cid;
    int log;                                    /* gets a line about the start, or -1 */
    int console;                                /* what the guest's console says, or -1 */
    uint64_t start_ns;                          /* when that began, by CLOCK_MONOTONIC */
    uint32_t export_count;                      /* of the shared folder */
    uint32_t start_timeout_s, answer_timeout_s; /* 0: any time */
    uint32_t disk;                              /* MOAT_AGENT_DISK_* */
    bool restored;                              /* from a template */
    uint32_t plugged;                           /* restored: as in struct moat_agent_welcome */
    uint8_t entropy[MOAT_AGENT_ENTROPY];
    /* Describes an early end of the machine; asked when that is to be told. */
    void (*why)(char *text, size_t size);
};

/* Serves until one of the two is gone. */
void bridge_run(const struct bridge_options *options);

#endif
