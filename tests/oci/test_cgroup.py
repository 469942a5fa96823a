# SPDX-License-Identifier: Apache-2.0
"""Control groups of containers: limits beside those that runc writes, pause, resume, update, events, running out of memory."""
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import unittest

import bundle
import moat

MIB = 1 << 20
# Files of cgroup v1 whose text must be runc's for the same config.json.
V1_FILES = {
    "memory": ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness",
               "memory.kmem.tcp.limit_in_bytes", "memory.use_hierarchy"],
    "cpu": ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"],
    "cpuset": ["cpuset.cpus", "cpuset.mems"],
    "blkio": ["blkio.bfq.weight", "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
              "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"],
    "pids": ["pids.max"],
    "freezer": ["freezer.state"],
}


def hierarchies():
    """Controller (or "") -> mount point."""
    found = {}
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        tail = fields[fields.index("-") + 1:]
        if tail[0] == "cgroup2":
            found[""] = fields[4]
        elif tail[0] == "cgroup":
            found.update({c: fields[4] for c in tail[2].split(",")})
    return found


def group(path, controller):
    """Folder of the group at `path` in the controller's v1 hierarchy, or in v2."""
    h = hierarchies()
    return pathlib.Path(h.get(controller, h.get("", "/nowhere")) + path)


def v1(controller="memory"):
    return controller in hierarchies()


def read(path, controller, v1_name, v2_name):
    return (group(path, controller) / (v1_name if v1(controller) else v2_name)).read_text().strip()


def values(path):
    """What V1_FILES say of the group, and its devices as a set."""
    found = {}
    for controller, files in V1_FILES.items():
        for f in files:
            p = group(path, controller) / f
            found[f] = p.read_text() if p.exists() else None
    found["devices.list"] = sorted((group(path, "devices") / "devices.list").read_text().splitlines())
    return found


def remove(path):
    for mount in set(hierarchies().values()):
        for p in (mount + path, os.path.dirname(mount + path)):
            try:
                os.rmdir(p)
            except OSError:
                pass


def block_device():
    """major:minor of a whole disk, which throttle limits can be set on."""
    for p in sorted(pathlib.Path("/sys/block").iterdir()):
        if not p.name.startswith(("loop", "ram", "zram")):
            return [int(x) for x in (p / "dev").read_text().split(":")]
    return None


