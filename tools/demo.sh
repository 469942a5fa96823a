#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What moat does, in a minute: real programs in the sandbox, and what the host sees of them.
#   tools/demo.sh BUILD
set -eu
build=$1
cd "$(dirname "$0")/.."
moat=$PWD/$build/moat
root=${MOAT_CACHE:-$HOME/.cache/moat}/rootfs-small
tools/make-rootfs.sh small "$root"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
    printf '$ moat do --rootfs debian -- %s\n' "$*"
    "$moat" do --rootfs "$root" -- "$@"
}

say "1. Whose kernel answers?"
echo "host:    $(uname -srv)"
show uname -a
show dmesg

say "2. Processes: the sandbox sees its own"
show sh -c 'sleep 5 & ps -ef; kill $!'

say "3. A file written inside never reaches the host"
show sh -c 'echo "written inside" >/etc/moat-was-here; ls -l /etc/moat-was-here'
ls -l "$root/etc/moat-was-here" 2>&1 | sed 's/^/host: /'

say "4. Real programs"
show bash -c 'for i in 1 2 3; do echo "job $i" & done; wait; seq 1 100000 | sort -rn | head -n 1'
show python3 -c 'import os, sys; print("python", sys.version.split()[0], "in process", os.getpid(), "on", os.uname().release)'
show sh -c 'tar -C / -cf - etc | gzip | gunzip | tar -tf - | wc -l'

say "5. Start-up, and memory of an idle sandbox"
python3 bench/run.py --build "$build" --rounds 3 --only start,memory --root small
