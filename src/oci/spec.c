/* SPDX-License-Identifier: Apache-2.0 */
/* Owning the sections of a config.json: see spec.h. */
#include "oci/spec.h"

#include <stdlib.h>
#include <string.h>

const char *oci_key_values_get(const struct oci_key_values *list, const char *key) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].key, key) == 0) {
            return list->items[i].value;
        }
    }
    return NULL;
}

void oci_key_values_free(struct oci_key_values *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].value);
    }
    free(list->items);
    *list = (struct oci_key_values){0};
}

void oci_hook_list_free(struct oci_hook_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].path);
        strlist_free(&list->items[i].args);
        strlist_free(&list->items[i].env);
    }
    free(list->items);
    *list = (struct oci_hook_list){0};
}

static void seccomp_free(struct oci_seccomp *s) {
    for (size_t i = 0; i < s->rule_count; i++) {
        strlist_free(&s->rules[i].names);
        free(s->rules[i].args);
    }
    free(s->rules);
    free(s->architectures);
    free(s->listener_path);
    free(s->listener_metadata);
}

void oci_linux_free(struct oci_linux *l) {
    for (int kind = 0; kind < NS_KINDS; kind++) {
        free(l->namespaces[kind].path);
    }
    for (size_t i = 0; i < l->device_count; i++) {
        free(l->devices[i].path);
    }
    for (size_t i = 0; i < l->net_device_count; i++) {
        free(l->net_devices[i].host_name);
        free(l->net_devices[i].name);
    }
    free(l->uid_mappings.items);
    free(l->gid_mappings.items);
    free(l->devices);
    free(l->net_devices);
    free(l->cgroups_path);
    free(l->mount_label);
    free(l->intel_rdt.clos_id);
    free(l->intel_rdt.l3_cache_schema);
    free(l->intel_rdt.mem_bw_schema);
    cgroup_resources_free(&l->resources);
    seccomp_free(&l->seccomp);
    strlist_free(&l->masked_paths);
    strlist_free(&l->readonly_paths);
    oci_key_values_free(&l->sysctl);
    *l = (struct oci_linux){0};
}
