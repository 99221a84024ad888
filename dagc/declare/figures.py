"""Numbers with units, as requirements and claims state them, become figures.

Holds the vocabulary of both blocks: the name of each metric and what its figure may measure. Turns a written quantity
into a `Figure` in SI units that knows how many significant digits were written, so that nobody is judged more finely
than he spoke. It does not judge a figure: that needs the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant, spelling
from dagc.plan.digits import significant_digits
from dagc.plan.workload import Figure, Per
from dagc.source import Span
from dagc.syntax.tree import Entry, Quantity, Value, Word
from dagc.units import Dimension, Unit, candidates, lookup

UNKNOWN_METRIC = Code("N131", "unknown-metric")
FIGURE_UNIT = Code("N133", "figure-unit")
FIGURE_MISSING = Code("N134", "figure-missing")

_BARE = frozenset({Dimension.COUNT, Dimension.RATIO})
"""Dimensions whose figures may have no unit."""

_EXAMPLES = {
    Dimension.BYTES: "64 GB",
    Dimension.FLOP_RATE: "15.36 PFLOP/s",
    Dimension.SECONDS: "35 ms",
    Dimension.TOKEN_RATE: "20000 output tokens/s",
    Dimension.SHARE: "20 %",
    Dimension.RATIO: "1.43 x",
    Dimension.COUNT: "64",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A name that a figure can be stated for. `per_gpu` when it is counted over one GPU, said or not."""

    name: str
    dimensions: tuple[Dimension, ...]
    meaning: str
    per_gpu: bool = False


_SHARED = (
    Metric(
        "ttft",
        (Dimension.SECONDS,),
        "time to first token: prefill of the whole batch; under load, that of an idle server",
    ),
    Metric("tpot", (Dimension.SECONDS,), "time per output token: steady-state inter-token latency"),
    Metric("latency", (Dimension.SECONDS,), "another name of tpot"),
    Metric("throughput", (Dimension.TOKEN_RATE,), "input, output or total tokens per second"),
    Metric("memory", (Dimension.BYTES, Dimension.SHARE), "memory of the fullest GPU", per_gpu=True),
    Metric("communication", (Dimension.SHARE,), "share of a phase that waits for communication"),
    Metric("bubble", (Dimension.SHARE,), "pipeline bubble: share of a phase that a stage idles"),
    Metric("gpus", (Dimension.COUNT,), "GPUs of the deployment"),
)

_CLAIMED = (
    Metric("replicas", (Dimension.COUNT,), "replicas of the model"),
    Metric("stages", (Dimension.COUNT,), "pipeline stages"),
    Metric("memory_total", (Dimension.BYTES,), "memory of all GPUs together"),
    Metric("headroom", (Dimension.BYTES, Dimension.SHARE), "free memory per GPU", per_gpu=True),
    Metric("weights", (Dimension.BYTES,), "weights of the whole model"),
    Metric("compute", (Dimension.FLOP_RATE,), "achievable compute of all GPUs together"),
    Metric("experts_active", (Dimension.SHARE,), "share of the experts of a layer that a token activates"),
    Metric("compute_reduction", (Dimension.RATIO,), "arithmetic of a model with all experts active over this one's"),
    Metric("expert_compute_reduction", (Dimension.RATIO,), "the same of the experts alone"),
    Metric("experts_per_gpu", (Dimension.COUNT,), "experts of a layer that the fullest GPU holds", per_gpu=True),
    Metric("layers_per_stage", (Dimension.COUNT,), "layers of the longest stage"),
    Metric("sequences_per_replica", (Dimension.COUNT,), "sequences of the fullest replica"),
)

REQUIRABLE: Mapping[str, Metric] = MappingProxyType({m.name: m for m in _SHARED})
"""Metrics of the `require` block, by name."""

CLAIMABLE: Mapping[str, Metric] = MappingProxyType({m.name: m for m in (*_SHARED, *_CLAIMED)})
"""Metrics of a `claims` block, by name."""

MARGIN = Metric("margin", (Dimension.RATIO,), "how many times better than the requirement")


def metric_of(entry: Entry, vocabulary: Mapping[str, Metric], block: str) -> Metric | Diagnostic:
    """The metric that an entry names, or N131 with the nearest name."""
    if entry.name in vocabulary:
        return vocabulary[entry.name]
    near = meant(entry.name, vocabulary)
    known = f"fields of a `{block}` block: {', '.join(vocabulary)}"
    return UNKNOWN_METRIC.at(
        entry.name_span,
        f"`{entry.name}` is not a figure of a `{block}` block",
        "unknown name",
        notes=(known,),
        help=asked(near),
        fixes=spelling(entry.name_span, near, vocabulary),
    )


def read_figure(metric: Metric, values: tuple[Value, ...], place: Span) -> Figure | Diagnostic | None:
    """The one figure among the values of an entry, in SI units; `place` is underlined when there is none.

    None when its unit is no unit at all: the parser has reported that.
    """
    if not values:
        return _missing(metric, place, "no figure after it")
    first = values[0]
    if isinstance(first, Word):
        return _missing(metric, first.span, "not a number")
    if len(values) > 1:
        return _missing(metric, values[1].span, "one figure too many")
    if first.value < 0:
        return _missing(metric, first.span, "negative")
    if first.unit is not None and not candidates(first.unit):
        return None
    return _figure(metric, first)


def _figure(metric: Metric, quantity: Quantity) -> Figure | Diagnostic:
    unit = _unit(metric, quantity)
    if isinstance(unit, Diagnostic):
        return unit
    return Figure(
        value=quantity.value * unit.scale,
        unit=unit.dimension,
        text=" ".join(quantity.span.text.split()),
        span=quantity.span,
        per=Per.GPU if unit.per_gpu or metric.per_gpu else Per.DEPLOYMENT,
        kind=unit.kind,
        significant=significant_digits(quantity.span.text),
    )


def _unit(metric: Metric, quantity: Quantity) -> Unit | Diagnostic:
    if quantity.unit is None:
        bare = next((d for d in metric.dimensions if d in _BARE), None)
        return Unit("", bare, 1.0) if bare else _wrong_unit(metric, quantity, "a number without a unit")
    found = (lookup(quantity.unit, dimension) for dimension in metric.dimensions)
    unit = next((u for u in found if u), None)
    if unit is None:
        measured = candidates(quantity.unit)[0].dimension
        return _wrong_unit(metric, quantity, f"`{quantity.unit}` measures {measured}")
    if unit.per_gpu and not metric.per_gpu and unit.dimension is not Dimension.TOKEN_RATE:
        return _wrong_unit(metric, quantity, f"`{metric.name}` is counted over the deployment, not per GPU")
    return unit


def _wrong_unit(metric: Metric, quantity: Quantity, problem: str) -> Diagnostic:
    wanted = " or ".join(metric.dimensions)
    example = " or ".join(f"`{metric.name} {_EXAMPLES[d]}`" for d in metric.dimensions)
    return FIGURE_UNIT.at(
        quantity.unit_span or quantity.span,
        f"`{metric.name}` is stated in {wanted}; {problem}",
        f"not {wanted}",
        help=(f"write it as {example}",),
    )


def _missing(metric: Metric, place: Span, label: str) -> Diagnostic:
    example = _EXAMPLES[metric.dimensions[0]]
    return FIGURE_MISSING.at(
        place, f"`{metric.name}` takes one figure", label, help=(f"write it as `{metric.name} {example}`",)
    )
