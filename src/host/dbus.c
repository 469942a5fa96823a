/* SPDX-License-Identifier: Apache-2.0 */
/* A small D-Bus client: see dbus.h. */
#include "host/dbus.h"

#include "host/cleanup.h"
#include "host/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
    FIELD_PATH = 1,
    FIELD_INTERFACE,
    FIELD_MEMBER,
    FIELD_ERROR,
    FIELD_REPLY,
    FIELD_SIGNATURE = 8
};

#define FIXED 16u /* of a header: up to the array of fields */

/* ---- building ---- */

static void put(struct dbus_body *b, const void *data, size_t len) {
    if (b->full || len > sizeof(b->data) - b->len) {
        b->full = true;
        return;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void pad(struct dbus_body *b, size_t align) {
    static const uint8_t zero[8];
    put(b, zero, ALIGN_UP(b->len, align) - b->len);
}

void dbus_put_u8(struct dbus_body *b, uint8_t v) {
    put(b, &v, 1);
}

void dbus_put_u32(struct dbus_body *b, uint32_t v) {
    pad(b, 4);
    put(b, &v, sizeof(v));
}

void dbus_put_u64(struct dbus_body *b, uint64_t v) {
    pad(b, 8);
    put(b, &v, sizeof(v));
}

void dbus_put_text(struct dbus_body *b, const char *text) {
    size_t len = strlen(text);
    dbus_put_u32(b, (uint32_t)len);
    put(b, text, len + 1);
}

void dbus_put_signature(struct dbus_body *b, const char *signature) {
    size_t len = strlen(signature);
    dbus_put_u8(b, (uint8_t)len);
    put(b, signature, len + 1);
}

void dbus_put_struct(struct dbus_body *b) {
    pad(b, 8);
}

size_t dbus_begin_array(struct dbus_body *b, size_t align) {
    dbus_put_u32(b, 0);
    size_t begun = b->len;
    pad(b, align);
    return begun;
}

void dbus_end_array(struct dbus_body *b, size_t begun, size_t align) {
    uint32_t len = (uint32_t)(b->len - ALIGN_UP(begun, align));
    if (!b->full) {
        memcpy(b->data + begun - sizeof(len), &len, sizeof(len));
    }
}

/* ---- the socket ---- */

static int lost(int e, struct err *err) {
    return err_sys(err, e, "the connection to systemd failed");
}

static int wait_for(const struct dbus *d, short events) {
    struct pollfd p = {.fd = d->fd, .events = events};
    for (;;) {
        int64_t left = d->deadline_ms - clock_now_ms();
        int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (n > 0) {
            return 0;
        }
        if (n == 0 || errno != EINTR) {
            return n == 0 ? -ETIMEDOUT : -errno;
        }
    }
}

static int send_all(const struct dbus *d, const void *data, size_t len) {
    const uint8_t *p = data;
    while (len > 0) {
        int e = wait_for(d, POLLOUT);
        ssize_t n = e != 0 ? -1 : send(d->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (e != 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return e != 0 ? e : -errno;
        }
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int recv_all(const struct dbus *d, void *data, size_t len) {
    uint8_t *p = data;
    while (len > 0) {
        int e = wait_for(d, POLLIN);
        ssize_t n = e != 0 ? -1 : recv(d->fd, p, len, MSG_DONTWAIT);
        if (n == 0) {
            return -EPIPE;
        }
        if (e != 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return e != 0 ? e : -errno;
        }
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* AUTH EXTERNAL with the user id in hexadecimal digits of its text. */
static int authenticate(const struct dbus *d) {
    char uid[16], line[96] = "", answer[256];
    size_t n = (size_t)snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid()); /* fits */
    size_t len = (size_t)snprintf(line + 1, sizeof(line) - 1, "AUTH EXTERNAL ") + 1;
    for (size_t i = 0; i < n; i++) {
        len +=
            (size_t)snprintf(line + len, sizeof(line) - len, "%02x", (unsigned)uid[i]); /* fits */
    }
    len += (size_t)snprintf(line + len, sizeof(line) - len, "\r\n");
    int e = send_all(d, line, len); /* begins with a NUL byte, as it has to */
    for (size_t i = 0; e == 0 && i < sizeof(answer) - 1; i++) {
        e = recv_all(d, answer + i, 1);
        if (e == 0 && answer[i] == '\n') {
            answer[i] = '\0';
            return strncmp(answer, "OK", 2) != 0 ? -EACCES : send_all(d, "BEGIN\r\n", 7);
        }
    }
    return e != 0 ? e : -EPROTO;
}

int dbus_connect(struct dbus *d, const char *socket_path, int timeout_s, struct err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", socket_path) >=
        (int)sizeof(addr.sun_path)) {
        return err_set(err, -ENAMETOOLONG, "the path of systemd's socket is too long");
    }
    *d = (struct dbus){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       .deadline_ms = clock_now_ms() + timeout_s * 1000};
    int e = d->fd < 0 || connect(d->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ? -errno : 0;
    e = e != 0 ? e : authenticate(d);
    if (e != 0) {
        dbus_close(d);
        return err_sys(err, e, "cannot reach systemd at %s", socket_path);
    }
    return 0;
}

void dbus_close(struct dbus *d) {
    cleanup_fd_fn(&d->fd);
    d->fd = -1;
}

/* ---- messages ---- */

static void put_field(struct dbus_body *b, uint8_t code, const char *type, const char *text) {
    dbus_put_struct(b);
    dbus_put_u8(b, code);
    dbus_put_signature(b, type);
    if (type[0] == 'g') {
        dbus_put_signature(b, text);
    } else {
        dbus_put_text(b, text);
    }
}

int dbus_call(struct dbus *d, const char *path, const char *interface, const char *member,
              const char *signature, const struct dbus_body *body, uint32_t *out_serial,
              struct err *err) {
    struct dbus_body *h = calloc(1, sizeof(*h));
    cleanup_free void *owned = h;
    if (h == NULL || body->full) {
        return err_set(err, -ENOMEM, "a call of systemd's %s is too long", member);
    }
    *out_serial = ++d->serial;
    const uint8_t fixed[] = {'l', 1, 0, 1}; /* little endian, a call, no flags, version 1 */
    put(h, fixed, sizeof(fixed));
    dbus_put_u32(h, (uint32_t)body->len);
    dbus_put_u32(h, d->serial);
    size_t fields = dbus_begin_array(h, 8);
    put_field(h, FIELD_PATH, "o", path);
    put_field(h, FIELD_INTERFACE, "s", interface);
    put_field(h, FIELD_MEMBER, "s", member);
    if (signature[0] != '\0') {
        put_field(h, FIELD_SIGNATURE, "g", signature);
    }
    dbus_end_array(h, fields, 8);
    pad(h, 8);
    int e = h->full ? -EMSGSIZE : send_all(d, h->data, h->len);
    e = e != 0 ? e : send_all(d, body->data, body->len);
    return e == 0 ? 0 : lost(e, err);
}

static uint32_t u32_at(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* A text of a header's field: its place, or NULL when it does not lie within len. */
static const char *field_text(const uint8_t *p, size_t len, size_t at, size_t prefix,
                              size_t *out_len) {
    if (at > len || len - at < prefix) {
        return NULL;
    }
    size_t n = prefix == 1 ? p[at] : u32_at(p + at);
    if (n >= len - at - prefix || p[at + prefix + n] != '\0') {
        return NULL;
    }
    *out_len = n;
    return (const char *)p + at + prefix;
}

static void keep(char *to, size_t size, const char *text) {
    (void)snprintf(to, size, "%s", text); /* a cut name matches none of ours */
}

/* One field at *at: (y code, v value); those of type s, o, g and u are all there are. */
static bool take_field(struct dbus_message *m, const uint8_t *p, size_t len, size_t *at) {
    size_t n, i = ALIGN_UP(*at, 8);
    if (i > len || len - i < 4 || p[i + 1] != 1 || p[i + 3] != '\0') {
        return false;
    }
    uint8_t code = p[i], type = p[i + 2];
    i += 4;
    if (type == 'u') {
        if (len - i < 4) {
            return false;
        }
        m->reply_serial = code == FIELD_REPLY ? u32_at(p + i) : m->reply_serial;
        *at = i + 4;
        return true;
    }
    size_t prefix = type == 'g' ? 1 : 4;
    const char *text =
        type == 'g' || type == 's' || type == 'o' ? field_text(p, len, i, prefix, &n) : NULL;
    if (text == NULL) {
        return false;
    }
    if (code == FIELD_MEMBER) {
        keep(m->member, sizeof(m->member), text);
    } else if (code == FIELD_ERROR) {
        keep(m->error, sizeof(m->error), text);
    } else if (code == FIELD_SIGNATURE) {
        keep(m->signature, sizeof(m->signature), text);
    }
    *at = i + prefix + n + 1;
    return true;
}

int dbus_next(struct dbus *d, struct dbus_message *out, struct err *err) {
    uint8_t fixed[FIXED];
    *out = (struct dbus_message){0};
    int e = recv_all(d, fixed, sizeof(fixed));
    if (e != 0) {
        return lost(e, err);
    }
    uint32_t body = u32_at(fixed + 4), fields = u32_at(fixed + 12);
    if (fixed[0] != 'l' || fixed[3] != 1 || body > DBUS_MESSAGE_MAX || fields > DBUS_BODY_MAX) {
        return lost(-EPROTO, err);
    }
    size_t padded = ALIGN_UP((size_t)fields, 8);
    cleanup_free uint8_t *head = malloc(padded + 1);
    out->body = malloc(body + 1);
    if (head == NULL || out->body == NULL) {
        e = -ENOMEM;
    }
    e = e != 0 ? e : recv_all(d, head, padded);
    e = e != 0 ? e : recv_all(d, out->body, body);
    out->type = fixed[1];
    out->len = body;
    for (size_t at = 0; e == 0 && at < fields;) {
        e = take_field(out, head, fields, &at) ? 0 : -EPROTO;
    }
    if (e != 0) {
        dbus_message_free(out);
        return lost(e, err);
    }
    out->body[body] = '\0';
    return 0;
}

void dbus_message_free(struct dbus_message *m) {
    free(m->body);
    m->body = NULL;
}

bool dbus_get_u32(struct dbus_message *m, uint32_t *out) {
    size_t at = ALIGN_UP(m->at, 4);
    if (at > m->len || m->len - at < 4) {
        return false;
    }
    *out = u32_at(m->body + at);
    m->at = at + 4;
    return true;
}

bool dbus_get_text(struct dbus_message *m, const char **out) {
    size_t n, at = ALIGN_UP(m->at, 4);
    *out = field_text(m->body, m->len, at, 4, &n);
    if (*out == NULL) {
        return false;
    }
    m->at = at + 4 + n + 1;
    return true;
}
