#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures moat beside the host and its peers, interleaved in one run, and prints a table of medians.

  bench/run.py [--build DIR] [--rounds N] [--only micro,start,lifecycle,memory,programs] [--peers runc,crun,runsc]

Times on shared machines are noisy: compare columns of one run, never numbers of two.
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
sys.path.insert(0, str(REPO / "tests" / "lib"))

import lifecycle

# Label -> (command, whether it prints its own time in microseconds as its last word).
PROGRAMS = {
    "python3 -c pass": (["python3", "-c", "pass"], False),
    "python3 CPU loop": (["python3", "-c", "import time\ns = time.perf_counter()\nx = 0\nfor i in range(2000000): x += i * i\n"
                          "print(int((time.perf_counter() - s) * 1e6))"], True),
    "find /usr, warm": (["sh", "-c", "find /usr >/dev/null; s=$(date +%s%N); find /usr >/dev/null; e=$(date +%s%N); "
                         "echo $(((e - s) / 1000))"], True),
    "make -j2, 20 C files": (["sh", "-c", "mkdir -p /tmp/m && cd /tmp/m && rm -f * && "
                              "for i in $(seq 20); do echo \"int f$i(void) { return $i; }\" >f$i.c; done && "
                              "printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n%%.o: %%.c\\n\\tgcc -c -o $@ $<\\n' >Makefile && "
                              "s=$(date +%s%N); make -s -j2; e=$(date +%s%N); echo $(((e - s) / 1000))"], True),
}


