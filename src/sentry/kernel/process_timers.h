/* SPDX-License-Identifier: Apache-2.0 */
/* The timers of a process, made when the first one is used (itimer.c, posix_timer.c). */
#ifndef MOAT_SENTRY_PROCESS_TIMERS_H
#define MOAT_SENTRY_PROCESS_TIMERS_H

#include "base/radix.h"
#include "kernel/clock_timer.h"

struct process;

struct posix_timers {
    struct clock_timer interval[3]; /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
    struct clock_timer cpu_limit;   /* RLIMIT_CPU */
    struct mutex lock;  /* guards the rest; held while a POSIX timer is looked up and used */
    struct radix by_id; /* id + 1 -> struct posix_timer * */
    int32_t next_id;
};

/* The process's timers; makes them if needed (NULL without memory) or only looks (`create` false).
 */
struct posix_timers *process_timers_get(struct process *p, bool create);
/* Frees all POSIX timers of the process. */
void posix_timers_clear(struct posix_timers *pt);

#endif
