# SPDX-License-Identifier: Apache-2.0
"""Native isolation: what a program sees and may do, beside runc where it is installed; namespaces that are joined, ids that are
mapped, mounts, descriptors, the seccomp agent, and an ordinary user's containers."""
import array
import copy
import fcntl
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import unittest

import bundle
import moat

RUNC = shutil.which("runc")
# Everything about its own process and root that a shell can print, with what may differ taken out.
PROBE = r"""
grep -E '^(Cap|NoNew|Seccomp:|Uid|Gid|Groups|SigBlk|SigIgn|Umask)' /proc/self/status; cat /proc/self/limits | grep -v pending
umask; pwd; cat /proc/self/oom_score_adj /proc/self/personality; id; env | sort
cut -d' ' -f4- /proc/self/mountinfo | sed -E 's/ (master|shared):[0-9]+//; s/,?(size|nr_inodes)=[0-9]+k?//g; s/ - .*//; s/relatime/-/' |
    grep -v -E '^/(null|moat|zero|full|random|urandom|tty)|cgroup|firmware' | sort
stat -c '%n %F %a %u %g %t %T' /dev/* /dev /tmp | sort; readlink /dev/fd /dev/stdin /dev/ptmx
ls /proc/self/ns | wc -l; hostname; ls /proc/acpi /sys/firmware 2>/dev/null | wc -l; cat /proc/self/uid_map
(echo x >/proc/sys/kernel/hostname) 2>&1 | grep -o 'Read-only.*'; (echo x >/etc/x) 2>&1 | grep -o 'Read-only.*'; nice
"""


def user_namespace(c):
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def without(c, *kinds):
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] not in kinds]
    if "uts" in kinds:
        c.pop("hostname", None)


