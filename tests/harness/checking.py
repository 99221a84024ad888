"""A plan's text into what `dagc check` finds, in the plain terms that pages speak in.

The only place where page tests touch the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dagc.driver import check as driver
from dagc.driver import outcome
from dagc.export.records import plain
from dagc.results.assemble import summarize
from dagc.source import Source


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A diagnostic as a page states it. A diagnostic without a place counts as being on line 1."""

    line: int
    severity: str
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """All findings of one plan, and the summary of each strategy that has a meaning, by name."""

    findings: tuple[Finding, ...]
    summaries: dict[str, dict[str, Any]]

    def codes(self, severity: str) -> set[str]:
        """Codes of all findings of a severity."""
        return {finding.code for finding in self.findings if finding.severity == severity}


def check(text: str, name: str) -> Checked:
    """What `dagc check` finds in a text that messages call `name`."""
    outcome = driver.check(Source(name, text))
    findings: list[Finding] = []
    for diagnostic in outcome.diagnostics:
        span = diagnostic.span
        line = span.source.position(span.start)[0] if span else 1
        findings.append(Finding(line, str(diagnostic.severity), diagnostic.code.code, diagnostic.message))
    return Checked(tuple(findings), {one.plan.name: _summary(one) for one in outcome.checked})


def _summary(checked: outcome.Checked) -> dict[str, Any]:
    return plain(summarize(checked.plan, checked.priced.assessment, checked.diagnostics))
