"""The pipeline: a plan's text becomes checked strategies, and these become graphs, times and a summary.

Straight-line code, and the only place that knows the order of the steps. `check` runs everything but the exports;
`compile` adds the summary; `export` (in `dagc.export`) turns what it returns into files. Diagnostics are collected,
never raised: a strategy that cannot be priced still has its size, a plan with one bad strategy still has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagc.check.priced import check_priced
from dagc.check.static import check_engine, check_hierarchy, check_plan
from dagc.cost.limits import memory_limits
from dagc.cost.memory import rank_memory
from dagc.cost.price import price
from dagc.cost.reach import judge_reach
from dagc.declare.facts import declare_facts
from dagc.declare.rules import declare_levels
from dagc.diag.diagnostic import Diagnostic, Family
from dagc.diag.fixing import apply as apply_fixes
from dagc.diag.levels import Level, Levels
from dagc.diag.order import in_order
from dagc.engines.profiles import ENGINES, profile
from dagc.graph.graph import Graph
from dagc.graph.verify import verify as verify_graph
from dagc.graph.verify import verify_layers
from dagc.lower.lower import lower
from dagc.plan.deployment import Deployment
from dagc.plan.missing import missing_rates, missing_shapes
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.report.assess import assess
from dagc.report.assessment import Assessment
from dagc.report.classes import showing_slowest
from dagc.report.launch import Launched, launched
from dagc.report.memory import memory_figures
from dagc.report.structure import structure
from dagc.report.weighed import Held, Weighed
from dagc.source import Source, Span
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.tree import Block, NamedStrategy, PlanFile, Strategy, Unread
from dagc.timeline.schedule import schedule
from dagc.timeline.timeline import Timeline
from dagc.timeline.verify import verify as verify_timeline

if TYPE_CHECKING:
    from dagc.export.requested import Request
    from dagc.export.tracks import Traced
    from dagc.flat.readings import Readings
    from dagc.report.summary import Summary

Say = Callable[[str], None]
"""Takes the name of the step that begins."""

Blocks = tuple[tuple[str, Source], ...]
"""Blocks given as options: (keyword, text after it)."""

Judge = Callable[[Deployment], tuple[Diagnostic, ...]]
"""What the rules say of a strategy for facts that are stated elsewhere."""

GivenLevels = tuple[tuple[Level, Source], ...]
"""Levels given as options: (level, codes or names of advice)."""


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Priced:
    """What pricing adds to a plan. Without shapes there is no graph, without rates no timelines.

    `timelines` are those of `graph.phases`, the slowest class of replicas of each phase; `others` those of
    `graph.others`.
    """

    assessment: Assessment
    graph: Graph | None = None
    timelines: tuple[Timeline, ...] | None = None
    others: tuple[Timeline, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A well-typed strategy: its plan, what pricing found, its own diagnostics, and its structure as plain data."""

    plan: Plan
    priced: Priced
    diagnostics: tuple[Diagnostic, ...]
    structure: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All diagnostics of a run, in the order of the text, and every strategy that has a meaning."""

    diagnostics: tuple[Diagnostic, ...]
    checked: tuple[Checked, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """What engines make of the strategies of a plan: by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]


def check(
    source: Source, blocks: Blocks = (), directory: Path = Path(), say: Say = _silent, given: GivenLevels = ()
) -> Outcome:
    """Everything that is known of a plan without writing a file. Levels that are given win over the plan's."""
    levels, wrong = declare_levels(given)
    found = list(wrong)
    stated = _stated(source, blocks, directory, found)
    if stated is None:
        return Outcome(in_order(found), ())
    file, facts = stated
    is_stated = not _stops(found)
    checked = [_checked(strategy, facts, found, say if is_stated else None) for strategy in file.strategies]
    levels = levels.over(facts.rules.levels)
    return Outcome(in_order(levels.applied(found)), tuple(_levelled(one, levels) for one in checked if one))


