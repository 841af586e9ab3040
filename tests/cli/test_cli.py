#!/usr/bin/python3
"""Black-box tests of the norma command line tool, all of them; arguments are unittest's.

NORMA_TOOL names the binary. What it computes is compared with NumPy in float64; what it refuses must leave one line
on standard error, exit status 2 and no file behind.
"""

import os
import sys
import unittest

if __name__ == "__main__":
    if "NORMA_TOOL" not in os.environ:
        sys.exit("NORMA_TOOL must name the norma binary")
    sys.dont_write_bytecode = True  # the source tree stays clean
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from test_backward import *
    from test_command_line import *
    from test_files import *
    from test_fold import *
    from test_fusion import *
    from test_ops import *
    from test_weights import *

    unittest.main()
