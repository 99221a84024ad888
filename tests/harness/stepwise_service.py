"""One service of a stepwise simulation: its queues, who is admitted, who takes part in a step, who is preempted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagc.simulate.kernel import StepTimes
from dagc.simulate.policy import Late, LoadBalancer, Policy, Reserve
from tests.harness.step_times import decode_time, prompt_time
from tests.harness.stepwise_state import NEVER, ONE, PromptRoom, Rank, Replica, Request

if TYPE_CHECKING:
    from tests.harness.stepwise import Stepwise


class Service:
    """Replicas of one policy: who is admitted, who takes part in a step, who is preempted."""

    def __init__(self, policy: Policy, times: StepTimes, result: Stepwise) -> None:
        self.policy, self.times, self.result = policy, times, result
        self.first_ratio, self.least_ratio = round(policy.ratio_first * ONE), round(policy.ratio_min * ONE)
        self.fall = round((policy.ratio_first - policy.ratio_min) * ONE / policy.ratio_steps)
        self.whole = policy.reserve == Reserve.WHOLE
        self.estimates = policy.reserve in (Reserve.ESTIMATE, Reserve.LOOKAHEAD)
        self.prefills_only = result.is_split and not result.services
        self.routed = 0
        ranks = [Rank(i, policy.blocks, self.first_ratio) for i in range(policy.replicas * policy.ranks)]
        self.replicas = [Replica(ranks[i : i + policy.ranks]) for i in range(0, len(ranks), policy.ranks)]

    def enter(self, request: Request, now: int) -> None:
        p, ranks = self.policy, [rank for replica in self.replicas for rank in replica.ranks]
        k, self.routed = self.routed, self.routed + 1
        request.entered = now
        if p.router == LoadBalancer.SHARED_QUEUE:
            self.replicas[k % p.replicas].inbox.append(request)
            return
        if p.router == LoadBalancer.ROUND_ROBIN:
            place = k % len(ranks)
        elif p.router == LoadBalancer.BY_REPLICA:
            place = k % p.replicas * p.ranks + k // p.replicas % p.ranks
        else:
            place = min(ranks, key=lambda rank: (rank.load, rank.place)).place
        ranks[place].inbox.append(request)
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

    def head_tokens(self, rank: Rank, budget: int) -> int:
        """With how many tokens the head of the queue may take part in a mixed step with so much budget left."""
        if budget <= 0 or not self.may_admit(rank, present=False):
            return 0
        r, p = rank.queue[0], self.policy
        done = r.computed or r.hit
        tokens = min(r.target(p.unit) - done, budget, p.threshold)
        need = self.blocks_whole(r) if self.whole else self.blocks(done + tokens)
        is_whole = done + tokens == r.target(p.unit)
        return tokens if need <= rank.free and (p.chunks or is_whole) else 0

    def has_prompt(self, rank: Rank) -> bool:
        """Whether a mixed step would have a prompt of the rank: beside its decodes, in the blocks that are free now."""
        p = self.policy
        decoded = [r for r in rank.running if r.decodes and not (r.lingers and p.late == Late.SLOT)]
        budget = p.budget - len(decoded) * (1 + p.drafted)
        return budget > 0 if any(not r.decodes for r in rank.running) else self.head_tokens(rank, budget) > 0

    def compose_mixed(self, rank: Rank, now: int, holds: bool) -> bool:
        """Whether one was preempted."""
        p, budget, before = self.policy, self.policy.budget, len(rank.queue)
        grows = p.reserve == Reserve.GROW
        for r in [r for r in rank.running if r.decodes or not holds]:
            if r not in rank.running:
                continue
            if r.decodes:
                if r.lingers and p.late == Late.SLOT:
                    continue
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
        while not holds and (tokens := self.head_tokens(rank, budget)):
            r = rank.queue[0]
            r.computed = r.computed or r.hit
            self.admit(rank, r, self.blocks_whole(r) if self.whole else self.blocks(r.computed + tokens), now)
            rank.prompts.append((r, tokens))
            budget -= tokens
        return False

    def compose_prompts(self, rank: Rank, now: int) -> None:
        """A step of prompts, where they do not share steps with decoded tokens."""
        rank.refused &= not self.prefills_only
        if rank.refused and not rank.chunked:
            return
        room = PromptRoom(self.policy.threshold, self.policy.prompt_budget)
        if self.estimates:
            room.promised = sum(self.further(r) * rank.ratio // ONE for r in rank.running)
        if r := rank.chunked:
            rank.chunked = None
            tokens = min(r.target(self.policy.unit) - r.computed, room.chunk)
            self.take_prompt(rank, r, tokens, room)
        while rank.queue and not rank.queue[0].present and not rank.chunked and min(room.chunk, room.space) > 0:
            r = rank.queue[0]
            if not self.may_prefill(rank, r, room):
                rank.refused = self.estimates
                break
            tokens = self.prompt_tokens(rank, r, room)
            if tokens == 0:
                break
            self.admit(rank, r, self.blocks_whole(r) if self.whole else 0, now)
            r.computed = r.hit
            self.take_prompt(rank, r, tokens, room)
            if self.estimates and rank.free * self.policy.block <= room.promised:
                rank.refused = True
                break

    def take_prompt(self, rank: Rank, r: Request, tokens: int, room: PromptRoom) -> None:
        """It takes part with these tokens; it is the chunked one if that is not all."""
        self.hold(rank, r, self.blocks(r.computed + tokens))
        rank.prompts.append((r, tokens))
        room.chunk, room.space = room.chunk - tokens, room.space - tokens
        if r.computed + tokens < r.target(self.policy.unit):
            rank.chunked = r
        elif self.estimates:
            room.promised += self.further(r)

    def prompt_tokens(self, rank: Rank, r: Request, room: PromptRoom) -> int:
        """With how many tokens the head of the queue takes part in a step of prompts; 0: with none."""
        p, looks = self.policy, self.policy.reserve == Reserve.LOOKAHEAD
        rest = r.target(p.unit) - r.hit
        if rank.prompts and ((rest >= room.space and not looks) or (rest > room.chunk and not p.chunks)):
            return 0
        if rest <= room.chunk or not p.chunks:
            return rest
        return room.chunk if looks else room.chunk // p.block * p.block

    def may_prefill(self, rank: Rank, r: Request, room: PromptRoom) -> bool:
        """Whether there are a slot and blocks for the head of the queue, beside what is promised to others."""
        if len(rank.running) >= self.policy.most_running:
            return False
        need = self.blocks_whole(r) if self.whole else self.blocks(r.target(self.policy.unit))
        if not self.estimates:
            return need <= rank.free
        tokens, free = need * self.policy.block, rank.free * self.policy.block
        if self.policy.reserve == Reserve.ESTIMATE:
            return tokens + self.further(r) < free - room.promised
        return tokens <= free - room.promised and room.all_end(rank, r, free - tokens, self.policy.unit)

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
            retracted, rank.refused = True, False
        if retracted:
            parts = sum(1 + r.progress // p.unit + 20 for r in rank.running) * ONE
            outputs = sum(r.output for r in rank.running)
            rank.ratio = min(parts // outputs, ONE) if outputs else self.first_ratio
        rank.decodes = [r for r in rank.running if r.decodes and not (r.lingers and p.late == Late.SLOT)]
        for r in rank.decodes:
            if not (self.whole or r.lingers):
                self.hold(rank, r, self.blocks_decode(r))
        return retracted

    def compose(self, replica: Replica, now: int) -> bool:
        """Who takes part in the next step of a replica; whether one was preempted."""
        for r, rank in replica.assign(self.policy.most_running):
            self.result.place[r.number] = rank.place
        for rank in replica.ranks:
            rank.decodes, rank.prompts = [], []
            self.admit_present(rank, now)
        if self.policy.mixes:
            holds = replica.holds_prompts(self.policy.balance, [self.has_prompt(rank) for rank in replica.ranks])
            preempted = [self.compose_mixed(rank, now, holds) for rank in replica.ranks]
            return any(preempted)
        for rank in replica.ranks:
            self.compose_prompts(rank, now)
        if not self.policy.decodes_beside and any(rank.prompts for rank in replica.ranks):
            return False
        retracted = [self.compose_decodes(rank) for rank in replica.ranks if not rank.prompts]
        return any(retracted)

    def poll(self, replica: Replica, now: int) -> None:
        """Receive requests as the next step is composed: with each `poll`-th step, and after each with prompts (SGLang
        0.5.9, `scheduler_recv_interval`, managers/scheduler_recv_skipper.py: such a step weighs 1000).
        """
        p = self.policy
        if replica.idle:
            replica.receive(now)
            return
        replica.polled += p.poll if any(rank.prompts for rank in replica.ranks) else 1
        if replica.polled >= p.poll:
            replica.polled = 0
            replica.receive(replica.composition(p.ahead, now))

    def begin(self, replica: Replica, now: int) -> None:
        """The next step of a free replica, if one has something to do."""
        p, ranks = self.policy, replica.ranks
        self.poll(replica, now)
        while True:
            preempted = self.compose(replica, now)
            if any(rank.decodes or rank.prompts for rank in ranks) or (replica.idle and not preempted):
                break
            self.put_out(replica, now + 1)
            # Nothing can be done with what was received: it waits for whatever enters, and receives it at once.
            replica.idle, replica.polled = True, 0
            self.drop_slots(ranks)
            replica.receive(now)
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
        if tokens:
            rows, position = sequences * (1 + p.drafted) + tokens, pairs / tokens - (tokens + 1) / 2
            floor = 0 if sequences else p.prefill_floor
            time += prompt_time(self.times, sequences, rows, position, fullness, floor)
        launch = p.prefill_launch if tokens and max(each) > p.graph_tokens else 0
        replica.launched = replica.composition(p.ahead, now) + launch
        self.put_out(replica, max(now + 1, replica.launched))
        replica.idle, replica.start = False, now
        replica.end = max(now + time, replica.launched)
        replica.busy += replica.end - now
        self.result.count_step()

    def finish(self, replica: Replica, now: int) -> None:
        """The end of a step."""
        replica.end = NEVER
        replica.waited += replica.held
        self.drop_slots(replica.ranks)
        for rank in replica.ranks:
            decoded = [r for r in rank.decodes if not r.lingers]
            for r in rank.decodes:
                if r.lingers:
                    self.leave(rank, r)
                else:
                    self.token(replica, rank, r)
            for r, tokens in rank.prompts:
                r.computed += tokens
                if r.computed == r.target(self.policy.unit):
                    self.prompt_done(replica, rank, r)
            if decoded and self.estimates:
                rank.ratio = max(self.least_ratio, rank.ratio - self.fall)
        # One ahead, whose launches take time, the host has the results when it has launched the step that begins now: a
        # picosecond later at least, so that nothing comes of them at the time at which steps begin.
        if not (self.policy.ahead and self.policy.prefill_launch):
            self.put_out(replica, now)

    def token(self, replica: Replica, rank: Rank, r: Request) -> None:
        """One more token of a request that has some."""
        r.progress += self.policy.yielded
        r.left -= 1
        replica.outputs.append((rank, r, False))
        self.leave_if_done(rank, r)

    def prompt_done(self, replica: Replica, rank: Rank, r: Request) -> None:
        """The last tokens of a prompt are computed: it yields one more token."""
        p = self.policy
        r.decodes = True
        if r.yielded:
            self.token(replica, rank, r)
            return
        r.yielded = True
        r.left = -(-(r.output - 1) * p.unit // p.yielded)
        replica.outputs.append((rank, r, True))
        if r.left and self.result.is_split:
            rank.running.remove(r)
        self.leave_if_done(rank, r)

    def put_out(self, replica: Replica, now: int) -> None:
        """Tokens of the last step go to the client, and prompts to the other service."""
        p = self.policy
        for rank, r, is_first in replica.outputs:
            if is_first:
                self.result.prompt_computed(r, now)
                if r.left and self.result.is_split:
                    replica.link_end = max(now, replica.link_end) + p.transfer_base + p.transfer_token * r.prompt
                    self.result.transfers.append((replica.link_end, r.number, r, rank))
            elif self.result.counted[r.number]:
                self.result.gaps.append(now - r.previous)
            r.previous = now
            if r.left <= 0:
                self.result.was_last(r, now)
        replica.outputs.clear()

    def leave_if_done(self, rank: Rank, r: Request) -> None:
        if r.left > 0:
            return
        if self.policy.late != Late.NO:
            r.lingers = True
        else:
            self.leave(rank, r)

    def leave(self, rank: Rank, r: Request) -> None:
        """Its slot and its blocks are free, and prompts may be tried."""
        rank.running.remove(r)
        self.release(rank, r)
        rank.refused = False

    def drop_slots(self, ranks: list[Rank]) -> None:
        """Sequences that only had their slots for one more step leave."""
        if self.policy.late == Late.SLOT:
            for rank in ranks:
                for r in [r for r in rank.running if r.lingers]:
                    self.leave(rank, r)
