"""Keys with old names: literal values."""

from pm_capture.families import latencies, losses, queues
from pm_capture.metrics import Meters, quantiles
from pm_frames.histogram import LogHistogram


def test_latencies_are_in_milliseconds_and_say_what_they_are() -> None:
    meters = Meters()
    meters.read_recorded(stamped=0, began=1_000_000, ended=3_000_000)
    meters.read_recorded(stamped=0, began=3_000_000, ended=5_000_000)
    reactions = LogHistogram()
    reactions.record(500_000)
    found = latencies(meters.told(), reactions.to_dict(), quantiles)
    assert len(found) == 30
    for name in ("ws_rx_to_enqueue_ms", "ws_rx_to_parsed_ms"):
        assert (found[f"{name}_mean"], found[f"{name}_max"], found[f"{name}_count"]) == (
            2.0,
            3.0,
            2,
        )
    assert (found["ws_rx_to_applied_ms_mean"], found["ws_rx_to_applied_ms_p99"]) == (4.0, 5.0)
    assert (found["write_end_to_apply_ms_p99"], found["write_end_to_apply_ms_count"]) == (0, 2)
    assert (found["apply_update_ms_p50"], found["apply_update_ms_count"]) == (0.5, 1)


def test_an_empty_interval_is_zero_with_a_count_of_zero() -> None:
    found = latencies(Meters().told(), LogHistogram().to_dict(), quantiles)
    assert set(found.values()) == {0}


def test_only_metrics_can_be_lost() -> None:
    assert losses(metrics_errors=3)["loss_total"] == losses(metrics_errors=3)["loss_metrics_drops"]
    assert set(losses(metrics_errors=0).values()) == set(queues().values()) == {0}
