/* SPDX-License-Identifier: Apache-2.0 */
/* Owned descriptors and memory: cleanup_* frees at scope end, steal_* hands on. */
#ifndef MOAT_HOST_CLEANUP_H
#define MOAT_HOST_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd_fn(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd); /* nothing can be done about a failing close here */
    }
}
#define cleanup_fd __attribute__((cleanup(cleanup_fd_fn)))

static inline void cleanup_free_fn(void *p) {
    free(*(void **)p);
}
/* A variable may be there for its end alone, which clang takes for no use. */
#define cleanup_free __attribute__((cleanup(cleanup_free_fn), unused))

static inline int steal_fd(int *fd) {
    int out = *fd;
    *fd = -1;
    return out;
}

static inline void *steal_ptr_fn(void *p) {
    void *out = *(void **)p;
    *(void **)p = NULL;
    return out;
}
#define steal_ptr(p) ((__typeof__(*(p)))steal_ptr_fn(p))

#endif
