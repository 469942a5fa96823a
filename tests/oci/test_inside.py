# SPDX-License-Identifier: Apache-2.0
"""Fields of config.json as a program in the container meets them, the same under every isolation."""
import json
import os
import pathlib
import signal
import unittest

import moat
from bundle import BundleTest, each_isolation

ALL = ("bounding", "effective", "permitted")


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Fields:
    def sh(self, script, change=None, ok=True, **process):
        """Output of a shell script that is the container's program."""
        self.config("sh", "-c", script, change=change, **process)
        r = self.run_it(self.name(), ok=ok)
        self.warnings = r.stderr
        return r.stdout if ok else r

    def linux(self, **fields):
        return lambda c: c["linux"].update(fields)

    # ---- process ----

    def test_user(self):
        out = self.sh("id -u; id -g; id -G; umask; touch /dev/shm/f; stat -c %a /dev/shm/f",
                      user={"uid": 1234, "gid": 2345, "additionalGids": [7, 4321], "umask": 0o27})
        self.assertEqual(out, "1234\n2345\n2345 7 4321\n0027\n640\n")

    def test_capabilities(self):
        caps = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "effective": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
        out = self.sh("grep ^Cap /proc/self/status", capabilities=caps, user={"uid": 1000, "gid": 1000})
        sets = dict(line.split(":\t") for line in out.splitlines())
        # A program without file capabilities gets the ambient set (capabilities(7)).
        self.assertEqual([int(sets[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
                         [1 << 5, 1 << 5, 1 << 5, 1 << 0 | 1 << 5 | 1 << 13, 1 << 5])
        out = self.sh("grep ^CapEff /proc/self/status; chown 1 /dev/shm 2>/dev/null; stat -c %u /dev/shm",
                      capabilities={k: ["CAP_KILL"] for k in ALL}, user={"uid": 0, "gid": 0})
        self.assertEqual(out, f"CapEff:\t{1 << 5:016x}\n0\n")

    def test_rlimits(self):
        out = self.sh("ulimit -Sn; ulimit -Hn; ulimit -Sc", rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}])
        self.assertEqual(out, "77\n99\n0\n")

    def test_no_new_privileges(self):
        for value in (True, False):
            out = self.sh("grep ^NoNewPrivs /proc/self/status", noNewPrivileges=value)
            self.assertEqual(out, f"NoNewPrivs:\t{int(value)}\n")

    def test_oom_score(self):
        self.assertEqual(self.sh("cat /proc/self/oom_score_adj", oomScoreAdj=432), "432\n")

    def test_scheduling(self):
        out = self.sh("nice; cut -d ' ' -f 19 /proc/self/stat; python3 -c 'import os; print(os.sched_getscheduler(0))'",
                      scheduler={"policy": "SCHED_BATCH", "nice": 5})
        self.assertEqual(out, "5\n5\n3\n")
        if pathlib.Path(moat.rootfs(), "usr/bin/ionice").exists():
            out = self.sh("ionice", ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6})
            self.assertEqual(out, "best-effort: prio 6\n")

    def test_working_directory(self):
        self.assertEqual(self.sh("pwd", cwd="/usr/share"), "/usr/share\n")
        r = self.sh("pwd", cwd="/etc/passwd/x", ok=False)
        self.assertNotEqual(r.returncode, 0)

    def test_environment(self):
        out = self.sh("echo $A; env | wc -l", env=["PATH=/bin:/usr/bin", "A=b c"])
        self.assertEqual(out.splitlines()[0], "b c")

    def test_program_errors(self):
        for args, text in ((["nothing-here"], "executable file not found"), (["/nothing/here"], "no such file or directory"),
                           (["/etc/passwd"], "permission denied"), (["/etc"], "permission denied|is a directory")):
            self.config(*args)
            r = self.run_it(self.name(), ok=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertRegex(r.stderr, text)

    # ---- names ----

    def test_names(self):
        out = self.sh("hostname; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname",
                      change=lambda c: c.update(hostname="some-name", domainname="example.net"))
        self.assertEqual(out, "some-name\nsome-name\nexample.net\n")

    # ---- root and mounts ----

    def test_read_only_root(self):
        script = "touch /new 2>&1; touch /dev/shm/x && echo shm; grep ' / ' /proc/mounts | tail -1 | cut -d ' ' -f 4 | cut -c 1-2"
        out = self.sh(script, change=lambda c: c["root"].update(readonly=True))
        self.assertIn("Read-only file system", out)
        self.assertIn("shm\n", out)
        self.assertEqual(out.splitlines()[-1], "ro")

    def mounts(self, *more):
        return lambda c: c["mounts"].extend(more)

    def volume(self):
        path = pathlib.Path(self.dir, "volume")
        path.mkdir(exist_ok=True)
        return path

    def test_bind_flags(self):
        v = self.volume()
        (v / "tool").write_text("#!/bin/sh\necho ran\n")
        (v / "tool").chmod(0o4755)
        (v / "file").write_text("one\n")
        out = self.sh("cat /ro/file; echo x 2>&1 >/ro/file; /rw/tool; /noexec/tool 2>&1; echo two >/rw/file; cat /ro/file /one",
                      change=self.mounts(
                          {"destination": "/ro", "source": str(v), "options": ["rbind", "ro"]},
                          {"destination": "/rw", "source": str(v), "options": ["rbind", "rw", "nosuid"]},
                          {"destination": "/noexec", "source": str(v), "options": ["rbind", "noexec"]},
                          {"destination": "/one", "source": str(v / "file"), "options": ["bind", "ro", "rprivate"]}))
        lines = out.splitlines()
        self.assertEqual(lines[0], "one")
        self.assertIn("ran", lines)
        self.assertTrue(any("Permission denied" in line for line in lines), out)
        self.assertEqual(lines[-2:], ["two", "two"])
        self.assertEqual((v / "file").read_text(), "two\n")

    def test_tmpfs(self):
        out = self.sh("stat -c '%a %u %g' /t; df -k --output=size /t | tail -1; head -c 200000 /dev/zero 2>/dev/null >/t/big || echo full",
                      change=self.mounts({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
                                          "options": ["size=64k", "mode=1750", "uid=5", "gid=6", "nosuid", "nodev"]}))
        self.assertEqual(out.split(), ["1750", "5", "6", "64", "full"])

    def test_tmpcopyup(self):
        out = self.sh("ls /etc/apt | wc -l; test -e /etc/apt/sources.list -o -d /etc/apt/sources.list.d && echo copied; "
                      "touch /etc/apt/new && echo new; stat -c %a /etc/apt",
                      change=self.mounts({"destination": "/etc/apt", "type": "tmpfs", "source": "tmpfs",
                                          "options": ["tmpcopyup", "size=8m"]}))
        self.assertNotEqual(out.splitlines()[0], "0")
        self.assertEqual(out.splitlines()[1:3], ["copied", "new"])
        self.assertFalse(pathlib.Path(moat.rootfs(), "etc/apt/new").exists())

    def test_pseudo_file_systems(self):
        out = self.sh("stat -f -c %T /proc /dev/pts /dev/mqueue /sys; ls /sys/fs/cgroup >/dev/null && echo cgroup",
                      change=self.mounts({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                                          "options": ["nosuid", "noexec", "nodev"]},
                                         {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                                          "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}))
        self.assertEqual(out.splitlines(), ["proc", "devpts", "mqueue", "sysfs", "cgroup"])

    def test_unknown_file_system(self):
        self.config("true", change=self.mounts({"destination": "/x", "type": "nothingfs", "source": "x"}))
        r = self.run_it(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("/x", r.stderr)

    # ---- linux ----

    def test_devices(self):
        out = self.sh("stat -c '%F %t %T %a %u %g' /dev/zero2 /dev/pipe; head -c 3 /dev/zero2 | od -An -tx1; "
                      "for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done; readlink /dev/ptmx /dev/fd",
                      change=self.linux(devices=[
                          {"path": "/dev/zero2", "type": "c", "major": 1, "minor": 5, "fileMode": 0o644, "uid": 3, "gid": 4},
                          {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]))
        self.assertEqual(out.splitlines(), ["character special file 1 5 644 3 4", "fifo 0 0 600 0 0", " 00 00 00", "null", "zero",
                                            "full", "random", "urandom", "tty", "pts/ptmx", "/proc/self/fd"])

    def test_masked_and_read_only_paths(self):
        out = self.sh("cat /etc/passwd | wc -c; ls /etc/apt | wc -l; touch /etc/apt/x 2>&1; echo a >/proc/sys/kernel/hostname; "
                      "cat /etc/hostname >/dev/null; ls /usr/share/nothing 2>&1 | tail -1; touch /usr/share/new 2>&1; cat /proc/self/comm",
                      change=self.linux(maskedPaths=["/etc/passwd", "/etc/apt", "/no/such/path"],
                                        readonlyPaths=["/proc/sys", "/usr/share", "/neither"]))
        lines = out.splitlines()
        self.assertEqual(lines[:2], ["0", "0"])
        self.assertEqual(lines[-1], "cat")
        self.assertEqual(sum("Read-only" in line for line in lines), 2, out)

    def test_sysctl(self):
        out = self.sh("cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_unprivileged_port_start "
                      "/proc/sys/net/ipv4/ping_group_range",
                      change=self.linux(sysctl={"kernel.shmmni": "123", "fs.mqueue.msg_max": "17",
                                                "net.ipv4.ip_unprivileged_port_start": "80",
                                                "net/ipv4/ping_group_range": "0 2147483647"}))
        self.assertEqual(out.split(), ["123", "17", "80", "0", "2147483647"])
        self.config("true", change=self.linux(sysctl={"net.ipv4.no_such_thing": "1"}))
        r = self.run_it(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("no_such_thing", r.stderr)

    def test_unprivileged_port(self):
        program = ("python3 -c 'import socket\nfor p in (79, 80):\n  s = socket.socket()\n  try:\n    s.bind((\"127.0.0.1\", p)); print(p)"
                   "\n  except PermissionError: print(\"no\")'")
        out = self.sh(program, user={"uid": 1000, "gid": 1000}, capabilities={},
                      change=self.linux(sysctl={"net.ipv4.ip_unprivileged_port_start": "80"}))
        self.assertEqual(out, "no\n80\n")

    def seccomp(self, *rules, default="SCMP_ACT_ALLOW", **more):
        return self.linux(seccomp={"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more})

    def test_seccomp(self):
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
        out = self.sh("mkdir /dev/shm/a 2>&1; grep ^Seccomp: /proc/self/status", change=self.seccomp(rule))
        self.assertEqual(out, "mkdir: cannot create directory '/dev/shm/a': Operation not supported\nSeccomp:\t2\n")
        self.config("mkdir", "/dev/shm/a", change=self.seccomp({"names": rule["names"], "action": "SCMP_ACT_KILL_PROCESS"}))
        self.assertEqual(self.run_it(self.name(), ok=False).returncode, 128 + signal.SIGSYS)

    def test_seccomp_arguments(self):
        rule = {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
                "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}
        program = ("python3 -c 'import ctypes\nl = ctypes.CDLL(None, use_errno=True)\nfor v in (0, 8):\n"
                   "  r = l.personality(v); print(r >= 0 or ctypes.get_errno())'")
        out = self.sh(program, change=self.seccomp(rule))
        self.assertEqual(out, "True\n99\n")

    def test_seccomp_of_exec(self):
        name = self.name()
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
        self.config("sleep", "1000", change=self.seccomp(rule))
        self.create(name)
        self.moat("start", name)
        r = self.moat("exec", name, "mkdir", "/dev/shm/a", ok=False)
        self.assertIn("Operation not supported", r.stderr)
        self.moat("delete", "--force", name)

    def test_personality(self):
        out = self.sh("cat /proc/self/personality 2>/dev/null; uname -m", change=self.linux(personality={"domain": "LINUX"}))
        self.assertTrue(out.endswith("x86_64\n"))

    def test_pids_limit(self):
        out = self.sh("i=0; while [ $i -lt 30 ]; do sleep 1000 & i=$((i+1)); done 2>&1; echo end; kill -9 -1", ok=False,
                      change=self.linux(resources={"pids": {"limit": 10}}))
        self.assertIn("ork", out.stdout + out.stderr)  # "Cannot fork", "fork: retry"

    # ---- hooks inside ----

    def hook(self, script, **more):
        return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin", "H=ook"], **more}

    def test_start_container_hook(self):
        name = self.name()
        shm = {"destination": "/log", "source": str(self.volume()), "options": ["rbind", "rw"]}
        script = "read s; echo \"$H $(hostname) $s\" >>/log/hook"
        self.config("sh", "-c", "echo program >>/log/hook; sleep 1000", change=lambda c: (
            c["mounts"].append(shm), c.update(hostname="inside", hooks={"startContainer": [self.hook(script)]})))
        self.create(name)
        log = self.volume() / "hook"
        self.assertFalse(log.exists())
        self.moat("start", name)
        line = log.read_text().splitlines()[0]
        self.assertEqual(line.split(" ", 2)[:2], ["ook", "inside"])
        state = json.loads(line.split(" ", 2)[2])
        self.assertEqual((state["id"], state["status"]), (name, "created"))
        self.moat("delete", "--force", name)

    def test_start_container_hook_that_fails(self):
        name = self.name()
        self.config("sleep", "1000", change=lambda c: c.update(
            hooks={"startContainer": [self.hook("echo it says so; exit 3")]}))
        self.create(name)
        r = self.moat("start", name, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("exit status 3", r.stderr)
        self.assertIn("it says so", r.stderr)
        self.moat("wait", name, ok=False)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_create_container_hook(self):
        name = self.name()
        log = self.volume() / "hook"
        script = f"cat >{log}"
        self.config("sleep", "1000", change=lambda c: c.update(hooks={"createContainer": [self.hook(script)]}))
        self.create(name)
        self.assertEqual(json.loads(log.read_text())["id"], name)
        self.moat("delete", "--force", name)

    def test_create_container_hook_mounts_nothing_on_the_host(self):
        if os.geteuid() != 0:
            self.skipTest("only root can mount")
        name, at = self.name(), self.volume()
        script = f"mount -t tmpfs hooks {at} && grep -q ' {at} ' /proc/self/mountinfo && echo x >{at}/inside"
        self.config("sleep", "1000", change=lambda c: c.update(hooks={"createContainer": [self.hook(script)]}))
        self.create(name)
        self.assertNotIn(str(at), pathlib.Path("/proc/self/mountinfo").read_text())
        self.assertEqual(os.listdir(at), [])
        self.moat("delete", "--force", name)

    def test_create_container_hook_that_fails(self):
        self.config("sleep", "1000", change=lambda c: c.update(hooks={"createContainer": [self.hook("echo it says so; exit 3")]}))
        self.assertNotEqual(self.create(self.name(), ok=False).returncode, 0)
        self.assertIn("exit status 3", self.output())
        self.assertIn("it says so", self.output())


class SentryOnly(BundleTest):
    """What a sandbox says of fields that have no meaning in it."""

    def test_warnings(self):
        self.config("true", change=lambda c: (
            c["linux"].update(devices=[{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]),
            c["process"].update(apparmorProfile="some-profile")))
        r = self.run_it(self.name())
        for text in ("/dev/sda", "apparmorProfile"):
            self.assertIn(text, r.stderr)

    def test_limits_are_seen(self):
        """What programs size themselves by: meminfo, sysconf, and the control group that is mounted."""
        name = self.name()

        def change(c):
            c["linux"]["resources"] = {"memory": {"limit": 192 << 20}, "pids": {"limit": 55}, "cpu": {"quota": 150000, "period": 100000}}
            c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]})
        self.config("sleep", "1000", change=change)
        self.create(name)
        self.moat("start", name)
        show = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; grep MemTotal /proc/meminfo; test $(cat pids.current) -ge 1; echo $?"
        self.assertEqual(self.moat("exec", name, "sh", "-c", show).stdout.split(),
                         [str(192 << 20), "55", "150000", "100000", "MemTotal:", str(192 << 10), "kB", "0"])
        total = "import os; print(os.sysconf(\"SC_PHYS_PAGES\") * os.sysconf(\"SC_PAGE_SIZE\") >> 20)"
        self.assertEqual(self.moat("exec", name, "python3", "-c", total).stdout, "192\n")
        self.moat("update", "--memory", str(256 << 20), "--pids-limit", "66", name)
        self.assertEqual(self.moat("exec", name, "sh", "-c", show).stdout.split()[:2], [str(256 << 20), "66"])
        self.moat("delete", "--force", name)

    def test_socket_as_a_volume(self):
        import socket
        path = self.dir + "/sock"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            self.config("true", change=lambda c: c["mounts"].append({"destination": "/s", "source": path, "options": ["bind"]}))
            r = self.run_it(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("no sockets", r.stderr)

    def test_listener(self):
        self.config("true", change=lambda c: c["linux"].update(seccomp={
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x.sock",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}))
        r = self.run_it(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("listenerPath", r.stderr)


each_isolation(globals(), Fields)
