"""One process's part of a universe that several capture: shards A to before B of N, as the hash names them.

N is `ws_shards` exactly, so that it stands on every command line and cannot follow the number of tokens.
Every process writes its own bundle, in which its shards count from 0: shard k there is shard A + k of N.
Overflow stays with the process whose part it comes from, so that no two need to agree on anything.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShardRange:
    """Shards `start` to before `stop` of `count`."""

    start: int
    stop: int
    count: int

    def __contains__(self, shard: int) -> bool:
        return self.start <= shard < self.stop

    def __str__(self) -> str:
        return f"{self.start}:{self.stop} of {self.count}"


def parse_range(text: str, count: int) -> ShardRange:
    """Read `A:B`. Raises ValueError unless 0 <= A < B <= count."""
    start, _, stop = text.partition(":")
    # int() alone would also take signs, spaces and underscores.
    if not all(part.isascii() and part.isdecimal() for part in (start, stop)):
        raise ValueError(f"must be A:B, the numbers of two shards, found {text!r}")
    if not int(start) < int(stop) <= count:
        raise ValueError(
            f"must be A:B with A below B and B at most {count} (ws_shards), found {text!r}"
        )
    return ShardRange(int(start), int(stop), count)
