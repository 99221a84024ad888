"""A `rules` block, and the levels of the command line, become levels of advice and the limits that it is given beyond.

`allow`, `warn` and `deny` take codes or names of advice, several after one word, and may occur more than once. Any
other entry is a limit of the table in `dagc.plan.plan`. Only advice has a level: what is an error stays one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dagc.catalog.presets import unknown_name
from dagc.diag.diagnostic import Code, Diagnostic, Family, Label
from dagc.diag.levels import AdviceLevel, Levels
from dagc.facts.fields import BAD_VALUE, REPEATED_FIELD, Field, FieldKind, read_fields
from dagc.plan.plan import LIMITS, RuleLevels
from dagc.source import Source, Span
from dagc.syntax.tree import Block, Entry, Word

NOT_ADVICE = Code("N151", "rule-not-advice")

_LEVELS: Mapping[str, AdviceLevel] = {level.value: level for level in AdviceLevel}
_FIELDS = tuple(Field(limit.name, FieldKind.QUANTITY, limit.dimension) for limit in LIMITS.values())
_FORM = "write `rules { allow W105 deny tp-across-nodes }`"


@dataclass(slots=True)
class _Reading:
    """Levels as they are read, with the place of each."""

    levels: dict[str, AdviceLevel] = field(default_factory=dict[str, AdviceLevel])
    places: dict[str, Span] = field(default_factory=dict[str, Span])
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def give(self, level: AdviceLevel, place: Span) -> None:
        """A level for the code or name written there."""
        found = _advice(place)
        if isinstance(found, Diagnostic):
            self.problems.append(found)
        elif self.levels.setdefault(found.code, level) is not level:
            self.problems.append(_two_levels(found, place, self.places[found.code]))
        else:
            self.places.setdefault(found.code, place)


def declare_rules(block: Block | None) -> tuple[RuleLevels, tuple[Diagnostic, ...]]:
    """Levels and limits of a block, as far as they are well-formed; N110-N114 and N151 for what is not."""
    if block is None:
        return RuleLevels(), ()
    entries = block.body or ()
    reading = _Reading()
    for entry in entries:
        if entry.name in _LEVELS:
            _read_level(entry, reading)
    record, wrong = read_fields((e for e in entries if e.name not in _LEVELS), _FIELDS, "rules")
    limits = {name: number for name in LIMITS if (number := record.number(name)) is not None}
    problems = (*_head(block), *reading.problems, *wrong)
    return RuleLevels(Levels(reading.levels), limits, {**reading.places, **record.spans()}), problems


def declare_levels(given: Iterable[tuple[AdviceLevel, Source]]) -> tuple[Levels, tuple[Diagnostic, ...]]:
    """Levels of the command line: for each, codes or names set apart by commas or blanks."""
    reading = _Reading()
    for level, source in given:
        for word in re.finditer(r"[^\s,]+", source.text):
            reading.give(level, source.span(word.start(), word.end()))
    return Levels(reading.levels), tuple(reading.problems)


def _head(block: Block) -> tuple[Diagnostic, ...]:
    if not block.head:
        return ()
    return (BAD_VALUE.at(block.head[0].span, "a `rules` block has no name", "unexpected here", help=(_FORM,)),)


def _read_level(entry: Entry, reading: _Reading) -> None:
    wrong = next((value.span for value in entry.values if not isinstance(value, Word)), None)
    if entry.comparison is not None or entry.body is not None or not entry.values:
        wrong = entry.name_span
    if wrong is not None:
        message = f"`{entry.name}` takes codes or names of advice"
        reading.problems.append(BAD_VALUE.at(wrong, message, "not a code or a name", help=(_FORM,)))
        return
    for value in entry.values:
        reading.give(_LEVELS[entry.name], value.span)


def _advice(place: Span) -> Code | Diagnostic:
    """The advice that a code or name means, in any case of letters."""
    from dagc.diag import explain

    word = place.text.strip('"')
    every = {name: one.code for one in explain.listed() for name in (one.code.code.lower(), one.code.name)}
    code = every.get(word.lower())
    if code is None:
        names = (name for name, one in every.items() if one.family is Family.ADVICE)
        return unknown_name(place, "rule", (n.upper() if every[n].code.lower() == n else n for n in names))
    return code if code.family is Family.ADVICE else _not_advice(code, place)


def _not_advice(code: Code, place: Span) -> Diagnostic:
    return NOT_ADVICE.at(
        place,
        f"{code.code} {code.name} is an error, and errors have no level",
        "no advice",
        notes=("only advice, whose codes begin with `W`, is allowed or denied",),
        help=(f"leave `{place.text}` out, and fix what it reports: `dagc explain {code.code}`",),
    )


def _two_levels(code: Code, place: Span, first: Span) -> Diagnostic:
    return REPEATED_FIELD.at(
        place,
        f"{code.code} {code.name} is given two levels",
        "given another here",
        labels=(Label(first, "given one here"),),
        help=("keep one of them",),
    )
