#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the guest (tests/guest/run puts it into the initramfs): the host's files, read-only by virtio-fs, with a memory
# overlay above them, become the root; then the job runs and its exit status goes out by the third port.
# The kernel's command line names the job's folder as the host sees it: moat.job=DIR.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mkdir -p /proc /sys /dev /lower /memory /new
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
job=$(sed 's/.*moat\.job=\([^ ]*\).*/\1/' /proc/cmdline)
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "guest: cannot load $module"
done
mount -t virtiofs -o ro root /lower &&
    mount -t tmpfs -o mode=755,size=75% memory /memory &&
    mkdir /memory/upper /memory/work &&
    mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /new || {
    echo "guest: no root"
    poweroff -f
}
for m in proc sys dev run; do
    mkdir -p "/new/$m"
done
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t devtmpfs devtmpfs /new/dev
mkdir -p /new/dev/pts /new/dev/shm /new/dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs -o mode=1777 shm /new/dev/shm
mount -t mqueue mqueue /new/dev/mqueue
mount -t tmpfs -o mode=755 run /new/run
ln -sf /proc/self/fd /new/dev/fd
for n in 0:stdin 1:stdout 2:stderr; do
    ln -sf "/proc/self/fd/${n%:*}" "/new/dev/${n#*:}"
done
mkdir -p /new/run/job
mount --bind "/lower$job" /new/run/job
. /new/run/job/environment
ip link set lo up
hostname guest

# The kernel and `modprobe NAME` find the modules of the kernel that runs.
modules=/lib/modules/$(uname -r)
mkdir -p "/new$modules"
mount --bind "/lower$MOAT_KERNEL$modules" "/new$modules"
[ -e /new/sbin/modprobe ] || ln -s /bin/busybox /new/sbin/modprobe

# An ordinary user with subordinate ids, a run-time folder, and a cgroup that is delegated to it.
cd /new
grep -q '^user:' etc/passwd || echo 'user:x:1000:1000::/home/user:/bin/bash' >>etc/passwd
grep -q '^user:' etc/group || echo 'user:x:1000:' >>etc/group
echo 'user:100000:65536' >etc/subuid
echo 'user:100000:65536' >etc/subgid
mkdir -p home/user run/user/1000
chown 1000:1000 home/user run/user/1000
chmod 700 run/user/1000
cg=sys/fs/cgroup
own=$cg/user.slice/user-1000.slice
echo '+cpu +memory +pids +io +cpuset' >$cg/cgroup.subtree_control
mkdir -p $own/tests
for d in $cg/user.slice $own; do
    echo '+cpu +memory +pids' >$d/cgroup.subtree_control
done
for d in $own $own/tests; do
    chown 1000:1000 $d $d/cgroup.procs $d/cgroup.subtree_control $d/cgroup.threads
done
# What the tests need lies in folders that may be private to root on the host; the change stays in the overlay.
for p in "$MOAT_REPO" "$MOAT_BUILD" "$MOAT_CACHE"; do
    while [ -n "$p" ]; do
        [ ! -e "/new$p" ] || chmod go+rx "/new$p"
        p=${p%/*}
    done
done
cd /
exec switch_root /new /bin/sh /run/job/pid1.sh
