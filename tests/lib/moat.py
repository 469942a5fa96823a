# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: where moat and the root file system are, and running things."""
import atexit
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("MOAT_BUILD", REPO / "build"))


def programs():
    """The build's programs under a name of this test run's own (hard links): what runs from there is this run's, whoever else tests
    the same build at the same time.  An ordinary user's tests take the build's own."""
    if not os.access(BUILD, os.W_OK):
        return BUILD
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"test-run-{os.getpid()}-", dir=BUILD))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    for program in BUILD.glob("moat*"):
        if program.is_file():
            os.link(program, folder / program.name)
    return folder


def folder(name):
    """A new temporary folder whose name tells which test run it belongs to."""
    return tempfile.mkdtemp(prefix=f"moat-{name}-{os.getpid()}-")


PROGRAMS = programs()
MOAT = str(PROGRAMS / "moat")
# Kept outside the build folder, so that a fresh build does not make it anew.
CACHE = pathlib.Path(os.environ.get("MOAT_CACHE", pathlib.Path.home() / ".cache" / "moat"))
TIMEOUT = int(os.environ.get("MOAT_TEST_TIMEOUT", "120"))


@functools.cache
def rootfs(kind="full"):
    """A Debian root file system (tools/make-rootfs.sh), made on first use."""
    path = CACHE / f"rootfs-{kind}"
    subprocess.run([REPO / "tools/make-rootfs.sh", kind, path], check=True)
    return str(path)


def run(args, **kw):
    """Runs `moat ARGS`; a CompletedProcess with text output.  Output goes through pipes."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("timeout", TIMEOUT)
    return subprocess.run([MOAT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", **kw)


def do(*cmd, options=(), **kw):
    """`moat do --rootfs ... OPTIONS -- CMD`."""
    return run(["do", "--rootfs", rootfs(), *options, "--", *cmd], **kw)


def left_behind():
    """Processes of this test run's moat that exist now, and mounts below its folders, as a comparable set."""
    found = set()
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                exe = os.readlink(p / "exe")
            except OSError:
                continue
            if exe.removesuffix(" (deleted)") in (MOAT, MOAT + "-sentry", MOAT + "-gofer"):
                found.add(f"process {p.name} {exe}")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        name = line.split(" - ")[0]
        runs = re.findall(r"/(?:moat-\w+|test-run)-(\d+)-", name)  # of folder() and programs(), of whichever run
        if "moat" in name and (not runs or str(os.getpid()) in runs):
            found.add("mount " + line)
    return found
