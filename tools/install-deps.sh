#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that a purpose needs, and says which.  Quick when nothing is missing.
#   tools/install-deps.sh build|demo|test|check|bench
set -eu

build="gcc libc6-dev make meson ninja-build pkg-config binutils libjson-c-dev libcap-dev libseccomp-dev"
demo="$build mmdebstrap python3"
# The container engines that the tests run moat under, and what their packages only recommend.
engines="docker.io containerd podman runc iptables iproute2 tini uidmap slirp4netns"
guest="uidmap qemu-system-x86 qemu-system-common erofs-utils e2fsprogs apparmor secilc" # qemu-system-common for virtiofsd
case "${1:-}" in
build) want=$build ;;
demo) want=$demo ;;
test) want="$demo busybox-static util-linux procps strace criu $engines $guest" ;;
check) want="$build clang clang-format python3" ;;
bench) want="$demo runc" ;; # runsc, where bookworm-backports has it, is measured too
*)
    echo "usage: $0 build|demo|test|check|bench" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian system: install the equivalents of: $want" >&2
    exit 0
fi
missing=
for p in $want; do
    case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in
    "install ok installed") ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0
sudo=
if [ "$(id -u)" -ne 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null || {
        echo "Missing packages:$missing. Install them as root: apt-get install$missing" >&2
        exit 1
    }
fi
echo "Installing with apt:$missing"
log=$(mktemp)
# The package lists may be missing or old on a fresh machine: refresh them only when the first try fails.
if ! DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends $missing >"$log" 2>&1; then
    $sudo apt-get update >"$log" 2>&1 &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
fi
rm -f "$log"
