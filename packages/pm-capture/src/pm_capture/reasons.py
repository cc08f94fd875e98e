"""Why a run may end as fatal: the `fatal_reason` of `fatal.json` and of the runlog.

Reasons that other programs of this kind have, and that cannot happen here: `DROP` and `WRITE_QUEUE_FULL`
(there is no queue between socket and file), `LATENCY_FATAL` (slowness that matters is
`BACKPRESSURE_STALL`), `VERIFY_CORRUPTION` (a capture does not read what it has written; pm-verify does).
"""

from enum import StrEnum


class FatalReason(StrEnum):
    """Every reason that this program can give."""

    BACKPRESSURE_STALL = "BACKPRESSURE_STALL"
    CHURN_GUARD_SUSTAINED = "CHURN_GUARD_SUSTAINED"
    FRAME_WRITER_ERROR = "FRAME_WRITER_ERROR"
    INTERNAL_ASSERT = "INTERNAL_ASSERT"
    LOW_DISK = "LOW_DISK"
    MONO_TIME_QUANTIZED = "MONO_TIME_QUANTIZED"
    RECONNECT_STORM = "RECONNECT_STORM"
    RUNLOG_FAILURE = "RUNLOG_FAILURE"
    SUBSCRIBE_CONFIRM_FAIL = "SUBSCRIBE_CONFIRM_FAIL"
    WRITE_FAILED = "WRITE_FAILED"
