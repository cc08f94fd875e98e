"""Where reports may be written, and where not."""

from pathlib import Path
from typing import Any

import pytest

from pm_audit.latency.report_files import check_targets, report_targets, write_reports
from pm_frames.bundle import Bundle, open_bundle
from pm_frames.command import UsageError
from pm_frames.errors import RunLocked, WriteFailed
from pm_frames.lock import RunLock


@pytest.fixture
def bundle(made: Any, tmp_path: Path) -> Bundle:
    return open_bundle(made.write_run(tmp_path / "run", made.clean_run()))


def test_into_the_bundle_go_two_files_and_no_others(bundle: Bundle, tmp_path: Path) -> None:
    check_targets(bundle, report_targets(bundle, None, tmp_path / "page.html"), force=False)
    for page in ("page.html", "metrics/page.html", "../run/page.html"):
        with pytest.raises(UsageError, match="no tool adds"):
            check_targets(bundle, report_targets(bundle, None, bundle.path / page), force=True)
    with pytest.raises(UsageError, match="no tool adds"):
        check_targets(bundle, report_targets(bundle, bundle.path / "metrics", None), force=True)


def test_never_into_a_run_that_lives(bundle: Bundle, tmp_path: Path) -> None:
    with RunLock(bundle.path):
        with pytest.raises(UsageError, match="still being captured"):
            check_targets(bundle, report_targets(bundle, None, None), force=True)
        check_targets(bundle, report_targets(bundle, tmp_path / "out", None), force=False)


def test_what_is_there_stays_unless_forced(bundle: Bundle, tmp_path: Path) -> None:
    targets = report_targets(bundle, tmp_path / "out", None)
    targets.report.parent.mkdir()
    targets.text.write_text("mine", encoding="utf-8")
    with pytest.raises(RunLocked, match="--force"):
        check_targets(bundle, targets, force=False)
    check_targets(bundle, targets, force=True)


def test_a_write_that_fails_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file, not a directory")
    with pytest.raises(WriteFailed):
        write_reports(report_targets(bundle, tmp_path / "out", None), ("{}", "", None))
