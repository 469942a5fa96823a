/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small lock between host threads of the Sentry: short sections, no allocation, futex when
 * contended.
 *
 * Order (outer first): space lock > thread table > vCPU queue > pools.  Nothing is called back into
 * the kernel under any of them.
 */
#ifndef MOAT_PLATFORM_PLOCK_H
#define MOAT_PLATFORM_PLOCK_H

#include "base/atomic.h"
#include "platform/hal/sys.h"

#include <linux/futex.h>

struct plock {
    uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
};

static inline void plock_lock(struct plock *l) {
    uint32_t seen = 0;
    if (likely(atomic_cas(&l->word, &seen, 1u))) {
        return;
    }
    for (int i = 0; i < 200; i++) {
        seen = 0;
        if (atomic_load_relaxed(&l->word) == 0 && atomic_cas(&l->word, &seen, 1u)) {
            return;
        }
        __builtin_ia32_pause();
    }
    while (atomic_exchange(&l->word, 2u) != 0) {
        /* spurious and interrupted returns look at the word again */
        (void)sys4(SYS_futex, (long)&l->word, FUTEX_WAIT_PRIVATE, 2, 0);
    }
}

static inline void plock_unlock(struct plock *l) {
    if (unlikely(atomic_exchange(&l->word, 0u) == 2)) {
        (void)sys3(SYS_futex, (long)&l->word, FUTEX_WAKE_PRIVATE, 1); /* nobody there is fine */
    }
}

#endif
