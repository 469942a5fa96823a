#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test and ends with one line: `N passed, N failed, N skipped`.

Suites: meson (unit and seam programs), syscall (the same programs on the host's kernel and under each hand-over of the
sentry), the Python tests of tests/e2e, tests/oci, tests/attack and tests/engines (unittest), and guest (tests/guest, on
another kernel).
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS / "lib"))


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run_meson(build, tally):
    """Unit and seam programs; one test each."""
    log = build / "meson-logs" / "testlog.json"
    if log.exists():
        log.unlink()
    subprocess.run(["meson", "test", "-C", str(build), "--no-rebuild", "--print-errorlogs"], stdout=subprocess.DEVNULL)
    for text in log.read_text().splitlines() if log.exists() else []:
        result = json.loads(text)
        ok, skip = result["result"] in ("OK", "EXPECTEDFAIL"), result["result"] == "SKIP"
        tally.add(ok, not ok and not skip, skip)
        if not ok:
            print(f"{'skip' if skip else 'FAIL'} {result['name']}")
            if not skip:
                print(result.get("stdout", "")[-3000:], result.get("stderr", "")[-3000:])


def run_syscall(build, tally):
    """tests/run_syscall_tests.py under each way to run; it prints the closing line of tests/run.py's form."""
    moat = str(build / "moat")
    ways = [("host", ""), ("sentry", f"{moat} do --"), ("sentry-trap", f"{moat} do --handover trap --"),
            ("sentry-post", f"{moat} do --handover post --")]
    for name, prefix in ways:
        out = subprocess.run([sys.executable, str(TESTS / "run_syscall_tests.py"), "--build", str(build), prefix],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace").stdout
        m = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", out, re.M)
        counts = tuple(map(int, m.groups())) if m else (0, 1, 0)
        tally.add(*counts)
        print(f"syscall tests on {name}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        if counts[1]:
            print("\n".join(line for line in out.splitlines() if not line.startswith("ok "))[-6000:])


def run_guest(build, tally):
    """The scripts of tests/guest/t on Debian's kernel in QEMU."""
    done = subprocess.run([sys.executable, str(TESTS / "guest" / "run"), "--tests", "--timeout", "420"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    m = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", done.stdout, re.M)
    counts = tuple(map(int, m.groups())) if m else (0, 1, 0)
    tally.add(*counts)
    print(f"guest tests: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
    shown = done.stdout.splitlines() if counts[1] else re.findall(r"^skip .*", done.stdout, re.M)
    if shown:
        print("\n".join(shown)[-6000:])


class Result(unittest.TextTestResult):
    """Counts, and names what was skipped and why."""

    def __init__(self, *args):
        super().__init__(*args)
        self.good = 0
        self.started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.good += 1

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        name = unittest.TestCase.id(test) if isinstance(test, unittest.TestCase) else str(test)
        print(f"skip {name}: {reason}")


def run_python(folders, pattern, tally):
    for folder in folders:
        if not (TESTS / folder).is_dir():
            continue
        suite = unittest.TestLoader().discover(str(TESTS / folder), pattern="test_*.py", top_level_dir=str(TESTS / folder))
        if pattern:
            suite = unittest.TestSuite(t for t in flatten(suite) if pattern in t.id())
        runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0)
        result = runner.run(suite)
        failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        tally.add(result.good + len(result.expectedFailures), failed, len(result.skipped))
        forget(TESTS / folder)


def forget(folder):
    """Two folders may hold modules of one name: none of this one's is imported any more."""
    sys.path[:] = [p for p in sys.path if pathlib.Path(p or ".").resolve() != folder]
    for name, module in list(sys.modules.items()):
        if pathlib.Path(getattr(module, "__file__", None) or "/").parent == folder:
            del sys.modules[name]


def flatten(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from flatten(t)
        else:
            yield t


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=str(TESTS.parent / "build"))
    parser.add_argument("--only", default="", help="meson, syscall, e2e, oci, attack, engines or guest")
    parser.add_argument("--match", default="", help="Python tests whose id contains this")
    args = parser.parse_args()
    build = pathlib.Path(args.build).resolve()
    os.environ["MOAT_BUILD"] = str(build)
    tally = Tally()
    if args.only in ("", "meson"):
        run_meson(build, tally)
    if args.only in ("", "syscall"):
        run_syscall(build, tally)
    folders = [f for f in ("e2e", "oci", "attack", "engines") if args.only in ("", f)]
    run_python(folders, args.match, tally)
    if args.only in ("", "guest"):
        run_guest(build, tally)
    print(tally.line())
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
