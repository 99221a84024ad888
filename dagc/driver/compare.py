"""Plans are checked and set side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.driver.outcome import Blocks, Checked, GivenLevels, Say
from dagc.results.comparison import Comparison, Subject
from dagc.results.comparison import compare as compare_subjects
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Given:
    """One plan to compare: its text, where its paths start, and the strategies to take; None takes all."""

    source: Source
    directory: Path
    names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison, all diagnostics, and the priced strategies in the order of its plans."""

    comparison: Comparison
    diagnostics: tuple[Diagnostic, ...]
    checked: tuple[Checked, ...]


def compare(given: Sequence[Given], blocks: Blocks, levels: GivenLevels, say: Say) -> Compared:
    """Every strategy that has a meaning, side by side in the order given; figures are relative to the first."""
    diagnostics: list[Diagnostic] = []
    found: list[tuple[str, Checked]] = []
    for one in given:
        outcome = check(one.source, blocks, one.directory, say, levels)
        left = [
            problem for checked in outcome.checked if not _is_taken(one, checked) for problem in checked.diagnostics
        ]
        diagnostics += (problem for problem in outcome.diagnostics if problem not in left)
        found += [(one.source.name, checked) for checked in outcome.checked if _is_taken(one, checked)]
    titles = _titles([(origin, checked.plan.name) for origin, checked in found])
    subjects = [
        Subject(title, origin, checked.plan, checked.priced.assessment, checked.priced.graph)
        for title, (origin, checked) in zip(titles, found, strict=True)
    ]
    return Compared(compare_subjects(subjects, diagnostics), tuple(diagnostics), tuple(checked for _, checked in found))


def _is_taken(given: Given, checked: Checked) -> bool:
    return given.names is None or checked.plan.name in given.names


def _titles(named: Sequence[tuple[str, str]]) -> list[str]:
    """The shortest titles that tell the plans apart: strategy, file, or both; numbered where even these are equal."""
    stems = [Path(origin).stem for origin, _ in named]
    names = [name for _, name in named]
    both = [f"{stem}/{name}" for stem, name in zip(stems, names, strict=True)]
    for titles in (names, stems, both):
        if len(set(titles)) == len(titles):
            return titles
    seen: Counter[str] = Counter()
    numbered: list[str] = []
    for title in both:
        seen[title] += 1
        numbered.append(f"{title}.{seen[title]}" if seen[title] > 1 else title)
    return numbered
