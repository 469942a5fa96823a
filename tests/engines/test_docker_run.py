# SPDX-License-Identifier: Apache-2.0
"""`docker run`: what a container is, from the inside, under Docker Engine with moat as its runtime."""
import json

import box
import dockerd
import engine
import images
from dockerd import IMAGE


class DockerRun(dockerd.DockerTest):
    def sh(self, script, *options, **kw):
        """`docker run --rm OPTIONS sh -c SCRIPT`."""
        return self.docker("run", "--rm", *options, IMAGE, "sh", "-c", script, **kw)

    def lines(self, script, *options):
        return self.sh(script, *options).stdout.splitlines()

    def test_streams_and_exit_code(self):
        r = self.sh("read x; echo out $x; echo err >&2; exit 5", "-i", ok=False, input="text\n", stdin=None)
        self.assertEqual((r.stdout, r.stderr, r.returncode), ("out text\n", "err\n", 5))

    def test_much_output(self):
        r = self.sh("head -c 8388608 /dev/zero | tr '\\0' x; echo; echo end")
        self.assertEqual((len(r.stdout), r.stdout[-4:]), (8388608 + 5, "end\n"))

    def test_much_input(self):
        r = self.sh("wc -c", "-i", input="x" * 4000000, stdin=None)
        self.assertEqual(r.stdout.strip(), "4000000")

    def test_program_not_found(self):
        r = self.docker("run", "--rm", IMAGE, "nothing-here", ok=False)
        self.assertEqual(r.returncode, 127, r.stderr)
        self.assertIn('"nothing-here": executable file not found in $PATH', r.stderr)

    def test_program_path_not_found(self):
        r = self.docker("run", "--rm", IMAGE, "/opt/none", ok=False)
        self.assertEqual(r.returncode, 127, r.stderr)
        self.assertIn("no such file or directory", r.stderr)

    def test_program_not_executable(self):
        r = self.docker("run", "--rm", IMAGE, "/opt/data", ok=False)
        self.assertEqual(r.returncode, 126, r.stderr)
        self.assertIn("permission denied", r.stderr)

    def test_environment_folder_and_names(self):
        self.assertEqual(self.lines("echo $A; pwd; hostname; cat /etc/hostname; echo $HOSTNAME; grep -c box1 /etc/hosts",
                                    "-e", "A=b c", "-w", "/etc", "--hostname", "box1"),
                         ["b c", "/etc", "box1", "box1", "box1", "1"])

    def test_entrypoint_and_new_work_folder(self):
        r = self.docker("run", "--rm", "--entrypoint", "pwd", "-w", "/new/folder", IMAGE)
        self.assertEqual(r.stdout, "/new/folder\n")

    def test_user_and_groups(self):
        self.assertEqual(self.lines("id -u; id -g; id -G; touch /etc/x 2>&1; echo $HOME", "-u", "user", "--group-add", "3000"),
                         ["1000", "1000", "1000 2000 3000", "touch: /etc/x: Permission denied", "/home/user"])
        self.assertEqual(self.lines("id -u; id -g", "-u", "1234:4321"), ["1234", "4321"])

    def test_read_only_root_with_tmpfs(self):
        got = self.lines("touch /x 2>&1; touch /t/ok && echo fine; head -c 2000000 /dev/zero >/t/big; df -k /t | tail -1 | awk '{print $2}'",
                         "--read-only", "--tmpfs", "/t:size=1m")
        self.assertEqual(got[:2], ["touch: /x: Read-only file system", "fine"])
        self.assertEqual(got[-1], "1024")

    def test_bind_mounts(self):
        folder = self.box.path("/run/shared")
        folder.mkdir(exist_ok=True)
        (folder / "in").write_text("from the host\n")
        got = self.lines("cat /rw/in; echo back >/rw/out; cat /ro/in; touch /ro/x 2>&1; cat /file",
                         "-v", "/run/shared:/rw", "-v", "/run/shared:/ro:ro", "-v", "/run/shared/in:/file:ro")
        self.assertEqual(got, ["from the host", "from the host", "touch: /ro/x: Read-only file system", "from the host"])
        self.assertEqual((folder / "out").read_text(), "back\n")

    def test_named_volume_is_kept(self):
        self.sh("echo kept >/v/file", "-v", "data:/v")
        self.assertEqual(self.lines("cat /v/file", "-v", "data:/v:ro"), ["kept"])
        self.docker("volume", "rm", "data")

    def test_volume_is_filled_from_the_image(self):
        self.assertEqual(self.lines("cat /opt/data", "-v", "/opt"), ["no program"])

    def test_capabilities(self):
        def effective(*options):
            return int(self.lines("grep CapEff /proc/self/status", *options)[0].split()[1], 16)
        self.assertEqual(effective(), 0xa80425fb)  # Docker's fourteen
        self.assertEqual(effective("--cap-drop", "ALL"), 0)
        self.assertEqual(effective("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"), 1 << 12)
        r = self.sh("chown 1 /tmp", "--cap-drop", "CHOWN", ok=False)
        self.assertEqual((r.returncode, r.stderr), (1, "chown: /tmp: Operation not permitted\n"))

    def test_an_ordinary_user_has_no_capabilities(self):
        got = dict(line.split(":\t") for line in self.lines("grep Cap /proc/self/status", "-u", "1000"))
        self.assertEqual((int(got["CapEff"], 16), int(got["CapPrm"], 16), int(got["CapBnd"], 16)), (0, 0, 0xa80425fb))

    def test_no_new_privileges(self):
        self.assertEqual(self.lines("grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges"), ["NoNewPrivs:\t1"])
        self.assertEqual(self.lines("grep NoNewPrivs /proc/self/status"), ["NoNewPrivs:\t0"])

    def test_limits(self):
        self.assertEqual(self.lines("ulimit -n; ulimit -Hn; ulimit -c", "--ulimit", "nofile=123:456", "--ulimit", "core=0"), ["123", "456", "0"])

    def test_pids_limit(self):
        """A fork bomb ends at the limit, and the container's first process lives on."""
        r = self.sh("i=0; while [ $i -lt 60 ]; do sleep 100 & i=$((i+1)); done; echo all", "--pids-limit", "20", ok=False)
        self.assertNotIn("all", r.stdout)
        self.assertIn("can't fork", r.stderr)

    def test_out_of_memory(self):
        self.needs_mounted_hierarchies()
        r = self.docker("run", "--name", "oom", "-m", "48m", "--memory-swap", "48m", IMAGE, "sh", "-c", "tail /dev/zero", ok=False)
        self.assertEqual(r.returncode, 137, r.stderr)
        self.assertTrue(self.state("oom")["OOMKilled"])

    def test_init(self):
        got = self.lines("cat /proc/1/comm; sleep 0 & wait; echo $$", "--init")
        self.assertIn(got[0], ("docker-init", "tini-static", "tini"))
        self.assertNotEqual(got[1], "1")

    def test_processes_see_their_own_kind_only(self):
        self.assertEqual(self.lines("echo $$; ls -d /proc/[0-9]* | wc -l")[0], "1")
        self.assertIn(self.lines("ls -d /proc/[0-9]* | wc -l")[0], ("2", "3"))

    def test_devices(self):
        got = self.lines("ls /dev | sort | tr '\\n' ' '; echo; head -c 2 /dev/zero | od -An -tx1; echo x >/dev/null && echo fine; "
                         "test -c /dev/random -a -c /dev/urandom -a -c /dev/full -a -c /dev/tty && echo there; readlink /dev/fd")
        for name in ("fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"):
            self.assertIn(name, got[0].split())
        self.assertEqual([x.strip() for x in got[1:]], ["00 00", "fine", "there", "/proc/self/fd"])

    def test_shm_size(self):
        self.assertEqual(self.lines("df -k /dev/shm | tail -1 | awk '{print $2}'; touch /dev/shm/x && echo ok", "--shm-size", "2m"), ["2048", "ok"])

    def test_masked_and_read_only_paths(self):
        """What Docker masks is empty where it exists, what it makes read-only cannot be written."""
        got = self.lines("for p in /proc/kcore /proc/keys /proc/timer_list; do test ! -e $p || wc -c <$p; done | sort -u; "
                         "test ! -e /sys/firmware || ls /sys/firmware; echo end")
        self.assertIn(got, (["0", "end"], ["end"]))
        for path in ("/proc/sys/kernel/msgmax", "/proc/irq/default_smp_affinity"):
            r = self.sh(f"test -e {path} || exit 9; cat {path} >/tmp/x; cat /tmp/x >{path}", ok=False)
            self.assertIn(r.returncode, (1, 2, 9), path)
            if r.returncode != 9:
                self.assertIn("Read-only file system", r.stderr)

    def test_seccomp_profile(self):
        """Docker's default profile denies unshare, and `unconfined` lets it through to where a capability is asked for."""
        got = self.lines("grep Seccomp: /proc/self/status")
        if self.isolation == "sentry" and got == ["Seccomp:\t0"]:
            self.skipTest("this sentry does not apply linux.seccomp")
        self.assertEqual(got, ["Seccomp:\t2"])
        self.assertEqual(self.lines("grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined"), ["Seccomp:\t0"])
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
        self.box.path("/run/profile.json").write_text(json.dumps(profile))
        r = self.sh("mkdir /tmp/x; echo $?", "--security-opt", "seccomp=/run/profile.json")
        self.assertEqual((r.stdout, r.stderr), ("1\n", "mkdir: can't create directory '/tmp/x': No space left on device\n"))

    def test_sysctl(self):
        self.assertEqual(self.lines("cat /proc/sys/kernel/msgmax", "--sysctl", "kernel.msgmax=4321"), ["4321"])

    def test_a_file_of_the_image_is_changed_for_this_container_alone(self):
        self.assertEqual(self.lines("echo new >/opt/data; rm /bin/tac; cat /opt/data; ls /bin/tac 2>&1 | wc -l"), ["new", "1"])
        self.assertEqual(self.lines("cat /opt/data; test -e /bin/tac && echo there"), ["no program", "there"])

    def test_terminal(self):
        t = self.terminal("run", "-it", "--rm", IMAGE, "sh")
        t.resize(33, 111)
        t.read("# ")
        t.write("tty; echo a$((1+1))b\n")
        self.assertIn("/dev/", t.read("a2b"))
        t.read("# ")
        # The client tells the engine the window's size a moment after the start: ask until it is there.
        t.write("while [ \"$(stty size)\" != '33 111' ]; do sleep 0.05; done; echo size'd'\n")
        t.read("sized")
        t.write("sh -c 'echo slee''ps; exec sleep 1000'\n")
        t.read("sleeps")
        t.write("\x03")
        t.write("echo after $?; exit 9\n")
        t.read("after 130")
        self.assertEqual(t.end(), 9)

    def test_terminal_full_screen_program(self):
        t = self.terminal("run", "-it", "--rm", IMAGE, "vi", "/tmp/x")
        t.read("/tmp/x")
        t.write(":q\n")
        self.assertEqual(t.end(), 0)

    def test_memory_and_cpu_limits_are_the_cgroups(self):
        self.background("sleep", "1000", options=("-m", "64m", "--cpus", "0.5", "--pids-limit", "77", "--cpu-shares", "512"))
        top = f"{self.box.cgroup}/{self.inspect('test')['Id']}"
        for controller, file, value in (("memory", "memory.limit_in_bytes", 64 << 20), ("cpu", "cpu.cfs_quota_us", 50000),
                                        ("pids", "pids.max", 77), ("cpu", "cpu.shares", 512)):
            with open(f"/sys/fs/cgroup/{controller}/{top}/{file}") as f:
                self.check_limit(int(f.read()), value, file)

    def test_every_process_is_in_the_containers_cgroup(self):
        """What the container costs the host is counted: all that ran for it is in its memory group, or lives as long as the engine."""
        before = set(self.box.processes())
        cid = self.background("sleep", "1000")
        with open(f"/sys/fs/cgroup/memory/{self.box.cgroup}/{cid}/cgroup.procs") as f:
            inside = {int(x) for x in f.read().split()}
        outside = {p: t for p, t in self.box.processes().items() if p not in before and p not in inside and "containerd-shim" not in t}
        self.assertEqual(outside, {})
        self.assertIn(self.state("test")["Pid"], {int(x.split()[self.box_level()]) for p in inside for x in [self.nspid(p)]})

    def nspid(self, pid):
        with open(f"/proc/{pid}/status") as f:
            return next(line.split(":")[1] for line in f if line.startswith("NSpid"))

    def box_level(self):
        return len(self.nspid(self.box.pid).split()) - 1

    def test_debian(self):
        """A Debian image: its own programs, its own dynamic loader, python, dpkg."""
        if "debian" not in self.out("images", "--format", "{{.Repository}}"):
            images.debian_tar(self.box.path("/run/debian.tar"))
            self.docker("import", "/run/debian.tar", "debian")
            self.box.path("/run/debian.tar").unlink()
        r = self.docker("run", "--rm", "debian", "bash", "-c", "set -e; . /etc/os-release; echo $VERSION_ID; python3 -c 'print(sum(range(10)))'; "
                        "dpkg -s bash | head -1; perl -e 'print 6*7, qq(\\n)'; ls / | wc -l; echo x >/etc/x; cat /etc/x")
        got = r.stdout.split("\n")
        self.assertEqual(got[:4] + got[5:6], ["12", "45", "Package: bash", "42", "x"])


