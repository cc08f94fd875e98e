"""What is kept in the cache directory, whoever shares it and whoever dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import T0, book, change, compact, make_at, price_change, subscribed
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_replay.cache_files import cache_path, let_go, made_aside, note_use

DIGESTS = [letter * 64 for letter in "abcdef"]


def put(directory: Path, digest: str, size: int, used_ns: int) -> Path:
    path = cache_path(directory, digest)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(used_ns, used_ns))
    return path


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=6),
    keep=st.integers(0, 5),
    bytes_max=st.integers(0, 40),
)
def test_the_least_recently_used_go_until_the_rest_is_small_enough(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[int, int]],
    keep: int,
    bytes_max: int,
) -> None:
    directory = tmp_path_factory.mktemp("cache")
    paths = [
        put(directory, digest, size, used * 10**9)
        for digest, (size, used) in zip(DIGESTS, files, strict=False)
    ]
    kept = paths[keep % len(paths)]
    size_of = {path: size for path, (size, _) in zip(paths, files, strict=True)}
    used_of = {path: (used, path.name) for path, (_, used) in zip(paths, files, strict=True)}
    let_go(directory, bytes_max=bytes_max, keep=kept)
    left = [path for path in paths if path.exists()]
    gone = [path for path in paths if not path.exists()]
    assert kept in left
    others = [path for path in left if path != kept]
    assert sum(size_of[path] for path in left) <= bytes_max or not others
    if gone:
        last = max(gone, key=used_of.__getitem__)
        assert all(used_of[last] < used_of[path] for path in others), "an older one was kept"
        before = sum(size_of[path] for path in [*left, last])
        assert before > bytes_max, "one too many went"


def test_use_is_what_counts(tmp_path: Path) -> None:
    older, newer = (put(tmp_path, digest, 5, at) for at, digest in enumerate(DIGESTS[:2], 1))
    note_use(older)
    let_go(tmp_path, bytes_max=5, keep=tmp_path / "none")
    assert names(tmp_path) == {older.name}
    note_use(newer)  # gone: nothing happens
    assert names(tmp_path) == {older.name}


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    mine = put(tmp_path, DIGESTS[0], 5, 1)
    (tmp_path / "notes.txt").write_text("x" * 100)
    (tmp_path / ("a" * 63 + ".pmck")).write_bytes(b"short name")
    (tmp_path / ("a" * 64 + ".pmck.bak")).write_bytes(b"long name")
    (tmp_path / ("b" * 64 + ".pmck")).mkdir()
    (tmp_path / "making-of.mp4").write_bytes(b"a file")
    (tmp_path / "photos").mkdir()
    expected = names(tmp_path)
    let_go(tmp_path, bytes_max=0, keep=tmp_path / "none")
    assert names(tmp_path) == expected - {mine.name}
    let_go(tmp_path / "nowhere", bytes_max=0, keep=mine)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"x")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "making-link").symlink_to(tmp_path / "elsewhere")
    (cache / f"{DIGESTS[0]}.pmck").symlink_to(tmp_path / "elsewhere" / "file")
    let_go(cache, bytes_max=0, keep=cache / "none")
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"x"
    assert len(names(cache)) == 2


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = cache_path(tmp_path / "cache", DIGESTS[0])
    with made_aside(path) as aside:
        aside.write_bytes(b"half")
        assert not path.exists()
        # While it is made nobody takes it away.
        let_go(path.parent, bytes_max=0, keep=tmp_path / "none")
        aside.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    with pytest.raises(TypeError), made_aside(path) as aside:
        aside.write_text(b"half")  # type: ignore[arg-type]
    with made_aside(path):
        pass  # nothing was made after all
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == {path.name}


MAKER = """\
import sys
from pathlib import Path
from pm_replay.cache_files import made_aside
with made_aside(Path(sys.argv[1])) as aside:
    aside.write_bytes(b"half")
    print("making", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_program_left_is_removed_when_it_is_dead(tmp_path: Path) -> None:
    path = cache_path(tmp_path, DIGESTS[0])
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert maker.stdout is not None
    assert maker.stdout.readline().strip() == b"making"
    let_go(tmp_path, bytes_max=0, keep=path)
    [aside] = tmp_path.iterdir()
    assert (aside / path.name).read_bytes() == b"half"
    maker.kill()
    maker.communicate()
    let_go(tmp_path, bytes_max=0, keep=path)
    assert names(tmp_path) == set()


def test_programs_that_share_a_cache_without_room_tell_the_same(tmp_path: Path) -> None:
    """Each takes away what the others have made, at any moment, and all are right."""
    frames = [
        (0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
        *(
            (0, T0 + 100 * n, compact(price_change(change("1", "0.4", str(n), "BUY"), ts=str(n))))
            for n in range(1, 40)
        ),
    ]
    runs = []
    for number in range(3):
        made = make_at(tmp_path / f"run-{number}", frames, subscribed("1"))
        digest = {"sha256sums_sha256": DIGESTS[number]}
        (made.path / "seal.json").write_text(json.dumps(digest))
        runs.append(made.path)
    cache = tmp_path / "cache"

    def start(run: Path, *flags: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "pm_replay", str(run), "--from", "+2050ns", *flags]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    shared = ["--cache-dir", str(cache), "--cache-every", "4", "--cache-mb", "0"]
    plain = start(runs[0], "--no-cache")
    started = [start(run, *shared) for run in runs * 2]
    hashes = {json.loads(plain.communicate()[0])["event_hash"]}
    for one in started:
        out, err = one.communicate()
        assert one.returncode == 0, err
        hashes.add(json.loads(out)["event_hash"])
    assert len(hashes) == 1
    let_go(cache, bytes_max=0, keep=cache_path(cache, DIGESTS[0]))
    assert names(cache) <= {f"{DIGESTS[0]}.pmck"}
