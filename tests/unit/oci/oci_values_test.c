/* SPDX-License-Identifier: Apache-2.0 */
/* Every field of a rich config.json arrives where docs and other parts expect it. */
#include "oci_fixture.h"

#include "moat/control.h"
#include "oci/names.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

static bool same(const char *a, const char *b) {
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool is_list(const struct strlist *list, const char *joined) {
    char text[512] = "";
    for (size_t i = 0; i < list->count; i++) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "|" : "",
                       list->items[i]);
    }
    return strcmp(text, joined) == 0;
}

static bool is_mapping(const struct oci_id_mapping *m, uint32_t inside, uint32_t outside,
                       uint32_t size) {
    return m->container_id == inside && m->host_id == outside && m->size == size;
}

static void check_process(const struct container_process *p) {
    CHECK(p->terminal && p->rows == 24 && p->cols == 80);
    CHECK(p->uid == 1000 && p->gid == 1001 && p->umask_set && p->umask == 077);
    CHECK(p->group_count == 2 && p->groups[0] == 5 && p->groups[1] == 4294967294u);
    CHECK(is_list(&p->args, "/bin/app|--flag|") && p->args.items[3] == NULL);
    CHECK(is_list(&p->env, "PATH=/bin|B=|A=last") && p->env.items[3] == NULL);
    CHECK(same(p->cwd, "/srv") && p->no_new_privs);
    CHECK(p->caps.bounding == (1ull << 0 | 1ull << 5 | 1ull << 40));
    CHECK(p->caps.effective == 1 && p->caps.permitted == 0x21 && p->caps.inheritable == 0x20);
    CHECK(p->caps.ambient == 0x20);
    CHECK(p->rlimit_count == 2 && p->rlimits[0].resource == RLIMIT_NOFILE);
    CHECK(p->rlimits[0].cur == 1024 && p->rlimits[0].max == 2048);
    CHECK(p->rlimits[1].resource == RLIMIT_CORE && p->rlimits[1].cur == RLIM_INFINITY);
    CHECK(same(p->apparmor_profile, "moat-default"));
    CHECK(same(p->selinux_label, "system_u:system_r:container_t:s0:c1,c2"));
    CHECK(p->oom_score_adj_set && p->oom_score_adj == -500);
    CHECK(p->scheduler.set && p->scheduler.policy == SCHED_DEADLINE);
    CHECK(p->scheduler.flags == (SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM));
    CHECK(p->scheduler.runtime == 1000000 && p->scheduler.deadline == 2000000);
    CHECK(p->scheduler.period == 3000000);
    CHECK(p->io_priority.set && p->io_priority.class == IOPRIO_CLASS_BE);
    CHECK(p->io_priority.priority == 4);
    CHECK(same(p->cpu_affinity.initial, "0-1") && same(p->cpu_affinity.final, "0,2-3"));
}

static void check_mounts(const struct container *c) {
    const struct container_mount *m = c->mounts;
    CHECK(c->mount_count == 4);
    CHECK(m->kind == MOUNT_TYPED && same(m->target, "/proc") && same(m->fstype, "proc"));
    CHECK(m->attr_set == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV));
    CHECK(m->flags == (MOAT_MOUNT_NOSUID | MOAT_MOUNT_NOEXEC | MOAT_MOUNT_NODEV));
    CHECK(m->options == NULL && m->propagation == 0 && !m->recursive && m->super_flags == 0);
    m++;
    CHECK(m->kind == MOUNT_TYPED && same(m->options, "mode=1777,size=64m") && m->tmpcopyup);
    CHECK(m->super_flags == MS_SYNCHRONOUS && m->attr_set == MOUNT_ATTR_STRICTATIME);
    CHECK(m->attr_clear == (MOUNT_ATTR__ATIME | MOUNT_ATTR_RDONLY) && m->flags == 0);
    m++;
    CHECK(m->kind == MOUNT_BIND && m->recursive && same(m->source, "/usr/data"));
    CHECK(m->fstype == NULL && m->options == NULL);
    CHECK(m->tree_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID) && m->tree_clear == 0);
    CHECK(m->attr_set == MOUNT_ATTR_NOATIME && m->attr_clear == MOUNT_ATTR__ATIME);
    CHECK(m->propagation == (MS_PRIVATE | MS_REC) && m->idmap && m->idmap_recursive);
    CHECK(m->uid_mappings.count == 1 && is_mapping(m->uid_mappings.items, 0, 100000, 1000));
    CHECK(m->gid_mappings.count == 1 && is_mapping(m->gid_mappings.items, 0, 100000, 1000));
    CHECK(m->flags == (MOAT_MOUNT_RDONLY | MOAT_MOUNT_NOSUID | MOAT_MOUNT_NOATIME));
    m++;
    CHECK(m->kind == MOUNT_BIND && !m->recursive && same(m->source, "/etc/hosts"));
    CHECK(m->propagation == MS_SLAVE && m->attr_set == MOUNT_ATTR_RDONLY && !m->idmap);
}

