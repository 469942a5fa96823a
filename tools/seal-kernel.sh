#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Links the kernel's archive into one relocatable object and makes all names local but the entry points that hal.h
# declares under "implemented by the kernel".
set -eu
archive=$1
object=$2
ld -r -o "$object.tmp" --whole-archive "$archive"
objcopy --keep-global-symbol=sentry_boot --keep-global-symbol=sentry_vcpu_main \
    --keep-global-symbol=sentry_host_event "$object.tmp" "$object"
rm -f "$object.tmp"
