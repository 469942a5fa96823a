# SPDX-License-Identifier: Apache-2.0
"""A box for a container engine: namespaces in which a real daemon can run and touch nothing of the host.

The box has its own mount, network, pid, ipc and uts namespaces.  In it /etc is an overlay (so the engine's configuration is read from
its real path and written by `moat install` there), /run, /tmp and /var/lib are empty folders of memory, and the network
holds nothing but lo, so that bridges and iptables rules are the box's own.  What cannot be namespaced is the tree of control groups:
each box has one folder of its own in every hierarchy, and asserts that it is empty at the end.

When the box is closed, nothing is left: every process in it has ended (its pid namespace is gone), and with it every mount.
"""
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

import moat

TIMEOUT = int(os.environ.get("MOAT_TEST_TIMEOUT", "120"))
CGROUPS = pathlib.Path("/sys/fs/cgroup")
# Debian's programs come first: another docker or containerd in /usr/local must not be taken.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

SETUP = r"""
set -e
d=$1
mkdir -p $d/etc $d/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=$d/etc,workdir=$d/etc.work overlay /etc
for m in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs $m; done
mkdir -p /run/lock /run/user /run/root /etc/docker /etc/containerd /etc/containers
# A machine without udev keeps /dev/net/tun to root; elsewhere it is everyone's, and slirp4netns of ordinary users needs it.
if [ -c /dev/net/tun ]; then mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun; fi
ip link set lo up
[ "$4" = keep ] || mount -t tmpfs -o mode=1777 tmpfs /tmp
echo ready
exec "$2" -c "$3"
"""

# Process 1 of the box: reaps, and ends when it is told to.
INIT = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
while True:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    signal.sigwait([signal.SIGCHLD])
"""


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def parent_of(pid):
    """0 for a process that is gone."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat[stat.rindex(")") + 2:].split()[1])


class Box:
    def __init__(self, name):
        self.dir = pathlib.Path(moat.folder("engine_" + name))
        self.cgroup = self.dir.name
        (self.dir / "setup").write_text(SETUP)
        upper = self.dir / "upper"
        upper.mkdir()
        # The overlay's upper folder lies on memory: an overlay may not lie on another one.
        self.host = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--propagation",
             "private", "sh", "-c", 'mount -t tmpfs tmpfs "$1" && exec sh "$0" "$@"', str(self.dir / "setup"), str(upper), sys.executable, INIT,
             "keep" if moat.MOAT.startswith("/tmp/") else ""],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env())
        line = self.host.stdout.readline()
        if line != "ready\n":
            rest = line + self.host.stdout.read()
            self.host.wait()
            shutil.rmtree(self.dir)
            raise RuntimeError(f"the box for {name} could not be set up: {rest}")
        self.pid = next(p for p in pids() if parent_of(p) == self.host.pid)

    @staticmethod
    def env(**more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CONTAINER", "XDG_"))}
        return {**env, "PATH": PATH, "HOME": "/run/root", **more}

    def enter(self, args):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-i", "-u", "--", *map(str, args)]

    def run(self, *args, env=None, **kw):
        """Runs a command in the box to its end: a CompletedProcess with text output."""
        kw.setdefault("timeout", TIMEOUT)
        if "input" not in kw:
            kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(self.enter(args), text=True, errors="replace", env=self.env(**(env or {})), **kw)

    def popen(self, *args, env=None, **kw):
        return subprocess.Popen(self.enter(args), env=self.env(**(env or {})), **kw)

    def path(self, inside):
        """A path of the box as the host can open it."""
        return pathlib.Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def processes(self):
        """Every process in the box but its first: {pid on the host: command line}."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for pid in pids():
            p = pathlib.Path("/proc", str(pid))
            try:
                if pid != self.pid and (os.readlink(p / "ns/pid") == space or self._below(pid)):
                    text = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[pid] = text or (p / "comm").read_text()
            except OSError:
                continue
        return found

    def _below(self, pid):
        for _ in range(64):
            if pid == self.pid:
                return True
            if pid <= 1:
                return False
            pid = parent_of(pid)
        return False

    def cgroup_folders(self):
        return [p for c in CGROUPS.iterdir() if (p := c / self.cgroup).is_dir()]

    def close(self):
        """Ends everything in the box; the problems found as text lines."""
        bad = []
        fd = os.pidfd_open(self.pid)
        self.host.kill()
        self.host.wait()
        self.host.stdout.close()
        # Process 1 is a zombie of its pid namespace only when every other process of it has ended.
        if not select.select([fd], [], [], 30)[0]:
            bad.append("the box's processes did not end")
        os.close(fd)
        for top in self.cgroup_folders():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError as e:
                    bad.append(f"control group {folder}: {e.strerror}")
        shutil.rmtree(self.dir, ignore_errors=True)
        return bad


def wait_for(what, check, timeout=30):
    """Asks `check` until it returns something true, and returns that; `what` is said when it does not in time."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)
