/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freestanding formatted text: a subset of printf (%d %i %u %x %X %o %c %s %p %%, widths, zero and
 * left padding, precision for %s and integers, '*', and the l, ll, z, h, hh lengths).
 */
#ifndef MOAT_BASE_FMT_H
#define MOAT_BASE_FMT_H

#include "base/types.h"

#include <stdarg.h>

/* Like snprintf: writes at most size-1 bytes and a NUL, returns the length the whole text has. */
size_t fmt_snprintf(char *buf, size_t size, const char *format, ...) printf_like(3, 4);
size_t fmt_vsnprintf(char *buf, size_t size, const char *format, va_list args);
/* Parses an unsigned decimal (base 10), octal (8) or hex (16) number that fills the whole string.
 * 0, or -EINVAL / -ERANGE. */
must_check int fmt_parse_u64(const char *text, unsigned int base, uint64_t *out_value);

#endif
