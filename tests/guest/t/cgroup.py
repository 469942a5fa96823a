# SPDX-License-Identifier: Apache-2.0
# The tests of control groups under the OCI commands, on unified cgroup v2.
# timeout: 120
import os
import sys
import unittest

sys.path.insert(0, "tests/oci")
import test_cgroup  # noqa: E402

# Those that depend on the layout most: programs are slow here.
NAMES = ["test_update", "test_pause_and_resume", "test_paused_and_deleted", "test_stats", "test_out_of_memory", "test_pids_limit_holds"]


def main():
    suite = unittest.TestSuite()
    for name, case in sorted(vars(test_cgroup).items()):
        if name.startswith("Groups_"):
            suite.addTests(case(n) for n in NAMES)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = {t.id() for t, _ in result.failures + result.errors}
    for t in bad:
        print("FAIL", t)
    print("ok", result.testsRun - len(bad))
    return 1 if bad else 0


sys.exit(main())
