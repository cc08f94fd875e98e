"""What leaves the program: all of it, in UTF-8."""

import sys


def print_all(text: str) -> None:
    """Write `text` to stdout, whole."""
    # Questions hold letters that the code page of a Windows console does not have.
    # A path that is not UTF-8 stands in a report as JSON writes such letters: \\udcff.
    rest = memoryview(text.encode(errors="backslashreplace"))
    while rest:
        # With PYTHONUNBUFFERED this is the bare file, which may take less than all.
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def tell(text: str, end: str = "\n") -> None:
    """Write words to stderr."""
    sys.stderr.write(f"{text}{end}")
    sys.stderr.flush()
