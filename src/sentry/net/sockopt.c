/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of level SOL_SOCKET: socket(7).
 */
#include "base/string.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "net/socket.h"

#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/capability.h>

#define SNDBUF_MIN 4608u /* socket(7): the doubled minima and maxima */
#define RCVBUF_MIN 2304u
#define BUF_MAX    212992u
#define BUF_FORCED (8u * 1024u * 1024u) /* what CAP_NET_ADMIN may take of the kernel's memory */

struct user_timeval {
    int64_t sec;
    int64_t usec;
};

struct user_linger {
    int32_t on;
    int32_t seconds;
};

/* Options that are one bit. */
static uint32_t sockopt_bit(int name) {
    switch (name) {
    case SO_DEBUG:
        return SOCK_OPT_DEBUG;
    case SO_REUSEADDR:
        return SOCK_OPT_REUSEADDR;
    case SO_REUSEPORT:
        return SOCK_OPT_REUSEPORT;
    case SO_KEEPALIVE:
        return SOCK_OPT_KEEPALIVE;
    case SO_BROADCAST:
        return SOCK_OPT_BROADCAST;
    case SO_OOBINLINE:
        return SOCK_OPT_OOBINLINE;
    case SO_DONTROUTE:
        return SOCK_OPT_DONTROUTE;
    case SO_PASSCRED:
        return SOCK_OPT_PASSCRED;
    case SO_PASSSEC:
        return SOCK_OPT_PASSSEC;
    case SO_TIMESTAMP_OLD:
        return SOCK_OPT_TIMESTAMP;
    case SO_NO_CHECK:
        return SOCK_OPT_NO_CHECK;
    case SO_RXQ_OVFL:
        return SOCK_OPT_RXQ_OVFL;
    default:
        return 0;
    }
}

/* ---- setting ---------------------------------------------------------------------------- */

static int sockopt_set_timeout(uint64_t *timeout_ns, struct uaddr value, int32_t len) {
    struct user_timeval tv;
    if (len < (int32_t)sizeof(tv)) {
        return -EINVAL;
    }
    int err = copyin(&tv, value, sizeof(tv));
    if (err != 0) {
        return err;
    }
    if (tv.usec < 0 || tv.usec >= 1000000) {
        return -EDOM;
    }
    uint64_t ns;
    if (tv.sec < 0) {
        ns = 1; /* the past: do not wait */
    } else if (ckd_mul(&ns, (uint64_t)tv.sec, NSEC_PER_SEC) ||
               ckd_add(&ns, ns, (uint64_t)tv.usec * NSEC_PER_USEC)) {
        ns = 0; /* longer than the clock runs: no limit */
    }
    *timeout_ns = ns;
    return 0;
}

static int sockopt_set_linger(struct socket *s, struct uaddr value, int32_t len) {
    struct user_linger linger;
    if (len < (int32_t)sizeof(linger)) {
        return -EINVAL;
    }
    int err = copyin(&linger, value, sizeof(linger));
    if (err == 0) {
        s->linger_seconds = linger.on != 0 ? (linger.seconds < 0 ? INT32_MAX : linger.seconds) : -1;
    }
    return err;
}

static uint32_t sockopt_buffer(int32_t value, uint32_t minimum, bool force) {
    uint32_t asked = value < 0 ? (force ? 0 : BUF_MAX) : (uint32_t)value;
    asked = MIN(asked, force ? BUF_FORCED : BUF_MAX);
    return MAX(asked * 2, minimum);
}

