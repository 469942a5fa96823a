# SPDX-License-Identifier: Apache-2.0
"""The calls that engines make, word for word, and what they expect of them (docs/engines/calls.md).

The argument vectors are those that Docker's and containerd's containerd-shim-runc-v2, Podman and conmon of Debian 12 were seen to use,
and this test stands where they stand: it is the sub-reaper to which the container's process falls, it waits for the pid that the pid
file names, it reads the last error of the JSON log, it receives the console over the socket.

With MOAT_OCI_RUNTIME=/usr/sbin/runc the same expectations are checked against another runtime.
"""
import array
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import unittest

import moat

REFERENCE = os.environ.get("MOAT_OCI_RUNTIME", "")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
libc = ctypes.CDLL(None, use_errno=True)

CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]


def process(args, terminal=False, **more):
    """A process section as Docker writes it."""
    return {"terminal": terminal, "user": {"uid": 0, "gid": 0, "additionalGids": [0]}, "args": list(args),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=box"], "cwd": "/",
            "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS}, "oomScoreAdj": 0,
            **({"consoleSize": {"height": 30, "width": 100}} if terminal else {}), **more}


def config(rootfs, cgroup, args, **more):
    """A config.json of the form that Docker 20.10 makes for `docker run`."""
    def device(allow, kind=None, major=None, minor=None):
        d = {"allow": allow, "access": "rwm"}
        return d if kind is None else {**d, "type": kind, "major": major, "minor": minor}

    return {
        "ociVersion": "1.0.2-dev", "process": process(args, **more), "root": {"path": rootfs, "readonly": True}, "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        ],
        "linux": {
            "resources": {
                "devices": [device(False), device(True, "c", 1, 5), device(True, "c", 1, 3), device(True, "c", 1, 9),
                            device(True, "c", 1, 8), device(True, "c", 5, 0), device(True, "c", 5, 1), device(False, "c", 10, 229)],
                "memory": {"disableOOMKiller": False}, "cpu": {"shares": 0}, "blockIO": {"weight": 0}},
            "cgroupsPath": cgroup,
            "namespaces": [{"type": t} for t in ("mount", "network", "uts", "pid", "ipc")],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                        "syscalls": [{"names": ["kexec_load", "add_key"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]},
            "maskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def has(command):
    if not REFERENCE and f"  {command} " not in moat.run(["--help"]).stdout:
        raise unittest.SkipTest(f"this moat has no `{command}` command")


class Shim:
    """Stands where containerd-shim-runc-v2 and conmon stand.  Subclasses name the runtime."""
    name = None  # of the program, as an engine's configuration names it

    @classmethod
    def setUpClass(cls):
        was = ctypes.c_int()
        libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(was), 0, 0, 0)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise unittest.SkipTest("this process cannot become a sub-reaper")
        cls.addClassCleanup(libc.prctl, PR_SET_CHILD_SUBREAPER, was.value, 0, 0, 0)

    def setUp(self):
        self.dir = moat.folder("shim")
        self.addCleanup(shutil.rmtree, self.dir)
        self.runtime = REFERENCE or f"{self.dir}/{self.name}"
        if not REFERENCE:
            os.symlink(moat.MOAT, self.runtime)
        self.bundle, self.state = f"{self.dir}/task", f"{self.dir}/state"
        os.mkdir(self.bundle)
        self.log = f"{self.bundle}/log.json"
        self.container = "c" * 64
        self.cgroup = f"/moat-shim-{os.getpid()}/{self.container}"
        self.files = []
        self.addCleanup(self.clean)

    def clean(self):
        self.call("delete", "--force", self.container)
        for f in self.files:
            f.close()
        for c in CGROUPS.iterdir():
            if (top := c / self.cgroup.split("/")[1]).is_dir():
                for folder, _, _ in os.walk(top, topdown=False):
                    os.rmdir(folder)

    # Calling as the shim does.

    def vector(self, *args):
        return [self.runtime, "--root", self.state, "--log", self.log, "--log-format", "json", *args]

    def call(self, *args, ok=None, **kw):
        """A command that ends by itself: go-runc takes standard output and error together."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        r = subprocess.run(self.vector(*args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                           cwd=self.bundle, **kw)
        if ok is not None:
            self.assertEqual(r.returncode == 0, ok, f"{' '.join(args)} ended with {r.returncode}: {r.stdout}\n{self.last_error()}")
        return r

    def last_error(self):
        """What containerd shows: the `msg` of the last line of the log whose level is error."""
        found = ""
        with contextlib.suppress(OSError):
            for line in pathlib.Path(self.log).read_text().splitlines():
                entry = json.loads(line)
                if entry["level"] == "error":
                    found = entry["msg"]
        return found

    def write_config(self, *args, edit=None, **more):
        c = config(moat.rootfs("small"), self.cgroup, args, **more)
        if edit:
            edit(c)
        pathlib.Path(self.bundle, "config.json").write_text(json.dumps(c))

    def create(self, *args, extra=(), ok=True, edit=None, pass_fds=(), **more):
        """`create` with pipes for the container's streams; the pid, or the runtime's exit code with ok=False."""
        self.write_config(*args, edit=edit, **more)
        self.out, out = self.pipe()
        inp, self.inp = self.pipe()
        p = subprocess.Popen(self.vector("create", "--bundle", self.bundle, "--pid-file", f"{self.bundle}/init.pid", *extra, self.container),
                             stdin=inp, stdout=out, stderr=out, cwd=self.bundle, pass_fds=pass_fds)
        out.close()
        inp.close()
        code = p.wait(timeout=60)
        if not ok:
            return code
        self.assertEqual(code, 0, self.last_error())
        return self.read_pid(f"{self.bundle}/init.pid")

    def pipe(self):
        r, w = os.pipe()
        files = [os.fdopen(r, "rb", 0), os.fdopen(w, "wb", 0)]
        self.files += files
        return files

    def read_pid(self, path):
        text = pathlib.Path(path).read_text()
        self.assertTrue(text.isdigit(), f"a pid file holds digits and nothing else, as go-runc reads it: {text!r}")
        return int(text)

    def start(self):
        self.call("start", self.container, ok=True)

    def wait(self, pid):
        """The exit code as the shim and conmon see it, who wait for a process that has fallen to them: 128 + N for signal N too."""
        fd = os.pidfd_open(pid)
        try:
            self.assertTrue(select.select([fd], [], [], 30)[0], f"process {pid} did not end")
        finally:
            os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code >= 0 else 128 - code

    def read(self, size=65536, until=b""):
        """All output to its end, or to `until`."""
        got = b""
        while select.select([self.out], [], [], 30)[0]:
            data = self.out.read(size)
            got += data
            if not data or (until and until in got):
                return got.decode()
        self.fail(f"the container's output did not end: {got!r}")

    def status(self):
        return json.loads(self.call("state", self.container, ok=True).stdout)["status"]

    def exec(self, *args, extra=(), stdin=subprocess.DEVNULL, **more):
        """`exec` as the shim calls it; (the runtime's exit code, the pid or None, the read end of its output)."""
        path = f"{self.dir}/process"
        pathlib.Path(path).write_text(json.dumps(process(args, **more)))
        r, w = self.pipe()
        pid_file = f"{self.bundle}/exec.pid"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_file)
        p = subprocess.Popen(self.vector("exec", "--process", path, *extra, "--detach", "--pid-file", pid_file, self.container),
                             stdin=stdin, stdout=w, stderr=w, cwd=self.bundle)
        w.close()
        code = p.wait(timeout=60)
        return code, self.read_pid(pid_file) if code == 0 else None, r

    # The checks.

    def test_the_life_of_docker_run(self):
        pid = self.create("sh", "-c", "echo out; read x; echo got $x; exit 7")
        state = json.loads(self.call("state", self.container, ok=True).stdout)
        self.assertEqual((state["status"], state["pid"], state["id"], state["bundle"]), ("created", pid, self.container, self.bundle))
        self.start()
        self.assertEqual(self.read(until=b"out\n"), "out\n")
        self.assertEqual(self.status(), "running")
        self.inp.write(b"text\n")
        self.assertEqual(self.read(until=b"text\n"), "got text\n")
        self.assertEqual(self.wait(pid), 7)
        self.assertEqual(self.read(), "", "the streams are given up at the end")
        self.assertEqual(self.status(), "stopped")
        self.call("delete", self.container, ok=True)
        self.call("delete", "--force", self.container, ok=True)

    def test_create_does_not_run_the_program(self):
        self.create("sh", "-c", "echo ran")
        moat.do("sh", "-c", "echo another is made, runs and ends meanwhile", check=True)
        self.assertEqual(select.select([self.out], [], [], 0)[0], [])
        self.call("delete", "--force", self.container, ok=True)
        self.assertEqual(self.read(), "")

    def test_kill_by_number(self):
        pid = self.create("sh", "-c", "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done")
        self.start()
        self.read(until=b"ready\n")
        self.call("kill", self.container, "1", ok=True)
        self.assertIn("hup", self.read(until=b"hup\n"))
        self.call("kill", self.container, "9", ok=True)
        self.assertEqual(self.wait(pid), 137)
        r = self.call("kill", self.container, "15", ok=False)
        self.assertRegex(r.stdout, "container not running|process already finished")
        self.assertRegex(self.last_error(), "container not running|process already finished")

    def test_kill_all(self):
        pid = self.create("sh", "-c", "sleep 1000 & sleep 1000 & echo ready; wait")
        self.start()
        self.read(until=b"ready\n")
        self.call("kill", "--all", self.container, "9", ok=True)
        self.assertEqual(self.wait(pid), 137)
        self.assertEqual(self.read(), "", "no process keeps the pipe")
        # The shim calls it again, without looking, before a delete.
        self.call("kill", "--all", self.container, "9")
        self.call("delete", self.container, ok=True)

    def test_kill_of_the_pid_itself(self):
        """conmon and an engine that lost its runtime kill the pid; nothing of the container may live on."""
        pid = self.create("sh", "-c", "sleep 1000 & echo ready; wait")
        self.start()
        self.read(until=b"ready\n")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.wait(pid), 137)
        self.assertEqual(self.read(), "")
        self.assertEqual(self.status(), "stopped")
        self.call("delete", self.container, ok=True)

    def test_what_is_not_there(self):
        has("pause")
        for args in (["state"], ["start"], ["delete"], ["pause"], ["resume"], ["ps", "--format", "json"]):
            r = self.call(*args, self.container, ok=False)
            self.assertIn("container does not exist", r.stdout, args)
            self.assertIn("container does not exist", self.last_error(), args)
        r = self.call("kill", self.container, "9", ok=False)
        self.assertIn("container does not exist", r.stdout)
        self.call("delete", "--force", self.container, ok=True)

    def test_program_not_found(self):
        self.assertNotEqual(self.create("nothing-here", ok=False), 0)
        self.assertIn('exec: "nothing-here": executable file not found in $PATH', self.last_error())
        self.call("delete", "--force", self.container, ok=True)

    def test_program_path_not_found(self):
        self.assertNotEqual(self.create("/opt/none", ok=False), 0)
        self.assertRegex(self.last_error(), 'exec: "/opt/none":.* no such file or directory')

    def test_program_not_executable(self):
        self.assertNotEqual(self.create("/etc/passwd", ok=False), 0)
        self.assertIn('exec: "/etc/passwd": permission denied', self.last_error())

    def test_program_is_a_folder(self):
        self.assertNotEqual(self.create("/etc", ok=False), 0)
        self.assertRegex(self.last_error(), 'exec: "/etc":.*(permission denied|is a directory)')

    def test_the_same_id_twice(self):
        self.create("sleep", "1000")
        first = (self.out, self.inp)
        self.assertNotEqual(self.create("sleep", "1000", ok=False), 0)
        self.assertRegex(self.last_error(), "exist")
        self.out, self.inp = first
        self.assertEqual(self.status(), "created")

    def test_no_descriptor_is_handed_on(self):
        r, w = self.pipe()
        pid = self.create("sh", "-c", "ls /proc/self/fd", pass_fds=[w.fileno()])
        self.start()
        self.assertEqual(self.wait(pid), 0)
        self.assertEqual(self.read().split(), ["0", "1", "2", "3"])
        w.close()
        self.assertEqual(select.select([r], [], [], 10)[0], [r], "a process of the container still holds the pipe")

    def test_exec(self):
        self.create("sleep", "1000")
        self.start()
        code, pid, out = self.exec("sh", "-c", "echo $A; id -u; pwd; exit 9", env=["PATH=/bin", "A=b"], cwd="/etc",
                                   user={"uid": 1000, "gid": 1000})
        self.assertEqual(code, 0, self.last_error())
        self.assertEqual(self.wait(pid), 9)
        self.assertEqual(out.read(), b"b\n1000\n/etc\n")

    def test_exec_is_killed(self):
        """`docker exec`'s process is killed by its pid."""
        self.create("sleep", "1000")
        self.start()
        code, pid, out = self.exec("sh", "-c", "echo ready; sleep 1000")
        self.assertEqual(code, 0, self.last_error())
        self.assertEqual(out.read(6), b"ready\n")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.wait(pid), 143)
        self.assertEqual(self.status(), "running")

    def test_exec_ends_with_its_container(self):
        init = self.create("sleep", "1000")
        self.start()
        code, pid, out = self.exec("sleep", "1000")
        self.assertEqual(code, 0, self.last_error())
        self.call("kill", self.container, "9", ok=True)
        # A first process of a pid namespace ends after all others of it were waited for.
        self.assertEqual(self.wait(pid), 137)
        self.assertEqual(self.wait(init), 137)
        self.assertEqual(out.read(), b"")

    def test_exec_not_found(self):
        self.create("sleep", "1000")
        self.start()
        code, _, _ = self.exec("nothing-here")
        self.assertNotEqual(code, 0)
        self.assertIn('exec: "nothing-here": executable file not found in $PATH', self.last_error())
        code, _, _ = self.exec("/etc/passwd")
        self.assertNotEqual(code, 0)
        self.assertIn('exec: "/etc/passwd": permission denied', self.last_error())

    def test_exec_in_a_stopped_container(self):
        pid = self.create("true")
        self.start()
        self.wait(pid)
        code, _, _ = self.exec("true")
        self.assertNotEqual(code, 0)
        self.assertRegex(self.last_error(), "not running|stopped container")

    def test_ps(self):
        pid = self.create("sh", "-c", "sleep 1000 & echo ready; wait")
        self.start()
        self.read(until=b"ready\n")
        pids = json.loads(self.call("ps", "--format", "json", self.container, ok=True).stdout)
        self.assertIn(pid, pids)
        os.kill(pid, 0)  # the host's pids: `docker top` looks for them with the host's ps
        title = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        self.assertEqual(title[:2], [b"sh", b"-c"])  # and shows the container's command

    def test_pause_and_resume(self):
        has("pause")
        self.create("sh", "-c", "while :; do echo tick; sleep 0.05; done")
        self.start()
        self.read(until=b"tick")
        self.call("pause", self.container, ok=True)
        self.assertEqual(self.status(), "paused")
        # What was written before the pause is drained; then nothing comes while another goes round as often as it would have.
        while select.select([self.out], [], [], 0)[0]:
            self.out.read(65536)
        moat.do("sh", "-c", "for i in 1 2 3 4; do sleep 0.05; done", check=True)
        self.assertEqual(select.select([self.out], [], [], 0)[0], [])
        self.call("resume", self.container, ok=True)
        self.assertEqual(self.status(), "running")
        self.read(until=b"tick")

    def test_delete_force_of_a_paused_one(self):
        has("pause")
        pid = self.create("sleep", "1000")
        self.start()
        self.call("pause", self.container, ok=True)
        self.call("delete", "--force", self.container, ok=True)
        self.assertEqual(self.wait(pid), 137)

    def controller(self, pid, name):
        """The folder of a process in a hierarchy of cgroup v1; None without that hierarchy."""
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if name in names.split(","):
                return CGROUPS / name / path.lstrip("/")
        return None

    def test_the_pid_is_in_the_containers_cgroup(self):
        """The shim reads statistics, and watches for the OOM killer, in the control groups of the pid."""
        pid = self.create("sleep", "1000")
        for name in ("memory", "cpuacct", "pids", "freezer"):
            folder = self.controller(pid, name)
            if folder is not None:
                self.assertEqual(folder, CGROUPS / name / self.cgroup.lstrip("/"))
        self.start()
        self.call("kill", self.container, "9", ok=True)
        self.wait(pid)
        self.call("delete", self.container, ok=True)
        self.assertEqual([c for c in CGROUPS.iterdir() if (c / self.cgroup.lstrip("/")).exists()], [])

    def test_update_on_standard_input(self):
        has("update")
        pid = self.create("sleep", "1000", edit=lambda c: c["linux"]["resources"]["memory"].update(limit=512 << 20))
        folder = self.controller(pid, "memory")
        if folder is None:
            self.skipTest("no memory controller of cgroup v1")
        self.assertEqual(int((folder / "memory.limit_in_bytes").read_text()), 512 << 20)
        self.start()
        text = {"memory": {"limit": 256 << 20, "reservation": 0, "swap": 256 << 20, "kernel": 0},
                "cpu": {"shares": 0, "quota": 50000, "period": 100000}, "blockIO": {"weight": 0}}
        r = subprocess.run(self.vector("update", "--resources", "-", self.container), input=json.dumps(text), text=True, cwd=self.bundle,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertEqual(int((folder / "memory.limit_in_bytes").read_text()), 256 << 20)
        self.assertEqual(int((self.controller(pid, "cpu") / "cpu.cfs_quota_us").read_text()), 50000)

    def test_events_stats(self):
        has("events")
        self.create("sleep", "1000")
        self.start()
        line = json.loads(self.call("events", "--stats", self.container, ok=True).stdout)
        self.assertEqual((line["type"], line["id"]), ("stats", self.container))
        self.assertGreater(line["data"]["cpu"]["usage"]["total"], 0)
        self.assertGreaterEqual(line["data"]["pids"]["current"], 1)

    def test_console_socket(self):
        master = None
        with self.console() as (path, receive):
            pid = self.create("sh", "-c", "tty; stty size; read x; stty size; echo got $x", terminal=True,
                              extra=("--console-socket", path))
            master = receive()
        self.assertEqual(struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))[:2], (30, 100))
        self.start()
        self.assertRegex(self.read_tty(master, "30 100"), "/dev/pts/0|/dev/console")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        os.write(master, b"text\n")
        self.assertIn("40 120", self.read_tty(master, "got text"))
        self.assertEqual(self.wait(pid), 0)
        os.close(master)

    def test_exec_console_socket(self):
        self.create("sleep", "1000")
        self.start()
        for extra in ((), ("--tty",)):  # containerd's shim, conmon
            with self.console() as (path, receive):
                code, pid, _ = self.exec("sh", "-c", "stty size; test -t 0 && test -t 1 && echo tty; exit 4", terminal=True,
                                         extra=("--console-socket", path, *extra))
                self.assertEqual(code, 0, self.last_error())
                master = receive()
            self.assertIn("30 100", self.read_tty(master, "tty"))
            self.assertEqual(self.wait(pid), 4)
            os.close(master)

    @contextlib.contextmanager
    def console(self):
        folder = tempfile.mkdtemp(prefix="pty", dir="/tmp")
        path = f"{folder}/pty.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(30)

            def receive():
                with listener.accept()[0] as conn:
                    conn.settimeout(30)
                    data, anc, _, _ = conn.recvmsg(4096, socket.CMSG_SPACE(4))
                    fds = array.array("i", anc[0][2][:4])
                    return fds[0]
            try:
                yield path, receive
            finally:
                shutil.rmtree(folder)

    def read_tty(self, master, until):
        got = ""
        while until not in got:
            self.assertTrue(select.select([master], [], [], 30)[0], f"nothing more on the terminal: {got!r}")
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            got += data.decode()
        self.assertIn(until, got)
        return got

    def test_prestart_hook_gets_the_state(self):
        """Docker sets up the network in a hook that reads the pid from its standard input."""
        def edit(c):
            c["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {self.dir}/hook; readlink /proc/self/ns/net >> {self.dir}/net"]}]}
        pid = self.create("sleep", "1000", edit=edit)
        state = json.loads(pathlib.Path(self.dir, "hook").read_text())
        self.assertEqual((state["id"], state["pid"], state["bundle"]), (self.container, pid, self.bundle))
        self.assertEqual(pathlib.Path(self.dir, "net").read_text().strip(), os.readlink("/proc/self/ns/net"))
        self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/net"), os.readlink("/proc/self/ns/net"))

    def test_failed_hook_fails_create(self):
        def edit(c):
            c["hooks"] = {"prestart": [{"path": "/bin/false", "args": ["false"]}]}
        self.assertNotEqual(self.create("sleep", "1000", edit=edit, ok=False), 0)
        self.assertIn("hook", self.last_error())

    def test_podman_calls(self):
        """conmon gives no --log: errors are read from standard error; Podman asks for the state by itself."""
        self.write_config("sh", "-c", "exit 3")
        with open(f"{self.dir}/err", "w+") as err:
            r = subprocess.run([self.runtime, "--root", self.state, "create", "--bundle", self.bundle, "--pid-file", f"{self.bundle}/pidfile",
                                self.container], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, timeout=60)
            err.seek(0)
            self.assertEqual(r.returncode, 0, err.read())
        pid = self.read_pid(f"{self.bundle}/pidfile")
        self.assertEqual(subprocess.run([self.runtime, "--root", self.state, "start", self.container], timeout=60).returncode, 0)
        self.assertEqual(self.wait(pid), 3)
        self.assertEqual(subprocess.run([self.runtime, "--root", self.state, "delete", "--force", self.container], timeout=60).returncode, 0)
        r = subprocess.run([self.runtime, "--root", self.state, "state", self.container], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=60)
        self.assertEqual(r.returncode, 1)
        self.assertIn("does not exist", r.stderr)

    def test_version_and_features(self):
        has("update")
        lines = subprocess.run([self.runtime, "--version"], stdout=subprocess.PIPE, text=True, timeout=60).stdout.splitlines()
        self.assertRegex(lines[0], r"^\S+ version \S+")
        self.assertTrue(any(line.startswith("spec: 1.") for line in lines))
        text = subprocess.run([self.runtime, "features"], stdout=subprocess.PIPE, text=True, timeout=60).stdout
        if not text.startswith("{"):
            self.skipTest("`features` does not print the structure of features.md")
        f = json.loads(text)
        self.assertIn("prestart", f["hooks"])
        self.assertIn("rbind", f["mountOptions"])
        self.assertIn("CAP_CHOWN", f["linux"]["capabilities"])
        self.assertTrue(f["linux"]["seccomp"]["enabled"])

    def test_checkpoint_is_refused_or_made(self):
        """The shim pauses before a checkpoint and resumes after it, whatever came of it."""
        has("checkpoint")
        self.create("sleep", "1000")
        self.start()
        self.call("pause", self.container, ok=True)
        os.mkdir(f"{self.dir}/image")
        r = self.call("checkpoint", "--image-path", f"{self.dir}/image", "--work-path", f"{self.dir}/work", "--leave-running", self.container)
        if r.returncode:
            self.assertNotEqual(self.last_error(), "")
        self.call("resume", self.container, ok=True)
        self.assertEqual(self.status(), "running")


class Sentry(Shim, unittest.TestCase):
    name = "moat"


class Native(Shim, unittest.TestCase):
    name = "moat-native"


if __name__ == "__main__":
    unittest.main()
