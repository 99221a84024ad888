"""One strategy under load: its run, the rate at which it saturates, the highest load that keeps its requirements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import ceil

from dagc.cost.admission import admitted
from dagc.cost.memory import rank_memory
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.graph.priced import PICOSECONDS
from dagc.memory_limit import SIMULATION_TOO_LARGE, default_limit, size_text
from dagc.plan.interleaving import are_alike, is_in_waves
from dagc.plan.plan import Plan
from dagc.plan.step_limits import server_overhead
from dagc.plan.workload import LoadSample, Workload
from dagc.results.load import Saturation, ServerTime, SimulatedLoad, simulated_load
from dagc.simulate.capacity import CacheCapacity, RefusedPrompt, RefusedRequest, cache_capacity, refused, refused_prompt
from dagc.simulate.graph_times import GraphTimes
from dagc.simulate.kernel import MOST_BYTES, SimulationTooLarge
from dagc.simulate.load import SECTIONS, LoadModel, LoadRun
from dagc.simulate.policy import FirstToken, Policy, Reserve
from dagc.simulate.repeats import draw_repeats
from dagc.simulate.requests import Requests, draw_requests
from dagc.simulate.scheduling import policies
from dagc.simulate.transfer import transfer_time
from dagc.source import Span
from dagc.units import format_rate

REQUESTS = 2_000
"""Requests that are counted where the plan gives no number: p99 has 20 of them above it."""

COUNTED_IN_FLIGHT = 5
"""Requests that are counted at least for each in flight, so that the sections of a run are independent."""

COUNTED_IN_OPEN_LOOP = 100
"""The same of an open loop, in which the number in flight swings: high percentiles are those of its peaks, and each
lasts for about as many requests as are in flight."""

MOST_IN_OPEN_LOOP = 100_000
"""Requests that are counted at most because an open loop swings."""

MOST_IN_FLIGHT = 20_000
"""Requests in flight up to which a run is made longer; more are only let through before requests are counted."""

PLACES = 1_000
"""Places that requests of a loop that keeps them draw at least, in all its sections: p99 has ten of them above it."""

MOST_SECTIONS = 1_000
"""Sections at most, between which there is time for the longest requests (`dagc.simulate.repeats`)."""

MOST_REPEATED = 2_048
"""Requests in flight up to which a loop that keeps places is begun several times: of more, all places are there."""

_MOST_TOKENS = 1 << 17
"""Tokens of a step up to which times are priced."""


REQUEST_TOO_LONG = Code("M103", "request-exceeds-cache")
PROMPT_TOO_LONG = Code("M104", "prompt-exceeds-step")

LONGEST = 2**61 / PICOSECONDS
"""Seconds over which requests arrive at most: the time of the last one is twice as far off at most, in 64 bits."""

_REQUEST_BYTES = 128
"""Bytes of a request in the simulation: 8 of its times and its arrival, 10 numbers of 4 bytes, 2 places in the heap."""


def strategy_load(
    plan: Plan, sample: LoadSample, say: Callable[[str], None], found: list[Diagnostic]
) -> StrategyLoad | None:
    """The load of a plan that can be priced, simulated; None where it cannot be, of which `found` has the reason."""
    if sample.seed is not None:
        plan = with_workload(plan, replace(plan.facts.workload, arrival_seed=sample.seed))
    load = StrategyLoad(plan, say, sample.requests)
    refusal = load.refusal()
    if refusal is None:
        try:
            _ = load.record
        except SimulationTooLarge as error:
            found.append(too_large(plan, error))
            return None
        return load
    found.append(load.refused(refusal))
    return None


class SimulationTooLongError(SimulationTooLarge):
    """Arrivals of a simulation take more than `LONGEST` seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(0, 0)
        self.seconds = seconds


