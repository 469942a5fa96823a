# SPDX-License-Identifier: Apache-2.0
"""Real programs: each script of programs/ prints the same under the sentry as under the host's kernel, as root and as an
ordinary user inside."""
import pathlib
import unittest

import moat

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"


def execute(script, isolation, user, extra=()):
    return moat.do("bash", f"/scripts/{script.name}", timeout=300,
                   options=["--isolation", isolation, "--user", user, "--cwd", "/tmp", "--volume", f"{PROGRAMS}:/scripts:ro",
                            "--env", "LC_ALL=C.UTF-8", "--env", "HOME=/tmp", *extra])


class Programs(unittest.TestCase):
    maxDiff = 4000
    native = {}

    def check(self, script, user, extra=()):
        if "# needs: root" in script.read_text() and user != "0:0":
            self.skipTest("needs root inside")
        key = (script.name, user)
        if key not in self.native:
            self.native[key] = execute(script, "native", user)
        want, got = self.native[key], execute(script, "sentry", user, extra)
        self.assertEqual(got.stdout, want.stdout, got.stderr[-2000:])
        self.assertEqual(got.returncode, want.returncode, got.stderr[-2000:])
        self.assertEqual(got.stderr, want.stderr)


def add(script, user, name, extra=()):
    setattr(Programs, f"test_{script.stem}_{name}", lambda self: self.check(script, user, extra))


for path in sorted(PROGRAMS.glob("*.sh")):
    add(path, "0:0", "root")
    add(path, "1000:1000", "user")
    add(path, "0:0", "posted", ("--handover", "post"))
for path in sorted(PROGRAMS.glob("bash.sh")) + sorted(PROGRAMS.glob("python.sh")):
    add(path, "0:0", "trap_handover", ("--handover", "trap"))

if __name__ == "__main__":
    unittest.main()
