# SPDX-License-Identifier: Apache-2.0
"""Hooks (config.md "POSIX-platform Hooks"): order, state, environment, time-outs, and what their failure does."""
import json
import os
import pathlib

import moat
from bundle import BundleTest, each_isolation

# Says its stage, then what it is given: one line each.
SCRIPT = """#!/bin/sh
echo "$1 $(cat)" >>"$2"
[ -z "$3" ] || { echo "hook says $3"; exit "$3"; }
"""


class Hooks:
    def setUp(self):
        super().setUp()
        self.log = self.dir + "/hooks.log"
        self.script = self.dir + "/hook.sh"
        pathlib.Path(self.script).write_text(SCRIPT)
        os.chmod(self.script, 0o755)

    def hook(self, stage, *args, **more):
        return {"path": self.script, "args": ["hook", stage, self.log, *args], "env": ["PATH=/usr/bin:/bin", "STAGE=" + stage], **more}

    def lines(self):
        path = pathlib.Path(self.log)
        return [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []

    def stages(self):
        return [line[0] for line in self.lines()]

    def with_hooks(self, *args, **hooks):
        self.config(*args, change=lambda c: c.update(hooks=hooks, annotations={"a.b": "c"}))

    def test_order_and_state(self):
        name = self.name()
        stages = ("prestart", "createRuntime", "poststart", "poststop")
        self.with_hooks("sleep", "1000", **{s: [self.hook(s + "1"), self.hook(s + "2")] for s in stages})
        self.create(name)
        self.assertEqual(self.stages(), ["prestart1", "prestart2", "createRuntime1", "createRuntime2"])
        self.moat("start", name)
        self.assertEqual(self.stages()[4:], ["poststart1", "poststart2"])
        self.moat("delete", "--force", name)
        self.assertEqual(self.stages()[6:], ["poststop1", "poststop2"])
        states = [json.loads(text) for _, text in self.lines()]
        self.assertEqual({s["id"] for s in states}, {name})
        self.assertEqual({s["bundle"] for s in states}, {self.bundle})
        self.assertEqual({s["annotations"]["a.b"] for s in states}, {"c"})
        self.assertEqual([s["status"] for s in states], ["creating"] * 4 + ["running"] * 2 + ["stopped"] * 2)
        self.assertEqual({s["pid"] for s in states[:6]}, {self.pid()})

    def test_all_six_stages(self):
        """Where each runs: startContainer's path is the container's, the others' the host's."""
        name = self.name()
        os.mkdir(self.dir + "/shared")
        self.log = self.dir + "/shared/log"
        hooks = {s: [self.hook(s)] for s in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
        hooks["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", 'echo "startContainer $(cat)" >>/shared/log'],
                                    "env": ["PATH=/usr/bin:/bin"]}]

        def change(c):
            c.update(hooks=hooks)
            c["mounts"].append({"destination": "/shared", "type": "bind", "source": self.dir + "/shared", "options": ["rbind", "rw"]})

        self.config("sh", "-c", "echo 'process -' >>/shared/log; exec sleep 1000", change=change)
        self.create(name)
        self.assertEqual(self.stages(), ["prestart", "createRuntime", "createContainer"])
        self.moat("start", name)
        self.moat("delete", "--force", name)
        # poststart runs beside the process.
        self.assertEqual([s for s in self.stages() if s != "process"][3:], ["startContainer", "poststart", "poststop"])
        if "process" in self.stages():
            self.assertGreater(self.stages().index("process"), self.stages().index("startContainer"))
        states = {stage: json.loads(text) for stage, text in self.lines() if text != "-"}
        self.assertEqual({s: states[s]["status"] for s in states},
                         {"prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "startContainer": "created",
                          "poststart": "running", "poststop": "stopped"})
        self.assertEqual({s["id"] for s in states.values()}, {name})

    def test_environment_is_the_hooks_own(self):
        name = self.name()
        self.config("true", change=lambda c: c.update(hooks={"prestart": [
            {"path": "/usr/bin/env", "args": ["env", "--", "/bin/sh", "-c", "env >" + self.log + "; ls /proc/self/fd >>" + self.log],
             "env": ["A=b"]}]}))
        self.run_it(name, env={**os.environ, "SECRET": "x"})
        text = pathlib.Path(self.log).read_text().split()
        self.assertIn("A=b", text)
        self.assertNotIn("SECRET=x", text)
        self.assertEqual([w for w in text if w.isdigit()], ["0", "1", "2", "3"])  # 3: of ls itself

    def test_failure_cleans_up(self):
        for stage in ("prestart", "createRuntime"):
            name = self.name(stage)
            self.with_hooks("true", **{stage: [self.hook("good"), self.hook("bad", "7"), self.hook("never")],
                                       "poststop": [self.hook("poststop")]})
            self.assertEqual(self.create(name, ok=False).returncode, 1)
            self.assertIn(stage, self.output())
            self.assertIn("exit status 7", self.output())
            self.assertIn("hook says 7", self.output())
            self.assertEqual(self.stages(), ["good", "bad", "poststop"])
            self.assertEqual(os.listdir(self.state), [])
            self.assertFalse(os.path.exists(self.dir + "/pid"))
            os.unlink(self.log)

    def test_failing_poststart_stops_the_container(self):
        name = self.name()
        self.with_hooks("sleep", "1000", poststart=[self.hook("bad", "3")])
        self.create(name)
        r = self.moat("start", name, ok=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("poststart", r.stderr)
        self.moat("wait", name, ok=False)
        self.assertEqual(self.status(name), "stopped")
        self.moat("delete", name)

    def test_failing_poststop_is_a_warning(self):
        name = self.name()
        self.with_hooks("true", poststop=[self.hook("bad", "3"), self.hook("next")])
        self.create(name)
        r = self.moat("delete", name)
        self.assertIn("warning", r.stderr)
        self.assertIn("exit status 3", r.stderr)
        self.assertEqual(self.stages(), ["bad", "next"])

    def test_timeout(self):
        name = self.name()
        # A grandchild that keeps the output open must not keep us.
        self.config("true", change=lambda c: c.update(hooks={"createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", "echo waiting; sleep 1000 & wait"], "env": ["PATH=/bin"], "timeout": 1}]}))
        self.create(name, ok=False)
        self.assertIn("timeout of 1 s", self.output())
        self.assertIn("waiting", self.output())

    def test_missing_hook(self):
        name = self.name()
        self.config("true", change=lambda c: c.update(hooks={"prestart": [{"path": "/no/such/hook"}]}))
        self.assertEqual(self.create(name, ok=False).returncode, 1)
        self.assertIn("/no/such/hook", self.output())

    def test_hook_may_ask_for_the_state(self):
        name = self.name()
        command = f"{moat.MOAT} --root {self.state} state {name} >{self.log}"
        self.config("true", change=lambda c: c.update(hooks={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", command]}]}))
        self.create(name)
        self.assertEqual(json.loads(pathlib.Path(self.log).read_text())["status"], "creating")
        self.moat("delete", name)


each_isolation(globals(), Hooks)
