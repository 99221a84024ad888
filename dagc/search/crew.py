"""Processes of this machine of which each gets work similar to its earlier work.

What a process works out for a strategy is known to it alone, and of use for similar strategies. So every process
has a queue of its own; who has an empty one takes from the end of the longest. Nothing here knows what the work is.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import parent_process
from threading import Lock, Thread
from typing import Any, NamedTuple

_AHEAD = 2
"""Pieces of work that a process has at a time: the one it does, and the next."""


class _Task(NamedTuple):
    future: Future[Any]
    work: Callable[[], Any]


class Crew(Executor):
    """So many processes. A crew that loses one is broken: all that is not done raises BrokenProcessPool."""

    def __init__(self, number: int) -> None:
        """Processes begin when there is work for them."""
        self._processes = [ProcessPoolExecutor(1, initializer=_begin) for _ in range(number)]
        self._queues: list[deque[_Task]] = [deque() for _ in range(number)]
        self._busy = [0] * number
        self._lock = Lock()
        self._ended: BrokenProcessPool | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Work that is similar to none: for the process with the least to do."""
        waiting = [len(queue) + busy for queue, busy in zip(self._queues, self._busy, strict=True)]
        return self.submit_akin(waiting.index(min(waiting)), fn, *args, **kwargs)

    def submit_akin(self, kin: int, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Work for the process that has all work of this kin, unless another has nothing to do."""
        task, home = _Task(Future(), partial(fn, *args, **kwargs)), kin % len(self._queues)
        with self._lock:
            if self._ended:
                raise self._ended
            self._queues[home].append(task)
        self._feed(home)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the processes go; what they have not begun is dropped."""
        self._end(BrokenProcessPool("the crew was let go"))
        for process in self._processes:
            process.shutdown(wait, cancel_futures=cancel_futures)

    def _feed(self, number: int) -> None:
        """Give a process what it has room for."""
        while task := self._next(number):
            try:
                done = self._processes[number].submit(task.work)
            except RuntimeError as problem:
                self._end(problem)
                task.future.set_exception(BrokenProcessPool(str(problem)))
            else:
                done.add_done_callback(partial(self._take, number, task))

    def _next(self, number: int) -> _Task | None:
        """The next task of a process, counted as its own; None where it has enough, or nothing is left."""
        with self._lock:
            if self._ended or self._busy[number] >= _AHEAD:
                return None
            own = self._queues[number]
            longest = max(self._queues, key=len)
            if not own and not longest:
                return None
            self._busy[number] += 1
            return own.popleft() if own else longest.pop()

    def _take(self, number: int, task: _Task, done: Future[Any]) -> None:
        """What came of a task; its process goes on, and so does who had nothing to do."""
        with self._lock:
            self._busy[number] -= 1
        problem = BrokenProcessPool("the crew was let go") if done.cancelled() else done.exception()
        if problem is None:
            task.future.set_result(done.result())
        else:
            task.future.set_exception(problem)
            if isinstance(problem, BrokenProcessPool):
                self._end(problem)
        for other in range(len(self._processes)):
            self._feed(other)

    def _end(self, problem: Exception) -> None:
        """Nothing is begun any more; who waits for what was not is told."""
        with self._lock:
            self._ended = self._ended or BrokenProcessPool(str(problem))
            left = [task for queue in self._queues for task in queue]
            for queue in self._queues:
                queue.clear()
        for task in left:
            task.future.set_exception(self._ended)


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
