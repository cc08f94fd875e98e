"""Run this repository on a machine that has Python and nothing else.

python3 tools/dev.py demo       a loopback venue, a capture of it, and every tool on what it leaves
python3 tools/dev.py test       every test
python3 tools/dev.py install    put the commands on a path, which it prints
python3 tools/dev.py nox ...    the full checks, as CI runs them
python3 tools/dev.py lock       compile tools/requirements/*.lock anew
python3 tools/dev.py run ...    any command inside the environment

The first run makes `.venv` from hash-pinned requirements; later runs find it ready.
Standard library only.
"""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = BIN / ("uv.exe" if os.name == "nt" else "uv")
LOCK = ROOT / "tools" / "requirements" / "dev.lock"
STAMP = VENV / "ready.sha256"
OLDEST = (3, 11)


def say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> "SystemExit":
    say(text)
    return SystemExit(2)


def environment() -> dict[str, str]:
    """The caller's environment without what would change how the tools behave."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PM_", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"))
    }
    # uv trusts its own list of authorities unless told otherwise; behind a company's proxy only the
    # system's list is right, and pip reads that one too.
    kept.setdefault("UV_SYSTEM_CERTS", "1")
    kept["UV_NO_PROGRESS"] = "1"
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    kept["PATH"] = f"{BIN}{os.pathsep}{kept.get('PATH', os.defpath)}"
    kept["VIRTUAL_ENV"] = str(VENV)
    return kept


def packages() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "packages").glob("*/pyproject.toml"))


def fingerprint() -> str:
    """What the environment was made from; another value means: make it anew."""
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}\n".encode())
    for path in [Path(__file__), LOCK, *(package / "pyproject.toml" for package in packages())]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def call(*command: "str | Path") -> None:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment(), check=False)
    if done.returncode:
        words = " ".join(str(word) for word in command[:6])
        raise fail(f"`{words} …` ended with exit code {done.returncode}; see its message above")


def newer_python() -> "str | None":
    """A Python on the path that is new enough, when this one is not."""
    for minor in range(14, OLDEST[1] - 1, -1):
        name = f"python3.{minor}"
        try:
            done = subprocess.run([name, "-c", ""], capture_output=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return name
    return None


def make_venv() -> list["str | Path"]:
    """Make the virtual environment and return the pip command that installs into it."""
    import shutil
    import venv

    if VENV.exists():
        shutil.rmtree(VENV)
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        # Debian without python3-venv: a pip from outside can install into an environment.
        venv.create(VENV, with_pip=False, symlinks=os.name != "nt")
        outer: list[str | Path] = [sys.executable, "-m", "pip"]
        done = subprocess.run([*map(str, outer), "--version"], capture_output=True, check=False)
        if done.returncode:
            raise fail(
                "this Python has neither ensurepip nor pip; install one of them "
                "(Debian, Ubuntu: apt install python3-venv)"
            ) from None
        return [*outer, "--python", PYTHON]
    venv.create(VENV, with_pip=True, symlinks=os.name != "nt")
    return [PYTHON, "-m", "pip"]


def uv_requirement() -> str:
    """The lines of the lock that pin uv, hashes included."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("uv=="))
    block = [lines[start]]
    for line in lines[start + 1 :]:
        if not line.strip().startswith("--hash"):
            break
        block.append(line)
    return "\n".join(block).rstrip(" \\") + "\n"


def prepare() -> None:
    """Make `.venv` ready: locked requirements, then the packages of this repository, editable."""
    stamp = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == stamp:
        return
    say(f"making {VENV} with Python {sys.version.split()[0]} (only the first time)")
    pip = make_venv()
    pinned = VENV / "uv.lock.txt"
    pinned.write_text(uv_requirement(), encoding="utf-8")
    with_uv = subprocess.run(
        [
            *map(str, pip),
            "install",
            "-q",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "-r",
            str(pinned),
        ],
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    if with_uv.returncode == 0:
        pip = [UV, "pip"]
    else:
        say("uv could not be installed; going on with pip, which is slower")
    flags = ["-q", "--require-hashes", "--only-binary", ":all:"]
    call(*pip, "install", *flags, "-r", LOCK)
    editable = [word for package in packages() for word in ("-e", str(package))]
    call(*pip, "install", "-q", "--no-deps", "--no-build-isolation", *editable)
    STAMP.write_text(stamp)
    say("ready")


def run(*command: str) -> int:
    try:
        return subprocess.run(list(command), cwd=ROOT, env=environment(), check=False).returncode
    except FileNotFoundError:
        say(f"no command {command[0]!r} in {BIN}")
        return 2
    except KeyboardInterrupt:
        return 130


def test(arguments: list[str]) -> int:
    """Each package's tests where they live, then what several packages do together."""
    targets = [str(path / "tests") for path in packages()] + [str(ROOT / "tools" / "e2e")]
    return run(
        str(PYTHON), "-m", "pytest", "-c", str(ROOT / "tools" / "pytest.ini"), *targets, *arguments
    )


def declared() -> list[str]:
    """What the packages declare, for running and for testing, without one another."""
    import tomllib

    found: set[str] = set()
    for package in packages():
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
        found.update(project["project"]["dependencies"])
        found.update(project.get("dependency-groups", {}).get("test", []))
    siblings = {package.name for package in packages()}
    return sorted(requirement for requirement in found if requirement not in siblings)


def lock() -> int:
    folder = ROOT / "tools" / "requirements"
    for source in sorted(folder.glob("*.in")):
        wanted = VENV / source.name
        extra = declared() if source.stem == "dev" else []
        wanted.write_text(
            "\n".join([source.read_text(encoding="utf-8"), *extra, ""]), encoding="utf-8"
        )
        call(
            UV, "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-header", "--no-annotate", "--quiet", "-o", source.with_suffix(".lock"), wanted,
        )  # fmt: skip
    return 0


def install() -> int:
    scripts = sorted(path.name for path in BIN.glob("pm-*"))
    print(BIN)
    say(f"{', '.join(scripts)} are in the folder above; put it on your PATH:")
    say(
        f'  export PATH="{BIN}:$PATH"' if os.name != "nt" else f'  $env:Path = "{BIN};" + $env:Path'
    )
    return 0


def main(arguments: list[str]) -> int:
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if verb not in {"demo", "test", "install", "nox", "lock", "run"}:
        print(__doc__.strip())
        return 0 if verb in {"help", "-h", "--help"} else 2
    if sys.version_info[:2] < OLDEST:
        found = newer_python()
        if found is None:
            raise fail(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
        say(f"this Python is {sys.version.split()[0]}; going on with {found}")
        return subprocess.run([found, __file__, *arguments], check=False).returncode
    # A shell starts background jobs with SIGINT ignored, and children inherit that; Ctrl-C is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare()
    if verb == "demo":
        return run(str(PYTHON), str(ROOT / "tools" / "demo.py"), *rest)
    if verb == "test":
        return test(rest)
    if verb == "nox":
        return run(str(PYTHON), "-m", "nox", *rest)
    if verb == "run":
        return run(*rest) if rest else 2
    return lock() if verb == "lock" else install()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