static void check_hooks(const struct container *c) {
    static const size_t counts[HOOK_STAGES] = {1, 1, 1, 1, 2, 1};
    for (int i = 0; i < HOOK_STAGES; i++) {
        CHECK(c->hooks[i].count == counts[i]);
    }
    const struct oci_hook *h = c->hooks[HOOK_PRESTART].items;
    CHECK(same(h->path, "/bin/h1") && is_list(&h->args, "h1|x") && is_list(&h->env, "K=v"));
    CHECK(h->timeout_s == 5);
    CHECK(same(c->hooks[HOOK_START_CONTAINER].items[0].path, "/bin/h4"));
    CHECK(c->hooks[HOOK_POSTSTART].items[1].timeout_s == 1);
    CHECK(same(c->hooks[HOOK_POSTSTOP].items[0].path, "/bin/h7"));
}

static void check_linux(const struct oci_linux *l) {
    for (int i = 0; i < NS_KINDS; i++) {
        CHECK(l->namespaces[i].set);
        CHECK(i == NS_NETWORK ? same(l->namespaces[i].path, "/proc/1/ns/net")
                              : l->namespaces[i].path == NULL);
    }
    CHECK(l->uid_mappings.count == 2 && is_mapping(&l->uid_mappings.items[1], 70000, 5, 1));
    CHECK(l->gid_mappings.count == 1 && is_mapping(l->gid_mappings.items, 0, 200000, 65536));
    CHECK(l->monotonic.set && l->monotonic.secs == 172800 && l->monotonic.nanosecs == 7);
    CHECK(l->boottime.secs == -604800 && l->boottime.nanosecs == 999999999);
    CHECK(l->device_count == 2 && same(l->devices[0].path, "/dev/fuse"));
    CHECK(l->devices[0].type == 'c' && l->devices[0].major == 10 && l->devices[0].minor == 229);
    CHECK(l->devices[0].mode == 0666 && l->devices[0].uid == 1 && l->devices[0].gid == 2);
    CHECK(l->devices[1].type == 'p' && l->devices[1].mode == 0666 && l->devices[1].major == 0);
    CHECK(l->net_device_count == 2 && same(l->net_devices[0].host_name, "eth7"));
    CHECK(same(l->net_devices[0].name, "eth0") && l->net_devices[1].name == NULL);
    CHECK(same(l->cgroups_path, "/pods/box"));
    CHECK(l->rootfs_propagation == (MS_SLAVE | MS_REC));
    CHECK(l->sysctl.count == 4 && same(oci_key_values_get(&l->sysctl, "net.ipv4.ip_forward"), "1"));
    CHECK(oci_key_values_get(&l->sysctl, "net/ipv4/conf/eth0.1/forwarding") != NULL);
    CHECK(is_list(&l->masked_paths, "/proc/kcore|/proc/keys"));
    CHECK(is_list(&l->readonly_paths, "/proc/sys"));
    CHECK(same(l->mount_label, "system_u:object_r:container_file_t:s0"));
    CHECK(l->personality_set && l->personality == PER_LINUX32);
    CHECK(l->intel_rdt.set && same(l->intel_rdt.clos_id, "guaranteed"));
    CHECK(same(l->intel_rdt.l3_cache_schema, "L3:0=7f0;1=1f"));
    CHECK(same(l->intel_rdt.mem_bw_schema, "MB:0=20;1=70"));
    CHECK(l->intel_rdt.enable_cmt && l->intel_rdt.enable_mbm);
}

static bool is_u64(struct cgroup_u64 v, uint64_t value) {
    return v.set && v.value == value;
}

