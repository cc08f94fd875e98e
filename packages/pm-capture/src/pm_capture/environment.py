"""Facts about the machine and the software of a run, for its manifest."""

import contextlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

PACKAGES = ("pm-capture", "pm-frames", "websockets", "msgspec", "uvloop", "picows")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine(event_loop: str, transport: str) -> dict[str, str]:
    """Return the `environment` of a manifest."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "machine": platform.machine(),
        "event_loop": event_loop,
        "transport": transport,
    }


def versions() -> dict[str, str]:
    """Return the installed version of every package that a capture runs on."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def boot_id() -> str | None:
    """Return what names this boot of the machine, without which monotonic stamps mean nothing; Linux only."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None


def git_commit(source: Path) -> str:
    """Return the commit that `source` was run from, or `unknown`."""
    # An installed copy may lie inside somebody else's repository, whose commit would say nothing.
    if "site-packages" in source.parts:
        return "unknown"
    try:
        done = subprocess.run(
            ["git", "-C", str(source.parent), "rev-parse", "HEAD"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
