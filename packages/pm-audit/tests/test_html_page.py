"""The page says what the report says, and asks nobody for anything."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from pm_audit.gates import Profile
from pm_audit.latency.chart_data import chart_data
from pm_audit.latency.html_page import drawn_words, found, html_page
from pm_audit.latency.latency_report import latency_report
from pm_audit.latency.report_text import value_text
from pm_audit.latency.run_readings import read_run
from pm_frames.bundle import open_bundle

DATUM = re.compile(r'<data value="([^"]*)" data-key="([^"]*)">([^<]*)</data>')


@pytest.fixture
def page_and_report(made: Any, tmp_path: Path) -> tuple[str, Any]:
    run = made.clean_run()
    run.manifest["run_id"] = "</script><b>x"
    run.runlog += [
        made.disconnect(made.T0 + 2 * made.S, made.T0 + made.S),
        made.reconnect(made.T0 + 2 * made.S + 1),
    ]
    run_dir = made.write_run(tmp_path / "run", run)
    readings = read_run(open_bundle(run_dir))
    report = latency_report(readings, run_dir, Profile.STRICT)
    return html_page(report, chart_data(readings)), json.loads(json.dumps(report))


def test_every_figure_is_that_of_the_report(page_and_report: tuple[str, Any]) -> None:
    page, report = page_and_report
    figures = DATUM.findall(page)
    assert len(figures) > 60
    for machine, key, shown in figures:
        value = found(report, key)
        if value is None:
            assert (machine, shown) == ("", "–")
            continue
        assert json.loads(unescape(machine)) == value, key
        digits = len(shown.partition(".")[2])
        assert shown == value_text(value, digits), key


def test_nothing_is_fetched_and_nothing_breaks_out(page_and_report: tuple[str, Any]) -> None:
    page, _ = page_and_report
    assert "default-src 'none'" in page
    links = set(re.findall(r"""(?:src|href)=["']?([^"' >]+)""", page))
    assert links == {"data:,"}
    assert "@import" not in page
    assert "url(" not in page
    # A run id cannot end a script: 4 scripts begin and 4 end.
    assert page.count("</script>") == page.count("<script") == 4
    assert "<b>x" not in page.partition('<script type="application/json" id="report-data">')[0]
    assert "Copyright (c) 2022 Leon Sorokin" in page


def test_the_json_in_the_page_is_the_report(page_and_report: tuple[str, Any]) -> None:
    page, report = page_and_report
    text = re.search(r'id="report-data">(.*?)</script>', page, re.DOTALL)
    assert text
    assert json.loads(text[1]) == report


def test_the_words_about_what_is_drawn() -> None:
    charts = {
        "intervals_per_point": 1,
        "intervals": 60,
        "x": [1] * 60,
        "bands_joined": 0,
        "marks": [],
    }
    assert drawn_words(charts).startswith("Every point is one of the 60 intervals")
    charts |= {
        "intervals_per_point": 58,
        "intervals": 86_400,
        "bands_joined": 7,
        "marks": [[0, "refresh"]],
    }
    words = drawn_words(charts)
    assert "86,400 intervals are drawn as 60 points of 58 intervals" in words
    assert "7 bands were joined" in words
    assert "▼" in words


def test_the_chart_library_is_the_one_that_was_published() -> None:
    from hashlib import sha256
    from importlib.resources import files

    web = files("pm_audit.latency").joinpath("web")
    digests = {name: sha256(web.joinpath(name).read_bytes()).hexdigest()[:16] for name in ("uPlot.iife.min.js", "uPlot.min.css")}  # fmt: skip
    assert digests == {"uPlot.iife.min.js": "19c8d4c6ad88929a", "uPlot.min.css": "df630c6a8d6f8eea"}