static bool is_i64(struct cgroup_i64 v, int64_t value) {
    return v.set && v.value == value;
}

static void check_resources(const struct cgroup_resources *r) {
    CHECK(r->device_count == 2 && !r->devices[0].allow && r->devices[0].type == 'a');
    CHECK(r->devices[0].major == -1 && r->devices[0].mknod);
    CHECK(r->devices[1].allow && r->devices[1].type == 'c' && r->devices[1].major == 1);
    CHECK(r->devices[1].read && r->devices[1].write && !r->devices[1].mknod);
    CHECK(is_i64(r->memory.limit, 536870912) && is_i64(r->memory.reservation, 268435456));
    CHECK(is_i64(r->memory.swap, -1) && is_i64(r->memory.kernel, 1048576));
    CHECK(is_i64(r->memory.kernel_tcp, 2097152) && is_u64(r->memory.swappiness, 60));
    CHECK(r->memory.disable_oom_killer && r->memory.disable_oom_killer_set);
    CHECK(!r->memory.use_hierarchy && r->memory.use_hierarchy_set);
    CHECK(r->memory.check_before_update);
    CHECK(is_u64(r->cpu.shares, 1024) && is_i64(r->cpu.quota, 50000) && is_u64(r->cpu.burst, 1000));
    CHECK(is_u64(r->cpu.period, 100000) && is_i64(r->cpu.realtime_runtime, 950000));
    CHECK(is_u64(r->cpu.realtime_period, 1000000) && is_i64(r->cpu.idle, 1));
    CHECK(same(r->cpu.cpus, "0-1") && same(r->cpu.mems, "0") && is_i64(r->pids, 100));
    CHECK(is_u64(r->block.weight, 100) && is_u64(r->block.leaf_weight, 200));
    CHECK(r->block.weight_device.count == 1);
    CHECK(is_u64(r->block.weight_device.items[0].weight, 500));
    CHECK(is_u64(r->block.weight_device.items[0].leaf_weight, 300));
    CHECK(r->block.read_bps.items[0].rate == 600 && r->block.write_bps.items[0].rate == 601);
    CHECK(r->block.read_iops.items[0].rate == 602 && r->block.write_iops.items[0].rate == 603);
    CHECK(r->block.write_iops.items[0].major == 8 && r->block.write_iops.items[0].minor == 3);
    CHECK(r->hugepage_count == 1 && same(r->hugepages[0].page_size, "2MB"));
    CHECK(r->hugepages[0].limit == 209715200 && is_u64(r->net_class, 1048577));
    CHECK(r->net_prio_count == 1 && same(r->net_prio[0].name, "eth0"));
    CHECK(r->net_prio[0].priority == 500);
    CHECK(r->rdma_count == 1 && same(r->rdma[0].device, "mlx5_1"));
    CHECK(is_u64(r->rdma[0].handles, 3) && is_u64(r->rdma[0].objects, 10000));
    CHECK(r->unified_count == 1 && same(r->unified[0].key, "memory.high"));
    CHECK(same(r->unified[0].value, "1000000"));
}

static void check_seccomp(const struct oci_seccomp *s) {
    CHECK(s->set && s->default_action == SCMP_ACT_ERRNO(38));
    CHECK(s->architecture_count == 2 && s->architectures[0] == SCMP_ARCH_X86_64);
    CHECK(s->architectures[1] == SCMP_ARCH_X32);
    CHECK(s->flags == (SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW));
    CHECK(same(s->listener_path, "/run/seccomp.sock") && same(s->listener_metadata, "meta"));
    CHECK(s->rule_count == 3 && is_list(&s->rules[0].names, "read|exit"));
    CHECK(s->rules[0].action == SCMP_ACT_ALLOW && s->rules[0].arg_count == 0);
    CHECK(s->rules[1].action == SCMP_ACT_ERRNO(13) && s->rules[1].arg_count == 1);
    CHECK(s->rules[1].args[0].value == 4294967295u && s->rules[1].args[0].value_two == 8);
    CHECK(s->rules[1].args[0].op == SCMP_CMP_MASKED_EQ && s->rules[1].args[0].index == 0);
    CHECK(s->rules[2].action == SCMP_ACT_NOTIFY);
}

