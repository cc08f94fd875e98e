"""Every check of this repository: `nox --list` shows them, CI runs nothing else.

nox -s "tests(pm-frames)"            one package, as it ships
nox -s "tests(pm-frames)" -P 3.13    the same on another Python
nox -s faults                        the heavy fault campaigns, which CI runs cut short
nox -s trials                        chaos, kills, full disks, power cuts against a whole capture, at full size
nox -s determinism                   equal bytes under every hash seed, locale, time zone and Python
nox -s bench                         every speed claim, as a ratio within one run
nox -s peers                         the same strategy in another simulator, every difference explained
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = "CI" in os.environ
nox.options.sessions = ["lint", "layout", "imports", "vectors", "types", "tests", "smoke"]

ROOT = Path(__file__).parent
LOCK = ROOT / "tools" / "requirements" / "dev.lock"
BENCH_LOCK = LOCK.with_name("bench.lock")
NOTEBOOK_LOCK = LOCK.with_name("notebook.lock")
PACKAGES = {
    path.parent.name: nox.project.load_toml(path)["project"]
    for path in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
each_package = nox.parametrize("package", [nox.param(name, id=name) for name in PACKAGES])

# uv trusts only its own list of authorities unless told to read the system's.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")


def siblings(package: str) -> list[str]:
    """Return the packages of this repository that `package` declares."""
    declared = {re.match(r"[\w-]+", text).group() for text in PACKAGES[package]["dependencies"]}
    # Local directories named on the command line are always rebuilt by uv; those that it only finds
    # through a source table may come stale from its cache.
    return [f"../{name}" for name in sorted(declared & PACKAGES.keys())]


def install(session: nox.Session, *what: str) -> None:
    """Install with the versions of the lock and nothing that was not asked for."""
    # A package of this tree is built anew, whatever uv remembers of its folder.
    anew = (
        [f"--refresh-package={name}" for name in PACKAGES] if session.venv_backend == "uv" else []
    )
    session.install("-q", *anew, "-c", str(LOCK), *what)


@nox.session
@each_package
def tests(session: nox.Session, package: str) -> None:
    """Test one package as it ships, with what it declares and nothing else."""
    session.cd(f"packages/{package}")
    install(session, *siblings(package), ".", "--group", "test")
    session.run("pytest", "-q", *session.posargs)


@nox.session
@each_package
def smoke(session: nox.Session, package: str) -> None:
    """Import every module with runtime dependencies only."""
    session.cd(f"packages/{package}")
    install(session, *siblings(package), ".")
    session.run("python", "-I", "../../tools/import_all.py", package.replace("-", "_"))
    if package == "pm-frames":
        session.run("python", "-I", "../../tools/check_alone.py", package)
    for script in PACKAGES[package].get("scripts", {}):
        session.run(script, "--version")


@nox.session
@each_package
def types(session: nox.Session, package: str) -> None:
    """Check the types of one package and its tests."""
    session.cd(f"packages/{package}")
    install(session, *siblings(package), ".", "--group", "test", "mypy")
    session.run("mypy", "--config-file", "../../.mypy.ini", "src", "tests")


@nox.session
def imports(session: nox.Session) -> None:
    """Check the architecture on the source tree; only the linter is installed."""
    install(session, "import-linter")
    sources = os.pathsep.join(str(ROOT / "packages" / name / "src") for name in PACKAGES)
    session.run("lint-imports", "--no-logo", "--no-cache", env={"PYTHONPATH": sources})


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and check the format."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(venv_backend="none")
def layout(session: nox.Session) -> None:
    """Check the shape of every package and of the top level."""
    session.run(sys.executable, "tools/check_layout.py", external=True)


@nox.session(venv_backend="none")
def vectors(session: nox.Session) -> None:
    """Check that the committed vectors and fixtures are what their generators write."""
    session.run(sys.executable, "tools/make_frame_vectors.py", "--check", external=True)
    session.run(sys.executable, "tools/make_fixtures.py", "--check", external=True)
    session.run(sys.executable, "tools/make_event_vectors.py", "--check", external=True)


def everything(session: nox.Session) -> None:
    install(
        session,
        *(f"packages/{name}" for name in PACKAGES),
        "--group",
        "packages/pm-frames/pyproject.toml:test",
    )


@nox.session
def e2e(session: nox.Session) -> None:
    """What several packages do together, with real processes and sockets."""
    everything(session)
    install(session, "picows", "pyarrow")
    session.run("pytest", "-q", "-c", "tools/pytest.ini", "tools/e2e", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """The fault campaigns at full size: every byte, every bit, many kills."""
    everything(session)
    session.run(
        "pytest", "-q", "-s", "-c", "tools/pytest.ini",
        "packages/pm-frames/tests", "packages/pm-verify/tests",
        "packages/pm-replay/tests/test_compiled_engine.py",
        "packages/pm-sim/tests/test_tops_run.py", *session.posargs,
        "--hypothesis-profile=default", env={"PM_TEST_CAMPAIGN": "full"},
    )  # fmt: skip


@nox.session
def trials(session: nox.Session) -> None:
    """Chaos, kills, signals, losses, full disks, power cuts; a variable that is set is not changed."""
    everything(session)
    full = {
        "PM_TEST_CHAOS_SECONDS": "600",
        "PM_TEST_KILLS": "2000",
        "PM_TEST_SIGNALS": "500",
        "PM_TEST_LOSSES": "20",
        "PM_TEST_DISKS": "all",
        "PM_TEST_CUTS": "200",
    }
    names = ("chaos", "kill", "signals", "load", "full_disk", "power_cut")
    session.run(
        "pytest", "-q", "-s", "-c", "tools/pytest.ini",
        *(f"tools/e2e/test_{name}.py" for name in names), *session.posargs,
        env={name: os.environ.get(name, value) for name, value in full.items()},
    )  # fmt: skip


@nox.session(python=["3.11", "3.12", "3.13"])
def determinism(session: nox.Session) -> None:
    """Replay and simulate a generated bundle, or RUN, under every hash seed, locale, time zone and read size.

    Each Python compares with the same committed digests. One that is not installed fails in CI only.
    """
    install(session, "packages/pm-frames", "packages/pm-replay", "packages/pm-sim")
    session.run("python", "tools/determinism.py", *session.posargs)


def runs(program: str) -> bool:
    """Return whether an interpreter is there and starts; one that pyenv only lists does not."""
    try:
        return subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@nox.session(python="3.12" if runs("python3.12") else None)
def bench(session: nox.Session) -> None:
    """Every speed claim of the documentation, each as a ratio against its peer in the same run.

    A bench that misses a goal ends with 1; the others still run. Two peers need Python 3.12, which is taken
    where it is there.
    """
    everything(session)
    install(session, "isal", "numba", "numpy", "picows")
    session.install("-q", "--require-hashes", "--only-binary", ":all:", "-r", str(BENCH_LOCK))
    missed = []
    for script in sorted(Path("tools/bench").glob("bench_*.py")):
        try:
            session.run("python", str(script), *session.posargs)
        except CommandFailed:
            missed.append(script.name)
    if missed:
        session.error(f"goals were missed: {', '.join(missed)}")


@nox.session
def peers(session: nox.Session) -> None:
    """The same strategy in another simulator, on real books: every difference in fills explained."""
    everything(session)
    session.install("-q", "--require-hashes", "--only-binary", ":all:", "-r", str(BENCH_LOCK))
    session.run("python", "tools/compare_resolvedkit.py", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """The three lines of pm-frames' README with real pandas and polars."""
    session.install("-q", "--require-hashes", "--only-binary", ":all:", "-r", str(NOTEBOOK_LOCK))
    install(session, "packages/pm-frames")
    session.run("python", "tools/check_notebook.py")
