"""Ways out that rules propose, kept where they hold: each is written into the plan, and the plan is compiled with it.

A rule knows its own arithmetic. Whether the plan with another degree fits the cluster, the engine and the memory is
known to the pipeline alone, so an offer is tried: all rules of the text, of degrees, of the engine and of GPUs, memory,
and what is required; times are worked out only where a requirement needs them. An offer holds where its own code comes
up less often and no error comes up more often than without it. Four things are left out:

- a claim says what its author worked out for the plan as it was written, so that claims are not held against an offer;
- M101 does not count where the model is the default, which the plan's author never named;
- an offer that mends the syntax or a name is held against these alone: what they hid is not of its making;
- what hides others as before (a second wrong degree) still hides them, as it does in what is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dagc.diag.diagnostic import Choice, Diagnostic, Edit, Family
from dagc.diag.levels import Levels
from dagc.driver.front import stated, stops
from dagc.driver.outcome import Blocks, Priced
from dagc.driver.strategies import check_strategy, price_plan, size_plan
from dagc.engines.profiles import Profile
from dagc.plan.missing import missing_rates
from dagc.plan.plan import Plan
from dagc.source import Source, Span
from dagc.syntax.tree import NamedStrategy

_OF_TEXT = (Family.SYNTAX, Family.NAMES)


@dataclass(frozen=True, slots=True)
class _Found:
    """How often each code comes up in a plan, and each error that counts against an offer."""

    codes: Counter[str]
    errors: Counter[str]
    of_text: Counter[str]


@dataclass(slots=True)
class Trial:
    """Tries what is offered for one plan. `strategies` are those that could be read; `engine` replaces the plan's."""

    source: Source
    blocks: Blocks
    directory: Path
    levels: Levels
    strategies: Sequence[NamedStrategy] = ()
    engine: Profile | None = None
    _known: dict[object, _Found] = field(default_factory=dict[object, _Found])

    def under(self, engine: Profile) -> Trial:
        """The same where another engine is named."""
        return Trial(self.source, self.blocks, self.directory, self.levels, self.strategies, engine)

    def settle(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """The diagnostics with those of their offers that hold."""
        return tuple(self._settled(one) if one.offers else one for one in diagnostics)

    def _settled(self, diagnostic: Diagnostic) -> Diagnostic:
        return diagnostic.settled(lambda choice: self._holds(diagnostic, choice))

    def _holds(self, diagnostic: Diagnostic, choice: Choice) -> bool:
        edits, code = choice.fix.edits, diagnostic.code
        only = self._strategy_of(edits)
        before = self._found(self.source, self.blocks, only)
        blocks = tuple((keyword, _edited(text, edits)) for keyword, text in self.blocks)
        after = self._found(_edited(self.source, edits), blocks, only)
        if after.codes[code.code] >= before.codes[code.code]:
            return False
        if code.family in _OF_TEXT:
            return after.of_text.total() < before.of_text.total()
        return not after.errors - before.errors

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

    def _found(self, source: Source, blocks: Blocks, only: str | None) -> _Found:
        key = source.text, tuple(text.text for _, text in blocks), only
        if key not in self._known:
            self._known[key] = self._compiled(source, blocks, only)
        return self._known[key]

    def _compiled(self, source: Source, blocks: Blocks, only: str | None) -> _Found:
        found: list[Diagnostic] = []
        known = stated(source, blocks, self.directory, found)
        if known is None:
            return _counted(found, ())
        file, facts = known
        facts = replace(facts, engine=self.engine or facts.engine)
        pricing = None if stops(found) else _priced
        for strategy in file.strategies:
            if only in (None, strategy.name):
                check_strategy(strategy, facts, found, pricing)
        levelled = self.levels.over(facts.rules.levels).applied(found)
        return _counted(levelled, ("M101",) if "model" in facts.defaulted else ())


def _priced(plan: Plan, found: list[Diagnostic]) -> Priced:
    """Memory; times, where a requirement needs them and nothing is wrong without them."""
    sized: list[Diagnostic] = []
    priced = size_plan(plan, sized)
    is_open = any(verdict.ok is None for verdict in priced.assessment.requirements)
    if is_open and not missing_rates(plan) and not any(one.is_error for one in sized):
        return price_plan(plan, found, lambda _: None)
    found += sized
    return priced


def _counted(found: Iterable[Diagnostic], left_out: Sequence[str]) -> _Found:
    every = tuple(found)
    errors = [one for one in every if one.is_error]
    counting = (one for one in errors if one.code.family is not Family.CLAIMS and one.code.code not in left_out)
    return _Found(
        Counter(one.code.code for one in every),
        Counter(one.code.code for one in counting),
        Counter(one.code.code for one in errors if one.code.family in _OF_TEXT),
    )


def _edited(source: Source, edits: Sequence[Edit]) -> Source:
    """The text with the edits that are meant for it."""
    text = source.text
    own = [edit for edit in edits if edit.span.source is source]
    for edit in sorted(own, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return Source(source.name, text) if own else source
