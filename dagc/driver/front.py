"""The front of every pipeline: text becomes what it states, and a strategy its meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dagc.check.static import check_hierarchy
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.outcome import Blocks
from dagc.facts.facts import declare_facts
from dagc.plan.deployment import Deployment
from dagc.plan.plan import Facts
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.source import Source
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.tree import Block, NamedStrategy, PlanFile, Unread


def read_plan(
    source: Source, blocks: Blocks, directory: Path, found: list[Diagnostic]
) -> tuple[PlanFile, Facts] | None:
    """What a plan's text and its options state; None where not even that can be read."""
    parsed = parse(source)
    found += parsed.diagnostics if parsed.file else _explained(source, parsed.diagnostics)
    overrides, unread = overrides_of(blocks, found)
    file = parsed.file or parsed.readable
    if file is None:
        return None
    facts, problems = declare_facts(replace(file, unread=(*file.unread, *unread)), overrides, directory)
    found += problems
    return file, facts


def _explained(source: Source, problems: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    from dagc.notation.mistaken import explain_flat

    return explain_flat(source, problems)


def overrides_of(blocks: Blocks, found: list[Diagnostic]) -> tuple[tuple[Block, ...], tuple[Unread, ...]]:
    """Blocks given as options, and those that could not be read."""
    parsed = [(keyword, *parse_fragment(keyword, text)) for keyword, text in blocks]
    found += [problem for _, _, problems in parsed for problem in problems]
    unread = tuple(Unread(keyword, None) for keyword, block, _ in parsed if block is None)
    return tuple(block for _, block, _ in parsed if block), unread


def resolve_strategy(strategy: NamedStrategy, found: list[Diagnostic]) -> Deployment | None:
    """The meaning of a strategy, or None; `found` collects what is wrong with its text."""
    annotated = annotate(strategy)
    deployment, sizing = resolve(annotated)
    problems = [*check_hierarchy(annotated), *sizing]
    found += problems
    return None if stops(problems) else deployment


def stops(diagnostics: list[Diagnostic]) -> bool:
    """Whether one of them keeps a plan from being priced."""
    return any(d.stops for d in diagnostics)
