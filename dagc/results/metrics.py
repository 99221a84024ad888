"""Timelines become the figures by which a deployment is judged.

Definitions, each used everywhere under this name:

- Where replicas differ (in sequences, or in slowed ranks), each phase is that of its slowest class of replicas: the
  batch is done when they are.
- TTFT, `prefill.seconds`: from arrival to the first token of the slowest request of the batch, without queueing: the
  makespan of the prefill. Where the phases have their own GPUs, the KV-cache transfer comes after the first
  token and is not part of it; it is shown beside it.
  Where requests come and go (`concurrency`), it is that of requests to an idle server: the prefill of one prompt on
  each of attention's ranks, and, where the phases have their own GPUs, the transfer of its cache. vLLM, SGLang and
  Dynamo give the first token to the user from the decode side, which has it when the cache has arrived. Requests under
  load wait for each other besides, and seldom have a prompt on each rank: that is simulated (`dagc.simulate`).
- TPOT, `decode.seconds`: the steady-state interval between two tokens of one request. `latency_seconds` is one
  decode step from an idle pipeline to its last token. Where requests come and go, the interval counts the prompts that
  come between (`dagc.results.serving`). With an engine both have its host's time a step.
- Throughput of one static batch of B requests of P prompt and O output tokens, both phases on the same GPUs:
  T = TTFT + latency + (O - 2) x TPOT for O >= 2 (the first token comes from the prefill, the second after a step from
  an idle pipeline, each further one an interval later), T = TTFT for O = 1. Requests a second = B / T.
- Throughput of C requests in flight on the same GPUs, one of which follows each that leaves:
  C / (TTFT + (O - 1) x TPOT).
- Throughput of prefill and decode pools in steady state: each holds a batch while the other works on the next, so
  requests a second = min(B / prefill, B / cache transfer, B / ((O - 1) x TPOT)), and the smallest names the bottleneck.
  Where requests come and go, prefill that is the bottleneck has full steps: the first term is the prompts of a step,
  tokens of a step / (P x uncached share) on each rank, by the interval of steps.
- Load balance of a phase: the time that a GPU computes in a step, averaged over all GPUs of the phase, as a share of
  the busiest one's.
- Input, output and total tokens a second: requests a second times P, O and P + O. A GPU: divided by all GPUs.

Beside them are the rates of each phase alone: B x P / TTFT prompt tokens (B as many as are prefilled at once; of pools
those of full steps), and B / TPOT generated tokens a second.

A cluster states one price for a GPU of whatever device. Tokens carry the whole cost of the deployment while they are
made: price a second / tokens a second.

The error of a phase's time puts together those of its nodes' formulas and what no formula has. A formula errs in the
same direction wherever it is used on one device, and one formula knows nothing of another. So the errors of nodes of
one kind and source add up, and those of different ones add as squares:

    band² = WHOLE² + Σ over kinds (Σ over nodes seconds · error)² / (Σ over nodes seconds)²

The error of a node is the median one of its formula on measurements (`NodeCost.error`). A node without one is a
roofline with one flat efficiency. `WHOLE` is what lies between nodes and around them: another version of the engine,
its host, kernels of its own. The band is no interval: it says which of two phases is less certain, and scales the
stated intervals, whose quantiles are those of measured runs (`dagc.results.intervals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import hypot
from typing import NamedTuple

from dagc.graph.graph import Graph, PhaseGraph, Template
from dagc.graph.priced import PICOSECONDS, Costs, PricedPhase, serial_time
from dagc.ops.op import Lane
from dagc.plan.plan import Plan, entering, prefills_alone
from dagc.plan.step_limits import full_step_tokens, server_overhead
from dagc.plan.workload import Workload
from dagc.results import summary as out
from dagc.results.facts import SECONDS_PER_HOUR
from dagc.results.intervals import interval_of
from dagc.results.serving import Steps, serve
from dagc.schedule.shares import Shares
from dagc.schedule.timeline import Timeline, pipeline_interval

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Metrics:
    """The three parts of a summary that timelines decide."""

    phases: out.Phases
    throughput: out.Throughput
    serving: out.Serving

    @property
    def prefill(self) -> out.PhaseRecord:
        """The prefill, whose `seconds` are TTFT."""
        return self.phases.prefill

    @property
    def decode(self) -> out.PhaseRecord:
        """The decode, whose `seconds` are TPOT."""
        return self.phases.decode


def showing_slowest(graph: Graph, timelines: tuple[Timeline, ...]) -> Graph:
    """The graph with the slowest class of replicas of each phase in front; `timelines` are those of `graph.classes`.

    A batch has its last first token, and its tokens their interval, when the slowest replica has, so that metrics,
    pictures and traces are those of that class; prefill and decode may be slowest in different ones.
    """
    if not graph.others:
        return graph
    return graph.showing(_slowest(graph.prefill, timelines), _slowest(graph.decode, timelines))


def _slowest(phase: PhaseGraph, timelines: tuple[Timeline, ...]) -> PhaseGraph:
    """The class of the same phase with the longest interval, then the longest makespan; the first of equals."""
    classes = [t for t in timelines if t.priced.graph.phase is phase.phase and t.priced.graph.service == phase.service]
    return max(classes, key=lambda timeline: (timeline.interval, timeline.makespan)).priced.graph


class OtherTimelines(NamedTuple):
    """Timelines beside those of the phases, each None where there is none.

    `prompts` is that of the step with prompts that come between decode steps (`dagc.plan.interleaving`), `transfer`
    that of the KV-cache transfer of one request, where TTFT includes it. `full_step` and `full_pipeline` are those of
    GPUs that prefill alone (`dagc.lower.lower.lower_full_steps`).
    """

    prompts: Timeline | None = None
    transfer: Timeline | None = None
    full_step: Timeline | None = None
    full_pipeline: Timeline | None = None


NOTHING_ELSE = OtherTimelines()


def measure(plan: Plan, timelines: tuple[Timeline, ...], others: OtherTimelines = NOTHING_ELSE) -> Metrics:
    """Metrics of a plan from its timelines in order: prefill, the cache transfer where there is one, decode.

    Each is the timeline of the slowest class of replicas.
    """
    first, *between, last = timelines
    bare, step, prompts = _phase(first), _phase(last), others.prompts
    with_prompts = prompts.interval / PICOSECONDS if prompts else None
    serving = serve(plan, Steps(bare.seconds, step.seconds, with_prompts))
    host, tpot = serving.host_seconds, serving.tpot_seconds
    prefill = replace(bare, seconds=bare.seconds + host, latency_seconds=bare.latency_seconds + host)
    added = serving.step_seconds - step.seconds
    error = _error(step, serving, band(prompts.priced) if prompts else bare.error_share)
    decode = replace(step, seconds=tpot, latency_seconds=step.latency_seconds + added, error_share=error)
    handover = between[0].makespan / PICOSECONDS if between else None
    throughput = _throughput(plan, _prefills(plan, first, others, host), prefill, decode, handover)
    moved = others.transfer.makespan / PICOSECONDS if others.transfer else None
    ttft = replace(prefill, seconds=prefill.seconds + (moved or 0.0))
    phases = out.Phases(
        ttft_definition=plan.facts.workload.ttft_definition,
        prefill=replace(ttft, interval=interval_of(plan, ttft.seconds, ttft.error_share, is_decode=False)),
        decode=replace(decode, interval=interval_of(plan, decode.seconds, decode.error_share)),
        handover_seconds=handover,
        transfer_seconds=moved,
    )
    return Metrics(phases, throughput, serving)


class _Prefills(NamedTuple):
    """Requests that are prefilled, and the seconds from their begin to that of the next ones."""

    requests: float
    seconds: float


def _prefills(plan: Plan, prefill: Timeline, others: OtherTimelines, host: float) -> _Prefills:
    """As fast as they follow each other: GPUs that prefill alone fill their steps, where they are what limits."""
    service, workload, stages = plan.deployment.services[0], plan.facts.workload, 1
    if not prefills_alone(plan, service):
        return _Prefills(entering(plan).facts.workload.batch, prefill.interval / PICOSECONDS + host)
    one = others.full_step or prefill
    seconds = one.makespan / PICOSECONDS
    if others.full_pipeline:
        stages = service.stages
        seconds = pipeline_interval(one.makespan, others.full_pipeline.makespan, stages) / PICOSECONDS
    together = full_step_tokens(plan) / workload.fresh * plan.deployment.cache_count(service)
    requests = min(together, (workload.concurrency or workload.batch) / stages)
    return _Prefills(requests, max(seconds, server_overhead(plan).prefill_launch_seconds) + host)


def cost_of(plan: Plan, metrics: Metrics | None) -> out.Cost | None:
    """The cost of a plan; None where its cluster has no price."""
    price = plan.facts.cluster.usd_per_gpu_second
    if price is None:
        return None
    each_second = price * plan.deployment.gpus
    rates = metrics.throughput if metrics else None
    return out.Cost(
        usd_per_hour=each_second * SECONDS_PER_HOUR,
        usd_per_million_output_tokens=_of_a_million(each_second, rates.output_tokens_per_second if rates else None),
        usd_per_million_tokens=_of_a_million(each_second, rates.total_tokens_per_second if rates else None),
    )


def _of_a_million(each_second: float, rate: float | None) -> float | None:
    return each_second / rate * _MILLION if rate else None


def _error(step: out.PhaseRecord, serving: out.Serving, of_prompts: float) -> float:
    """That of a step and of what prompts add to it: both err in the same direction, being the same formulas."""
    added = serving.prompt_steps * serving.prompt_step_seconds
    whole = serving.tpot_seconds * serving.tokens_per_step
    return (step.seconds * step.error_share + added * of_prompts) / whole if whole else 0.0


def _phase(timeline: Timeline) -> out.PhaseRecord:
    wrong = errors(timeline.priced)
    return out.PhaseRecord(
        seconds=timeline.interval / PICOSECONDS,
        error_share=wrong.band,
        interval=None,
        extrapolated_share=wrong.extrapolated,
        latency_seconds=timeline.makespan / PICOSECONDS,
        micro_batches=len(timeline.priced.graph.micro_batches),
        load_balance=_load_balance(timeline),
        bound=_bound(timeline.shares),
        critical_path=out.CriticalPathRecord(
            compute_share=timeline.shares.compute,
            memory_share=timeline.shares.memory,
            communication_share=timeline.shares.communication,
            bubble_share=timeline.shares.bubble,
        ),
    )


def _bound(shares: Shares) -> out.Share:
    """What takes the largest share of the critical path."""
    by_name: dict[out.Share, float] = {
        "compute": shares.compute,
        "memory": shares.memory,
        "communication": shares.communication,
        "bubble": shares.bubble,
    }
    return max(by_name, key=lambda name: by_name[name])


def _load_balance(timeline: Timeline) -> float:
    """Mean over the ranks of the phase of the time that each computes in a step, divided by the longest."""
    teams = timeline.priced.graph.teams
    computing = [(busy, teams[team].width) for (team, lane), busy in timeline.busy.items() if lane is Lane.COMPUTE]
    longest = max((int(busy.max()) for busy, _ in computing), default=0)
    ranks = sum(width for _, width in computing)
    return sum(float(busy.mean()) * width for busy, width in computing) / (longest * ranks) if longest else 1.0


def _throughput(
    plan: Plan, prefills: _Prefills, prefill: out.PhaseRecord, decode: out.PhaseRecord, handover: float | None
) -> out.Throughput:
    workload, gpus = plan.facts.workload, plan.deployment.gpus
    rates = _request_rates(workload, prefills, prefill, decode, handover)
    limit = min(rates, key=lambda name: rates[name])
    requests = rates[limit]
    into, out_of, total = (requests * n for n in (workload.prompt, workload.output, workload.prompt + workload.output))
    return out.Throughput(
        limited_by=limit,
        requests_per_second=requests,
        input_tokens_per_second=into,
        output_tokens_per_second=out_of,
        total_tokens_per_second=total,
        input_tokens_per_second_per_gpu=into / gpus,
        output_tokens_per_second_per_gpu=out_of / gpus,
        total_tokens_per_second_per_gpu=total / gpus,
        prefill_tokens_per_second=_rate(prefills.requests * workload.prompt, prefills.seconds),
        decode_tokens_per_second=_rate(workload.batch, decode.seconds),
    )


def _request_rates(
    workload: Workload, prefills: _Prefills, prefill: out.PhaseRecord, decode: out.PhaseRecord, handover: float | None
) -> dict[str, float]:
    """Requests a second that each part could sustain."""
    batch, steps = workload.batch, workload.output - 1
    if workload.concurrency is not None and handover is None:
        return {"both": _rate(batch, prefill.seconds + steps * decode.seconds)}
    if handover is None:
        decoding = decode.latency_seconds + (steps - 1) * decode.seconds if steps > 0 else 0.0
        return {"both": _rate(batch, prefill.seconds + decoding)}
    return {
        "prefill": _rate(*prefills),
        "handover": _rate(batch, handover),
        "decode": _rate(batch, steps * decode.seconds),
    }


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else float("inf")


WHOLE = 0.12
"""Error of a whole phase beyond its nodes', about the median one of measured cases. Serving runs repeated with other
versions of an engine differ by 50 % in one of ten (ai-dynamo/aiconfigurator @ 095f58a5)."""

UNFITTED = 0.3
"""Error of a roofline with one flat efficiency: the median of such on the measured cases of `dagc validate`."""

_KEPT = 4_096
"""Templates whose nodes' errors are kept: many phases have one in common."""


