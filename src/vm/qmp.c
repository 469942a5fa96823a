/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's monitor protocol: see qmp.h. */
#include "vm/qmp.h"

#include "host/msg.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One message; NULL with *err at the end of the connection or for what is no JSON object. */
static struct json_object *receive(struct qmp *q, struct err *err) {
    char *end;
    while ((end = memchr(q->line, '\n', q->len)) == NULL) {
        ssize_t n =
            q->len < sizeof(q->line) ? read(q->fd, q->line + q->len, sizeof(q->line) - q->len) : 0;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            (void)err_set(err, -EPIPE, "the hypervisor ended before it was ready");
            return NULL;
        }
        q->len += (size_t)n;
    }
    *end = '\0';
    struct json_object *o = json_tokener_parse(q->line);
    size_t used = (size_t)(end - q->line) + 1;
    q->len -= used;
    memmove(q->line, end + 1, q->len);
    if (o == NULL || !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        (void)err_set(err, -EPROTO, "the hypervisor's monitor talks nonsense");
        return NULL;
    }
    return o;
}

static const char *text_of(struct json_object *o, const char *key) {
    struct json_object *value = NULL;
    return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : "";
}

static void take_event(struct qmp *q, struct json_object *o) {
    struct json_object *data = NULL;
    if (strcmp(text_of(o, "event"), "MIGRATION") == 0 &&
        json_object_object_get_ex(o, "data", &data)) {
        const char *status = text_of(data, "status");
        q->migrated = q->migrated || strcmp(status, "completed") == 0;
        q->migration_failed = q->migration_failed || strcmp(status, "failed") == 0;
    }
}

static int await_answer(struct qmp *q, struct err *err) {
    struct json_object *failure = NULL;
    for (;;) {
        struct json_object *o = receive(q, err);
        if (o == NULL) {
            return err->code;
        }
        bool answer = json_object_object_get_ex(o, "return", NULL);
        int e = 0;
        if (json_object_object_get_ex(o, "error", &failure)) {
            e = err_set(err, -EIO, "the hypervisor refused: %s", text_of(failure, "desc"));
        }
        take_event(q, o);
        json_object_put(o);
        if (answer || e != 0) {
            return e;
        }
    }
}

int qmp_run(struct qmp *q, const char *command, struct err *err) {
    if (send(q->fd, command, strlen(command), MSG_NOSIGNAL) != (ssize_t)strlen(command) ||
        send(q->fd, "\n", 1, MSG_NOSIGNAL) != 1) {
        return err_set(err, -EPIPE, "the hypervisor ended before it was ready");
    }
    return await_answer(q, err);
}

int qmp_give(struct qmp *q, const char *name, int fd, struct err *err) {
    char command[128];
    int n = snprintf(command, sizeof(command),
                     "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"%s\"}}\n", name);
    return msg_send(q->fd, command, (size_t)n, &fd, 1, false) == 0
               ? await_answer(q, err)
               : err_set(err, -EPIPE, "the hypervisor ended before it was ready");
}

int qmp_open(struct qmp *q, int fd, struct err *err) {
    q->fd = fd;
    q->len = 0;
    q->migrated = q->migration_failed = false;
    struct json_object *greeting = receive(q, err);
    if (greeting == NULL) {
        return err->code;
    }
    json_object_put(greeting);
    return qmp_run(q, "{\"execute\":\"qmp_capabilities\"}", err);
}

int qmp_await_migration(struct qmp *q, struct err *err) {
    while (!q->migrated && !q->migration_failed) {
        struct json_object *o = receive(q, err);
        if (o == NULL) {
            return err->code;
        }
        take_event(q, o);
        json_object_put(o);
    }
    return q->migrated ? 0 : err_set(err, -EIO, "the hypervisor cannot use the machine's state");
}
