"""The document that `pm-universe resolutions` writes: docs/spec/resolutions.md.

One JSON object in UTF-8, its keys always in the order of the fields below, one market a line.
"""

from collections import Counter
from typing import Final

import msgspec

from .resolution import STATUSES, Resolution
from .universe_file import with_lines

VERSION: Final = 1


class ResolutionsFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole document. `universe_version` is the last generation of the run that was read."""

    resolutions_version: int
    run_id: str
    universe_version: int
    universe_sha256: str
    created_wall_ns_utc: int
    gamma_base_url: str
    gamma_pages_fetched: int
    counts: dict[str, int]
    markets: tuple[Resolution, ...]


def counted(markets: tuple[Resolution, ...]) -> dict[str, int]:
    """Return how many markets there are of each status, those of which there is none included."""
    found = Counter(market.status for market in markets)
    return {status: found[status] for status in STATUSES}


def encode(document: ResolutionsFile) -> bytes:
    """Return the bytes of the file."""
    head = msgspec.json.encode(msgspec.structs.replace(document, markets=()))
    return with_lines(head, {"markets": document.markets})


def decode(content: bytes) -> ResolutionsFile:
    """Read a document; unknown keys are ignored.

    Raises:
        msgspec.DecodeError: it is none.

    """
    return msgspec.json.decode(content, type=ResolutionsFile)
