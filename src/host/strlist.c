/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of strings: see strlist.h. */
#include "host/strlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int strlist_add(struct strlist *list, const char *text) {
    if (list->count + 2 > list->cap) {
        size_t cap = list->cap == 0 ? 8 : list->cap * 2;
        char **items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->cap = cap;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return -ENOMEM;
    }
    list->items[list->count++] = copy;
    list->items[list->count] = NULL;
    return 0;
}

int strlist_set_env(struct strlist *list, const char *text) {
    size_t name_len = strcspn(text, "=");
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], text, name_len) == 0 && list->items[i][name_len] == '=') {
            char *copy = strdup(text);
            if (copy == NULL) {
                return -ENOMEM;
            }
            free(list->items[i]);
            list->items[i] = copy;
            return 0;
        }
    }
    return strlist_add(list, text);
}

void strlist_free(struct strlist *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct strlist){0};
}
