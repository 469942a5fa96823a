# SPDX-License-Identifier: Apache-2.0
# Scopes of a real systemd, which runs as process 1 of a name space, on unified cgroup v2.
# timeout: 90
set -eu
fail() {
    echo "FAIL $*"
    exit 1
}
[ -x /lib/systemd/systemd ] || {
    echo "systemd is not installed"
    exit 77
}
dir=$(mktemp -d)
mkdir "$dir/units" "$dir/b"
echo '[Unit]' >"$dir/units/test.target"
cat >"$dir/inner.sh" <<EOF
mkdir -p /sys/fs/cgroup/moat-systemd
echo 0 >/sys/fs/cgroup/moat-systemd/cgroup.procs
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd /run/lock
export container=moat-test SYSTEMD_UNIT_PATH=$dir/units:/run/systemd/system.control:/run/systemd/transient
exec unshare --cgroup sh $dir/systemd.sh
EOF
cat >"$dir/systemd.sh" <<EOF
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec /lib/systemd/systemd --system --unit=test.target --log-target=null --show-status=no
EOF
unshare --fork --pid --mount --kill-child --mount-proc sh "$dir/inner.sh" >"$dir/log" 2>&1 &
outer=$!
trap 'kill -KILL $outer' EXIT
tries=0
until init=$(pgrep -P "$outer") && [ -S "/proc/$init/root/run/systemd/private" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "systemd does not come up: $(cat "$dir/log")"
    sleep 0.1
done
inside() { nsenter -t "$init" -p -m -C "$@"; }
moat() { inside "$MOAT" --root /run/moat --systemd-cgroup "$@"; }
"$MOAT" spec --bundle "$dir/b"
python3 - "$dir/b/config.json" "$ROOTFS" <<'EOF'
import json, sys
c = json.load(open(sys.argv[1]))
c["root"]["path"] = sys.argv[2]
c["process"].update(args=["sleep", "1000"], terminal=False)
c["linux"].update(cgroupsPath="test-a.slice:pre:c1", resources={"memory": {"limit": 67108864, "swap": 100663296}, "pids": {"limit": 20},
    "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0"}})
json.dump(c, open(sys.argv[1], "w"))
EOF
show() { inside systemctl show pre-c1.scope --property="$1" --value; }
moat create --isolation "${ISOLATION:-sentry}" --bundle "$dir/b" c1 </dev/null >"$dir/out" 2>&1 || fail "create: $(cat "$dir/out")"
group=$(find /sys/fs/cgroup -name pre-c1.scope)
case $group in */moat-systemd/test.slice/test-a.slice/pre-c1.scope) ;; *) fail "the scope lies at '$group'" ;; esac
[ "$(show MemoryMax)" = 67108864 ] || fail "MemoryMax $(show MemoryMax)"
[ "$(show MemorySwapMax)" = 33554432 ] || fail "MemorySwapMax $(show MemorySwapMax)"
[ "$(show CPUWeight)" = 100 ] || fail "CPUWeight $(show CPUWeight)"
[ "$(show CPUQuotaPerSecUSec)" = 500ms ] || fail "CPUQuota $(show CPUQuotaPerSecUSec)"
[ "$(show Delegate)" = yes ] || fail Delegate
[ "$(cat "$group/memory.max")" = 67108864 ] || fail memory.max
[ "$(cat "$group/cpu.max")" = "50000 100000" ] || fail cpu.max
moat start c1
moat update --memory 128m --memory-swap 128m c1
[ "$(show MemoryMax)" = 134217728 ] || fail "MemoryMax after the update: $(show MemoryMax)"
inside systemctl daemon-reload
[ "$(cat "$group/memory.max")" = 134217728 ] || fail 'memory.max after a reload'
moat pause c1
[ "$(cat "$group/cgroup.freeze")" = 1 ] || fail freeze
moat delete --force c1 || fail delete
[ ! -e "$group" ] || fail "$group is left behind"
! inside systemctl is-active --quiet pre-c1.scope || fail 'the scope is left behind'
for bad in /a/b a:b a.slice:b:c:d 'a.slice:b:../c' 'x:y:z'; do
    sed -i "s|\"cgroupsPath\": \"[^\"]*\"|\"cgroupsPath\": \"$bad\"|" "$dir/b/config.json"
    ! moat create --bundle "$dir/b" c2 </dev/null >"$dir/out" 2>&1 || fail "$bad was taken"
    grep -q slice "$dir/out" || fail "message for $bad: $(cat "$dir/out")"
done
