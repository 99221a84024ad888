"""The figures of an answer, one a tile: what the report, the page of a comparison, a notebook and `answer.svg` show.

Turns a summary into words and states; it computes nothing that is not in the summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.export.text.summary import interval_text, limit_text
from dagc.metrics import THROUGHPUT, TPOT, TTFT, Metric
from dagc.results.serving import bound_text, cause
from dagc.results.summary import CriticalPathRecord, Memory, PhaseRecord, Summary, Throughput
from dagc.units import format_bytes, format_count, format_money, format_seconds, format_share


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure: what it is called, its number (or a word) and unit, what it depends on, and whether it is as required.

    `state` is `good`, `bad`, or empty where nothing is required. `share` is how full a meter is, None for no meter.
    """

    name: str
    figure: str
    unit: str
    note: str
    state: str = ""
    share: float | None = None


def tiles(summary: Summary) -> Iterator[Tile]:
    """GPUs, memory, TTFT, TPOT, throughput and cost, as far as they are known."""
    yield _tile("GPUs", f"{summary.gpus:,}", _gpus(summary))
    yield _memory(summary.memory) if summary.memory else _tile("memory", "?", "undetermined")
    if summary.phases:
        prefill, decode = summary.phases.prefill, summary.phases.decode
        ttft = TTFT.titled([summary.phases.ttft_definition])
        yield _tile(ttft, format_seconds(prefill.seconds), _time(prefill, prefill.bound), _state(summary, TTFT))
        bound = cause(summary.serving, decode.bound) if summary.serving else decode.bound
        yield _tile(TPOT.title, format_seconds(decode.seconds), _time(decode, bound), _state(summary, TPOT))
    else:
        yield _tile("TTFT and TPOT", "?", "undetermined")
    if summary.throughput:
        yield _throughput(summary.throughput, _state(summary, THROUGHPUT))
    if summary.cost:
        tokens = summary.cost.usd_per_million_output_tokens
        cost = f"{format_money(tokens)} per million output tokens" if tokens is not None else "tokens undetermined"
        yield _tile("cost per hour", format_money(summary.cost.usd_per_hour), cost)


def time_shares(path: CriticalPathRecord) -> tuple[tuple[str, float], ...]:
    """What takes the time of a phase, and its share, where it has any."""
    shares = (
        ("compute", path.compute_share),
        ("memory", path.memory_share),
        ("communication", path.communication_share),
        ("bubble", path.bubble_share),
    )
    return tuple((name, share) for name, share in shares if share > 0)


def capacity_facts(memory: Memory) -> Iterator[str]:
    """What fits beside the plan: tokens of KV cache, the largest batch, the longest context, as far as determined."""
    capacity = [pool.kv_capacity_tokens for pool in memory.pools if pool.kv_capacity_tokens is not None]
    if capacity:
        yield f"KV-cache capacity {min(capacity):,} tokens"
    if memory.limits and memory.limits.batch is not None:
        yield f"largest batch {memory.limits.batch:,} sequences"
    if memory.limits and memory.limits.context is not None:
        yield f"longest context {memory.limits.context:,} tokens"


def passes(name: str, phase: PhaseRecord) -> str:
    """In how many micro-batches a phase goes through, and how long one step of decode takes."""
    many = f"{phase.micro_batches} micro-batch{'es' if phase.micro_batches > 1 else ''}"
    step = f"; single-step latency {format_seconds(phase.latency_seconds)}" if name == "decode step" else ""
    return f"{many}{step}"


def _state(summary: Summary, metric: Metric) -> str:
    """How the requirements on a metric are met, all of them together."""
    found = [row.ok for row in summary.requirements if row.name == metric.name]
    return "bad" if False in found else "good" if True in found else ""


def _gpus(summary: Summary) -> str:
    shape = [(summary.replicas, "replica"), (summary.stages, "stage")]
    if summary.replicas is None or summary.stages is None:
        return " + ".join(f"{pool.gpus:,} {pool.name}" for pool in summary.pools)
    return " × ".join(f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in shape if count)


def _tile(name: str, value: str, note: str, state: str = "") -> Tile:
    number, _, unit = value.partition(" ") if value[0].isdigit() else (value, "", "")
    return Tile(name, number, unit, note, state)


def _memory(memory: Memory) -> Tile:
    held, whole = format_bytes(memory.per_rank_max_bytes), format_bytes(memory.capacity_bytes)
    note = f"{held} of {whole}, {format_share(memory.share)} of the fullest GPU"
    if memory.requests_at_once is not None and memory.fits:
        note += f"; {memory.requests_at_once:,} concurrent requests, the others queue"
    name, state = ("fits", "good") if memory.fits else ("does not fit", "bad")
    return Tile("memory", name, "", note, state, memory.share)


def _time(phase: PhaseRecord, bound: str) -> str:
    return f"{interval_text(phase)}, {bound_text(bound)}"


def _throughput(rates: Throughput, state: str) -> Tile:
    per_gpu = f"{format_count(rates.output_tokens_per_second_per_gpu)} tokens/s/GPU"
    limit = "" if rates.limited_by == "both" else f", limited by {limit_text(rates.limited_by)}"
    number, _, prefix = format_count(rates.output_tokens_per_second).partition(" ")
    return Tile("output tokens/s", number, prefix, per_gpu + limit, state)
