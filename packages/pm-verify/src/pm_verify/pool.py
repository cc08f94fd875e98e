"""Shards read side by side, each by a process of its own; what comes out does not depend on how many.

A process that dies takes only its own shard with it: those that were under way or waiting are read again,
one process each.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from pm_verify.examine import Task, examine
from pm_verify.findings import Code, Scene
from pm_verify.shard_result import ShardResult
from pm_verify.sweep import Engine

Tell = Callable[[int], None]

# Below this a process costs more to start than it saves.
BYTES_PER_PROCESS_MIN: Final = 128 << 20
LOOK_SECONDS: Final = 0.1

_counter: Any = None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_method() -> str:
    """Return how processes are started: `fork` costs 0.03 s, and `spawn`, which is always safe, 0.3 s.

    A fork copies locks that other threads may hold, and only on Linux are the system's libraries safe.
    """
    alone = threading.active_count() == 1
    return "fork" if sys.platform == "linux" and alone else "spawn"


def worthwhile_jobs(tasks: Sequence[Task], cores: int) -> int:
    """Return how many processes make the reading of these shards faster; 1 for none but this one."""
    size = sum(task.size() for task in tasks)
    return max(1, min(cores, len(tasks), size // BYTES_PER_PROCESS_MIN))


def examine_all(
    tasks: Sequence[Task], *, jobs: int = 1, engine: Engine | None = None, tell: Tell | None = None
) -> list[ShardResult]:
    """Return the results of the tasks in their order. `tell` is told bytes as they are read.

    With more than one job the engine is each process's fastest, and the calling program needs the usual
    `if __name__ == "__main__"`.
    """
    if min(jobs, len(tasks)) <= 1:
        return [examine(task, engine=engine, tell=tell) for task in tasks]
    results: dict[int, ShardResult] = {}
    # The largest first: no process is left alone with it at the end.
    order = sorted(range(len(tasks)), key=lambda number: -tasks[number].size())
    left = _examined(tasks, order, min(jobs, len(tasks)), results, tell)
    for number in left:
        if _examined(tasks, [number], 1, results, tell):
            results[number] = _lost(tasks[number])
    return [results[number] for number in range(len(tasks))]


def _examined(
    tasks: Sequence[Task],
    order: Sequence[int],
    jobs: int,
    results: dict[int, ShardResult],
    tell: Tell | None,
) -> list[int]:
    """Put the results of the tasks in `order` into `results`; return those that a death prevented."""
    context = multiprocessing.get_context(start_method())
    counter = context.Value("q", 0)
    others = set(multiprocessing.active_children())
    told = 0
    left: list[int] = []
    executor = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin, initargs=(counter,)
    )
    try:
        futures: dict[Future[ShardResult], int] = {}
        for number in order:
            try:
                futures[executor.submit(_examine, tasks[number])] = number
            except BrokenProcessPool:
                left.append(number)
        pending = set(futures)
        while pending:
            done, pending = wait(pending, LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                try:
                    results[futures[future]] = future.result()
                except BrokenProcessPool:
                    left.append(futures[future])
            if tell is not None:
                read = counter.value
                tell(read - told)
                told = read
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
    return sorted(left)


def _begin(counter: Any) -> None:
    """Begin a process: Ctrl-C is for the one that started us, which then ends us."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _examine(task: Task) -> ShardResult:
    return examine(task, tell=_tell)


def _tell(size: int) -> None:
    with _counter.get_lock():
        _counter.value += size


def _lost(task: Task) -> ShardResult:
    result = ShardResult(
        task.shard, task.frames, task.idx, idx_expected=task.idx_expected and task.idx is not None
    )
    file = task.frames or task.idx or "capture"
    result.add(Scene(task.root, task.shard).finding(Code.NOT_EXAMINED, file))
    return result
