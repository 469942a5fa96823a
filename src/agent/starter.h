/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a process of a container: a child of the agent that does what the commands create,
 * start and exec do on a host, by the same code (native/life.h), and ends.  So the agent itself
 * waits for nothing, and none of its descriptors is near a container.
 */
#ifndef MOAT_AGENT_STARTER_H
#define MOAT_AGENT_STARTER_H

#include "agent/box.h"

struct starter_job {
    struct box *box;
    struct container_process *process; /* EXEC; NULL: the first process of the box */
    int link;                          /* SOCK_SEQPACKET to the agent */
    int stdio[3];                      /* of the process; with a terminal unused */
};

/*
 * What goes over the link: a report; it is the process's number with the master of its terminal, or
 * a failure.  After a created process's first one, the agent sends a byte to start it; then the end
 * of the connection says that the program runs, and another report why it does not.
 */
struct starter_report {
    struct err err; /* code 0: made */
    int32_t pid;
};

noreturn_fn void starter_main(const struct starter_job *job);

#endif
