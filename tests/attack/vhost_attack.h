/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of vhost_attack share. */
#ifndef MOAT_TESTS_VHOST_ATTACK_H
#define MOAT_TESTS_VHOST_ATTACK_H

#include "vhost_check.h"
#include "vhost_driver.h"

struct scene {
    const char *program;   /* NULL: the back end runs in children */
    char top[256];         /* holds the rest, and `outside`, which nobody may reach */
    char rw[300], ro[300]; /* the exports */
};

/* Below `below`; the same numbers in each run. */
unsigned int scene_random(unsigned int below);

/* vhost_rings.c */
void test_messages(const struct scene *s);
void test_set_up(const struct scene *s);
void test_rings(const struct scene *s);
void test_requests(const struct scene *s);
void test_moving(const struct scene *s);

#endif
