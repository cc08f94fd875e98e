import json
import re
import shlex
from pathlib import Path

from pm_frames.command import ExitCode
from pm_verify.findings import LISTED_PER_CODE_MAX, Code, Scene, Tally

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "spec" / "findings.md"


def table(path: Path) -> list[list[str]]:
    """Return the cells of every row that begins with a code."""
    rows = re.findall(r"^\| `(PMV\d{3})` \|(.*)\|$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [[code, *(cell.strip() for cell in cells.split(" | "))] for code, cells in rows]


def test_page_and_code_are_equal() -> None:
    stated = [[c.id, c.name.lower(), str(int(c.exit_code)), c.value.meaning] for c in Code]
    assert table(PAGE) == stated


def test_codes_are_unique_and_in_order() -> None:
    ids = [code.id for code in Code]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"PMV\d{3}", code) for code in ids)


def test_exit_codes_are_those_that_a_verifier_has() -> None:
    assert {code.exit_code for code in Code} == {
        ExitCode.USAGE,
        ExitCode.FINDINGS,
        ExitCode.CORRUPT,
    }


def test_every_finding_says_what_to_do() -> None:
    for code in Code:
        finding = Scene(Path("runs") / "a").finding(code, "capture/shard_00.idx")
        assert finding.fix
        assert "{" not in finding.fix


def test_finding_is_json_with_both_values() -> None:
    finding = Scene(Path("runs") / "a", 3).finding(
        Code.CRC_MISMATCH,
        "capture/shard_03.frames",
        detail="readable records follow",
        ordinal=7,
        span=(100, 180),
        extent="hole",
        expected=2**63,
        found=1,
    )
    assert json.loads(json.dumps(finding.as_json())) == {
        "code": "PMV025",
        "name": "crc_mismatch",
        "exit_code": 4,
        "file": "capture/shard_03.frames",
        "shard": 3,
        "ordinal": 7,
        "offset": 100,
        "end": 180,
        "extent": "hole",
        "expected": 2**63,
        "found": 1,
        "message": "the payload does not have the CRC-32 that its header states: "
        "readable records follow",
        "fix": f"restore {Path('runs') / 'a' / 'capture/shard_03.frames'} from a copy, "
        "or keep what can be proved: "
        f"pm-verify --repair {shlex.quote(str(Path('runs') / 'a-repaired'))} "
        f"{shlex.quote(str(Path('runs') / 'a'))}",
    }


def test_fix_is_a_command_that_a_shell_takes() -> None:
    finding = Scene(Path("my runs") / "a").finding(Code.IDX_MISSING, "capture/shard_00.idx")
    typed = finding.fix[finding.fix.index("pm-verify") :]
    run = str(Path("my runs") / "a")
    assert shlex.split(typed) == ["pm-verify", "--repair", f"{run}-repaired", run]
    alone = Scene(None).finding(Code.TORN_TAIL, "x.frames")
    assert "the run that it belongs to" in alone.fix


def test_tally_counts_all_and_lists_the_first_of_each_code() -> None:
    tally, scene = Tally(), Scene(None)
    for ordinal in range(100):
        tally.add(scene.finding(Code.CRC_MISMATCH, "a.frames", ordinal=ordinal))
    tally.extend([scene.finding(Code.IDX_TORN, "a.idx")])
    assert tally.counts == {Code.CRC_MISMATCH: 100, Code.IDX_TORN: 1}
    assert [item.ordinal for item in tally.listed] == [*range(LISTED_PER_CODE_MAX), None]
