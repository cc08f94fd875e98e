"""What the program tells about what it did on one line, for whoever started it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from .discover import Discovery
from .generation import SIMULATION_FIELDS, Delta
from .resolutions_file import ResolutionsFile
from .resolve import Resolved
from .universe_file import UniverseFile


def report(
    generation: UniverseFile | Delta, found: Discovery, content: bytes | None, out: Path
) -> str:
    """Return one JSON object on one line; without `content` no file was written.

    `universe_version` is the newest there is: that of the file, or without one that of `--since`.
    """
    told: dict[str, Any] = {
        **msgspec.to_builtins(generation.stats),
        "sweep": found.sweep,
        "not_found": list(found.selection.not_found),
        "notes": list(found.notes),
        "changed": content is not None,
    }
    version = generation.universe_version
    if isinstance(generation, Delta):
        told |= _changes(generation)
        version -= content is None
    told |= {
        "universe_version": version,
        "kind": generation.kind if content is not None else None,
        "file": str(out) if content is not None else None,
        "bytes": len(content) if content is not None else None,
        "sha256": hashlib.sha256(content).hexdigest() if content is not None else None,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def resolutions_report(
    document: ResolutionsFile, found: Resolved, content: bytes, out: Path
) -> str:
    """Return one JSON object on one line about a file of resolutions that was written."""
    told = {
        "run_id": document.run_id,
        "gamma_pages_fetched": document.gamma_pages_fetched,
        "markets": len(document.markets),
        **document.counts,
        "notes": list(found.notes),
        "file": str(out),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _changes(delta: Delta) -> dict[str, Any]:
    relevant = [each for each in delta.changed if SIMULATION_FIELDS & set(each.fields)]
    return {
        "since_version": delta.since.universe_version,
        "markets_added": len(delta.added),
        "markets_removed": len(delta.removed),
        "markets_changed": len(delta.changed),
        "markets_changed_for_simulation": len(relevant),
        "tokens_added": sum(len(row.tokens) for row in delta.added),
        "tokens_removed": sum(len(each.token_ids) for each in delta.removed),
    }
