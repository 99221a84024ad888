"""Plans for the tests of meaning and static rules, from text by the real readers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dagc.check.static import check_hierarchy, check_plan
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.facts import declare_facts
from dagc.plan.deployment import Deployment
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.syntax.tree import NamedStrategy, PlanFile


def read(text: str) -> PlanFile:
    """The tree of a text without syntax errors."""
    parsed = parse(Source("plan.moe", text))
    assert parsed.file is not None, [d.message for d in parsed.diagnostics]
    return parsed.file


def strategy(text: str) -> NamedStrategy:
    """The first strategy of a text."""
    return read(text).strategies[0]


def deployment(text: str) -> Deployment:
    """The meaning of a legal strategy."""
    found, problems = resolve(annotate(strategy(text)))
    assert found is not None, text
    assert not problems
    return found


def judged(text: str) -> tuple[Diagnostic, ...]:
    """What the text of a strategy alone is reported for, with all that the rules offer."""
    written = strategy(text)
    return offering((*check_hierarchy(annotate(written)), *resolve(annotate(written))[1]))


def offering(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Diagnostics as a rule alone would give them: whatever it offers is taken to hold."""
    return tuple(one.settled(lambda _: True) for one in diagnostics)


def plan(text: str) -> Plan:
    """The first strategy of a plan file, with its facts."""
    file = read(text)
    facts, problems = declare_facts(file, (), Path())
    assert facts is not None, [d.message for d in problems]
    found, _ = resolve(annotate(file.strategies[0]))
    assert found is not None
    return Plan(found, facts)


def found(text: str) -> tuple[Diagnostic, ...]:
    """What the static rules find in the first strategy of a file, at the levels that it gives, with all they offer."""
    subject = plan(text)
    return offering(subject.facts.rules.levels.applied(check_plan(subject)))


def codes(diagnostics: tuple[Diagnostic, ...]) -> list[str]:
    """Their codes, in order."""
    return [diagnostic.code.code for diagnostic in diagnostics]
