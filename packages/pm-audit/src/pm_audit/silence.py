"""How long somebody is usually silent, learned from the run itself; integers only.

A silence has two lengths: in ns, and in messages that the siblings had meanwhile. The second one does not
grow while the whole market is quiet, so a silence that is long in both is no quiet market.
"""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import Final, NamedTuple

_STEP_BITS: Final = 2
_BUCKETS: Final = 256


def bucket_of(value: int) -> int:
    """Return the bucket of a value below 2**62: four steps to a power of two, 0 to 7 exact."""
    shift = value.bit_length() - _STEP_BITS - 1
    return value if shift <= 0 else (shift << _STEP_BITS) + (value >> shift)


# `BUCKET[v]` for v below 2**16; the bucket of v >> 8 is 32 less than that of v, while enough digits are left.
BUCKET: Final = bytes(map(bucket_of, range(1 << 16)))


def upper_bound(bucket: int) -> int:
    """Return the largest value of a bucket, at most a quarter above any other in it."""
    if bucket < 2 << _STEP_BITS:
        return bucket
    shift = (bucket >> _STEP_BITS) - 1
    return ((bucket - (shift << _STEP_BITS) + 1) << shift) - 1


class Lengths:
    """A histogram of lengths in 1 KiB: there is one a token, so it must be small."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = array("I", bytes(4 * _BUCKETS))

    def add(self, length: int) -> None:
        """Count a length of 0 to 2**62."""
        # This runs several times for every frame of a run: three ranges of one table.
        if length < 1 << 16:
            self._counts[BUCKET[length]] += 1
        elif length < 1 << 24:
            self._counts[BUCKET[length >> 8] + 32] += 1
        elif length < 1 << 32:
            self._counts[BUCKET[length >> 16] + 64] += 1
        else:
            self._counts[bucket_of(length)] += 1

    @property
    def count(self) -> int:
        """How many lengths there are."""
        return sum(self._counts)

    def usual(self, percent: int) -> int:
        """Return the nearest-rank percentile of all lengths but the longest: what it is compared with."""
        rank = -(-percent * (self.count - 1) // 100)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank > 0:
                return upper_bound(bucket)
        return 0


class Rule(NamedTuple):
    """When a silence is too long to be quiet; docs/spec/mask.md gives the reasons.

    `messages_min`: so many messages the siblings must have had meanwhile, and so many the silent one should
    have had by its share in the run; fewer prove nothing.
    """

    percent: int = 99
    factor: int = 4
    silence_min_ns: int = 10**9
    lengths_min: int = 100
    messages_min: int = 20


class Evidence(NamedTuple):
    """One silence and what it was compared with; lengths in ns and in messages of the siblings."""

    silence_ns: int
    sibling_messages: int
    usual_silence_ns: int
    usual_sibling_messages: int
    expected_messages: int
    lengths_learned: int


class Habit:
    """The silences of one shard or token, in both lengths, and how much it says."""

    __slots__ = ("_longest", "messages", "siblings", "times")

    def __init__(self) -> None:
        self.times = Lengths()
        self.siblings = Lengths()
        self.messages = 0
        self._longest: list[tuple[int, int]] = []

    def remember(self, silence_ns: int, sibling_messages: int) -> None:
        """Keep a silence for `can_be_judged`, unless another is longer in both ways."""
        if any(ns >= silence_ns and n >= sibling_messages for ns, n in self._longest):
            return
        self._longest = [
            one for one in self._longest if one[0] > silence_ns or one[1] > sibling_messages
        ]
        self._longest.append((silence_ns, sibling_messages))

    def can_be_judged(self, siblings_total: int, rule: Rule) -> bool:
        """Return whether any silence that was remembered is too long.

        The longer a silence is, the sooner it is; so if none of the longest is, none is at all.
        """
        return any(self.judge(*one, siblings_total, rule) for one in self._longest)

    def judge(
        self, silence_ns: int, sibling_messages: int, siblings_total: int, rule: Rule
    ) -> Evidence | None:
        """Return why a silence is no quiet market, None if it may be one.

        `siblings_total` is how many messages the siblings had in the whole run.
        """
        if silence_ns < rule.silence_min_ns or self.times.count < rule.lengths_min:
            return None
        if not siblings_total:
            return None
        expected = int(Fraction(sibling_messages * self.messages, siblings_total))
        if min(expected, sibling_messages) < rule.messages_min:
            return None
        usual = self.times.usual(rule.percent), self.siblings.usual(rule.percent)
        if silence_ns < rule.factor * usual[0] or sibling_messages < rule.factor * usual[1]:
            return None
        return Evidence(silence_ns, sibling_messages, *usual, expected, self.times.count)
