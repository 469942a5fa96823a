# SPDX-License-Identifier: Apache-2.0
# moat do in namespaces, on unified cgroup v2.
set -eu
fail() {
    echo "FAIL $*"
    exit 1
}
in_container() { "$MOAT" do --isolation native --rootfs "$ROOTFS" "$@"; }
[ "$(in_container -- uname -r)" = "$(uname -r)" ] || fail uname
status=0
in_container -- sh -c 'exit 7' || status=$?
[ "$status" = 7 ] || fail "exit status $status"
[ "$(in_container -- sh -c 'echo $$')" = 1 ] || fail pid
in_container -- sh -c 'echo x >/etc/marker'
[ ! -e "$ROOTFS/etc/marker" ] || fail 'a write reached the root'
dir=$(mktemp -d)
in_container --volume "$dir:/v" -- sh -c 'echo inside >/v/new'
grep -qx inside "$dir/new" || fail 'volume, written'