class Native(bundle.BundleTest):
    isolation = "native"
    maxDiff = 4000

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        super().setUp()
        self.volume = pathlib.Path(self.dir, "volume")
        (self.volume / "below").mkdir(parents=True)
        (self.volume / "file").write_text("data\n")

    def mount(self, target, source=None, fstype="bind", options=(), **more):
        return {"destination": target, "source": str(source or self.volume), "type": fstype, "options": list(options), **more}

    def background(self, name, *args, change=None, **process):
        self.config(*args, change=change, **process)
        self.create(name)
        self.moat("start", name)
        return self.pid()

    def delete(self, *names):
        for name in names:
            self.moat("delete", "--force", name)

    def output_of(self, *args, change=None, options=(), **process):
        self.config(*args, change=change, **process)
        return self.run_it(self.name(), *options).stdout

    # ---- beside runc ----

    def beside(self, change):
        if RUNC is None:
            self.skipTest("runc is not installed")
        config = self.config("sh", "-c", PROBE, change=change)
        config["linux"].pop("cgroupsPath", None)
        path = pathlib.Path(self.bundle, "config.json")
        path.write_text(json.dumps(config))
        ours = self.run_it(self.name()).stdout
        theirs = subprocess.run([RUNC, "--root", self.dir + "/runc", "run", "--bundle", self.bundle, self.name("r")],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(theirs.returncode, 0, theirs.stderr)
        self.assertGreater(len(ours.splitlines()), 60)
        self.assertEqual(ours.splitlines(), theirs.stdout.splitlines())

    def test_as_runc_plain(self):
        self.beside(None)

    def test_as_runc_for_a_user(self):
        def change(c):
            c["process"].update(user={"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o77}, cwd="/tmp", oomScoreAdj=100,
                                rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}])
        self.beside(change)

    def test_as_runc_with_ambient_capabilities(self):
        def change(c):
            sets = ("bounding", "effective", "permitted", "inheritable", "ambient")
            c["process"].update(user={"uid": 1000, "gid": 1000}, noNewPrivileges=False,
                                capabilities={k: ["CAP_NET_RAW", "CAP_KILL", "CAP_SETUID"] for k in sets})
        self.beside(change)

    def test_as_runc_in_a_user_namespace(self):
        root = pathlib.Path(self.dir, "root")
        root.mkdir()
        os.chmod(self.dir, 0o755)  # runc, unlike moat, walks there with the ids of the namespace
        subprocess.run(["mount", "--bind", moat.rootfs(), root], check=True)

        def change(c):
            user_namespace(c)
            c["root"]["path"] = str(root)
            c["mounts"] = [m for m in c["mounts"] if m["type"] != "mqueue"]  # its owner differs: moat makes it inside
        try:
            self.beside(change)
        finally:
            subprocess.run(["umount", "-l", root], check=True)

    def test_as_runc_in_namespaces_of_the_host(self):
        self.beside(lambda c: without(c, "network", "ipc", "uts"))

    def test_as_runc_with_mounts(self):
        def change(c):
            c["mounts"] += [self.mount("/opt", options=["rbind", "ro", "nosuid"]), self.mount("/mnt", options=["bind", "rprivate", "noexec"]),
                            self.mount("/srv", options=["rbind", "rshared"]), self.mount("/media", "tmpfs", "tmpfs", ["size=1m", "mode=700"]),
                            self.mount("/var", "tmpfs", "tmpfs", ["tmpcopyup"])]
        self.beside(change)

    def test_as_runc_with_a_read_only_dev(self):
        def change(c):
            next(m for m in c["mounts"] if m["destination"] == "/dev")["options"].append("ro")
        self.beside(change)

    # ---- namespaces ----

    def namespaces(self, pid):
        return {n: os.readlink(f"/proc/{pid}/ns/{n}") for n in ("pid", "net", "ipc", "uts", "user", "mnt")}

    def test_namespaces_are_joined_by_path(self):
        first = self.name("a")
        pid = self.background(first, "sleep", "1000")
        want = self.namespaces(pid)
        paths = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts"}

        def join(c):
            c["linux"]["namespaces"] = [{"type": t, "path": f"/proc/{pid}/ns/{n}"} for t, n in paths.items()] + [{"type": "mount"}]
            c.pop("hostname", None)
        second = self.name("b")
        got = self.namespaces(self.background(second, "sleep", "1000", change=join))
        for kind in ("pid", "net", "ipc", "uts"):
            self.assertEqual(got[kind], want[kind])
        self.assertNotEqual(got["mnt"], want["mnt"])
        self.assertIn("sleep 1000\nsleep 1000\n", self.moat("exec", second, "ps", "-e", "-o", "args").stdout)
        # Its init is not the first of its pid namespace, so it is ended alone.
        self.delete(second)
        self.assertEqual(self.namespaces(pid), want)
        self.delete(first)

    def test_a_user_namespace_is_joined_and_others_are_new(self):
        first, second = self.name("a"), self.name("b")
        pid = self.background(first, "sleep", "1000", change=user_namespace)
        want = self.namespaces(pid)

        def join(c):
            without(c, "user")
            c["linux"]["namespaces"].append({"type": "user", "path": f"/proc/{pid}/ns/user"})
        got = self.namespaces(self.background(second, "sleep", "1000", change=join))
        self.assertEqual(got["user"], want["user"])
        self.assertNotEqual(got["pid"], want["pid"])
        self.assertIn("uid=0(root)", self.moat("exec", second, "id").stdout)
        self.delete(first, second)

    def test_a_network_of_the_host_under_a_new_user_namespace(self):
        with open("/proc/self/ns/net") as net:
            def join(c):
                without(c, "network")
                c["linux"]["namespaces"].append({"type": "network", "path": f"/proc/{os.getpid()}/fd/{net.fileno()}"})
                user_namespace(c)
            name = self.name()
            pid = self.background(name, "sleep", "1000", change=join)
            self.assertEqual(os.readlink(f"/proc/{pid}/ns/net"), os.readlink("/proc/self/ns/net"))
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/user"), os.readlink("/proc/self/ns/user"))
            self.delete(name)

    def test_a_path_that_is_no_such_namespace(self):
        for path in ("/proc/self/ns/uts", "/etc/passwd", "/nowhere"):
            def join(c):
                without(c, "network")
                c["linux"]["namespaces"].append({"type": "network", "path": path})
            self.config("true", change=join)
            r = self.run_it(self.name(), ok=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("network namespace", r.stderr)

    def test_time_offsets(self):
        def change(c):
            c["linux"]["namespaces"].append({"type": "time"})
            c["linux"]["timeOffsets"] = {"monotonic": {"secs": 86400, "nanosecs": 5}, "boottime": {"secs": 10000000}}
        shift = float(self.output_of("cat", "/proc/uptime", change=change).split()[0])
        now = float(pathlib.Path("/proc/uptime").read_text().split()[0])
        self.assertAlmostEqual(shift - now, 10000000, delta=60)

    def test_cgroup_namespace(self):
        def change(c):
            without(c, "cgroup")
            c["linux"]["namespaces"].append({"type": "cgroup"})
        text = self.output_of("cat", "/proc/self/cgroup", change=change)
        self.assertEqual({line.split(":", 2)[2] for line in text.splitlines()}, {"/"})

    def test_exec_in_a_user_namespace(self):
        name = self.name()
        pid = self.background(name, "sleep", "1000", change=user_namespace)
        got = self.moat("exec", name, "sh", "-c", "id -u; cat /proc/self/uid_map; ls -l /proc/self/ns").stdout
        self.assertEqual(got.split()[:4], ["0", "0", "100000", "65536"])
        for kind, value in self.namespaces(pid).items():
            self.assertIn(f"{kind} -> {value}", got)
        self.delete(name)

    # ---- processes ----

    def test_kill_all_without_a_pid_namespace(self):
        name = self.name()
        self.background(name, "sh", "-c", "sleep 1000 & sleep 1000 & wait", change=lambda c: without(c, "pid"))
        pids = json.loads(self.moat("ps", "--format", "json", name).stdout)
        watch = [os.pidfd_open(p) for p in pids]
        self.moat("kill", "--all", name, "KILL")
        import select
        for fd in watch:
            self.assertTrue(select.select([fd], [], [], 20)[0], "a process of the container lives on")
            os.close(fd)
        self.delete(name)

    def test_command_ends_with_its_runtime(self):
        p = subprocess.Popen([moat.MOAT, "do", "--isolation", "native", "--rootfs", moat.rootfs(), "--", "sh", "-c",
                              "echo up; exec sleep 1000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.assertEqual(p.stdout.read(), "", "the end of its output comes when the last one that holds it is gone")
        p.stdout.close()

    def test_descriptors_are_kept_on_request(self):
        self.config("sh", "-c", "ls /proc/self/fd; cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID")
        (self.volume / "other").write_text("more\n")
        name = self.name()
        script = f"exec 3<{self.volume}/file 4<{self.volume}/other 5</ 9</; exec {moat.MOAT} --root {self.state} run --isolation native " \
                 f"--bundle {self.bundle} {{}} {name}"

        def run(text):
            return subprocess.run(["sh", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60).stdout.split()
        want = ["0", "1", "2", "3", "4", "5", "data", "more"]
        self.assertEqual(run(script.format("--preserve-fds 2")), want)
        self.assertEqual(run("export LISTEN_FDS=2 LISTEN_PID=$$; " + script.format("")), [*want, "2", "1"])

    def test_scheduler_priority_personality_affinity(self):
        def change(c):
            c["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
            c["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
            c["process"]["execCPUAffinity"] = {"initial": "0", "final": "0"}
            c["linux"]["personality"] = {"domain": "LINUX32"}
        out = self.output_of("sh", "-c", "chrt -p $$; ionice; uname -m; nice; grep Cpus_allowed_list /proc/self/status", change=change)
        self.assertIn("SCHED_BATCH", out)
        self.assertIn("best-effort: prio 6", out)
        self.assertIn("i686", out)
        self.assertIn("\n5\n", out)
        self.assertIn("list:\t0\n", out)

    def test_limits_out_of_reach_are_named(self):
        hard = int(re.search(r"open files\s+\d+\s+(\d+)", pathlib.Path("/proc/self/limits").read_text()).group(1))
        caps = int(re.search(r"CapEff:\t(\w+)", pathlib.Path("/proc/self/status").read_text()).group(1), 16)
        if caps >> 24 & 1:
            self.skipTest("CAP_SYS_RESOURCE is there: no limit is out of reach")
        self.config("true", rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": hard + 1}])
        r = self.run_it(self.name(), ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("RLIMIT_NOFILE", r.stderr)
        self.assertIn("CAP_SYS_RESOURCE", r.stderr)

    def test_home_comes_from_the_image(self):
        self.assertEqual(self.output_of("sh", "-c", "echo $HOME"), "/root\n")
        self.assertEqual(self.output_of("sh", "-c", "echo $HOME", user={"uid": 54321, "gid": 0}), "/\n")
        self.assertEqual(self.output_of("sh", "-c", "echo $HOME", env=["PATH=/bin", "HOME=/h"]), "/h\n")

    def test_a_failing_step_is_named(self):
        for change, words in [
                (lambda c: c["process"].update(args=["nothing"]), ['exec: "nothing": executable file not found in $PATH']),
                (lambda c: c["process"].update(args=["/etc/passwd"]), ["permission denied"]),
                (lambda c: c["mounts"].append(self.mount("/x", "/nowhere")), ["/nowhere", "/x", "No such file"]),
                (lambda c: c["mounts"].append(self.mount("/tmp", "x", "paperfs")), ["mounting /tmp", "paperfs"]),
                (lambda c: c["mounts"].append(self.mount("/tmp", "tmpfs", "tmpfs", ["shape=round"])), ["mounting /tmp", "shape"]),
                (lambda c: (without(c, "mount"), c["linux"].update(maskedPaths=[], readonlyPaths=[])), ["mount namespace"]),
                (lambda c: c["process"].update(apparmorProfile="no-such-profile"), ["no-such-profile"]),
        ]:
            path = pathlib.Path(self.bundle, "config.json")
            path.unlink(missing_ok=True)
            self.config("true", change=change)
            r = self.run_it(self.name(), ok=False)
            self.assertNotEqual(r.returncode, 0, words)
            for word in words:
                self.assertIn(word, r.stderr)

    # ---- mounts ----

    def test_attributes_of_a_whole_tree(self):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.volume / "below"], check=True)
        try:
            for option, below in (("ro", "rw"), ("rro", "ro")):
                out = self.output_of("cat", "/proc/self/mountinfo",
                                     change=lambda c: c.update(mounts=[*c["mounts"], self.mount("/srv", options=["rbind", option])]))
                rows = {line.split()[4]: line.split()[5].split(",")[0] for line in out.splitlines()}
                self.assertEqual((rows["/srv"], rows["/srv/below"]), ("ro", below))
                pathlib.Path(self.bundle, "config.json").unlink()
        finally:
            subprocess.run(["umount", self.volume / "below"], check=True)

    def test_ids_of_a_mount_are_mapped(self):
        mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
        idmap = self.mount("/srv", options=["bind", "idmap"], uidMappings=mapping, gidMappings=mapping)
        self.config("stat", "-c", "%u:%g", "/srv/file", change=lambda c: c["mounts"].append(idmap))
        r = self.run_it(self.name(), ok=False)
        if "must support idmapped mounts" in r.stderr:
            self.skipTest("the file system below /tmp has no idmapped mounts on this kernel")
        self.assertEqual((r.returncode, r.stdout), (0, "1000:1000\n"), r.stderr)
        pathlib.Path(self.bundle, "config.json").unlink()
        own = self.mount("/srv", options=["bind", "idmap"])
        out = self.output_of("sh", "-c", "touch /srv/new; stat -c %u /srv/file /srv/new",
                             change=lambda c: (user_namespace(c), c["mounts"].append(own)))
        self.assertEqual(out, "0\n0\n")
        self.assertEqual(os.stat(self.volume / "new").st_uid, 0)

    def test_a_mount_inside_shows_outside_only_when_shared(self):
        """What the container mounts on a volume reaches the host for rshared alone."""
        subprocess.run(["mount", "--bind", self.volume, self.volume], check=True)
        subprocess.run(["mount", "--make-shared", self.volume], check=True)
        try:
            for option, seen in (("rprivate", False), ("rslave", False), ("rshared", True)):
                name = self.name(option)

                def change(c):
                    c["mounts"].append(self.mount("/srv", options=["rbind", option]))
                    c["process"]["capabilities"] = {k: ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}
                    c["linux"]["rootfsPropagation"] = option
                script = "import ctypes, time; print('done', ctypes.CDLL(None).mount(b'inside', b'/srv/below', b'tmpfs', 0, None), flush=True); time.sleep(1000)"
                self.background(name, "python3", "-c", script, change=change)
                self.wait_for_output("done 0")
                table = pathlib.Path("/proc/self/mountinfo").read_text()
                self.assertEqual(" inside " in table, seen, option)
                self.delete(name)
                subprocess.run(["umount", self.volume / "below"], stderr=subprocess.DEVNULL)
                pathlib.Path(self.bundle, "config.json").unlink()
        finally:
            subprocess.run(["umount", "-l", self.volume], check=True)

    def wait_for_output(self, word):
        import time
        deadline = time.monotonic() + 20
        while word not in self.output():
            self.assertLess(time.monotonic(), deadline, self.output())
            time.sleep(0.005)

    def test_devices(self):
        def change(c):
            c["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 5, "gid": 6},
                                     {"path": "/dev/x/y", "type": "p", "fileMode": 0o622}]
        out = self.output_of("stat", "-c", "%F %a %u:%g %t:%T", "/dev/fuse", "/dev/x/y", change=change)
        self.assertEqual(out, "character special file 600 5:6 a:e5\nfifo 622 0:0 0:0\n")

    def test_sysctl(self):
        values = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "net/ipv4/ip_default_ttl": "77"}
        out = self.output_of("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmni", "/proc/sys/net/ipv4/ip_default_ttl",
                             change=lambda c: c["linux"].update(sysctl=values))
        self.assertEqual(out.split(), ["1", "77", "77"])

    def test_no_pivot(self):
        self.assertIn("etc\n", self.output_of("ls", "/", options=["--no-pivot"]))

    # ---- seccomp ----

    def seccomp(self, **more):
        return {"defaultAction": "SCMP_ACT_ALLOW", **more}

    def test_filter(self):
        for no_new_privs in (True, False):
            rules = [{"names": ["mkdir", "mkdirat", "a_call_of_the_future"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71},
                     {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]
            out = self.output_of("sh", "-c", "mkdir /tmp/x 2>&1; setarch i686 true 2>&1; setarch x86_64 -R echo fine; grep Seccomp: /proc/self/status",
                                 change=lambda c: c["linux"].update(seccomp=self.seccomp(syscalls=rules)), noNewPrivileges=no_new_privs)
            self.assertIn("Protocol error", out)
            self.assertIn("Operation not permitted", out)
            self.assertIn("fine\nSeccomp:\t2\n", out)

    def test_agent_gets_the_listener(self):
        """Calls that the agent decides about, among them those of the runtime's own last steps."""
        path = self.dir + "/agent.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(1)
        listening.settimeout(30)
        seen = {"calls": []}

        def agent():
            peer, _ = listening.accept()
            text, control, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(16))
            seen["message"] = json.loads(text)
            fd = array.array("i", control[0][2][:4])[0]
            while True:
                request = bytearray(80)
                try:
                    fcntl.ioctl(fd, 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
                except OSError:
                    break
                call, _, _, number = struct.unpack_from("QIIi", request)
                seen["calls"].append(number)
                refuse = number in (83, 258)
                answer = struct.pack("QqiI", call, 0, -71 if refuse else 0, 0 if refuse else 1)
                try:
                    fcntl.ioctl(fd, 0xC0182101, bytearray(answer))  # SECCOMP_IOCTL_NOTIF_SEND
                except OSError:
                    pass
            os.close(fd)
            peer.close()
        thread = threading.Thread(target=agent)
        thread.start()
        rules = [{"names": ["mkdir", "mkdirat", "execve", "close", "sendto"], "action": "SCMP_ACT_NOTIFY"}]
        profile = self.seccomp(syscalls=rules, listenerPath=path, listenerMetadata="note")
        out = self.output_of("sh", "-c", "mkdir /tmp/x 2>&1; echo on", change=lambda c: c["linux"].update(seccomp=profile))
        thread.join(timeout=60)
        listening.close()
        self.assertIn("Protocol error", out)
        self.assertIn("on\n", out)
        self.assertEqual(seen["message"]["fds"], ["seccompFd"])
        self.assertEqual(seen["message"]["metadata"], "note")
        self.assertEqual(seen["message"]["state"]["id"], self.ids[-1])
        self.assertIn(59, seen["calls"], "execve of the program is under the filter already")


class Rootless(unittest.TestCase):
    """An ordinary user's containers; the user moatu is made when there is none."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root, to become an ordinary user")
        try:
            cls.user = pwd.getpwnam("moatu")
        except KeyError:
            subprocess.run(["useradd", "--no-create-home", "moatu"], check=True)
            cls.user = pwd.getpwnam("moatu")
        cls.dir = pathlib.Path(moat.folder("rootless"))
        # The cache may lie in a home that only root may enter.
        subprocess.run(["cp", "-a", moat.rootfs("small"), cls.dir / "rootfs"], check=True)
        shutil.copy(moat.MOAT, cls.dir / "moat")
        (cls.dir / "bundle").mkdir()
        (cls.dir / "state").mkdir()
        subprocess.run(["chown", "-R", "moatu:", cls.dir], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def moat(self, *args, ok=True, **kw):
        r = subprocess.run(["setpriv", "--reuid", "moatu", "--regid", "moatu", "--init-groups", "--reset-env",
                            str(self.dir / "moat"), "--root", str(self.dir / "state"), *args], stdin=subprocess.DEVNULL,
                           **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw}, text=True, timeout=60)
        if ok:
            self.assertEqual(r.returncode, 0, f"{args} {r.stdout} {r.stderr}")
        return r

    def config(self, *args, change=None):
        path = self.dir / "bundle/config.json"
        path.unlink(missing_ok=True)
        self.moat("spec", "--rootless", "--bundle", str(self.dir / "bundle"))
        config = json.loads(path.read_text())
        config["root"]["path"] = str(self.dir / "rootfs")
        config["process"].update(args=list(args), terminal=False)
        if change:
            change(config)
        path.write_text(json.dumps(config))

    def test_do(self):
        out = self.moat("do", "--isolation", "native", "--rootfs", str(self.dir / "rootfs"), "--", "sh", "-c",
                        "id -u; cat /proc/self/uid_map; echo x >/new && cat /new").stdout
        self.assertEqual(out.split(), ["0", "0", str(self.user.pw_uid), "1", "x"])
        self.assertFalse((self.dir / "rootfs/new").exists())

    def life(self):
        self.moat("create", "--isolation", "native", "--bundle", str(self.dir / "bundle"), "c", stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL)
        self.moat("start", "c")
        out = self.moat("exec", "c", "sh", "-c", "id; cat /proc/self/uid_map; ls /proc/self/fd").stdout
        self.moat("delete", "--force", "c")
        return out

    def test_life_with_one_id(self):
        self.config("sleep", "1000")
        out = self.life()
        self.assertIn("uid=0(root)", out)
        self.assertTrue(out.endswith("0\n1\n2\n3\n"), out)

    def test_life_with_a_range_of_ids(self):
        ranges = [line.split(":") for line in pathlib.Path("/etc/subuid").read_text().splitlines() if line.startswith("moatu:")]
        if not ranges or not shutil.which("newuidmap"):
            self.skipTest("newuidmap, or a range for moatu in /etc/subuid, is missing")
        first = int(ranges[0][1])

        def change(c):
            c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": self.user.pw_uid, "size": 1}, {"containerID": 1, "hostID": first, "size": 100}]
            c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": self.user.pw_gid, "size": 1}, {"containerID": 1, "hostID": first, "size": 100}]
            c["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
        self.config("sleep", "1000", change=copy.deepcopy(change))
        out = self.life()
        self.assertIn(f"         1     {first}        100\n", out)

    def test_ids_that_are_not_the_users(self):
        def change(c):
            c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
        self.config("true", change=change)
        r = self.moat("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), "c", ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("newuidmap", r.stderr)

    def test_no_user_namespace(self):
        def change(c):
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "user"]
            c["linux"].pop("uidMappings", None)
            c["linux"].pop("gidMappings", None)
        self.config("true", change=change)
        r = self.moat("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), "c", ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("user namespace", r.stderr)


if __name__ == "__main__":
    unittest.main()
