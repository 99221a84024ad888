"""The figures by which deployments are set side by side: name, unit, what is better, and how each is read.

One table for comparison, search and sensitivities, so that a figure means the same in all of them. Each is read from a
plan and its assessment and computed nowhere else; None is undetermined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dagc.plan.plan import Plan
from dagc.plan.workload import Per
from dagc.report.assessment import Assessment, RequirementVerdict
from dagc.report.cost import CostFigures, cost_of
from dagc.report.metrics import Metrics
from dagc.report.ttft import Definition, common_title, title_of
from dagc.units import format_bytes, format_count, format_money, format_seconds, format_share

Read = Callable[[Plan, Assessment], float | None]


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One figure. `less` and `more` tell which value is better; `requirements` are the names that may limit it."""

    name: str
    title: str
    unit: str
    better: str
    write: Callable[[float], str]
    read: Read
    requirements: tuple[str, ...] = ()

    def titled(self, definitions: Iterable[Definition]) -> str:
        """The title, where TTFT is what these definitions say."""
        return common_title(definitions) if self.name == "ttft" else self.title

    def text(self, value: float | None) -> str:
        """The value for a person; a dash where it is undetermined."""
        return "-" if value is None else self.write(value)

    def verdict(self, found: Assessment) -> bool | None:
        """Whether the requirements on this figure are met; None where there are none, or nothing decides."""
        judged = [verdict.ok for verdict in found.requirements if self._is_limited_by(verdict)]
        if False in judged:
            return False
        return None if None in judged or not judged else True

    def _is_limited_by(self, verdict: RequirementVerdict) -> bool:
        if verdict.name != "throughput" or not self.requirements:
            return verdict.name in self.requirements
        return (verdict.requirement.figure.per is Per.GPU) == self.name.endswith("per_gpu")


def _metric(read: Callable[[Metrics], float]) -> Read:
    return lambda _, found: None if found.metrics is None else read(found.metrics)


def _cost(read: Callable[[CostFigures], float | None]) -> Read:
    def figure(plan: Plan, found: Assessment) -> float | None:
        cost = cost_of(plan, found.metrics)
        return None if cost is None else read(cost)

    return figure


def _memory(_: Plan, found: Assessment) -> float | None:
    """Of the GPU that holds most bytes, which a requirement on bytes limits; the fullest one may be smaller."""
    return None if found.memory is None else found.memory.max_bytes


def _queued(_: Plan, found: Assessment) -> float | None:
    queue = found.metrics.queue if found.metrics else None
    return queue.ttft_p99_seconds if queue else None


def _at_once(plan: Plan, found: Assessment) -> float | None:
    is_static = plan.facts.workload.concurrency is None
    return None if is_static or found.metrics is None else found.metrics.serving.running


def _output(metrics: Metrics) -> float:
    return metrics.throughput.output_tokens_per_second


def _output_per_gpu(plan: Plan, found: Assessment) -> float | None:
    return None if found.metrics is None else _output(found.metrics) / plan.deployment.gpus


def _rate(value: float) -> str:
    return f"{format_count(value)} tokens/s"


GPUS = FigureKind(
    "gpus", "GPUs", "count", "less", lambda value: str(round(value)), lambda plan, _: plan.deployment.gpus, ("gpus",)
)
MEMORY = FigureKind("memory", "memory per GPU", "bytes", "less", format_bytes, _memory, ("memory", "headroom"))
AT_ONCE = FigureKind(
    "requests_at_once", "concurrent requests", "count", "more", lambda value: str(round(value)), _at_once
)  # fmt: skip
TTFT = FigureKind(
    "ttft", "TTFT", "seconds", "less", format_seconds, _metric(lambda m: m.prefill.seconds), ("ttft",)
)  # fmt: skip
TTFT_P99 = FigureKind(
    "ttft_p99", "TTFT with queueing, p99", "seconds", "less", format_seconds, _queued
)  # fmt: skip
TPOT = FigureKind(
    "tpot", "TPOT", "seconds", "less", format_seconds, _metric(lambda m: m.decode.seconds), ("tpot", "latency")
)
THROUGHPUT = FigureKind(
    "throughput", "output throughput", "tokens/s", "more", _rate, _metric(_output), ("throughput",)
)  # fmt: skip
COST_OF_TOKENS = FigureKind(
    "cost_per_million_output_tokens", "cost per million output tokens", "USD", "less", format_money,
    _cost(lambda cost: cost.usd_per_million_output_tokens),
)  # fmt: skip


def times_text(definition: Definition, ttft_seconds: float, tpot_seconds: float) -> tuple[str, str]:
    """`TTFT 685 ms` and `TPOT 25.9 ms`: how the answer in one line and the heads of pictures say them."""
    return f"{title_of(definition)} {TTFT.text(ttft_seconds)}", f"{TPOT.title} {TPOT.text(tpot_seconds)}"


FIGURES = (
    GPUS,
    MEMORY,
    AT_ONCE,
    TTFT,
    TTFT_P99,
    TPOT,
    THROUGHPUT,
    FigureKind(
        "throughput_per_gpu", "tokens/s/GPU", "tokens/s", "more", format_count, _output_per_gpu, ("throughput",)
    ),
    *(
        FigureKind(f"{phase}_{share}", f"{share} of {phase}", "share", "less", format_share, read, (share,))
        for phase, share, read in (
            ("prefill", "communication", _metric(lambda m: m.prefill.shares.communication)),
            ("decode", "communication", _metric(lambda m: m.decode.shares.communication)),
            ("prefill", "bubble", _metric(lambda m: m.prefill.shares.bubble)),
            ("decode", "bubble", _metric(lambda m: m.decode.shares.bubble)),
        )
    ),
    FigureKind(
        "prefill_load_balance", "load balance of prefill", "share", "more", format_share,
        _metric(lambda m: m.prefill.load_balance),
    ),
    FigureKind(
        "decode_load_balance", "load balance of decode", "share", "more", format_share,
        _metric(lambda m: m.decode.load_balance),
    ),
    FigureKind(
        "cost_per_hour", "cost per hour", "USD", "less", format_money, _cost(lambda cost: cost.usd_per_hour)
    ),
    COST_OF_TOKENS,
)  # fmt: skip
"""Every figure, in the order of a table."""