def too_large(plan: Plan, error: SimulationTooLarge) -> Diagnostic:
    """Why a load is not simulated."""
    if isinstance(error, SimulationTooLongError):
        days, most = (f"{seconds / 86_400:,.0f} days" for seconds in (error.seconds, LONGEST))
        return SIMULATION_TOO_LARGE.at(
            _place(plan, "rate", "trace", "requests"),
            f"requests of `{plan.name}` arrive over {days}; the limit is {most}",
            "whole picoseconds of a longer time do not fit into 64 bits",
            help=("state a higher rate, or fewer requests, as `requests 200`",),
        )
    needed, limit = size_text(error.needed_bytes), size_text(error.limit_bytes)
    return SIMULATION_TOO_LARGE.at(
        _place(plan, "requests", "trace", "concurrency", "rate"),
        f"simulating `{plan.name}` takes {needed} of memory or more; the limit is {limit}",
        f"{plan.deployment.gpus:,} GPUs",
        notes=("the limit is half of the memory that is available, and never above 4 GiB for the requests of a run",),
        help=("use fewer requests, as `requests 2000`, shorter ones, or smaller degrees",),
    )


def with_workload(plan: Plan, workload: Workload) -> Plan:
    """The plan under another load."""
    return replace(plan, facts=replace(plan.facts, workload=workload))


def _place(plan: Plan, *fields: str) -> Span:
    """The first of these fields of the workload that the plan has, else its strategy."""
    spans = plan.facts.workload.spans
    return next((spans[name] for name in fields if name in spans), plan.deployment.strategy.span)


