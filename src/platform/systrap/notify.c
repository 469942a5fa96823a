/* SPDX-License-Identifier: Apache-2.0 */
/* The ioctls of a seccomp listener (seccomp_unotify(2); SET_FLAGS: Linux 6.6). */
#include "platform/systrap/internal.h"

#include <linux/types.h>
#include <sys/ioctl.h>

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1ul << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif

int notify_send(int listener, uint64_t id, int64_t value) {
    struct seccomp_notif_resp r = {.id = id, .val = value};
    return (int)sys3(SYS_ioctl, listener, (long)SECCOMP_IOCTL_NOTIF_SEND, (long)&r);
}

int notify_continue(int listener, uint64_t id) {
    struct seccomp_notif_resp r = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    return (int)sys3(SYS_ioctl, listener, (long)SECCOMP_IOCTL_NOTIF_SEND, (long)&r);
}

int notify_setup(int listener, bool sync_wake) {
    uint64_t flags = sync_wake ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0;
    return (int)sys3(SYS_ioctl, listener, (long)SECCOMP_IOCTL_NOTIF_SET_FLAGS, (long)flags);
}
