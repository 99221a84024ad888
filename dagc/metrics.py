"""Every metric of a deployment, declared once: name, title, unit, which direction is better, and where it is used.

A metric may be computed for every priced plan (`COMPARED`), stated in a plan (`REQUIRABLE`, `CLAIMABLE`), or both. What
computes one is in `dagc.results`: `values` has the values of comparisons, `structural` and `measured` what stated
figures are held against. To add a metric: declare it here, put it into the lists below, and compute it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from dagc.units import Dimension, format_bytes, format_count, format_money, format_rate, format_seconds, format_share

Direction = Literal["less", "more"]

TtftDefinition = Literal["batch", "idle server"]
"""What TTFT is. `batch`: until the slowest request of a static batch has its first token. `idle server`: of requests
that find nobody else there, one on each rank of attention, where requests come and go."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. `name` is its key in JSON and its name in a plan; compared by identity.

    The first of `dimensions` is that of its value; a plan may state it in any of them. `per_gpu` when it is counted
    over one GPU, said or not. `better` is None for a count that a claim states and nobody optimizes.

    `requirement` names the requirement that limits it, where that is not its own name; `alias_of` is the metric that
    it is another name of. `idle_title` is its title where requests come and go, and it is a lower bound. `short_title`
    fits a narrow column. `write` formats a value where its dimension does not say how.
    """

    name: str
    title: str
    meaning: str
    dimensions: tuple[Dimension, ...]
    better: Direction | None = None
    per_gpu: bool = False
    requirement: str = ""
    alias_of: Metric | None = None
    idle_title: str = ""
    short_title: str = ""
    write: Callable[[float], str] | None = None

    @property
    def unit(self) -> str:
        """Unit of its value, as JSON names it."""
        return self.dimensions[0].value

    def text(self, value: float | None) -> str:
        """A value for a person; a dash where it is undetermined."""
        return "-" if value is None else (self.write or _WRITE[self.dimensions[0]])(value)

    def titled(self, definitions: Iterable[TtftDefinition]) -> str:
        """The title over plans whose TTFT is what these definitions say: both titles where they differ."""
        titles = (self.idle_title if self.idle_title and one == "idle server" else self.title for one in definitions)
        return " or ".join(dict.fromkeys(titles))


_WRITE: Mapping[Dimension, Callable[[float], str]] = {
    Dimension.BYTES: format_bytes,
    Dimension.SECONDS: format_seconds,
    Dimension.SHARE: format_share,
    Dimension.MONEY: format_money,
    Dimension.TOKEN_RATE: lambda value: f"{format_count(value)} tokens/s",
    Dimension.REQUEST_RATE: lambda value: format_rate(value, "requests/s"),
    Dimension.COUNT: lambda value: str(round(value)),
}

_BYTES, _SHARE, _COUNT, _MONEY = (Dimension.BYTES,), (Dimension.SHARE,), (Dimension.COUNT,), (Dimension.MONEY,)
_SECONDS, _TOKEN_RATE, _RATIO = (Dimension.SECONDS,), (Dimension.TOKEN_RATE,), (Dimension.RATIO,)
_REQUEST_RATE = (Dimension.REQUEST_RATE,)
_BYTES_OR_SHARE = (Dimension.BYTES, Dimension.SHARE)

GPUS = Metric("gpus", "GPUs", "GPUs of the deployment", _COUNT, "less")
MEMORY = Metric(
    "memory", "memory per GPU", "memory of the fullest GPU", _BYTES_OR_SHARE, "less", per_gpu=True, short_title="memory"
)
REQUESTS_AT_ONCE = Metric("requests_at_once", "concurrent requests", "requests decoded at once", _COUNT, "more")
TTFT = Metric(
    "ttft",
    "TTFT",
    "time to first token: prefill of the whole batch; under load, that of an idle server",
    _SECONDS,
    "less",
    idle_title="idle-server TTFT",
)
TTFT_P99 = Metric(
    "ttft_p99",
    "TTFT under load, p99",
    "time to first token of one request in a hundred at the arrival rate",
    _SECONDS,
    "less",
    short_title="TTFT p99",
)
TPOT = Metric("tpot", "TPOT", "time per output token: steady-state inter-token latency", _SECONDS, "less")
LATENCY = Metric("latency", "TPOT", "another name of tpot", _SECONDS, "less", alias_of=TPOT)
ITL = Metric("itl", "ITL", "inter-token latency: time between two output tokens of a request", _SECONDS, "less")
E2E = Metric("e2e", "end-to-end latency", "time from arrival to last token of a request", _SECONDS, "less")
GOODPUT = Metric(
    "goodput", "goodput", "requests per second that meet every requirement on their times", _REQUEST_RATE, "more"
)
THROUGHPUT = Metric(
    "throughput",
    "output throughput",
    "output tokens per second; stated, also input or total tokens",
    _TOKEN_RATE,
    "more",
    short_title="tokens/s",
)
THROUGHPUT_PER_GPU = Metric(
    "throughput_per_gpu",
    "tokens/s/GPU",
    "output tokens per second and GPU",
    _TOKEN_RATE,
    "more",
    per_gpu=True,
    requirement="throughput",
    write=format_count,
)
COMMUNICATION = Metric(
    "communication", "communication", "share of a phase that waits for communication", _SHARE, "less"
)
BUBBLE = Metric("bubble", "bubble", "pipeline bubble: share of a phase that a stage idles", _SHARE, "less")
PHASE_SHARES = {
    (phase, share): Metric(
        f"{phase}_{share.name}", f"{share.name} of {phase}", share.meaning, _SHARE, "less", requirement=share.name
    )
    for share in (COMMUNICATION, BUBBLE)
    for phase in ("prefill", "decode")
}
"""The two shares in each phase, by name of the phase and metric that a requirement states for both."""
LOAD_BALANCE = {
    phase: Metric(
        f"{phase}_load_balance",
        f"load balance of {phase}",
        "mean computing time of a GPU / longest",
        _SHARE,
        "more",
    )
    for phase in ("prefill", "decode")
}
COST_PER_HOUR = Metric("cost_per_hour", "cost per hour", "price of all GPUs", _MONEY, "less")
COST_OF_TOKENS = Metric(
    "cost_per_million_output_tokens",
    "cost per million output tokens",
    "price of all GPUs for the time of a million output tokens",
    _MONEY,
    "less",
    short_title="cost",
)

REPLICAS = Metric("replicas", "replicas", "replicas of the model", _COUNT)
STAGES = Metric("stages", "stages", "pipeline stages", _COUNT)
MEMORY_TOTAL = Metric("memory_total", "total memory", "memory of all GPUs together", _BYTES)
HEADROOM = Metric("headroom", "headroom", "free memory per GPU", _BYTES_OR_SHARE, "more", per_gpu=True)
WEIGHTS = Metric("weights", "weights", "weights of the whole model", _BYTES)
COMPUTE = Metric("compute", "compute", "achievable compute of all GPUs together", (Dimension.FLOP_RATE,))
EXPERTS_ACTIVE = Metric(
    "experts_active", "active experts", "share of the experts of a layer that a token activates", _SHARE
)
COMPUTE_REDUCTION = Metric(
    "compute_reduction", "compute reduction", "arithmetic of a model with all experts active over this one's", _RATIO
)
EXPERT_COMPUTE_REDUCTION = Metric(
    "expert_compute_reduction", "compute reduction of the experts", "the same of the experts alone", _RATIO
)
EXPERTS_PER_GPU = Metric(
    "experts_per_gpu", "experts per GPU", "experts of a layer that the fullest GPU holds", _COUNT, per_gpu=True
)
LAYERS_PER_STAGE = Metric("layers_per_stage", "layers per stage", "layers of the longest stage", _COUNT)
SEQUENCES_PER_REPLICA = Metric(
    "sequences_per_replica", "sequences per replica", "sequences of the fullest replica", _COUNT
)
MARGIN = Metric("margin", "margin", "how many times better than the requirement", _RATIO, "more")

COMPARED = (
    GPUS,
    MEMORY,
    REQUESTS_AT_ONCE,
    TTFT,
    TTFT_P99,
    TPOT,
    THROUGHPUT,
    THROUGHPUT_PER_GPU,
    *PHASE_SHARES.values(),
    *LOAD_BALANCE.values(),
    COST_PER_HOUR,
    COST_OF_TOKENS,
)
"""Metrics that are computed for every priced plan, in the order of a table."""

FRONT_TABLE = (GPUS, MEMORY, REQUESTS_AT_ONCE, TTFT, TPOT, THROUGHPUT, THROUGHPUT_PER_GPU, COST_OF_TOKENS)
"""Columns of the Pareto front of a search."""

OBJECTIVES = (GPUS, TTFT, TPOT, THROUGHPUT, COST_OF_TOKENS)
"""Objectives of a search; `vectors_of` of `dagc.search.bounds` has a lower bound of each, in this order."""

SENSITIVITIES = (TTFT, TTFT_P99, TPOT, THROUGHPUT, THROUGHPUT_PER_GPU, MEMORY, COST_OF_TOKENS)
"""What a change of a plan is judged by; times first, because limits are mostly on them."""

TORNADO = (TTFT, TPOT, THROUGHPUT_PER_GPU, COST_OF_TOKENS)
"""Sensitivities that are drawn."""

BREAK_EVEN = (TTFT, TPOT, THROUGHPUT_PER_GPU)
"""What two strategies are held against each other by, unless another metric is asked for."""

_REQUIRABLE = (TTFT, TPOT, LATENCY, ITL, E2E, THROUGHPUT, GOODPUT, MEMORY, COMMUNICATION, BUBBLE, GPUS)
_CLAIMED = (
    REPLICAS,
    STAGES,
    MEMORY_TOTAL,
    HEADROOM,
    WEIGHTS,
    COMPUTE,
    EXPERTS_ACTIVE,
    COMPUTE_REDUCTION,
    EXPERT_COMPUTE_REDUCTION,
    EXPERTS_PER_GPU,
    LAYERS_PER_STAGE,
    SEQUENCES_PER_REPLICA,
)

REQUIRABLE: Mapping[str, Metric] = MappingProxyType({one.name: one for one in _REQUIRABLE})
"""Metrics of the `require` block, by name."""

PERCENTILES = (50, 90, 95, 99)
"""Percentiles that a requirement may state."""

OF_PERCENTILE: Mapping[tuple[Metric, int], Metric] = MappingProxyType(
    {
        (metric, percentile): TTFT_P99
        if (metric, percentile) == (TTFT, 99)
        else replace(
            metric,
            name=f"{metric.name}_p{percentile}",
            title=f"{metric.title}, p{percentile}",
            meaning=f"{metric.meaning}; percentile {percentile} of the requests",
            idle_title="",
        )
        for metric in (TTFT, TPOT, ITL, E2E)
        for percentile in PERCENTILES
    }
)
"""Percentiles of the times of requests, by what they are of; each is a metric of its own."""

SIMULATED = frozenset({ITL, E2E, GOODPUT, *OF_PERCENTILE.values()})
"""Metrics that only a simulation of requests determines."""

CLAIMABLE: Mapping[str, Metric] = MappingProxyType({one.name: one for one in (*_REQUIRABLE, *_CLAIMED)})
"""Metrics of a `claims` block, by name."""


def metric_named(name: str) -> Metric:
    """The metric that a name of a `require` or `claims` block means; an alias is resolved."""
    metric = CLAIMABLE[name]
    return metric.alias_of or metric


def times_text(definition: TtftDefinition, ttft_seconds: float, tpot_seconds: float) -> tuple[str, str]:
    """`TTFT 685 ms` and `TPOT 25.9 ms`, as headlines and titles of pictures have them."""
    return f"{TTFT.titled([definition])} {TTFT.text(ttft_seconds)}", f"{TPOT.title} {TPOT.text(tpot_seconds)}"
