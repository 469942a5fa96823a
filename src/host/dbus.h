/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of the D-Bus protocol (D-Bus specification, dbus.freedesktop.org/doc) as it takes to call
 * a method of systemd over its private socket: no bus, no names, little endian.
 *
 * Trust boundary: what the peer sends is bounded and checked; a message that is not in form ends
 * the connection.
 */
#ifndef MOAT_HOST_DBUS_H
#define MOAT_HOST_DBUS_H

#include "base/types.h"
#include "host/err.h"

#define DBUS_MESSAGE_MAX (1u * 1024 * 1024)
#define DBUS_BODY_MAX    65536u

/* ---- building a body ---- */

struct dbus_body {
    uint8_t data[DBUS_BODY_MAX];
    size_t len;
    bool full; /* something did not fit: the call fails */
};

void dbus_put_u8(struct dbus_body *b, uint8_t v);
void dbus_put_u32(struct dbus_body *b, uint32_t v); /* BOOLEAN and UINT32 */
void dbus_put_u64(struct dbus_body *b, uint64_t v);
void dbus_put_text(struct dbus_body *b, const char *text); /* STRING and OBJECT_PATH */
void dbus_put_signature(struct dbus_body *b, const char *signature);
/* STRUCT and DICT_ENTRY begin at a multiple of eight. */
void dbus_put_struct(struct dbus_body *b);
/* ARRAY of elements that are aligned to `align`; dbus_end_array gets what this returned. */
size_t dbus_begin_array(struct dbus_body *b, size_t align);
void dbus_end_array(struct dbus_body *b, size_t begun, size_t align);

/* ---- messages ---- */

struct dbus {
    int fd;
    uint32_t serial;
    int64_t deadline_ms; /* of the monotonic clock, for all that is done */
};

struct dbus_message {
    uint8_t type; /* 1 call, 2 return, 3 error, 4 signal */
    uint32_t reply_serial;
    char member[128], error[128], signature[64];
    uint8_t *body;  /* owned */
    size_t len, at; /* at: what dbus_get_* reads next */
};

/* Connects to a unix socket and authenticates as the caller's user (SASL EXTERNAL). */
must_check int dbus_connect(struct dbus *d, const char *socket_path, int timeout_s,
                            struct err *err);
void dbus_close(struct dbus *d);
/* Sends a method call; *out_serial is its reply's reply_serial. */
must_check int dbus_call(struct dbus *d, const char *path, const char *interface,
                         const char *member, const char *signature, const struct dbus_body *body,
                         uint32_t *out_serial, struct err *err);
/* The next message, whatever it is; the caller frees it. */
must_check int dbus_next(struct dbus *d, struct dbus_message *out, struct err *err);
void dbus_message_free(struct dbus_message *m);
/* False when the body has no such value left. */
must_check bool dbus_get_u32(struct dbus_message *m, uint32_t *out);
must_check bool dbus_get_text(struct dbus_message *m, const char **out);

#endif
