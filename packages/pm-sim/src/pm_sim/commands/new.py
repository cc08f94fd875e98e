"""pm-sim new: write a commented start of a strategy."""

import argparse
import keyword
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from pm_frames.command import ExitCode, UsageError
from pm_frames.errors import WriteFailed
from pm_sim import __all__ as public_names

EPILOG = """\
The class has the name of the file, or is Mine where that cannot be. It runs as it is, and it passes `pm-sim lint`.

  pm-sim new mine.py
  pm-sim @last --strategy ./mine.py --param edge=0.02

exit codes: 0 written; 2 usage, or the file exists; 5 it cannot be written.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="pm-sim new",
        description="Write a commented start of a strategy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where; it ends in .py")
    parser.add_argument("--force", action="store_true", help="write over a file that exists")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write the file, and say what can be done with it. Raises UsageError, WriteFailed."""
    options = make_parser().parse_args(arguments)
    path: Path = options.file
    if path.suffix != ".py":
        raise UsageError(
            "a strategy is a Python file", path=path, expected="a name that ends in .py"
        )
    text = files("pm_sim").joinpath("strategies", "start.py").read_text(encoding="utf-8")
    try:
        with open(path, "w" if options.force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text.replace("class Start(", f"class {class_name(path.stem)}("))
    except FileExistsError:
        raise UsageError("exists; --force writes over it", path=path) from None
    except OSError as error:
        raise WriteFailed(f"cannot be written: {error.strerror}", path=path) from error
    print(
        f"written: {path}\n  pm-sim lint {path}\n  pm-sim @last --strategy {path} --print-pnl",
        file=sys.stderr,
    )
    return ExitCode.OK


def class_name(stem: str) -> str:
    """Return what the class of a file is called: `my_edge` gives MyEdge, what cannot be a name gives Mine.

    Nor can what the file imports: `buy.py` with a class Buy could not buy any more.
    """
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", stem))
    is_taken = keyword.iskeyword(name) or name in {*public_names, "Generator"}
    return name if name.isidentifier() and not is_taken else "Mine"
