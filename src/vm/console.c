/* SPDX-License-Identifier: Apache-2.0 */
/* See console.h. */
#include "vm/console.h"

#include "host/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void console_pump(struct console *c) {
    static const char over[] = "\nmoat: the machine's console goes on; the rest is not kept\n";
    char text[4096];
    ssize_t n = read(c->in, text, sizeof(text)); /* poll said that there is something */
    if (n == 0 || (n < 0 && errno != EINTR)) {
        cleanup_fd_fn(&c->in);
        c->in = -1;
        return;
    }
    if (n < 0 || c->out >= CONSOLE_MAX) {
        return;
    }
    /* A log that cannot be written cannot be complained about. */
    (void)!write(c->log, text, (size_t)n);
    c->out += (uint64_t)n;
    if (c->out >= CONSOLE_MAX) {
        (void)!write(c->log, over, strlen(over));
    }
}

void console_drain(struct console *c) {
    struct pollfd p = {.fd = c->in, .events = POLLIN};
    /* One that lives can say more for ever. */
    while (c->in >= 0 && c->out < CONSOLE_MAX && poll(&p, 1, 0) > 0) {
        console_pump(c);
    }
}
