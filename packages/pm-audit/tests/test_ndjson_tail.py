"""The tail of an NDJSON file, against the plainest reading of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.inspect import ndjson_tail as module
from pm_audit.inspect.ndjson_tail import NdjsonTail, ndjson_tail

LINES = st.lists(
    st.one_of(
        st.integers(0, 99).map(lambda n: json.dumps({"n": n}).encode()),
        st.sampled_from([b"", b"[1]", b"no json", b"\xff"]),
    ),
    max_size=6,
)


@given(LINES, st.sampled_from([b"", b'{"torn', b"x" * 40]), st.integers(1, 12))
def test_it_is_what_reading_all_of_it_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "m.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn)
    last = None
    if lines:
        try:
            value = json.loads(lines[-1])
            last = value if isinstance(value, dict) else None
        except ValueError:
            pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        assert ndjson_tail(path) == NdjsonTail(len(lines), last, len(torn))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ndjson_tail(tmp_path / "m.ndjson")
