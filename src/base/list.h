/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive circular doubly linked list.  The head is itself a link; an unlinked entry that was
 * passed to list_init or list_del_init points to itself.  Callers bring their own lock.
 */
#ifndef MOAT_BASE_LIST_H
#define MOAT_BASE_LIST_H

#include "base/types.h"

struct list {
    struct list *prev;
    struct list *next;
};

static inline void list_init(struct list *head) {
    head->prev = head;
    head->next = head;
}

static inline bool list_empty(const struct list *head) {
    return head->next == head;
}

static inline void list_insert_between(struct list *entry, struct list *prev, struct list *next) {
    entry->prev = prev;
    entry->next = next;
    prev->next = entry;
    next->prev = entry;
}

/* Adds `entry` at the front of `head`. */
static inline void list_push_front(struct list *head, struct list *entry) {
    list_insert_between(entry, head, head->next);
}

/* Adds `entry` at the end of `head`. */
static inline void list_push_back(struct list *head, struct list *entry) {
    list_insert_between(entry, head->prev, head);
}

/* Unlinks `entry` and leaves it pointing to itself, so that list_empty(entry) tells it is free. */
static inline void list_del_init(struct list *entry) {
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    list_init(entry);
}

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from) {
    if (!list_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
    }
}

#define list_entry(ptr, type, member)  container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member)  list_entry((head)->prev, type, member)

#define list_for_each(pos, head) for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)
#define list_for_each_safe(pos, tmp, head)                                                         \
    for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head);                               \
         (pos) = (tmp), (tmp) = (pos)->next)
#define list_for_each_entry(pos, head, member)                                                     \
    for ((pos) = list_first(head, __typeof__(*(pos)), member); &(pos)->member != (head);           \
         (pos) = list_entry((pos)->member.next, __typeof__(*(pos)), member))
#define list_for_each_entry_safe(pos, tmp, head, member)                                           \
    for ((pos) = list_first(head, __typeof__(*(pos)), member),                                     \
        (tmp) = list_entry((pos)->member.next, __typeof__(*(pos)), member);                        \
         &(pos)->member != (head);                                                                 \
         (pos) = (tmp), (tmp) = list_entry((tmp)->member.next, __typeof__(*(pos)), member))

#endif
