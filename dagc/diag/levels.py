"""How much each piece of advice weighs: silenced, a warning, or an error.

Turns diagnostics as the rules raise them into those that a plan's author wants to see. Only advice (`W`) has a level:
what is wrong stays wrong. A house rule (`Code.is_default` False) is silent until a level is given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dagc.diag.diagnostic import Code, Diagnostic, Family, Severity


class AdviceLevel(StrEnum):
    """What becomes of a piece of advice, by the word that a plan gives it with."""

    ALLOW = "allow"
    WARN = "warn"
    DENY = "deny"


_SEVERITY = {AdviceLevel.WARN: Severity.WARNING, AdviceLevel.DENY: Severity.ERROR}


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels by code (`W105`), those that were given."""

    given: Mapping[str, AdviceLevel] = field(default_factory=dict[str, AdviceLevel])

    def of(self, code: Code) -> AdviceLevel | None:
        """The level of a piece of advice; None for a code that has none, because it is no advice."""
        if code.family is not Family.ADVICE:
            return None
        return self.given.get(code.code, AdviceLevel.WARN if code.is_default else AdviceLevel.ALLOW)

    def over(self, others: Levels) -> Levels:
        """These, and the others' where these give none."""
        return Levels({**others.given, **self.given})

    def applied(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Diagnostics with the severity that their level gives them, without those that are allowed."""
        levelled = ((diagnostic, self.of(diagnostic.code)) for diagnostic in diagnostics)
        return tuple(
            one if level is None else one.with_severity(_SEVERITY[level])
            for one, level in levelled
            if level is not AdviceLevel.ALLOW
        )
