# SPDX-License-Identifier: Apache-2.0
# moat do in the application kernel: programs, exit codes, streams, volumes, as root and as an ordinary user.
# as: root user
# timeout: 60
set -eu
fail() {
    echo "FAIL $*"
    exit 1
}
in_sandbox() { "$MOAT" do --rootfs "$ROOTFS" "$@"; }
in_sandbox -- uname -a | grep -q moat || fail uname
[ "$(in_sandbox -- id -u)" = 0 ] || fail id
status=0
in_sandbox -- sh -c 'exit 7' || status=$?
[ "$status" = 7 ] || fail "exit status $status"
status=0
in_sandbox -- sh -c 'sh -c "kill -KILL \$\$"' || status=$?
[ "$status" = 137 ] || fail "status of a killed program $status"
[ "$(seq 1000 | in_sandbox -- sh -c 'sort -n | tail -n 1')" = 1000 ] || fail streams
dir=$(mktemp -d)
echo outside >"$dir/file"
in_sandbox --volume "$dir:/v" -- sh -c 'cat /v/file; echo inside >/v/new' | grep -qx outside || fail 'volume, read'
grep -qx inside "$dir/new" || fail 'volume, written'
in_sandbox -- python3 -c 'import threading; t = threading.Thread(target=print, args=("thread",)); t.start(); t.join()' |
    grep -qx thread || fail python
