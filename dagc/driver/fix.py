"""A plan with its fixes applied, checked again after each round."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dagc.diag.diagnostic import Family
from dagc.diag.fixing import apply as apply_fixes
from dagc.diag.fixing import fix_of
from dagc.driver.check import check
from dagc.driver.outcome import Blocks, GivenLevels, Outcome
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Fixed:
    """A plan's text after its fixes, how many there were, and what is known of it then."""

    text: str
    count: int
    outcome: Outcome


MAX_ROUNDS = 32
"""Times that a text is fixed and read again: more than the fixes that can depend on each other."""


def fix(
    source: Source, blocks: Blocks = (), directory: Path = Path(), given: GivenLevels = (), unsafe: bool = False
) -> Fixed:
    """A plan with every fix applied, until none is left, one would break the text, or a round fixes nothing."""
    outcome, total = check(source, blocks, directory, given=given), 0
    seen = {source.text}
    for _ in range(MAX_ROUNDS):
        text, count = apply_fixes(source, outcome.diagnostics, unsafe)
        if text in seen:
            break
        changed = Source(source.name, text)
        after = check(changed, blocks, directory, given=given)
        if _syntax_errors(after) > _syntax_errors(outcome) or _fixable(after, unsafe) == _fixable(outcome, unsafe):
            break
        source, outcome, total = changed, after, total + count
        seen.add(text)
    return Fixed(source.text, total, outcome)


def _fixable(outcome: Outcome, unsafe: bool) -> Counter[str]:
    """How often each code offers a fix: a round after which that is as it was has fixed nothing."""
    return Counter(one.code.code for one in outcome.diagnostics if fix_of(one, unsafe))


def _syntax_errors(outcome: Outcome) -> int:
    return sum(diagnostic.code.family is Family.SYNTAX for diagnostic in outcome.diagnostics)
