# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of native containers by CRIU.

Where CRIU cannot work on the running kernel these are skips; tests/guest/t/checkpoint.py runs them on a kernel where it can."""
import array
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import unittest

import bundle
import moat

PROGRAMS = "sh cat sleep stat readlink stty head tr touch test grep cut sort ls wc hostname true"
RUNC = shutil.which("runc")
# Numbers go through a pipe from one process to another, and come out each once.
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done | while read n; do echo $n >>/dev/shm/count; done"


@functools.cache
def unusable():
    """Why CRIU cannot be tried here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("criu", "busybox"):
        if not shutil.which(program):
            return program + " is not installed"
    r = subprocess.run(["criu", "check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if r.returncode:
        return "criu does not work on this kernel: " + (r.stdout.strip().splitlines() or ["?"])[0]
    return None


# What an emulated processor takes too long for is left out there, unless it is asked for: MOAT_ALL_TESTS=1 tests/guest/run --tests checkpoint
slow = unittest.skipIf(os.environ.get("MOAT_IN_GUEST") and not os.environ.get("MOAT_ALL_TESTS"), "takes long in the guest: MOAT_ALL_TESTS=1 runs it")


def without(c, kind):
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != kind]


class Checkpoint(bundle.BundleTest):
    isolation = "native"
    maxDiff = 4000

    def setUp(self):
        if unusable():
            self.skipTest(unusable())
        super().setUp()
        self.root = self.dir + "/root"
        for folder in ("bin", "dev", "proc", "sys", "tmp", "etc"):
            os.makedirs(f"{self.root}/{folder}")
        shutil.copy(shutil.which("busybox"), self.root + "/bin/busybox")
        for program in PROGRAMS.split():
            os.symlink("busybox", f"{self.root}/bin/{program}")
        self.image = self.dir + "/image"
        self.undoing = []

    def tearDown(self):
        for command in reversed(self.undoing):
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        super().tearDown()

    def undo(self, command):
        """Has it run when the test is over, whatever came of it."""
        self.undoing.append(command)

    def start(self, *args, name=None, change=None, options=(), out=None, network=False, **process):
        """A container that runs ARGS over a root that can be written to."""
        def edit(c):
            c["root"] = {"path": self.root, "readonly": False}
            if not network:  # CRIU takes seconds for one in the guest
                without(c, "network")
            if change:
                change(c)
        name = name or self.name()
        self.config(*args, change=edit, **process)
        if out:
            os.symlink(out, self.dir + "/out")
        self.create(name, *options)
        self.moat("start", name)
        return name

    def small(self, c):
        c["root"] = {"path": self.root, "readonly": False}
        c["linux"]["maskedPaths"] = []
        without(c, "network")

    def checkpoint(self, name, *options, ok=True):
        r = self.moat("checkpoint", "--image-path", self.image, "--work-path", self.dir + "/work", *options, name, ok=False)
        if ok:
            self.assertEqual(r.returncode, 0, r.stderr + self.log("dump.log"))
        return r

    def restore(self, name, *options, ok=True, detach=True, out="out", **kw):
        with open(f"{self.dir}/{out}", "wb") as file:
            kw = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file, "timeout": 120, **kw}
            r = subprocess.run([moat.MOAT, "--root", self.state, "--log", self.dir + "/log", "restore", "--isolation", "native", "--bundle", self.bundle,
                                "--image-path", self.image, "--work-path", self.dir + "/work", "--pid-file", self.dir + "/pid",
                                *(["--detach"] if detach else []), *options, name], **kw)
        if ok:
            self.assertEqual(r.returncode, 0, pathlib.Path(self.dir, out).read_text() + self.log("restore.log"))
        return r

    def log(self, name):
        path = pathlib.Path(self.dir, "work", name)
        return path.read_text(errors="replace")[-2500:] if path.exists() else ""

    def inside(self, name, *args):
        return self.moat("exec", name, *args).stdout

    def shm(self, file):
        """What the container has in /dev/shm/FILE; "" when it has no such file."""
        try:
            return pathlib.Path(f"/proc/{self.pid()}/root/dev/shm/{file}").read_text()
        except FileNotFoundError:
            return ""

    def count(self):
        return [int(n) for n in self.shm("count").split("\n")[:-1]]

    def wait_for(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def counts_beyond(self, number):
        self.wait_for(lambda: max(self.count(), default=0) > number, f"it does not count beyond {number}")
        numbers = self.count()
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        return len(numbers)

    def begin_counting(self, **kw):
        name = self.start("sh", "-c", COUNT, **kw)
        return name, self.counts_beyond(3)

    def listed(self):
        return {c["id"]: c["status"] for c in json.loads(self.moat("list", "--format", "json").stdout)}

    def end(self, name):
        self.moat("kill", name, "KILL")
        self.wait_for(lambda: self.status(name) == "stopped", "it does not stop")
        self.moat("delete", name)

    # ---- the whole way ----

    def test_goes_on_where_it_was(self):
        name, seen = self.begin_counting()
        look = ("sh", "-c", "hostname; cut -d' ' -f4-6 /proc/1/mountinfo | grep -v ^/.*/root | sort; grep -E '^(Cap|Seccomp:|NoNew|Uid)' /proc/1/status;"
                "cat /proc/1/cgroup; ls /proc/1/ns | wc -l; cat /proc/1/limits | grep files")
        before = self.inside(name, *look)
        group = pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text()
        self.checkpoint(name)
        self.assertEqual(self.listed(), {})
        self.assertEqual(bundle.cgroup_folders(name), set())
        self.restore(name)
        state = json.loads(self.moat("state", name).stdout)
        self.assertEqual((state["status"], state["pid"]), ("running", self.pid()))
        self.counts_beyond(seen + 3)
        self.assertEqual(self.inside(name, *look), before)
        self.assertEqual(pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text(), group)
        self.moat("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.moat("resume", name)
        self.assertGreater(len(json.loads(self.moat("ps", "--format", "json", name).stdout)), 1)
        self.end(name)

    def test_leaves_it_running_and_makes_another(self):
        name, seen = self.begin_counting()
        self.moat("pause", name)  # as containerd's shim does around it
        self.checkpoint(name, "--leave-running")
        self.moat("resume", name)
        self.counts_beyond(seen + 3)
        self.end(name)
        other = self.name("other")
        self.restore(other)
        self.assertEqual(self.listed(), {other: "running"})
        self.assertIn(other, pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text())
        self.counts_beyond(seen + 3)
        self.end(other)

    @slow
    def test_memory_beforehand(self):
        name = self.start("sh", "-c", "x=$(head -c 1000000 /dev/zero | tr '\\0' x); " + COUNT)
        self.wait_for(lambda: self.shm("count"), "it does not begin")
        image, self.image = self.image, self.dir + "/before"
        self.checkpoint(name, "--pre-dump")
        self.assertEqual(self.status(name), "running")
        seen = self.counts_beyond(3)
        self.image = image
        self.checkpoint(name, "--parent-path", "../before")

        def pages(folder):
            return sum(p.stat().st_size for p in pathlib.Path(folder).glob("pages-*.img"))
        self.assertGreater(pages(self.dir + "/before"), 1000000)
        self.assertLess(pages(self.image), 1000000)
        self.restore(name)
        self.counts_beyond(seen)
        self.end(name)

    def test_in_the_foreground(self):
        """Its output is a file of the host, and another one afterwards."""
        name = self.start("sh", "-c", "trap 'echo told; exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")
        self.wait_for(lambda: "3\n" in self.output(), "it does not begin")
        self.checkpoint(name)
        with subprocess.Popen([moat.MOAT, "--root", self.state, "restore", "--isolation", "native", "--bundle", self.bundle, "--image-path", self.image,
                               "--work-path", self.dir + "/work", name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as r:
            self.assertIn("give a file again", r.communicate()[1])
            self.assertEqual(r.returncode, 1)
        before = self.output().splitlines()
        with open(self.dir + "/out", "ab") as out:
            r = subprocess.Popen([moat.MOAT, "--root", self.state, "restore", "--isolation", "native", "--bundle", self.bundle, "--image-path", self.image,
                                  "--work-path", self.dir + "/work", name], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            self.wait_for(lambda: len(self.output().splitlines()) > len(before) + 2 or r.poll() is not None, "it does not go on")
            r.send_signal(signal.SIGTERM)
            self.assertEqual(r.wait(60), 7, self.log("restore.log"))
        finally:
            r.kill()
            r.wait()
        lines = self.output().splitlines()
        self.assertEqual(lines, [str(i) for i in range(1, len(lines))] + ["told"])
        self.assertEqual(self.listed(), {})

    def test_pipes_of_the_outside(self):
        name = self.name()
        self.config("sh", "-c", "while read x; do echo got $x; done", change=self.small)
        into, out = os.pipe(), os.pipe()
        subprocess.run([moat.MOAT, "--root", self.state, "run", "--isolation", "native", "-d", "--bundle", self.bundle, name],
                       stdin=into[0], stdout=out[1], stderr=subprocess.DEVNULL, check=True, timeout=60)
        os.write(into[1], b"one\n")
        self.assertEqual(os.read(out[0], 100), b"got one\n")
        self.checkpoint(name)
        for fd in (*into, *out):
            os.close(fd)
        into, out = os.pipe(), os.pipe()
        self.restore(name, stdin=into[0], stdout=out[1], stderr=subprocess.DEVNULL)
        os.write(into[1], b"two\n")
        self.assertEqual(os.read(out[0], 100), b"got two\n")
        for fd in (*into, *out):
            os.close(fd)
        self.wait_for(lambda: self.status(name) == "stopped", "its input has ended")
        self.moat("delete", name)

    # ---- terminals ----

    def on_console(self, call):
        """call(path of a console socket); the terminal's master."""
        path = self.dir + "/console"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(60)
            call(path)
            with listener.accept()[0] as peer:
                _, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
        os.unlink(path)
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        return fds[0]

    def read_until(self, master, text):
        got = b""
        while text not in got:
            got += os.read(master, 4096)
        return got

    def test_terminal(self):
        name = self.name()
        self.config("sh", "-c", "stty -echo; echo ready; while read x; do echo got $x; done", terminal=True, change=self.small)
        master = self.on_console(lambda path: self.create(name, "--console-socket", path))
        self.moat("start", name)
        self.read_until(master, b"ready")
        self.checkpoint(name)
        os.close(master)
        r = self.restore(name, ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("--console-socket", self.output())
        master = self.on_console(lambda path: self.restore(name, "--console-socket", path))
        os.write(master, b"word\n")
        self.read_until(master, b"got word")
        self.assertEqual(self.inside(name, "sh", "-c", "readlink /proc/1/fd/0; stat -c %t:%T /dev/console"), "/dev/pts/0\n88:0\n")
        os.close(master)
        self.moat("delete", "--force", name)

    # ---- what belongs to the outside ----

    @slow
    def test_volumes(self):
        a = pathlib.Path(self.dir, "volume")
        (a / "sub").mkdir(parents=True)
        (a / "file").write_text("first\n")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(a / "sub")], check=True)
        self.undo(["umount", str(a / "sub")])
        (a / "sub" / "deep").write_text("deep\n")
        (pathlib.Path(self.root) / "link").symlink_to("target")

        def volumes(source):
            def change(c):
                c["mounts"] += [{"destination": d, "source": str(source), "type": "bind", "options": o} for d, o in
                                (("/rw", ["bind"]), ("/ro", ["bind", "ro", "nosuid"]), ("/tree", ["rbind", "ro"]), ("/link/x", ["bind"]))]
            return change
        name, seen = self.begin_counting(change=volumes(a))
        self.checkpoint(name)
        b = pathlib.Path(self.dir, "moved")
        (b / "sub").mkdir(parents=True)
        (b / "file").write_text("second\n")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(b / "sub")], check=True)
        self.undo(["umount", str(b / "sub")])
        (b / "sub" / "deep").write_text("deeper\n")
        path = pathlib.Path(self.bundle, "config.json")
        path.write_text(path.read_text().replace(str(a), str(b)))
        self.restore(name)
        self.counts_beyond(seen)
        self.assertEqual(self.inside(name, "cat", "/rw/file", "/ro/file", "/tree/file", "/target/x/file", "/tree/sub/deep"), "second\n" * 4 + "deeper\n")
        written = self.inside(name, "sh", "-c", "for i in rw ro tree target/x; do (echo x >/$i/new) 2>/dev/null && echo $i; done; true")
        self.assertEqual(written, "rw\ntarget/x\n")
        options = dict(line.split()[4:6] for line in self.inside(name, "cat", "/proc/self/mountinfo").splitlines())
        self.assertTrue(options["/ro"].startswith("ro,nosuid"), options)
        for mask in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
            self.assertTrue(options[mask].startswith("ro,nosuid,noexec"), (mask, options))
        self.end(name)

    @slow
    def test_user_namespace(self):
        def change(c):
            c["linux"]["namespaces"].append({"type": "user"})
            c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        for path in (self.dir, self.root):
            os.chmod(path, 0o755)
        subprocess.run(["chown", "-R", "100000:100000", self.root], check=True)
        name, seen = self.begin_counting(change=change, network=True)
        self.checkpoint(name)
        self.restore(name)
        self.counts_beyond(seen)
        self.assertEqual(self.inside(name, "cat", "/proc/1/uid_map").split(), ["0", "100000", "65536"])
        self.end(name)

    @slow
    def test_network_namespace_of_another(self):
        subprocess.run(["ip", "netns", "add", self.name("net")], check=True)
        path = f"/run/netns/{self.ids[-1]}"
        self.undo(["ip", "netns", "delete", self.ids[-1]])

        def change(c):
            for n in c["linux"]["namespaces"]:
                if n["type"] == "network":
                    n["path"] = path
        name, seen = self.begin_counting(change=change, network=True)
        self.checkpoint(name)
        self.restore(name)
        self.counts_beyond(seen)
        self.assertEqual(os.stat(f"/proc/{self.pid()}/ns/net").st_ino, os.stat(path).st_ino)
        self.end(name)

    @slow
    def test_hooks(self):
        script = f'#!/bin/sh\necho "$1 $(cat)" >>{self.dir}/hooks\n'
        hook = pathlib.Path(self.dir, "hook")
        hook.write_text(script)
        hook.chmod(0o755)

        def change(c):
            c["linux"]["maskedPaths"] = []
            c["hooks"] = {k: [{"path": str(hook), "args": ["hook", k]}] for k in ("createRuntime", "poststart", "poststop")}
        name, seen = self.begin_counting(change=change, network=True)

        def calls():
            lines = pathlib.Path(self.dir, "hooks").read_text().splitlines()
            pathlib.Path(self.dir, "hooks").write_text("")
            return [(line.split()[0], json.loads(line.partition(" ")[2])["pid"]) for line in lines if line.partition(" ")[2].endswith("}")]
        self.assertEqual([c[0] for c in calls()], ["createRuntime", "poststart"])
        self.checkpoint(name, "--empty-ns", "network")
        self.assertEqual(calls(), [("poststop", 0)])
        self.restore(name, "--empty-ns", "network")
        self.assertEqual(calls(), [("createRuntime", self.pid())])  # here an engine gives it its network
        self.counts_beyond(seen)
        self.end(name)
        self.assertEqual(calls(), [("poststop", 0)])

    # ---- beside runc ----

    @slow
    def test_images_of_runc(self):
        """What moat wrote runc restores, and the other way round."""
        if RUNC is None:
            self.skipTest("runc is not installed")
        name, seen = self.begin_counting(out="/dev/null", change=lambda c: c["linux"].update(cgroupsPath=f"/moat-test/{self.ids[-1]}"))
        self.undo(["rmdir", "/sys/fs/cgroup/moat-test"])  # made for it, and left, as both do
        runc = [RUNC, "--root", self.dir + "/runc", "--log", self.dir + "/runc.log"]
        paths = ["--image-path", self.image, "--work-path", self.dir + "/work"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 120}
        self.undo([*runc, "delete", "--force", name])
        self.checkpoint(name)
        r = subprocess.run([*runc, "restore", "--detach", "--bundle", self.bundle, *paths, name], **quiet)
        self.assertEqual(r.returncode, 0, self.log("restore.log"))
        shutil.rmtree(self.image)
        r = subprocess.run([*runc, "checkpoint", *paths, name], **quiet)
        self.assertEqual(r.returncode, 0, pathlib.Path(self.dir, "runc.log").read_text() + self.log("dump.log"))
        self.restore(name)
        self.counts_beyond(seen)
        self.end(name)

    # ---- refusals: the container goes on, and nothing is left of one that was not made ----

    def test_what_cannot_be(self):
        name, seen = self.begin_counting()
        os.mkdir(self.dir + "/elsewhere")
        for options, text in ((["--parent-path", "/tmp"], "must be relative"), (["--parent-path", "nowhere"], "no folder beside"),
                              (["--empty-ns", "pid"], "only a network"), (["--page-server", "x"], "ADDRESS:PORT"), (["--page-server", "x:99999"], "no port"),
                              (["--manage-cgroups-mode", "odd"], "soft"), (["--status-fd", "77"], "not open")):
            r = self.checkpoint(name, *options, ok=False)
            self.assertEqual(r.returncode, 1, options)
            self.assertIn(text, r.stderr)
        r = self.moat("--criu", "/no/criu", "checkpoint", "--image-path", self.image, name, ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("apt-get install criu", r.stderr)
        r = self.checkpoint(self.name("other"), ok=False)
        self.assertIn("does not exist", r.stderr)
        seen = self.counts_beyond(seen)
        other = self.name("other2")
        self.image = self.dir + "/elsewhere"
        self.restore(other, ok=False)
        self.assertIn("no checkpoint of a container", self.output())
        self.assertEqual(self.listed(), {name: "running"})
        self.end(name)
        self.image = self.dir + "/image"
        created = self.name("created")
        self.config("true", change=self.small)
        self.create(created)
        r = self.checkpoint(created, ok=False)
        self.assertIn("not running", r.stderr)
        self.moat("delete", "--force", created)

    @slow
    def test_a_broken_image(self):
        name, _ = self.begin_counting()
        self.checkpoint(name)
        os.truncate(next(pathlib.Path(self.image).glob("mm-*.img")), 10)
        self.restore(name, ok=False)
        self.assertIn("CRIU failed", self.output())
        self.assertEqual(self.listed(), {})
        self.assertEqual(bundle.cgroup_folders(name), set())


if __name__ == "__main__":
    unittest.main()
