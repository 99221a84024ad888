"""A plan that is being written becomes the pages of its strategies, and what keeps others from having one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check, silent
from dagc.driver.compile import report
from dagc.driver.outcome import Blocks, GivenLevels, Say
from dagc.export.page.listing import listing
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Recompiled:
    """All diagnostics, the pages by the name of their strategy, and markup of what stops strategies, empty for none."""

    diagnostics: tuple[Diagnostic, ...]
    reports: tuple[tuple[str, bytes], ...]
    problems: str


def recompile(
    source: Source, blocks: Blocks = (), directory: Path = Path(), say: Say = silent, given: GivenLevels = ()
) -> Recompiled:
    """The pages of a text as it is now."""
    outcome = check(source, blocks, directory, say, given)
    reports = tuple((checked.plan.name, report(checked)) for checked in outcome.checked)
    return Recompiled(outcome.diagnostics, reports, problems(source, outcome.diagnostics))


def problems(source: Source, diagnostics: tuple[Diagnostic, ...]) -> str:
    """The text with the diagnostics that stop the compiler, as markup; empty where none does."""
    stopping = [one for one in diagnostics if one.stops]
    return str(listing(source, stopping)) if stopping else ""
