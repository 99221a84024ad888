"""Serving queues simulated one step after the other, as plainly as it can be said.

Requests arrive, wait, are admitted, take part in steps and leave; nothing is shortened and nothing is kept beside the
state itself. To be compared with the compiled event loop, with which it shares no code.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagc.simulate.kernel import StepTimes
from dagc.simulate.policy import Policy
from dagc.simulate.requests import Requests
from tests.harness.stepwise_service import Service
from tests.harness.stepwise_state import NEVER, Rank, Request

MOST_STEPS = 100_000


class Endless(Exception):
    """More steps than any of the cases needs, or requests that wait and nothing that could happen."""


class Stepwise:
    """The client and the services, from the first arrival to the last token."""

    def __init__(
        self,
        requests: Requests,
        policies: Sequence[Policy],
        times: Sequence[StepTimes],
        entry: int = 0,
        exit_delay: int = 0,
        first_token: int = 0,
        counted: Sequence[bool] | None = None,
    ) -> None:
        self.entry, self.exit_delay, self.first_token, self.cap = entry, exit_delay, first_token, requests.cap
        columns = (requests.prompt.tolist(), requests.output.tolist(), requests.hit.tolist())
        self.requests = [Request(i, *row) for i, row in enumerate(zip(*columns, strict=True))]
        self.arrival: list[int] = requests.arrival.tolist()
        count = len(self.requests)
        self.issued, self.admitted, self.first, self.last = ([-1] * count for _ in range(4))
        self.preempted, self.place = [0] * count, [0] * count
        self.gaps: list[int] = []
        self.counted = counted or [True] * count
        self.transfers: list[tuple[int, int, Request, Rank]] = []
        self.leaves: list[int] = []
        self.entries: list[tuple[int, int]] = []
        self.next = self.in_flight = self.steps = 0
        self.is_split = len(policies) == 2
        self.services: list[Service] = []
        for policy, steps in zip(policies, times, strict=True):
            self.services.append(Service(policy, steps, self))

    def run(self) -> Stepwise:
        """All of it. Raises Endless."""
        last = 0
        while (now := self.next_time()) < NEVER:
            for rank in (rank for service in self.services for replica in service.replicas for rank in replica.ranks):
                rank.waiting_time += (now - last) * (len(rank.inbox) + len(rank.queue))
                rank.running_time += (now - last) * len(rank.running)
            for replica in (replica for service in self.services for replica in service.replicas):
                replica.ranks[0].waiting_time += (now - last) * (len(replica.inbox) + len(replica.queue))
            last = now
            self.events(now)
            for service in self.services:
                for replica in service.replicas:
                    if replica.end == NEVER:
                        service.begin(replica, now)
        if -1 in self.last:
            raise Endless(f"requests {[i for i, t in enumerate(self.last) if t < 0]} wait for ever")
        return self

    def next_time(self) -> int:
        """When something happens next. An arrival that the limit holds back is no event any more."""
        ends = [replica.end for service in self.services for replica in service.replicas]
        others = [entry[0] for entry in (*self.transfers, *self.entries)]
        arrivals = self.arrival[self.next : self.next + 1] if self.may_issue() else []
        return min(*ends, *others, *self.leaves, *arrivals, NEVER)

    def may_issue(self) -> bool:
        return self.next < len(self.requests) and (self.cap == 0 or self.in_flight < self.cap)

    def events(self, now: int) -> None:
        """All that happens at one time but the beginnings of steps."""
        for service in self.services:
            for replica in service.replicas:
                if replica.end == now:
                    service.finish(replica, now)
        for transfer in sorted((t for t in self.transfers if t[0] == now), key=lambda t: t[1]):
            self.transfers.remove(transfer)
            _, _, r, rank = transfer
            self.services[0].release(rank, r)
            r.present, r.decodes, r.computed = True, False, 0
            if self.first_token == 1:
                self.first[r.number] = now + self.exit_delay
            self.services[1].enter(r, now)
        self.in_flight -= self.leaves.count(now)
        self.leaves = [time for time in self.leaves if time != now]
        while self.may_issue() and self.arrival[self.next] <= now:
            self.issued[self.next] = now
            self.entries.append((now + self.entry, self.next))
            self.in_flight, self.next = self.in_flight + 1, self.next + 1
        for _, number in sorted(entry for entry in self.entries if entry[0] == now):
            self.services[0].enter(self.requests[number], now)
        self.entries = [entry for entry in self.entries if entry[0] != now]

    def was_admitted(self, service: Service, r: Request, now: int) -> None:
        if self.admitted[r.number] < 0:
            self.admitted[r.number] = now
        if self.first_token == 2 and service is self.services[-1] and r.yielded and self.first[r.number] < 0:
            self.first[r.number] = now + self.exit_delay

    def prompt_computed(self, r: Request, now: int) -> None:
        if self.first_token == 0 or r.left == 0 or not self.is_split:
            self.first[r.number] = now + self.exit_delay

    def was_last(self, r: Request, now: int) -> None:
        self.last[r.number] = now + self.exit_delay
        self.leaves.append(now + self.exit_delay)

    def count_step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Endless(f"more than {MOST_STEPS} steps")
