#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the system-call test programs, each behind a prefix command, and ends with `N passed, N failed, N skipped`.

    tests/run_syscall_tests.py [--build DIR] [--only NAME,...] [--user UID:GID] [--verbose] [PREFIX]

PREFIX is split like a shell would: "" runs on the host's own kernel, "build/moat do --" in the sandbox.
A program that ends badly or prints nothing is one failure.
"""
import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINE = re.compile(r"^(ok|FAIL|skip) (\w+)(?:: (.*))?$")
TIMEOUT = 180


def programs(build, only):
    folder = build / "tests" / "syscall"
    found = sorted(p for p in folder.glob("*") if p.is_file() and os.access(p, os.X_OK))
    return [p for p in found if not only or p.name in only]


def run_as(spec):
    """What a child does to become an ordinary user: only for the empty prefix, run by root."""
    uid, gid = (int(x) for x in spec.split(":"))

    def become():
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    return become


def run_one(prefix, program, become):
    """(ok, failed, skipped) lists of texts."""
    lists = {"ok": [], "FAIL": [], "skip": []}
    try:
        done = subprocess.run(prefix + [str(program)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT, text=True, errors="replace", cwd="/",
                              preexec_fn=become)
        output, ended = done.stdout, done.returncode
    except subprocess.TimeoutExpired as e:
        output, ended = (e.stdout or b"").decode(errors="replace"), None
    other = []
    for line in output.splitlines():
        m = LINE.match(line)
        if m:
            lists[m.group(1)].append(line.partition(" ")[2])
        elif line:
            other.append(line)
    if ended is None:
        lists["FAIL"].append(f"(program): not done after {TIMEOUT} s")
    elif ended not in (0, 1) or (ended == 1 and not lists["FAIL"]):
        lists["FAIL"].append(f"(program): exit status {ended}")
    elif not any(lists.values()):
        lists["FAIL"].append("(program): printed no result")
    return lists, other


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--only", default="")
    parser.add_argument("--user", default="", help="UID:GID to run as (no prefix, run by root)")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("prefix", nargs="?", default="")
    args = parser.parse_args()
    become = run_as(args.user) if args.user else None
    prefix = shlex.split(args.prefix)
    if prefix and "/" in prefix[0]:
        prefix[0] = str(pathlib.Path(prefix[0]).resolve())
    total = {"ok": 0, "FAIL": 0, "skip": 0}
    found = programs(args.build.resolve(), set(filter(None, args.only.split(","))))
    for program in found:
        lists, other = run_one(prefix, program, become)
        for kind, texts in lists.items():
            total[kind] += len(texts)
            for text in texts:
                if kind != "ok" or args.verbose:
                    print(f"{kind} {program.name}/{text}")
        if lists["FAIL"]:
            for line in other[-10:]:
                print(f"  | {line}")
        sys.stdout.flush()
    if not found:
        print(f"FAIL no test programs in {args.build}/tests/syscall")
        total["FAIL"] += 1
    print(f"{total['ok']} passed, {total['FAIL']} failed, {total['skip']} skipped")
    return 1 if total["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
