"""Read and write the run bundles of a market-data capture: frames, index, runlog and run state."""

from pm_frames.bundle import Bundle, RunState, open_bundle
from pm_frames.continuity import Continuity
from pm_frames.damage import Damage
from pm_frames.errors import BundleError
from pm_frames.frames import Frame, FrameDecoder, encode_frame, read_frames
from pm_frames.layout import Flag
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard
from pm_frames.writer import ShardWriter

__all__ = [
    "Bundle",
    "BundleError",
    "Continuity",
    "Damage",
    "Flag",
    "Frame",
    "FrameDecoder",
    "RunState",
    "Shard",
    "ShardWriter",
    "encode_frame",
    "open_bundle",
    "read_frames",
    "scan_shard",
]
