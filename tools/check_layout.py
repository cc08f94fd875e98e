"""Check that the repository and every package have the house shape. Run by `nox -s layout`."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOP_LEVEL = {"noxfile.py", "packages", "tools", "testdata", "docs", "README.md"}
HIDDEN = {".ci", ".github"}
SHARED = {"pm-frames"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}
# Tests of behaviour that belongs to a package rather than to one of its modules.
PACKAGE_TESTS = {"cli", "exports", "faults", "readme", "vectors"}
LINES_MAX = 500
# Compiled code that is kept is made anew when its own file has changed, not one that it imports.
IN_ONE_FILE = {"compiled_books.py"}


def top_level_problems(root: Path) -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {line.split("/")[0] for line in listed}
    for name in sorted(found - TOP_LEVEL):
        if not name.startswith("."):
            yield f"{name} does not belong at the top level"
    for name in sorted((TOP_LEVEL | HIDDEN) - found):
        yield f"{name} is missing at the top level"
    for line in listed:
        if line.endswith(("uv.lock", ".pyc")):
            yield f"{line} must not be tracked"


def metadata_problems(package: Path, siblings: set[str]) -> Iterator[str]:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if project["name"] != package.name:
        yield f"project.name is {project['name']!r}"
    declared = {
        match[0] for text in project["dependencies"] if (match := re.match(r"[\w-]+", text))
    }
    for sibling in sorted((declared & siblings) - SHARED):
        yield f"depends on sibling {sibling}"
    if package.name in SHARED and declared:
        yield f"must need the standard library only, but declares {sorted(declared)}"
    readme = (package / "README.md").read_text(encoding="utf-8")
    if project["description"] not in readme[:600]:
        yield "README.md does not open with the description of pyproject.toml"


def source_problems(package: Path) -> Iterator[str]:
    module = package / "src" / package.name.replace("-", "_")
    for required in (module / "py.typed", module / "__init__.py"):
        if not required.is_file():
            yield f"{required.relative_to(package)} is missing"
    sources = [path for path in module.rglob("*.py") if path.stem[:2] != "__"]
    for path in [*sources, *package.glob("tests/**/*.py")]:
        if path.stem in VAGUE:
            yield f"{path.relative_to(package)}: name the thing it does"
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LINES_MAX and path.name not in IN_ONE_FILE:
            yield f"{path.relative_to(package)}: {lines} lines, more than {LINES_MAX}"
    tests = {path.stem.removeprefix("test_") for path in package.glob("tests/test_*.py")}
    known = {path.stem for path in sources} | PACKAGE_TESTS
    for orphan in sorted(
        name for name in tests if not any(name.startswith(stem) for stem in known)
    ):
        yield f"tests/test_{orphan}.py tests no module of that name"


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    packages = sorted(path.parent for path in root.glob("packages/*/pyproject.toml"))
    siblings = {package.name for package in packages}
    problems = list(top_level_problems(root))
    for package in packages:
        found = [*metadata_problems(package, siblings), *source_problems(package)]
        problems += [f"packages/{package.name}: {problem}" for problem in found]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 3 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
