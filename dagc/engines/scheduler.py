"""How an engine schedules requests: what shares a step, what a request reserves, and its limits with their defaults.

A limit is an option of the `engine` block by the name of its flag, `max_num_seqs 512`; `Scheduler.given` has those
that a plan gives. Where a default depends on the memory of the GPU, `Limit.defaults` has it by GiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class CacheReservation(StrEnum):
    """What of the KV cache a request takes when it is admitted."""

    GROW = "grow"
    """Blocks of the tokens that are computed; where none is free, the request admitted last is preempted."""
    WHOLE = "whole"
    """Blocks of prompt and output; nothing is preempted."""
    ESTIMATE = "estimate"
    """Blocks of the tokens that are computed, where beside them the running ones are expected to find room for a share
    of their output; where none is free, the one with the fewest output tokens is preempted."""


class AfterEnd(StrEnum):
    """What a sequence that ended does in the next step, which was composed before its end was known."""

    LEAVES = "leaves"
    """Nothing: a step is composed when the results of the one before are known."""
    ROW = "row"
    """It is computed once more, and the token is dropped."""
    SLOT = "slot"
    """It holds its slot and its cache, and is not computed."""


class RequestRouter(StrEnum):
    """How requests come to the queues of attention-dp ranks and replicas."""

    ROUND_ROBIN = "round robin"
    SHORTEST_QUEUE = "shortest queue"
    """The one with the smallest 4 × waiting + running."""
    SHARED_QUEUE = "shared queue"
    """The ranks of a replica take from one queue."""


@dataclass(frozen=True, slots=True)
class SchedulerLimit:
    """A limit of an engine: its `option` in a plan, its `flag` on the command line.

    `defaults` are pairs of GiB of a GPU and the default of GPUs with at least so many, the largest first. A switch is 0
    or 1, and `off_flag` turns off what is on by default. A flag that ends in `:` is a key of the settings file.
    `is_divided`: over the attention-dp ranks of an instance; other limits are those of each rank.
    """

    option: str
    flag: str
    defaults: tuple[tuple[float, int], ...]
    is_switch: bool = False
    off_flag: str = ""
    is_divided: bool = False

    def default(self, gibibytes: float) -> int:
        """The default on a GPU with so much memory."""
        return next(default for minimum, default in self.defaults if gibibytes >= minimum)


def fixed(option: str, flag: str, default: int, is_divided: bool = False) -> SchedulerLimit:
    """A limit with one default."""
    return SchedulerLimit(option, flag, ((0, default),), is_divided=is_divided)


def switch(option: str, flag: str, default: int = 0, off_flag: str = "") -> SchedulerLimit:
    """A switch."""
    return SchedulerLimit(option, flag, ((0, default),), is_switch=True, off_flag=off_flag)


ON, OFF = switch("", "", 1), switch("", "")
"""What an engine does, or does not, and has no option for."""

_MOST_RUNNING = fixed("", "", 4096)
"""Sequences that run on a rank where nothing limits them but the cache."""

_EVERY_STEP = fixed("", "", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """How an engine composes steps, for each attention-dp rank. The defaults are those of a plan without an engine.

    `token_budget` limits the tokens of a step in which prompts and decoded ones are mixed, `prefill_budget` those of a
    step of prompts alone, `prefill_chunk` the tokens of one prompt in a step. `chunks` splits a prompt that has no room
    in a step; `mixes` puts prompts and decoded tokens into one step. `receive_interval`: decode steps between two looks
    at what arrived. `balances`: prompts of some attention-dp ranks wait until all ranks have one, for `balance_steps`
    decode steps at most. `ahead`: a step is composed while the one before it runs; `is_ahead_off` says that this switch
    turns it off. None of a limit: the engine has no such option, and the value of a plan without an engine holds.

    `output_share` is the share of the remaining output for which ESTIMATE keeps room, without and with attention dp; it
    falls in `output_steps` decode steps to `output_floor` of itself.
    """

    mixes: SchedulerLimit = ON
    chunks: SchedulerLimit = ON
    ahead: SchedulerLimit = OFF
    is_ahead_off: bool = False
    token_budget: SchedulerLimit | None = None
    prefill_budget: SchedulerLimit | None = None
    prefill_chunk: SchedulerLimit | None = None
    most_running: SchedulerLimit = _MOST_RUNNING
    receive_interval: SchedulerLimit = _EVERY_STEP
    balances: SchedulerLimit = OFF
    balance_steps: int = 0
    reservation: CacheReservation = CacheReservation.GROW
    after_end: AfterEnd = AfterEnd.LEAVES
    router: RequestRouter = RequestRouter.ROUND_ROBIN
    output_share: tuple[float, float] = (0.7, 0.7)
    output_floor: float = 0.14
    output_steps: int = 600
    given: tuple[tuple[str, int], ...] = ()

    def limits(self) -> Iterator[SchedulerLimit]:
        """The limits that are options of the engine."""
        every = (
            self.token_budget, self.prefill_budget, self.prefill_chunk, self.most_running, self.receive_interval,
            self.balances, self.chunks, self.mixes, self.ahead,
        )  # fmt: skip
        return (limit for limit in every if limit is not None and limit.option)

    def value(self, limit: SchedulerLimit, gibibytes: float, ranks: int = 1) -> int:
        """A limit of each of `ranks` attention-dp ranks on GPUs with so much memory: as stated, else its default."""
        value = dict(self.given).get(limit.option, limit.default(gibibytes))
        return max(1, value // ranks) if limit.is_divided and not limit.is_switch else value

    def flags(self) -> tuple[str, ...]:
        """Tokens of the command line for what is stated."""
        tokens: list[str] = []
        for limit, value in self._given():
            if not limit.flag.endswith(":"):
                flag = limit.flag if value or not limit.is_switch else limit.off_flag
                tokens += [flag] * bool(flag) if limit.is_switch else [flag, str(value)]
        return tuple(tokens)

    def settings(self) -> dict[str, bool | int]:
        """Keys of the settings file for what is stated."""
        return {
            limit.flag.removesuffix(":"): bool(value) if limit.is_switch else value
            for limit, value in self._given()
            if limit.flag.endswith(":")
        }

    def _given(self) -> Iterator[tuple[SchedulerLimit, int]]:
        given = dict(self.given)
        return ((limit, given[limit.option]) for limit in self.limits() if limit.option in given)


NO_ENGINE_SCHEDULER = Scheduler()
"""How requests are scheduled in a plan that names no engine: mixed and chunked steps of the workload's `chunk`."""
