"""A compiled strategy as a Mermaid flowchart, which a pull request shows as a picture.

The deployment and its stages: a box for each service, in it one for each stage with its pools and GPUs, in that the
layers folded by kind, with the time of one. Thick borders are on the critical path; where nearly all is on it, the
first node says so, and the slowest stages have them. Text of a plan is written as character codes wherever Mermaid
could take it for something else. Sites stop at some 50,000 characters and 500 edges, so that what is past the first
stages or segments is counted instead.

The title of a subgraph is one short line, and pools are in a node below it: Mermaid's layout reserves space
for one line, draws a second and third over the first node, and until 11.12 breaks a title at 200 px (some 24 letters).
`subGraphTitleMargin` is no way out, because it moves nodes and the labels of edges by different amounts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dagc.export.titles import moved_bytes, rank_text, time_text
from dagc.export.view_model import SegmentView, ServiceView, StageView
from dagc.export.views.critical import nearly_all, share_text, slowest_of, slowest_text
from dagc.export.views.strategy import Served, StrategyView, crossing_text
from dagc.graph.graph import Graph, Team
from dagc.metrics import times_text
from dagc.ops.message import Send
from dagc.plan.plan import Plan
from dagc.results.metrics import Metrics
from dagc.results.serving import is_decode_step_alone, sum_text
from dagc.results.structure import strategy_text
from dagc.schedule.timeline import Timeline
from dagc.units import format_bytes, format_gpus

MOST_STAGES = 12
MOST_SEGMENTS = 12
_MOST_LETTERS = 160

_MARKUP = re.compile(r"[^\w .,/–·×…-]|(?<![^\W_])[-_]|[-_](?![^\W_])|(?<=\d)\.(?=\s|$)")
"""What is not a letter, a digit or plain punctuation; dashes, lines and dots where Markdown has a list or a stress."""

_INIT = "%%{init: {'flowchart': {'wrappingWidth': 420}}}%%"
"""Lines of the first node are wider than the 200 pixels at which Mermaid wraps by default."""

_SLOWEST = "stroke:#b3261e,stroke-width:4px"
"""The frame of a slowest stage: Mermaid applies a `style` to a subgraph, but not a class."""

_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def mermaid_text(
    plan: Plan, graph: Graph, timelines: tuple[Timeline, ...], metrics: Metrics, context: tuple[str, ...] = ()
) -> str:
    """The text of the flowchart; `context` are lines on cluster, workload, engine and requirements."""
    strategy = StrategyView(plan, graph, timelines, metrics)
    drawn = list(enumerate(strategy.served))
    marks = _Marks.of(strategy)
    lines = [_INIT, "flowchart TB", *_head(plan, graph, metrics, (*context, *marks.notes))]
    lines += (f"  about ~~~ s{number}" for number, _ in drawn[:1])
    for number, one in drawn:
        lines += _service(f"s{number}", one, marks)
    if strategy.handover is not None:
        lines.append(f'  s0 -->|"{_label(*crossing_text(strategy.handover))}"| s1')
    lines += ("  classDef critical stroke-width:3px", "  classDef note stroke-dasharray:4 3")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Marks:
    """What has a thick border: segments of the critical path, or stages (service, title) in their place."""

    is_path: bool
    stages: frozenset[tuple[str, str]]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, strategy: StrategyView) -> _Marks:
        critical = [
            segment.critical for one in strategy.served for stage in one.view.stages for segment in stage.segments
        ]
        if not nearly_all(critical):
            return cls(True, frozenset(), ())
        slow = [one for one in slowest_of(strategy) if not one.alike]
        note = share_text(critical, "part")
        note += f"; marked instead: {slowest_text(slow)}" if slow else ""
        return cls(False, frozenset((one.served.name, one.title) for one in slow), (note,))

    def has_stage(self, service: ServiceView, stage: StageView) -> bool:
        """Whether a stage is one of the slowest."""
        return (service.name, stage.title.partition(",")[0]) in self.stages


def escaped(text: str) -> str:
    """Text that Mermaid shows as it is, at most some 160 letters of it, in a label in quotes.

    Characters that could begin markup are written by their code; those that turn the direction of what follows, or
    have no shape, become U+FFFD.
    """
    shown = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
    shown = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _DIRECTIONS.sub("\N{REPLACEMENT CHARACTER}", shown))
    return _MARKUP.sub(lambda found: f"#{ord(found[0])};", shown)


def _label(*texts: str) -> str:
    return "<br/>".join(escaped(text) for text in texts if text)


def _head(plan: Plan, graph: Graph, metrics: Metrics, more: tuple[str, ...]) -> Iterator[str]:
    facts = f"{format_gpus(plan.deployment.gpus)} · model {plan.facts.model.name}"
    replicas = f"{graph.replicas} replicas, the slowest shown" if graph.replicas > 1 else ""
    times = " · ".join(times_text(plan.facts.workload.ttft_definition, metrics.prefill.seconds, metrics.decode.seconds))
    step = "" if is_decode_step_alone(metrics.serving) else f"TPOT is {sum_text(metrics.serving)}"
    yield f'  about["{_label(plan.name, strategy_text(plan.deployment), facts, replicas, times, step, *more)}"]:::note'


def _service(name: str, one: Served, marks: _Marks) -> Iterator[str]:
    service, replicas = one.view, one.service.replicas
    times = f"{replicas} × " if replicas > 1 else ""
    yield f'  subgraph {name}["{_label(f"{service.name} · {times}{format_gpus(service.gpus)}")}"]'
    yield "    direction LR"
    shown = service.stages[:MOST_STAGES]
    for number, stage in enumerate(shown):
        yield from _stage(f"{name}p{number}", stage, service.phases, marks.is_path)
        if marks.has_stage(service, stage):
            yield f"    style {name}p{number} {_SLOWEST}"
    if len(service.stages) > len(shown):
        yield f'    {name}more["{_label(f"{len(service.stages) - len(shown)} more kinds of stages")}"]:::note'
    ends = [f"{name}p{number}" for number in range(len(shown))]
    ends += [f"{name}more"] if len(service.stages) > len(shown) else []
    for (before, after), stage in zip(pairwise(ends), shown, strict=False):
        yield f"    {before} -->{_traffic(stage, service.phases)} {after}"
    yield "  end"


def _traffic(stage: StageView, phases: tuple[str, ...]) -> str:
    """What a rank sends to the next stage for a micro-batch, as the label of an arrow."""
    for node in (node for segment in stage.segments for node in segment.nodes):
        if isinstance(node.one.node.op, Send):
            sizes = (format_bytes(float(moved_bytes(phase.node).max())) if phase else None for phase in node.phases)
            label = _label("per GPU", *_by_phase(phases, tuple(sizes)))
            return f'|"{label}"|'
    return ""


def _stage(name: str, stage: StageView, phases: tuple[str, ...], is_path: bool) -> Iterator[str]:
    each = " (of the first)" if stage.count > 1 else ""
    pools = (f"{_pool(team)}{each}" for team in stage.teams)
    yield f'    subgraph {name}["{_label(stage.title)}"]'
    yield "      direction TB"
    yield f'      {name}about["{_label(*pools)}"]:::note'
    yield f"      {name}about ~~~ {name}n0"
    shown = stage.segments[:MOST_SEGMENTS]
    for number, segment in enumerate(shown):
        critical = ":::critical" if is_path and segment.critical else ""
        yield f'      {name}n{number}["{_label(segment.title, *_times(segment, phases))}"]{critical}'
    rest = sum(segment.count for segment in stage.segments[MOST_SEGMENTS:])
    if rest:
        yield f'      {name}n{len(shown)}["{_label(f"{rest} more")}"]:::note'
    for number in range(len(shown) + bool(rest) - 1):
        yield f"      {name}n{number} --> {name}n{number + 1}"
    yield "    end"


def _pool(team: Team) -> str:
    return f"pool {team.pool} · {format_gpus(team.width)} · {rank_text(team.ranks)}"


def _times(segment: SegmentView, phases: tuple[str, ...]) -> tuple[str, ...]:
    """The time of one copy, a line a phase."""
    each = " each" if segment.count > 1 else ""
    return _by_phase(phases, tuple(None if time is None else time_text(time) + each for time in segment.copy_ps))


def _by_phase(phases: tuple[str, ...], values: tuple[str | None, ...]) -> tuple[str, ...]:
    """`prefill 260 us`, `decode 5.3 us`; a phase that has no value is left out."""
    return tuple(f"{phase} {value}" for phase, value in zip(phases, values, strict=True) if value is not None)