static void test_rich(struct json_object *rich) {
    struct container c = {0};
    struct outcome o = fixture_parse(rich, &c);
    if (o.code != 0 || o.warnings[0] != '\0') {
        fprintf(stderr, "%s\n%s", o.err.msg, o.warnings);
    }
    CHECK(o.code == 0 && o.warnings[0] == '\0');
    check_process(&c.process);
    CHECK(same(c.rootfs, "/usr") && c.root_readonly);
    CHECK(same(c.hostname, "box") && same(c.domainname, "example.org"));
    check_mounts(&c);
    check_hooks(&c);
    CHECK(c.annotations.count == 2);
    CHECK(same(oci_key_values_get(&c.annotations, "dev.moat.isolation"), "native"));
    check_linux(&c.linux_);
    check_resources(&c.linux_.resources);
    check_seccomp(&c.linux_.seccomp);
    container_free(&c);
}

/* The least there can be: what is absent is told apart from zero. */
static void test_least(void) {
    static const char text[] = "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"/usr\"},"
                               "\"process\":{\"args\":[\"x\"],\"cwd\":\"/\",\"user\":{}}}\n";
    const struct oci_reading how = {.bundle = "/"};
    struct container c = {0};
    struct err err = {0};
    CHECK(oci_config_parse(&how, text, strlen(text), &c, &err) == 0);
    CHECK(c.hostname == NULL && c.domainname == NULL && c.mount_count == 0 && !c.root_readonly);
    CHECK(c.process.umask == 022 && !c.process.umask_set && !c.process.oom_score_adj_set);
    CHECK(!c.process.scheduler.set && !c.process.io_priority.set && c.process.groups == NULL);
    CHECK(c.process.caps.bounding == 0 && c.process.apparmor_profile == NULL);
    CHECK(!c.linux_.seccomp.set && !c.linux_.personality_set && !c.linux_.intel_rdt.set);
    CHECK(!c.linux_.resources.memory.limit.set && c.linux_.cgroups_path == NULL);
    CHECK(!c.linux_.resources.memory.disable_oom_killer_set && !c.linux_.monotonic.set);
    container_free(&c);
}

/* The stored copy is read without its root, and without warnings. */
static void test_stored(void) {
    static const char text[] = "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"gone\"},\"odd\":1,"
                               "\"process\":{\"args\":[\"x\"],\"cwd\":\"/\"}}";
    struct oci_reading how = {.bundle = "/no/such", .stored = true};
    struct container c = {0};
    struct err err = {0};
    CHECK(oci_config_parse(&how, text, strlen(text), &c, &err) == 0);
    CHECK(same(c.rootfs, "/no/such/gone"));
    container_free(&c);
    how.stored = false;
    CHECK(oci_config_parse(&how, text, strlen(text), &c, &err) == -ENOENT);
    CHECK(strncmp(err.msg, "root.path: ", 11) == 0);
    container_free(&c);
}

/* "process" and "resources" on their own; their paths begin with their names. */
static void test_parts(void) {
    static const char process[] = "{\"args\":[\"x\"],\"cwd\":\"/\",\"user\":{\"uid\":7}}";
    static const char resources[] = "{\"memory\":{\"limit\":0,\"swap\":5},\"pids\":{\"limit\":-1},"
                                    "\"cpu\":{\"cpus\":\"\"}}";
    static const char bad[] = "{\"memory\":{\"limit\":\"1g\"}}";
    const struct oci_reading how = {.bundle = "/"};
    struct container_process p = {0};
    struct cgroup_resources r = {0};
    struct err err = {0};
    CHECK(oci_process_parse(&how, process, strlen(process), &p, &err) == 0);
    CHECK(p.uid == 7 && p.umask == 022);
    container_process_free(&p);
    CHECK(oci_resources_parse(&how, resources, strlen(resources), &r, &err) == 0);
    CHECK(!r.memory.limit.set && is_i64(r.memory.swap, 5) && is_i64(r.pids, -1));
    CHECK(r.cpu.cpus == NULL);
    CHECK(oci_resources_parse(&how, bad, strlen(bad), &r, &err) == -EINVAL);
    CHECK(strcmp(err.msg, "resources.memory.limit: must be a whole number, not a string") == 0);
    cgroup_resources_free(&r);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    struct json_object *rich = fixture_load(argv[1]);
    test_rich(rich);
    json_object_put(rich);
    test_least();
    test_stored();
    test_parts();
    return 0;
}
