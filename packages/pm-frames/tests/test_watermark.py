import threading
from pathlib import Path

import pytest

from pm_frames.errors import WriteFailed
from pm_frames.watermark import WatermarkWriter, read_watermark


def test_what_was_published_is_read(tmp_path: Path) -> None:
    path = tmp_path / "watermark"
    assert read_watermark(path) is None
    writer = WatermarkWriter(path)
    assert read_watermark(path) == 0
    writer.publish(0x0102030405060708)
    assert path.read_bytes() == bytes([8, 7, 6, 5, 4, 3, 2, 1])
    assert read_watermark(path) == 0x0102030405060708
    writer.publish(2**64 - 1)
    writer.close()
    writer.close()
    assert read_watermark(path) == 2**64 - 1


def test_it_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "watermark"
    writer = WatermarkWriter(path)
    writer.publish(5)
    writer.publish(4)
    assert read_watermark(path) == writer.value_ns == 5
    writer.close()


def test_a_file_that_is_too_short_has_no_watermark_yet(tmp_path: Path) -> None:
    path = tmp_path / "watermark"
    path.write_bytes(b"\1\2\3")
    assert read_watermark(path) is None


def test_an_existing_watermark_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "watermark"
    WatermarkWriter(path).close()
    with pytest.raises(WriteFailed, match="cannot make the watermark"):
        WatermarkWriter(path)


def test_a_write_that_fails_is_told(tmp_path: Path) -> None:
    writer = WatermarkWriter(tmp_path / "watermark")
    writer.close()
    with pytest.raises(WriteFailed, match="cannot write the watermark"):
        writer.publish(1)


def test_a_reader_beside_a_writer_sees_only_published_values_in_order(tmp_path: Path) -> None:
    path = tmp_path / "watermark"
    writer = WatermarkWriter(path)
    step = 0x0101_0101_0101  # every byte differs between neighbours
    last = 3000

    def publish() -> None:
        for count in range(1, last + 1):
            writer.publish(count * step)

    thread = threading.Thread(target=publish)
    thread.start()
    before = 0
    while before < last * step:
        now = read_watermark(path)
        assert now is not None
        assert now % step == 0
        assert now >= before
        before = now
    thread.join()
    writer.close()
