"""Timelines become the figures by which a deployment is judged.

Definitions, each used everywhere under this name:

- Where replicas differ (in sequences, or in slowed ranks), each phase is that of its slowest class of replicas: the
  batch is done when they are.
- TTFT, `prefill.seconds`: from arrival to the first token of the slowest request of the batch, without queueing: the
  makespan of the prefill. Where the phases have their own GPUs, the KV-cache transfer comes after the first
  token and is not part of it; it is shown beside it.
  Where requests come and go (`concurrency`), it is that of a request to an idle server: the prefill of one prompt on
  each of attention's ranks, and, where the phases have their own GPUs, the transfer of its cache. vLLM, SGLang and
  Dynamo give the first token to the user from the decode side, which has it when the cache has arrived. Requests under
  load wait for each other besides, which is not simulated: it is a lower bound of their TTFT (`dagc.report.ttft`).
- TPOT, `decode.seconds`: the steady-state interval between two tokens of one request. `latency_seconds` is one
  decode step from an idle pipeline to its last token. Where requests come and go, the interval counts the prompts that
  come between (`dagc.report.serving`). With an engine both have its host's time a step.
- Throughput of one static batch of B requests of P prompt and O output tokens, both phases on the same GPUs:
  T = TTFT + latency + (O - 2) x TPOT for O >= 2 (the first token comes from the prefill, the second after a step from
  an idle pipeline, each further one an interval later), T = TTFT for O = 1. Requests a second = B / T.
- Throughput of C requests in flight on the same GPUs, one of which follows each that leaves:
  C / (TTFT + (O - 1) x TPOT).
- Throughput of prefill and decode pools in steady state: each holds a batch while the other works on the next, so
  requests a second = min(B / prefill, B / cache transfer, B / ((O - 1) x TPOT)), and the smallest names the bottleneck.
- Load balance of a phase: the time that a GPU computes in a step, averaged over all GPUs of the phase, as a share of
  the busiest one's.
- Input, output and total tokens a second: requests a second times P, O and P + O. A GPU: divided by all GPUs.

Beside them stand the rates of each phase alone: B x P / TTFT prompt tokens (B as many as are prefilled at once), and
B / TPOT generated tokens a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dagc.graph.priced import PICOSECONDS
from dagc.ops.op import Lane
from dagc.plan.plan import Plan
from dagc.plan.serving import entering
from dagc.plan.workload import Workload
from dagc.report.band import band, errors
from dagc.report.serving import Queue, Serving, Steps, queue, serve
from dagc.timeline.timeline import Shares, Timeline

Share = Literal["compute", "memory", "communication", "bubble"]
"""What a critical path's time goes to."""


