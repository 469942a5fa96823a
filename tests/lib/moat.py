# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: where moat and the root file system are, and running things."""
import functools
import os
import pathlib
import subprocess

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("MOAT_BUILD", REPO / "build"))
MOAT = str(BUILD / "moat")
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
    """Processes and mounts of this moat that exist now, as a comparable set."""
    found = set()
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                exe = os.readlink(p / "exe")
            except OSError:
                continue
            # Of this build alone: others may be under test on the same machine.
            if exe.removesuffix(" (deleted)") in (MOAT, MOAT + "-sentry", MOAT + "-gofer"):
                found.add(f"process {p.name} {exe}")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if "moat" in line.split(" - ")[0]:
            found.add("mount " + line)
    return found
