"""The report of one run: a verdict with its reasons, as JSON or as a page that a person reads."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pm_frames.command import ExitCode, severest
from pm_verify.findings import Code, Finding
from pm_verify.modes import Mode, weigh
from pm_verify.shard_result import ShardResult


@dataclass(frozen=True, slots=True)
class Report:
    """What pm-verify says about one run, one pair of files, or one stream.

    `state` is that of the run (running, ended, fatal, crashed), or missing, files, stream.
    `counts` has every finding, `findings` at most 20 of each code and file pair, `sorts` one of every sort
    that weighs alike. `quick` says that payloads and digests were not looked at.
    `point_in_time_mono_ns` is the last instant up to which every shard has every frame; None where
    nothing stands against the end of the run.
    """

    run_dir: str | None
    run_id: str | None
    state: str
    summaries: tuple[ShardResult, ...]
    findings: tuple[Finding, ...]
    counts: Counter[Code]
    sorts: tuple[Finding, ...] = ()
    mode: Mode = Mode.STRICT
    quick: bool = False
    point_in_time_mono_ns: int | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Return the severest code that any finding asks for in this mode."""
        return self.weight(self.mode)

    def weight(self, mode: Mode) -> ExitCode:
        """Return the severest code that any finding asks for in a mode."""
        if mode is Mode.POINT_IN_TIME and self.point_in_time_mono_ns == 0:
            return ExitCode.CORRUPT  # damaged from the first frame on
        return severest(weigh(finding, mode) for finding in self.sorts)

    @property
    def ok(self) -> bool:
        """Return whether nothing stands in the way of a reader in this mode."""
        return self.exit_code is ExitCode.OK

    @property
    def records(self) -> int:
        """Return how many whole and sound frames were read."""
        return sum(shard.records for shard in self.summaries)

    def totals(self) -> dict[str, int]:
        """Return the counts of all shards together."""
        return {
            "records": self.records,
            "errors": sum(shard.errors for shard in self.summaries),
            "crc_mismatch": sum(shard.crc_mismatch for shard in self.summaries),
            "truncated_shards": sum(shard.truncated for shard in self.summaries),
            "idx_bad_shards": sum(shard.idx_ok is False for shard in self.summaries),
            "bytes": sum(shard.frames_bytes for shard in self.summaries),
        }

    def summary_json(self) -> dict[str, object]:
        """Return the totals without shards and findings."""
        return {
            "ok": self.ok,
            "run_dir": self.run_dir,
            "run_id": self.run_id,
            "state": self.state,
            "exit_code": int(self.exit_code),
            "totals": self.totals(),
        }

    def as_json(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return {
            **self.summary_json(),
            "mode": str(self.mode),
            "quick": self.quick,
            "verdict": self.verdict(),
            "point_in_time_mono_ns": self.point_in_time_mono_ns,
            "summaries": [shard.as_json() for shard in self.summaries],
            "finding_counts": {code.id: count for code, count in sorted_counts(self.counts)},
            "findings": [finding.as_json() for finding in self.findings],
        }

    def verdict(self) -> str:
        """Return the answer as one plain sentence."""
        what = _counted(self.records, "frame")
        if self.state not in ("files", "stream"):
            what += f" in {_counted(len(self.summaries), 'shard')}"
        if not self.counts:
            if self.quick:
                return f"{what}: headers and index agree; payloads and digests were not read"
            sealed = self.state == "ended"
            return f"{what}: " + (
                "every byte is what was written"
                if sealed
                else "all whole and sound, and nothing disagrees"
            )
        worst = min(self.findings, key=_severity)
        others = sum(self.counts.values()) - 1
        also = f", and {_counted(others, 'other finding')}" if others else ""
        opening = {
            ExitCode.OK: f"{what} whole and sound, which is enough for {self.mode}",
            ExitCode.USAGE: "nothing was verified",
            ExitCode.FINDINGS: f"{what} whole and sound, with a reservation",
        }.get(self.exit_code, f"NOT what was written ({what} sound)")
        return f"{opening}: {_place(worst)}{worst.message}{also}. Next: {worst.fix}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sorted_counts(counts: Counter[Code]) -> list[tuple[Code, int]]:
    """Return how often each code was found, in the order of the codes."""
    return sorted(counts.items(), key=lambda item: item[0].id)


def page(report: Report) -> Iterator[str]:
    """Yield the lines of the report for a terminal."""
    yield f"{report.run_dir or 'files'}: {report.state}"
    if report.summaries:
        yield ""
        yield f"{'shard':>7}{'frames':>14}{'bytes':>18}  verdict"
        for shard in report.summaries:
            name = "-" if shard.shard is None else f"{shard.shard:02}"
            verdict = "ok" if shard.ok else ", ".join(_reasons(shard))
            yield f"{name:>7}{shard.records:>14,}{shard.frames_bytes:>18,}  {verdict}"
    for finding in report.findings:
        yield ""
        yield f"{finding.code.id} {_place(finding)}{finding.message}"
        if finding.expected is not None or finding.found is not None:
            yield f"       expected: {_shown(finding.expected)}"
            yield f"       found:    {_shown(finding.found)}"
        yield f"       fix: {finding.fix}"
    omitted = sum(report.counts.values()) - len(report.findings)
    if omitted:
        yield ""
        yield f"{omitted:,} more findings of the same codes are not listed."
    yield ""
    yield report.verdict() + "."


def _reasons(shard: ShardResult) -> Iterator[str]:
    for code, count in sorted_counts(shard.tally.counts):
        yield f"{code.name.lower().replace('_', ' ')}" + (f" ×{count:,}" if count > 1 else "")


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def _severity(finding: Finding) -> tuple[int, str]:
    order = (ExitCode.CORRUPT, ExitCode.FINDINGS, ExitCode.USAGE)
    return order.index(finding.code.exit_code), finding.code.id


def _place(finding: Finding) -> str:
    ordinal = "" if finding.ordinal is None else f", record {finding.ordinal:,}"
    offset = "" if finding.offset is None else f", offset {finding.offset:,}"
    return f"{finding.file}{offset}{ordinal}: "
