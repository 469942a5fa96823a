/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of a native container: making processes and dealing with them. */
#ifndef MOAT_NATIVE_LIFE_H
#define MOAT_NATIVE_LIFE_H

#include "native/plan.h"

/* One process that is being set up. */
struct spawn {
    struct plan_input in;
    struct setup_plan plan;
    struct seccomp_program seccomp;
    struct setup setup;       /* of the process */
    int sync[2];              /* the runtime's end, the process's end */
    uint64_t namespaces;      /* CLONE_NEW* that the process is cloned with */
    uint64_t join_early;      /* exec: CLONE_NEWPID, which only children enter */
    struct cgroup own_groups; /* of cgroup v1: the process enters them by itself */
    bool groups_filled;       /* nothing is left to the parent */
    pid_t pid;                /* as the caller sees it */
    bool listener_due;        /* the filter's listener is to be fetched and handed on */
};

/* Not as many processes as there may be, one more included: -EAGAIN with *err. */
must_check int spawn_check_room(const struct cgroup *cg, struct err *err);
/* In the parent, before anything is made: protects the binary, opens proc, compiles the filter.
 * `s` must be zeroed; spawn_end frees it, also after an error. */
must_check int spawn_begin(struct spawn *s, struct err *err);
/* Clones the process, which begins to carry out the plan.  s->pid is a child of the caller. */
must_check int spawn_clone(struct spawn *s, struct err *err);
/* Serves the process until it is ready (create), or its program runs. */
must_check int spawn_serve(struct spawn *s, const struct isolation_target *target, struct err *err);
/* Kills a process that could not be set up, and waits for it. */
void spawn_kill(struct spawn *s);
void spawn_end(struct spawn *s);
/* In a child: signals as a program expects them, none blocked and none ignored. */
void spawn_reset_signals(void);

/* Hands a seccomp listener, descriptor `number` of process `pid`, to linux.seccomp.listenerPath. */
must_check int listener_hand_over(const struct container *c, const char *state_json, pid_t pid,
                                  int number, struct err *err);

/* struct isolation_ops */
int native_create(const struct isolation_target *target, const struct isolation_setup *how,
                  pid_t *out_pid, struct err *err);
int native_start(const struct isolation_target *target, struct err *err);
int native_kill(const struct isolation_target *target, int signo, bool all, struct err *err);
int native_exec(const struct isolation_target *target, struct container_process *process,
                const struct isolation_setup *how, pid_t *out_pid, struct err *err);
int native_processes(const struct isolation_target *target, struct json_object **out,
                     struct err *err);
int native_destroy(const struct isolation_target *target, struct err *err);
int native_checkpoint(const struct isolation_target *target, const struct isolation_image *image,
                      struct err *err);
int native_restore(const struct isolation_target *target, const struct isolation_setup *how,
                   const struct isolation_image *image, pid_t *out_pid, struct err *err);
int native_run(const struct container *c, const struct isolation_run *run, int *out_wait_status,
               struct err *err);

/* When a process began, as in target->pid_start; -ESRCH when it is gone. */
must_check int native_start_time(const struct procfs *proc, pid_t pid, uint64_t *out);
/* A pidfd of the container's process, -ESRCH when it is gone or another has its number. */
must_check int native_pidfd(const struct isolation_target *target, struct err *err);

#endif
