# SPDX-License-Identifier: Apache-2.0
"""The suites of the OCI commands, hooks and fields with isolation vm: those that need few machines, and say something new."""
import unittest

import test_commands
import test_fields
import test_hooks
import vm
from bundle import BundleTest

setUpModule, tearDownModule = vm.set_up, vm.tear_down


class VmTest(BundleTest):
    isolation = "vm"
    timeout = vm.TIMEOUT

    def moat(self, *args, **kw):
        kw.setdefault("timeout", vm.TIMEOUT)
        return super().moat(*args, **kw)


class Commands(test_commands.Commands, VmTest):
    chosen = ("life", "status_that_run_keeps", "program_missing", "run_streams_and_status", "run_on_a_terminal", "pidfd_socket",
              "exec_takes_after_the_container", "exec_privileges", "exec_streams_and_signals", "exec_failures", "exec_console_socket")


class Hooks(test_hooks.Hooks, VmTest):
    chosen = ("order_and_state", "all_six_stages")


class Fields(test_fields.Fields, VmTest):
    chosen = ("capabilities", "rlimits", "bind_options", "masked_and_readonly_paths")


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(case("test_" + name) for case in (Commands, Hooks, Fields) for name in case.chosen)


if __name__ == "__main__":
    unittest.main()
