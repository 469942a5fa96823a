# SPDX-License-Identifier: Apache-2.0
# PID 1 once the root is there (see init.sh): runs /run/job/command, tells its status, powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
. /run/job/environment
port=$(cd /dev && echo vport*p1)
port=${port#vport}
port=${port%p1}
# Pipes, as from a shell on the host; a port of the guest can be opened once only.
mkfifo /run/out /run/err
cat </run/out >/dev/vport${port}p1 &
out=$!
cat </run/err >/dev/vport${port}p2 &
err=$!
cd "$MOAT_REPO"
if [ -n "$MOAT_GUEST_STDIN" ]; then
    sh /run/job/command </dev/vport${port}p1 >/run/out 2>/run/err
else
    sh /run/job/command </dev/null >/run/out 2>/run/err
fi
status=$?
# What the command left running keeps the pipes open: a moment for their last bytes, not more.
i=0
while [ $i -lt 20 ] && { [ -d /proc/$out ] || [ -d /proc/$err ]; }; do
    sleep 0.1
    i=$((i + 1))
done
echo "$status" >/dev/vport${port}p3
busybox poweroff -f
