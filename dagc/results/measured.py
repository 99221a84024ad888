"""Figures that memory and timeline decide: times, rates, shares and bytes of the cost model.

Turns `MemoryOfPools` and `Metrics` into the right value of a measured metric, in the terms of the figure it is compared
with (a GPU or the deployment, bytes or a share, which tokens). Without them the value is undetermined, and the
missing facts are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isinf

from dagc import metrics as of
from dagc.metrics import Metric
from dagc.plan.plan import Plan
from dagc.plan.workload import Figure, Per
from dagc.results.assessment import Actual
from dagc.results.load import SimulatedLoad, simulated_value
from dagc.results.memory import MemoryOfPools, part_title
from dagc.results.metrics import Metrics
from dagc.results.quantity import MODEL_DIGITS, figure_text, quantity_text
from dagc.results.serving import bound_text, breaking_part, cause, is_decode_step_alone, sum_text
from dagc.results.summary import PhaseRecord
from dagc.units import Dimension, format_bytes, format_gpus, format_rate, format_seconds, format_share


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a stated figure is judged by. `missing_…` name the facts without which the rest is None."""

    plan: Plan
    memory: MemoryOfPools | None
    metrics: Metrics | None
    missing_shapes: tuple[str, ...]
    missing_rates: tuple[str, ...]
    load: SimulatedLoad | None = None


def measured_actual(evidence: Evidence, metric: Metric, figure: Figure) -> Actual | None:
    """The value of a measured metric in the figure's terms, or None when the metric is not measured."""
    if metric in of.SIMULATED or (metric is of.TTFT and evidence.load is not None):
        return _simulated(evidence, metric, figure)
    if metric in _BY_MEMORY:
        if evidence.memory is None:
            return _undetermined(evidence.missing_shapes, figure)
        return _BY_MEMORY[metric](evidence.memory, figure)
    if metric in _BY_METRICS:
        if evidence.metrics is None:
            return _undetermined((*evidence.missing_shapes, *evidence.missing_rates), figure)
        return _BY_METRICS[metric](evidence, evidence.metrics, figure)
    return None


def _undetermined(missing: tuple[str, ...], figure: Figure) -> Actual:
    what = f"undetermined without {', '.join(missing)}" if missing else "undetermined"
    return Actual(None, figure.unit, None, what)


def _known(value: float, figure: Figure, reason: str) -> Actual:
    return Actual(value, figure.unit, figure_text(value, figure, MODEL_DIGITS), reason)


def _simulated(evidence: Evidence, metric: Metric, figure: Figure) -> Actual:
    if evidence.load is None:
        if evidence.plan.facts.workload.ttft_definition == "batch":
            return Actual(None, figure.unit, None, "a static batch has no load to simulate")
        return _undetermined((*evidence.missing_shapes, *evidence.missing_rates), figure)
    load, value = evidence.load, simulated_value(evidence.load, metric)
    if value is None:
        return Actual(None, figure.unit, None, "no simulated request has one")
    reason = f"of {load.requests:,} simulated requests, {load.arrivals}"
    if load.saturation and not load.holds:
        highest = f"{format_rate(load.saturation.requests_per_second, 'requests/s')}"
        reason = f"the queue grows without end: requests are completed at {highest} at most"
    if isinf(value):
        return Actual(value, figure.unit, "unbounded", reason)
    return _known(value, figure, reason)


def _memory(memory: MemoryOfPools, figure: Figure) -> Actual:
    if figure.unit == Dimension.SHARE:
        pool = memory.fullest
        reason = f"{format_bytes(pool.max_bytes)} of {format_bytes(pool.capacity_bytes)} on the fullest GPU"
        return _known(pool.share, figure, reason)
    pool = max(memory.pools, key=lambda one: one.max_bytes)
    is_fullest = pool.max_bytes == memory.fullest.max_bytes
    where = "the fullest GPU" if is_fullest else f"the fullest GPU of {pool.pool}"
    reason = " + ".join(f"{part_title(name)} {format_bytes(part)}" for name, part in pool.max_parts.items() if part)
    return _known(pool.max_bytes, figure, f"on {where}: {reason}")


def _memory_total(memory: MemoryOfPools, figure: Figure) -> Actual:
    return _known(memory.total_bytes, figure, "summed over all GPUs")


def _headroom(memory: MemoryOfPools, figure: Figure) -> Actual:
    pool = memory.fullest
    free = pool.capacity_bytes - pool.max_bytes
    reason = f"{format_bytes(pool.capacity_bytes)} less {format_bytes(pool.max_bytes)} on the fullest GPU"
    return _known(free / pool.capacity_bytes if figure.unit == Dimension.SHARE else free, figure, reason)


