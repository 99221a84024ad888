"""A pool of workers: work goes out in pieces and comes back in the order of the pieces, on any worker and at any time.

The workers are this process itself, processes of this machine, or those of a Dask cluster. A pool that loses a process
is started again and repeats what had not come back; a Dask cluster does so by itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Done = TypeVar("Done")

RETRIES = 3
"""How often a broken pool is started again before the search gives up."""


class WorkerPool:
    """Does pieces of work on the executor that `make` gives; without one, in this process."""

    def __init__(self, make: Callable[[], Executor] | None = None) -> None:
        self._make = make
        self._executor = make() if make else None

    def map(self, work: Callable[[Piece], Done], pieces: Sequence[Piece]) -> list[Done]:
        """What the work makes of each piece, in their order; a piece whose worker died is done again.

        Raises BrokenProcessPool where workers die again and again.
        """
        if self._executor is None:
            return [work(piece) for piece in pieces]
        found: dict[int, Done] = {}
        for attempt in range(RETRIES + 1):
            try:
                left = [i for i in range(len(pieces)) if i not in found]
                sent = [(i, self._executor.submit(work, pieces[i])) for i in left]
                found.update((i, future.result()) for i, future in sent)
                break
            except BrokenProcessPool:
                if attempt == RETRIES or self._make is None:
                    raise
                self.close()
                self._executor = self._make()
        return [found[i] for i in range(len(pieces))]

    def close(self) -> None:
        """Let the workers go; what they have not begun is dropped."""
        if isinstance(self._executor, ProcessPoolExecutor):
            self._executor.shutdown(wait=False, cancel_futures=True)
        elif self._executor is not None:
            self._executor.shutdown(wait=False)


@contextmanager
def worker_pool(number: int, dask: str | None = None) -> Generator[WorkerPool]:
    """So many processes of this machine, this process itself for one; or the cluster at a Dask scheduler's address.

    Raises ImportError without Dask's `distributed`, OSError where nothing answers at the address.
    """
    if dask is not None:
        yield from _cluster(dask)
        return
    pool = WorkerPool(None if number == 1 else lambda: ProcessPoolExecutor(number, initializer=_begin))
    try:
        yield pool
    finally:
        pool.close()


def _cluster(address: str) -> Generator[WorkerPool]:
    import distributed

    client: Any
    with distributed.Client(address, timeout=5, set_as_default=False) as client:
        pool = WorkerPool(lambda: client.get_executor(pure=False))
        try:
            yield pool
        finally:
            pool.close()


def _begin() -> None:
    """Ctrl-C is for the search, which then ends its workers. One that is killed cannot: they end with it.

    SIGTERM ends a worker at once: it has nothing to finish.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
