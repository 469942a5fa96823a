# SPDX-License-Identifier: Apache-2.0
"""What the tests of isolation vm share: whether machines can run here, and a guest image of this build."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import moat

KERNEL = moat.CACHE / "kernel"
# An emulated machine takes two seconds of processor time to start, many more while others compile.
TIMEOUT = 180
USERS = 0x4d000000  # the first of the user ids that machines run as


def needs():
    """For setUpModule: skips where no machine can run, and has a kernel for the image."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("isolation vm needs root")
    for program in ("/usr/bin/qemu-system-x86_64", "/usr/lib/qemu/virtiofsd"):
        if not os.path.exists(program):
            raise unittest.SkipTest(f"{program} is not installed")
    got = subprocess.run([moat.REPO / "tools/fetch-kernel.sh", KERNEL], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if got.returncode:
        raise unittest.SkipTest("no kernel: " + got.stdout.strip())


def set_up():
    """For setUpModule: makes an image and names it in MOAT_GUEST."""
    needs()
    os.environ["MOAT_GUEST"] = moat.folder("images")
    built = moat.run(["guest", "--kernel", str(KERNEL / "vmlinuz"), "--modules", str(modules()), "build"])
    assert built.returncode == 0, built.stderr


def tear_down():
    shutil.rmtree(os.environ.pop("MOAT_GUEST"))


def modules():
    return next((KERNEL / "lib/modules").iterdir())


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {k: v.strip() for k, v in (line.split(":", 1) for line in text.splitlines() if ":" in line)}


def tree():
    """Parents of the processes that run now."""
    above = {}
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                s = status(p.name)
            except OSError:
                continue
            if s["State"][0] != "Z":
                above[int(p.name)] = int(s["PPid"])
    return above


def below(parent, above=None):
    """The processes below `parent`."""
    above = above or tree()

    def is_below(pid):
        while pid and pid != parent:
            pid = above.get(pid, 0)
        return pid == parent
    return {p for p in above if p != parent and is_below(p)}


def processes(parent=None):
    """Hypervisors and bridges that run now, as a set of process ids; below `parent` if given."""
    found, above = set(), tree()
    for p in above:
        try:
            if int(status(p)["Uid"].split()[0]) >= USERS:
                found.add(p)
        except OSError:
            continue
    return found if parent is None else found & below(parent, above)


def wait_gone(test, which):
    """None of these processes is left; who kills a machine does not wait for its end."""
    end = time.monotonic() + TIMEOUT
    while processes() & which and time.monotonic() < end:
        time.sleep(0.02)
    test.assertEqual(processes() & which, set())


def with_conf(conf, *command, **kw):
    """Runs a command that finds the text `conf` as /etc/moat/moat.conf."""
    with tempfile.TemporaryDirectory(prefix="moat-conf-") as d:
        for sub in ("upper/moat", "work"):
            (pathlib.Path(d) / sub).mkdir(parents=True)
        pathlib.Path(d, "upper/moat/moat.conf").write_text(conf)
        script = f"mount -t overlay -o lowerdir=/etc,upperdir={d}/upper,workdir={d}/work none /etc || exit 77; exec \"$@\""
        r = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *command], stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
        if r.returncode == 77:
            raise unittest.SkipTest("no overlay over /etc can be mounted here: " + r.stderr)
        return r
