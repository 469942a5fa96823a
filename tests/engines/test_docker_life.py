# SPDX-License-Identifier: Apache-2.0
"""Docker's other commands on a container that runs in the background."""
import concurrent.futures
import json
import os
import signal
import time

import box
import dockerd
import engine
from dockerd import IMAGE


class DockerLife(dockerd.DockerTest):
    def test_create_start_wait_logs(self):
        self.docker("create", "--name", "test", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 6")
        self.assertEqual(self.state("test")["Status"], "created")
        self.docker("start", "test")
        self.assertEqual(self.out("wait", "test"), "6")
        r = self.docker("logs", "test")
        self.assertEqual((r.stdout, r.stderr), ("out\n", "err\n"))
        self.assertEqual(self.state("test")["ExitCode"], 6)

    def test_start_attached(self):
        self.docker("create", "-i", "--name", "test", IMAGE, "sh", "-c", "read x; echo got $x; exit 3")
        r = self.docker("start", "-ai", "test", input="text\n", stdin=None, ok=False)
        self.assertEqual((r.stdout, r.returncode), ("got text\n", 3))

    def test_logs_are_followed_to_the_end(self):
        self.background("sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.1; done")
        self.assertEqual(self.out("logs", "-f", "test").splitlines(), ["line 1", "line 2", "line 3"])

    def test_exec(self):
        self.background("sleep", "1000", options=("-e", "A=of the container"))
        r = self.docker("exec", "-i", "-u", "user", "-w", "/etc", "-e", "B=b", "test", "sh", "-c", "id -u; pwd; echo $A $B; cat; echo err >&2; exit 4",
                        ok=False, input="text\n", stdin=None)
        self.assertEqual((r.stdout, r.stderr, r.returncode), ("1000\n/etc\nof the container b\ntext\n", "err\n", 4))
        # One pid namespace with the container's first process.
        self.assertIn("sleep 1000", self.out("exec", "test", "ps"))

    def test_exec_errors(self):
        self.background("sleep", "1000")
        for program, text in (("nothing-here", "executable file not found in $PATH"), ("/opt/data", "permission denied")):
            r = self.docker("exec", "test", program, ok=False)
            self.assertEqual(r.returncode, 126)
            self.assertIn(text, r.stdout + r.stderr)
        self.docker("kill", "test")
        r = self.docker("exec", "test", "true", ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("is not running", r.stderr)

    def test_exec_in_the_background(self):
        self.background("sleep", "1000")
        self.docker("exec", "-d", "test", "sh", "-c", "echo done >/tmp/mark; sleep 1000")
        box.wait_for("the exec has run", lambda: self.docker("exec", "test", "cat", "/tmp/mark", ok=False).stdout == "done\n")

    def test_exec_on_a_terminal(self):
        self.background("sleep", "1000")
        t = self.terminal("exec", "-it", "test", "sh")
        t.resize(25, 90)
        t.read("# ")
        t.write("while [ \"$(stty size)\" != '25 90' ]; do sleep 0.05; done; echo size'd'\n")
        t.read("sized")
        t.write("exit 5\n")
        self.assertEqual(t.end(), 5)

    def test_exec_has_the_capabilities_of_its_container(self):
        self.background("sleep", "1000", options=("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"))
        self.assertEqual(int(self.out("exec", "test", "grep", "CapEff", "/proc/self/status").split()[1], 16), 1 << 12)

    def test_many_execs_at_once(self):
        self.background("sleep", "1000")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda i: self.docker("exec", "test", "sh", "-c", f"echo {i}; exit {i}", ok=False), range(8)))
        self.assertEqual([(r.stdout, r.returncode) for r in got], [(f"{i}\n", i) for i in range(8)])

    def test_stop_is_heard(self):
        self.background("polite")
        self.wait_log("test", "ready")
        self.docker("stop", "-t", "60", "test")
        self.assertEqual(self.state("test")["ExitCode"], 7)
        self.assertIn("terminated", self.out("logs", "test"))

    def test_stop_of_one_that_ignores_it(self):
        self.background("stubborn")
        self.wait_log("test", "ready")
        began = time.monotonic()
        self.docker("stop", "-t", "1", "test")
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        self.assertEqual(self.state("test")["ExitCode"], 137)

    def test_kill(self):
        self.background("sh", "-c", "trap 'echo hup' HUP; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done")
        self.wait_log("test", "ready")
        self.docker("kill", "-s", "HUP", "test")
        self.wait_log("test", "hup")
        self.docker("kill", "-s", "SIGUSR1", "test")
        self.wait_log("test", "usr1")
        self.docker("kill", "test")
        self.assertEqual(self.wait_state("test", "exited")["ExitCode"], 137)
        self.assertIn("is not running", self.docker("kill", "test", ok=False).stderr)

    def test_restart_keeps_what_was_written(self):
        self.background("sh", "-c", "echo start >>/count; cat /count; sleep 1000")
        self.wait_log("test", "start")
        self.docker("restart", "-t", "0", "test")
        self.wait_log("test", "start\nstart\nstart\n")  # one of the first run, two of the second
        self.docker("stop", "-t", "0", "test")
        self.docker("start", "test")
        self.wait_log("test", "start\n" * 6)

    def test_restart_policy_on_failure(self):
        self.background("sh", "-c", "echo run; exit 1", options=("--restart", "on-failure:2"))
        box.wait_for("it has run three times", lambda: self.out("logs", "test").splitlines() == ["run"] * 3)
        state = self.wait_state("test", "exited")
        self.assertEqual((state["ExitCode"], self.inspect("test")["RestartCount"]), (1, 2))

    def test_restart_policy_always_after_a_kill_of_its_process(self):
        self.background("sh", "-c", "echo run; sleep 1000", options=("--restart", "always"))
        self.wait_log("test", "run")
        pid = self.state("test")["Pid"]
        self.box.run("kill", "-9", str(pid))
        self.wait_log("test", "run\nrun")
        self.assertNotEqual(self.wait_state("test", "running")["Pid"], pid)

    def test_healthcheck(self):
        self.background("sleep", "1000", options=("--health-cmd", "test ! -e /tmp/ill", "--health-interval", "300ms", "--health-retries", "1"))

        def health(wanted):
            return lambda: self.state("test").get("Health", {}).get("Status") == wanted
        box.wait_for("healthy", health("healthy"))
        self.docker("exec", "test", "touch", "/tmp/ill")
        box.wait_for("unhealthy", health("unhealthy"))

    def test_stats(self):
        self.needs_mounted_hierarchies()
        self.background("sh", "-c", "while :; do :; done")
        first = self.api("/containers/test/stats?stream=0&one-shot=1")
        later = box.wait_for("the processor time grows", lambda: (s := self.api("/containers/test/stats?stream=0&one-shot=1"))["cpu_stats"]["cpu_usage"]
                             ["total_usage"] > first["cpu_stats"]["cpu_usage"]["total_usage"] + 100_000_000 and s)
        self.assertGreater(later["memory_stats"]["usage"], 100_000)
        self.assertGreaterEqual(later["pids_stats"]["current"], 1)
        line = json.loads(self.out("stats", "--no-stream", "--format", "{{json .}}", "test"))
        self.assertNotEqual(line["MemUsage"].split()[0], "0B")

    def test_top(self):
        self.background("sh", "-c", "sleep 1000 & sleep 2000")
        text = box.wait_for("top shows a process", lambda: len((t := self.out("top", "test")).splitlines()) > 1 and t)
        if self.isolation != "sentry":  # there the host sees the monitor; `docker exec ... ps` shows the programs
            self.assertIn("sleep 1000", text)
            self.assertIn("sleep 2000", text)

    def test_pause(self):
        self.background("sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
        self.wait_log("test", "3\n")
        self.docker("pause", "test")
        self.assertEqual(self.state("test")["Status"], "paused")
        self.assertIn("is paused", self.docker("exec", "test", "true", ok=False).stderr)
        one = self.out("logs", "test")
        time.sleep(0.3)  # the time in which a container that runs would have written
        self.assertEqual(self.out("logs", "test"), one)
        self.docker("unpause", "test")
        box.wait_for("it goes on", lambda: self.out("logs", "test") != one)

    def test_a_paused_one_is_removed(self):
        self.background("sleep", "1000")
        self.docker("pause", "test")
        self.docker("rm", "-f", "test")

    def test_update(self):
        cid = self.background("sleep", "1000", options=("-m", "128m", "--memory-swap", "128m"))
        self.docker("update", "--memory", "64m", "--memory-swap", "64m", "--cpus", "0.25", "--pids-limit", "55", "test")
        for controller, file, value in (("memory", "memory.limit_in_bytes", 64 << 20), ("memory", "memory.memsw.limit_in_bytes", 64 << 20),
                                        ("cpu", "cpu.cfs_quota_us", 25000), ("pids", "pids.max", 55)):
            with open(f"/sys/fs/cgroup/{controller}/{self.box.cgroup}/{cid}/{file}") as f:
                self.check_limit(int(f.read()), value, file)

    def test_copy(self):
        self.background("sh", "-c", "echo inside >/tmp/from; echo ready; sleep 1000")
        self.wait_log("test", "ready")
        self.box.path("/run/to").write_text("outside\n")
        self.docker("cp", "/run/to", "test:/tmp/to")
        self.assertEqual(self.out("exec", "test", "cat", "/tmp/to"), "outside")
        self.docker("cp", "test:/tmp/from", "/run/from")
        self.assertEqual(self.box.path("/run/from").read_text(), "inside\n")
        self.docker("stop", "-t", "0", "test")
        self.docker("cp", "test:/tmp/from", "/run/again")
        self.assertEqual(self.box.path("/run/again").read_text(), "inside\n")

    def test_diff_and_commit(self):
        self.docker("run", "--name", "test", IMAGE, "sh", "-c", "echo made >/tmp/made; rm /bin/tac")
        self.assertEqual(set(self.out("diff", "test").splitlines()) & {"A /tmp/made", "D /bin/tac"}, {"A /tmp/made", "D /bin/tac"})
        self.docker("commit", "test", "made")
        self.assertEqual(self.out("run", "--rm", "made", "cat", "/tmp/made"), "made")

    def test_attach(self):
        self.background("sh", "-c", "echo ready; read x; echo got $x; exit 2", options=("-i",))
        self.wait_log("test", "ready")
        r = self.docker("attach", "test", input="text\n", stdin=None, ok=False)
        self.assertEqual(r.returncode, 2)
        self.assertEqual(self.out("logs", "test"), "ready\ngot text")

    def test_attach_and_detach_on_a_terminal(self):
        self.background("sh", options=("-it",))
        t = self.terminal("attach", "test")
        t.write("\n")
        t.read("# ")
        t.write("echo a$((1+1))b\n")
        t.read("a2b")
        t.read("# ")
        t.write("\x10\x11")
        t.end()
        self.assertIn("read escape sequence", t.text)
        self.assertEqual(self.state("test")["Status"], "running")
        t = self.terminal("attach", "test")
        t.write("exit 3\n")
        self.assertEqual(t.end(), 3)

    def test_events_tell_of_the_end(self):
        self.docker("run", "--name", "test", IMAGE, "sh", "-c", "exit 11", ok=False)
        cid = self.inspect("test")["Id"]
        box.wait_for("the event of the end", lambda: "die 11" in self.out(
            "events", "--since", "10m", "--until", "0s", "--filter", f"container={cid}", "--format",
            "{{.Status}} {{.Actor.Attributes.exitCode}}").splitlines())

    def test_many_at_once(self):
        count = 12
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda i: self.background("sh", "-c", f"echo {i}; sleep 1000", name=f"many{i}"), range(count)))
        self.assertEqual({self.state(f"many{i}")["Status"] for i in range(count)}, {"running"})
        for i in range(count):
            self.wait_log(f"many{i}", str(i))
        self.docker("rm", "-f", *(f"many{i}" for i in range(count)))

    def test_nothing_is_left(self):
        """After a container: no process, no control group, no mount, no state folder."""
        before = set(self.box.processes().values())
        mounts = self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n")
        cid = self.background("sh", "-c", "sleep 1000 & sleep 1000")
        self.docker("exec", "-d", "test", "sleep", "1000")
        self.docker("rm", "-f", "test")
        box.wait_for("its processes end", lambda: set(self.box.processes().values()) <= before)
        self.assertEqual(self.box.run("cat", "/proc/self/mountinfo").stdout.count("\n"), mounts)
        self.assertEqual([str(c) for c in box.CGROUPS.glob(f"*/{self.box.cgroup}/{cid}")], [])
        self.assertEqual([str(p) for p in self.box.path("/run/docker").glob(f"runtime-*/moby/{cid}")], [])