@dataclass(frozen=True, slots=True)
class Errors:
    """The relative error to expect of a phase's time, and the share of its nodes' time outside of what was fitted."""

    band: float
    extrapolated: float


def band(priced: PricedPhase) -> float:
    """The relative error to expect of a phase's time."""
    return errors(priced).band


def errors(priced: PricedPhase) -> Errors:
    """What there is to say of a phase's time."""
    seconds = outside = 0.0
    wrong: dict[_Kind, float] = {}
    for template, count in priced.graph.copies.items():
        costs = priced.costs[template]
        breakdown = _breakdown(priced.graph.templates[template], costs)
        seconds += count * serial_time(costs)
        outside += count * breakdown.outside
        for kind, one in breakdown.wrong.items():
            wrong[kind] = wrong.get(kind, 0.0) + count * one
    if not seconds:
        return Errors(0.0, 0.0)
    return Errors(hypot(WHOLE, *(one / seconds for one in wrong.values())), outside / seconds)


_Kind = tuple[str, str]
"""An operator, and the source of its coefficients."""


class _Breakdown(NamedTuple):
    """What of the time of a template's nodes lies outside of what was fitted, and what of it may be wrong, by kind."""

    outside: float
    wrong: dict[_Kind, float]


@lru_cache(maxsize=_KEPT)
def _breakdown(template: Template, costs: Costs) -> _Breakdown:
    outside = 0.0
    wrong: dict[_Kind, float] = {}
    for node, cost in zip(template.nodes, costs, strict=True):
        if cost.longest:
            kind = node.op.name, cost.source
            outside += cost.longest if cost.extrapolated else 0.0
            wrong[kind] = wrong.get(kind, 0.0) + cost.longest * (UNFITTED if cost.error is None else cost.error)
    return _Breakdown(outside, wrong)
