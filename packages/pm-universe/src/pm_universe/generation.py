"""Generations of a universe: a full file, then deltas, each what changed since the one before.

    full(n) == fold([full(0), delta(1), ..., delta(n)])

`fold` and `diff` are pure. A market is what `order.identity` says: one that has other tokens now is
removed and added, so a changed market never changes its tokens. Removals apply before additions,
since a token may move from one market to another.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from .errors import BrokenChain
from .market import MarketRow
from .order import Identity, file_order, identity
from .selection import Selection, Wanted
from .universe_file import (
    FULL,
    Circumstances,
    SelectionRecord,
    Stats,
    UniverseFile,
    encode,
    selection_record,
    stats,
    with_lines,
)

DELTA: Final = "delta"
# What an order, a fill or a fee may depend on; the other fields are names and words.
SIMULATION_FIELDS: Final = frozenset(
    {
        "event_id",
        "neg_risk",
        "neg_risk_augmented",
        "neg_risk_market_id",
        "event_markets",
        "tick_size",
        "min_size",
        "fees_enabled",
        "fee_type",
        "fee_schedule",
        "seconds_delay",
        "end_date",
        "version",
        "tokens",
    }
)


class SinceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The generation that a delta follows, and the digest of the file that was its last."""

    universe_version: int
    sha256: str


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """A market that is no longer in the universe; `reason` is a stable word."""

    market_id: str
    condition_id: str
    token_ids: tuple[str, ...]
    reason: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A market as it is now, and which of its fields are not what they were."""

    fields: tuple[str, ...]
    market: MarketRow


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since the generation before. Stamps and stats are those of a full file."""

    universe_version: int
    kind: str
    created_wall_ns_utc: int
    created_mono_ns: int
    since: SinceRecord
    selection: SelectionRecord
    stats: Stats
    removed: tuple[Removed, ...]
    changed: tuple[Changed, ...]
    added: tuple[MarketRow, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.removed or self.changed or self.added)


class Since(NamedTuple):
    """The universe that a discovery follows, and the digest of the last file it was read from."""

    universe: UniverseFile
    sha256: str


def diff(since: Since, selection: Selection, wanted: Wanted, how: Circumstances) -> Delta:
    """Return the next generation; `selection` was made with the markets of `since` as incumbents."""
    before = {identity(row): row for row in since.universe.markets}
    changed = []
    for row in selection.selected:
        old = before.get(identity(row))
        if old is not None and old != row:
            changed.append(Changed(fields=_differing(old, row), market=row))
    return Delta(
        universe_version=since.universe.universe_version + 1,
        kind=DELTA,
        created_wall_ns_utc=how.created_wall_ns_utc,
        created_mono_ns=how.created_mono_ns,
        since=SinceRecord(universe_version=since.universe.universe_version, sha256=since.sha256),
        selection=selection_record(wanted, how),
        stats=stats(selection, how),
        removed=tuple(
            Removed(
                market_id=row.market_id,
                condition_id=row.condition_id,
                token_ids=tuple(token.token_id for token in row.tokens),
                reason=reason,
            )
            for row, reason in selection.lost
        ),
        changed=tuple(changed),
        added=tuple(row for row in selection.selected if identity(row) not in before),
    )


def fold(generations: Iterable[UniverseFile | Delta]) -> UniverseFile:
    """Return the full universe after the last of `generations`, which begin with a full one.

    Raises:
        BrokenChain: they are no chain: one is missing, or speaks of markets that are not so.

    """
    head: UniverseFile | Delta | None = None
    rows: dict[Identity, MarketRow] = {}
    for generation in generations:
        if isinstance(generation, UniverseFile):
            rows = {identity(row): row for row in generation.markets}
        else:
            version = None if head is None else head.universe_version
            if version != generation.since.universe_version:
                raise BrokenChain(
                    generation.universe_version,
                    f"it follows {generation.since.universe_version}, but there is "
                    + ("nothing before it" if version is None else f"{version} before it"),
                )
            _apply(rows, generation)
        if head is not None and generation.universe_version != head.universe_version + 1:
            raise BrokenChain(
                generation.universe_version, f"it comes after {head.universe_version}"
            )
        head = generation
    if head is None:
        raise BrokenChain(0, "there is no generation at all")
    return UniverseFile(
        universe_version=head.universe_version,
        kind=FULL,
        created_wall_ns_utc=head.created_wall_ns_utc,
        created_mono_ns=head.created_mono_ns,
        selection=head.selection,
        stats=head.stats,
        markets=tuple(sorted(rows.values(), key=file_order)),
    )


def _apply(rows: dict[Identity, MarketRow], delta: Delta) -> None:
    def check(problem: str, names: Sequence[Identity], *, there: bool) -> None:
        for name in names:
            if (name in rows) is not there:
                raise BrokenChain(delta.universe_version, f"it {problem} {name[0] or name[1]}")

    gone = [
        (each.market_id, each.condition_id, tuple(sorted(each.token_ids))) for each in delta.removed
    ]
    check("removes a market that is not there:", gone, there=True)
    for name in gone:
        del rows[name]
    moved = {identity(each.market): each.market for each in delta.changed}
    check("changes a market that is not there:", list(moved), there=True)
    new = {identity(row): row for row in delta.added}
    check("adds a market that is there already:", list(new), there=False)
    rows |= moved
    rows |= new


def _differing(old: MarketRow, new: MarketRow) -> tuple[str, ...]:
    return tuple(
        name for name in MarketRow.__struct_fields__ if getattr(old, name) != getattr(new, name)
    )


def encode_generation(generation: UniverseFile | Delta) -> bytes:
    """Return the bytes of the file of a generation, one market a line."""
    if isinstance(generation, UniverseFile):
        return encode(generation)
    bare = msgspec.structs.replace(generation, removed=(), changed=(), added=())
    return with_lines(
        msgspec.json.encode(bare),
        {"removed": generation.removed, "changed": generation.changed, "added": generation.added},
    )


class _Kind(msgspec.Struct):
    kind: str


def decode_generation(content: bytes) -> UniverseFile | Delta:
    """Read a generation; unknown keys are ignored.

    Raises:
        msgspec.DecodeError: it is neither a full file nor a delta.

    """
    kind = msgspec.json.decode(content, type=_Kind).kind
    if kind == FULL:
        return msgspec.json.decode(content, type=UniverseFile)
    if kind == DELTA:
        return msgspec.json.decode(content, type=Delta)
    raise msgspec.ValidationError(f"expected kind {FULL!r} or {DELTA!r}, found {kind!r}")
