/* SPDX-License-Identifier: Apache-2.0 */
/* The host's clocks as numbers: clock_gettime(2). */
#ifndef MOAT_HOST_CLOCK_H
#define MOAT_HOST_CLOCK_H

#include "base/types.h"

#include <time.h>

static inline uint64_t clock_now_ns(clockid_t clock) {
    struct timespec ts;
    (void)clock_gettime(clock, &ts); /* cannot fail with a clock that there is */
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Of CLOCK_MONOTONIC: for time-outs. */
static inline int64_t clock_now_ms(void) {
    return (int64_t)(clock_now_ns(CLOCK_MONOTONIC) / NSEC_PER_MSEC);
}

#endif
