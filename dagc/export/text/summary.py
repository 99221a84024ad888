"""A summary as text for a person: the answer first, then why.

One headline (GPUs, whether it fits, TTFT, TPOT, throughput), then the size as a proof, the domains, memory, phases,
rates, and each requirement and claim with a tick, a cross, or `?` where nothing decides. Plain text without colours; it
computes nothing that is not in the summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.export.text.context import MARKS
from dagc.export.text.load import load_lines
from dagc.export.text.memory import holding_most
from dagc.metrics import TTFT, times_text
from dagc.results.facts import assumed
from dagc.results.intervals import Group
from dagc.results.memory import part_title
from dagc.results.serving import DECODE_STEP, bound_text, is_decode_step_alone
from dagc.results.summary import (
    AttentionDomain,
    ClaimRecord,
    Cost,
    DomainsRecord,
    ExpertDomain,
    Memory,
    PhaseRecord,
    Phases,
    PoolRecord,
    RequirementRecord,
    Serving,
    Summary,
    Throughput,
)
from dagc.units import format_bytes, format_gpus, format_money, format_rate, format_seconds, format_share

BASES = {"claims": "by the other claims ", "requirement": "against the requirement: "}
_WIDTH = 13


_LIKE: dict[Group, str] = {
    "known configuration": "of a known configuration",
    "new strategy": "of a new strategy",
    "new model": "of a new model",
    "new GPU or engine": "on a new GPU or engine",
    "separate pools": "of separate pools",
    "static batch": "of a static batch",
    "static batch, one GPU": "of a static batch on one GPU",
}
"""What an interval is stated as."""

MIN_EXTRAPOLATED = 0.01
"""Share of a phase from which it is said that it lies outside of measurements."""


def render_text(summary: Summary) -> str:
    """The summary as lines, the last one ended."""
    return "\n".join(_lines(summary)) + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    yield f"{summary.name}: {headline(summary)}"
    yield _row("strategy", summary.strategy)
    yield from _block("size", _size(summary))
    yield from _pools(summary.pools)
    if summary.memory:
        yield from _block("memory", _memory(summary.memory))
    if summary.phases:
        yield from _phases(summary.phases, summary.serving)
    if summary.serving:
        yield from _block("serving", serving_lines(summary.serving))
    if summary.load:
        yield from _block("load", load_lines(summary.load))
    if summary.throughput:
        yield from _block("throughput", _throughput(summary.throughput))
    yield from _block("cost", _cost(summary.cost) if summary.cost else [])
    yield from _block("requirements", [_requirement(row) for row in summary.requirements])
    yield from _block("claims", [_claim(row) for row in summary.claims])
    yield from _block("undetermined", _undetermined(summary))
    yield from _block("engine", _engine(summary))
    yield from _block("defaults", _assumed(summary))


def _row(name: str, text: str) -> str:
    return f"  {name:<{_WIDTH}} {text}".rstrip()


def _block(name: str, lines: Sequence[str]) -> Iterator[str]:
    for i, line in enumerate(lines):
        yield _row("" if i else name, line)


def headline(summary: Summary) -> str:
    """The answer in one line: GPUs, whether it fits, TTFT, TPOT, throughput."""
    parts = [format_gpus(summary.gpus)]
    if summary.memory:
        memory = summary.memory
        held = f"{format_bytes(memory.per_rank_max_bytes)} of {format_bytes(memory.capacity_bytes)}"
        parts.append(f"fits ({held})" if memory.fits else f"does not fit ({held})")
        if memory.requests_at_once is not None and memory.fits:
            asked = summary.facts.workload["concurrency"]
            parts.append(f"{memory.requests_at_once} of {asked} requests run concurrently")
    if summary.phases:
        phases = summary.phases
        parts += times_text(phases.ttft_definition, phases.prefill.seconds, phases.decode.seconds)
    if summary.throughput:
        parts.append(format_rate(summary.throughput.output_tokens_per_second, "output tokens/s"))
    return ", ".join(parts)


def _size(summary: Summary) -> list[str]:
    lines = list(summary.derivation)
    if summary.naive_product != summary.gpus:
        lines.append(f"not {summary.naive_product}, the product of all degrees")
    return lines


def _pools(pools: Sequence[PoolRecord]) -> Iterator[str]:
    for pool in pools:
        title = [f"{pool.name}: {format_gpus(pool.gpus)}"] if len(pools) > 1 else []
        yield from _block("domains" if pool is pools[0] else "", [*title, *_domains(pool.domains)])


def _domains(domains: DomainsRecord) -> list[str]:
    lines: list[str] = []
    if domains.attention:
        lines.append(f"attention  {_factors(domains.attention, ('tp', 'cp', 'dp'))}")
    if domains.experts:
        lines.append(f"experts    {_factors(domains.experts, ('tp', 'ep', 'dp'))}")
    return lines


def _factors(domain: AttentionDomain | ExpertDomain, axes: Sequence[str]) -> str:
    """Degrees that are not 1; what nobody wrote is said to be implied."""
    shown = [(axis, getattr(domain, axis)) for axis in axes if getattr(domain, axis) > 1]
    if not shown:
        return "replicated"
    return " × ".join(f"{axis} {degree}{_implied(domain, axis, degree)}" for axis, degree in shown)


def _implied(domain: AttentionDomain | ExpertDomain, axis: str, degree: int) -> str:
    implied = domain.implied.get(axis, 1)
    if implied == 1:
        return ""
    return " (implied)" if implied == degree else f" ({implied} of it implied)"


def _memory(memory: Memory) -> list[str]:
    held = f"{format_bytes(memory.per_rank_max_bytes)} of {format_bytes(memory.capacity_bytes)}"
    parts = ", ".join(f"{part_title(name)} {format_bytes(size)}" for name, size in memory.parts_bytes.items() if size)
    most = holding_most(memory)
    return [f"{held} ({format_share(memory.share)}) on the fullest GPU", parts, *([most] if most else [])]


def _phases(phases: Phases, serving: Serving | None) -> Iterator[str]:
    ttft = f"{_with_interval(phases.prefill)} {TTFT.titled([phases.ttft_definition])}"
    yield from _block("prefill", [ttft, *_phase(phases.prefill)])
    if phases.handover_seconds is not None:
        yield _row("KV transfer", handover_text(phases.handover_seconds, phases.transfer_seconds))
    decode = phases.decode
    step = f"; single-step latency {format_seconds(decode.latency_seconds)}"
    of_step = "" if serving is None or is_decode_step_alone(serving) else f"{DECODE_STEP} "
    yield from _block("decode", [f"{_with_interval(decode)} TPOT{step}", *_phase(decode, of_step)])
    yield _row("80 %", interval_source(phases))


def handover_text(whole: float, one: float | None) -> str:
    """What moving the cache takes: of the whole batch, and of one request where TTFT includes it."""
    moved = f"{format_seconds(whole)} for the whole batch"
    return moved if one is None else f"{moved}; {format_seconds(one)} per request, before its first token"


def _with_interval(phase: PhaseRecord) -> str:
    """The time of a phase with its 80 % interval."""
    shown = format_seconds(phase.seconds)
    return f"{shown} ({interval_text(phase)})" if phase.interval else shown


def interval_text(phase: PhaseRecord) -> str:
    """`80 %: 38-52 ms`, in the unit of the time itself where its ends are of like size."""
    if phase.interval is None:
        return "no interval"
    low, high = (format_seconds(end) for end in phase.interval.bounds(0.8))
    number, _, unit = low.partition(" ")
    return f"80 %: {number if high.endswith(f' {unit}') else low}-{high}"


def interval_source(phases: Phases) -> str:
    """Whose 80 % the intervals are: `prefill of a static batch (93 measured runs), decode of a new model (…)`."""
    found = (("prefill", phases.prefill.interval), ("decode", phases.decode.interval))
    return ", ".join(f"{name} {_LIKE[one.group]} ({one.runs:,} measured runs)" for name, one in found if one)


def _phase(phase: PhaseRecord, part: str = "") -> list[str]:
    """What bounds a phase, or the named part of its time, and how much of that was not measured."""
    path = phase.critical_path
    shares = (
        f"compute {format_share(path.compute_share)}",
        f"memory {format_share(path.memory_share)}",
        f"communication {format_share(path.communication_share)}",
        f"bubble {format_share(path.bubble_share)}",
    )
    many = f"{phase.micro_batches} micro-batch{'es' if phase.micro_batches > 1 else ''}"
    bound = f"{part}{bound_text(phase.bound)}: {', '.join(shares)}; {many}"
    if phase.extrapolated_share < MIN_EXTRAPOLATED:
        return [bound]
    return [bound, f"{format_share(phase.extrapolated_share)} of operator time is extrapolated beyond calibration data"]


def serving_lines(serving: Serving) -> list[str]:
    """What lies between two tokens, and the queue.

    Nothing where requests start together and each step yields one token without the host's time.
    """
    lines: list[str] = []
    parts = [(serving.host_seconds, "host"), (serving.draft_seconds, "drafts")]
    beside = [f"{what} {format_seconds(seconds)}" for seconds, what in parts if seconds]
    within = f" ({', '.join(beside)} included)" if beside else ""
    if serving.tokens_per_step > 1:
        within += f", {serving.tokens_per_step:.3g} tokens per step"
    if serving.concurrency is not None:
        is_full = serving.running != serving.concurrency
        full = f", {serving.running} running: limited by KV-cache capacity" if is_full else ""
        between = "; prefill interleaved with decode" if serving.prompt_steps else ""
        lines.append(f"{serving.concurrency} requests in flight{full}{between}")
    if lines or within:
        lines.append(f"step time {format_seconds(serving.step_seconds)}{within}")
    if serving.prompt_steps:
        lines.append(_interference(serving))
    return lines


def _interference(serving: Serving) -> str:
    """What prompts add: to the decode step that has some, how often that is, and to TPOT."""
    per_step = serving.prompt_steps
    often = f"every {1 / per_step:.3g} decode steps" if per_step < 1 else f"{per_step:.3g} times per decode step"
    if f"{per_step:.3g}" == "1":
        often = "every decode step"
    added = format_seconds(per_step * serving.prompt_step_seconds / serving.tokens_per_step)
    return f"prefill interference: +{format_seconds(serving.prompt_step_seconds)} {often} (+{added} TPOT)"


def limit_text(service: str) -> str:
    """The service that limits throughput, in words."""
    return "KV-cache transfer" if service == "handover" else service


def _throughput(rates: Throughput) -> list[str]:
    per_gpu = format_rate(rates.output_tokens_per_second_per_gpu, "tokens/s/GPU")
    whole = [
        f"{format_rate(rates.output_tokens_per_second, 'output tokens/s')} ({per_gpu})",
        format_rate(rates.input_tokens_per_second, "input tokens/s"),
        format_rate(rates.total_tokens_per_second, "total tokens/s"),
    ]
    lone = (
        f"prefill only {format_rate(rates.prefill_tokens_per_second, 'input tokens/s')}",
        f"decode only {format_rate(rates.decode_tokens_per_second, 'output tokens/s')}",
    )
    limit = [] if rates.limited_by == "both" else [f"limited by {limit_text(rates.limited_by)}"]
    return [", ".join(whole), ", ".join(lone), *limit]


def _cost(cost: Cost) -> list[str]:
    tokens = (
        (cost.usd_per_million_output_tokens, "per million output tokens"),
        (cost.usd_per_million_tokens, "per million tokens in total"),
    )
    known = [f"{format_money(amount)} {what}" for amount, what in tokens if amount is not None]
    return [", ".join([f"{format_money(cost.usd_per_hour)} per hour", *known])]


def _requirement(row: RequirementRecord) -> str:
    near = f", {row.verdict}" if row.verdict and row.verdict.endswith("within error") else ""
    return f"{MARKS[row.ok]} {row.name} {row.required}: {_found(row, near)}"


def _claim(row: ClaimRecord) -> str:
    return f"{MARKS[row.ok]} {row.name} {row.claimed}: {BASES.get(row.basis, '')}{_found(row)}"


def _found(row: RequirementRecord | ClaimRecord, near: str = "") -> str:
    """What is undetermined because facts are missing says no more here: these are listed once, below."""
    if row.actual is None and row.reason.startswith("undetermined"):
        return "undetermined"
    return f"{row.actual}{near} ({row.reason})" if row.actual else row.reason


def _undetermined(summary: Summary) -> list[str]:
    """What has the same cause is on one line."""
    causes: dict[tuple[str, ...], list[str]] = {}
    for row in summary.undetermined:
        causes.setdefault(tuple(row.missing), []).append(row.what)
    return [f"{', '.join(what)}: not stated: {', '.join(missing)}" for missing, what in causes.items()]


def _engine(summary: Summary) -> list[str]:
    engine = summary.facts.engine
    return [f"{engine['name']} {engine['version']} (placement of ranks, layers and experts)"] if engine else []


def _assumed(summary: Summary) -> list[str]:
    defaults = assumed(summary.facts)
    return [defaults] if defaults else []
