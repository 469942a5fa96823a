/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of moat/agent.h over a byte stream, and the pumping of numbered streams to and from
 * descriptors, with flow control.  Both ends use it, single-threaded, around poll(2).
 *
 * Trust: on the host the other end is a guest.  Sizes, stream numbers and the windows are checked;
 * what breaks them ends the connection with -EPROTO.  Memory is bounded by one window for each open
 * stream and MUX_OUT_MAX.
 */
#ifndef MOAT_HOST_MUX_H
#define MOAT_HOST_MUX_H

#include "base/types.h"
#include "moat/agent.h"

#include <poll.h>

#define MUX_OUT_MAX   (4u * 1024u * 1024u) /* queued for a peer that does not read */
#define MUX_POLLS_MAX (MOAT_AGENT_STREAMS + 1u)

struct mux_stream {
    int fd; /* owned, -1: closed */
    bool open, inbound;
    bool ending;     /* inbound: the peer has said END; closed when the rest is written */
    uint32_t credit; /* outbound: bytes we may send; inbound: bytes the peer may send */
    uint32_t owed;   /* inbound: consumed and not granted anew yet */
    char *buf;       /* inbound: what waits to be written */
    uint32_t start, len;
};

struct mux {
    int fd; /* the connection, non-blocking; owned; -1 while there is none yet */
    char *in;
    size_t in_len;
    char *out;
    size_t out_len, out_start, out_cap;
    struct mux_stream streams[MOAT_AGENT_STREAMS];
    uint32_t stream_end; /* above the highest that was ever open */
    /* Every frame that is not about a stream.  A failure ends the connection. */
    int (*on_frame)(void *arg, const struct moat_agent_frame *frame, const void *payload);
    void *arg;
};

must_check int mux_init(struct mux *m, int fd);
void mux_close(struct mux *m);
/* Queues a frame; -ENOBUFS when the peer has stopped reading. */
must_check int mux_send(struct mux *m, uint16_t kind, uint16_t stream, const void *payload,
                        size_t size);
/* Takes fd over, also on failure.  inbound: what the peer sends is written to fd. */
must_check int mux_open(struct mux *m, uint32_t stream, int fd, bool inbound);
/* Forgets a stream and what it still holds, and tells the peer. */
void mux_end(struct mux *m, uint32_t stream);
bool mux_is_open(const struct mux *m, uint32_t stream);
/* Nothing that the peer sent on the stream waits to be written. */
bool mux_is_flushed(const struct mux *m, uint32_t stream);
/* Outbound: sends what can be read without waiting (as the window allows). */
int mux_drain(struct mux *m, uint32_t stream);

/* Fills polls (MUX_POLLS_MAX) and returns their number. */
size_t mux_prepare(const struct mux *m, struct pollfd *polls);
/* 0, or -errno when the connection is over: -EPIPE at its end. */
must_check int mux_handle(struct mux *m, const struct pollfd *polls, size_t count);

#endif
