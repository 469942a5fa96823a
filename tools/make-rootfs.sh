#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 12 root file system in DIR with mmdebstrap, unless it is there already.
#   tools/make-rootfs.sh small|full DIR      small: a base system; full: with the programs that the tests run
set -eu
kind=$1
dir=$2
case $kind in
small) packages=python3-minimal,procps ;;
full) packages=procps,python3,perl,gcc,libc6-dev,make,git,vim-tiny,less,xz-utils,bzip2,gawk,file,sqlite3,bc,strace ;;
*)
    echo "usage: $0 small|full DIR" >&2
    exit 2
    ;;
esac
stamp="$dir.stamp"
version="2 $kind $packages"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$version" ]; then
    exit 0
fi
echo "Making a Debian 12 root file system in $dir (once; it is kept)"
rm -rf "$dir" "$stamp"
mkdir -p "$(dirname "$dir")"
log=$(mktemp)
mmdebstrap --quiet --variant=apt --include="$packages" --format=directory bookworm "$dir" >"$log" 2>&1 || {
    cat "$log" >&2
    rm -rf "$dir"
    exit 1
}
# An ordinary user for the tests, and no leftovers of the package lists.
chroot "$dir" useradd -m -u 1000 -s /bin/bash user
rm -rf "$dir"/var/lib/apt/lists/* "$dir"/var/cache/apt/*.bin
rm -f "$log"
echo "$version" >"$stamp"