class Runtime:
    """One way to run a command in the test root; `command(args)` gives the host command line."""

    def __init__(self, name, rootfs, moat):
        self.name, self.rootfs, self.moat = name, rootfs, moat
        self.bundle = None
        if name in ("runc", "crun", "runsc"):
            self.bundle = tempfile.mkdtemp(prefix=f"moat-bench-{name}-")

    def command(self, args):
        if self.name == "host":
            return ["chroot", self.rootfs, *args]
        if self.name == "moat":
            return [self.moat, "do", "--rootfs", self.rootfs, "--", *args]
        if self.name == "moat notify":
            return [self.moat, "do", "--handover", "notify", "--rootfs", self.rootfs, "--", *args]
        if self.name == "moat native":
            return [self.moat, "do", "--isolation", "native", "--rootfs", self.rootfs, "--", *args]
        config = json.loads(self.template())
        config["process"].update({"args": args, "terminal": False, "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]})
        config["root"] = {"path": self.rootfs, "readonly": False}
        pathlib.Path(self.bundle, "config.json").write_text(json.dumps(config))
        options = {"crun": ["--cgroup-manager=disabled"], "runsc": ["--platform=systrap", "--network=none", "--overlay2=root:memory"]}
        return [self.name, *options.get(self.name, []), "--root", self.bundle + "/state", "run", "--bundle", self.bundle,
                f"bench-{os.getpid()}"]

    def template(self):
        path = pathlib.Path(self.bundle, "template.json")
        if not path.exists():
            work = tempfile.mkdtemp()
            subprocess.run([self.name, "spec"], cwd=work, check=True)
            shutil.move(work + "/config.json", path)
            os.rmdir(work)
        return path.read_text()

    def run(self, args):
        """Seconds and text output (through a pipe)."""
        command = self.command(args)
        start = time.monotonic()
        out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        took = time.monotonic() - start
        if out.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(args)[:80]}: status {out.returncode}: {out.stderr[-500:]}")
        return took, out.stdout


def interleaved(runtimes, rounds, measure):
    """{runtime: median} of measure(runtime), rounds turns each."""
    values = {r.name: [] for r in runtimes}
    for _ in range(rounds):
        for r in runtimes:
            try:
                values[r.name].append(measure(r))
            except RuntimeError as e:
                print(f"# {e}", file=sys.stderr)
    return {name: statistics.median(v) if v else None for name, v in values.items()}


def table(title, runtimes, rows, unit):
    names = [r if isinstance(r, str) else r.name for r in runtimes]
    print(f"\n### {title} ({unit})\n\n| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for label, values in rows.items():
        cells = ["-" if values.get(n) is None else f"{values[n]:.2f}" for n in names]
        print(f"| {label} | " + " | ".join(cells) + " |")
    sys.stdout.flush()


def micro(runtimes, rounds):
    """Beside moat as it comes, moat with notifications only: what a call costs when no CPU is idle, and what scaling is
    measured with (posted calls use a second CPU for one program already)."""
    results = {}
    moat = next(r for r in runtimes if r.name == "moat")
    runtimes = [*runtimes[:2], Runtime("moat notify", moat.rootfs, moat.moat), *runtimes[2:]]
    for _ in range(rounds):
        for r in runtimes:
            try:
                _, out = r.run(["/micro"])
                if r.name == "host":
                    out += r.run(["/bare"])[1]
            except RuntimeError as e:
                print(f"# {e}", file=sys.stderr)
                continue
            for line in out.splitlines():
                name, value = line.split()
                results.setdefault(name, {}).setdefault(r.name, []).append(float(value) / (1 if "percent" in name else 1000))
    table("System calls and primitives", runtimes,
          {n: {k: statistics.median(v) for k, v in vals.items()} for n, vals in results.items()}, "us; scaling in percent")


def start(runtimes, rounds):
    rows = {"start /bin/true": {k: v and v * 1000 for k, v in
                                interleaved(runtimes, rounds * 5, lambda r: r.run(["/bin/true"])[0]).items()}}

    def many(r):
        begin = time.monotonic()
        ps = [subprocess.Popen(r.command(["/bin/true"]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(20)]
        if any(p.wait() != 0 for p in ps):
            raise RuntimeError(f"{r.name}: 20 at once failed")
        return (time.monotonic() - begin) * 1000

    rows["20 at once"] = interleaved([r for r in runtimes if r.bundle is None], rounds, many)
    table("Start of a whole command", runtimes, rows, "ms")


def pss_tree(pid):
    """Pss in MB of a process and all its descendants."""
    children = {}
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                ppid = int((p / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(ppid, []).append(int(p.name))
    total, todo, parts = 0, [pid], {}
    while todo:
        p = todo.pop()
        todo += children.get(p, [])
        try:
            text = pathlib.Path(f"/proc/{p}/smaps_rollup").read_text()
            name = pathlib.Path(f"/proc/{p}/comm").read_text().strip()
        except OSError:
            continue
        kb = next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
        total += kb
        parts[name] = parts.get(name, 0) + kb
    return total / 1024, parts


def memory(runtimes, moat):
    rows = {"idle `sleep`": {}}
    for r in runtimes:
        if r.name not in ("moat", "moat native"):
            continue
        p = subprocess.Popen(r.command(["sh", "-c", "echo up; exec sleep 1000"]), stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        rows["idle `sleep`"][r.name], parts = pss_tree(p.pid)
        print(f"# {r.name}: {parts}", file=sys.stderr)
        p.terminate()
        p.kill()
        p.wait()
    table("Memory of an idle sandbox, all its processes (Pss)", runtimes, rows, "MB")


def programs(runtimes, rounds):
    rows = {}
    for label, (args, own_clock) in PROGRAMS.items():

        def measure(r):
            took, out = r.run(args)
            return float(out.split()[-1]) / 1000 if own_clock else took * 1000

        rows[label] = interleaved(runtimes, rounds, measure)
    table("Programs (python3 -c pass: start included; the others time themselves)", runtimes, rows, "ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(REPO / "build"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="micro,start,lifecycle,memory,programs")
    parser.add_argument("--root", default="full", help="root file system: small or full")
    parser.add_argument("--peers", default=",".join(p for p in ("runc", "runsc") if shutil.which(p)))
    args = parser.parse_args()
    os.environ["MOAT_BUILD"] = str(pathlib.Path(args.build).resolve())
    import moat
    rootfs = moat.rootfs(args.root)
    for name in ("micro", "bare"):
        subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", f"{rootfs}/{name}", str(REPO / f"bench/{name}.c")], check=True)
    names = ["host", "moat"] + [p for p in args.peers.split(",") if p]
    runtimes = [Runtime(n, rootfs, moat.MOAT) for n in names]
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs; medians of {args.rounds} interleaved rounds")
    for what in args.only.split(","):
        {"micro": lambda: micro(runtimes, args.rounds), "start": lambda: start(runtimes, args.rounds),
         "lifecycle": lambda: lifecycle.lifecycle(moat.MOAT, rootfs, args.rounds * 5, table),
         "memory": lambda: memory(runtimes, moat.MOAT), "programs": lambda: programs(runtimes, args.rounds)}[what]()
    for r in runtimes:
        if r.bundle:
            shutil.rmtree(r.bundle, ignore_errors=True)
    os.unlink(rootfs + "/micro")
    os.unlink(rootfs + "/bare")


if __name__ == "__main__":
    main()
