/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HOME of a process made from outside: engines leave it to the runtime to look it up.
 *
 * Trust boundary: /etc/passwd is the container's; its size is bounded, and what is taken from it
 * goes into the container's own environment alone.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "fs/vfs.h"
#include "kernel/control_process.h"
#include "kernel/kmalloc.h"
#include "kernel/task.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#define PASSWD_MAX 65536u /* bytes of the file that are looked at */
#define FIELD_UID  2u
#define FIELD_HOME 5u

/* The text of field `index` of a line of passwd(5), ended in place; NULL without such a field. */
static char *field(char *line, uint32_t index) {
    for (; index > 0 && line != NULL; index--) {
        line = strchr(line, ':');
        line = line != NULL ? line + 1 : NULL;
    }
    if (line != NULL) {
        char *end = strchr(line, ':');
        if (end != NULL) {
            *end = '\0';
        }
    }
    return line;
}

static const char *find_home(char *text, uint32_t uid) {
    while (text != NULL && *text != '\0') {
        char *end = strchr(text, '\n');
        uint64_t value;
        if (end != NULL) {
            *end = '\0';
        }
        /* From behind, as each field is ended in place. */
        const char *home = field(text, FIELD_HOME);
        const char *id = field(text, FIELD_UID);
        if (home != NULL && home[0] == '/' && id != NULL && fmt_parse_u64(id, 10, &value) == 0 &&
            value == uid) {
            return home;
        }
        text = end != NULL ? end + 1 : NULL;
    }
    return "/";
}

int control_home(struct control_process *cp) {
    for (uint32_t i = 0; i < cp->envc; i++) {
        if (strncmp(cp->envp[i], "HOME=", 5) == 0) {
            return 0;
        }
    }
    struct file *file;
    char *text = kcalloc(1, PASSWD_MAX + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    int err = vfs_open(AT_FDCWD_MOAT, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0, 0, &file);
    if (err == 0) {
        if (S_ISREG(file->inode->mode)) {
            (void)kernel_read(file, text, PASSWD_MAX, 0); /* unreadable counts as empty */
        }
        file_put(file);
    }
    const char *home = find_home(text, current->cred->uid);
    size_t size = strlen(home) + sizeof("HOME=");
    cp->home = kmalloc(size);
    if (cp->home != NULL) {
        (void)fmt_snprintf(cp->home, size, "HOME=%s", home); /* sized for it */
        cp->envp[cp->envc++] = cp->home;
    }
    kfree(text);
    return cp->home != NULL ? 0 : -ENOMEM;
}
