/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of host/cgroup.h that need no control group: /proc files of many hosts and hostile
 * ones, path rules, conversions against their formulas, device lists, the files and limits of a
 * group that is an ordinary folder, and the state's JSON.
 */
#include "../unit/check.h"
#include "host/cgroup_internal.h"
#include "host/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

static char g_dir[] = "/tmp/moat-cgroup-test-XXXXXX";

static const char *put(const char *name, const char *text) {
    static char path[2][256];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof(path[0]), "%s/%s", g_dir, name);
    FILE *f = fopen(p, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return p;
}

static int host(const char *mountinfo, const char *self, struct cg_host *out, struct err *err) {
    *err = (struct err){0};
    return cg_host_read(put("mountinfo", mountinfo), put("cgroup", self), out, err);
}

static const struct cg_hierarchy *with(const struct cg_host *h, const char *name) {
    for (size_t i = 0; i < h->count; i++) {
        for (size_t k = 0; k < h->items[i].name_count; k++) {
            if (strcmp(h->items[i].names[k], name) == 0) {
                return &h->items[i];
            }
        }
        if (name[0] == '\0' && h->items[i].v2) {
            return &h->items[i];
        }
    }
    return NULL;
}

static void test_layouts(void) {
    static struct cg_host h;
    struct err err;
    /* v2 alone, as systemd has it */
    CHECK(host("24 30 0:22 / /sys rw - sysfs sysfs rw\n"
               "29 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
               "0::/user.slice/user-0.slice/session-1.scope\n", &h, &err) == 0);
    CHECK(h.mode == CGROUP_V2 && h.count == 1);
    CHECK(strcmp(h.items[0].mount, "/sys/fs/cgroup") == 0);
    CHECK(strcmp(h.items[0].self, "/user.slice/user-0.slice/session-1.scope") == 0);
    /* hybrid; controllers that share a hierarchy; an optional field; a blank in a path */
    CHECK(
        host("32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw master:1 - cgroup cgroup rw,cpu,cpuacct\n"
             "33 31 0:30 / /sys/fs/cgr\\040oup/memory rw - cgroup cgroup rw,memory\n"
             "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
             "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
             "4:memory:/a/b\n3:cpu,cpuacct:/x\n2:name=systemd:/\n1:pids:/not-mounted\n0::/\n", &h,
             &err) == 0);
    CHECK(h.mode == CGROUP_HYBRID && h.count == 4 && with(&h, "pids") == NULL);
    CHECK(with(&h, "cpu") == with(&h, "cpuacct") && with(&h, "cpu")->name_count == 2);
    CHECK(strcmp(with(&h, "memory")->mount, "/sys/fs/cgr oup/memory") == 0);
    CHECK(strcmp(with(&h, "memory")->self, "/a/b") == 0);
    CHECK(strcmp(with(&h, "")->mount, "/sys/fs/cgroup/unified") == 0);
    /* v1 in a container without a cgroup name space: the mount's root is the container's group */
    CHECK(host("33 31 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
               "34 31 0:31 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
               "4:memory:/docker/abc/inner\n5:pids:/docker/other\n", &h, &err) == 0);
    CHECK(h.mode == CGROUP_V1);
    CHECK(strcmp(with(&h, "memory")->self, "/inner") == 0);
    CHECK(strcmp(with(&h, "pids")->self, "/") == 0);
    /* a hierarchy mounted twice: the first; one whose path has a colon */
    CHECK(host("33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
               "39 31 0:30 / /other rw - cgroup cgroup rw,memory\n",
               "4:memory:/a:b\n", &h, &err) == 0);
    CHECK(h.count == 1 && strcmp(h.items[0].mount, "/sys/fs/cgroup/memory") == 0);
    CHECK(strcmp(h.items[0].self, "/a:b") == 0);
    /* nothing */
    CHECK(host("24 30 0:22 / /sys rw - sysfs sysfs rw\n", "0::/\n", &h, &err) == 0);
    CHECK(h.mode == CGROUP_NONE && h.count == 0);
    CHECK(cg_host_read("/nowhere", "/nowhere", &h, &err) == -ENOENT);
}

