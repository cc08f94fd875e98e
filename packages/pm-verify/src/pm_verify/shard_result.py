"""What one shard's file pair turned out to be: counts for the report, findings for the reader."""

from dataclasses import dataclass, field

from pm_verify.findings import Finding, Tally
from pm_verify.sweep import NOTHING, Agreement


@dataclass(slots=True)
class ShardResult:
    """The facts about one shard. Paths are relative to the run; offsets are bytes in their file.

    `records` counts frames that are whole and sound, `errors` the damaged places in .frames, of
    which `crc_mismatch` are payloads that miss their CRC. `last_good_offset` is the end of the
    last sound record before `first_bad_offset`. Stamps are those of the first and last sound record.
    `idx_expected` is false where frames alone were asked about. `agreed` is what needs no repair: up to
    there frames and index are right in everything. `sound_until_mono_ns` is the stamp of the last record before
    the first damage in either file, 0 where there is none; None without damage.
    """

    shard: int | None
    frames_path: str | None = None
    idx_path: str | None = None
    frames_bytes: int = 0
    idx_bytes: int = 0
    records: int = 0
    errors: int = 0
    crc_mismatch: int = 0
    truncated: bool = False
    first_bad_offset: int | None = None
    last_good_offset: int = 0
    schema_versions: list[int] = field(default_factory=list)
    idx_records: int = 0
    idx_errors: int = 0
    idx_first_bad_offset: int | None = None
    rx_mono_ns_first: int | None = None
    rx_mono_ns_last: int | None = None
    rx_wall_ns_utc_first: int | None = None
    rx_wall_ns_utc_last: int | None = None
    frames_sha256: str | None = None
    idx_sha256: str | None = None
    idx_expected: bool = True
    agreed: Agreement = NOTHING
    sound_until_mono_ns: int | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def ok(self) -> bool:
        """Return whether nothing was found in either file."""
        return not self.tally.counts

    @property
    def idx_ok(self) -> bool | None:
        """Return whether the index agrees with the frames throughout; None when none was asked for."""
        if self.idx_path is None:
            return False if self.idx_expected else None
        return self.idx_errors == 0

    def note_frames_error(self, offset: int) -> None:
        """Count a damaged place in .frames."""
        self.errors += 1
        if self.first_bad_offset is None or offset < self.first_bad_offset:
            self.first_bad_offset = offset

    def note_idx_error(self, offset: int) -> None:
        """Count a damaged place in .idx."""
        self.idx_errors += 1
        if self.idx_first_bad_offset is None or offset < self.idx_first_bad_offset:
            self.idx_first_bad_offset = offset

    def note_stamps(self, mono: int, wall: int | None) -> None:
        """Note the stamps of the next sound record."""
        if self.rx_mono_ns_first is None:
            self.rx_mono_ns_first, self.rx_wall_ns_utc_first = mono, wall
        self.rx_mono_ns_last, self.rx_wall_ns_utc_last = mono, wall

    def add(self, finding: Finding) -> None:
        """Keep a finding about this shard."""
        self.tally.add(finding)

    def as_json(self) -> dict[str, object]:
        """Return the summary of the shard as JSON values."""
        return {
            "shard": self.shard,
            "ok": self.ok,
            "records": self.records,
            "errors": self.errors,
            "crc_mismatch": self.crc_mismatch,
            "truncated": self.truncated,
            "first_bad_offset": self.first_bad_offset,
            "last_good_offset": self.last_good_offset,
            "frames_bytes": self.frames_bytes,
            "schema_versions": self.schema_versions,
            "idx_ok": self.idx_ok,
            "idx_records": self.idx_records,
            "idx_errors": self.idx_errors,
            "idx_first_bad_offset": self.idx_first_bad_offset,
            "idx_bytes": self.idx_bytes,
            "rx_mono_ns_first": self.rx_mono_ns_first,
            "rx_mono_ns_last": self.rx_mono_ns_last,
            "rx_wall_ns_utc_first": self.rx_wall_ns_utc_first,
            "rx_wall_ns_utc_last": self.rx_wall_ns_utc_last,
            "frames_path": self.frames_path,
            "idx_path": self.idx_path,
        }
