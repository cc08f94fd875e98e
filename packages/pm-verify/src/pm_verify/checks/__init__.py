"""The checks of a run: each takes the evidence and yields findings; none looks at the others."""

from pm_verify.checks.files import check_shard_files
from pm_verify.checks.manifest import check_manifest, check_universe
from pm_verify.checks.merge import check_merge
from pm_verify.checks.repair import check_repair
from pm_verify.checks.runlog import check_claims, check_runlog
from pm_verify.checks.seal import check_seal, check_seal_counts
from pm_verify.checks.slice import check_slice
from pm_verify.checks.state import check_state
from pm_verify.checks.sums import check_listed_files, check_sums, check_unlisted_files

__all__ = ["CHECKS"]

CHECKS = (
    check_state,
    check_manifest,
    check_universe,
    check_shard_files,
    check_runlog,
    check_claims,
    check_sums,
    check_listed_files,
    check_unlisted_files,
    check_seal,
    check_seal_counts,
    check_repair,
    check_slice,
    check_merge,
)
