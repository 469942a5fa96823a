# SPDX-License-Identifier: Apache-2.0
# Checkpoint and restore on a kernel that Debian's CRIU works on: tests/oci/test_checkpoint.py as it is.
# timeout: 270
import os
import sys
import unittest

sys.path.insert(0, os.environ["MOAT_REPO"] + "/tests/oci")
import test_checkpoint  # noqa: E402


class Lines(unittest.TestResult):
    """One line a result, as tests/guest/README.md says."""

    def addSuccess(self, test):
        print("ok", test.id().split(".")[-1], flush=True)

    def addSkip(self, test, reason):
        print(f"skip {test.id().split('.')[-1]}: {reason}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"{self.failures[-1][1]}\nFAIL {test.id().split('.')[-1]}: {str(err[1]).splitlines()[0]}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"{self.errors[-1][1]}\nFAIL {test.id().split('.')[-1]}: {err[1]!r}", flush=True)


result = Lines()
unittest.defaultTestLoader.loadTestsFromModule(test_checkpoint).run(result)
sys.exit(not result.wasSuccessful())
