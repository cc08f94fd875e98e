"""The report as one HTML page that needs nothing but itself: no network, no other file.

Every figure stands in the markup as `<data value=… data-key=…>`, the key being its path in the report, so
that the page reads without JavaScript and can be compared with the JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from pm_audit.inspect.pages import length_text
from pm_audit.latency.report_text import value_text
from pm_audit.wall_clock import wall_text

Report = Mapping[str, Any]
ROWS_MAX = 100
_FIELD = re.compile(r"\{\{(\w+)\}\}")


def html_page(report: Report, charts: Mapping[str, Any]) -> str:
    """Return the page; the same inputs give the same text."""
    web = files("pm_audit.latency").joinpath("web")

    def asset(name: str) -> str:
        return web.joinpath(name).read_text(encoding="utf-8")

    parts = {
        "title": escape(f"Capture report of {report['run_id']}"),
        "run_id": escape(str(report["run_id"])),
        "when": _when(report),
        "verdict": "\n".join(_verdict(report["gates"])),
        "tiles": "\n".join(_tiles(report)),
        "drawn": escape(drawn_words(charts)),
        "tables": "\n".join(_tables(report)),
        "notes": "\n".join(
            f"<dt>{escape(name)}</dt><dd>{escape(note)}</dd>"
            for name, note in report["notes"].items()
        ),
        "licence": escape(asset("uPlot.LICENSE.txt")),
        "report_json": _json(report),
        "chart_json": _json(charts),
        "uplot_css": asset("uPlot.min.css"),
        "uplot_js": asset("uPlot.iife.min.js"),
        "page_css": asset("page.css"),
        "page_js": asset("page.js"),
    }
    return _FIELD.sub(lambda match: parts[match[1]], asset("page.html"))


def drawn_words(charts: Mapping[str, Any]) -> str:
    """Say exactly what the charts leave out."""
    group, count = charts["intervals_per_point"], charts["intervals"]
    if group == 1:
        words = f"Every point is one of the {count:,} intervals of the metrics."
    else:
        words = (
            f"{count:,} intervals are drawn as {len(charts['x']):,} points of {group:,} intervals each; of "
            "each the smallest and the largest value are kept, and the area between them is filled."
        )
    words += " Drawn values have 6 significant digits."
    if charts["bands_joined"]:
        words += (
            f" {charts['bands_joined']:,} bands were joined: where connections between two losses "
            "were shortest, the losses are drawn as one."
        )
    if charts["marks"]:
        words += " ▼ a refresh changed the universe, ◆ the wall clock jumped."
    return words


def _json(value: object) -> str:
    # `</script>` and `<!--` end or change a script element, whatever stands around them.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def found(report: Report, key: str) -> Any:
    """Return what stands at a path such as `drops.dropped_messages_total`; lists by number."""
    value: Any = report
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _figure(report: Report, key: str, digits: int = 3) -> str:
    value = found(report, key)
    if value is None:
        return f'<data value="" data-key="{escape(key)}">–</data>'
    machine = escape(json.dumps(value) if not isinstance(value, str) else value)
    return f'<data value="{machine}" data-key="{escape(key)}">{escape(value_text(value, digits))}</data>'


def _when(report: Report) -> str:
    words = [
        str(report["state"]),
        f"{length_text(report['end_mono_ns'] - report['start_mono_ns'])} long",
    ]
    if report["t0_wall_ns_utc"] is not None:
        words.insert(1, f"from {wall_text(report['t0_wall_ns_utc'], digits=0)}")
    if report["slice_id"] is not None:
        words.insert(0, f"slice {report['slice_id']}")
    return escape(", ".join(words))


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _verdict(gates: Mapping[str, Any]) -> Iterator[str]:
    ok = gates["ok"]
    count = len(gates["reasons"])
    head = "✓ The gates passed" if ok else f"✕ A gate failed, for {count} reason{'s' * (count > 1)}"
    yield f'<div class="verdict {"ok" if ok else "failed"}"><p>{head}</p>'
    if gates["reasons"]:
        items = (
            f"<li>{escape(_spoken(reason['gate']))}: {escape(reason['message'])}</li>"
            for reason in gates["reasons"]
        )
        yield f"<ul>{''.join(items)}</ul>"
    signs = {"passed": "✓", "failed": "✕"}
    shown = (
        f"<span><b>{escape(_spoken(name))}</b> {signs.get(status, '–')} {escape(_spoken(status))}</span>"
        for name, status in gates["status"].items()
    )
    yield f'<div class="gates">{"".join(shown)}<span>profile {escape(gates["profile"])}</span></div></div>'


def _tiles(report: Report) -> Iterator[str]:
    for label, key, unit, digits in (
        ("Frames", "totals.frames", "", 0),
        ("Bytes", "totals.bytes_written", "", 0),
        ("Coverage at the end", "totals.coverage_pct", "%", 1),
        ("Lost connections", "disconnected.midrun.incidents", "", 0),
        ("Time without", "disconnected.midrun.time_s_total", "s", 3),
        ("Dropped messages", "drops.dropped_messages_total", "", 0),
        ("Stamp to written, p99", "run_percentiles_ms.ingest_ms.p99", "ms", 3),
        ("Loop lag, largest", "loop_lag_ms.max", "ms", 3),
    ):
        yield (
            f'<div class="tile"><span>{label}</span><strong>{_figure(report, key, digits)}'
            f"{f' <small>{unit}</small>' if unit else ''}</strong></div>"
        )


def _table(
    title: str, words: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1
) -> str:
    """Return one table; the first `text` columns are words, the others figures; cells are markup."""

    def cell(i: int, content: str) -> str:
        if i == 0:
            return f'<th scope="row">{content}</th>'
        return f'<td class="words">{content}</td>' if i < text else f"<td>{content}</td>"

    body = "".join(
        f"<tr>{''.join(cell(i, content) for i, content in enumerate(row))}</tr>" for row in rows
    )
    heads = "".join(
        f'<th scope="col"{" class=words" if i < text else ""}>{escape(name)}</th>'
        for i, name in enumerate(head)
    )
    return (
        f'<section class="table"><h2>{escape(title)}</h2><p>{escape(words)}</p><div class="scroll">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _tables(report: Report) -> Iterator[str]:
    def figures(keys: Iterable[str]) -> list[str]:
        return [_figure(report, key) for key in keys]

    gaps = report["disconnected"]["midrun"]["gaps"]
    if gaps["count"]:
        shown = gaps["shown"][:ROWS_MAX]
        more = (
            f" The first {len(shown):,} of {gaps['count']:,}." if gaps["count"] > len(shown) else ""
        )
        yield _table(
            "Gaps",
            "Times without a connection, the stop of the run aside; the book of a token is whole again "
            f"only with its next snapshot.{more}",
            ("From", "Shard", "Kind", "Trigger", "Seconds"),
            (
                [
                    escape(wall_text(gap["from_wall_ns_utc"], digits=3)),
                    f"{gap['shard']:02d}",
                    escape(gap["kind"]),
                    escape(str(gap["trigger"])),
                    _figure(report, f"disconnected.midrun.gaps.shown.{i}.duration_s"),
                ]
                for i, gap in enumerate(shown)
            ),
            text=4,
        )
    ends = ("p50", "p95", "p99", "p99_9", "max", "count")
    base = "run_percentiles_ms"
    names = (
        ("stamp to written", "ingest_ms"),
        ("write", "write_ms"),
        ("stamp to write", "backpressure_ms"),
    )
    rows = [[label, *figures(f"{base}.{name}.{end}" for end in ends)] for label, name in names]
    rows += [
        [
            f"stamp to written, shard {shard}",
            *figures(f"{base}.per_shard.{shard}.ingest_ms.{end}" for end in ends),
        ]
        for shard in report[base]["per_shard"]
    ]
    yield _table(
        "Latency of all reads",
        "Milliseconds; true percentiles of the whole run, from merged histograms.",
        ("", "p50", "p95", "p99", "p99.9", "max", "reads"),
        rows,
    )
    stats = ("p50", "p95", "p99", "max", "count")
    series = (
        ("loop lag, ms", "loop_lag_ms"),
        ("work of a heartbeat, ms", "heartbeat_work_ms"),
        ("disk check, ms", "disk_check_ms"),
        ("between heartbeats, s", "heartbeat.dt_s"),
        ("idle, quietest shard, s", "rx_idle.global_any_shard_s"),
        ("refresh, ms", "refresh.duration_ms"),
        *((name, f"queue_depth.{name}.max") for name in report["queue_depth"]),
    )
    yield _table(
        "By interval",
        "One value an interval, so these percentiles are over intervals.",
        ("", "p50", "p95", "p99", "max", "values"),
        ([label, *figures(f"{key}.{end}" for end in stats)] for label, key in series),
    )
    top = report["loop_lag_attribution"]["top_intervals"]
    if top:
        causes = tuple(top[0]["causes_ms"])
        base = "loop_lag_attribution.top_intervals"
        yield _table(
            "The largest loop lags",
            "Milliseconds, with the largest of each measured cause in the same interval.",
            ("Interval until", "Explained by", "lag", *(name.replace("_", " ") for name in causes)),
            (
                [
                    escape(wall_text(interval["hb_wall_ns_utc"], digits=3)),
                    escape(interval["explained_by"].replace("_", " ")),
                    *figures(
                        f"{base}.{i}.{name}"
                        for name in ("loop_lag_ms", *(f"causes_ms.{cause}" for cause in causes))
                    ),
                ]
                for i, interval in enumerate(top)
            ),
            text=2,
        )
    if report["problems"]:
        yield _table(
            "What could not be read", "", ("",), ([escape(one)] for one in report["problems"])
        )
