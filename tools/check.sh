#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The checks of CI: layering, the kernel's symbols and instructions, formatting, and a clang build.
#   tools/check.sh BUILD
set -eu
build=$1
cd "$(dirname "$0")/.."
python3 tools/check-layers.py
tools/check-kernel.sh "$build/src/sentry/sentry.o"
# shellcheck disable=SC2046
clang-format --dry-run --Werror $(git ls-files '*.c' '*.h')
if command -v clang >/dev/null; then
    [ -f "$build-clang/build.ninja" ] || CC=clang meson setup "$build-clang" >/dev/null
    ninja -C "$build-clang" --quiet
fi
echo "checks: layers, kernel object, format and clang build are fine"
