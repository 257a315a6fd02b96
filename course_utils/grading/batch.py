"""Grade many submissions: on a process pool, or on a dask cluster with the same function.

Results come as they are ready, one for every job, whatever happens to the processes that
make them.
"""

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import psutil

from course_utils.grading.grade import Graded, Job, given_up, grade_one

__all__ = ["ClusterError", "run_on_cluster", "run_on_pool"]

MAX_TRIES = 2
CONNECT_SECONDS = 20


class ClusterError(RuntimeError):
    """The cluster cannot be reached or does not have what grading needs."""


def run_on_pool(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Graded]]:
    """Grade on a pool of processes of this machine.

    A process that is killed from outside breaks its pool: the jobs that it took along are
    tried again, each alone, and one that breaks its pool once more is given up with a reason.
    """
    waiting = deque(range(len(jobs)))
    suspects: list[int] = []
    failures = 0
    while waiting and failures <= MAX_TRIES:
        before = len(waiting)
        yield from _pool(jobs, waiting, workers, suspects)
        failures = failures + 1 if len(waiting) == before else 0
    for number in waiting:
        yield jobs[number], _given_up(jobs[number], "no grading process can be started")
    alone, tries = deque(suspects), Counter(suspects)
    while alone:
        lost: list[int] = []
        yield from _pool(jobs, alone, 1, lost)
        for number in lost:
            tries[number] += 1
            if tries[number] <= MAX_TRIES:
                alone.append(number)
            else:
                yield jobs[number], _given_up(jobs[number], "its grading process was killed")


def run_on_cluster(jobs: Sequence[Job], address: str) -> Iterator[tuple[Job, Graded]]:
    """Grade on the workers of a dask.distributed scheduler; lost ones are made up for.

    Each worker needs the same checkout of the course at the same path, and a sandbox.

    Raises
    ------
    ClusterError
        If no scheduler answers at the address, or it has no workers.
    """
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no dask scheduler answers at {address} ({error}); start one with `dask scheduler` "
            "and workers with `dask worker ADDRESS --nthreads 1`"
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise ClusterError(f"the scheduler at {address} has no workers: start some")
        futures = {
            client.submit(grade_one, job, pure=False, retries=MAX_TRIES): job for job in jobs
        }
        for future in as_completed(futures, loop=client.loop):
            job = futures[future]
            error = future.exception()
            yield job, future.result() if error is None else _given_up(job, str(error))
            future.release()


def _pool(
    jobs: Sequence[Job], waiting: deque[int], workers: int, lost: list[int]
) -> Iterator[tuple[Job, Graded]]:
    """Take jobs off ``waiting`` until none is left or the pool breaks.

    Few are under way at a time, as a pool that breaks takes all of them along, into ``lost``;
    with one worker it is one, which then is the culprit.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(waiting)),
        context,
        initializer=_begin,
        initargs=(context.Value("i", 0),),
    ) as pool:
        running: dict[Future, int] = {}
        most = workers + 1 if workers > 1 else 1
        is_broken = False
        try:
            while running or (waiting and not is_broken):
                while waiting and not is_broken and len(running) < most:
                    try:
                        future = pool.submit(grade_one, jobs[waiting[0]])
                    except (BrokenProcessPool, OSError):  # no process can be had, or no longer
                        is_broken = True
                    else:
                        running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    graded = _result_of(jobs[number], future)
                    if graded is None:
                        is_broken = True
                        lost.append(number)
                    else:
                        yield jobs[number], graded
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(taken: Any) -> None:
    """Prepare a worker: an interrupt ends it, and it keeps to a core of its own.

    A submission that starts many processes would take the time of all others otherwise, who
    would then be too slow for their limits.
    """
    signal.signal(signal.SIGINT, _end)
    with taken.get_lock():
        number, taken.value = taken.value, taken.value + 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def _end(*_: Any) -> None:
    """End a worker and the sandboxes it started, wherever in its work it is."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(130)


def _result_of(job: Job, future: Future) -> Graded | None:
    """Return what a job came to, or None where its pool broke."""
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return None
    return future.result() if error is None else _given_up(job, f"{type(error).__name__}: {error}")


def _given_up(job: Job, reason: str) -> Graded:
    """Return the result of a job that no process brought to an end."""
    return given_up(job, f"the grader gave up: {reason}")
