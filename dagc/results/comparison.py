"""Priced plans side by side: a table of metrics, the better values marked, and where the plans differ.

The first plan is what the others are measured by. Values are the same where they are at three significant digits: a
prediction's further digits are no reason to prefer a plan. Rows of differences are facts, degrees by pool, options, and
the messages of each phase; a row is there only where not all plans have the same. The record is what `dagc compare
--format json` prints; numbers are in SI units and US dollars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.jsonout import to_json
from dagc.graph.graph import Graph, PhaseGraph
from dagc.metrics import COMPARED, Direction, Metric
from dagc.plan.deployment import Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan
from dagc.plan.splits import stage_layers
from dagc.results.assessment import Assessment, all_met
from dagc.results.facts import facts_of
from dagc.results.paired import probability_faster
from dagc.results.quantity import MODEL_DIGITS
from dagc.results.record import Versioned, record
from dagc.results.structure import pool_gpus, strategy_text
from dagc.results.values import value, verdict
from dagc.units import format_bytes, format_seconds, format_share


@record
class ComparedPlan:
    """One column. `title` tells the columns apart; `fits` is null where memory is undetermined.

    `requirements_met` is null where there are none, or one of them is undetermined; `undetermined` are their names.
    """

    title: str
    plan: str
    name: str
    strategy: str
    gpus: int
    fits: bool | None
    requirements_met: bool | None
    undetermined: list[str]


@record
class ComparedValue:
    """A figure of one plan. `difference` is value / value of the first plan - 1; null where one is undetermined or 0.

    `ok` is the verdict of the requirements on the figure, null where there are none. `is_best` marks every plan that
    has the best value, where not all have it.
    """

    value: float | None
    text: str
    difference: float | None
    ok: bool | None
    is_best: bool


@record
class ComparedFigure:
    """One line of the table; `better` says whether less or more of it is."""

    name: str
    title: str
    unit: str
    better: Direction
    values: list[ComparedValue]


INPUT = "an input of the plan"
"""The reason for a difference that is no decision of the strategy."""


@record
class Difference:
    """Something in which the plans differ: what each has, and what that does to its graph."""

    what: str
    values: list[str]
    why: str


@record
class FasterPlan:
    """How likely the plan of one title has a lower TPOT than that of another, at least 0.5.

    From errors of `pairs` measured pairs of strategies that differ in `kind`, in `groups` groups of model, GPU and
    engine; those of the kind `other` differ in anything.
    """

    faster: str
    slower: str
    probability: float
    kind: str
    pairs: int
    groups: int


@record
class Comparison(Versioned):
    """Plans side by side; lists of values are in the order of `plans`.

    `faster` has the first plan and each other one where both are of one model, device, engine and workload.
    """

    plans: list[ComparedPlan]
    faster: list[FasterPlan]
    figures: list[ComparedFigure]
    differences: list[Difference]
    diagnostics: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Subject:
    """One plan of a comparison: its title there, the file or text that it came from, and what is known of it."""

    title: str
    origin: str
    plan: Plan
    found: Assessment
    graph: Graph | None


def compare(subjects: Sequence[Subject], diagnostics: Iterable[Diagnostic] = ()) -> Comparison:
    """The plans side by side; figures that no plan has are left out."""
    figures = [_figure(metric, subjects) for metric in COMPARED]
    return Comparison(
        plans=[_column(subject) for subject in subjects],
        faster=[found for other in subjects[1:] if (found := _faster(subjects[0], other))],
        figures=[figure for figure in figures if any(one.value is not None for one in figure.values)],
        differences=differences([one.plan for one in subjects], [one.graph for one in subjects]),
        diagnostics=[to_json(diagnostic) for diagnostic in diagnostics],
    )


def _faster(first: Subject, other: Subject) -> FasterPlan | None:
    if first.found.metrics is None or other.found.metrics is None:
        return None
    times = first.found.metrics.decode.seconds, other.found.metrics.decode.seconds
    known = probability_faster(first.plan, other.plan, *times) if min(times) > 0 else None
    if known is None:
        return None
    chance, errors = known
    faster, slower = (other, first) if chance >= 0.5 else (first, other)
    return FasterPlan(
        faster=faster.title,
        slower=slower.title,
        probability=max(chance, 1 - chance),
        kind=errors.kind,
        pairs=errors.pairs,
        groups=errors.groups,
    )


def _column(subject: Subject) -> ComparedPlan:
    memory = subject.found.memory
    return ComparedPlan(
        title=subject.title,
        plan=subject.origin,
        name=subject.plan.name,
        strategy=strategy_text(subject.plan.deployment),
        gpus=subject.plan.deployment.gpus,
        fits=None if memory is None else memory.fullest.share <= 1,
        requirements_met=all_met(one.ok for one in subject.found.requirements),
        undetermined=[one.name for one in subject.found.requirements if one.ok is None],
    )


def _figure(metric: Metric, subjects: Sequence[Subject]) -> ComparedFigure:
    values = [value(metric, subject.plan, subject.found) for subject in subjects]
    best = _best(values, metric)
    return ComparedFigure(
        name=metric.name,
        title=metric.titled(subject.plan.facts.workload.ttft_definition for subject in subjects),
        unit=metric.unit,
        better=metric.better or "less",
        values=[
            ComparedValue(
                value=one,
                text=metric.text(one),
                difference=difference(one, values[0]),
                ok=verdict(metric, subject.found),
                is_best=index in best,
            )
            for index, (subject, one) in enumerate(zip(subjects, values, strict=True))
        ],
    )


def _best(values: Sequence[float | None], metric: Metric) -> frozenset[int]:
    """The plans that have the best value; none where all have it."""
    shown = [None if value is None else float(f"{value:.{MODEL_DIGITS}g}") for value in values]
    known = [value for value in shown if value is not None]
    if len(set(shown)) < 2 or not known:
        return frozenset()
    best = min(known) if metric.better == "less" else max(known)
    return frozenset(index for index, value in enumerate(shown) if value == best)


def difference(value: float | None, before: float | None) -> float | None:
    """The relative change of a value; None where it is undetermined."""
    return None if value is None or not before else value / before - 1


Row = dict[str, str]
"""What one plan has, by name of the row."""

_ABSENT = "-"

_WHY = {
    "replicas": "independent copies of the model; each serves a share of the batch",
    "stages": "pipeline stages: point-to-point messages between them, and a pipeline bubble",
    "layers": "the slowest stage limits the pipeline",
    "phases": "disaggregated phases run concurrently; the KV cache is transferred from prefill to decode",
    "GPUs": "total over replicas and stages",
    "experts' own GPUs": "a separate expert pool: tokens are sent to it in every MoE layer",
    "device": "peak rates and memory",
    "attention tp": "heads and columns are sharded; an all-reduce sums the results in every layer",
    "attention cp": "the sequence is sharded; keys and values are exchanged in every layer",
    "attention dp": "sequences and their KV cache are distributed; attention weights are replicated",
    "experts ep": "experts are distributed; tokens are dispatched and combined in every MoE layer",
    "experts tp": "each expert is sharded by columns; partial results are summed",
    "experts dp": "experts are replicated; each copy serves a share of the tokens",
    "micro": "micro-batches in flight: more shorten the bubble, with less work per micro-batch",
    "redundant": "replicas of popular experts: more memory, better load balance",
    "beside": "shared experts overlap with dispatch",
    "exchange": "each token to the ranks of its experts (deepep), or all tokens to all ranks of the group (gather)",
    "overlap": "two half micro-batches: communication of one overlaps computation of the other",
    "sequence parallel": "reduce-scatter and all-gather replace the all-reduce",
    "dcp": "the KV cache of a sequence is sharded over the tp ranks",
    "shared experts": "sharded over tp of attention, or replicated",
}

_SOURCES = ("source", "sources")
_QUANTITIES: Mapping[str, Callable[[float], str]] = {
    "_bytes_per_second": lambda value: f"{format_bytes(value)}/s",
    "_bytes": format_bytes,
    "_seconds": format_seconds,
    "_share": format_share,
}

_MESSAGES = "collectives and messages that differ, with group size and number of nodes"


def differences(plans: Sequence[Plan], graphs: Sequence[Graph | None]) -> list[Difference]:
    """Every row in which the plans differ: facts, structure, options, messages."""
    rows = [
        *_differing([dict(_flat(vars(facts_of(plan.facts)))) for plan in plans]),
        *_differing([_phases_row(plan) for plan in plans]),
        *_by_phase([_service(plan, plan.deployment.services[0]) for plan in plans],
                   [_service(plan, plan.deployment.services[-1]) for plan in plans]),
    ]  # fmt: skip
    found = [Difference(what=name, values=values, why=_why(name)) for name, values in rows]
    return [*found, *_message_rows(graphs)]


def _differing(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    names = dict.fromkeys(name for row in rows for name in row)
    found = ((name, [row.get(name, _ABSENT) for row in rows]) for name in names)
    return ((name, values) for name, values in found if len(set(values)) > 1)


def _by_phase(prefill: Sequence[Row], decode: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    """Rows of both phases; one for the two where each plan has the same in both."""
    first, last = dict(_differing(prefill)), dict(_differing(decode))
    for name in dict.fromkeys(name for row in prefill for name in row):
        if first.get(name) == last.get(name):
            yield from [(name, first[name])] if name in first else []
            continue
        yield from ((f"{phase} {name}", rows[name]) for phase, rows in (("prefill", first), ("decode", last))
                    if name in rows)  # fmt: skip


def _why(name: str) -> str:
    return _WHY.get(name.removeprefix("prefill ").removeprefix("decode "), INPUT)


def _flat(data: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for name, item in data.items():
        path = f"{within}.{name}" if within else name
        if isinstance(item, Mapping):
            yield from _flat(item, path)  # pyright: ignore[reportUnknownArgumentType]
        elif name not in _SOURCES and item not in (None, []):
            yield path, _text(path, item)


def _text(path: str, fact: object) -> str:
    """A fact as text: quantities by the unit that its name ends with."""
    written = next((write for ending, write in _QUANTITIES.items() if path.endswith(ending)), None)
    return written(fact) if written and isinstance(fact, float) else str(fact)


def _phases_row(plan: Plan) -> Row:
    return {"phases": "on the same GPUs" if len(plan.deployment.services) == 1 else "each on its own GPUs"}


def _service(plan: Plan, service: Service) -> Row:
    options, layers, pool = service.options, plan.facts.model.layers, service.experts_pool
    own: dict[str, object] = {
        "replicas": plan.deployment.replicas * service.replicas,
        "stages": service.stages,
        "layers": "unknown" if layers is None else " ".join(map(str, stage_layers(service, layers))),
        "GPUs": sum(pool_gpus(plan.deployment, service, one) for one in service.pools),
        "experts' own GPUs": "none" if len(service.pools) == 1 else pool_gpus(plan.deployment, service, pool),
        "device": ", ".join(dict.fromkeys(plan.device_of(one).name for one in service.pools)),
        **_degrees("attention", service.attention_pool.attention, (AxisKind.TP, AxisKind.CP, AxisKind.DP)),
        **_degrees("experts", pool.experts, (AxisKind.TP, AxisKind.EP, AxisKind.DP)),
        "micro": service.stages if options.micro is None else options.micro,
        "redundant": options.redundant,
        "overlap": options.overlap,
        "sequence parallel": "yes" if options.sequence_parallel else "no",
        "dcp": options.decode_context,
        "shared experts": "replicated" if options.shared_replicated else "sharded",
        "beside": "yes" if options.shared_beside else "no",
        "exchange": options.exchange or "default",
    }
    return {name: str(value) for name, value in own.items()}


def _degrees(domain: str, layout: Layout | None, axes: Sequence[AxisKind]) -> dict[str, object]:
    return {} if layout is None else {f"{domain} {axis.value}": layout.degree(axis) for axis in axes}


def _message_rows(graphs: Sequence[Graph | None]) -> Iterator[Difference]:
    """Of each phase the messages that not all plans have."""
    known = [graph for graph in graphs if graph is not None]
    for phases in ([graph.prefill for graph in known], [graph.decode for graph in known]):
        found = [dict.fromkeys(_messages(phase)) for phase in phases]
        common = set[str]().union(*found[:1]).intersection(*found)
        values = ["; ".join(one for one in messages if one not in common) or "no other" for messages in found]
        if len(known) == len(graphs) and len(set(values)) > 1:
            yield Difference(what=f"{phases[0].phase.value} messages", values=values, why=_MESSAGES)


def _messages(phase: PhaseGraph) -> Iterator[str]:
    """E.g. `moe.dispatch: all-to-all of 16 over 2 nodes`, those of both halves of an overlap once."""
    for template in phase.templates:
        for node in template.nodes:
            if node.communication is not None and node.fused_into is None:
                groups, pattern = node.communication.groups, node.communication.pattern.value.replace("_", "-")
                key = node.key.removeprefix("a.").removeprefix("b.")
                nodes = int(groups.nodes.max())
                whom = f"of {groups.size} " if groups.size > 1 else ""
                yield f"{key}: {pattern} {whom}over {nodes} node{'s' if nodes > 1 else ''}"
