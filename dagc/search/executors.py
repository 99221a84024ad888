"""Work goes out in pieces and comes back in the order of the pieces, on any worker and at any time.

An executor is one of `concurrent.futures`; `InProcess` does the work where it is asked for. A crew of processes that
loses one is made anew and does again what had not come back; a Dask cluster does so by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dagc.search.crew import Crew

Piece = TypeVar("Piece")
Done = TypeVar("Done")

Awaited = Callable[[], Done]
"""Work that has begun: who calls it waits for what comes of it."""

RETRIES = 3
"""How often a broken crew is made anew before the search gives up."""


class InProcess(Executor):
    """Does the work at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass(slots=True)
class _Sent(Generic[Done]):
    """Pieces on their way, by number, and whom they were given to."""

    executor: Executor
    futures: dict[int, Future[Done]] = field(default_factory=dict[int, "Future[Done]"])


class Workers:
    """Who does the work of a search."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make, self._executor = make, make()

    def begin(
        self, work: Callable[[Piece], Done], pieces: Sequence[Piece], kin: Sequence[int] | None = None
    ) -> Awaited[list[Done]]:
        """What the work makes of each piece, in their order; a piece whose worker died is done again.

        Pieces of the same `kin` have much in common: where each worker keeps what it worked out, one does them all.
        """
        sent = self._send(work, dict(enumerate(pieces)), kin)
        return lambda: self._collect(work, pieces, sent)

    def _collect(self, work: Callable[[Piece], Done], pieces: Sequence[Piece], sent: _Sent[Done]) -> list[Done]:
        found: dict[int, Done] = {}
        for attempt in range(RETRIES + 1):
            try:
                for i, future in sent.futures.items():
                    found[i] = future.result()
            except BrokenProcessPool:
                if attempt == RETRIES:
                    raise
                self._renew(sent.executor)
            left = {i: piece for i, piece in enumerate(pieces) if i not in found}
            if not left:
                break
            sent = self._send(work, left)
        return [found[i] for i in range(len(pieces))]

    def _send(
        self, work: Callable[[Piece], Done], pieces: Mapping[int, Piece], kin: Sequence[int] | None = None
    ) -> _Sent[Done]:
        """The pieces on their way; what a broken crew does not take is found missing when it is waited for."""
        executor = self._executor
        sent = _Sent[Done](executor)
        with suppress(BrokenProcessPool):
            for i, piece in pieces.items():
                if kin and isinstance(executor, Crew):
                    sent.futures[i] = executor.submit_akin(kin[i], work, piece)
                else:
                    sent.futures[i] = executor.submit(work, piece)
        return sent

    def _renew(self, broken: Executor) -> None:
        """A crew in place of a broken one, unless there is one already."""
        if self._executor is broken:
            self.close()
            self._executor = self._make()

    def close(self) -> None:
        """Let the workers go; what they have not begun is dropped."""
        if isinstance(self._executor, Crew):
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
    make = InProcess if number == 1 else lambda: Crew(number)
    found = Workers(make)
    try:
        yield found
    finally:
        found.close()


def _cluster(address: str) -> Generator[Workers]:
    import distributed

    client: Any
    with distributed.Client(address, timeout=5, set_as_default=False) as client:
        found = Workers(lambda: client.get_executor(pure=False))
        try:
            yield found
        finally:
            found.close()
