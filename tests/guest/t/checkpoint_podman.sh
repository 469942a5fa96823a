# SPDX-License-Identifier: Apache-2.0
# podman container checkpoint and restore over native, through conmon.
# timeout: 200
set -eu
skip() {
    echo "$*"
    exit 77
}
fail() {
    echo "FAIL $*"
    find /run/podman-test -name dump.log -o -name restore.log | xargs -r tail -n 5
    exit 1
}
[ -n "${MOAT_ALL_TESTS:-}" ] || skip "takes long in the guest: MOAT_ALL_TESTS=1 runs it"
command -v podman >/dev/null || skip "podman is not installed"
criu check >/dev/null 2>&1 || skip "criu is not installed or does not work here"
dir=/run/podman-test
root=$dir/root
for d in bin dev proc sys etc run tmp; do
    mkdir -p $root/$d
done
cp "$(command -v busybox)" $root/bin/busybox
for p in sh sleep cat; do
    ln -s busybox $root/bin/$p
done
ln -s "$MOAT" $dir/moat-native
pod() {
    podman --root $dir/storage --runroot $dir/run --runtime $dir/moat-native --cgroup-manager cgroupfs --storage-driver vfs \
        --events-backend none "$@"
}
# A word that only the process's memory holds.
pod run -d --name x --network none --rootfs $root \
    sh -c 'word=$(cat /proc/sys/kernel/random/uuid); while :; do echo $word >/dev/shm/word; sleep 0.1; done' || fail run
word=
until [ -n "$word" ]; do word=$(pod exec x cat /dev/shm/word 2>/dev/null || true); done
pod container checkpoint x || fail checkpoint
[ "$(pod inspect -f '{{.State.Status}}' x)" = exited ] || fail "it is not exited"
pod container restore x || fail restore
[ "$(pod inspect -f '{{.State.Status}}' x)" = running ] || fail "it is not running"
again=$(pod exec x sh -c 'echo >/dev/shm/word; w=; until [ -n "$w" ]; do read w </dev/shm/word || w=; done; echo $w')
[ "$again" = "$word" ] || fail "its memory is not what it was: $again instead of $word"
pod rm -f -t 0 x >/dev/null
