# SPDX-License-Identifier: Apache-2.0
"""Hostile images, volumes and containers against native isolation: the known ways out of this kind of runtime.

Each test names the break that it is about.  The whole class runs once more as if the kernel lacked openat2, and once as if it
lacked all the newer calls that moat has a fallback for.
"""
import hashlib
import json
import os
import pathlib
import pty
import shutil
import stat
import subprocess
import unittest

import moat

HOSTILE = moat.BUILD / "tests/attack/hostile"
WITHOUT = moat.BUILD / "tests/attack/without"
BUSYBOX = shutil.which("busybox") or "/bin/busybox"


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Attack(unittest.TestCase):
    missing = ""  # system calls that the kernel is said to lack

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        self.dir = pathlib.Path(moat.folder("attack"))
        self.root = self.dir / "bundle/rootfs"
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "v"):
            (self.root / folder).mkdir(parents=True)
        shutil.copy(BUSYBOX, self.root / "bin/busybox")
        shutil.copy(HOSTILE, self.root / "bin/hostile")
        for name in ("sh", "cat", "ls", "stat", "sleep", "true", "echo", "pwd"):
            (self.root / "bin" / name).symlink_to("busybox")
        self.victim = self.dir / "victim"  # a folder of the host that nothing inside may reach
        self.victim.mkdir()
        (self.victim / "secret").write_text("of the host")
        # The binary that is attacked is a copy, in case the attack succeeds.
        self.moat_copy = self.dir / "moat"
        shutil.copy(moat.MOAT, self.moat_copy)
        self.children = []
        self.names = []
        self.tag = self.dir.name  # ids are those of control groups too, which all of the host share

    def tearDown(self):
        for name in self.names:
            self.moat("delete", "--force", name, ok=None)
        for p in self.children:
            p.kill()
            p.wait()
            p.stdout.close()
        self.assertEqual(os.listdir(self.victim), ["secret"])
        self.assertEqual((self.victim / "secret").read_text(), "of the host")
        shutil.rmtree(self.dir)

    def command(self, *args):
        way = [str(WITHOUT), self.missing, "--"] if self.missing else []
        return [*way, str(self.moat_copy), "--root", str(self.dir / "state"), *args]

    def moat(self, *args, ok=True, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        if args[0] == "create":  # the container holds the standard streams: no pipes of ours
            kw.update(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw}
        r = subprocess.run(self.command(*args), text=True, timeout=60, **kw)
        if ok is not None:
            self.assertEqual(r.returncode == 0, ok, f"{args}: {r.returncode} {r.stdout} {r.stderr}")
        return r

    def config(self, *args, change=None, caps=(), **process):
        mounts = [("/proc", "proc", "proc", []), ("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
                  ("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"]),
                  ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"])]
        config = {
            "ociVersion": "1.2.0", "root": {"path": "rootfs"}, "hostname": "attack",
            "process": {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                        "capabilities": {k: ["CAP_KILL", "CAP_DAC_OVERRIDE", *caps] for k in ("bounding", "effective", "permitted")},
                        **process},
            "mounts": [{"destination": d, "type": t, "source": s, "options": o} for d, t, s, o in mounts],
            "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
                      "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
                      "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"]},
        }
        if change:
            change(config)
        (self.dir / "bundle/config.json").write_text(json.dumps(config))

    def run_it(self, name, *options, ok=True):
        return self.moat("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), *options, f"{name}-{self.tag}", ok=ok)

    def start(self, name, *, word="ready\n"):
        """Runs it in the background and waits for its first line."""
        p = subprocess.Popen(self.command("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), f"{name}-{self.tag}"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.names.append(f"{name}-{self.tag}")
        self.children.append(p)
        self.assertEqual(p.stdout.readline(), word)
        return p

    # ---- the runtime's binary: CVE-2019-5736 ----

    def hunted(self, caps):
        before = digest(self.moat_copy)
        self.config("/bin/hostile", "hunt", caps=caps)
        p = self.start("hunter")
        (self.root / "bin/again").write_text("#!/proc/self/exe\n")
        (self.root / "bin/again").chmod(0o755)
        for program in ("/proc/self/exe", "/bin/again"):
            for _ in range(6):
                self.moat("exec", f"hunter-{self.tag}", program, ok=None)
        # One more that stays, so that the hunter surely has the time: moat itself runs as the container's program.
        waiting = subprocess.Popen(self.command("exec", f"hunter-{self.tag}", "/proc/self/exe", "do", "--help"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        waiting.wait(timeout=60)
        self.moat("kill", f"hunter-{self.tag}", "KILL")
        p.wait(timeout=60)
        lines = p.stdout.read().splitlines()
        self.assertEqual(digest(self.moat_copy), before, "the runtime's binary was overwritten")
        self.assertFalse([x for x in lines if x.startswith("WROTE")])
        return lines

    def test_binary_is_not_reached(self):
        self.hunted(())

    def test_binary_is_not_reached_with_ptrace_rights(self):
        lines = self.hunted(("CAP_SYS_PTRACE", "CAP_SYS_ADMIN"))
        self.assertTrue([x for x in lines if x.startswith("refused")], "the hunter never held the binary: the test shows nothing")

    def test_nothing_inside_ever_has_more_rights_than_the_container(self):
        """A process on its way to an exec would hand its rights to whoever may trace it (CAP_SYS_PTRACE)."""
        names = ("CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE")
        allowed = sum(1 << {"CAP_KILL": 5, "CAP_DAC_OVERRIDE": 1, "CAP_SYS_PTRACE": 19}[n] for n in names)
        filters = ({}, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]})
        for number, seccomp in enumerate(filters):
            def change(c):
                if seccomp:
                    c["linux"]["seccomp"] = seccomp
            self.config("/bin/hostile", "watch", caps=("CAP_SYS_PTRACE",), change=change)
            p = self.start(f"watch{number}")
            process = json.loads((self.dir / "bundle/config.json").read_text())["process"]
            for no_new_privs in (False, True):
                process.update(args=["/bin/true"], noNewPrivileges=no_new_privs)
                (self.dir / "process.json").write_text(json.dumps(process))
                for _ in range(15):
                    self.moat("exec", "--process", str(self.dir / "process.json"), f"watch{number}-{self.tag}")
            process["args"] = ["/bin/sleep", "0.2"]  # one that is seen for sure
            (self.dir / "process.json").write_text(json.dumps(process))
            self.moat("exec", "--process", str(self.dir / "process.json"), f"watch{number}-{self.tag}")
            self.moat("kill", f"watch{number}-{self.tag}", "KILL")
            p.wait(timeout=60)
            seen = {int(line.split()[1], 16) for line in p.stdout.read().splitlines()}
            self.assertTrue(seen)
            self.assertEqual({hex(caps) for caps in seen if caps & ~allowed}, set())

    def test_link_of_a_created_container_is_no_file_to_write(self):
        self.config("/bin/true")
        self.moat("create", "--isolation", "native", "--bundle", str(self.dir / "bundle"), "--pid-file", str(self.dir / "pid"),
                  f"c-{self.tag}")
        self.names.append(f"c-{self.tag}")
        pid = (self.dir / "pid").read_text()
        before = digest(self.moat_copy)
        with self.assertRaises(OSError) as caught:
            os.open(f"/proc/{pid}/exe", os.O_WRONLY)
        self.assertIn(caught.exception.errno, (30, 26, 1, 13))  # EROFS, ETXTBSY, EPERM (sealed), EACCES
        self.assertEqual(digest(self.moat_copy), before)
        self.assertEqual(digest(f"/proc/{pid}/exe"), before, "it is moat all the same")
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
        self.assertNotIn(str(self.moat_copy) + "\n", maps, "nothing is mapped from the binary's own mount")

    # ---- descriptors and the working directory: CVE-2024-21626 ----

    def test_no_descriptor_of_the_host_is_left(self):
        self.config("/bin/hostile", "fds")
        spare = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(8)]
        high = os.dup2(spare[0], 300)
        try:
            r = subprocess.run(self.command("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), f"c-{self.tag}"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, text=True, pass_fds=[*spare, high])
        finally:
            for fd in (*spare, high):
                os.close(fd)
        self.assertEqual(r.returncode, 0)
        self.assertEqual([line.split()[0] for line in r.stdout.splitlines()], ["0", "1", "2"], r.stdout)

    def test_working_directory_is_no_descriptor_of_the_runtime(self):
        for fd in range(3, 24):
            for tail in ("", "/..", "/../../.."):
                self.config("/bin/sh", "-c", "pwd; ls", cwd=f"/proc/self/fd/{fd}{tail}")
                r = self.run_it("c", ok=None)
                if r.returncode == 0:  # it was a folder of the container then
                    self.assertNotIn("container_info", r.stdout)
                    self.assertNotIn("victim", r.stdout)
                    self.assertNotIn("lost+found", r.stdout)

    def test_working_directory_of_exec(self):
        self.config("/bin/sh", "-c", "echo ready; exec sleep 1000")
        self.start("c")
        inside = set(os.listdir(self.root))
        for fd in range(3, 24):
            r = self.moat("exec", "--cwd", f"/proc/self/fd/{fd}", f"c-{self.tag}", "/bin/ls", ok=None)
            if r.returncode == 0:
                self.assertLessEqual(set(r.stdout.split()), inside)

    # ---- volumes: CVE-2021-30465 ----

    def test_volume_that_swaps_its_folders(self):
        """A container exchanges a folder of a shared volume with a symlink while others are mounted on it."""
        volume = self.dir / "volume"
        (volume / "a/target").mkdir(parents=True)
        (volume / "link").symlink_to("/" + "../" * 12 + str(self.dir).lstrip("/"))
        (self.dir / "target").mkdir()
        shared = {"destination": "/v", "type": "bind", "source": str(volume), "options": ["rbind"]}
        self.config("/bin/hostile", "swap", "/v/a", "/v/link", change=lambda c: c["mounts"].append(shared))
        self.start("swapper")
        mark = {"destination": "/v/a/target", "type": "tmpfs", "source": "inside", "options": ["size=64k"]}
        self.config("/bin/cat", "/proc/self/mountinfo", change=lambda c: c["mounts"].extend([shared, mark]))
        done = 0
        for _ in range(25):
            r = self.run_it("c", ok=None)
            if r.returncode == 0:
                done += 1
                # Shown inside: the mount lies below the container's root, wherever the names led meanwhile.
                self.assertIn(" inside ", r.stdout, "the mount went elsewhere")
            self.assertEqual(os.listdir(self.dir / "target"), [])
        self.assertGreater(done, 0, "no container came up at all")

    # ---- masks: CVE-2025-31133 ----

    def test_null_device_of_the_image_is_a_symlink(self):
        """The image's own /dev/null leads to a file that would be mounted over the masked paths."""
        (self.root / "dev/null").symlink_to("/proc/sysrq-trigger")

        def own_dev(c):
            c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        self.config("/bin/true", change=own_dev)
        r = self.run_it("c", ok=False)
        self.assertIn("/dev/null", r.stderr)
        self.assertTrue((self.root / "dev/null").is_symlink())

    def test_masks_are_the_null_device_whatever_dev_holds(self):
        fake = self.dir / "fakedev"
        fake.mkdir()
        (fake / "null").symlink_to("/proc/sysrq-trigger")
        bind = {"destination": "/dev", "type": "bind", "source": str(fake), "options": ["bind"]}

        def change(c):
            c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")] + [bind]
        c = [p for p in ("/proc/keys", "/proc/kcore", "/proc/timer_list") if os.path.exists(p)]
        self.config("/bin/stat", "-c", "%F %t:%T", *c, change=change)
        self.assertEqual(self.run_it("c").stdout, "character special file 1:3\n" * len(c))

    def test_mask_cannot_change_the_hosts_device(self):
        before = stat.S_IMODE(os.stat("/dev/null").st_mode)
        self.addCleanup(os.chmod, "/dev/null", before)
        self.config("/bin/busybox", "chmod", "600", "/proc/keys", caps=("CAP_FOWNER",))
        self.assertNotEqual(self.run_it("c", ok=None).returncode, 0)
        self.assertEqual(stat.S_IMODE(os.stat("/dev/null").st_mode), before)

    # ---- the console: CVE-2025-52565 ----

    def terminal(self, change=None):
        self.config("/bin/sh", "-c", "stat -c '%F %t' /dev/console; cat /proc/self/mountinfo", change=change, terminal=True)
        main, sub = pty.openpty()
        try:
            r = subprocess.run(self.command("run", "--isolation", "native", "--bundle", str(self.dir / "bundle"), f"c-{self.tag}"), stdin=sub,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        finally:
            os.close(main)
            os.close(sub)
        return r

    def test_console(self):
        r = self.terminal()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("character special file 88", r.stdout)
        self.assertIn(" /dev/console ", r.stdout)

    def test_console_of_the_image_is_a_symlink(self):
        target = self.root / "etc/target"
        target.write_text("as it was")
        (self.root / "dev/console").symlink_to("/etc/target")

        def own_dev(c):
            c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/dev"]
        (self.root / "dev/pts").mkdir()
        r = self.terminal(own_dev)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("/dev/console", r.stderr)
        self.assertEqual(target.read_text(), "as it was")

    def test_multiplexer_of_the_image_is_refused(self):
        (self.root / "dev/pts").mkdir()
        os.mknod(self.root / "dev/pts/ptmx", stat.S_IFCHR | 0o666, os.makedev(5, 2))

        def own_dev(c):
            c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        r = self.terminal(own_dev)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("ptmx", r.stderr)

    # ---- writes below /proc: CVE-2019-19921, CVE-2025-52881 ----

    def test_proc_and_sys_of_the_image_are_symlinks(self):
        for name in ("proc", "sys"):
            (self.root / name).rmdir()
            (self.root / name).symlink_to("/tmp/fake")
            (self.root / "tmp/fake").mkdir(exist_ok=True)
            self.config("/bin/true")
            r = self.run_it("c", ok=False)
            self.assertIn("/" + name, r.stderr)
            self.assertIn("symlink", r.stderr)
            (self.root / name).unlink()
            (self.root / name).mkdir()

    def test_sysctl_goes_to_the_kernel_whatever_lies_on_proc(self):
        fake = self.dir / "fakeproc"
        (fake / "sys/net/ipv4").mkdir(parents=True)
        (fake / "sys/net/ipv4/ip_forward").write_text("0")
        (fake / "self/attr").mkdir(parents=True)

        def change(c):
            c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/proc"]
            c["mounts"].append({"destination": "/proc", "type": "bind", "source": str(fake), "options": ["bind"]})
            c["mounts"].append({"destination": "/real", "type": "proc", "source": "proc"})
            c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        before = pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text()
        self.config("/bin/cat", "/real/sys/net/ipv4/ip_forward", change=change)
        self.assertEqual(self.run_it("c").stdout, "1\n")
        self.assertEqual((fake / "sys/net/ipv4/ip_forward").read_text(), "0")
        self.assertEqual(pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text(), before)

    def test_sysctl_does_not_leave_its_folder(self):
        for key in ("net.../../kernel/core_pattern", "net/../kernel/core_pattern", "net.ipv4/../../kernel/core_pattern"):
            before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
            self.config("/bin/true", change=lambda c: c["linux"].update(sysctl={key: "|/bin/evil"}))
            self.run_it("c", ok=False)
            self.assertEqual(pathlib.Path("/proc/sys/kernel/core_pattern").read_text(), before)

    # ---- the image's own file tree ----

    def test_dev_of_the_image_is_a_symlink_to_the_host(self):
        shutil.rmtree(self.root / "dev")
        (self.root / "dev").symlink_to(self.victim)
        self.config("/bin/sh", "-c", "echo x >/dev/null && echo fine")
        r = self.run_it("c", ok=None)  # inside, the link leads to a folder of the image
        self.assertIn(r.returncode, (0, 1))
        self.assertEqual(os.listdir(self.victim), ["secret"])

    def test_dangling_and_circular_symlinks_as_targets(self):
        (self.root / "to").symlink_to("/../../../nowhere/deep")
        (self.root / "loop").symlink_to("loop")
        (self.root / "up").symlink_to("../" * 20 + str(self.victim).lstrip("/"))

        def target(path):
            return lambda c: c["mounts"].append({"destination": path, "type": "tmpfs", "source": "here", "options": ["size=64k"]})
        for path in ("/to", "/to/more", "/up/x", "/up"):
            self.config("/bin/cat", "/proc/self/mountinfo", change=target(path))
            self.assertIn(" here ", self.run_it("c").stdout)
        self.assertTrue((self.root / "nowhere/deep").is_dir())
        self.assertFalse(os.path.lexists("/nowhere"))
        self.config("/bin/true", change=target("/loop/x"))
        self.assertIn("/loop/x", self.run_it("c", ok=False).stderr)

    def test_masked_and_readonly_paths_behind_symlinks_stay_inside(self):
        (self.root / "etc/link").symlink_to("/" + "../" * 12 + str(self.victim).lstrip("/"))

        def change(c):
            c["linux"]["maskedPaths"].append("/etc/link/secret")
            c["linux"]["readonlyPaths"].append("/etc/link")
        self.config("/bin/true", change=change)
        self.run_it("c")
        self.assertEqual((self.victim / "secret").read_text(), "of the host")

    def test_program_of_the_image_has_no_way_through_proc_root(self):
        self.config("/bin/sh", "-c", "ls /proc/1/root/ /proc/self/cwd/..")
        self.assertNotIn("victim", self.run_it("c").stdout)

    def test_passwd_of_the_image_is_no_trap(self):
        os.mkfifo(self.root / "etc/passwd")
        self.config("/bin/sh", "-c", "echo $HOME")
        self.assertEqual(self.run_it("c").stdout, "/\n")


class AttackWithoutOpenat2(Attack):
    """openat2 answers ENOSYS: paths are walked."""
    missing = "openat2"


class AttackOnAnOlderKernel(Attack):
    """None of the newer calls: paths are walked, mounts are made by mount(2), the binary is copied."""
    missing = "openat2,fsopen,open_tree,mount_setattr,clone3"


if __name__ == "__main__":
    unittest.main()
