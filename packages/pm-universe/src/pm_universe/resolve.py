"""From the universe of a run to how its markets ended: the library behind `pm-universe resolutions`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pm_frames.bundle import Bundle

from .chain import read_generations
from .errors import MissingGeneration
from .http import Patience, fetch
from .market import MarketRow
from .query import PAGE_LIMIT, Page, Query, conditions
from .resolution import Answer, Resolution, read_answer, resolutions
from .universe_file import UniverseFile


class Known(NamedTuple):
    """Every market that a run ever had in its universe, and the last generation that says so."""

    rows: tuple[MarketRow, ...]
    universe_version: int
    universe_sha256: str


class Resolved(NamedTuple):
    """How the markets ended, how many pages were read, and what had to be done differently."""

    markets: tuple[Resolution, ...]
    pages: int
    notes: tuple[str, ...]


def known_markets(bundle: Bundle) -> Known:
    """Read the generations of a run: all that was ever in, also what has left since.

    Raises:
        MissingGeneration: the run has no universe.
        BadGeneration: a file of it is no generation.

    """
    files: list[Path] = bundle.universe_files()
    if not files:
        raise MissingGeneration(bundle.path, "holds no universe generation (universe/000000.json)")
    rows: list[MarketRow] = []
    version, sha256 = 0, ""
    for generation, digest in read_generations(files):
        if isinstance(generation, UniverseFile):
            rows += generation.markets
        else:
            rows += generation.added
            rows += (each.market for each in generation.changed)
        version, sha256 = generation.universe_version, digest
    return Known(tuple(rows), version, sha256)


def resolve(
    rows: Sequence[MarketRow],
    base_url: str,
    *,
    now_wall_ns: Callable[[], int],
    page_limit: int = PAGE_LIMIT,
    patience: Patience | None = None,
    user_agent: str = "pm-universe",
    progress: Callable[[int, int], None] | None = None,
) -> Resolved:
    """Ask the venue at `base_url` how markets ended: the closed ones first, then the others.

    `now_wall_ns` stamps each page as it arrives; `progress(pages, answers)` is called after each.

    Raises:
        RemoteError: the venue is unreachable, refuses, or answers something else.

    """
    patience = patience or Patience()
    asked = list(dict.fromkeys(row.condition_id for row in rows))
    answers: list[Answer] = []
    pages, notes = 0, []
    for closed in (True, False):
        wanted = set(asked)
        query = Query(
            base_url,
            conditions(asked, closed=closed),
            page_limit=page_limit,
            wait_max_seconds=patience.page_timeout_seconds,
        )

        def take(
            page: Page,
            *,
            wanted: set[str] = wanted,
            before: int = pages,
            query: Query = query,
            closed: bool = closed,
        ) -> None:
            source = f"{page.path}?closed={'true' if closed else 'false'}"
            now = now_wall_ns()
            for entry in page.entries:
                answer = read_answer(entry, fetched_wall_ns_utc=now, source=source)
                if answer is not None and answer.market.row.condition_id in wanted:
                    answers.append(answer)
            if progress is not None:
                progress(before + query.pages, len(answers))

        fetch(query, take, patience=patience, user_agent=user_agent)
        pages += query.pages
        notes += query.notes
        found = {answer.market.row.condition_id for answer in answers}
        asked = [name for name in asked if name not in found]
    return Resolved(resolutions(rows, answers), pages, tuple(dict.fromkeys(notes)))
