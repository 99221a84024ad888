"""The diagnostic as data.

A `Code` is declared once, beside the rule or reader that raises it, and makes diagnostics through `at`. The
message says what is wrong with the arithmetic shown; only `help` says what to do. Rendering is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dagc.source import Span


class Severity(StrEnum):
    """How much a diagnostic weighs: errors set the exit status, warnings do not."""

    ERROR = "error"
    WARNING = "warning"


class Family(StrEnum):
    """First letter of a code: what kind of thing is wrong."""

    SYNTAX = "S"
    NAMES = "N"
    HIERARCHY = "H"
    DEGREES = "D"
    GPUS = "G"
    MEMORY = "M"
    REQUIREMENTS = "R"
    CLAIMS = "C"
    ADVICE = "W"
    LIMITS = "L"
    INVARIANT = "V"
    FILES = "X"


STOPPING = frozenset({Family.SYNTAX, Family.NAMES, Family.HIERARCHY, Family.DEGREES, Family.FILES})
"""Families whose errors stop the compiler: past them a plan has no meaning to price."""


@dataclass(frozen=True, slots=True)
class Label:
    """A secondary place and what it contributes."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of `span`."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that silence the diagnostic; `safe` when the deployment stays what it was."""

    title: str
    edits: tuple[Edit, ...]
    safe: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A way out that help may name, and the fix that writes it; one that does not apply is left to the author."""

    text: str
    fix: Fix
    applies: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """Ways out that a rule proposes, of which help shows those that lead to a plan without a new error.

    A rule sees its own arithmetic, not the other rules: whether a way out holds is decided by compiling it, in
    `dagc.driver.offers`. Each line is one way out with its fallbacks, the best first; of a line the first that holds
    is shown, of all lines at most `most`. Shown is `lead`, the choices with `between` them, `tail`; `otherwise` where
    none holds.
    """

    lines: tuple[tuple[Choice, ...], ...]
    lead: str = "use"
    between: str = " or "
    tail: str = ""
    otherwise: str = ""
    most: int = 2


@dataclass(frozen=True, slots=True)
class Code:
    """A stable code such as `D203`, its kebab-case name and its severity. Codes are never reused.

    `is_default` False: a house rule, silent until a plan or the command line asks for it.
    """

    code: str
    name: str
    severity: Severity = Severity.ERROR
    is_default: bool = True

    @property
    def family(self) -> Family:
        """The family that the first letter names."""
        return Family(self.code[0])

    def at(
        self,
        span: Span | None,
        message: str,
        label: str = "",
        *,
        labels: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
        fixes: tuple[Fix, ...] = (),
        offers: tuple[Offer, ...] = (),
    ) -> Diagnostic:
        """A diagnostic of this code; `span` is None only for what has no place in a text."""
        return Diagnostic(self, message, span, label, labels, notes, help, fixes, offers)


@dataclass(frozen=True, slots=True, repr=False)
class Diagnostic:
    """One problem, for one cause. `weight` is the severity that a plan gives advice, where it is another.

    `offers` are ways out that a rule proposed; `settled` puts those that hold into `help` and `fixes`, and keeps them
    here alone.
    """

    code: Code
    message: str
    span: Span | None
    label: str
    labels: tuple[Label, ...]
    notes: tuple[str, ...]
    help: tuple[str, ...]
    fixes: tuple[Fix, ...]
    offers: tuple[Offer, ...] = ()
    weight: Severity | None = None

    def __repr__(self) -> str:
        """One line: a span holds the whole text of its plan."""
        return f"<Diagnostic {self.severity}[{self.code.code}] {self.message!r}>"

    @property
    def severity(self) -> Severity:
        """Severity that was given to it, or that of its code."""
        return self.weight or self.code.severity

    def with_severity(self, severity: Severity) -> Diagnostic:
        """The same with this severity."""
        return self if severity is self.severity else replace(self, weight=severity)

    @property
    def is_error(self) -> bool:
        """Whether it sets the exit status."""
        return self.severity is Severity.ERROR

    @property
    def stops(self) -> bool:
        """Whether the compiler cannot go on after it."""
        return self.is_error and self.code.family in STOPPING

    @property
    def is_of_text(self) -> bool:
        """Whether it is of syntax or a name."""
        return self.code.family in (Family.SYNTAX, Family.NAMES)

    @property
    def is_open(self) -> bool:
        """Whether what it offers, or fixes in the text, is tried before it is shown."""
        return bool(self.offers) or self.is_of_text

    def settled(self, holds: Callable[[Choice], bool]) -> Diagnostic:
        """The same with the ways out that hold, each named in help; those that apply are fixes."""
        kept = tuple(_kept(offer, holds) for offer in self.offers)
        help_ = tuple(text for offer in kept if (text := _shown(offer)))
        choices = [choice for offer in kept for (choice,) in offer.lines if choice.applies]
        fixes = tuple(choice.fix for choice in choices)
        return replace(self, help=(*help_, *self.help), fixes=(*fixes, *self.fixes), offers=kept)


def _kept(offer: Offer, holds: Callable[[Choice], bool]) -> Offer:
    """The offer with the first choice that holds of each line, as many as it shows; no text twice."""
    kept: dict[str, Choice] = {}
    for line in offer.lines:
        if len(kept) == offer.most:
            break
        if choice := next((one for one in line if one.text in kept or holds(one)), None):
            kept.setdefault(choice.text, choice)
    return replace(offer, lines=tuple((choice,) for choice in kept.values()))


def _shown(offer: Offer) -> str:
    """What help says of a settled offer."""
    if not offer.lines:
        return offer.otherwise
    return f"{offer.lead} {offer.between.join(choice.text for (choice,) in offer.lines)}{offer.tail}"


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sources in the order of their names, what has no place first; equals stay as they came.

    What is reported to several strategies of the same words of the plan is reported once.
    """
    distinct: dict[tuple[object, ...], Diagnostic] = {}
    for diagnostic in diagnostics:
        distinct.setdefault((*_key(diagnostic), diagnostic.message, diagnostic.label), diagnostic)
    return tuple(sorted(distinct.values(), key=_key))


def _key(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    span, code = diagnostic.span, diagnostic.code.code
    return ("", -1, -1, code) if span is None else (span.source.name, span.start, span.end, code)


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """E.g. `2 errors, 1 warning`; empty for none."""
    errors = sum(d.is_error for d in diagnostics)
    counts = ((errors, "error"), (len(diagnostics) - errors, "warning"))
    return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)
