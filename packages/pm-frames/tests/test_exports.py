"""What `import pm_frames` offers, and what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pm_frames


def test_names() -> None:
    assert sorted(pm_frames.__all__) == pm_frames.__all__
    assert len(pm_frames.__all__) <= 14
    for name in pm_frames.__all__:
        assert getattr(pm_frames, name).__doc__, name


def test_numpy_is_not_imported_before_it_is_asked_for() -> None:
    code = "import sys, pm_frames; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_but_the_standard_library_is_needed() -> None:
    code = (
        "import sys\n"
        "for name in ('numpy', 'isal', 'zlib_ng'): sys.modules[name] = None\n"
        "import pm_frames\n"
        "from pm_frames.checksum import IMPLEMENTATION\n"
        "sys.exit(IMPLEMENTATION != 'zlib')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
