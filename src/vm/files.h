/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What serves the host's files to a machine by virtio-fs, over vhost-user: Debian's virtiofsd, or
 * moat's own Gofer, as the administrator chose (moat.conf, vm.files).
 */
#ifndef MOAT_VM_FILES_H
#define MOAT_VM_FILES_H

#include "oci/container.h"
#include "vm/share.h"

/* Where virtiofsd finds the exports, in the machine's mount namespace. */
#define FILES_PLACE "/mnt"

struct files {
    enum vm_files kind;
    int program; /* of the Gofer, or -1 */
    int socket;  /* the server's end: for virtiofsd it listens */
};

/* Finds the program, while paths mean what the caller meant. */
must_check int files_open(const struct container *c, struct files *out, struct err *err);
/* In the machine's mount namespace: makes the connection, *out_front its other end, and puts
 * together what the server takes. */
must_check int files_prepare(struct files *f, struct share *s, int *out_front, struct err *err);
/* Must a keeper (keeper.h) add files for containers that join?  The Gofer takes them itself. */
bool files_need_keeper(const struct files *f, bool pod);
/* Becomes the server; `admin` is where it hears of containers that join, or -1.  Comes back only
 * when that fails, with *err set. */
void files_exec(const struct files *f, const struct share *s, int admin, struct err *err);

#endif
