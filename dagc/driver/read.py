"""A flat notation becomes the strategies that it can mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.check.static import check_hierarchy, check_plan
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import overrides_of, stops
from dagc.driver.outcome import Blocks
from dagc.facts.facts import declare_facts
from dagc.plan.deployment import Deployment
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.source import Source
from dagc.syntax.tree import NamedStrategy, PlanFile, Strategy

if TYPE_CHECKING:
    from dagc.engines.engine import Counted, Engine
    from dagc.notation.parse import Notation
    from dagc.notation.readings import Readings


Judge = Callable[[Deployment], tuple[Diagnostic, ...]]
"""What the rules say of a strategy for facts that are stated elsewhere."""


def read(
    source: Source, blocks: Blocks = (), directory: Path = Path(), engine: str | None = None
) -> tuple[Readings | None, tuple[Diagnostic, ...]]:
    """The strategies that a flat notation or a command line of an engine can mean, or why it cannot be read.

    With blocks, each reading is judged by the rules on degrees and sizes; nothing is priced.
    """
    from dagc.engines.registry import engines
    from dagc.notation.flags import read_notation
    from dagc.notation.readings import readings
    from dagc.notation.settings_file import with_settings_file
    from dagc.notation.spelling import possible

    whole = with_settings_file(source, directory)
    if isinstance(whole, Diagnostic):
        return None, (whole,)
    notation, problems = read_notation(whole, engine)
    if notation is None:
        return None, in_order(problems)
    ordered = sorted(engines(), key=lambda one: one.name != notation.engine)
    counted = {one.name: _count(one, notation) for one in ordered}
    trees = possible(notation, counted.values())
    found: list[Diagnostic] = []
    judge = _judge(NamedStrategy("main", None, trees[0], trees[0].outer), blocks, directory, found)
    too_large: list[Diagnostic] = []
    deployments = [legal for tree in trees if (legal := _legal(tree, too_large)) is not None]
    if stops(found) or not deployments:
        return None, in_order([*found, *too_large[:1]])
    understood = readings(notation, deployments, counted, judge)
    if notation.claims:
        from dagc.driver.read_claims import with_claims

        understood = with_claims(understood, blocks, directory, found)
    return understood, in_order(found)


def _count(engine: Engine, notation: Notation) -> Counted:
    """What an engine makes of a notation: its flags where the text is its command line, else the degrees."""
    if engine.name == notation.engine:
        return engine.read(notation.flags)
    return engine.count({degree.axis.value: degree.value for degree in notation.degrees})


def _judge(some: NamedStrategy, blocks: Blocks, directory: Path, found: list[Diagnostic]) -> Judge:
    """The rules on degrees and sizes for what the blocks state; none without blocks."""
    if not blocks:
        return lambda _: ()
    overrides, unread = overrides_of(blocks, found)
    file = PlanFile(some.span.source, (), (some,), (), unread)
    facts, problems = declare_facts(file, overrides, directory)
    found += problems
    return lambda deployment: Levels().applied(check_plan(Plan(deployment, facts)))


def judged(
    text: str, blocks: Blocks, directory: Path
) -> tuple[Deployment | None, tuple[Diagnostic, ...], tuple[Diagnostic, ...]]:
    """The meaning of a strategy's text, what the rules say of it, and what is wrong with the text or the blocks."""
    from dagc.driver.front import resolve_strategy
    from dagc.syntax.parser import parse

    parsed = parse(Source("reading", f"strategy main = {text}\n"))
    found = list(parsed.diagnostics)
    if parsed.file is None:
        return None, (), tuple(found)
    (strategy,) = parsed.file.strategies
    deployment = resolve_strategy(strategy, found)
    judge = _judge(strategy, blocks, directory, found)
    return deployment, judge(deployment) if deployment and not stops(found) else (), tuple(found)


def _legal(tree: Strategy, too_large: list[Diagnostic]) -> Deployment | None:
    """The meaning of a strategy that no text was written for; None where the rules of the language refuse it."""
    annotated = annotate(NamedStrategy("main", None, tree, tree.outer))
    deployment, problems = resolve(annotated)
    too_large += problems
    return None if deployment is None or check_hierarchy(annotated) else deployment
