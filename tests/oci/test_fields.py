# SPDX-License-Identifier: Apache-2.0
"""Fields of config.json seen from inside, under each isolation, as docs/oci.md says; what is not supported says so."""
import json
import os
import pathlib
import subprocess

import moat
from bundle import BundleTest, each_isolation

PYTHON = "/usr/bin/python3"


class Fields:
    def inside(self, script, change=None, ok=True, **process):
        """Runs a shell script; its output."""
        self.config("sh", "-c", script, change=change, **process)
        r = self.run_it(self.name(), ok=ok)
        self.warnings = [line for line in r.stderr.splitlines() if "warning: " in line]
        return r.stdout if ok else r

    def python(self, code, change=None, **process):
        return self.inside(f"exec {PYTHON} -c '{code}'", change, **process).strip()

    def refused(self, change, text):
        r = self.inside("true", change, ok=False)
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn(text, r.stderr)

    def refused_or_warned(self, native, change, text):
        """`native`: refused there; a warning under sentry."""
        if native == (self.isolation == "native"):
            self.refused(change, text)
        else:
            self.inside("true", change)
            self.assertTrue(any(text in w for w in self.warnings), self.warnings)

    # process

    def test_user(self):
        user = {"uid": 1000, "gid": 1001, "additionalGids": [7, 4000000000], "umask": 0o27}
        self.assertEqual(self.inside("id -u; id -g; id -G; umask", user=user), "1000\n1001\n1001 7 4000000000\n0027\n")

    def test_environment_and_folder(self):
        out = self.inside("pwd; echo $A; env | grep -c ^A=", env=["PATH=/usr/bin:/bin", "A=first", "A=last"], cwd="/usr/share")
        self.assertEqual(out, "/usr/share\nlast\n1\n")

    def test_capabilities(self):
        names = ["CAP_CHOWN", "CAP_KILL"]
        caps = {"bounding": names, "permitted": names, "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
        out = self.inside("grep ^Cap /proc/self/status", capabilities=caps, user={"uid": 5, "gid": 5})
        seen = {line.split()[0]: int(line.split()[1], 16) for line in out.splitlines()}
        self.assertEqual(seen, {"CapInh:": 0x20, "CapPrm:": 0x20, "CapEff:": 0x20, "CapBnd:": 0x21, "CapAmb:": 0x20})

    def test_unknown_capability_is_a_warning(self):
        self.inside("true", capabilities={"bounding": ["CAP_FUTURE"]})
        self.assertIn("process.capabilities.bounding[0]: unknown capability 'CAP_FUTURE'", self.warnings[0])

    def test_no_new_privileges(self):
        for value in (True, False):
            self.assertEqual(self.inside("grep NoNewPrivs /proc/self/status", noNewPrivileges=value).split()[1], str(int(value)))

    def test_rlimits(self):
        limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
        self.assertEqual(self.inside("ulimit -Sn; ulimit -Hn; ulimit -c", rlimits=limits), "100\n200\n0\n")

    def test_oom_score(self):
        self.assertEqual(self.inside("cat /proc/self/oom_score_adj", oomScoreAdj=500), "500\n")

    def test_scheduler(self):
        out = self.python("import os; print(os.sched_getscheduler(0) == os.SCHED_BATCH, os.nice(0))",
                          scheduler={"policy": "SCHED_BATCH", "nice": 7})
        self.assertEqual(out, "True 7")

    def test_io_priority(self):
        out = self.inside("ionice", ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0})
        self.assertIn("idle", out)

    # root and mounts

    def test_readonly_root(self):
        for value in (True, False):
            with self.subTest(value):
                root = self.dir + "/root"
                os.makedirs(root, exist_ok=True)

                def change(c):
                    c["root"] = {"path": root, "readonly": value}
                    c["mounts"] += [{"destination": "/" + d, "source": moat.rootfs() + "/" + d, "options": ["rbind", "ro"]}
                                    for d in ("usr", "bin", "lib", "lib64") if os.path.exists(moat.rootfs() + "/" + d)]
                for d in ("usr", "bin", "lib", "lib64", "proc", "sys", "dev"):
                    os.makedirs(f"{root}/{d}", exist_ok=True)
                out = self.inside("echo x >/file && echo written; true", change)
                self.assertEqual(out, "" if value else "written\n")
        self.assertEqual(pathlib.Path(root, "file").read_text(), "x\n")

    def test_hostname(self):
        def change(c):
            c.update(hostname="box", domainname="example.org")
        self.assertEqual(self.inside("hostname; cat /proc/sys/kernel/domainname", change), "box\nexample.org\n")

    def test_bind_options(self):
        source = pathlib.Path(self.dir, "source")
        (source / "deep").mkdir(parents=True)
        pathlib.Path(source, "run").write_text("#!/bin/sh\necho ran\n")
        os.chmod(source / "run", 0o755)

        def change(*options):
            def f(c):
                c["mounts"].append({"destination": "/opt", "type": "bind", "source": "../source", "options": ["rbind", *options]})
            return f
        for options, out in ((["rw"], "ran\nwritten\n"), (["ro"], "ran\n"), (["rro", "rprivate"], "ran\n"), (["noexec"], "written\n"),
                             (["ro", "rw"], "ran\nwritten\n")):
            with self.subTest(options):
                self.config("true")
                (pathlib.Path(self.bundle) / "config.json").unlink()
                self.assertEqual(self.inside("/opt/run 2>/dev/null; echo >/opt/deep/x && echo written; true", change(*options)), out)

    def test_tmpfs_options(self):
        def change(c):
            c["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs",
                                "options": ["size=1m", "mode=711", "nosuid", "noexec", "nodev"]})
        self.assertEqual(self.inside("stat -c %a /mnt; head -c 2000000 /dev/zero >/mnt/x 2>/dev/null; stat -c %s /mnt/x", change),
                         "711\n1048576\n")

    def test_tmpcopyup(self):
        def change(c):
            c["mounts"].append({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
        out = self.inside("grep -c ^root: /etc/passwd; echo x >/etc/new && cat /etc/new", change)
        self.assertEqual(out, "1\nx\n")

    # linux

    def test_masked_and_readonly_paths(self):
        def change(c):
            c["linux"].update(maskedPaths=["/proc/version", "/usr/share", "/no/such"], readonlyPaths=["/proc/sys", "/tmp"])
            c["root"]["readonly"] = False
        out = self.inside("cat /proc/version; ls /usr/share; echo x >/tmp/x; echo x >/proc/sys/kernel/hostname; true", change)
        self.assertEqual(out, "")

    def test_sysctl(self):
        def change(c):
            c["linux"]["sysctl"] = {"kernel.shmmax": "65536", "net/ipv4/ip_unprivileged_port_start": "5"}
        self.assertEqual(self.inside("cat /proc/sys/kernel/shmmax", lambda c: c["linux"].update(sysctl={"kernel.shmmax": "65536"})), "65536\n")
        self.refused(lambda c: c["linux"].update(sysctl={"kernel.core_pattern": "x"}), 'linux.sysctl["kernel.core_pattern"]: ')

    def test_devices(self):
        def change(c):
            c["linux"]["devices"] = [{"path": "/dev/sink", "type": "c", "major": 1, "minor": 3, "fileMode": 0o620, "uid": 3, "gid": 4},
                                     {"path": "/dev/fifo", "type": "p", "fileMode": 0o600}]
        out = self.inside("stat -c '%F %a' /dev/fifo; echo x >/dev/sink && cat /dev/sink; for d in null zero full random urandom tty; do "
                          "test -c /dev/$d || echo no $d; done", change)
        self.assertEqual(out, "fifo 600\n")

    def test_seccomp(self):
        def change(c):
            c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                {"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
                {"names": ["setpriority"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}]}
        code = ("import os\ntry:\n os.mkdir(\"/tmp/x\")\nexcept OSError as e:\n print(e.errno)\n"
                "try:\n os.setpriority(os.PRIO_PROCESS, 0, 19)\nexcept OSError as e:\n print(e.errno)\n"
                "os.setpriority(os.PRIO_PGRP, 0, 19)")
        self.assertEqual(self.python(code, change), "95\n1")

    def test_personality(self):
        self.assertEqual(self.inside("uname -m", lambda c: c["linux"].update(personality={"domain": "LINUX32"})), "i686\n")

    def test_listed_as_unsupported(self):
        """The words of docs/oci.md: error, or warning, never silence."""
        def rdt(c):
            c["linux"]["intelRdt"] = {"closID": "x"}
        if self.isolation == "native" and " - resctrl " in pathlib.Path("/proc/self/mountinfo").read_text():
            self.skipTest("this host has resctrl")
        self.refused_or_warned(True, rdt, "linux.intelRdt")

    def test_net_devices(self):
        """The runtime's own network namespace stands for the host's; the interface moves with its address, MTU and hardware address."""
        def change(c):
            c["linux"]["netDevices"] = {"v0": {"name": "eth9"}}
        if self.isolation == "sentry":
            self.inside("true", change)
            self.assertTrue(any("linux.netDevices" in w for w in self.warnings), self.warnings)
            return
        make = ("ip link add v0 address 02:00:00:00:00:07 mtu 1400 type veth peer name v1 && ip link set v1 up && ip addr add 10.9.8.7/24 dev v0 && "
                "ip -6 addr add fd00::7/64 dev v0 nodad && ")
        script = ("import socket, fcntl, struct\n"
                  "s = socket.socket()\n"
                  "q = lambda n: fcntl.ioctl(s, n, struct.pack(\"16s16x\", b\"eth9\"))\n"
                  "print(socket.inet_ntoa(q(0x8915)[20:24]), struct.unpack_from(\"i\", q(0x8921), 16)[0], q(0x8927)[18:24].hex(),"
                  " struct.unpack_from(\"h\", q(0x8913), 16)[0] & 1, open(\"/proc/net/if_inet6\").read().count(\"eth9\"))")
        self.config(PYTHON, "-c", script, change=change)
        run = [moat.MOAT, "--root", self.state, "run", "--isolation", "native", "--bundle", self.bundle]
        r = subprocess.run(["unshare", "--net", "sh", "-c", make + 'exec "$@"', "sh", *run, self.name()], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        if "ip: " in r.stderr or "not found" in r.stderr or "RTNETLINK" in r.stderr:
            self.skipTest("no veth interface can be made here: " + r.stderr)
        self.assertEqual(r.returncode, 0, r.stderr)
        address, mtu, hardware, up, six = r.stdout.split()
        self.assertEqual((address, mtu, hardware, up), ("10.9.8.7", "1400", "020000000007", "1"), r.stderr)
        self.assertGreaterEqual(int(six), 2)
        self.refused(lambda c: c["linux"].update(netDevices={"none7": {}}), "no network interface none7")

    def test_what_the_sentry_leaves_out(self):
        """Each has a warning under sentry, and is done without a word natively."""
        source = pathlib.Path(self.dir, "source")
        source.mkdir()

        def sync(c):
            c["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["sync"]})

        def slave(c):
            c["mounts"].append({"destination": "/mnt", "source": str(source), "options": ["rbind", "rslave"]})

        def without(kind):
            def change(c):
                c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != kind]
            return change
        for text, change in (("sync", sync), ("propagate", slave), ("'pid'", without("pid")), ("'network'", without("network")),
                             ("'ipc'", without("ipc")), ("rootfsPropagation", lambda c: c["linux"].update(rootfsPropagation="rslave"))):
            with self.subTest(text):
                (pathlib.Path(self.bundle) / "config.json").unlink(missing_ok=True)
                self.inside("true", change)
                if self.isolation == "sentry":
                    self.assertTrue(any(text in w for w in self.warnings), self.warnings)
                else:
                    self.assertEqual(self.warnings, [])

    def test_host_labels(self):
        """Without the security module on the host a label is an error natively; the sentry never reaches the host's kernel."""
        if self.isolation == "native" and os.path.isdir("/sys/kernel/security/apparmor"):
            self.skipTest("this host has AppArmor: its profile would be needed")
        self.refused_or_warned(True, lambda c: c["process"].update(apparmorProfile="none-such"), "apparmor")

    def test_time_offsets(self):
        def change(c):
            c["linux"]["namespaces"].append({"type": "time"})
            c["linux"]["timeOffsets"] = {"boottime": {"secs": 864000}, "monotonic": {"secs": 864000}}
        up = float(self.inside("cat /proc/uptime", change).split()[0])
        if self.isolation == "native":
            self.assertGreater(up, 864000)
        else:
            self.assertTrue(any("linux.timeOffsets" in w for w in self.warnings), self.warnings)

    def test_user_namespace(self):
        def change(c):
            c["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                c["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 1000}]
        out = self.inside("id -u; cat /proc/self/uid_map", change)
        self.assertEqual(out.split()[0], "0")
        if self.isolation == "native":
            self.assertEqual(out.split()[1:], ["0", "0", "1000"])

    def test_cgroups_path_leads_nowhere_else(self):
        self.refused(lambda c: c["linux"].update(cgroupsPath="/../../x"), "linux.cgroupsPath: ")


each_isolation(globals(), Fields)