class DockerNetwork(dockerd.DockerTest):
    """Bridges and published ports: the container uses the host's stack in its own namespace."""
    runtimes = ("native", "runc")

    def fetch(self, port, text):
        r = self.box.run("busybox", "nc", "-w", "10", "127.0.0.1", str(port))
        return r.stdout == text + "\n"

    def test_published_port(self):
        self.background("serve", "80", "hello", options=("-p", "8081:80"))
        box.wait_for("the published port answers", lambda: self.fetch(8081, "hello"))

    def test_containers_find_each_other_by_name(self):
        self.docker("network", "create", "net1")
        self.addCleanup(self.docker, "network", "rm", "net1")
        self.addCleanup(self.sweep)
        self.background("serve", "80", "hello", name="server", options=("--network", "net1"))

        def ask():
            return self.docker("run", "--rm", "--network", "net1", IMAGE, "nc", "-w", "5", "server", "80", ok=False).stdout == "hello\n"
        box.wait_for("the server answers by its name", ask)

    def test_interfaces(self):
        self.assertEqual(self.out("run", "--rm", IMAGE, "sh", "-c", "ls /sys/class/net | tr '\\n' ' '"), "eth0 lo ")
        self.assertEqual(self.out("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "ls /sys/class/net"), "lo")
        self.assertIn("docker0", self.out("run", "--rm", "--network", "host", IMAGE, "ls", "/sys/class/net"))

    def test_a_container_in_anothers_network(self):
        self.background("serve", "80", "hello")
        box.wait_for("the server answers", lambda: self.docker(
            "run", "--rm", "--network", "container:test", IMAGE, "nc", "-w", "5", "127.0.0.1", "80", ok=False).stdout == "hello\n")

    def test_pid_namespace_of_another(self):
        self.background("sleep", "1000")
        self.assertIn("sleep 1000", self.out("run", "--rm", "--pid", "container:test", IMAGE, "ps"))


load_tests = engine.load_tests_of(DockerRun, DockerNetwork)
