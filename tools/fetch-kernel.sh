#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the kernel of Debian's linux-image-cloud-amd64, never installed on this machine, below DIR, unless it is there:
# DIR/vmlinuz and DIR/lib/modules/RELEASE with its dependency lists.
#   tools/fetch-kernel.sh DIR
set -eu
[ $# -eq 1 ] || {
    echo "usage: $0 DIR" >&2
    exit 2
}
dir=$1
version=1
if [ -f "$dir/stamp" ] && [ "$(cat "$dir/stamp")" = "$version" ]; then
    exit 0
fi
package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1
}
name=$(package)
if [ -z "$name" ]; then
    [ "$(id -u)" -ne 0 ] || apt-get update >/dev/null 2>&1 || :
    name=$(package)
fi
[ -n "$name" ] || {
    echo "apt knows no linux-image-cloud-amd64: check the package sources, then apt-get update" >&2
    exit 1
}
echo "Fetching Debian's kernel $name into $dir (once; it is not installed)"
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
(cd "$new" && apt-get download "$name" >log 2>&1) || {
    cat "$new/log" >&2
    exit 1
}
dpkg-deb -x "$new"/*.deb "$new/x"
mkdir "$new/out" "$new/out/lib"
mv "$new"/x/boot/vmlinuz-* "$new/out/vmlinuz"
mv "$new/x/lib/modules" "$new/out/lib/modules"
busybox depmod -b "$new/out" "$(ls "$new/out/lib/modules")"
echo "$version" >"$new/out/stamp"
rm -rf "$dir"
mv "$new/out" "$dir"