/* Nothing in these files may do more than be refused or ignored. */
static void test_hostile_proc(void) {
    static struct cg_host h;
    static char many[40000], big[300000];
    struct err err;
    static const char *const lines[] = {
        "",
        "\n",
        ":",
        "::",
        "0:",
        "0::",
        "0::relative\n",
        "x\n",
        "9:a,b,c,d,e,f,g,h,i,j,k:/\n",
        "1:../../etc:/\n",
        "1:\xff\xfe:/\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        CHECK(host(" - cgroup\n1 2 - cgroup x y\n1 2 3 4 5 6 - cgroup\n- cgroup - cgroup -\n",
                   lines[i], &h, &err) == 0);
        CHECK(h.count == 0);
    }
    size_t used = 0;
    for (int i = 0; i < 1000; i++) {
        used += (size_t)snprintf(many + used, sizeof(many) - used, "%d:name=x%d:/\n", i, i);
    }
    CHECK(host("", many, &h, &err) == -E2BIG);
    memset(big, 'a', sizeof(big) - 1);
    memcpy(big, "4:memory:/", 10);
    CHECK(host("", big, &h, &err) == -ENAMETOOLONG);
    memcpy(big, "33 31 0:30 / /", 14);
    strcpy(big + sizeof(big) - 50, " rw - cgroup cgroup rw,memory\n");
    CHECK(host(big, "4:memory:/\n", &h, &err) == -ENAMETOOLONG);
    /* mutations of a good pair */
    unsigned long seed = 88172645463325252ul;
    for (int i = 0; i < 3000; i++) {
        char mounts[] = "33 31 0:30 /d\\040x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        char self[] = "4:memory,cpu:/d x/inner\n0::/y\n";
        for (int k = 0; k < 3; k++) {
            mounts[test_random(&seed) % (sizeof(mounts) - 1)] = (char)test_random(&seed);
            self[test_random(&seed) % (sizeof(self) - 1)] = (char)test_random(&seed);
        }
        if (host(mounts, self, &h, &err) == 0) {
            for (size_t n = 0; n < h.count; n++) {
                CHECK(h.items[n].mount[0] == '/' && h.items[n].self[0] == '/');
            }
        }
    }
}

static void check_clean(const char *path, const char *want) {
    char out[2048];
    struct err err = {0};
    int e = cg_path_clean(path, out, sizeof(out), &err);
    if (want == NULL ? e >= 0 : e != 0 || strcmp(out, want) != 0) {
        fprintf(stderr, "'%s' became '%s' (%d), not '%s'\n", path, e == 0 ? out : err.msg, e,
                want == NULL ? "refused" : want);
        exit(1);
    }
}

