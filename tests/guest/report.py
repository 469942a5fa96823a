# SPDX-License-Identifier: Apache-2.0
"""For scripts of t/ that are unittest modules: one line `ok NAME`, `FAIL NAME: why` or `skip NAME: why` a test, as inside.py
counts them, and tracebacks of what failed."""
import sys
import unittest


class Lines(unittest.TextTestResult):
    def addSuccess(self, test):
        print("ok", test.id())

    def addSkip(self, test, reason):
        print(f"skip {test.id()}: {reason}")

    def _failed(self, test, err):
        print(f"FAIL {test.id()}: {err[0].__name__}")
        print(self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)


def main(skip=None):
    """Runs the calling script's tests; with `skip`, a reason, none of them."""
    if skip:
        print(skip)
        sys.exit(77)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = Lines(unittest.runner._WritelnDecorator(sys.stderr), False, 0)
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
