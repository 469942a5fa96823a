/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sentry's log: one line a record, as text or as JSON, on the descriptor that the host side
 * gave.
 *
 * Boundary: lines carry what guests chose; control characters are escaped so that no guest forges a
 * record.
 */
#include "base/fmt.h"
#include "base/string.h"
#include "platform/hal/host.h"

#include <stdarg.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static int g_log_fd = -1;
static bool g_log_json, g_log_strace;
static enum hal_log_level g_log_level = HAL_LOG_INFO;

void host_log_init(const struct moat_boot *boot) {
    g_log_fd = boot->log_fd;
    g_log_json = (boot->flags & MOAT_BOOT_LOG_JSON) != 0;
    g_log_strace = (boot->flags & MOAT_BOOT_STRACE) != 0;
    if (g_log_strace) {
        g_log_level = HAL_LOG_STRACE;
    } else if ((boot->flags & MOAT_BOOT_DEBUG) != 0) {
        g_log_level = HAL_LOG_DEBUG;
    }
}

enum hal_log_level hal_log_level(void) {
    return g_log_level;
}

bool hal_strace_enabled(void) {
    return g_log_strace;
}

/* Copies with escapes (JSON's, which text uses too); bytes written. */
static size_t escape(char *out, size_t max, const char *in, size_t len) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < len && n + 6 < max; i++) {
        unsigned char c = (unsigned char)in[i];
        if (g_log_json && (c == '"' || c == '\\')) {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(out + n, "\\u00", 4);
            out[n + 4] = hex[c >> 4];
            out[n + 5] = hex[c & 15];
            n += 6;
        } else {
            out[n++] = (char)c;
        }
    }
    return n;
}

struct date {
    int year, month, day, hour, minute, second;
};

/* The Gregorian date of a time in UTC (libc's would read files): days are counted from 1 March of
 * year 0, so that the leap day ends a year; 719468 such days lie before 1970. */
static struct date date_of(int64_t seconds) {
    int64_t days = seconds / 86400 + 719468, rest = seconds % 86400;
    int64_t era = days / 146097, of_era = days % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    return (struct date){
        .year = (int)(year + era * 400 + (month >= 10 ? 1 : 0)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(of_year - (153 * month + 2) / 5 + 1),
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
    };
}

void hal_log(enum hal_log_level level, const char *line, size_t len) {
    static const char *const names[] = {"error", "warning", "info", "debug", "strace"};
    char out[LINE_MAX_BYTES + 128];
    uint64_t now = hal_clock_ns(HAL_CLOCK_REALTIME);
    if (g_log_fd < 0 || (size_t)level >= ARRAY_COUNT(names)) {
        return;
    }
    struct date d = date_of((int64_t)(now / NSEC_PER_SEC));
    size_t n = fmt_snprintf(
        out, sizeof(out),
        g_log_json
            ? "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06luZ\",\"level\":\"%s\",\"msg\":\""
            : "%04d-%02d-%02dT%02d:%02d:%02d.%06luZ %s ",
        d.year, d.month, d.day, d.hour, d.minute, d.second,
        (unsigned long)(now % NSEC_PER_SEC / 1000), names[level]);
    size_t used = n;
    used += escape(out + used, sizeof(out) - used - 4, line, len);
    if (g_log_json) {
        memcpy(out + used, "\"}", 2);
        used += 2;
    }
    out[used++] = '\n';
    (void)sys3(SYS_write, g_log_fd, (long)out,
               (long)used); /* a log that cannot be written is lost */
}

void host_warn(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    size_t n = fmt_vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    hal_log(HAL_LOG_WARN, line, MIN(n, sizeof(line) - 1));
}

noreturn_fn void host_die(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    size_t n = fmt_vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    size_t len = MIN(n, sizeof(line) - 2);
    hal_log(HAL_LOG_ERROR, line, len);
    line[len] = '\n';
    (void)sys3(SYS_write, STDERR_FILENO, (long)line, (long)len + 1); /* nothing more can be done */
    hal_exit(125);
}
