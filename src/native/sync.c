/* SPDX-License-Identifier: Apache-2.0 */
/* Records between a process and the runtime: see sync.h. */
#include "native/sync.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int sync_send(int sock, enum sync_type type, int value, const struct err *err) {
    struct sync_record r;
    memset(&r, 0, sizeof(r));
    r.type = type;
    r.value = value;
    size_t len = offsetof(struct sync_record, err);
    if (err != NULL) {
        r.err.code = err->code;
        size_t text = strnlen(err->msg, sizeof(err->msg) - 1);
        memcpy(r.err.msg, err->msg, text);
        len = offsetof(struct sync_record, err.msg) + text;
    }
    return send(sock, &r, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

int sync_recv(int sock, struct sync_record *out) {
    ssize_t n;
    bool reset = false;
    memset(out, 0, sizeof(*out));
    for (;;) {
        n = recv(sock, out, sizeof(*out), 0);
        /* unix(7): an end that went without reading all is told first, and once; what it sent
         * before is still there. */
        bool first = n < 0 && errno == ECONNRESET && !reset;
        reset = reset || first;
        if (!first && !(n < 0 && errno == EINTR)) {
            break;
        }
    }
    if (n < 0) {
        return errno == ECONNRESET ? 0 : -errno;
    }
    out->err.msg[sizeof(out->err.msg) - 1] = '\0';
    return n == 0 ? 0 : (size_t)n >= offsetof(struct sync_record, err) ? 1 : -EBADMSG;
}
