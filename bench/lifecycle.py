# SPDX-License-Identifier: Apache-2.0
"""The commands of the OCI life cycle, moat under both isolations beside runc and crun, with one bundle (`runc spec`'s).

crun makes no control groups where v1 and v2 are mixed, so there it runs without them; the others make a dozen.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

STEPS = ("run /bin/true", "create", "start", "exec /bin/true", "kill", "delete")


def unified():
    """Whether cgroup v2 alone is mounted."""
    return any(line.split()[4] == "/sys/fs/cgroup" and " - cgroup2 " in line for line in open("/proc/self/mountinfo"))


class Bench:
    def __init__(self, moat, rootfs):
        self.dir = tempfile.mkdtemp(prefix="moat-bench-")
        self.bundle = self.dir + "/bundle"
        os.mkdir(self.bundle)
        subprocess.run(["gcc", "-O2", "-static", "-o", self.dir + "/launch", str(pathlib.Path(__file__).parent / "launch.c")], check=True)
        subprocess.run(["runc", "spec", "--bundle", self.bundle], check=True)
        self.config = json.loads(pathlib.Path(self.bundle, "config.json").read_text())
        self.config["root"] = {"path": rootfs, "readonly": False}
        self.config["process"]["terminal"] = False
        # Ambient without inheritable is of no effect; moat would warn.
        self.config["process"]["capabilities"].pop("ambient", None)
        # crun cannot make this mount where v1 and v2 are mixed.
        self.config["mounts"] = [m for m in self.config["mounts"] if m["type"] != "cgroup"]
        self.runtimes = {"moat": ([moat], ["--isolation", "sentry"]), "moat native": ([moat], ["--isolation", "native"])}
        for peer in ("runc", "crun"):
            if path := shutil.which(peer):
                without = peer == "crun" and not unified()
                self.runtimes[peer] = ([path, "--cgroup-manager=disabled"] if without else [path], [])

    def args(self, *args):
        self.config["process"]["args"] = list(args)
        pathlib.Path(self.bundle, "config.json").write_text(json.dumps(self.config))

    def turn(self, name, number, note):
        base, options = self.runtimes[name]
        base = [*base, "--root", f"{self.dir}/state-{name.replace(' ', '-')}"]
        make = [*options, "--bundle", self.bundle]
        id_ = f"bench-{name.replace(' ', '-')}-{os.getpid()}-{number}"
        self.args("/bin/true")
        note(name, STEPS[0], self.call([*base, "run", *make, id_]))
        self.args("/bin/sleep", "1000")
        for step, command in (("create", ["create", *make, id_]), ("start", ["start", id_]), (STEPS[3], ["exec", id_, "/bin/true"]),
                              ("kill", ["kill", id_, "KILL"]), ("delete", ["delete", "--force", id_])):
            note(name, step, self.call([*base, *command]))

    def call(self, command):
        """Milliseconds, peak memory in MB, exit status."""
        with open(self.dir + "/out", "wb") as out:
            r = subprocess.run([self.dir + "/launch", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, text=True,
                               check=True, timeout=60)
        took, peak, status = map(int, r.stdout.split())
        return took / 1000, peak / 1024, status

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def lifecycle(moat, rootfs, rounds, table):
    bench = Bench(moat, rootfs)
    times, peaks = {s: {} for s in STEPS}, {s: {} for s in STEPS}

    def note(name, step, result):
        took, peak, status = result
        if status != 0:
            print(f"# {name}: {step}: status {status}: {pathlib.Path(bench.dir, 'out').read_text()[-300:]}", file=sys.stderr)
            return
        times[step].setdefault(name, []).append(took)
        peaks[step].setdefault(name, []).append(peak)

    for i in range(rounds):
        for name in list(bench.runtimes):
            bench.turn(name, i, note)
            if name not in times["create"]:
                del bench.runtimes[name]  # it said why
    for title, values, unit in (("The life cycle's commands", times, "ms"), ("Peak memory of each command", peaks, "MB")):
        table(title, list(bench.runtimes), {s: {n: statistics.median(v) for n, v in values[s].items()} for s in STEPS}, unit)
    bench.close()
