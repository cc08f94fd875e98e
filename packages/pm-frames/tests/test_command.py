import io
import json
import os
import signal
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from pm_frames.command import (
    ExitCode,
    TimePoint,
    UsageError,
    chosen_runs,
    data_dir_of,
    names_from_stdin,
    parse_duration,
    parse_time,
    resolve_run,
    run_arguments,
    runs_from_stdin,
    severest,
    wants_json,
)
from pm_frames.errors import MissingFile


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs; the one in the middle was begun last."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("2026-mon", "2026-tue", "2026-tuesday", "not-begun")):
        run = tmp_path / "data" / "runs" / name
        run.mkdir(parents=True)
        if name != "not-begun":
            (run / "manifest.json").write_text(json.dumps({"run_id": name}))
            begun = 10**9 * (9 if name == "2026-tue" else number)
            os.utime(run / "manifest.json", ns=(begun, begun))
    (tmp_path / "data" / "runs" / "2026-file").touch()
    return tmp_path / "data"


def parsed(*argv: str) -> Namespace:
    parser = ArgumentParser(allow_abbrev=False)
    run_arguments(parser)
    return parser.parse_args(argv)


def test_the_severest_code_is_not_the_largest() -> None:
    assert severest([]) is ExitCode.OK
    assert severest([0, 2]) is ExitCode.USAGE
    assert severest([2, 3]) is ExitCode.FINDINGS
    assert severest([3, 6]) is ExitCode.REMOTE
    assert severest([6, 4]) is ExitCode.CORRUPT
    assert severest([4, 5]) is ExitCode.WRITE_ERROR
    assert severest([5, 7, 0]) is ExitCode.FATAL


def test_one_is_never_a_code() -> None:
    assert 1 not in list(ExitCode)
    with pytest.raises(ValueError, match="1"):
        severest([1])


def test_a_run_is_a_directory_an_id_a_prefix_or_the_last(data_dir: Path, tmp_path: Path) -> None:
    runs = data_dir / "runs"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert resolve_run(str(elsewhere), data_dir) == elsewhere
    assert resolve_run("2026-mon", data_dir) == runs / "2026-mon"
    assert resolve_run("2026-m", data_dir) == runs / "2026-mon"
    assert resolve_run("@last", data_dir) == runs / "2026-tue"


def test_a_whole_id_wins_over_a_longer_one_and_a_directory_over_an_id(
    data_dir: Path, tmp_path: Path
) -> None:
    assert resolve_run("2026-tue", data_dir) == data_dir / "runs" / "2026-tue"
    (tmp_path / "2026-tue").mkdir()
    assert resolve_run("2026-tue", data_dir) == Path("2026-tue")


def test_what_names_no_run_or_several(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="neither a directory nor") as missing:
        resolve_run("2027", data_dir)
    assert missing.value.path == data_dir / "runs"
    file = data_dir / "runs" / "2026-file"
    with pytest.raises(MissingFile, match="a run is a directory") as refused:
        resolve_run(str(file), data_dir)
    assert refused.value.path == file
    with pytest.raises(
        UsageError, match="fits 3 runs: 2026-mon, 2026-tue, 2026-tuesday"
    ) as several:
        resolve_run("2026", data_dir)
    assert several.value.exit_code == missing.value.exit_code == ExitCode.USAGE
    with pytest.raises(UsageError, match="empty"):
        resolve_run("", data_dir)
    for text in ("@last", "x"):
        with pytest.raises(MissingFile):
            resolve_run(text, tmp_path / "nowhere")


def test_arguments_choose_runs_in_order_and_once(data_dir: Path) -> None:
    runs = data_dir / "runs"
    chosen = chosen_runs(
        parsed("@last", "2026-mon", "2026-tue", "--run-dir", str(runs / "not-begun")),
        stdin=Terminal(),
        environment={},
    )
    # The default data directory is relative, so what is found in it is too.
    assert [path.resolve() for path in chosen] == [
        runs / "2026-tue",
        runs / "2026-mon",
        runs / "not-begun",
    ]


def test_a_run_dir_is_never_taken_for_an_id(data_dir: Path) -> None:
    with pytest.raises(MissingFile, match="no such run directory"):
        chosen_runs(parsed("--run-dir", "2026-mon"), stdin=Terminal(), environment={})


def test_without_arguments_stdin_is_read_unless_it_is_a_terminal(data_dir: Path) -> None:
    lines = io.StringIO("2026-mon\n\n  @last  \r\n")
    chosen = chosen_runs(parsed(), stdin=lines, environment={})
    assert [path.name for path in chosen] == ["2026-mon", "2026-tue"]
    with pytest.raises(UsageError, match="no run given"):
        chosen_runs(parsed(), stdin=Terminal(), environment={})