@dataclass
class StrategyLoad:
    """A strategy that can be priced, and what is simulated of it; step times are priced once for all runs."""

    plan: Plan
    say: Callable[[str], None]
    requests: int | None = None
    model: LoadModel = field(init=False)
    server_time: ServerTime | None = field(init=False)
    caches: tuple[CacheCapacity, ...] = field(init=False)
    _reported: int = field(init=False, default=1 << 62)
    _first_report: tuple[int, float] = field(init=False, default=(0, 0.0))
    """Requests of the run under way that had ended when it was reported first, and the time."""

    def __post_init__(self) -> None:
        """Memory to blocks of cache, engine to schedulers, links to times of transfers."""
        services, workload = self.plan.deployment.services, self.plan.facts.workload
        memory = rank_memory(admitted(self.plan))
        self.caches = tuple(cache_capacity(self.plan, service, memory) for service in services)
        scheduled = policies(self.plan, [cache.blocks for cache in self.caches])
        # The first chunk of a prompt has whole blocks.
        held = [
            replace(one, block=cache.block_tokens, threshold=max(one.threshold, cache.block_tokens))
            for one, cache in zip(scheduled, self.caches, strict=True)
        ]
        if len(services) > 1:
            base, token = transfer_time(self.plan, *workload.prompt_bounds)
            held[0] = replace(held[0], transfer_base=base, transfer_token=token)
        context = workload.prompt + workload.output // 2
        times = [
            GraphTimes(self.plan, service, context, policy.most_running, min(policy.most_tokens, _MOST_TOKENS))
            for service, policy in zip(services, held, strict=True)
        ]
        overhead = server_overhead(self.plan)
        held[0] = replace(held[0], prefill_floor=round(overhead.prefill_launch_seconds * PICOSECONDS))
        entry, error = overhead.entry(workload.prompt), overhead.ttft_error_seconds
        self.server_time = ServerTime(seconds=entry, ttft_error_seconds=error) if entry else None
        self.model = LoadModel(
            self.plan,
            tuple(held),
            tuple(times),
            round(entry * PICOSECONDS),
            FirstToken.AFTER_ADMISSION if self.plan.facts.engine else FirstToken.AFTER_PREFILL,
            self._report,
        )

    def _report(self, done: int, of: int) -> None:
        """Say how far a long run is, and how long it still takes by what it took from its first report on."""
        now = time.monotonic()
        if done < self._reported:
            self._first_report = done, now
        self._reported = done
        first, begun = self._first_report
        left = f", about {(now - begun) / (done - first) * (of - done):.0f} s left" if done > first else ""
        self.say(f"simulating {self.plan.name}: {done:,} of {of:,} requests{left}")

    def refusal(self) -> RefusedRequest | RefusedPrompt | None:
        """Why the longest request never runs to its end; None where all do."""
        workload = self.plan.facts.workload
        rows = workload.trace or workload.lengths
        if rows is None:
            longest = (0, workload.prompt_bounds[1], workload.output_bounds[1])
            prompt = longest
        else:
            index, of_prompt = int((rows.prompt + rows.output).argmax()), int(rows.prompt.argmax())
            longest, prompt = ((i, int(rows.prompt[i]), int(rows.output[i])) for i in (index, of_prompt))
        policy = self.model.policies[0]
        # A request that lost its cache computes the tokens that it has generated too.
        again = 0 if policy.reserve is Reserve.WHOLE or len(self.caches) > 1 else prompt[2] - 1
        computed = workload.fresh_of(prompt[1]) + again
        if problem := refused_prompt(prompt[0], computed, policy):
            return problem
        # What is decoded elsewhere has its prompt and one token here.
        tokens = [(longest[0], longest[1], 1)] * (len(self.caches) - 1) + [longest]
        drafted = workload.drafted
        problems = (refused(*one, cache, drafted) for one, cache in zip(tokens, self.caches, strict=True))
        return next((one for one in problems if one), None)

    def refused(self, refusal: RefusedRequest | RefusedPrompt) -> Diagnostic:
        """What a refusal says, at the lengths of the plan."""
        code = PROMPT_TOO_LONG if isinstance(refusal, RefusedPrompt) else REQUEST_TOO_LONG
        where = _place(self.plan, "trace", "lengths", "prompt", "output")
        rows = self.plan.facts.workload.trace or self.plan.facts.workload.lengths
        line = f"`{rows.name}`, line {rows.lines[refusal.index]}: " if rows and rows.lines is not None else ""
        return code.at(where, line + refusal.message, refusal.reason, help=(refusal.help,))

    def whole_run(self) -> LoadRun:
        """All requests of the workload from the first to the last, as the client of a benchmark counts them."""
        workload = self.plan.facts.workload
        count = workload.requests or REQUESTS
        if self._keeps_places(workload):
            return self._repeated(workload, (count,), 0, 0)
        return self.model.run(self._drawn(workload, count), (0, count))

    @cached_property
    def run(self) -> LoadRun:
        """The run of the plan's own load."""
        return self._run(self.plan.facts.workload)

    @cached_property
    def saturated_rate(self) -> float:
        """Requests a second above which a queue grows without end."""
        workload = self.plan.facts.workload
        count = max(self.requests or REQUESTS, 6 * self.most_running)
        return self.model.saturated_rate(self._drawn(workload, count))

    @cached_property
    def record(self) -> SimulatedLoad:
        """Figures of the plan's own load."""
        return self._record(self.run, self.plan.facts.workload)

    def _run(self, workload: Workload) -> LoadRun:
        """A run that is long against the number in flight, which an open loop has only when it has run.

        A trace is replayed from its first request to its last, unless the plan has a number.
        """
        is_given = "warmup" in workload.spans or workload.trace is not None
        given = workload.warmup if is_given else None
        requests = workload.requests or (len(workload.trace) if workload.trace else 0)
        asked = self.requests or max(requests - (given or 0), 0)
        in_flight = 0 if workload.is_open else workload.concurrency or 0
        if self._keeps_places(workload):
            is_repeated = in_flight <= MOST_REPEATED
            many = max(SECTIONS, ceil(PLACES / in_flight)) if is_repeated else 1
            # Whole rounds, so that each place counts as often.
            rounds = ceil(max(REQUESTS / in_flight, COUNTED_IN_FLIGHT) / many) * in_flight
            # A longer run has more sections, not longer ones: over many rounds some requests do meet.
            many = min(max(many, asked // rounds), MOST_SECTIONS) if is_repeated else 1
            many = min(many, max(SECTIONS, asked // in_flight)) if asked else many
            counted = asked or many * rounds
            whole, unit = (counted // in_flight, in_flight) if counted >= many * in_flight else (counted, 1)
            ends = [whole * number // many * unit for number in range(many)]
            ends.append(counted)
            sizes = tuple(end - begin for begin, end in pairwise(ends) if end > begin)
            return self._repeated(workload, sizes, in_flight if given is None else given, in_flight)
        while True:
            usual = min(in_flight, MOST_IN_FLIGHT)
            counted = asked or max(REQUESTS, COUNTED_IN_FLIGHT * usual, _swinging(workload, in_flight))
            warmup = max(counted // 10, in_flight + usual)
            first = warmup if given is None else given
            # Behind the last request of a trace come none.
            behind = 0 if workload.trace and first + counted >= len(workload.trace) else warmup
            run = self.model.run(self._drawn(workload, first + counted + behind), (first, first + counted))
            found = min(ceil(run.e2e.mean * run.requests_per_second), MOST_IN_FLIGHT)
            is_long = asked or counted >= _swinging(workload, found)
            if not behind or (2 * found <= max(warmup, 2 * in_flight) and is_long):
                return run
            in_flight = 2 * found

    def _keeps_places(self, workload: Workload) -> bool:
        """Whether requests follow each other as they began.

        In a closed loop whose requests are alike, where nothing brings them together again: those of a real one
        disperse (`dagc.plan.interleaving`), so that a run begins with any part of each output left.
        """
        return bool(workload.concurrency) and are_alike(workload) and self.model.policies[0].mixes

    def _repeated(self, workload: Workload, sizes: tuple[int, ...], warmup: int, behind: int) -> LoadRun:
        """Sections of these sizes, each with its own places. Raises SimulationTooLarge where memory is short."""
        _check_room(sum(sizes) + len(sizes) * ((workload.concurrency or 0) + warmup + behind))
        return self.model.run_repeats(draw_repeats(workload, sizes, warmup, behind))

    def _drawn(self, workload: Workload, count: int) -> Requests:
        """So many requests. Raises SimulationTooLarge where memory is short, or the time of the simulation."""
        _check_room(count)
        _check_time(workload, count)
        return draw_requests(workload, count)

    def _record(self, run: LoadRun, workload: Workload) -> SimulatedLoad:
        rate = workload.requests_per_second
        saturation = None
        if rate is not None:
            highest = self.saturated_rate
            saturation = Saturation(requests_per_second=highest, holds=rate < highest)
        arrivals, seed = arrivals_text(with_workload(self.plan, workload)), workload.arrival_seed
        ceilings = dict(self._ceilings())
        return simulated_load(run, arrivals, seed, saturation, ceilings, self.server_time)

    def _ceilings(self) -> Iterator[tuple[str, float]]:
        """Limits in seconds on times of a request, the lowest last."""
        limits = (one for one in self.plan.facts.requirements if one.is_ceiling)
        times = [one for one in limits if one.name in ("ttft", "tpot", "latency", "e2e")]
        for limit in sorted(times, key=lambda one: -one.figure.value):
            yield "tpot" if limit.name == "latency" else limit.name, limit.figure.value

    def under(self, workload: Workload) -> SimulatedLoad:
        """Figures of another load."""
        return self._record(self._run(workload), workload)

    @property
    def most_running(self) -> int:
        """Requests that the last service decodes at once at most."""
        workload, policy = self.plan.facts.workload, self.model.policies[-1]
        return policy.replicas * policy.ranks * _running(policy, workload.prompt + workload.output)


def _check_time(workload: Workload, count: int) -> None:
    """Raises SimulationTooLongError where so many requests arrive over too long a time."""
    if trace := workload.trace:
        seconds = float(trace.arrival[-1]) / PICOSECONDS * -(-count // len(trace))
    else:
        seconds = count / workload.requests_per_second if workload.requests_per_second else 0.0
    if seconds > LONGEST:
        raise SimulationTooLongError(seconds)


def _check_room(count: int) -> None:
    """Raises SimulationTooLarge where memory is short for so many requests."""
    if (needed := count * _REQUEST_BYTES) > (limit := min(MOST_BYTES, default_limit())):
        raise SimulationTooLarge(needed, limit)


def _swinging(workload: Workload, in_flight: int) -> int:
    """Requests that are counted at least because the number in flight, on average this one, swings."""
    return min(COUNTED_IN_OPEN_LOOP * in_flight, MOST_IN_OPEN_LOOP) if workload.is_open else 0


def arrivals_text(plan: Plan) -> str:
    """How requests arrive: `Poisson arrivals, 20 requests/s`."""
    workload = plan.facts.workload
    rate, cap = workload.requests_per_second, workload.concurrency
    if rate is None:
        return f"closed loop, {cap} in flight{', in waves as outputs are of one length' if is_in_waves(plan) else ''}"
    process = "Poisson arrivals" if workload.burstiness == 1 else f"gamma arrivals of shape {workload.burstiness:g}"
    kind = "arrivals of a trace" if workload.trace else process
    limit = "" if workload.is_open else f", at most {cap} in flight"
    return f"{kind}, {format_rate(rate, 'requests/s')}{limit}"


def _running(policy: Policy, tokens: int) -> int:
    """Sequences of so many tokens that run on a rank at most."""
    return max(1, min(policy.most_running, policy.blocks * policy.block // tokens))
