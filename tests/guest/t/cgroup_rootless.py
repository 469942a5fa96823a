# SPDX-License-Identifier: Apache-2.0
# An ordinary user's containers in the control group that was delegated to the user, and outside of it.
# as: user
# timeout: 90
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import moat

ROOT = pathlib.Path("/sys/fs/cgroup")
work = tempfile.mkdtemp(prefix="moat-rootless-")


def check(good, text):
    if not good:
        print("FAIL", text)
        subprocess.run([moat.MOAT, "--root", work + "/state", "delete", "--force", "c"])
        sys.exit(1)


def run(*args):
    return moat.run(["--root", work + "/state", *args], timeout=60)


def create(isolation, resources, cgroup=None):
    bundle = pathlib.Path(work, "bundle")
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    run("spec", "--rootless", "--bundle", str(bundle))
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["root"]["path"] = moat.rootfs()
    config["process"].update(args=["sleep", "1000"], terminal=False)
    config["linux"]["resources"] = resources
    config["linux"].pop("cgroupsPath", None)
    if cgroup:
        config["linux"]["cgroupsPath"] = cgroup
    path.write_text(json.dumps(config))
    with open(work + "/out", "w") as out:
        r = subprocess.run([moat.MOAT, "--root", work + "/state", "create", "--isolation", isolation, "--bundle", str(bundle),
                            "--pid-file", work + "/pid", "c"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
    text = pathlib.Path(work, "out").read_text()
    check(r.returncode == 0, f"{isolation}: create: {text}")
    return text


own = pathlib.Path("/proc/self/cgroup").read_text().split("::")[1].strip()
for isolation in sys.argv[1:] or ["sentry", "native"]:
    # in the delegated subtree: limits hold, and what was not delegated is named
    said = create(isolation, {"memory": {"limit": 100 << 20}, "pids": {"limit": 40}, "cpu": {"cpus": "0"}})
    groups = list((ROOT / os.path.dirname(own).lstrip("/") / "moat").glob("c.*"))  # the state folder is not the customary one
    check(len(groups) == 1, f"{isolation}: groups {groups}: {said}")
    group = groups[0]
    check(group.is_dir(), f"{isolation}: no group {group}: {said}")
    pid = pathlib.Path(work, "pid").read_text()
    check(pid in (group / "cgroup.procs").read_text().split(), f"{isolation}: the process is not in it")
    check((group / "memory.max").read_text() == f"{100 << 20}\n", f"{isolation}: memory.max")
    check("cpuset" in said and "left out" in said, f"{isolation}: the limit that is out of reach is not named: {said}")
    r = run("pause", "c")
    check(r.returncode == 0 and json.loads(run("state", "c").stdout)["status"] == "paused", f"{isolation}: pause: {r.stderr}")
    check(run("resume", "c").returncode == 0, f"{isolation}: resume")
    r = run("delete", "--force", "c")
    check(r.returncode == 0 and not group.exists(), f"{isolation}: delete: {r.stderr}")
    # outside of it: a container without groups, and a warning that names them
    said = create(isolation, {"memory": {"limit": 100 << 20}}, "/not-delegated/c")
    check("no control group" in said and "limits for memory are left out" in said, f"{isolation}: no warning: {said}")
    check(not (ROOT / "not-delegated").exists(), f"{isolation}: a group outside")
    if isolation == "native":
        check("cannot pause" in run("pause", "c").stderr, f"{isolation}: pause without a freezer")
    r = run("delete", "--force", "c")
    check(r.returncode == 0, f"{isolation}: delete: {r.stderr}")
    print("ok", isolation)
shutil.rmtree(work)
