/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatted text without libc.  The output is bounded by the buffer, the returned length by the
 * arguments.
 */
#include "base/fmt.h"

#include "base/string.h"

#include <asm-generic/errno.h>

struct out {
    char *buf;
    size_t size;
    size_t len; /* of the whole text */
};

struct spec {
    bool left, zero, plus, space, alt;
    int width;
    int precision; /* -1: none */
    int length;    /* bytes of the integer argument */
};

static void put(struct out *o, char c) {
    if (o->len + 1 < o->size) {
        o->buf[o->len] = c;
    }
    o->len++;
}

static void pad(struct out *o, char c, int count) {
    for (; count > 0; count--) {
        put(o, c);
    }
}

static void put_text(struct out *o, const struct spec *s, const char *text) {
    if (text == NULL) {
        text = "(null)";
    }
    size_t len = s->precision >= 0 ? strnlen(text, (size_t)s->precision) : strlen(text);
    int fill = s->width > (int)len ? s->width - (int)len : 0;
    if (!s->left) {
        pad(o, ' ', fill);
    }
    for (size_t i = 0; i < len; i++) {
        put(o, text[i]);
    }
    if (s->left) {
        pad(o, ' ', fill);
    }
}

/* `prefix` is the sign or "0x". */
static void put_number(struct out *o, const struct spec *s, uint64_t value, unsigned int base,
                       bool upper, const char *prefix) {
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    int len = 0;
    while (value != 0) {
        text[len++] = digits[value % base];
        value /= base;
    }
    if (len == 0 && s->precision != 0) {
        text[len++] = '0';
    }
    int zeros = s->precision > len ? s->precision - len : 0;
    int total = (int)strlen(prefix) + zeros + len;
    int fill = s->width > total ? s->width - total : 0;
    if (s->zero && !s->left && s->precision < 0) {
        zeros += fill;
        fill = 0;
    }
    if (!s->left) {
        pad(o, ' ', fill);
    }
    while (*prefix != '\0') {
        put(o, *prefix++);
    }
    pad(o, '0', zeros);
    while (len > 0) {
        put(o, text[--len]);
    }
    if (s->left) {
        pad(o, ' ', fill);
    }
}

static int parse_count(const char **format, va_list *args) {
    if (**format == '*') {
        (*format)++;
        return va_arg(*args, int);
    }
    int n = 0;
    while (**format >= '0' && **format <= '9') {
        if (n < 100000) {
            n = n * 10 + (**format - '0');
        }
        (*format)++;
    }
    return n;
}

static void parse_flags(struct spec *s, const char **format) {
    for (;; (*format)++) {
        switch (**format) {
        case '-':
            s->left = true;
            break;
        case '0':
            s->zero = true;
            break;
        case '+':
            s->plus = true;
            break;
        case ' ':
            s->space = true;
            break;
        case '#':
            s->alt = true;
            break;
        default:
            return;
        }
    }
}

static void parse_length(struct spec *s, const char **format) {
    for (;; (*format)++) {
        switch (**format) {
        case 'l':
        case 'z':
        case 'j':
        case 't':
            s->length = 8;
            break;
        case 'h':
            s->length = s->length == 2 ? 1 : 2;
            break;
        default:
            return;
        }
    }
}

static struct spec parse_spec(const char **format, va_list *args) {
    struct spec s = {.precision = -1, .length = 4};
    parse_flags(&s, format);
    s.width = parse_count(format, args);
    if (s.width < 0) {
        s.left = true;
        s.width = -s.width;
    }
    if (**format == '.') {
        (*format)++;
        s.precision = parse_count(format, args);
    }
    parse_length(&s, format);
    return s;
}

static uint64_t arg_unsigned(const struct spec *s, va_list *args) {
    uint64_t v = s->length == 8 ? va_arg(*args, uint64_t) : va_arg(*args, unsigned int);
    return s->length == 2 ? (uint16_t)v : s->length == 1 ? (uint8_t)v : v;
}

static int64_t arg_signed(const struct spec *s, va_list *args) {
    int64_t v = s->length == 8 ? va_arg(*args, int64_t) : va_arg(*args, int);
    return s->length == 2 ? (int16_t)v : s->length == 1 ? (int8_t)v : v;
}

static void put_signed(struct out *o, const struct spec *s, int64_t v) {
    const char *sign = v < 0 ? "-" : s->plus ? "+" : s->space ? " " : "";
    put_number(o, s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, false, sign);
}

static void put_hex(struct out *o, const struct spec *s, uint64_t v, bool upper) {
    put_number(o, s, v, 16, upper, s->alt && v != 0 ? (upper ? "0X" : "0x") : "");
}

static void convert(struct out *o, struct spec *s, char kind, va_list *args) {
    char one[2] = {0, 0};
    switch (kind) {
    case 'd':
    case 'i':
        put_signed(o, s, arg_signed(s, args));
        break;
    case 'u':
        put_number(o, s, arg_unsigned(s, args), 10, false, "");
        break;
    case 'o': {
        uint64_t v = arg_unsigned(s, args);
        put_number(o, s, v, 8, false, s->alt && v != 0 ? "0" : "");
        break;
    }
    case 'x':
    case 'X':
        put_hex(o, s, arg_unsigned(s, args), kind == 'X');
        break;
    case 'p':
        s->length = 8;
        put_number(o, s, (uintptr_t)va_arg(*args, void *), 16, false, "0x");
        break;
    case 's':
        put_text(o, s, va_arg(*args, const char *));
        break;
    case 'c':
        one[0] = (char)va_arg(*args, int);
        pad(o, ' ', s->left ? 0 : s->width - 1);
        put(o, one[0]);
        pad(o, ' ', s->left ? s->width - 1 : 0);
        break;
    case '%':
        put(o, '%');
        break;
    default: /* an unknown conversion shows as it was written */
        put(o, '%');
        put(o, kind);
        break;
    }
}

size_t fmt_vsnprintf(char *buf, size_t size, const char *format, va_list args) {
    struct out o = {.buf = buf, .size = size};
    va_list ap;
    va_copy(ap, args);
    while (*format != '\0') {
        if (*format != '%') {
            put(&o, *format++);
            continue;
        }
        format++;
        struct spec s = parse_spec(&format, &ap);
        if (*format == '\0') {
            break;
        }
        convert(&o, &s, *format++, &ap);
    }
    va_end(ap);
    if (size > 0) {
        buf[MIN(o.len, size - 1)] = '\0';
    }
    return o.len;
}

size_t fmt_snprintf(char *buf, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    size_t len = fmt_vsnprintf(buf, size, format, args);
    va_end(args);
    return len;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return 99;
}

int fmt_parse_u64(const char *text, unsigned int base, uint64_t *out_value) {
    uint64_t value = 0;
    if (*text == '\0') {
        return -EINVAL;
    }
    for (; *text != '\0'; text++) {
        int digit = digit_value(*text);
        if (digit >= (int)base) {
            return -EINVAL;
        }
        if (ckd_mul(&value, value, base) || ckd_add(&value, value, (uint64_t)digit)) {
            return -ERANGE;
        }
    }
    *out_value = value;
    return 0;
}