def test_a_dash_is_stdin_among_other_runs(data_dir: Path) -> None:
    lines = io.StringIO("2026-mon\n")
    chosen = chosen_runs(parsed("@last", "-"), stdin=lines, environment={})
    assert [path.name for path in chosen] == ["2026-tue", "2026-mon"]
    with pytest.raises(UsageError, match="only once"):
        chosen_runs(parsed("-", "-"), stdin=io.StringIO("x\n"), environment={})


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_a_stdin_that_names_nothing_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="stdin ended without naming a run") as caught:
        runs_from_stdin(io.StringIO(text))
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        runs_from_stdin(io.StringIO("x" * 100_000))
    assert runs_from_stdin(io.StringIO("a\nb")) == ["a", "b"]


class Interrupting(io.StringIO):
    """Raises SIGINT in this process before each line, as Ctrl-C in a pipeline does."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        signal.raise_signal(signal.SIGINT)
        return super().readline(size)


def test_the_first_interrupt_while_waiting_is_for_the_writer_of_the_pipe() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        runs_from_stdin(Interrupting("a\nb\n"))
    assert signal.getsignal(signal.SIGINT) is before

    class Once(Interrupting):
        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            return super().readline(size) if self.tell() == 0 else io.StringIO.readline(self, size)

    assert runs_from_stdin(Once("a\nb\n")) == ["a", "b"]
    assert signal.getsignal(signal.SIGINT) is before


def test_lines_are_read_in_any_thread() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(runs_from_stdin(io.StringIO("a\n"))))
    thread.start()
    thread.join()
    assert found == ["a"]


def test_the_environment_wins_over_the_flag_for_the_data_directory() -> None:
    assert data_dir_of(None, {}) == Path("data")
    assert data_dir_of(Path("x"), {}) == Path("x")
    assert data_dir_of(Path("x"), {"PM_DATA_DATA_DIR": "y"}) == Path("y")
    assert data_dir_of(None, {"PM_ARB_DATA_DIR": "z", "PM_DATA_DATA_DIR": ""}) == Path("z")
    assert data_dir_of(None, {"PM_ARB_DATA_DIR": "z", "PM_DATA_DATA_DIR": "z"}) == Path("z")
    with pytest.raises(UsageError, match="both set and differ"):
        data_dir_of(None, {"PM_ARB_DATA_DIR": "z", "PM_DATA_DATA_DIR": "y"})


def test_output_is_for_a_machine_unless_a_terminal_reads_it() -> None:
    assert wants_json(Namespace(json=True), Terminal())
    assert wants_json(Namespace(json=False), io.StringIO())
    assert not wants_json(Namespace(json=False), Terminal())
    assert not wants_json(Namespace(), Terminal())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", TimePoint(0, relative=False)),
        ("1790908720778123456", TimePoint(1790908720778123456, relative=False)),
        ("1970-01-01T00:00:01Z", TimePoint(10**9, relative=False)),
        ("2026-11-21T04:42:00.5Z", TimePoint(1795236120_500_000_000, relative=False)),
        ("2026-11-21t05:42:00.000000001+01:00", TimePoint(1795236120_000_000_001, relative=False)),
        ("2026-11-20 23:12:00-05:30", TimePoint(1795236120_000_000_000, relative=False)),
        ("1969-12-31T23:59:59.999999999Z", TimePoint(-1, relative=False)),
        ("+5m", TimePoint(300 * 10**9, relative=True)),
        ("+0s", TimePoint(0, relative=True)),
        ("+1d2h3m4s5ms6us7ns", TimePoint(93784_005_006_007, relative=True)),
    ],
)
def test_times(text: str, expected: TimePoint) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "+5",
        "+5 m",
        "+-5m",
        "-5m",
        "5m",
        "now",
        "12.5",
        "\u0661",
        "2026-11-21",
        "2026-11-21T04:42:00",
        "2026-02-30T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T04:42:60Z",
        "2026-11-21T04:42:00.0000000001Z",
        "2026-11-21T04:42:00+24:00",
        "2026-11-21T04:42:00+01",
        " 2026-11-21T04:42:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


def test_durations_are_exact() -> None:
    assert parse_duration("1.5s") == 1_500_000_000
    assert parse_duration("0.000000001s") == 1
    assert parse_duration("0.1ms") == 100_000
    assert parse_duration("0.5h0.5m") == 1_830_000_000_000
    with pytest.raises(UsageError, match="finer than one nanosecond"):
        parse_duration("0.5ns")
    with pytest.raises(UsageError, match="finer than one nanosecond"):
        parse_duration("0.0000000001s")


def test_a_name_is_given_before_stdin_ends() -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin, open(writing, "w", encoding="utf-8") as out:
        names = names_from_stdin(stdin)
        for run in ("one", "two"):
            print(f" {run}\n", file=out, flush=True)
            assert next(names) == run
        out.close()
        assert list(names) == []
    with pytest.raises(UsageError):
        list(names_from_stdin(io.StringIO("\n \n")))