static int sockopt_set_int(struct socket *s, int name, int32_t value) {
    switch (name) {
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!capable(CAP_NET_ADMIN)) {
            return -EPERM;
        }
        break;
    default:
        break;
    }
    switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        atomic_store(&s->sndbuf, sockopt_buffer(value, SNDBUF_MIN, name == SO_SNDBUFFORCE));
        waitq_wake(&s->waitq, POLLOUT | POLLWRNORM);
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        atomic_store(&s->rcvbuf, sockopt_buffer(value, RCVBUF_MIN, name == SO_RCVBUFFORCE));
        return 0;
    case SO_RCVLOWAT:
        s->rcvlowat = value == 0 ? 1 : (value < 0 ? (uint32_t)INT32_MAX : (uint32_t)value);
        return 0;
    case SO_PRIORITY:
        if ((value < 0 || value > 6) && !capable(CAP_NET_ADMIN) && !capable(CAP_NET_RAW)) {
            return -EPERM;
        }
        s->priority = value;
        return 0;
    case SO_MARK:
        if (!capable(CAP_NET_ADMIN) && !capable(CAP_NET_RAW)) {
            return -EPERM;
        }
        s->mark = value;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_setsockopt(struct socket *s, int name, struct uaddr value, int32_t len) {
    switch (name) {
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return sockopt_set_timeout(&s->rcvtimeo_ns, value, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return sockopt_set_timeout(&s->sndtimeo_ns, value, len);
    case SO_LINGER:
        return sockopt_set_linger(s, value, len);
    default:
        break;
    }
    int32_t number;
    if (len < (int32_t)sizeof(number)) {
        return -EINVAL;
    }
    int err = copyin(&number, value, sizeof(number));
    if (err != 0) {
        return err;
    }
    uint32_t bit = sockopt_bit(name);
    if (bit == 0) {
        return sockopt_set_int(s, name, number);
    }
    if (number != 0) {
        (void)atomic_fetch_or(&s->option_bits, bit);
    } else {
        (void)atomic_fetch_and(&s->option_bits, ~bit);
    }
    return 0;
}

/* ---- asking ----------------------------------------------------------------------------- */

static int sockopt_give(void *value, uint32_t *inout_len, const void *data, uint32_t len) {
    *inout_len = MIN(*inout_len, len);
    memcpy(value, data, *inout_len);
    return 0;
}

static int sockopt_get_timeout(uint64_t timeout_ns, void *value, uint32_t *inout_len) {
    struct user_timeval tv = {(int64_t)(timeout_ns / NSEC_PER_SEC),
                              (int64_t)(timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC)};
    return sockopt_give(value, inout_len, &tv, sizeof(tv));
}

static int sockopt_get_int(struct socket *s, int name, int32_t *out) {
    switch (name) {
    case SO_TYPE:
        *out = s->type;
        return 0;
    case SO_DOMAIN:
        *out = s->family;
        return 0;
    case SO_PROTOCOL:
        *out = s->protocol;
        return 0;
    case SO_ERROR:
        *out = -socket_take_error(s);
        return 0;
    case SO_ACCEPTCONN:
        *out = atomic_load(&s->state) == SOCK_LISTENING;
        return 0;
    case SO_SNDBUF:
        *out = (int32_t)atomic_load(&s->sndbuf);
        return 0;
    case SO_RCVBUF:
        *out = (int32_t)atomic_load(&s->rcvbuf);
        return 0;
    case SO_RCVLOWAT:
        *out = (int32_t)s->rcvlowat;
        return 0;
    case SO_SNDLOWAT:
        *out = 1;
        return 0;
    case SO_PRIORITY:
        *out = s->priority;
        return 0;
    case SO_MARK:
        *out = s->mark;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_getsockopt(struct socket *s, int name, void *value, uint32_t *inout_len) {
    switch (name) {
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return sockopt_get_timeout(s->rcvtimeo_ns, value, inout_len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return sockopt_get_timeout(s->sndtimeo_ns, value, inout_len);
    case SO_LINGER: {
        struct user_linger linger = {s->linger_seconds >= 0, MAX(s->linger_seconds, 0)};
        return sockopt_give(value, inout_len, &linger, sizeof(linger));
    }
    case SO_PEERCRED:
        return sockopt_give(value, inout_len, &s->peer_creds, sizeof(s->peer_creds));
    default:
        break;
    }
    int32_t number = 0;
    uint32_t bit = sockopt_bit(name);
    if (bit != 0) {
        number = socket_option(s, bit);
    } else {
        int err = sockopt_get_int(s, name, &number);
        if (err != 0) {
            return err;
        }
    }
    return sockopt_give(value, inout_len, &number, sizeof(number));
}
