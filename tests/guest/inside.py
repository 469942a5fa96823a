#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the scripts of tests/guest/t (all, or those named) and ends with `N passed, N failed, N skipped`; README.md says what
a script is.  Called inside the guest by `tests/guest/run --tests`."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
LINE = re.compile(r"^(ok|FAIL|skip) (\S.*)$")
HEAD = re.compile(r"^# (as|timeout): (.+)$", re.M)
USER = ["setpriv", "--reuid", "1000", "--regid", "1000", "--init-groups", "--"]
SKIP = 77


def environment(user):
    repo, build, cache = (os.environ[n] for n in ("MOAT_REPO", "MOAT_BUILD", "MOAT_CACHE"))
    mine = {"MOAT": f"{build}/moat", "ROOTFS": f"{cache}/rootfs-small", "PYTHONPATH": f"{repo}/tests/lib", "MOAT_IN_GUEST": "1",
            "HOME": "/home/user" if user else "/root", "USER": "user" if user else "root"}
    if user:
        mine["XDG_RUNTIME_DIR"] = "/run/user/1000"
    return {**os.environ, **mine}


def enter_cgroup():
    """An ordinary user's test starts in the cgroup that is delegated to it."""
    pathlib.Path("/sys/fs/cgroup/user.slice/user-1000.slice/tests/cgroup.procs").write_text(str(os.getpid()))


def run_script(path, user, timeout):
    """(exit status or None, output).  Runs to the end or for timeout seconds; what is left of its session is killed."""
    command = (USER if user else []) + ([sys.executable] if path.suffix == ".py" else ["sh"]) + [str(path)]
    with open("/run/output", "w+b") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   cwd=os.environ["MOAT_REPO"], env=environment(user), start_new_session=True,
                                   preexec_fn=enter_cgroup if user else None)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace")


def judge(name, status, output, timeout):
    """Lists of the results' texts, by kind."""
    found = {"ok": [], "FAIL": [], "skip": []}
    for line in output.splitlines():
        m = LINE.match(line)
        if m:
            found[m.group(1)].append(f"{name}/{m.group(2)}")
    last = (output.strip().splitlines() or [""])[-1]
    if status is None:
        found["FAIL"].append(f"{name}: not done after {timeout} s")
    elif status == SKIP:
        found["skip"].append(f"{name}: {last}")
    elif status != 0 and not found["FAIL"]:
        found["FAIL"].append(f"{name}: exit status {status}")
    elif status == 0 and not any(found.values()):
        found["ok"].append(name)
    return found


def main():
    wanted = sys.argv[1:]
    total = {"ok": 0, "FAIL": 0, "skip": 0}
    scripts = sorted(p for p in (HERE / "t").iterdir() if p.suffix in (".sh", ".py") and (not wanted or p.stem in wanted))
    for path in scripts:
        head = dict(HEAD.findall(path.read_text()))
        timeout = float(head.get("timeout", 30))
        for user in head.get("as", "root").split():
            name, start = f"{path.stem} as {user}", time.monotonic()
            status, output = run_script(path, user == "user", timeout)
            found = judge(name, status, output, timeout)
            for kind, texts in found.items():
                total[kind] += len(texts)
                for text in texts:
                    if kind != "ok":
                        print(kind, text)
            print(f"{'FAIL' if found['FAIL'] else 'done'} {name}: {len(found['ok'])} ok ({time.monotonic() - start:.1f} s)")
            if found["FAIL"]:
                print("\n".join("  | " + line for line in output.splitlines()[-60:] if not line.startswith("ok ")))
            sys.stdout.flush()
    if len(scripts) < len(wanted) or not scripts:
        print(f"FAIL no such script among {', '.join(wanted)}")
        total["FAIL"] += 1
    print(f"{total['ok']} passed, {total['FAIL']} failed, {total['skip']} skipped")
    return 1 if total["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
