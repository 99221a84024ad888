"""The syntax tree of a plan file.

Strategies have a shape of their own; all other blocks are entries (a name, values, perhaps a block), so that a
new field needs no new grammar. The tree holds what was written and where, and no meaning: names of fields,
units and presets are judged later. Every node carries the span that a message underlines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dagc.degrees import AxisKind
from dagc.source import Source, Span


class ScopeKind(StrEnum):
    """A named domain or phase."""

    ATTN = "attn"
    MOE = "moe"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class Word:
    """A bare name or a quoted string used as a value."""

    text: str
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the unit words that follow it, e.g. `100 tokens/ms per gpu`. `unit` is None for a bare number.

    `value` is as written, before the unit scales it; `span` covers number and unit, `unit_span` the unit.
    """

    value: int | float
    unit: str | None
    span: Span
    unit_span: Span | None = None


Value = Word | Quantity


@dataclass(frozen=True, slots=True)
class Entry:
    """`name [percentile] [comparison] value* [block]` inside a block. `span` covers all of it but the nested block."""

    name: str
    name_span: Span
    comparison: str | None
    values: tuple[Value, ...]
    body: tuple[Entry, ...] | None
    span: Span
    percentile: Word | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block: `keyword head { entries }`; `model mixtral-8x7b` has a head and no body.

    `head` holds the values after the keyword (a preset's or block's name, `x 64`).
    """

    keyword: str
    head: tuple[Value, ...]
    body: tuple[Entry, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Option:
    """`name value*` inside `[ ]`."""

    name: str
    values: tuple[Value, ...]
    name_span: Span
    span: Span


@dataclass(frozen=True, slots=True)
class Axis:
    """`ep 16 [options] < body >`. `span` covers kind and degree; `outer` covers options and body too."""

    kind: AxisKind
    degree: int
    options: tuple[Option, ...]
    body: Strategy | None
    span: Span
    outer: Span


@dataclass(frozen=True, slots=True)
class Scope:
    """`attn [options] < body >`. `span` covers the name; `outer` everything."""

    kind: ScopeKind
    options: tuple[Option, ...]
    body: Strategy | None
    span: Span
    outer: Span


@dataclass(frozen=True, slots=True)
class Fold:
    """`a ; b`: the branches share GPUs. Two branches or more, as written."""

    branches: tuple[Strategy, ...]
    outer: Span


@dataclass(frozen=True, slots=True)
class Pools:
    """`a | b`: each branch has its own GPUs. Two branches or more, as written."""

    branches: tuple[Strategy, ...]
    outer: Span


Strategy = Axis | Scope | Fold | Pools


@dataclass(frozen=True, slots=True)
class NamedStrategy:
    """`strategy name = body`; a bare strategy has the name `main` and no name span."""

    name: str
    name_span: Span | None
    body: Strategy
    span: Span


@dataclass(frozen=True, slots=True)
class Unread:
    """A statement with a syntax error: the word that it begins with, empty for none, and a strategy's name."""

    keyword: str
    name: str | None


@dataclass(frozen=True, slots=True)
class PlanFile:
    """Everything in one plan, in the order of the text. `comments` are kept for the printer.

    `unread` is what could not be read, in a file with syntax errors: it is in none of the others.
    """

    source: Source
    blocks: tuple[Block, ...]
    strategies: tuple[NamedStrategy, ...]
    comments: tuple[Span, ...]
    unread: tuple[Unread, ...] = ()
