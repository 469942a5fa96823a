/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freestanding memory and string functions under their C names (the compiler calls the mem* ones
 * by itself).  In hosted programs libc's definitions are used; this header is for freestanding
 * code.
 */
#ifndef MOAT_BASE_STRING_H
#define MOAT_BASE_STRING_H

#include "base/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memchr(const void *s, int byte, size_t len);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);
/* Copies at most size-1 bytes and always terminates (size > 0); returns strlen(src). */
size_t strlcpy(char *dst, const char *src, size_t size);

#endif
