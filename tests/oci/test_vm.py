# SPDX-License-Identifier: Apache-2.0
"""The OCI commands over isolation vm and vm+sentry: one life in one machine, as starting an emulated one takes seconds."""
import json
import subprocess
import time
import unittest

import moat
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class Life(BundleTest):
    isolation = "vm"

    def kernel(self):
        return vm.modules().name

    def exec(self, name, *cmd, **kw):
        return self.moat("exec", name, *cmd, ok=False, timeout=vm.TIMEOUT, **kw)

    def limit(self, config):
        config["linux"]["resources"] = {"pids": {"limit": 20}, "memory": {"limit": 128 << 20}}
        config["linux"]["maskedPaths"] = ["/proc/version", "/proc/acpi"]
        config["linux"]["readonlyPaths"] = ["/proc/sys"]
        config["linux"]["sysctl"] = {"kernel.msgmax": "4321"}
        config["hostname"] = "castle"

    def test_life(self):
        name = self.name()
        self.config("sh", "-c", "trap 'echo told; exit 6' TERM; echo started; while :; do sleep 0.1; done", change=self.limit)
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([moat.MOAT, "--root", self.state, "create", "--isolation", self.isolation, "--bundle", self.bundle, name],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=vm.TIMEOUT)
        self.assertEqual(r.returncode, 0, self.output())
        self.assertEqual(self.status(name), "created")
        self.assertEqual(self.output(), "")
        self.moat("start", name)
        self.assertEqual(self.status(name), "running")

        r = self.exec(name, "sh", "-c", "uname -r; hostname; cat /proc/sys/kernel/msgmax; wc -c </proc/version; cat; exit 9", stdin=None,
                      input="input")
        self.assertEqual((r.returncode, r.stdout), (9, self.kernel() + "\ncastle\n4321\n0\ninput"), r.stderr)
        r = self.exec(name, "sh", "-c", "echo 1 >/proc/sys/kernel/msgmax; echo x >/etc/x")
        self.assertEqual(r.stderr.count("Read-only file system"), 2, r.stderr)
        r = self.exec(name, "no-such-program")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("no-such-program", r.stderr)
        self.want_of_memory(name)
        r = self.exec(name, "sh", "-c", "for i in $(seq 40); do sleep 100 >/dev/null 2>&1 & done")  # pids.limit
        self.assertIn("fork", r.stderr)

        self.assertRegex(self.moat("ps", name).stdout, r"(?m)^0 +1 +0 +sh -c trap")
        stats = json.loads(self.moat("events", "--stats", name).stdout)
        self.assertEqual(stats["data"]["pids"]["limit"], 20)
        memory, cpu = stats["data"]["memory"], stats["data"]["cpu"]["usage"]
        self.assertEqual(memory["usage"]["limit"], 128 << 20)
        self.assertTrue(0 < memory["raw"]["anon"] < memory["usage"]["usage"] < 64 << 20, memory)
        self.assertTrue(0 < cpu["total"] and cpu["total"] * 0.9 < cpu["user"] + cpu["kernel"] < cpu["total"] * 1.1, cpu)
        self.moat("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.moat("resume", name)

        self.moat("kill", name, "TERM")
        self.assertEqual(self.moat("wait", name, ok=False, timeout=vm.TIMEOUT).returncode, 6)
        self.assertEqual(self.output(), "started\ntold\n")
        self.assertEqual(self.status(name), "stopped")
        r = self.exec(name, "true")
        self.assertIn("not running", r.stderr)
        self.moat("delete", name)

    def wait_told(self, log, kind):
        deadline, told = time.monotonic() + vm.TIMEOUT, ""
        while f'"type":"{kind}"' not in told and time.monotonic() < deadline:
            time.sleep(0.02)
            log.seek(0)
            told = log.read()
        self.assertIn(f'"type":"{kind}"', told)

    def want_of_memory(self, name):
        """What was asked for can be used. The guest's kernel kills the process that takes more; statistics and an event tell."""
        r = self.exec(name, "dd", "if=/dev/zero", "of=/dev/null", "bs=110M", "count=1")
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(self.dir + "/events", "w+") as log:
            events = subprocess.Popen([moat.MOAT, "--root", self.state, "events", "--interval", "1s", name], stdin=subprocess.DEVNULL, stdout=log)
            try:
                self.wait_told(log, "stats")  # it watches
                r = self.exec(name, "tail", "/dev/zero")
                self.assertEqual(r.returncode, 137, r.stderr)
                self.assertEqual(self.status(name), "running")
                stats = json.loads(self.moat("events", "--stats", name).stdout)["data"]["memory"]
                self.assertEqual((stats["raw"]["oom_kill"], stats["usage"]["limit"]), (1, 128 << 20))
                self.wait_told(log, "oom")
            finally:
                events.kill()
                events.wait()

    def fields(self, config):
        """What the guest's kernel has of a config.json, in one machine."""
        linux = config["linux"]
        config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat >/run/hook-state; id -u >>/run/hook-state"]}]}
        config["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nodev", "mode=755"]})
        config["process"].update(
            user={"uid": 1000, "gid": 1000, "additionalGids": [27]}, oomScoreAdj=77, noNewPrivileges=True,
            capabilities={k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted", "inheritable", "ambient")},
            rlimits=[{"type": "RLIMIT_NOFILE", "hard": 333, "soft": 222}],
            scheduler={"policy": "SCHED_BATCH", "nice": 3}, execCPUAffinity={"initial": "0", "final": "0"})
        linux["namespaces"] += [{"type": "user"}, {"type": "time"}]
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 5001, "size": 2000}]
        linux["timeOffsets"] = {"boottime": {"secs": 1000000}}
        linux["resources"] = {"memory": {"limit": 200 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 50}}
        linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}

    def test_fields(self):
        name = self.name()
        script = ("cat /run/hook-state; id; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:|Groups|Cpus_allowed_list' /proc/self/status; "
                  "cat /proc/self/oom_score_adj /proc/self/uid_map; ulimit -Sn; ulimit -Hn; cut -c1-5 /proc/uptime; "
                  "cd /sys/fs/cgroup; cat memory.max cpu.weight pids.max; cut -d' ' -f41,19 /proc/self/stat; "
                  "mkdir /run/x")
        self.config("sh", "-c", script, change=self.fields)
        r = self.run_it(name, ok=False, timeout=vm.TIMEOUT)
        state, end = json.JSONDecoder().raw_decode(r.stdout)
        self.assertEqual((state["id"], state["status"], state["pid"]), (name, "created", 1))
        self.assertEqual([" ".join(line.split()) for line in r.stdout[end:].splitlines()],
                         ["0", "uid=1000(user) gid=1000(user) groups=1000(user),27(sudo)", "Groups: 27", "CapEff: 0000000000000020",
                          "CapBnd: 0000000000000020", "NoNewPrivs: 1", "Seccomp: 2", "Cpus_allowed_list: 0", "77", "0 0 1", "1 5001 2000",
                          "222", "333", "10000", str(200 << 20), "59", "50", "3 3"])
        self.assertIn("Operation not supported", r.stderr)  # mkdir, by seccomp


class SentryLife(Life):
    """The agent starts an application kernel; what a container sees is that one's."""
    isolation = "vm+sentry"
    test_fields = None  # tests/oci/test_inside.py has them

    def kernel(self):
        return "6.12.0-moat"


if __name__ == "__main__":
    unittest.main()