def _ttft(evidence: Evidence, metrics: Metrics, figure: Figure) -> Actual:
    if evidence.plan.facts.workload.ttft_definition == "batch":
        reason = f"prefill of the whole batch, {bound_text(metrics.prefill.bound)}"
        return _known(metrics.prefill.seconds, figure, reason)
    # Prompts of all ranks of attention take at most as often as long together as one of them alone.
    ranks = evidence.plan.deployment.services[0].attention_ranks
    together = _known(metrics.prefill.seconds, figure, "").text
    found = _known(metrics.prefill.seconds / ranks, figure, "")
    alone, definition = f"{found.text} on an idle server", f"{together} is TTFT of an idle server"
    if ranks > 1:
        alone = f"{found.text}, the {ranks}th part of {together} for a prompt on each of {ranks} ranks of attention"
        definition += f", with a prompt on each of {ranks} ranks of attention"
    return replace(
        found,
        reason=f"already {alone}, {bound_text(metrics.prefill.bound)}",
        unless_missed=f"no request is simulated: {definition}",
    )


def _tpot(_: Evidence, metrics: Metrics, figure: Figure) -> Actual:
    """The reason names what takes the time, for the stated figure as the limit (`dagc.results.serving`)."""
    decode, serving = metrics.decode, metrics.serving
    if is_decode_step_alone(serving):
        step = format_seconds(decode.latency_seconds)
        reason = f"steady-state inter-token latency, {bound_text(decode.bound)}; single-step latency {step}"
        return _known(decode.seconds, figure, reason)
    breaks = breaking_part(serving, figure.value) if decode.seconds > figure.value else None
    why = f"missed because of {breaks}" if breaks else bound_text(cause(serving, decode.bound))
    return _known(decode.seconds, figure, f"inter-token latency, {why}: {sum_text(serving)}")


def _throughput(evidence: Evidence, metrics: Metrics, figure: Figure) -> Actual:
    gpus = evidence.plan.deployment.gpus
    rate = metrics.throughput.tokens_per_second(figure.kind)
    counted = f"{figure.kind} tokens" if figure.kind else "input and output tokens"
    if figure.per is Per.GPU:
        whole = quantity_text(rate, figure.unit, Per.DEPLOYMENT, figure.kind)
        return _known(rate / gpus, figure, f"{counted}: {whole} / {format_gpus(gpus)}")
    return _known(rate, figure, f"{counted} of {format_gpus(gpus)}")


def _share(name: str) -> Callable[[Evidence, Metrics, Figure], Actual]:
    def read(evidence: Evidence, metrics: Metrics, figure: Figure) -> Actual:
        """The larger of the two phases' shares: a ceiling has to hold in both. Under load that of decode is known."""
        if evidence.plan.facts.workload.ttft_definition == "idle server":
            return _share_under_load(name, metrics, figure)
        shares = {"prefill": _of(metrics.prefill, name), "decode": _of(metrics.decode, name)}
        worst = max(shares, key=lambda phase: shares[phase])
        both = ", ".join(f"{phase} {format_share(share)}" for phase, share in shares.items())
        return _known(shares[worst], figure, f"{both} of the critical path")

    return read


def _share_under_load(name: str, metrics: Metrics, figure: Figure) -> Actual:
    decode, alone = (format_share(_of(phase, name)) for phase in (metrics.decode, metrics.prefill))
    found = _known(_of(metrics.decode, name), figure, f"already {decode} of the critical path of decode")
    unknown = f"{name} of prefill under load is not simulated: decode has {decode}, a prompt on an idle server {alone}"
    return replace(found, unless_missed=unknown)


def _of(phase: PhaseRecord, share: str) -> float:
    path = phase.critical_path
    return path.communication_share if share == "communication" else path.bubble_share


_BY_MEMORY: dict[Metric, Callable[[MemoryOfPools, Figure], Actual]] = {
    of.MEMORY: _memory,
    of.MEMORY_TOTAL: _memory_total,
    of.HEADROOM: _headroom,
}

_BY_METRICS: dict[Metric, Callable[[Evidence, Metrics, Figure], Actual]] = {
    of.TTFT: _ttft,
    of.TPOT: _tpot,
    of.THROUGHPUT: _throughput,
    of.COMMUNICATION: _share("communication"),
    of.BUBBLE: _share("bubble"),
}
