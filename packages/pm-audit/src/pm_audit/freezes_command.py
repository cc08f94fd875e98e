"""`pm-audit freezes RUN`: suspected freezes as a mask. The shell around `pm_audit.freezes`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pm_audit.command_shell import Shell, guarded, make_parser
from pm_frames.command import ExitCode, UsageError, chosen_runs, parse_duration, run_arguments
from pm_frames.errors import WriteFailed

if TYPE_CHECKING:
    from pm_audit.freezes import Freezes, Suspicion
    from pm_audit.silence import Evidence
    from pm_frames.bundle import Bundle

EPILOG = """\
A connection can stay open, answer PING and deliver nothing. Such a silence is told from a quiet market by the
other shards, which go on meanwhile, and by how long the shard (or token) is usually silent. It is suspected,
not proved, and only in hindsight, so it is a mask beside the ledger. docs/spec/mask.md has the method.

exit codes: 0 no freeze is suspected; 2 usage, or no such run; 3 freezes are suspected, the mask names them;
5 the mask cannot be written.

  pm-audit freezes @last --out mask.json
"""


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Return the command line of the freezes."""
    made = make_parser(
        "pm-audit freezes", "Find silences of a run that were no quiet market.", EPILOG
    )
    run_arguments(made)
    add = made.add_argument
    add("--out", type=Path, metavar="FILE", help="write the mask there; it must not exist")
    add("--force", action="store_true", help="replace the file of --out")
    add(
        "--factor", type=_positive, default=4, metavar="N",
        help="so many times longer than the 99th percentile of its silences (4)",
    )  # fmt: skip
    add("--min-silence", default="1s", metavar="TIME", help="nothing shorter is suspected (1s)")
    add("--json", action="store_true", help="print JSON, also on a terminal")
    return made


def _by_silence(found: Freezes) -> dict[tuple[int, str, Evidence], list[Suspicion]]:
    """Return the suspicions of each silence together: all tokens of a shard share one."""
    groups: dict[tuple[int, str, Evidence], list[Suspicion]] = {}
    for one in found.suspicions:
        groups.setdefault((one.shard_id, str(one.reason), one.evidence), []).append(one)
    return groups


def page(bundle: Bundle, found: Freezes) -> Iterator[str]:
    """Yield what a person reads."""
    from pm_audit.evidence import Lines
    from pm_audit.wall_clock import read_clock

    clock = read_clock(bundle, Lines().records(bundle.runlog_path))
    yield (
        f"{bundle.run_id}: {found.messages:,} messages, {found.tokens_judged:,} of "
        f"{found.tokens_heard:,} tokens and {found.shards_judged:,} shards were heard often enough to judge"
    )
    for (shard_id, reason, evidence), group in _by_silence(found).items():
        start = min(one.from_mono_ns for one in group)
        length = max(one.to_mono_ns for one in group) - start
        who = group[0].token_id if len(group) == 1 else f"{len(group)} tokens"
        yield (
            f"  {clock.text(start)}  suspect for up to {length / 10**9:.3f} s  shard {shard_id:02d}, {who}  {reason}: "
            f"silent {evidence.silence_ns / 10**9:.3f} s (usually up to "
            f"{evidence.usual_silence_ns / 10**9:.3f} s), while siblings had "
            f"{evidence.sibling_messages:,} messages and it should have had {evidence.expected_messages:,}"
        )
    if not found.suspicions:
        yield "  no freeze is suspected"


def write_mask(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file aside and rename it. Raises `UsageError` if it exists, `WriteFailed`."""
    if path.exists() and not force:
        raise UsageError("the mask exists already; --force replaces it", path=path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise WriteFailed(f"cannot write the mask: {error.strerror}", path=path) from error


def run_freezes(argv: list[str], shell: Shell) -> int:
    """Look for freezes in what the command line names; return the severest exit code."""
    options = parser().parse_args(argv)

    def work(codes: list[ExitCode]) -> None:
        from pm_audit.freezes import find_freezes
        from pm_audit.mask import mask_bytes, mask_json
        from pm_audit.silence import Rule
        from pm_frames.bundle import open_bundle

        rule = Rule(factor=options.factor, silence_min_ns=parse_duration(options.min_silence))
        runs = chosen_runs(options, stdin=shell.stdin, environment=shell.environment)
        if options.out is not None and len(runs) > 1:
            raise UsageError("--out is the mask of one run: name one run")
        for run_dir in runs:
            bundle = open_bundle(run_dir)
            found = find_freezes(bundle, rule)
            mask = mask_json(bundle, found)
            if options.out is not None:
                write_mask(options.out, mask_bytes(mask), force=options.force)
            shell.show(options, mask, page(bundle, found))
            codes.append(ExitCode.FINDINGS if found.suspicions else ExitCode.OK)

    return guarded("pm-audit freezes", shell, work)
