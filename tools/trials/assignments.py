"""Which token belonged to which shard at which instant, as a bundle tells it, and whether that is true.

The manifest has the first assignment, `shard_refresh_begin` of the runlog every later change, and the
files of the universe what each generation should have led to. Times are monotonic ns.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pm_frames import open_bundle, paths
from pm_frames.runlog import read_runlog

FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """A token in a shard, from one instant to another."""

    token_id: str
    shard_id: int
    from_ns: int
    to_ns: int = FOREVER


class Assignments:
    """The tokens of every shard at every instant."""

    def __init__(self, first: dict[int, frozenset[str]]) -> None:
        self._times = {shard_id: [0] for shard_id in first}
        self._tokens = {shard_id: [tokens] for shard_id, tokens in first.items()}
        self._open = {
            token: Span(token, shard_id, 0)
            for shard_id, tokens in first.items()
            for token in tokens
        }
        self._over: list[Span] = []
        self.problems: list[str] = []

    @property
    def shard_ids(self) -> list[int]:
        return sorted(self._tokens)

    @property
    def spans(self) -> list[Span]:
        """Every stay of a token in a shard."""
        return [*self._over, *self._open.values()]

    def at(self, shard_id: int, mono_ns: int) -> frozenset[str]:
        """The tokens of a shard at an instant."""
        place = bisect_right(self._times[shard_id], mono_ns) - 1
        return self._tokens[shard_id][place]

    def change(self, shard_id: int, mono_ns: int, *, added: list[str], removed: list[str]) -> None:
        """Follow one record; what contradicts the records before it goes to `problems`."""
        times = self._times.setdefault(shard_id, [0])
        tokens = self._tokens.setdefault(shard_id, [frozenset()])
        for token in removed:
            span = self._open.pop(token, None)
            if span is None or span.shard_id != shard_id:
                self.problems.append(f"shard {shard_id} gives up {token}, which it has not")
                continue
            self._over.append(Span(token, shard_id, span.from_ns, mono_ns))
        for token in added:
            if token in self._open:
                self.problems.append(f"shard {shard_id} gains {token}, which has a shard already")
            self._open[token] = Span(token, shard_id, mono_ns)
        times.append(mono_ns)
        tokens.append(tokens[-1].difference(removed).union(added))

    def union(self) -> set[str]:
        """The tokens of all shards after the last change."""
        return set(self._open)


def read_assignments(run_dir: Path) -> Assignments:
    """Follow a runlog, and compare every generation that was carried out with its file."""
    bundle = open_bundle(run_dir)
    found = Assignments(
        {
            int(shard): frozenset(entry["token_ids"])
            for shard, entry in bundle.manifest["shards"]["assignments"].items()
        }
    )
    generations = dict(enumerate(generation_tokens(run_dir)))
    _compare(found, generations, 0)
    left = version = 0
    for record in read_runlog(bundle.runlog_path):
        match record["record_type"]:
            case "universe_refresh" if record["universe_file"] is not None:
                left, version = record["shards_changed"], record["universe_version"]
            case "shard_refresh_begin":
                found.change(
                    record["shard_id"],
                    record["ts_mono_ns"],
                    added=record["added_token_ids"],
                    removed=record["removed_token_ids"],
                )
                left -= 1
                if not left:
                    _compare(found, generations, version)
    return found


def generation_tokens(run_dir: Path) -> Iterator[frozenset[str]]:
    """The tokens of each generation, from the files of the universe alone."""
    tokens: set[str] = set()
    for path in sorted((run_dir / paths.UNIVERSE).glob("*.json")):
        document = json.loads(path.read_bytes())
        for market in document.get("removed", ()):
            tokens.difference_update(market["token_ids"])
        for market in [*document.get("markets", ()), *document.get("added", ())]:
            tokens.update(token["token_id"] for token in market["tokens"])
        yield frozenset(tokens)


def _compare(found: Assignments, generations: dict[int, frozenset[str]], version: int) -> None:
    wanted, had = generations.get(version), found.union()
    if wanted is None:
        found.problems.append(f"generation {version} is on record, but has no file")
    elif wanted != had:
        found.problems.append(
            f"generation {version} has {len(wanted)} tokens, the shards {len(had)}; "
            f"{len(wanted ^ had)} are in one only"
        )
