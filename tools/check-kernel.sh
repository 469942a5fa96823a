#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sealed kernel object may ask only for what its two doors declare, and holds no instruction that enters the host.
#   tools/check-kernel.sh sentry.o
set -eu
object=$1
doors="$(dirname "$0")/../src/sentry/include"
allowed=$(mktemp)
trap 'rm -f "$allowed"' EXIT
grep -ohE '\b(hal|platform)_[a-z0-9_]+ *\(' "$doors/hal.h" "$doors/platform.h" | tr -d ' (' | sort -u >"$allowed"
bad=$(nm -u "$object" | awk '{print $NF}' | sort -u | grep -vxFf "$allowed" || true)
if [ -n "$bad" ]; then
    echo "the kernel object needs names that neither hal.h nor platform.h declares:" >&2
    echo "$bad" >&2
    exit 1
fi
if objdump -d --no-show-raw-insn "$object" | grep -wE 'syscall|sysenter|int +\$0x80' >&2; then
    echo "the kernel object holds an instruction that calls the host (above)" >&2
    exit 1
fi
if objdump -d --no-show-raw-insn "$object" | grep -E '%(xmm|ymm|zmm|st|mm)[0-9(]' | head -n 3 | grep . >&2; then
    echo "the kernel object uses floating-point or vector registers (above)" >&2
    exit 1
fi
