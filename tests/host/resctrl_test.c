/* SPDX-License-Identifier: Apache-2.0 */
/* host/resctrl.h over a plain folder that is laid out like the resctrl file system
 * (x86/resctrl.rst).  What only the kernel does is done here by hand: the files of a new group, and
 * their end with it. */
#include "host/resctrl.h"

#include "../unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char g_root[] = "/tmp/resctrl-XXXXXX";

static const char *in_root(const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", g_root, name);
    return path;
}

static void put(const char *name, const char *text) {
    FILE *f = fopen(in_root(name), "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool holds(const char *name, const char *text) {
    char got[512] = "";
    int fd = open(in_root(name), O_RDONLY);
    bool same = fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0 && strcmp(got, text) == 0;
    (void)close(fd);
    return same;
}

static void found_in_mountinfo(void) {
    char path[4096];
    struct err err = {0};
    put("mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda rw\n33 22 0:30 / /mnt/rdt rw,relatime "
                     "shared:7 - resctrl resctrl rw\n");
    CHECK(resctrl_find(in_root("mountinfo"), path, &err) == 0 && strcmp(path, "/mnt/rdt") == 0);
    put("mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda rw\n");
    CHECK(resctrl_find(in_root("mountinfo"), path, &err) == -ENOTSUP &&
          strstr(err.msg, "mount -t resctrl") != NULL);
    CHECK(unlink(in_root("mountinfo")) == 0);
}

/* Without a closID: a group of the container's own, which goes with it. */
static void of_its_own(void) {
    const struct resctrl_wish wish = {.id = "c1", .l3 = "L3:0=f;1=3", .bandwidth = "MB:0=20"};
    struct resctrl_group group;
    struct err err = {0};
    CHECK(resctrl_make(g_root, &wish, &group, &err) == 0 && group.made);
    CHECK(holds("c1/schemata", "L3:0=f;1=3\nMB:0=20\n"));
    CHECK(resctrl_enter(&group, 4711, &err) == 0 && holds("c1/tasks", "4711"));
    CHECK(unlink(in_root("c1/schemata")) == 0 && unlink(in_root("c1/tasks")) == 0);
    CHECK(resctrl_remove(&group, &err) == 0 && access(in_root("c1"), F_OK) != 0);
    CHECK(resctrl_remove(&group, &err) == 0); /* twice */
}

/* A group that was there: joined when its shares are those, and left alone at the end. */
static void of_others(void) {
    struct resctrl_wish wish = {.id = "c2", .clos_id = "gold", .monitor = true};
    struct resctrl_group group;
    struct err err = {0};
    CHECK(resctrl_make(g_root, &wish, &group, &err) == -ENOENT &&
          strstr(err.msg, "made before") != NULL);
    CHECK(mkdir(in_root("gold"), 0755) == 0 && mkdir(in_root("gold/mon_groups"), 0755) == 0);
    put("gold/schemata", "    MB:0=100;1=100\n    L3:0=0ff;1=00f\n");
    CHECK(resctrl_make(g_root, &wish, &group, &err) == 0 && !group.made);
    CHECK(resctrl_enter(&group, 12, &err) == 0 && holds("gold/tasks", "12") &&
          holds("gold/mon_groups/c2/tasks", "12"));
    CHECK(unlink(in_root("gold/mon_groups/c2/tasks")) == 0 && resctrl_remove(&group, &err) == 0);
    CHECK(access(in_root("gold/mon_groups/c2"), F_OK) != 0 && access(in_root("gold"), F_OK) == 0);

    static const struct {
        const char *l3, *bandwidth;
        bool same;
    } rows[] = {{"L3:0=ff", NULL, true},          {"L3:1=f;0=ff", "MB:1=100", true},
                {"L3:0=fe", NULL, false},         {NULL, "MB:0=50", false},
                {"L3:2=f", NULL, false},          {"L2:0=f", NULL, false},
                {"L3:0=ff\nL3:1=e", NULL, false}, {"nonsense", NULL, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err why = {0};
        wish = (struct resctrl_wish){
            .id = "c3", .clos_id = "gold", .l3 = rows[i].l3, .bandwidth = rows[i].bandwidth};
        CHECK(resctrl_make(g_root, &wish, &group, &why) == (rows[i].same ? 0 : -EEXIST));
        CHECK(access(in_root("gold/schemata"), F_OK) == 0);
    }
}

static void refused(void) {
    static const char *const names[] = {"info", "mon_groups", "mon_data"};
    for (size_t i = 0; i < 3; i++) {
        const struct resctrl_wish wish = {.id = "c4", .clos_id = names[i], .l3 = "L3:0=1"};
        struct resctrl_group group;
        struct err err = {0};
        CHECK(resctrl_make(g_root, &wish, &group, &err) == -EINVAL &&
              access(in_root(names[i]), F_OK) != 0);
    }
}

int main(void) {
    CHECK(mkdtemp(g_root) != NULL);
    found_in_mountinfo();
    of_its_own();
    of_others();
    refused();
    CHECK(unlink(in_root("gold/schemata")) == 0 && unlink(in_root("gold/tasks")) == 0);
    CHECK(rmdir(in_root("gold/mon_groups")) == 0 && rmdir(in_root("gold")) == 0 &&
          rmdir(g_root) == 0);
    return 0;
}