def _stated(source: Source, blocks: Blocks, directory: Path, found: list[Diagnostic]) -> tuple[PlanFile, Facts] | None:
    """What a plan's text and its options state; None where not even that can be read."""
    parsed = parse(source)
    found += parsed.diagnostics
    overrides, unread = _overrides(blocks, found)
    file = parsed.file or parsed.readable
    if file is None:
        return None
    facts, problems = declare_facts(replace(file, unread=(*file.unread, *unread)), overrides, directory)
    found += problems
    return file, facts


def launch(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Started:
    """What the engine of a plan makes of each strategy with a meaning; without an `engine` block, what all four do."""
    found: list[Diagnostic] = []
    stated = _stated(source, blocks, directory, found)
    if stated is None:
        return Started(in_order(found), ())
    file, facts = stated
    started: list[Launched] = []
    for strategy in file.strategies:
        deployment = _sized(strategy, found)
        if deployment is None or _stops(found):
            continue
        own = check_plan(Plan(deployment, replace(facts, engine=None)))
        found += (d for d in own if d.is_error)
        if not _stops(list(own)):
            started += (_launched(deployment, facts, engine) for engine in _named(facts))
    return Started(in_order(found), tuple(started))


def memory(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Held:
    """What each GPU of every strategy holds and what would still fit, without a graph or times."""
    found: list[Diagnostic] = []
    stated = _stated(source, blocks, directory, found)
    if stated is None:
        return Held(in_order(found), ())
    file, facts = stated
    weighed: list[Weighed] = []
    for strategy in file.strategies:
        deployment = _sized(strategy, found)
        if deployment is None or _stops(found):
            continue
        plan = Plan(placed(deployment, facts.engine), facts)
        own = list(check_plan(plan))
        found += own
        if not _stops(own):
            weighed.append(_weighed(plan))
    return Held(in_order(facts.rules.levels.applied(found)), tuple(weighed))


def _weighed(plan: Plan) -> Weighed:
    from dagc.report.memory_summary import memory_summary

    missing = missing_shapes(plan)
    if missing:
        return Weighed(plan.name, None, missing)
    figures = memory_figures(rank_memory(plan))
    return Weighed(plan.name, memory_summary(figures, memory_limits(plan)), ())


def _named(facts: Facts) -> tuple[str, ...]:
    """The engine of a plan, or all."""
    return ENGINES if facts.engine is None else (facts.engine.name,)


def _launched(deployment: Deployment, facts: Facts, engine: str) -> Launched:
    named = facts.engine if facts.engine is not None and facts.engine.name == engine else profile(engine)
    plan = Plan(placed(deployment, named), replace(facts, engine=named))
    return launched(plan, named, check_engine(plan))


@dataclass(frozen=True, slots=True)
class Fixed:
    """A plan's text after its fixes, how many there were, and what is known of it then."""

    text: str
    count: int
    outcome: Outcome


MAX_ROUNDS = 32
"""Times that a text is fixed and read again: more than the fixes that can meet each other."""


def fix(
    source: Source, blocks: Blocks = (), directory: Path = Path(), given: GivenLevels = (), unsafe: bool = False
) -> Fixed:
    """A plan with every fix applied, round by round, until none is left or one would break the text."""
    outcome, total = check(source, blocks, directory, given=given), 0
    seen = {source.text}
    for _ in range(MAX_ROUNDS):
        text, count = apply_fixes(source, outcome.diagnostics, unsafe)
        if text in seen:
            break
        changed = Source(source.name, text)
        after = check(changed, blocks, directory, given=given)
        if _syntax_errors(after) > _syntax_errors(outcome):
            break
        source, outcome, total = changed, after, total + count
        seen.add(text)
    return Fixed(source.text, total, outcome)


def _syntax_errors(outcome: Outcome) -> int:
    return sum(diagnostic.code.family is Family.SYNTAX for diagnostic in outcome.diagnostics)


def _levelled(checked: Checked, levels: Levels) -> Checked:
    return replace(checked, diagnostics=levels.applied(checked.diagnostics))


def _overrides(blocks: Blocks, found: list[Diagnostic]) -> tuple[tuple[Block, ...], tuple[Unread, ...]]:
    """Blocks given as options, and those that could not be read."""
    parsed = [(keyword, *parse_fragment(keyword, text)) for keyword, text in blocks]
    found += [problem for _, _, problems in parsed for problem in problems]
    unread = tuple(Unread(keyword, None) for keyword, block, _ in parsed if block is None)
    return tuple(block for _, block, _ in parsed if block), unread


def _checked(strategy: NamedStrategy, facts: Facts, found: list[Diagnostic], say: Say | None) -> Checked | None:
    """One strategy as far as it goes; `found` collects the diagnostics of those without a meaning too.

    Without `say` nothing is priced, because the plan is wrong elsewhere: what then follows from the text and from the
    facts that are known is still found.
    """
    problems: list[Diagnostic] = []
    deployment = _sized(strategy, problems)
    is_told = _stops([d for d in found if d.span and _holds(strategy.span, d.span)])
    found += problems
    if deployment is None or is_told:
        return None
    plan = Plan(placed(deployment, facts.engine), facts)
    own = list(check_plan(plan))
    if _stops(own) or say is None:
        found += own if _stops(own) else [*own, *check_priced(plan, assess(plan, None, None))]
        return None
    priced = _price(plan, own, say)
    found += own
    return Checked(plan, priced, in_order([*problems, *own]), structure(plan))


def _sized(strategy: NamedStrategy, found: list[Diagnostic]) -> Deployment | None:
    """The meaning of a strategy, or None; `found` collects what is wrong with its text."""
    problems = [*check_hierarchy(annotate(strategy))]
    deployment, sizing = resolve(strategy)
    problems += sizing
    found += problems
    return None if _stops(problems) else deployment


def _holds(outer: Span, inner: Span) -> bool:
    return outer.source is inner.source and outer.start <= inner.start and inner.end <= outer.end


def _price(plan: Plan, found: list[Diagnostic], say: Say) -> Priced:
    """Memory, graph, cost, schedule, and the rules on them."""
    memory = rank_memory(plan) if not missing_shapes(plan) else None
    graph, timelines, others = None, None, ()
    if memory is not None and not missing_rates(plan):
        graph, timelines, others = _timelines(plan, found, say)
    assessment = assess(plan, memory, timelines)
    found += check_priced(plan, assessment)
    return Priced(assessment, graph, timelines, others)


def _timelines(
    plan: Plan, found: list[Diagnostic], say: Say
) -> tuple[Graph, tuple[Timeline, ...] | None, tuple[Timeline, ...]]:
    """The graph that shows the slowest class of replicas of each phase, the timelines of these, and the others."""
    say(f"lowering {plan.name}")
    graph = lower(plan)
    found += verify_graph(graph)
    if plan.facts.model.layers is not None:
        found += verify_layers(graph, plan.facts.model.layers)
    say(f"pricing and scheduling {plan.name}")
    priced = tuple(price(phase, plan) for phase in graph.classes)
    unreachable = [problem for phase in priced for problem in judge_reach(phase, plan)]
    if unreachable:
        found += unreachable[:1]
        return graph, None, ()
    timelines = tuple(map(schedule, priced))
    for timeline in timelines:
        found += verify_timeline(timeline)
    shown = showing_slowest(graph, timelines)
    by_phase = {id(timeline.priced.graph): timeline for timeline in timelines}
    return shown, tuple(by_phase[id(p)] for p in shown.phases), tuple(by_phase[id(p)] for p in shown.others)


def _stops(diagnostics: list[Diagnostic]) -> bool:
    return any(d.stops for d in diagnostics)


def read(
    source: Source, blocks: Blocks = (), directory: Path = Path(), engine: str | None = None
) -> tuple[Readings | None, tuple[Diagnostic, ...]]:
    """The strategies that a flat notation or a command line of an engine can mean, or why it cannot be read.

    With blocks, each reading is judged by the rules on degrees and sizes; nothing is priced.
    """
    from dagc.flat.counts import counts
    from dagc.flat.flags import read_notation
    from dagc.flat.readings import readings
    from dagc.flat.spelling import possible

    notation, problems = read_notation(source, engine)
    if notation is None:
        return None, in_order(problems)
    counted = counts(notation)
    trees = possible(notation, counted.values())
    found: list[Diagnostic] = []
    judge = _judge(NamedStrategy("main", None, trees[0], trees[0].outer), blocks, directory, found)
    too_large: list[Diagnostic] = []
    deployments = [legal for tree in trees if (legal := _legal(tree, too_large)) is not None]
    if _stops(found) or not deployments:
        return None, in_order([*found, *too_large[:1]])
    return readings(notation, deployments, counted, judge), in_order(found)


def _judge(some: NamedStrategy, blocks: Blocks, directory: Path, found: list[Diagnostic]) -> Judge:
    """The rules on degrees and sizes for what the blocks state; none without blocks."""
    if not blocks:
        return lambda _: ()
    overrides, unread = _overrides(blocks, found)
    file = PlanFile(some.span.source, (), (some,), (), unread)
    facts, problems = declare_facts(file, overrides, directory)
    found += problems
    return lambda deployment: Levels().applied(check_plan(Plan(deployment, facts)))


def _legal(tree: Strategy, too_large: list[Diagnostic]) -> Deployment | None:
    """The meaning of a strategy that no text was written for; None where the rules of the language refuse it."""
    strategy = NamedStrategy("main", None, tree, tree.outer)
    deployment, problems = resolve(strategy)
    too_large += problems
    return None if deployment is None or check_hierarchy(annotate(strategy)) else deployment


Contents = dict[str, bytes | Iterable[bytes]]
"""Files by name, whole or as streams of bytes."""


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one strategy, and what could not be made of it."""

    summary: Summary
    files: Contents
    diagnostics: tuple[Diagnostic, ...]


def export(checked: Checked, renderer: str | None = None, request: Request | None = None) -> Product:
    """The contents of every file that a strategy can have; without shapes that is its summary alone.

    A requested trace or graph takes the place of the default one, where it is not refused.
    """
    from dagc.export.memory_svg import memory_svg
    from dagc.export.summary_json import to_json_bytes
    from dagc.export.tracks import Traced
    from dagc.report.assemble import summarize

    priced = checked.priced
    limits = memory_limits(checked.plan) if priced.assessment.memory else None
    summary = summarize(checked.plan, priced.assessment, checked.diagnostics, limits)
    summary_file: Contents = {"summary.json": to_json_bytes(summary)}
    if summary.memory:
        summary_file["memory.svg"] = memory_svg([(summary.name, summary.memory)]).encode()
    if priced.graph is None or priced.timelines is None:
        return Product(summary, summary_file, ())
    traced = Traced(checked.plan, priced.graph, priced.timelines, priced.others)
    pictures, problems = _pictures(traced, renderer)
    data, refused = _data(traced, request)
    return Product(summary, {**pictures, **data, **summary_file}, (*problems, *refused))


def _pictures(traced: Traced, renderer: str | None) -> tuple[Contents, tuple[Diagnostic, ...]]:
    from dagc.export.dot import to_dot
    from dagc.export.renderers import render

    dot = to_dot(traced.plan, traced.graph, traced.timelines)
    drawing, problems = render(dot, renderer)
    files: Contents = {"graph.dot": dot.encode()}
    if drawing is not None:
        files["graph.svg"] = drawing.encode()
    return files, problems


def _data(traced: Traced, request: Request | None) -> tuple[Contents, tuple[Diagnostic, ...]]:
    """The graph and the trace, the requested ones or the default."""
    from dagc.export.chrome_trace import trace_bytes
    from dagc.export.graph_json import graph_bytes

    files: Contents = {}
    refused: tuple[Diagnostic, ...] = ()
    if request is not None:
        from dagc.export.requested import requested_files

        requested, refused = requested_files(traced, request)
        files |= requested
    shown = (traced.plan, traced.graph, traced.timelines)
    if "graph.json" not in files:
        files["graph.json"] = graph_bytes(*shown)
    if not any(name.startswith("trace.") for name in files):
        files["trace.json"] = trace_bytes(*shown)
    return files, refused
