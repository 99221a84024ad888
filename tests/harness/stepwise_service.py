"""One service of a stepwise simulation: its queues, who is admitted, who takes part in a step, who is preempted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagc.simulate.kernel import StepTimes
from dagc.simulate.policy import LoadBalancer, Policy, Reserve
from tests.harness.step_times import decode_time, prompt_time

if TYPE_CHECKING:
    from tests.harness.stepwise import Stepwise

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
    queue: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    chunked: Request | None = None
    decodes: list[Request] = field(default_factory=list)
    prompts: list[tuple[Request, int]] = field(default_factory=list)

    @property
    def load(self) -> int:
        return 4 * len(self.queue) + len(self.running)


@dataclass(slots=True)
class Replica:
    """Ranks that share each step, and the link by which what they computed leaves."""

    ranks: list[Rank]
    end: int = NEVER
    link_end: int = 0
    busy: int = 0


class Service:
    """Replicas of one policy: who is admitted, who takes part in a step, who is preempted."""

    def __init__(self, policy: Policy, times: StepTimes, result: Stepwise) -> None:
        self.policy, self.times, self.result = policy, times, result
        self.first_ratio, self.least_ratio = round(policy.ratio_first * ONE), round(policy.ratio_min * ONE)
        self.fall = round((policy.ratio_first - policy.ratio_min) * ONE / policy.ratio_steps)
        self.whole = policy.reserve == Reserve.WHOLE
        self.routed = 0
        ranks = [Rank(i, policy.blocks, self.first_ratio) for i in range(policy.replicas * policy.ranks)]
        self.replicas = [Replica(ranks[i : i + policy.ranks]) for i in range(0, len(ranks), policy.ranks)]

    def enter(self, request: Request) -> None:
        p, ranks = self.policy, [rank for replica in self.replicas for rank in replica.ranks]
        k, self.routed = self.routed, self.routed + 1
        if p.router == LoadBalancer.ROUND_ROBIN:
            place = k % len(ranks)
        elif p.router == LoadBalancer.BY_REPLICA:
            place = k % p.replicas * p.ranks + k // p.replicas % p.ranks
        else:
            place = min(ranks, key=lambda rank: (rank.load, rank.place)).place
        ranks[place].queue.append(request)
        self.result.place[request.number] = place

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.policy.block)

    def blocks_whole(self, r: Request) -> int:
        return self.blocks(r.prompt + r.output + self.policy.drafted)

    def blocks_decode(self, r: Request) -> int:
        return self.blocks(-(-r.context(self.policy.unit) // self.policy.unit) + self.policy.drafted)

    def further(self, r: Request) -> int:
        """Tokens that it may still generate, at most so many as the policy counts."""
        return min(max(r.output - r.generated(self.policy.unit), 0), self.policy.clip)

    def hold(self, rank: Rank, r: Request, blocks: int) -> None:
        if blocks > r.held:
            rank.free -= blocks - r.held
            r.held = blocks
        assert rank.free >= 0, "more blocks are held than there are"

    def release(self, rank: Rank, r: Request) -> None:
        rank.free += r.held
        r.held = 0

    def admit(self, rank: Rank, r: Request, blocks: int, now: int) -> None:
        rank.queue.popleft()
        rank.running.append(r)
        self.hold(rank, r, blocks)
        self.result.was_admitted(self, r, now)

    def preempt(self, rank: Rank, r: Request) -> None:
        """The caller puts it into the queue."""
        rank.running.remove(r)
        self.release(rank, r)
        r.computed, r.decodes, r.present = 0, False, False
        self.result.preempted[r.number] += 1

    def may_admit(self, rank: Rank, present: bool) -> bool:
        """Whether the head of the queue is such a request and one more may run."""
        return bool(rank.queue) and rank.queue[0].present == present and len(rank.running) < self.policy.most_running

    def admit_present(self, rank: Rank, now: int) -> None:
        while rank.chunked is None and self.may_admit(rank, present=True):
            r = rank.queue[0]
            need = self.blocks_whole(r) if self.whole else self.blocks_decode(r)
            if need > rank.free:
                break
            self.admit(rank, r, need, now)
            r.decodes = True

    def make_room(self, rank: Rank, asking: Request, need: int) -> bool:
        """Room for one that runs, at the cost of those admitted last; False where it is itself the last one."""
        while need - asking.held > rank.free:
            last = [r for r in rank.running if not r.lingers][-1]
            self.preempt(rank, last)
            rank.queue.appendleft(last)
            if last is asking:
                return False
        self.hold(rank, asking, need)
        return True

    def compose_mixed(self, rank: Rank, now: int) -> bool:
        """Whether one was preempted."""
        p, budget, before = self.policy, self.policy.budget, len(rank.queue)
        grows = p.reserve == Reserve.GROW
        for r in list(rank.running):
            if r not in rank.running:
                continue
            if r.decodes:
                if r.lingers or not grows or self.make_room(rank, r, self.blocks_decode(r)):
                    rank.decodes.append(r)
                    budget -= 1 + p.drafted
                continue
            tokens = min(r.target(p.unit) - r.computed, max(budget, 0), p.threshold)
            if tokens and (not grows or self.make_room(rank, r, self.blocks(r.computed + tokens))):
                rank.prompts.append((r, tokens))
                budget -= tokens
        if len(rank.queue) > before:
            return True
        while self.may_admit(rank, present=False) and budget > 0:
            r = rank.queue[0]
            done = r.computed or r.hit
            rest = r.target(p.unit) - done
            tokens = min(rest, budget, p.threshold)
            need = self.blocks_whole(r) if self.whole else self.blocks(done + tokens)
            if (rest > tokens and not p.chunks) or need > rank.free:
                break
            self.admit(rank, r, need, now)
            r.computed = done
            rank.prompts.append((r, tokens))
            budget -= tokens
        return False

    def compose_prompts(self, rank: Rank, now: int) -> None:
        """A step of prompts, where they do not share steps with decoded tokens."""
        p, estimates = self.policy, self.policy.reserve == Reserve.ESTIMATE
        chunk, space, promised = p.threshold, p.prompt_budget, 0
        if estimates:
            promised = sum(self.further(r) * rank.ratio // ONE for r in rank.running)
        if r := rank.chunked:
            rest = r.target(p.unit) - r.computed
            tokens = min(rest, chunk)
            self.hold(rank, r, self.blocks(r.computed + tokens))
            rank.prompts.append((r, tokens))
            chunk, space = chunk - tokens, space - tokens
            if tokens == rest:
                rank.chunked, promised = None, promised + self.further(r) * estimates
        while self.may_admit(rank, present=False) and min(chunk, space) > 0:
            r = rank.queue[0]
            rest = r.target(p.unit) - r.hit
            need = self.blocks_whole(r) if self.whole else self.blocks(r.hit + rest)
            if need > rank.free or (estimates and need * p.block + self.further(r) >= rank.free * p.block - promised):
                break
            if rank.prompts and (rest >= space or (rest > chunk and not p.chunks)):
                break
            tokens = chunk // p.block * p.block if rest > chunk and p.chunks else rest
            if tokens == 0:
                break
            self.admit(rank, r, need if self.whole else self.blocks(r.hit + tokens), now)
            r.computed = r.hit
            rank.prompts.append((r, tokens))
            chunk, space = chunk - tokens, space - tokens
            if tokens < rest:
                rank.chunked = r
                break
            promised += self.further(r) * estimates

    def compose_decodes(self, rank: Rank) -> bool:
        """A step without prompts; those that the cache has no room for are retracted. Whether one was."""
        p, retracted = self.policy, False
        while not self.whole:
            asking = [r for r in rank.running if r.decodes and not r.lingers]
            if not asking or sum(max(self.blocks_decode(r) - r.held, 0) for r in asking) <= rank.free:
                break
            order = {id(r): i for i, r in enumerate(rank.running)}
            victim = min(asking, key=lambda r: (r.progress, -r.prompt, -order[id(r)]))
            self.preempt(rank, victim)
            rank.queue.append(victim)
            retracted = True
        if retracted:
            parts = sum(1 + r.progress // p.unit + 20 for r in rank.running) * ONE
            outputs = sum(r.output for r in rank.running)
            rank.ratio = min(parts // outputs, ONE) if outputs else self.first_ratio
        rank.decodes = [r for r in rank.running if r.decodes]
        for r in rank.decodes:
            if not (self.whole or r.lingers):
                self.hold(rank, r, self.blocks_decode(r))
        return retracted

    def compose(self, replica: Replica, now: int) -> bool:
        """Who takes part in the next step of a replica; whether one was preempted."""
        for rank in replica.ranks:
            rank.decodes, rank.prompts = [], []
            self.admit_present(rank, now)
        if self.policy.mixes:
            preempted = [self.compose_mixed(rank, now) for rank in replica.ranks]
            return any(preempted)
        for rank in replica.ranks:
            self.compose_prompts(rank, now)
        if not any(rank.prompts for rank in replica.ranks):
            retracted = [self.compose_decodes(rank) for rank in replica.ranks]
            return any(retracted)
        return False

    def begin(self, replica: Replica, now: int) -> None:
        """The next step of a free replica, if one has something to do."""
        while self.compose(replica, now) and not any(rank.decodes or rank.prompts for rank in replica.ranks):
            pass
        p, ranks = self.policy, replica.ranks
        parts = [[tokens for _, tokens in rank.prompts] for rank in ranks]
        each = [len(rank.decodes) * (1 + p.drafted) + sum(part) for rank, part in zip(ranks, parts, strict=True)]
        if not any(each):
            return
        fullness = sum(each) / (max(each) * len(ranks))
        sequences = max(len(rank.decodes) for rank in ranks)
        context = max(sum(r.context(p.unit) for r in rank.decodes) for rank in ranks)
        tokens = max(map(sum, parts))
        pairs = max(sum(t * r.computed + t * (t + 1) // 2 for r, t in rank.prompts) for rank in ranks)
        time = decode_time(self.times, p.unit, sequences, context, fullness) if sequences else 0
        time += prompt_time(self.times, sequences, tokens, pairs / tokens, fullness) if tokens else 0
        replica.end, replica.busy = now + time, replica.busy + time
        self.result.count_step()

    def finish(self, replica: Replica, now: int) -> None:
        """The end of a step."""
        replica.end = NEVER
        for rank in replica.ranks:
            decoded = [r for r in rank.decodes if not r.lingers]
            for r in rank.decodes:
                if r.lingers:
                    rank.running.remove(r)
                    self.release(rank, r)
                else:
                    self.token(rank, r, now)
            for r, tokens in rank.prompts:
                r.computed += tokens
                if r.computed == r.target(self.policy.unit):
                    self.prompt_done(replica, rank, r, now)
            if decoded and self.policy.reserve == Reserve.ESTIMATE:
                rank.ratio = max(self.least_ratio, rank.ratio - self.fall)

    def token(self, rank: Rank, r: Request, now: int) -> None:
        """A decode step's token of one request."""
        self.result.gaps.append(now - r.previous)
        r.previous = now
        r.progress += self.policy.yielded
        r.left -= 1
        self.leave_if_done(rank, r, now)

    def prompt_done(self, replica: Replica, rank: Rank, r: Request, now: int) -> None:
        """The last tokens of a prompt are computed: it yields one more token."""
        p = self.policy
        r.decodes = True
        if r.yielded:
            self.token(rank, r, now)
            return
        r.yielded, r.previous = True, now
        r.left = -(-(r.output - 1) * p.unit // p.yielded)
        self.result.prompt_computed(r, now)
        if r.left == 0 or not self.result.is_split:
            self.leave_if_done(rank, r, now)
            return
        rank.running.remove(r)
        replica.link_end = max(now, replica.link_end) + p.transfer_base + p.transfer_token * r.prompt
        self.result.transfers.append((replica.link_end, r.number, r, rank))

    def leave_if_done(self, rank: Rank, r: Request, now: int) -> None:
        if r.left > 0:
            return
        self.result.was_last(r, now)
        if self.policy.late:
            r.lingers = True
        else:
            rank.running.remove(r)
            self.release(rank, r)
