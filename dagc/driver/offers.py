"""Ways out that rules propose, kept where they hold: each is written into the plan, and the plan is compiled with it.

A rule knows its own arithmetic. Whether the plan with another degree fits the cluster, the engine and the memory is
known to the pipeline alone, so an offer is tried: all rules of the text, of degrees, of the engine and of GPUs, memory,
and what is required; times are worked out only where a requirement needs them. An offer holds where its own code comes
up less often, no error comes up more often than without it, and none is left at what it writes. Left out are these:

- a claim says what its author worked out for the plan as it was written, so that claims are not held against an offer;
- M101 does not count where the model is the default, which the plan's author never named, unless it came up before;
- an offer that fixes the syntax or a name is held against these alone: what they hid is not of its making;
- what is wrong elsewhere (a second degree) stays, and hides what it hides in what is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic, Edit, Family, Fix
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.outcome import Blocks, Priced
from dagc.driver.strategies import check_strategy, price_plan, size_plan
from dagc.plan.plan import Plan, missing_rates
from dagc.plan.workload import AS_PLANNED
from dagc.source import Source, Span
from dagc.syntax.tree import NamedStrategy

if TYPE_CHECKING:
    from dagc.engines.engine import Engine

_MOST, _EACH = 2_000_000, 5_000
"""Characters that are compiled to try what is offered, and what a compilation counts at least, so that a text of many
mistakes is answered soon: past that nothing further is offered, and fixes of spelling are taken to hold."""


@dataclass(frozen=True, slots=True)
class _Found:
    """How often each code comes up in a plan, and each error that counts against an offer."""

    codes: Counter[str]
    errors: Counter[str]
    places: tuple[tuple[str, Span], ...]
    """The code and place of each of these errors that has one."""
    is_default: bool
    """Whether the model is the default."""


@dataclass(slots=True)
class Trial:
    """Tries what is offered for one plan. `strategies` are those that could be read; `engine` replaces the plan's."""

    source: Source
    blocks: Blocks
    directory: Path
    levels: Levels
    strategies: Sequence[NamedStrategy] = ()
    engine: Engine | None = None
    _known: dict[object, _Found] = field(default_factory=dict[object, _Found], repr=False)
    _work: int = 0

    def under(self, engine: Engine) -> Trial:
        """The same where another engine is named."""
        return Trial(self.source, self.blocks, self.directory, self.levels, self.strategies, engine)

    def settle(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """The diagnostics with those of their offers that hold."""
        return tuple(self._settled(one) if one.is_open else one for one in diagnostics)

    def _settled(self, diagnostic: Diagnostic) -> Diagnostic:
        if diagnostic.is_of_text:
            kept = tuple(
                fix for fix in diagnostic.fixes if self._work > _MOST or self._reads_better(diagnostic, fix, hidden=1)
            )
            diagnostic = replace(diagnostic, fixes=kept)
            return diagnostic.settled(lambda choice: self._reads_better(diagnostic, choice.fix, hidden=0))
        return diagnostic.settled(lambda choice: self._holds(diagnostic, choice.fix))

    def _holds(self, diagnostic: Diagnostic, fix: Fix) -> bool:
        if self._work > _MOST:
            return False
        before, after = self._around(fix, self._strategy_of(fix.edits), is_text=False)
        code = diagnostic.code.code
        spared = "M101" if after.is_default and not before.errors["M101"] else ""
        is_new = any(other != spared for other in after.errors - before.errors)
        start, end = written(fix.edits)
        is_wrong = any(
            other != spared and place.source.name == self.source.name and place.start < end and start < place.end
            for other, place in after.places
        )
        return after.codes[code] < before.codes[code] and not is_new and not is_wrong

    def _reads_better(self, diagnostic: Diagnostic, fix: Fix, hidden: int) -> bool:
        """Whether the text then has fewer errors; `hidden` are those that may have been behind the one fixed."""
        before, after = self._around(fix, None, is_text=True)
        code = diagnostic.code.code
        return after.codes[code] < before.codes[code] and after.errors.total() < before.errors.total() + hidden

    def _around(self, fix: Fix, only: str | None, is_text: bool) -> tuple[_Found, _Found]:
        """What is found without the fix, and with it."""
        blocks = tuple((keyword, _edited(text, fix.edits)) for keyword, text in self.blocks)
        before = self._found(self.source, self.blocks, only, is_text)
        return before, self._found(_edited(self.source, fix.edits), blocks, only, is_text)

    def _strategy_of(self, edits: Sequence[Edit]) -> str | None:
        """The strategy that is edited; None where the edits are in a block, which all strategies share."""
        for strategy in self.strategies:
            if all(self._is_in(strategy, edit.span) for edit in edits):
                return strategy.name
        return None

    def _is_in(self, strategy: NamedStrategy, place: Span) -> bool:
        """Whether a place touches a strategy: parentheses around a first or last branch stand outside of its text."""
        whole = strategy.span
        return place.source is self.source and place.start <= whole.end and whole.start <= place.end

    def _found(self, source: Source, blocks: Blocks, only: str | None, is_text: bool) -> _Found:
        key = source.text, tuple(text.text for _, text in blocks), only, is_text
        if key not in self._known:
            self._work += len(source.text) + _EACH
            self._known[key] = self._read(source, blocks) if is_text else self._compiled(source, blocks, only)
        return self._known[key]

    def _read(self, source: Source, blocks: Blocks) -> _Found:
        """What is wrong with the syntax and the names."""
        found: list[Diagnostic] = []
        known = read_plan(source, blocks, self.directory, found)
        for strategy in known[0].strategies if known else ():
            resolve_strategy(strategy, found)
        return _counted(one for one in found if one.is_of_text)

    def _compiled(self, source: Source, blocks: Blocks, only: str | None) -> _Found:
        found: list[Diagnostic] = []
        known = read_plan(source, blocks, self.directory, found)
        if known is None:
            return _counted(found)
        file, facts = known
        facts = replace(facts, engine=self.engine or facts.engine)
        pricing = None if stops(found) else _priced
        for strategy in file.strategies:
            if only in (None, strategy.name):
                check_strategy(strategy, facts, found, pricing)
        levelled = self.levels.over(facts.rules.levels).applied(found)
        return _counted(levelled, "model" in facts.defaulted)


def _priced(plan: Plan, found: list[Diagnostic]) -> Priced:
    """Memory; times, where a requirement needs them and nothing is wrong without them."""
    findings: list[Diagnostic] = []
    priced = size_plan(plan, findings)
    is_open = any(verdict.ok is None for verdict in priced.assessment.requirements)
    if is_open and not missing_rates(plan) and not any(one.is_error for one in findings):
        is_of_load = any(one.is_of_load for one in plan.facts.requirements)
        return price_plan(plan, found, lambda _: None, AS_PLANNED if is_of_load else None)
    found += findings
    return priced


def _counted(found: Iterable[Diagnostic], is_default: bool = False) -> _Found:
    every = tuple(found)
    errors = [one for one in every if one.is_error and one.code.family is not Family.CLAIMS]
    return _Found(
        Counter(one.code.code for one in every),
        Counter(one.code.code for one in errors),
        tuple((one.code.code, one.span) for one in errors if one.span),
        is_default,
    )


def written(edits: Sequence[Edit]) -> tuple[int, int]:
    """Where what edits of one text write is afterwards: its start and its end."""
    start, end = min(edit.span.start for edit in edits), max(edit.span.end for edit in edits)
    return start, end + sum(len(edit.replacement) - (edit.span.end - edit.span.start) for edit in edits)


def _edited(source: Source, edits: Sequence[Edit]) -> Source:
    """The text with the edits that are meant for it."""
    text = source.text
    own = [edit for edit in edits if edit.span.source is source]
    for edit in sorted(own, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return Source(source.name, text) if own else source