@unittest.skipUnless(os.geteuid() == 0, "control groups are made by root")
class Groups:
    def setUp(self):
        super().setUp()
        self.path = f"/moat-test-{os.path.basename(self.dir)}/c"

    def tearDown(self):
        super().tearDown()
        for mount in set(hierarchies().values()):
            self.assertFalse(os.path.exists(mount + self.path), "the container's group is left behind")
        remove(self.path)

    def make(self, name, *args, resources=None, start=True, change=None, **process):
        def both(config):
            config["linux"]["cgroupsPath"] = self.path
            config["linux"]["resources"] = resources or {}
            if change:
                change(config)
        self.config(*args, change=both, **process)
        self.create(name)
        if start:
            self.moat("start", name)

    def stats(self, name):
        event = json.loads(self.moat("events", "--stats", name).stdout)
        self.assertEqual((event["type"], event["id"]), ("stats", name))
        return event["data"]

    def wait_for(self, name, text):
        """Until the container's output has it."""
        while text not in self.output():
            self.assertEqual(self.status(name), "running", self.output())
            select.select([], [], [], 0.01)

    def delete(self, name):
        self.moat("delete", "--force", name)

    # ---- limits ----

    def test_processes_are_in_the_groups(self):
        name = self.name()
        self.make(name, "sleep", "1000")
        for mount in set(hierarchies().values()):
            pids = {int(p) for p in pathlib.Path(mount + self.path, "cgroup.procs").read_text().split()}
            self.assertIn(self.pid(), pids, mount)
        everywhere = [set((pathlib.Path(m + self.path) / "cgroup.procs").read_text().split()) for m in set(hierarchies().values())]
        self.assertEqual(everywhere, [everywhere[0]] * len(everywhere), "each hierarchy holds the same processes")
        self.delete(name)

    def test_default_path(self):
        name = self.name()
        self.config("sleep", "1000", change=lambda c: c["linux"].pop("cgroupsPath", None))
        self.create(name)
        own = pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text()
        # Hierarchies that are mounted in another's namespace alone are out of reach.
        mounted = "".join(line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines(True) if " - cgroup" in line)
        lines = [line for line in own.splitlines() if line.split(":")[1].removeprefix("name=").split(",")[0] in mounted]
        self.assertTrue(lines)
        for line in lines:
            if line.split(":")[1] or not v1():
                self.assertRegex(line, rf"/moat/{name}\.[0-9a-f]{{8}}$")
        self.delete(name)

    def test_default_path_of_two_roots(self):
        """The same id below two state folders is two containers; below a path that leads to the first folder it is the first."""
        name = self.name()
        self.config("sleep", "1000", change=lambda c: c["linux"].pop("cgroupsPath", None))
        first, other = self.state, self.dir + "/other"
        self.create(name)
        one = self.pid()
        os.symlink(first, self.dir + "/link")
        self.state = self.dir + "/link"
        self.assertIn("already exists", (self.create(name, ok=False), self.output())[1])
        self.state = other
        self.create(name)
        self.assertNotEqual(self.pid(), one)
        groups = [pathlib.Path(f"/proc/{p}/cgroup").read_text() for p in (one, self.pid())]
        self.assertNotEqual(*groups)
        self.delete(name)
        self.state = first
        self.assertEqual(self.status(name), "created")
        self.delete(name)

    def test_default_path_of_the_default_root(self):
        """Nothing but the id, however the default root is named; the test's own mount namespace has a /run of its own."""
        name = self.name()
        self.config("sleep", "1000", change=lambda c: c["linux"].pop("cgroupsPath", None))
        script = (f"mount -t tmpfs t /run && mkdir -m 711 /run/moat && for root in '' '--root /run/moat' '--root /run/../run/moat/'; do "
                  f"{moat.MOAT} $root create --isolation {self.isolation} --bundle {self.bundle} --pid-file {self.dir}/pid {name} </dev/null "
                  f">/dev/null && cat /proc/$(cat {self.dir}/pid)/cgroup && {moat.MOAT} delete --force {name} || exit 1; done")
        env = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
        r = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout.count(f":pids:/moat/{name}\n" if v1("pids") else f"/moat/{name}\n"), 3, r.stdout)

    def test_hostile_paths(self):
        for path, word in (("/../x", ".."), ("a/../../b", ".."), ("/", "root"), ("/a\nb", "control"), ("x" * 300, "300")):
            name = self.name("bad")
            self.config("true", change=lambda c, p=path: c["linux"].update(cgroupsPath=p))
            r = self.create(name, ok=False)
            self.assertNotEqual(r.returncode, 0, path)
            self.assertIn("cgroup", self.output().lower())
            self.assertEqual(len(self.output().splitlines()), 1, self.output())

    def test_group_of_another(self):
        name, other = self.name(), self.name("other")
        self.make(name, "sleep", "1000")
        r = self.create(other, ok=False)
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("holds", self.output())
        self.assertEqual(self.status(name), "running")
        self.delete(name)

    def test_limit_that_the_kernel_refuses(self):
        name = self.name()
        with self.assertRaises(AssertionError):
            self.make(name, "true", resources={"cpu": {"cpus": "4095"}})
        self.assertIn("cpuset.cpus", self.output())
        self.assertIn("4095", self.output())
        for mount in set(hierarchies().values()):
            self.assertFalse(os.path.exists(mount + self.path))

    # ---- update ----

    def test_update(self):
        name = self.name()
        self.make(name, "sleep", "1000", resources={"memory": {"limit": 256 * MIB, "swap": 256 * MIB}})

        def value(*files):
            return read(self.path, *files)

        self.moat("update", "--memory", "512m", "--memory-swap", "1g", "--memory-reservation", "64m", "--cpu-share", "256",
                  "--cpu-period", "50000", "--cpu-quota", "20000", "--cpuset-cpus", "0", "--cpuset-mems", "0", name)
        self.assertEqual(value("memory", "memory.limit_in_bytes", "memory.max"), str(512 * MIB))
        self.assertEqual(value("memory", "memory.soft_limit_in_bytes", "memory.low"), str(64 * MIB))
        self.assertEqual(value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0")
        if v1():
            self.assertEqual(value("memory", "memory.memsw.limit_in_bytes", ""), str(1024 * MIB))
            self.assertEqual(value("cpu", "cpu.shares", ""), "256")
            self.assertEqual(value("cpu", "cpu.cfs_quota_us", ""), "20000")
        else:
            self.assertEqual(value("cpu", "", "cpu.max"), "20000 50000")
        # Docker's form: zero is "as it is", and the file may be standard input
        self.moat("update", "--resources", "-", name, stdin=None, input=json.dumps(
            {"memory": {"limit": 128 * MIB, "swap": 128 * MIB, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0},
             "blockIO": {"weight": 0}, "pids": {"limit": 0}}))
        self.assertEqual(value("memory", "memory.limit_in_bytes", "memory.max"), str(128 * MIB))
        self.assertEqual(value("memory", "memory.soft_limit_in_bytes", "memory.low"), str(64 * MIB))
        self.moat("update", "--cpu-quota", "-1", "--memory", "-1", "--memory-swap", "-1", name)
        self.assertEqual(value("cpu", "cpu.cfs_quota_us", "cpu.max"), "-1" if v1("cpu") else "max 50000")
        # what is refused says why and changes nothing else
        for args, word in ((["--memory", "12x"], "--memory"), (["--cpu-quota", "x"], "--cpu-quota"), (["--cpu-period", "-1"], "below"),
                           (["--cpuset-cpus", "a"], "list"), (["--l3-cache-schema", "x"], "l3-cache"),
                           (["--resources", "/nowhere"], "/nowhere"), (["--cpuset-cpus", "4095"], "4095")):
            r = self.moat("update", *args, name, ok=False)
            self.assertNotEqual(r.returncode, 0, args)
            self.assertIn(word, r.stderr)
        self.delete(name)
        self.assertIn("does not exist", self.moat("update", "--memory", "1g", name, ok=False).stderr)

    def test_memory_limit_below_what_is_used(self):
        name = self.name()
        used = "x = bytearray(40 << 20); print('filled', flush=True); import time; time.sleep(1000)"
        self.make(name, "python3", "-c", used, resources={"memory": {"limit": 256 * MIB, "swap": 256 * MIB}})
        self.wait_for(name, "filled")
        resources = {"memory": {"limit": 8 * MIB, "swap": 8 * MIB, "checkBeforeUpdate": True}}
        r = self.moat("update", "--resources", "-", name, stdin=None, input=json.dumps(resources), ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, r"\d{8,} bytes are in use")
        self.assertEqual(self.status(name), "running")
        self.delete(name)

    # ---- pause ----

    def counter(self, name):
        """Starts a container that counts in its output."""
        self.make(name, "sh", "-c", "trap 'echo term' TERM; i=0; while :; do i=$((i+1)); [ $((i % 50000)) != 0 ] || echo tick; done")
        self.wait_for(name, "tick")

    def test_pause_and_resume(self):
        name = self.name()
        self.counter(name)
        self.moat("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.assertIn("paused", self.moat("list").stdout)
        before = (self.output(), self.stats(name)["cpu"]["usage"]["total"])
        for _ in range(20):  # a moment in which it would have counted
            os.sched_yield()
            self.moat("state", name)
        after = (self.output(), self.stats(name)["cpu"]["usage"]["total"])
        self.assertEqual(before[0], after[0])
        self.assertLess(after[1] - before[1], 10_000_000)
        for args in (["exec", name, "true"], ["pause", name]):
            r = self.moat(*args, ok=False)
            self.assertNotEqual(r.returncode, 0, args)
            self.assertIn("paused", r.stderr)
        r = self.moat("delete", name, ok=False)
        self.assertIn("paused", r.stderr)
        # a signal waits until it runs again
        self.moat("kill", name, "TERM")
        self.assertNotIn("term", self.output())
        self.moat("resume", name)
        self.wait_for(name, "term")
        self.assertEqual(self.status(name), "running")
        self.assertIn("not paused", self.moat("resume", name, ok=False).stderr)
        self.delete(name)
        self.assertIn("does not exist", self.moat("pause", name, ok=False).stderr)

    def test_pause_before_start(self):
        name = self.name()
        self.make(name, "sleep", "1000", start=False)
        self.moat("pause", name)
        self.moat("resume", name)
        self.assertEqual(self.status(name), "created")
        self.moat("start", name)
        self.delete(name)

    def test_paused_and_killed(self):
        name = self.name()
        self.counter(name)
        self.moat("pause", name)
        self.moat("kill", name, "KILL")
        pidfd = None
        try:
            pidfd = os.pidfd_open(self.pid())
        except ProcessLookupError:
            pass
        if pidfd is not None:
            self.assertTrue(select.select([pidfd], [], [], 20)[0], "the killed container lives")
            os.close(pidfd)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_paused_and_deleted(self):
        name = self.name()
        self.counter(name)
        self.moat("pause", name)
        self.moat("delete", "--force", name)

    # ---- statistics ----

    def test_stats(self):
        name = self.name()
        work = "x = bytearray(30 << 20)\nimport time\nwhile time.process_time() < 0.2: pass\nprint('worked', flush=True)\ntime.sleep(1000)"
        self.make(name, "python3", "-c", work, resources={"memory": {"limit": 200 * MIB}, "pids": {"limit": 50}})
        self.wait_for(name, "worked")
        s = self.stats(name)
        usage = s["cpu"]["usage"]
        self.assertGreaterEqual(usage["total"], 100_000_000)
        if v1("cpuacct"):
            self.assertEqual(sum(usage["percpu"]), usage["total"])
        self.assertEqual(set(s["memory"]["usage"]), {"limit", "usage", "max", "failcnt"})
        self.assertEqual(s["memory"]["usage"]["limit"], 200 * MIB)
        self.assertGreaterEqual(s["memory"]["usage"]["usage"], 30 * MIB)
        self.assertLess(s["memory"]["usage"]["usage"], 100 * MIB)
        self.assertEqual(s["pids"], {"current": 1, "limit": 50})
        for key in ("cpuset", "blkio", "hugetlb", "intel_rdt", "network_interfaces"):
            self.assertIn(key, s)
        self.assertIsInstance(s["memory"]["raw"], dict)
        self.delete(name)
        self.assertIn("does not exist", self.moat("events", "--stats", name, ok=False).stderr)

    def test_events_interval(self):
        name = self.name()
        self.make(name, "sleep", "1000")
        with subprocess.Popen([moat.MOAT, "--root", self.state, "events", "--interval", "30ms", name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            events = [json.loads(p.stdout.readline()) for _ in range(3)]
            self.assertEqual([e["type"] for e in events], ["stats"] * 3)
            self.moat("kill", name, "KILL")
            p.communicate(timeout=20)
            self.assertEqual(p.returncode, 0)
        self.delete(name)
        for bad in ("0s", "x", "5", "-1s", "s"):
            self.assertEqual(self.moat("events", "--interval", bad, name, ok=False).returncode, 2, bad)

    # ---- limits hold ----

    def test_out_of_memory(self):
        """The program that grew is killed, the event is told, the shell lives; what is left behind is nothing."""
        name = self.name()
        self.make(name, "sh", "-c", "python3 -c 'x = bytearray(300 << 20)'; echo status $?; echo alive",
                  resources={"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, start=False)
        with subprocess.Popen([moat.MOAT, "--root", self.state, "events", "--interval", "20ms", name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            self.assertEqual(json.loads(p.stdout.readline())["type"], "stats")  # it watches
            self.moat("start", name)
            events, _ = p.communicate(timeout=60)
        self.assertIn("oom", [json.loads(line)["type"] for line in events.splitlines()])
        self.assertTrue(self.output().endswith("status 137\nalive\n"), self.output())
        self.assertGreaterEqual(int(read(self.path, "memory", "memory.oom_control", "memory.events").split("oom_kill ")[1].split()[0]), 1)
        self.delete(name)

    EATER = "x = []\nwhile True: x.append(bytearray(1 << 20))"

    def test_several_run_out_of_memory_at_once(self):
        """One after the other is killed until the rest has room; what eats nothing, the shell and a sleeper, lives, and so do files."""
        name = self.name()
        script = ("exec 2>/dev/null; sleep 1000 & sleeper=$!; head -c 4000000 /dev/zero | tr '\\0' x >/dev/shm/kept; pids=; "
                  "for i in 1 2 3 4 5; do python3 -c \"$EATER\" & pids=\"$pids $!\"; done; for p in $pids; do wait $p; echo status $?; done; "
                  "tr -d x </dev/shm/kept | wc -c; kill $sleeper && echo alive")
        self.make(name, "sh", "-c", script, resources={"memory": {"limit": 96 * MIB, "swap": 96 * MIB}}, start=False,
                  env=["PATH=/usr/bin:/bin", f"EATER={self.EATER}"])
        pidfd = os.pidfd_open(self.pid())
        with subprocess.Popen([moat.MOAT, "--root", self.state, "events", "--interval", "20ms", name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            self.assertEqual(json.loads(p.stdout.readline())["type"], "stats")  # it watches
            self.moat("start", name)
            events, _ = p.communicate(timeout=60)
        self.assertTrue(select.select([pidfd], [], [], 60)[0])
        os.close(pidfd)
        self.assertEqual(self.output(), "status 137\n" * 5 + "0\nalive\n")
        self.assertIn("oom", [json.loads(line)["type"] for line in events.splitlines()])
        self.delete(name)

    def test_out_of_memory_spares_what_says_so(self):
        """oom_score_adj inside: the smaller process goes, as it asked to, and the larger one stays."""
        name = self.name()
        self.make(name, "sleep", "1000", resources={"memory": {"limit": 128 * MIB, "swap": 128 * MIB}}, oomScoreAdj=0)
        fill = "open('/proc/self/oom_score_adj', 'w').write('{}'); x = bytearray({}); print('filled', flush=True); "
        with subprocess.Popen([moat.MOAT, "--root", self.state, "exec", name, "python3", "-c", fill.format(0, 60 << 20) + "input()"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as large:
            self.assertEqual(large.stdout.readline(), "filled\n")
            small = self.moat("exec", name, "python3", "-c", fill.format(700, 0) + self.EATER, ok=False)
            self.assertEqual((small.returncode, small.stdout), (137, "filled\n"))
            large.communicate("\n", timeout=30)
            self.assertEqual(large.returncode, 0)
        self.delete(name)

    def test_memory_limit_is_raised_and_lowered(self):
        """What the programs get follows the limit."""
        name = self.name()
        self.make(name, "sleep", "1000", resources={"memory": {"limit": 64 * MIB, "swap": 64 * MIB}})

        def fill():
            return self.moat("exec", name, "python3", "-c", "bytearray(100 << 20)", ok=False).returncode
        self.assertEqual(fill(), 137)
        self.moat("update", "--memory", "256m", "--memory-swap", "256m", name)
        self.assertEqual(fill(), 0)
        self.moat("update", "--memory", "64m", "--memory-swap", "256m", name)
        self.assertEqual(fill(), 137)
        self.assertEqual(self.status(name), "running")
        self.delete(name)

    def test_out_of_memory_takes_the_container(self):
        name = self.name()
        self.make(name, "python3", "-c", "x = bytearray(300 << 20)", resources={"memory": {"limit": 64 * MIB, "swap": 64 * MIB}},
                  start=False)
        pidfd = os.pidfd_open(self.pid())
        self.moat("start", name)
        self.assertTrue(select.select([pidfd], [], [], 60)[0])
        os.close(pidfd)
        self.assertEqual(self.status(name), "stopped")
        self.assertGreaterEqual(int(read(self.path, "memory", "memory.oom_control", "memory.events").split("oom_kill ")[1].split()[0]), 1)
        self.delete(name)

    def test_who_is_killed(self):
        """The container's score is that of its processes on the host; the application kernel is a worse victim than its stubs."""
        name = self.name()
        self.make(name, "sleep", "1000", oomScoreAdj=200)

        def score(pid):
            return int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
        self.assertEqual(score(self.pid()), 200)
        if self.isolation == "sentry":
            scores = sorted(score(p) for p in (group(self.path, "pids") / "cgroup.procs").read_text().split())
            self.assertLess(scores[0], scores[-1])
            self.assertEqual([s for s in scores if s not in (100, 200, 230)], [])
        self.delete(name)

    def test_cpu_limit_holds(self):
        name = self.name()
        self.make(name, "sh", "-c", "while :; do :; done", resources={"cpu": {"quota": 10000, "period": 100000}})
        s = self.stats(name)
        while s["cpu"]["throttling"]["throttledPeriods"] < 5:
            s = self.stats(name)
        # in each full period no more than its share, with room for what the kernel hands out at once on two CPUs
        self.assertLess(s["cpu"]["usage"]["total"], (s["cpu"]["throttling"]["periods"] + 10) * 20_000_000)
        self.delete(name)

    def test_pids_limit_holds(self):
        script = ("import os, time\n"
                  "n = 1\n"
                  "try:\n"
                  "    for _ in range(100):\n"
                  "        if os.fork() == 0: time.sleep(1000)\n"
                  "        n += 1\n"
                  "except BlockingIOError:\n"
                  "    print('limit', n, flush=True)\n"
                  "time.sleep(1000)\n")
        name = self.name()
        self.make(name, "python3", "-c", script, resources={"pids": {"limit": 20}})
        self.wait_for(name, "limit")
        self.assertEqual(self.output(), "limit 20\n")
        self.assertEqual(self.stats(name)["pids"], {"current": 20, "limit": 20})
        if self.isolation == "sentry":  # the host's controller counts forks alone, not those who join
            self.assertNotEqual(self.moat("exec", name, "true", ok=False).returncode, 0)
        self.moat("update", "--pids-limit", "30", name)
        self.moat("exec", name, "true")
        self.assertEqual(self.stats(name)["pids"]["limit"], 30)
        self.delete(name)

    # ---- beside runc ----

    def runc_values(self, resources):
        """The same bundle under runc; its groups' values."""
        path = f"/moat-test-{os.path.basename(self.dir)}/runc"
        config = json.loads(pathlib.Path(self.bundle, "config.json").read_text())
        config["linux"].update(cgroupsPath=path, resources=resources)
        config["ociVersion"] = "1.0.2"
        config["process"].pop("scheduler", None)
        folder = tempfile.mkdtemp(dir=self.dir)
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        name = "oracle-" + os.path.basename(self.dir)
        with open(folder + "/out", "wb") as out:
            r = subprocess.run(["runc", "--root", folder + "/state", "create", "--bundle", folder, name], stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, timeout=60)
        try:
            self.assertEqual(r.returncode, 0, pathlib.Path(folder, "out").read_text())
            return values(path)
        finally:
            subprocess.run(["runc", "--root", folder + "/state", "delete", "--force", name], timeout=60, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            remove(path)

    def test_same_values_as_runc(self):
        if not shutil.which("runc") or not v1():
            self.skipTest("runc and cgroup v1 are needed")
        disk = block_device()
        cases = [
            {},
            {"memory": {"limit": 100 * MIB, "swap": 150 * MIB, "reservation": 50 * MIB, "swappiness": 30, "disableOOMKiller": False}},
            {"memory": {"limit": 100 * MIB}},
            {"memory": {"limit": -1, "swap": -1}},
            {"cpu": {"shares": 2048, "quota": 150000, "period": 100000, "cpus": "0-1", "mems": "0"}, "pids": {"limit": -1}},
            {"cpu": {"period": 20000}},
            {"cpu": {"quota": -1}, "pids": {"limit": 0}},
            {"devices": [{"allow": False, "access": "rwm"}]},
            {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                         {"allow": True, "type": "b", "major": 7, "access": "r"}, {"allow": True, "type": "c", "major": 4, "minor": -1, "access": "rwm"},
                         {"allow": False, "type": "b", "major": 7, "access": "r"}]},
            {"devices": [{"allow": True, "access": "rwm"}]},
        ]
        if disk:
            rate = {"major": disk[0], "minor": disk[1], "rate": 1048576}
            cases.append({"blockIO": {"throttleReadBpsDevice": [rate], "throttleWriteBpsDevice": [rate], "throttleReadIOPSDevice": [rate],
                                      "throttleWriteIOPSDevice": [{**rate, "rate": 600}]}})
        for i, resources in enumerate(cases):
            with self.subTest(resources=resources):
                name = self.name(f"same{i}")
                self.make(name, "true", resources=resources, start=False)
                ours = values(self.path)
                self.delete(name)
                theirs = self.runc_values(resources)
                self.assertEqual(ours, theirs)


bundle.each_isolation(globals(), Groups)


if __name__ == "__main__":
    unittest.main()