static void test_paths(void) {
    char out[2048], slice[64];
    struct err err = {0};
    check_clean("/docker/abc", "/docker/abc");
    check_clean("//a///b/./c/", "/a/b/c");
    check_clean("a/b", "a/b");
    check_clean("./a", "a");
    check_clean("a..b/...", "a..b/...");
    static const char *const bad[] = {"",     "/",    "//",     ".",    "/./",  "..",   "/..",
                                      "../a", "a/..", "a/../b", "/a\n", "a\tb", "/\x01"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        check_clean(bad[i], NULL);
    }
    char name[258];
    memset(name, 'x', sizeof(name));
    name[256] = '\0';
    check_clean(name, NULL);
    name[255] = '\0';
    check_clean(name, name);
    char tiny[8];
    CHECK(cg_path_clean("/abcdefgh", tiny, sizeof(tiny), &err) == -ENAMETOOLONG);
    /* absolute from the mount, relative from the caller's group; in v2 from its parent */
    struct cg_hierarchy h = {.v2 = false, .mount = "/m", .self = "/own/group"};
    CHECK(cg_path_below(&h, "/a", out, sizeof(out), &err) == 0 && strcmp(out, "/a") == 0);
    CHECK(cg_path_below(&h, "a/b", out, sizeof(out), &err) == 0);
    CHECK(strcmp(out, "/own/group/a/b") == 0);
    h.v2 = true;
    CHECK(cg_path_below(&h, "a", out, sizeof(out), &err) == 0 && strcmp(out, "/own/a") == 0);
    strcpy(h.self, "/");
    CHECK(cg_path_below(&h, "a", out, sizeof(out), &err) == 0 && strcmp(out, "/a") == 0);
    strcpy(h.self, "/one");
    CHECK(cg_path_below(&h, "a", out, sizeof(out), &err) == 0 && strcmp(out, "/a") == 0);
    /* slices */
    static const char *const slices[][2] = {
        {"system.slice", "/system.slice"},
        {"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
        {"-.slice", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(slices); i++) {
        CHECK(cg_slice_expand(slices[i][0], slice, sizeof(slice), &err) == 0);
        CHECK(strcmp(slice, slices[i][1]) == 0);
    }
    static const char *const no_slices[] = {"",         ".slice",    "a",         "a--b.slice",
                                            "-a.slice", "a-.slice",  "a/b.slice", "a b.slice",
                                            "a.scope",  "../x.slice"};
    for (size_t i = 0; i < ARRAY_COUNT(no_slices); i++) {
        CHECK(cg_slice_expand(no_slices[i], slice, sizeof(slice), &err) == -EINVAL);
    }
    CHECK(cg_slice_expand("aaaaaaaaaaaaaaaaaaaaaaaaaaa-b.slice", slice, sizeof(slice), &err) < 0);
}

static void test_conversions(void) {
    /* The formula in floating point; where it is within rounding of a whole number both count. */
    for (uint64_t shares = 2; shares <= 262144; shares += 1 + shares / 300) {
        double l = log2((double)shares);
        double exact = pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0);
        uint64_t got = cg_weight_of_shares(shares);
        CHECK(got >= 1 && got <= 10000);
        CHECK(got == (uint64_t)ceil(exact - 1e-4) || got == (uint64_t)ceil(exact + 1e-4));
    }
    CHECK(cg_weight_of_shares(0) == 1 && cg_weight_of_shares(2) == 1);
    CHECK(cg_weight_of_shares(1024) == 100 && cg_weight_of_shares(512) == 59);
    CHECK(cg_weight_of_shares(262144) == 10000 && cg_weight_of_shares(UINT64_MAX) == 10000);
    CHECK(cg_io_weight_of_blkio(10) == 1 && cg_io_weight_of_blkio(1000) == 10000);
    CHECK(cg_io_weight_of_blkio(500) == 1 + 490 * 9999 / 990);
    static const struct {
        int64_t memsw, memory, swap;
        int e; /* 1: nothing to write */
    } rows[] = {
        {0, 0, 0, 1},         {0, 100, 0, 1},        {0, -1, -1, 0},   {-1, 100, -1, 0},
        {-1, 0, -1, 0},       {150, 100, 50, 0},     {100, 100, 0, 0}, {70, -1, 70, 0},
        {100, 0, 0, -EINVAL}, {99, 100, 0, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t swap;
        bool write;
        struct err err = {0};
        int e = cg_swap_of_memsw(rows[i].memsw, rows[i].memory, &swap, &write, &err);
        CHECK(rows[i].e < 0 ? e == rows[i].e : e == 0 && write == (rows[i].e == 0));
        CHECK(rows[i].e != 0 || swap == rows[i].swap);
    }
}

/* A file's text as the last write left it. */
static const char *text_of(int dir, const char *file) {
    static char text[512];
    CHECK(cg_read(dir, file, text, sizeof(text)) == 0);
    return text;
}

static void make_files(int dir, const char *const *files, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int fd = openat(dir, files[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        close(fd);
    }
}

static unsigned g_warnings;

static void count_warning(void *arg, const char *message) {
    g_warnings += strstr(message, "left out") != NULL;
}

/* Limits into a folder of ordinary files: what is written where. */
static void test_writes(void) {
    static const char *const files[] = {
        "memory.max",      "memory.swap.max",   "memory.low",  "cpu.weight",  "cpu.max",
        "cpu.max.burst",   "cpu.idle",          "pids.max",    "io.weight",   "io.max",
        "hugetlb.2MB.max", "rdma.max",          "cpuset.cpus", "memory.high", "blkio.bfq.weight",
        "net_cls.classid", "net_prio.ifpriomap"};
    cleanup_fd int dir = cg_open(g_dir);
    struct err err = {0};
    const struct cg_warn warn = {.warn = count_warning};
    struct cgroup_block_device disk = {.major = 8, .minor = 16, .rate = 1000};
    struct cgroup_hugepage huge = {.page_size = (char[]){"2MB"}, .limit = 4096};
    struct cgroup_rdma rdma = {
        .device = (char[]){"mlx"}, .handles = {true, 3}, .objects = {true, 4}};
    struct cgroup_net_prio prio = {.name = (char[]){"eth0"}, .priority = 5};
    struct cgroup_unified map = {(char[]){"memory.high"}, (char[]){"1\n2\n"}};
    struct cgroup_resources r = {
        .memory = {.limit = {true, 1000},
                   .swap = {true, 1500},
                   .reservation = {true, 500},
                   .kernel = {true, 7},
                   .swappiness = {true, 10}},
        .cpu = {.shares = {true, 1024}, .quota = {true, 5000}, .burst = {true, 100}},
        .pids = {true, -1},
        .block = {.weight = {true, 1000}, .read_iops = {&disk, 1}},
        .hugepages = &huge,
        .hugepage_count = 1,
        .rdma = &rdma,
        .rdma_count = 1,
        .unified = &map,
        .unified_count = 1,
        .net_class = {true, 9},
        .net_prio = &prio,
        .net_prio_count = 1,
    };
    const struct cg_apply a = {.dir = {.fd = dir, .path = g_dir}, .r = &r, .warn = &warn};
    CHECK(dir >= 0);
    make_files(dir, files, ARRAY_COUNT(files));
    CHECK(cg_v2_memory(&a, &err) == 0 && g_warnings == 2); /* kernel, swappiness */
    CHECK(strcmp(text_of(dir, "memory.max"), "1000") == 0);
    CHECK(strcmp(text_of(dir, "memory.swap.max"), "500") == 0);
    CHECK(strcmp(text_of(dir, "memory.low"), "500") == 0);
    CHECK(cg_v2_cpu(&a, &err) == 0);
    CHECK(strcmp(text_of(dir, "cpu.weight"), "100") == 0);
    CHECK(strcmp(text_of(dir, "cpu.max"), "5000 100000") == 0);
    CHECK(strcmp(text_of(dir, "cpu.max.burst"), "100") == 0);
    CHECK(cg_v2_pids(&a, &err) == 0 && strcmp(text_of(dir, "pids.max"), "max") == 0);
    CHECK(cg_v2_io(&a, &err) == 0);
    CHECK(strcmp(text_of(dir, "io.weight"), "10000") == 0);
    CHECK(strcmp(text_of(dir, "io.max"), "8:16 riops=1000") == 0);
    CHECK(cg_v2_hugetlb(&a, &err) == 0 && strcmp(text_of(dir, "hugetlb.2MB.max"), "4096") == 0);
    CHECK(cg_set_rdma(&a, &err) == 0);
    CHECK(strcmp(text_of(dir, "rdma.max"), "mlx hca_handle=3 hca_object=4") == 0);
    CHECK(cg_v1_net_cls(&a, &err) == 0 && strcmp(text_of(dir, "net_cls.classid"), "9") == 0);
    CHECK(cg_v1_net_prio(&a, &err) == 0);
    CHECK(strcmp(text_of(dir, "net_prio.ifpriomap"), "eth0 5") == 0);
    /* an idle group gets no weight */
    r.cpu.idle = (struct cgroup_i64){true, 1};
    r.cpu.shares.value = 2;
    CHECK(cg_v2_cpu(&a, &err) == 0 && strcmp(text_of(dir, "cpu.weight"), "100") == 0);
    /* names of files in the unified map */
    static const char *const bad[] = {"../x.y", "memory",       ".x",
                                      "a/b.c",  "cgroup.procs", "cgroup.kill"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char key[32];
        strcpy(key, bad[i]);
        map.key = key;
        err = (struct err){0};
        CHECK(cg_v2_unified(&a, &err) == -EINVAL);
    }
    /* a limit without its file says file, value and remedy */
    err = (struct err){0};
    CHECK(cg_set(&a.dir, "no.such", &err, "%d", 5) == -ENOENT);
    CHECK(strstr(err.msg, "'5' to ") != NULL && strstr(err.msg, "no.such") != NULL &&
          strstr(err.msg, "enable the controller") != NULL);
    CHECK(cg_write(dir, "../x", "1") == -EINVAL && cg_write(dir, "", "1") == -EINVAL);
}

static void test_files(void) {
    char path[300];
    cleanup_fd int dir = cg_open(g_dir);
    uint64_t v = 0;
    CHECK(cg_open("relative") == -EINVAL && cg_open("/nowhere/at/all") == -ENOENT);
    snprintf(path, sizeof(path), "%s/link", g_dir);
    CHECK(symlink("/etc", path) == 0);
    CHECK(cg_open(path) == -ELOOP);
    snprintf(path, sizeof(path), "%s/filelink", g_dir);
    CHECK(symlink("/etc/passwd", path) == 0);
    char text[16];
    CHECK(cg_read(dir, "filelink", text, sizeof(text)) == -ELOOP);
    (void)put("n", "max\n");
    CHECK(cg_read_u64(dir, "n", &v) == 0 && v == UINT64_MAX);
    (void)put("n", "18446744073709551616\n");
    CHECK(cg_read_u64(dir, "n", &v) == -EINVAL);
    (void)put("n", "-5\n");
    CHECK(cg_read_u64(dir, "n", &v) == -EINVAL);
    (void)put("n", "");
    CHECK(cg_read_u64(dir, "n", &v) == -EINVAL);
    CHECK(cg_key_u64("oom 3\noom_kill 12\n", "oom_kill", &v) == 0 && v == 12);
    CHECK(cg_key_u64("oom_kill_x 3\n", "oom_kill", &v) == -ENOENT);
    CHECK(cg_key_u64("oom_kill x\n", "oom_kill", &v) == -EINVAL);
    CHECK(cg_key_u64("", "oom_kill", &v) == -ENOENT);
}

static void test_devices(void) {
    static struct cgroup_device_rule rules[] = {{false, 'a', -1, -1, true, true, true},
                                                {true, 'c', 10, 229, true, false, false},
                                                {true, 'b', 8, -1, false, false, false}};
    struct cgroup_resources r = {.devices = rules, .device_count = ARRAY_COUNT(rules)};
    struct cg_device *list;
    size_t count;
    struct err err = {0};
    CHECK(cg_devices_list(&r, &list, &count, &err) == 0);
    CHECK(!list[0].allow && list[0].type == 'a'); /* everything is denied before all else */
    CHECK(list[2].allow && list[2].major == 10 && list[2].minor == 229 &&
          list[2].access == CG_DEV_READ);
    CHECK(list[3].major == -1 &&
          list[3].access == CG_DEV_MKNOD); /* a rule without access is none */
    free(list);
    rules[1].type = 'x';
    CHECK(cg_devices_list(&r, &list, &count, &err) == -EINVAL);
    rules[1].type = 'c';
    rules[1].major = 5000000000;
    CHECK(cg_devices_list(&r, &list, &count, &err) == -EINVAL);
}

static void test_json(void) {
    static struct cgroup cg, back;
    struct err err = {0};
    cg.mode = CGROUP_HYBRID;
    cg.rootless = true;
    strcpy(cg.path, "/a/b");
    strcpy(cg.at[0].name, "memory");
    strcpy(cg.at[0].dir, "/sys/fs/cgroup/memory/a/b");
    cg.at[0].created = true;
    cg.count = 1;
    struct json_object *o = cgroup_to_json(&cg);
    CHECK(o != NULL && cgroup_from_json(o, &back, &err) == 0 &&
          memcmp(&cg, &back, sizeof(cg)) == 0);
    json_object_put(o);
    static const char *const bad[] = {
        "1",
        "{}",
        "[]",
        "{\"groups\":[]}",
        "{\"mode\":\"v9\",\"systemd\":false,\"rootless\":false,\"unit\":\"\",\"path\":\"\","
        "\"groups\":[]}",
        "{\"mode\":\"v1\",\"systemd\":0,\"rootless\":false,\"unit\":\"\",\"path\":\"\",\"groups\":["
        "]}",
        "{\"mode\":\"v1\",\"systemd\":false,\"rootless\":false,\"unit\":\"\",\"path\":\"\","
        "\"groups\":[1]}",
        "{\"mode\":\"v1\",\"systemd\":false,\"rootless\":false,\"unit\":\"\",\"path\":\"\","
        "\"groups\":"
        "[{\"controller\":\"memory\",\"dir\":\"rel\",\"created\":true}]}",
        "{\"mode\":\"v1\",\"systemd\":false,\"rootless\":false,\"unit\":\"\",\"path\":\"\","
        "\"groups\":"
        "[{\"controller\":\"memory\",\"dir\":\"/x/../y\",\"created\":true}]}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        o = json_tokener_parse(bad[i]);
        CHECK(o != NULL);
        err = (struct err){0};
        CHECK(cgroup_from_json(o, &back, &err) == -EINVAL && back.count == 0 && err.msg[0] != '\0');
        json_object_put(o);
    }
}

/* Without groups every operation says so, or has nothing to do. */
static void test_none(void) {
    static struct cgroup cg;
    struct err err = {0};
    bool frozen = true;
    CHECK(cgroup_enter(&cg, 1, &err) == 0 && cgroup_destroy(&cg, &err) == 0);
    CHECK(cgroup_is_frozen(&cg, &frozen, &err) == 0 && !frozen);
    CHECK(cgroup_freeze(&cg, true, &err) == -ENOTSUP);
    err = (struct err){0};
    CHECK(cgroup_signal(&cg, 9, &err) == -ENOTSUP && strstr(err.msg, "no control groups") != NULL);
    struct cgroup_resources r = {.pids = {true, 5}};
    err = (struct err){0};
    CHECK(cgroup_update(&cg, &r, &err) == -ENOTSUP && strstr(err.msg, "pids") != NULL);
    cg.rootless = true;
    g_warnings = 0;
    CHECK(cgroup_update_warn(&cg, &r, count_warning, NULL, &err) == 0 && g_warnings == 1);
    struct json_object *s = cgroup_stats(&cg);
    CHECK(s != NULL);
    json_object_put(s);
}

int main(void) {
    char command[128];
    CHECK(mkdtemp(g_dir) != NULL);
    test_layouts();
    test_hostile_proc();
    test_paths();
    test_conversions();
    test_files();
    test_writes();
    test_devices();
    test_json();
    test_none();
    snprintf(command, sizeof(command), "rm -r %s", g_dir);
    return system(command);
}
