"""State of a stepwise simulation: requests, queues with their caches, replicas."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

ONE = 1 << 20
"""A ratio of 1."""
NEVER = 1 << 62


@dataclass(slots=True, eq=False)
class Request:
    """A request and how far it is in the service that it is in."""

    number: int
    prompt: int
    output: int
    hit: int
    present: bool = False
    """Its prompt was computed elsewhere, and is in the cache once it is admitted."""
    computed: int = 0
    decodes: bool = False
    lingers: bool = False
    yielded: bool = False
    """Its prompt has yielded the first token."""
    progress: int = 0
    left: int = 0
    held: int = 0
    previous: int = 0
    """When it yielded the token before."""
    entered: int = 0

    def generated(self, unit: int) -> int:
        return 1 + self.progress // unit if self.yielded else 0

    def target(self, unit: int) -> int:
        return self.prompt + self.generated(unit)

    def context(self, unit: int) -> int:
        return (self.prompt + 1) * unit + self.progress


@dataclass(slots=True)
class Rank:
    """One queue and its cache, and who takes part in the step that runs."""

    place: int
    free: int
    ratio: int
    inbox: deque[Request] = field(default_factory=deque)
    """Requests that have entered and are not received yet, in the order of their entry."""
    queue: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    chunked: Request | None = None
    refused: bool = False
    """A prompt was refused, and none has left since."""
    decodes: list[Request] = field(default_factory=list)
    prompts: list[tuple[Request, int]] = field(default_factory=list)
    waiting_time: int = 0
    running_time: int = 0
    """Picoseconds times the requests that waited or ran."""

    @property
    def load(self) -> int:
        return 4 * (len(self.inbox) + len(self.queue)) + len(self.running)


@dataclass(slots=True)
class Replica:
    """Ranks that share each step, and the link by which what they computed leaves."""

    ranks: list[Rank]
    idle: bool = True
    """It has found nothing to do since its last step."""
    start: int = 0
    """When its last step began."""
    launched: int = 0
    """When the host had launched it."""
    outputs: list[tuple[Rank, Request, bool]] = field(default_factory=list)
    """Tokens that were computed and are not out yet; whether a prompt yielded it as the first one."""
    end: int = NEVER
    inbox: deque[Request] = field(default_factory=deque)
    queue: deque[Request] = field(default_factory=deque)
    """Of all ranks, where they share one: what has entered, and what of that has been received."""
    polled: int = 0
    """Steps since requests were received."""
    held: bool = False
    """In its last step prompts waited for those of other ranks."""
    waited: int = 0
    """Steps for which they have."""
    link_end: int = 0
    busy: int = 0

    def holds_prompts(self, most: int, having: list[bool]) -> bool:
        """Whether prompts wait for those of other ranks, for `most` steps (TensorRT-LLM, `_balance_adp_requests`).

        `having`: of each rank, whether it has a prompt that the next step has room for.
        """
        all_decode = all(any(r.decodes for r in rank.running) for rank in self.ranks)
        self.held = any(having) and not all(having) and all_decode and self.waited < most
        self.waited *= self.held
        return self.held

    def composition(self, ahead: bool, now: int) -> int:
        """When the host composes the step that begins now: what enters later is not in it.

        A replica that is idle does so at once, and one that is not `ahead` when the step before has ended. One that is,
        when it has launched the step before and has the results of the one before that (vLLM 0.19,
        v1/engine/core.py, step_with_batch_queue; SGLang 0.5.9, managers/scheduler.py, event_loop_overlap).
        """
        return max(self.start, self.launched) if ahead and not self.idle else now

    def receive(self, until: int) -> None:
        """What has entered until then is where the scheduler sees it."""
        for place in (self, *self.ranks):
            while place.inbox and place.inbox[0].entered <= until:
                place.queue.append(place.inbox.popleft())

    def assign(self, most_running: int) -> list[tuple[Request, Rank]]:
        """Requests of the shared queue go to ranks, long prompts first, each to the one with the fewest prompt tokens.

        As many as slots are free; a rank has no more than an equal share, or than the largest one has (TensorRT-LLM
        1.1, _torch/pyexecutor/executor_request_queue.py).
        """
        active = [len(rank.queue) + len(rank.inbox) + len(rank.running) for rank in self.ranks]
        room = len(self.ranks) * most_running - sum(active)
        new = [self.queue.popleft() for _ in range(min(room, len(self.queue)))]
        share = max(-(-(sum(active) + len(new)) // len(self.ranks)), *active)
        tokens = [sum(r.prompt for r in (*rank.running, *rank.queue)) for rank in self.ranks]
        assigned: list[tuple[Request, Rank]] = []
        for r in sorted(new, key=lambda r: -r.prompt):
            _, _, i = min((tokens[i], n, i) for i, n in enumerate(active) if n < share)
            tokens[i], active[i] = tokens[i] + r.prompt, active[i] + 1
            self.ranks[i].queue.append(r)
            assigned.append((r, self.ranks[i]))
        return assigned


@dataclass(slots=True)
class PromptRoom:
    """What a step of prompts has left while a rank composes it."""

    chunk: int
    space: int
    promised: int = 0
    """Tokens of the cache that others are expected to take."""
    ends: list[tuple[int, int]] = field(default_factory=list)
    """Tokens to come and tokens held of the running ones and of those that were asked for, by the first number."""

    def all_end(self, rank: Rank, r: Request, room: int, unit: int) -> bool:
        """Whether all have room until they end, each with a token to spare (SGLang, add_one_req_ignore_eos).

        One that comes after all is put before the last of them.
        """

        def end(one: Request) -> tuple[int, int]:
            generated = one.generated(unit)
            return one.output - generated, one.prompt + generated

        ends = self.ends
        if not ends:
            ends += sorted((e for e in map(end, (r, *rank.running)) if e[0] > 0), key=lambda e: e[0])
        elif end(r)[0] > 0:
            later = [i for i, e in enumerate(ends) if e[0] >= end(r)[0]]
            ends.insert(later[0] if later else len(ends) - 1, end(r))
        for i, (left, held) in enumerate(ends):
            if room - left * (len(ends) - i) <= len(ends) - i:
                return False
            room += held
        return True
