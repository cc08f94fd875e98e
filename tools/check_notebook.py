"""The three lines of pm-frames' README, with real numpy, pandas and polars. Run by `nox -s notebook`."""

import tempfile
from pathlib import Path

import pandas
import polars

from pm_frames import Shard, ShardWriter

with tempfile.TemporaryDirectory() as folder:
    writer = ShardWriter(Path(folder), 0)
    for number in range(3):
        writer.append(
            [(1, b"x" * number)],
            rx_mono_ns=number,
            rx_wall_ns_utc=1_790_000_000_000_000_000 + number,
        )
    writer.close()
    shard = Shard(0, Path(folder) / "shard_00.frames", Path(folder) / "shard_00.idx")
    columns = shard.columns()
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns)):
        assert len(frame) == 3, frame
        assert list(frame["payload_len"]) == [0, 1, 2], frame
        assert int(frame["rx_wall_ns_utc"][2]) == 1_790_000_000_000_000_002, frame
print("pandas and polars read the columns of a shard")
