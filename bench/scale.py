#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Very many containers on one host: how long each command takes while they are there, and what they leave behind.

    bench/scale.py [--isolation native|sentry] [--count 1000] [--runtime PROGRAM]

Prints, for the first and the last tenth, the median of create, start, state, exec and delete in ms, the time of `list`, and the
host's processes, mounts and memory at the most.  --runtime runc measures a peer (native's bundle).
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tests/lib"))


class Scale:
    def __init__(self, args):
        import moat
        self.args = args
        self.dir = tempfile.mkdtemp(prefix="moat-scale-")
        self.program = args.runtime or moat.MOAT
        self.rootfs = moat.rootfs("small")
        self.times = {}

    def run(self, command, *args, ok=True):
        begin = time.perf_counter()
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([self.program, "--root", self.dir + "/state", command, *args], stdin=subprocess.DEVNULL, stdout=out,
                               stderr=subprocess.STDOUT, timeout=120)
        self.times.setdefault(command, []).append(1000 * (time.perf_counter() - begin))
        text = pathlib.Path(self.dir, "out").read_text()
        if ok and r.returncode:
            raise RuntimeError(f"{command} {args}: {text}")
        return text

    def bundle(self, name):
        path = pathlib.Path(self.dir, "bundle")
        if not path.exists():
            path.mkdir()
            subprocess.run([self.program, "spec", "--bundle", str(path)], check=True, cwd=path)
        config = json.loads((path / "config.json").read_text())
        config["root"]["path"] = self.rootfs
        config["process"].update(args=["sleep", "100000"], terminal=False)
        config["linux"]["cgroupsPath"] = f"/{os.path.basename(self.dir)}/{name}"
        (path / "config.json").write_text(json.dumps(config))
        return str(path)

    def host(self):
        processes = sum(p.isdigit() for p in os.listdir("/proc"))
        mounts = len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
        memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
        return processes, mounts, memory // 1024

    def report(self, command):
        all_times = self.times.get(command, [])
        tenth = max(1, len(all_times) // 10)
        print(f"{command:8} first tenth {statistics.median(all_times[:tenth]):7.1f} ms, last {statistics.median(all_times[-tenth:]):7.1f} ms")

    def measure(self):
        names = [f"c{i}" for i in range(self.args.count)]
        isolation = [] if self.args.runtime else ["--isolation", self.args.isolation]
        before = self.host()
        for name in names:
            self.run("create", *isolation, "--bundle", self.bundle(name), name)
            self.run("start", name)
        for name in names[::max(1, len(names) // 50)]:
            self.run("state", name)
            self.run("exec", name, "true")
            self.run("ps", "--format", "json", name)
        listed = json.loads(self.run("list", "--format", "json"))
        assert sorted(c["id"] for c in listed) == sorted(names) and {c["status"] for c in listed} == {"running"}
        most = self.host()
        for name in names:
            self.run("kill", name, "KILL")
        for name in names:
            self.run("delete", "--force", name)
        after = self.host()
        for command in ("create", "start", "state", "exec", "ps", "list", "kill", "delete"):
            self.report(command)
        print(f"processes {before[0]} -> {most[0]} -> {after[0]}, mounts {before[1]} -> {most[1]} -> {after[1]}, "
              f"{(before[2] - most[2]) / len(names):.1f} MiB each")
        return after[0] <= before[0] + 20 and after[1] <= before[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isolation", default="native", choices=("native", "sentry"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runtime", help="measure this program instead")
    scale = Scale(parser.parse_args())
    try:
        return 0 if scale.measure() else 1
    finally:
        for name in os.listdir(scale.dir + "/state") if os.path.isdir(scale.dir + "/state") else []:
            subprocess.run([scale.program, "--root", scale.dir + "/state", "delete", "--force", name], timeout=120)
        for top in pathlib.Path("/sys/fs/cgroup").glob("*/" + os.path.basename(scale.dir)):
            top.rmdir()
        shutil.rmtree(scale.dir)


if __name__ == "__main__":
    sys.exit(main())