@dataclass(frozen=True, slots=True)
class PhaseMetrics:
    """One phase. `seconds` is its metric (TTFT or TPOT), `latency_seconds` its makespan from an idle pipeline.

    `error` is the relative error to expect of it (`dagc.report.band`), of what is counted at all.
    `load_balance` is 1 where all GPUs compute as long as the busiest does. `extrapolated` is the share of the time of
    operators that lies outside of measurements.
    """

    seconds: float
    latency_seconds: float
    micro_batches: int
    shares: Shares
    error: float = 0.0
    load_balance: float = 1.0
    extrapolated: float = 0.0

    @property
    def bound(self) -> Share:
        """What takes the largest share of the critical path."""
        shares: dict[Share, float] = {
            "compute": self.shares.compute,
            "memory": self.shares.memory,
            "communication": self.shares.communication,
            "bubble": self.shares.bubble,
        }
        return max(shares, key=lambda name: shares[name])


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates of the whole deployment. `limited_by` is the phase that decides them: `both` where they share GPUs."""

    requests_per_second: float
    input_tokens_per_second: float
    output_tokens_per_second: float
    total_tokens_per_second: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    limited_by: str

    def tokens_per_second(self, kind: str) -> float:
        """Rate of a kind of tokens; tokens of no stated kind are counted as all of them, input and output."""
        match kind:
            case "input":
                return self.input_tokens_per_second
            case "output":
                return self.output_tokens_per_second
            case _:
                return self.total_tokens_per_second


@dataclass(frozen=True, slots=True)
class Metrics:
    """Both phases, and what they yield together. `handover_seconds` is None where the phases share GPUs;
    `transfer_seconds`, the KV-cache transfer of one request, for a static batch too.
    """

    prefill: PhaseMetrics
    decode: PhaseMetrics
    handover_seconds: float | None
    throughput: Throughput
    serving: Serving
    queue: Queue | None
    transfer_seconds: float | None = None


def measure(
    plan: Plan, timelines: tuple[Timeline, ...], mixed: Timeline | None = None, transfer: Timeline | None = None
) -> Metrics:
    """Metrics of a plan from its timelines in order: prefill, the cache transfer where there is one, decode.

    Each is the timeline of the slowest class of replicas. `mixed` is that of a decode step with prompts, if there are,
    `transfer` that of the KV-cache transfer of one request, where TTFT includes it.
    """
    first, *between, last = timelines
    bare, step = _phase(first), _phase(last)
    with_prompts = mixed.interval / PICOSECONDS if mixed else None
    serving = serve(plan, Steps(bare.seconds, step.seconds, with_prompts))
    host = serving.host_seconds
    prefill = replace(bare, seconds=bare.seconds + host, latency_seconds=bare.latency_seconds + host)
    added = serving.step_seconds - step.seconds
    error = _error(step, serving, band(mixed.priced) if mixed else bare.error)
    decode = replace(step, seconds=serving.tpot_seconds, latency_seconds=step.latency_seconds + added, error=error)
    handover = between[0].makespan / PICOSECONDS if between else None
    throughput = _throughput(plan, prefill, decode, handover)
    moved = transfer.makespan / PICOSECONDS if transfer else None
    ttft = replace(prefill, seconds=prefill.seconds + (moved or 0.0))
    waits = queue(plan, ttft.seconds, decode.seconds, prefill.seconds)
    return Metrics(ttft, decode, handover, throughput, serving, waits, moved)


def _error(step: PhaseMetrics, serving: Serving, of_prompts: float) -> float:
    """That of a step and of what prompts add to it: both err in the same direction, being the same formulas."""
    added = serving.prompt_steps * serving.prompt_step_seconds
    whole = serving.tpot_seconds * serving.tokens_per_step
    return (step.seconds * step.error + added * of_prompts) / whole if whole else 0.0


def _phase(timeline: Timeline) -> PhaseMetrics:
    wrong = errors(timeline.priced)
    return PhaseMetrics(
        seconds=timeline.interval / PICOSECONDS,
        latency_seconds=timeline.makespan / PICOSECONDS,
        micro_batches=len(timeline.priced.graph.micro_batches),
        shares=timeline.shares,
        error=wrong.band,
        load_balance=_load_balance(timeline),
        extrapolated=wrong.extrapolated,
    )


def _load_balance(timeline: Timeline) -> float:
    """Mean over the ranks of the phase of the time that each computes in a step, divided by the longest."""
    teams = timeline.priced.graph.teams
    computing = [(busy, teams[team].width) for (team, lane), busy in timeline.busy.items() if lane is Lane.COMPUTE]
    longest = max((int(busy.max()) for busy, _ in computing), default=0)
    ranks = sum(width for _, width in computing)
    return sum(float(busy.mean()) * width for busy, width in computing) / (longest * ranks) if longest else 1.0


def _throughput(plan: Plan, prefill: PhaseMetrics, decode: PhaseMetrics, handover: float | None) -> Throughput:
    workload, prefilled = plan.facts.workload, entering(plan).facts.workload.batch
    rates = _request_rates(workload, prefilled, prefill, decode, handover)
    limit = min(rates, key=lambda name: rates[name])
    requests = rates[limit]
    return Throughput(
        requests_per_second=requests,
        input_tokens_per_second=requests * workload.prompt,
        output_tokens_per_second=requests * workload.output,
        total_tokens_per_second=requests * (workload.prompt + workload.output),
        prefill_tokens_per_second=_rate(prefilled * workload.prompt, prefill.seconds),
        decode_tokens_per_second=_rate(workload.batch, decode.seconds),
        limited_by=limit,
    )


def _request_rates(
    workload: Workload, prefilled: int, prefill: PhaseMetrics, decode: PhaseMetrics, handover: float | None
) -> dict[str, float]:
    """Requests a second that each part could sustain."""
    batch, steps = workload.batch, workload.output - 1
    if workload.concurrency is not None and handover is None:
        return {"both": _rate(batch, prefill.seconds + steps * decode.seconds)}
    if handover is None:
        decoding = decode.latency_seconds + (steps - 1) * decode.seconds if steps > 0 else 0.0
        return {"both": _rate(batch, prefill.seconds + decoding)}
    return {
        "prefill": _rate(prefilled, prefill.seconds),
        "handover": _rate(batch, handover),
        "decode": _rate(batch, steps * decode.seconds),
    }


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else float("inf")
