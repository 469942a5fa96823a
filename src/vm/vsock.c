/* SPDX-License-Identifier: Apache-2.0 */
/* See vsock.h.  Sources: vsock(7), linux/vhost.h, linux/vm_sockets.h. */
#include "vm/vsock.h"

#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#define CID_FIRST 1024u /* below are the reserved ones, and, as ports, those of root's services */
#define CID_COUNT 0x40000000u
#define TRIES     64

/* A random id that no machine has; those that are told apart by time or process would meet those of
 * other containers of this program. */
static int take_cid(int device, uint32_t *out) {
    int e = -EADDRINUSE;
    for (int i = 0; i < TRIES && e == -EADDRINUSE; i++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
            return -EIO;
        }
        uint64_t cid = CID_FIRST + random % CID_COUNT;
        e = ioctl(device, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0 ? 0 : -errno;
        *out = (uint32_t)cid;
    }
    return e;
}

void vsock_open(struct vsock *out) {
    *out = (struct vsock){.device = -1, .listener = -1};
    cleanup_fd int device = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);
    cleanup_fd int listener =
        device >= 0 ? socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (listener < 0 || take_cid(device, &out->cid) != 0) {
        return;
    }
    const struct sockaddr_vm here = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = out->cid};
    if (bind(listener, (const struct sockaddr *)&here, sizeof(here)) == 0 &&
        listen(listener, 4) == 0) {
        out->device = steal_fd(&device);
        out->listener = steal_fd(&listener);
    }
}

int vsock_accept(int listener, uint32_t cid) {
    struct sockaddr_vm peer = {.svm_family = AF_VSOCK};
    socklen_t len = sizeof(peer);
    cleanup_fd int fd =
        accept4(listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 || len < sizeof(peer) || peer.svm_cid != cid) {
        return -EAGAIN;
    }
    return steal_fd(&fd);
}
