import io

from pm_verify.progress import Progress


def test_the_line_comes_in_time_and_goes() -> None:
    out, now = io.StringIO(), [0.0]
    progress = Progress(1_000_000, out, clock=lambda: now[0])
    progress.tell(250_000)
    assert out.getvalue() == ""
    now[0] = 0.5
    progress.tell(250_000)
    assert out.getvalue() == "\rpm-verify:  50 %, 0 MB, 1 MB/s"
    now[0] = 1.0
    progress.tell(10_000_000)  # a file that grew
    assert "100 %" in out.getvalue()
    progress.end()
    shown = out.getvalue().rsplit("\r", 2)
    assert shown[1].strip() == ""
    assert shown[2] == ""


def test_nothing_shown_is_nothing_taken_away() -> None:
    out = io.StringIO()
    Progress(0, out, clock=lambda: 0.0).end()
    assert out.getvalue() == ""
