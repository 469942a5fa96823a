# SPDX-License-Identifier: Apache-2.0
"""Podman, as root and as an ordinary user, with moat as its runtime.  Podman has no daemon: conmon holds each container."""
import json
import time

import box
import engine
import images

IMAGE = "localhost/busybox"


class PodmanTest(engine.EngineTest):
    engine = "podman"
    programs = ("podman", "conmon", "iptables")
    user = None

    @classmethod
    def start_engine(cls):
        conf = cls.box.path("/etc/containers/containers.conf.d")
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "90-test.conf").write_text(f'[engine]\nruntime = "{cls.runtime.name}"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        cls.register("--podman")
        cls.prepare()
        images.oci_archive(cls.box.path("/run/image.tar"), IMAGE + ":latest")
        loaded = cls.podman_raw("load", "-q", "-i", "/run/image.tar")
        if loaded.returncode:
            raise RuntimeError(loaded.stderr)

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def podman_raw(cls, *args, **kw):
        return cls.box.run("podman", *args, **kw)

    @classmethod
    def close_box(cls):
        left = [t for t in cls.box.processes().values() if "podman" not in t.split(" ")[0]]
        super().close_box()
        if left:
            raise AssertionError(f"processes left behind by {cls.__name__}: {left}")

    def podman(self, *args, ok=True, **kw):
        r = self.podman_raw(*args, **kw)
        if ok:
            self.assertEqual(r.returncode, 0, f"podman {' '.join(map(str, args))}: {r.stdout}{r.stderr}")
        return r

    def out(self, *args, **kw):
        return self.podman(*args, **kw).stdout.rstrip("\n")

    def cgroup_options(self):
        return ("--cgroup-parent", "/" + self.box.cgroup)

    def sh(self, script, *options, **kw):
        return self.podman("run", "--rm", *self.cgroup_options(), *options, IMAGE, "sh", "-c", script, **kw)

    def lines(self, script, *options):
        return self.sh(script, *options).stdout.splitlines()

    def background(self, *args, options=(), name="test"):
        return self.out("run", "-d", "--name", name, *self.cgroup_options(), *options, IMAGE, *args)

    def state(self, name="test"):
        return json.loads(self.out("inspect", name))[0]["State"]

    def wait_state(self, status, name="test"):
        return box.wait_for(f"{name} is {status}", lambda: (s := self.state(name))["Status"] == status and s)

    def wait_log(self, text, name="test"):
        box.wait_for(f"{name} writes {text!r}", lambda: text in self.podman("logs", name).stdout)

    def story(self, began):
        ps = self.podman_raw("ps", "-a").stdout
        return f"\n=== podman ps -a\n{ps}=== the runtime's logs\n{self.runtime_logs()}"

    def sweep(self):
        self.podman_raw("rm", "-f", "-t", "0", "-a")
        self.podman_raw("pod", "rm", "-f", "-t", "0", "-a")


class Common:
    """What root and an ordinary user can do alike."""

    def test_streams_and_exit_code(self):
        r = self.sh("read x; echo out $x; echo err >&2; exit 5", "-i", ok=False, input="text\n", stdin=None)
        self.assertEqual((r.stdout, r.stderr, r.returncode), ("out text\n", "err\n", 5))

    def test_program_errors(self):
        for program, code, text in (("nothing-here", 127, "executable file not found in $PATH"), ("/opt/data", 126, "permission denied")):
            r = self.podman("run", "--rm", *self.cgroup_options(), IMAGE, program, ok=False)
            self.assertEqual(r.returncode, code, r.stderr)
            self.assertIn(text, r.stderr.lower() if code == 126 else r.stderr)

    def test_environment_user_and_folder(self):
        self.assertEqual(self.lines("echo $A; pwd; hostname; id -u; id -g; id -G", "-e", "A=b c", "-w", "/etc", "--hostname", "box1", "-u", "user"),
                         ["b c", "/etc", "box1", "1000", "1000", "1000 2000"])

    def test_read_only_with_tmpfs_and_volumes(self):
        folder = self.box.path("/run/shared")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        (folder / "in").write_text("from the host\n")
        got = self.lines("touch /x 2>&1; touch /t/ok && echo fine; cat /rw/in; echo back >/rw/out; touch /ro/x 2>&1; true", "--read-only",
                         "--tmpfs", "/t", "-v", "/run/shared:/rw", "-v", "/run/shared:/ro:ro")
        self.assertEqual(got, ["touch: /x: Read-only file system", "fine", "from the host", "touch: /ro/x: Read-only file system"])
        self.assertEqual((folder / "out").read_text(), "back\n")
        (folder / "out").unlink()

    def test_capabilities_and_no_new_privileges(self):
        got = dict(x.split(":\t") for x in self.lines("grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status", "--cap-drop", "ALL",
                                                      "--security-opt", "no-new-privileges"))
        if self.isolation == "sentry" and got["Seccomp"] == "0":
            got["Seccomp"] = "2"  # this sentry does not apply linux.seccomp
        self.assertEqual(got, {"CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"})

    def test_exec(self):
        self.background("sleep", "1000", options=("-e", "A=a"))
        r = self.podman("exec", "-i", "-u", "user", "-w", "/etc", "-e", "B=b", "test", "sh", "-c", "id -u; pwd; echo $A $B; cat; exit 4", ok=False,
                        input="text\n", stdin=None)
        self.assertEqual((r.stdout, r.returncode), ("1000\n/etc\na b\ntext\n", 4), r.stderr)
        self.assertEqual(self.podman("exec", "test", "nothing-here", ok=False).returncode, 127)
        self.assertEqual(self.podman("exec", "test", "/opt/data", ok=False).returncode, 126)

    def test_terminals(self):
        t = engine.Terminal(self.box, *self.program(), "run", "-it", "--rm", "--name", "test", *self.cgroup_options(), IMAGE, "sh")
        t.resize(33, 111)
        t.read("# ")
        t.write("while [ \"$(stty size)\" != '33 111' ]; do sleep 0.05; done; echo size'd'\n")
        t.read("sized")
        e = engine.Terminal(self.box, *self.program(), "exec", "-it", "test", "sh")
        e.read("# ")
        e.write("tty; exit 5\n")
        e.read("/dev/")
        self.assertEqual(e.end(), 5)
        t.write("exit 9\n")
        self.assertEqual(t.end(), 9)

    def test_stop_kill_and_start_again(self):
        self.background("polite")
        self.wait_log("ready")
        self.podman("stop", "-t", "60", "test")
        self.assertEqual(self.state()["ExitCode"], 7)
        self.podman("start", "test")
        self.wait_log("ready\nterminated\nready")
        self.podman("kill", "test")
        self.assertEqual(self.wait_state("exited")["ExitCode"], 137)

    def test_stop_of_one_that_ignores_it(self):
        self.background("stubborn")
        self.wait_log("ready")
        self.podman("stop", "-t", "1", "test")
        self.assertEqual(self.state()["ExitCode"], 137)

    def test_files_survive_a_restart(self):
        self.background("sh", "-c", "echo x >>/count; wc -l </count; sleep 1000")
        self.wait_log("1")
        self.podman("restart", "-t", "0", "test")
        self.wait_log("1\n2\n")

    def test_copy(self):
        """Podman enters the mount namespace of the container's pid to copy: what it finds there must be the container's files."""
        if self.isolation == "sentry" and self.user is not None:
            self.skipTest("rootless Podman also enters the pid namespace of the container's pid, and a monitor's is the host's")
        self.background("sh", "-c", "echo inside >/from; echo ready; sleep 1000")
        self.wait_log("ready")
        own = "/run/user/1000" if self.user else "/run"
        self.box.path(f"{own}/to").write_text("outside\n")
        self.podman("cp", f"{own}/to", "test:/tmp/to")
        self.assertEqual(self.out("exec", "test", "cat", "/tmp/to"), "outside")
        self.podman("cp", "test:/from", f"{own}/from")
        self.assertEqual(self.box.path(f"{own}/from").read_text(), "inside\n")
        self.assertFalse(self.box.path("/tmp/to").exists(), "the copy went to the host's own folder")

    def test_restart_policy(self):
        self.background("sh", "-c", "echo run; exit 1", options=("--restart", "on-failure:2"))
        box.wait_for("it has run three times", lambda: self.out("logs", "test").splitlines() == ["run"] * 3)

    def test_healthcheck(self):
        self.background("sleep", "1000", options=("--health-cmd", "test ! -e /tmp/ill", "--health-interval", "disable", "--health-retries", "1"))
        self.podman("healthcheck", "run", "test")
        self.podman("exec", "test", "touch", "/tmp/ill")
        self.assertEqual(self.podman("healthcheck", "run", "test", ok=False).returncode, 1)

    def test_init(self):
        self.assertEqual(self.lines("cat /proc/1/comm", "--init", "--init-path", "/usr/bin/tini-static"), ["podman-init"])

    def test_conmon_is_killed(self):
        """Podman finds a container whose conmon died to be stopped, and takes it away."""
        self.background("sleep", "1000")
        pid = self.state()["ConmonPid"]
        self.box.run("kill", "-9", str(pid))
        self.podman("rm", "-f", "-t", "0", "test")
        box.wait_for("nothing runs any more", lambda: not [t for t in self.box.processes().values() if "sleep 1000" in t])

    def test_pod(self):
        """A pod's containers share the network, ipc and host name of its first."""
        self.podman("pod", "create", "--name", "pod1", "--infra-image", IMAGE, "--infra-command", "sleep 1000", "--hostname", "podhost",
                    *self.cgroup_options())
        for name in ("one", "two"):
            self.podman("run", "-d", "--pod", "pod1", "--name", name, IMAGE, "sleep", "1000")
        self.assertEqual(self.out("exec", "one", "hostname"), "podhost")
        if self.isolation == "sentry":  # one for the whole pod
            gofers = [t for t in self.box.processes().values() if t.startswith("moat-gofer")]
            self.assertEqual(len(gofers), 1, gofers)
        else:
            self.assertEqual(self.out("exec", "one", "readlink", "/proc/self/ns/net"), self.out("exec", "two", "readlink", "/proc/self/ns/net"))
        self.assertEqual(json.loads(self.out("pod", "inspect", "pod1"))["State"], "Running")
        self.podman("pod", "stop", "-t", "0", "pod1")
        self.podman("pod", "start", "pod1")
        self.assertEqual(self.out("exec", "two", "hostname"), "podhost")
        self.podman("pod", "rm", "-f", "-t", "0", "pod1")


class PodmanRoot(Common, PodmanTest):
    def program(self):
        return ("podman",)

    def test_pause_stats_top(self):
        self.background("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
        self.wait_log("3\n")
        self.podman("pause", "test")
        self.assertEqual(self.state()["Status"], "paused")
        one = self.out("logs", "test")
        time.sleep(0.3)  # the time in which a container that runs would have written
        self.assertEqual(self.out("logs", "test"), one)
        self.podman("unpause", "test")
        line = json.loads(self.out("stats", "--no-stream", "--format", "json", "test"))[0]
        self.assertNotEqual(line["mem_usage"].split()[0], "0B")
        self.assertGreaterEqual(int(line["pids"]), 1)
        if self.isolation != "sentry":
            self.assertIn("sh -c", self.out("top", "test"))

    def test_limits_and_out_of_memory(self):
        cid = self.background("sleep", "1000", options=("-m", "64m", "--pids-limit", "77", "--cpus", "0.5"))
        top = f"{self.box.cgroup}/libpod-{cid}"
        for controller, file, value in (("memory", "memory.limit_in_bytes", 64 << 20), ("pids", "pids.max", 77), ("cpu", "cpu.cfs_quota_us", 50000)):
            with open(f"/sys/fs/cgroup/{controller}/{top}/{file}") as f:
                self.check_limit(int(f.read()), value, file)
        r = self.sh("tail /dev/zero", "-m", "48m", "--memory-swap", "48m", ok=False)
        self.assertEqual(r.returncode, 137)

    def test_published_port(self):
        if self.isolation == "sentry":
            self.skipTest("the sentry has no network to the outside")
        self.background("serve", "80", "hello", options=("-p", "8081:80"))
        box.wait_for("the published port answers", lambda: self.box.run("busybox", "nc", "-w", "10", "127.0.0.1", "8081").stdout == "hello\n")

    def test_nothing_is_left(self):
        mounts = self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n")
        self.podman("run", "--rm", *self.cgroup_options(), IMAGE, "true")
        cid = self.background("sleep", "1000")
        self.podman("exec", "-d", "test", "sleep", "1000")
        self.podman("rm", "-f", "-t", "0", "test")
        box.wait_for("its processes end", lambda: not self.box.processes())
        self.assertLessEqual(self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n"), mounts + 2)
        self.assertEqual([str(c) for c in box.CGROUPS.glob(f"*/{self.box.cgroup}/*{cid}*")], [])


class PodmanRootless(Common, PodmanTest):
    """An ordinary user: a user namespace by newuidmap, no control groups."""
    programs = ("podman", "conmon", "newuidmap", "slirp4netns")
    user = "engine"
    ENV = {"HOME": "/run/home/engine", "XDG_RUNTIME_DIR": "/run/user/1000", "USER": "engine"}

    @classmethod
    def prepare(cls):
        script = ("set -e; mkdir -p /run/home; for f in passwd group shadow subuid subgid; do cp /etc/$f /run/x; cp /run/x /etc/$f; done;"
                  "useradd -u 4100 -m -d /run/home/engine engine; echo engine:200000:65536 >/etc/subuid; echo engine:200000:65536 >/etc/subgid;"
                  "mkdir -p /run/user/1000; chown engine: /run/user/1000; chmod 700 /run/user/1000; chmod 755 /run")
        r = cls.box.run("sh", "-c", script)
        if r.returncode:
            raise RuntimeError(r.stderr)

    @classmethod
    def as_user(cls, *args):
        return ("setpriv", "--reuid", "4100", "--regid", "4100", "--clear-groups", "--", *args)

    @classmethod
    def podman_raw(cls, *args, **kw):
        # A rootless engine starts in a folder that its user can enter.
        return cls.box.run(*cls.as_user("env", "-C", "/run/home/engine", "podman", *args), env=cls.ENV, **kw)

    def program(self):
        return self.as_user("env", "-C", "/run/home/engine", *(f"{k}={v}" for k, v in self.ENV.items()), "podman")

    def cgroup_options(self):
        return ()  # out of reach on cgroup v1

    def test_ids_are_mapped(self):
        self.background("sleep", "1000")
        got = self.out("exec", "test", "cat", "/proc/self/uid_map").split()
        if self.isolation != "sentry":
            self.assertEqual(got[:3], ["0", "4100", "1"])
        self.assertEqual(self.out("exec", "test", "id", "-u"), "0")
        pid = self.state()["Pid"]
        self.assertIn("4100", self.box.run("stat", "-c", "%u", f"/proc/{pid}").stdout)


load_tests = engine.load_tests_of(PodmanRoot, PodmanRootless)
