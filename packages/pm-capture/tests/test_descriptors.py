"""Standard descriptors that were closed before the program began."""

import subprocess
import sys

import pytest

SCRIPT = """
import os
from pm_capture.descriptors import hold_standard_descriptors
hold_standard_descriptors()
for descriptor in range(3):
    os.fstat(descriptor)
assert os.open(os.devnull, os.O_RDONLY) > 2
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX descriptors")
@pytest.mark.parametrize("closing", ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_nothing_else_gets_their_numbers(closing: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", SCRIPT], check=False
    )
    assert done.returncode == 0