class DockerDaemon(dockerd.DockerTest):
    """The daemon is killed and started again while a container runs."""
    live_restore = True

    def restart_daemon(self):
        self.kill_daemon()
        self.start_daemon()

    def test_a_container_survives_the_daemon(self):
        cid = self.background("polite")
        self.wait_log("test", "ready")
        pid = self.state("test")["Pid"]
        self.restart_daemon()
        state = self.state("test")
        self.assertEqual((state["Status"], state["Pid"]), ("running", pid))
        self.assertEqual(self.out("exec", "test", "echo", "alive"), "alive")
        self.docker("pause", "test")
        self.docker("unpause", "test")
        self.docker("stop", "-t", "60", "test")
        self.assertEqual(self.state("test")["ExitCode"], 7)
        self.docker("start", "test")
        self.assertEqual(self.inspect("test")["Id"], cid)

    def test_a_container_ends_while_the_daemon_is_away(self):
        self.background("sh", "-c", "while [ ! -e /v/go ]; do sleep 0.05; done; exit 9", options=("-v", "/run/away:/v"))
        self.kill_daemon()
        self.box.path("/run/away/go").touch()
        self.start_daemon()
        self.assertEqual(self.wait_state("test", "exited")["ExitCode"], 9)
        self.docker("rm", "test")

    def test_daemon_and_containerd_are_killed(self):
        self.background("sleep", "1000")
        for pid in self.daemon_pids("containerd"):
            os.kill(pid, signal.SIGKILL)
        self.restart_daemon()
        self.assertEqual(self.state("test")["Status"], "running")
        self.assertEqual(self.out("exec", "test", "echo", "alive"), "alive")

    def test_the_shim_is_killed(self):
        """Without its shim a container is lost: the engine deletes it by force, and it can be started again."""
        self.background("sleep", "1000")
        shims = self.daemon_pids("containerd-shim-runc-v2")
        self.assertEqual(len(shims), 1)
        os.kill(shims[0], signal.SIGKILL)
        self.wait_state("test", "exited")
        self.docker("start", "test")
        self.assertEqual(self.out("exec", "test", "echo", "alive"), "alive")

    def test_the_containers_process_is_killed(self):
        self.background("sh", "-c", "sleep 1000 & wait")
        self.box.run("kill", "-9", str(self.state("test")["Pid"]))
        self.assertEqual(self.wait_state("test", "exited")["ExitCode"], 137)
        self.docker("start", "test")
        self.assertEqual(self.state("test")["Status"], "running")


load_tests = engine.load_tests_of(DockerLife, DockerDaemon)
