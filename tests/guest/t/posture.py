# SPDX-License-Identifier: Apache-2.0
# The sandbox's processes hold and may do no more on this kernel than on the host's: the posture test as it is.
# timeout: 60
import os
import sys
import unittest

sys.path.insert(0, os.environ["MOAT_REPO"] + "/tests/attack")
unittest.main(module="test_posture")
