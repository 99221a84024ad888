"""Work goes out in pieces and comes back in the order of the pieces, whoever does it.

An executor is one of `concurrent.futures`; `InProcess` does the work where it is asked for. A pool of processes that
loses one is made anew and does again what had not come back; a Dask cluster does so by itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Done = TypeVar("Done")

RETRIES = 3
"""How often a broken pool is made anew before the search gives up."""


class InProcess(Executor):
    """Does the work at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Workers:
    """Who does the work of a search."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make, self._executor = make, make()

    def done(self, work: Callable[[Piece], Done], pieces: Sequence[Piece]) -> list[Done]:
        """What the work makes of each piece, in their order; a piece whose worker died is done again."""
        found: dict[int, Done] = {}
        for attempt in range(RETRIES + 1):
            try:
                left = [i for i in range(len(pieces)) if i not in found]
                futures = {i: self._executor.submit(work, pieces[i]) for i in left}
                for i, future in futures.items():
                    found[i] = future.result()
                break
            except BrokenProcessPool:
                if attempt == RETRIES:
                    raise
                self.close()
                self._executor = self._make()
        return [found[i] for i in range(len(pieces))]

    def close(self) -> None:
        """Let the workers go; what they have not begun is dropped."""
        if isinstance(self._executor, ProcessPoolExecutor):
            self._executor.shutdown(wait=False, cancel_futures=True)
        else:
            self._executor.shutdown(wait=False)


@contextmanager
def workers(number: int, dask: str | None = None) -> Generator[Workers]:
    """So many processes of this machine, this process itself for one; or the cluster at a Dask scheduler's address.

    Raises ImportError without Dask's `distributed`, OSError where nothing answers at the address.
    """
    if dask is not None:
        yield from _cluster(dask)
        return
    make = InProcess if number == 1 else lambda: ProcessPoolExecutor(number, initializer=_quiet)
    found = Workers(make)
    try:
        yield found
    finally:
        found.close()


def _quiet() -> None:
    """Ctrl-C is for the search, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cluster(address: str) -> Generator[Workers]:
    import distributed

    client: Any
    with distributed.Client(address, timeout=5, set_as_default=False) as client:
        found = Workers(lambda: client.get_executor(pure=False))
        try:
            yield found
        finally:
            found.close()
